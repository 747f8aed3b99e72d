# The word of an entry, read and changed; and entries that wait until they can be used again.

cdef inline PyObject* value_in(size_t word) noexcept nogil:
    """Borrowed; NULL for a key that is absent."""
    return <PyObject*>(word & ~<size_t>MARKS)


cdef inline size_t word_of(Entry* entry) noexcept nogil:
    return load_word(&entry.word)


cdef inline PyObject* value_of(Entry* entry) noexcept nogil:
    """Borrowed, good while the shard is locked or the thread pinned; NULL for a key that is absent."""
    return value_in(word_of(entry))


cdef inline PyObject* key_of(Entry* entry) noexcept nogil:
    return load_object(&entry.key)


cdef inline bint is_settled(size_t word) noexcept nogil:
    """Has a value, and no callback is computing another."""
    return not word & MARKS


cdef inline bint is_reserved(size_t word) noexcept nogil:
    return word & MARKS == RESERVED


cdef inline bint is_deleted(size_t word) noexcept nogil:
    """The entry is none: removed, moved, or free."""
    return (word & DELETED) != 0


cdef inline Entry* next_entry(Shard* shard, ArenaPosition* at) noexcept nogil:
    """The next entry that is not deleted, in the order of addresses; NULL at the end. The shard is locked."""
    cdef Entry* entry
    while True:
        entry = <Entry*>arena_next(&shard.entries, at, ENTRY_SIZE)
        if entry is NULL or not is_deleted(word_of(entry)):
            return entry


# -- limbo, with the lock ----------------------------------------------------------------------------------------------

cdef enum:
    # Deleted entries that wait for each other before they are stamped: that takes an atomic addition to a word that
    # all threads write.
    LIMBO_GROUP = 32


cdef inline void limbo_splice(Shard* shard) noexcept nogil:
    """Entries that have been stamped, and are safe now, are free."""
    cdef Limbo* limbo = &shard.limbo
    next_free(&shard.entries, limbo.last)[0] = shard.entries.free_head
    shard.entries.free_head = limbo.first
    shard.entries.n_free += limbo.n
    limbo.n = 0


cdef void limbo_turn(Shard* shard) noexcept nogil:
    """Use again what can be, and stamp what has gathered since."""
    cdef Limbo* limbo = &shard.limbo
    if limbo.n:
        if not is_safe(limbo.stamp):
            return
        limbo_splice(shard)
    if limbo.n_recent == 0:
        return
    limbo.stamp = seal()
    limbo.first = limbo.recent
    limbo.last = limbo.recent_last
    limbo.n = limbo.n_recent
    limbo.recent = NO_ITEM
    limbo.n_recent = 0


cdef inline void entry_release(Shard* shard, uint32_t ref) noexcept nogil:
    """The entry is in no bucket any more, and DELETED."""
    cdef Limbo* limbo = &shard.limbo
    if is_alone(shard.map):
        arena_release(&shard.entries, ref)
        return
    if limbo.n_recent == 0:
        limbo.recent_last = ref
    # A reader may be comparing the hash that is there. Half a hash does no harm: the entry was deleted while it looked.
    store_number(next_free(&shard.entries, ref), limbo.recent)
    limbo.recent = ref
    limbo.n_recent += 1
    shard.entries.n_used -= 1
    if limbo.n_recent >= LIMBO_GROUP:
        limbo_turn(shard)


cdef inline uint32_t entry_new(Shard* shard) noexcept nogil:
    """An entry to be filled, DELETED meanwhile; NO_ITEM when there is no memory."""
    cdef uint32_t ref
    if SM_FREE_THREADED and shard.entries.free_head == NO_ITEM and shard.limbo.n and is_safe(shard.limbo.stamp):
        limbo_splice(shard)
    ref = arena_new(&shard.entries, ENTRY_SIZE)
    if ref != NO_ITEM:
        # A used one is marked already; what is in a new one is undefined.
        store_word(&entry_at(shard, ref).word, DELETED)
    return ref
