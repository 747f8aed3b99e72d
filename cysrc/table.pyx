# The bucket map of one shard: find a home, place, move, grow, insert, remove. It knows entries by their stored hash and
# never runs Python code.
#
# Growth is Go's: the new table is filled old bucket by old bucket, by the writers, two at most for each insert or
# delete. The invariant that everything relies on:
#
#     A key is in the chain of its bucket in the old table, unless that bucket is marked EVACUATED (or there is no old
#     table); then it is in the chain of its bucket in the new one. It is never in both.
#
# A writer first moves its own key's old bucket, so it inserts into the new table always.
# Resizing goes to any power of two: double, same size (which sheds overflow buckets after many deletes), or smaller.
#
# The caller holds the stripe lock. What can fail for want of memory fails before anything has changed.

cdef enum:
    # Of 60 slots in five buckets 48 are filled on average before the table grows: 80%.
    DEFAULT_LOAD = 48
    LOAD_BUCKETS = 5
    # Old buckets that the cursor may pass over in one step because they have moved already.
    CURSOR_SKIPS = 128
    # 2**28 buckets are 16 GiB for one shard, and references to entries end at 2**32 before that.
    MAX_BUCKETS = 1 << 28

# The table of a shard that has never been written to: lookups need no special case. Nobody writes to it.
cdef extern from *:
    """
    static const char sm_empty_bucket[64] __attribute__((aligned(64)));
    """
    const char* EMPTY_BUCKET "sm_empty_bucket"


cdef inline Entry* entry_at(Shard* shard, uint32_t ref) noexcept nogil:
    return <Entry*>arena_at(shard.entries.chunks, ref)


cdef inline PyObject* value_of(Entry* entry) noexcept nogil:
    """Borrowed; NULL for a key that is only reserved."""
    return <PyObject*>(entry.word & ~<size_t>MARKS)


cdef inline Bucket* following(Shard* shard, Bucket* bucket) noexcept nogil:
    """The next bucket of the chain, or NULL."""
    cdef uint32_t link = bucket.link & LINK_MASK
    return <Bucket*>arena_at(shard.overflow.chunks, link) if link else NULL


cdef inline Bucket* home(Shard* shard, uint64_t mixed) noexcept nogil:
    """The first bucket of the one chain where a key with this mixed hash can be."""
    cdef Bucket* bucket
    if unlikely(shard.old is not NULL):
        bucket = &shard.old[bucket_bits(mixed) & shard.old_mask]
        if not bucket.link & EVACUATED:
            return bucket
    return &shard.table[bucket_bits(mixed) & shard.mask]


# -- placing -----------------------------------------------------------------------------------------------------------

cdef inline int place(Shard* shard, uint64_t mixed, uint32_t ref) noexcept nogil:
    """Put a reference into the new table; 0, or -1 when that needs an overflow bucket and there is no memory."""
    cdef Bucket* first = &shard.table[bucket_bits(mixed) & shard.mask]
    cdef Bucket* bucket = first
    cdef uint32_t free_slots, link
    while True:
        free_slots = match_tags(bucket, 0) & shard.slots
        if free_slots:
            break
        bucket = following(shard, bucket)
        if bucket is NULL:
            link = arena_new(&shard.overflow, BUCKET_SIZE)
            if link == NO_ITEM:
                return -1
            bucket = <Bucket*>arena_at(shard.overflow.chunks, link)
            memset(bucket, 0, sizeof(Bucket))
            # Second in the chain: the next key of a long chain finds the room at once.
            bucket.link = first.link
            first.link = link
            free_slots = shard.slots
            break
    cdef int slot = count_trailing_zeros(free_slots)
    bucket.tags[slot] = tag_of(mixed)
    bucket.refs[slot] = ref
    return 0


# -- moving ------------------------------------------------------------------------------------------------------------

cdef uint32_t overflow_needed(Shard* shard, Bucket* bucket) noexcept nogil:
    """A bound on the overflow buckets that moving this chain can take from the arena."""
    cdef uint32_t entries = 0, targets = 1, a_target
    while bucket is not NULL:
        entries += SLOTS - count_bits(match_tags(bucket, 0))
        bucket = following(shard, bucket)
    if shard.mask > shard.old_mask:
        targets = (shard.mask + 1) // (shard.old_mask + 1)
    a_target = entries // count_bits(shard.slots) + 1
    return min(entries, targets * a_target)


cdef int evacuate(Shard* shard, uint32_t index) noexcept nogil:
    """Move one old bucket and its chain; 0, or -1 with nothing changed when there is no memory."""
    cdef Bucket* first = &shard.old[index]
    cdef Bucket* bucket = first
    cdef Bucket contents
    cdef uint32_t link = 0, slot
    if first.link & EVACUATED:
        return 0
    if arena_ensure(&shard.overflow, overflow_needed(shard, first), BUCKET_SIZE) < 0:
        return -1
    while bucket is not NULL:
        contents = bucket[0]
        if link:
            # Its contents are copied out: the new chains may use it at once.
            arena_release(&shard.overflow, link)
        for slot in range(SLOTS):
            if contents.tags[slot]:
                place(shard, mix(&shard.mixer, entry_at(shard, contents.refs[slot]).hash), contents.refs[slot])
        link = contents.link & LINK_MASK
        bucket = <Bucket*>arena_at(shard.overflow.chunks, link) if link else NULL
    first.link = EVACUATED
    shard.evacuated += 1
    shard.version += 1
    return 0


cdef void finish_resize(Shard* shard) noexcept nogil:
    lines_free(shard.old, (<size_t>shard.old_mask + 1) * BUCKET_SIZE)
    shard.old = NULL
    set_limits(shard)


cdef int advance(Shard* shard) noexcept nogil:
    """Move the next old bucket; finish when it was the last."""
    cdef int skips = 0
    while shard.cursor <= shard.old_mask and shard.old[shard.cursor].link & EVACUATED:
        shard.cursor += 1
        skips += 1
        if skips == CURSOR_SKIPS:
            return 0
    if shard.cursor <= shard.old_mask:
        if evacuate(shard, shard.cursor) < 0:
            return -1
        shard.cursor += 1
    if shard.evacuated > shard.old_mask:
        finish_resize(shard)
    return 0


cdef int help_resize(Shard* shard, uint64_t mixed) noexcept nogil:
    """A writer's share of the move: its own key's old bucket and one more. -1: its own could not be moved."""
    if evacuate(shard, bucket_bits(mixed) & shard.old_mask) < 0:
        return -1
    # The second one is a courtesy: without memory it stays for the next writer.
    advance(shard)
    return 0


# -- resizing ----------------------------------------------------------------------------------------------------------

cdef void set_limits(Shard* shard) noexcept nogil:
    """When to grow next. The overflow buckets of a clean table are a share of its size, plus those it just needed."""
    cdef uint64_t buckets = <uint64_t>shard.mask + 1
    shard.limit = <uint32_t>min(buckets * shard.load // LOAD_BUCKETS, <uint64_t>0xFFFFFFFF)
    shard.overflow_limit = <uint32_t>(buckets // 2) + 2 * shard.overflow.n_used


cdef int begin_resize(Shard* shard, uint32_t buckets) noexcept nogil:
    """Start moving to a new table; -1 with nothing changed when there is no memory. No move may be going on."""
    cdef Bucket* table = <Bucket*>lines_new(<size_t>buckets * BUCKET_SIZE)
    if table is NULL:
        return -1
    shard.old = shard.table
    shard.old_mask = shard.mask
    shard.table = table
    shard.mask = buckets - 1
    shard.cursor = 0
    shard.evacuated = 0
    shard.growths += 1
    shard.version += 1
    return 0


cdef void maybe_resize(Shard* shard) noexcept nogil:
    """After an insert: start a move if one is due. Without memory for it the chains get longer, and the next tries."""
    cdef uint32_t buckets = shard.mask + 1
    if shard.old is not NULL:
        return
    if shard.entries.n_used > shard.limit:
        if buckets < <uint32_t>MAX_BUCKETS:
            begin_resize(shard, buckets * 2)
    elif shard.overflow.n_used > shard.overflow_limit:
        begin_resize(shard, buckets)
    elif shard.always_grow:
        begin_resize(shard, buckets // 2 if buckets > 1 and shard.entries.n_used < shard.limit // 4 else buckets)


cdef uint32_t buckets_for(uint64_t entries, uint32_t load) noexcept nogil:
    """The smallest table that holds so many entries without growing."""
    cdef uint64_t buckets = 1
    while buckets < <uint64_t>MAX_BUCKETS and buckets * load // LOAD_BUCKETS < entries:
        buckets *= 2
    return <uint32_t>buckets


# -- entries -----------------------------------------------------------------------------------------------------------

cdef inline bint is_unused(Shard* shard) noexcept nogil:
    return <const char*>shard.table == EMPTY_BUCKET


cdef uint32_t insert_entry(Shard* shard, uint64_t mixed, PyObject* key, Py_hash_t hash, size_t word) noexcept nogil:
    """Add a key that is absent, taking new references to it and to the value in the word. Its reference, or NO_ITEM."""
    cdef uint32_t ref
    cdef Entry* entry
    cdef Bucket* table
    if unlikely(is_unused(shard)):
        table = <Bucket*>lines_new(BUCKET_SIZE)
        if table is NULL:
            return NO_ITEM
        shard.table = table
        set_limits(shard)
    if unlikely(shard.old is not NULL) and help_resize(shard, mixed) < 0:
        return NO_ITEM
    ref = arena_new(&shard.entries, ENTRY_SIZE)
    if ref == NO_ITEM:
        return NO_ITEM
    if place(shard, mixed, ref) < 0:
        arena_release(&shard.entries, ref)
        return NO_ITEM
    entry = entry_at(shard, ref)
    entry.key = key
    entry.word = word
    entry.hash = hash
    incref(key)
    shard.tracked |= may_cycle(key)
    if value_of(entry) is not NULL:
        adopt_value(shard, value_of(entry))
        store_count(&shard.count, shard.count + 1)
    shard.version += 1
    if unlikely(shard.entries.n_used > shard.limit or shard.overflow.n_used > shard.overflow_limit
                or shard.always_grow):
        maybe_resize(shard)
    return ref


cdef inline void adopt_value(Shard* shard, PyObject* value) noexcept nogil:
    incref(value)
    if unlikely(may_cycle(value)):
        shard.tracked = 1


cdef inline void give_back_if_empty(Shard* shard, Bucket* previous, Bucket* bucket) noexcept nogil:
    """Unchain an overflow bucket that a delete has emptied."""
    cdef uint32_t link
    if previous is NULL or match_tags(bucket, 0) != ALL_SLOTS:
        return
    link = previous.link & LINK_MASK
    previous.link = bucket.link
    arena_release(&shard.overflow, link)


cdef void remove_entry(Shard* shard, uint64_t mixed, uint32_t ref) noexcept nogil:
    """Take an entry out of its bucket and free it. The caller has copied key and value: it owns their references."""
    cdef Bucket* bucket
    cdef Bucket* previous = NULL
    cdef Entry* entry = entry_at(shard, ref)
    cdef uint32_t hits
    cdef uint32_t slot
    if shard.old is not NULL:
        # For want of memory the key stays in the old table; removing it there is as good.
        help_resize(shard, mixed)
    bucket = home(shard, mixed)
    while True:
        hits = match_tags(bucket, tag_of(mixed))
        while hits:
            slot = count_trailing_zeros(hits)
            if bucket.refs[slot] == ref:
                bucket.tags[slot] = 0
                bucket.refs[slot] = 0
                give_back_if_empty(shard, previous, bucket)
                if value_of(entry) is not NULL:
                    store_count(&shard.count, shard.count - 1)
                arena_release(&shard.entries, ref)
                shard.version += 1
                return
            hits &= hits - 1
        previous = bucket
        bucket = following(shard, bucket)
