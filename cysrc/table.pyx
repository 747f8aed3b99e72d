# The bucket map of one shard: find a home, place, move, grow, insert, remove. It knows entries by their stored hash and
# never runs Python code.
#
# Growth is Go's: the new table is filled old bucket by old bucket, by the writers, two at most for each insert or
# delete. The invariant that everything relies on:
#
#     A key is in the chain of its bucket in the old table, unless that bucket is marked EVACUATED (or there is no old
#     table); then it is in the chain of its bucket in the new one.
#
# A writer first moves its own key's old bucket, so it inserts into the new table always.
# Resizing goes to any power of two: double, same size (which sheds overflow buckets after many deletes), or smaller.
#
# Whoever changes anything holds the stripe lock. What can fail for want of memory fails before anything has changed.
#
# Readers without the lock are pinned, and right at every instant because
#   - a slot's reference is stored before its tag, and what it leads to before the reference;
#   - a key is in one slot only, unless it is in an evacuated bucket too: whoever has seen none of the slots with the
#     key in it has looked at one of them before the key came, or after it went, so at some instant of the search it was
#     absent;
#   - a bucket is marked EVACUATED when its references are in the new table, and stays as it was, with its chain:
#     whoever has found it unmarked may go on, and has searched it as of some instant before the mark;
#   - a table is freed when nobody who can have found it is pinned any more. A reader whose `table` is out of date finds
#     the key's bucket evacuated, and starts anew.

cdef enum:
    # Of 60 slots in five buckets 48 are filled on average before the table grows: 80%.
    DEFAULT_LOAD = 48
    LOAD_BUCKETS = 5
    # Old buckets that the cursor may pass over in one step because they have moved already.
    CURSOR_SKIPS = 128
    # 2**28 buckets are 16 GiB for one shard, and references to entries end at 2**32 before that.
    MAX_BUCKETS = 1 << 28
    # Bytes of a retired table from which on it is freed as soon as possible, and not when other things are.
    LARGE_TABLE = 1 << 18

# The table of a shard that has never been written to: lookups need no special case. Nobody writes to it.
cdef extern from *:
    """
    static const char sm_empty_table[128] __attribute__((aligned(64)));
    #define SM_EMPTY_TABLE ((size_t)sm_empty_table | 32)
    """
    const size_t EMPTY_TABLE "SM_EMPTY_TABLE"


cdef inline Table* table_at(size_t word) noexcept nogil:
    return <Table*>(word & ~<size_t>SHIFT_MASK)


cdef inline Bucket* bucket_in(size_t word, uint64_t mixed) noexcept nogil:
    """The first bucket of the chain in this table where a key with this mixed hash belongs."""
    return &table_at(word).bucket[<uint64_t>bucket_bits(mixed) >> (word & SHIFT_MASK)]


cdef inline Entry* entry_at(Shard* shard, uint32_t ref) noexcept nogil:
    """With the lock."""
    return <Entry*>arena_at(shard.entries.chunks, ref)


cdef inline Entry* entry_in(Table* table, uint32_t ref) noexcept nogil:
    """For a reference that has been loaded from this table before."""
    return <Entry*>arena_at(load_directory(&table.chunks), ref)


cdef inline bint is_evacuated(Bucket* bucket) noexcept nogil:
    return (load_ref(&bucket.link) & EVACUATED) != 0


cdef inline Bucket* following(Table* table, Bucket* bucket) noexcept nogil:
    """The next bucket of the chain, or NULL."""
    cdef uint32_t link = load_ref(&bucket.link) & LINK_MASK
    return <Bucket*>arena_at(load_directory(&table.overflow.chunks), link) if unlikely(link) else NULL


cdef inline Bucket* home(Shard* shard, uint64_t mixed, Table** table) noexcept nogil:
    """The first bucket of the one chain where a key with this mixed hash can be, and its table."""
    cdef size_t new, old
    cdef Bucket* bucket
    while True:
        # In this order: `old` is stored before the `table` that its keys move to.
        new = load_word(&shard.table)
        old = load_word(&shard.old)
        if unlikely(old != 0):
            bucket = bucket_in(old, mixed)
            if not is_evacuated(bucket):
                table[0] = table_at(old)
                return bucket
        bucket = bucket_in(new, mixed)
        if not SM_FREE_THREADED or likely(not is_evacuated(bucket)):
            table[0] = table_at(new)
            return bucket


# -- tables ------------------------------------------------------------------------------------------------------------

cdef inline size_t table_bytes(uint32_t buckets) noexcept nogil:
    return (<size_t>buckets + 1) * BUCKET_SIZE


cdef size_t table_new(Shard* shard, uint32_t buckets) noexcept nogil:
    """The word of an empty table, or 0 when there is no memory."""
    cdef Budget* budget = shard.entries.budget
    cdef Table* table
    if not budget_take(budget, table_bytes(buckets), 0):
        return 0
    table = <Table*>lines_new(table_bytes(buckets))
    if table is NULL:
        budget_give(budget, table_bytes(buckets))
        return 0
    table.overflow.budget = budget
    table.buckets = buckets
    table.chunks = shard.entries.chunks
    return <size_t>table | (32 - count_trailing_zeros(buckets))


cdef void table_free(Table* table) noexcept nogil:
    arena_close(&table.overflow, BUCKET_SIZE)
    lines_return(table.overflow.budget, table, table_bytes(table.buckets))


cdef inline bint is_unused(Shard* shard) noexcept nogil:
    return shard.table == EMPTY_TABLE


cdef inline uint32_t buckets_of(size_t word) noexcept nogil:
    return table_at(word).buckets


cdef inline uint32_t overflow_of(size_t word) noexcept nogil:
    """Overflow buckets in use; none for the table of an unused shard, or for no table."""
    return table_at(word).overflow.n_used if word else 0


# -- placing -----------------------------------------------------------------------------------------------------------

cdef inline int place(Shard* shard, uint64_t mixed, uint32_t ref) noexcept nogil:
    """Put a reference into the new table; 0, or -1 when that needs an overflow bucket and there is no memory."""
    cdef Table* table = table_at(shard.table)
    cdef Bucket* first = bucket_in(shard.table, mixed)
    cdef Bucket* bucket = first
    cdef uint32_t free_slots
    while True:
        free_slots = match_tags(bucket, 0) & shard.slots
        if free_slots:
            break
        bucket = following(table, bucket)
        if bucket is NULL:
            bucket = lengthen(table, first)
            if bucket is NULL:
                return -1
            free_slots = shard.slots
            break
    cdef int slot = count_trailing_zeros(free_slots)
    store_ref(&bucket.refs[slot], ref)
    store_tag(&bucket.tags[slot], tag_of(mixed))
    return 0


cdef Bucket* lengthen(Table* table, Bucket* first) noexcept nogil:
    """A new overflow bucket, or NULL when there is no memory. It comes second in the chain: the next key of a long one
    finds the room at once."""
    cdef uint32_t link = arena_new(&table.overflow, BUCKET_SIZE)
    cdef Bucket* bucket
    if link == NO_ITEM:
        return NULL
    bucket = <Bucket*>arena_at(table.overflow.chunks, link)
    memset(bucket, 0, sizeof(Bucket))
    bucket.link = first.link
    store_ref(&first.link, link)
    return bucket


# -- moving ------------------------------------------------------------------------------------------------------------

cdef inline bint has_bytes(Shard* shard) noexcept nogil:
    """Is it a shard of a byte store? All who look into that have its lock."""
    return shard.map is NULL


cdef inline bint is_locked_by_all(Shard* shard) noexcept nogil:
    """Does nobody look into it without the lock? Then what is taken out can be used again at once."""
    return has_bytes(shard) or is_alone(shard.map)


cdef inline uint64_t mixed_hash_of(Shard* shard, uint32_t ref) noexcept nogil:
    if unlikely(has_bytes(shard)):
        return mixed_hash_of_record(shard, ref)
    return mix(&shard.mixer, entry_at(shard, ref).hash)


cdef uint32_t overflow_needed(Shard* shard, Bucket* bucket) noexcept nogil:
    """A bound on the overflow buckets that moving this chain can take from the new table's arena."""
    cdef uint32_t entries = 0, targets = 1, a_target
    while bucket is not NULL:
        entries += SLOTS - count_bits(match_tags(bucket, 0))
        bucket = following(table_at(shard.old), bucket)
    if buckets_of(shard.table) > buckets_of(shard.old):
        targets = buckets_of(shard.table) // buckets_of(shard.old)
    a_target = entries // count_bits(shard.slots) + 1
    return min(entries, targets * a_target)


cdef inline void touch_target(Shard* shard, Bucket* first) noexcept nogil:
    """Where an old bucket's keys go there may have been nobody yet."""
    cdef uint64_t index = first - table_at(shard.old).bucket
    touch(&table_at(shard.table).bucket[index * buckets_of(shard.table) // buckets_of(shard.old)].link)


cdef int evacuate(Shard* shard, Bucket* first) noexcept nogil:
    """Move one old bucket and its chain; 0, or -1 with nothing changed when there is no memory."""
    cdef Bucket* bucket = first
    cdef uint32_t slot
    if is_evacuated(first):
        return 0
    touch_target(shard, first)
    if arena_ensure(&table_at(shard.table).overflow, overflow_needed(shard, first), BUCKET_SIZE) < 0:
        return -1
    while bucket is not NULL:
        for slot in range(SLOTS):
            if bucket.tags[slot]:
                place(shard, mixed_hash_of(shard, bucket.refs[slot]), bucket.refs[slot])
        bucket = following(table_at(shard.old), bucket)
    # Last: whoever sees the mark finds the keys in the new table.
    store_ref(&first.link, first.link | EVACUATED)
    shard.evacuated += 1
    note_change(shard)
    return 0


cdef inline void note_change(Shard* shard) noexcept nogil:
    store_version(&shard.version, shard.version + 1)


cdef void finish_resize(Shard* shard) noexcept nogil:
    cdef Table* old = table_at(shard.old)
    store_word(&shard.old, 0)
    retire_table(shard, old)
    set_limits(shard)


cdef void retire_table(Shard* shard, Table* table) noexcept nogil:
    if not is_locked_by_all(shard):
        retire(<size_t>table | A_TABLE)
        if table_bytes(table.buckets) >= LARGE_TABLE:
            me.due = URGENT
    else:
        table_free(table)


cdef int advance(Shard* shard) noexcept nogil:
    """Move the next old bucket; finish when it was the last."""
    cdef int skips = 0
    cdef uint32_t buckets = buckets_of(shard.old)
    cdef Bucket* bucket = table_at(shard.old).bucket
    while shard.cursor < buckets and is_evacuated(&bucket[shard.cursor]):
        shard.cursor += 1
        skips += 1
        if skips == CURSOR_SKIPS:
            return 0
    if shard.cursor < buckets:
        if evacuate(shard, &bucket[shard.cursor]) < 0:
            return -1
        shard.cursor += 1
    if shard.evacuated == buckets:
        finish_resize(shard)
    return 0


cdef int help_resize(Shard* shard, uint64_t mixed) noexcept nogil:
    """A writer's share of the move: its own key's old bucket and one more. -1: its own could not be moved."""
    if evacuate(shard, bucket_in(shard.old, mixed)) < 0:
        return -1
    # The second one is a courtesy: without memory it stays for the next writer.
    advance(shard)
    return 0


# -- resizing ----------------------------------------------------------------------------------------------------------

cdef void set_limits(Shard* shard) noexcept nogil:
    """When to grow next. The overflow buckets of a clean table are a share of its size, plus those it just needed."""
    cdef uint64_t buckets = buckets_of(shard.table)
    shard.limit = <uint32_t>min(buckets * shard.load // LOAD_BUCKETS, <uint64_t>0xFFFFFFFF)
    shard.overflow_limit = <uint32_t>(buckets // 2) + 2 * overflow_of(shard.table)


cdef int begin_resize(Shard* shard, uint32_t buckets) noexcept nogil:
    """Start moving to a new table; -1 with nothing changed when there is no memory. No move may be going on."""
    cdef size_t table = table_new(shard, buckets)
    if table == 0:
        return -1
    shard.cursor = 0
    shard.evacuated = 0
    shard.growths += 1
    store_word(&shard.old, shard.table)
    store_word(&shard.table, table)
    note_change(shard)
    return 0


cdef void maybe_resize(Shard* shard) noexcept nogil:
    """After an insert: start a move if one is due. Without memory for it the chains get longer, and the next tries."""
    cdef uint32_t buckets = buckets_of(shard.table)
    if shard.old != 0:
        return
    if shard.entries.n_used > shard.limit:
        if buckets < <uint32_t>MAX_BUCKETS:
            begin_resize(shard, buckets * 2)
    elif overflow_of(shard.table) > shard.overflow_limit:
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

cdef bint make_table(Shard* shard, uint32_t buckets) noexcept nogil:
    """For an unused shard. False: no memory."""
    cdef size_t table = table_new(shard, buckets)
    if table == 0:
        return False
    store_word(&shard.table, table)
    note_change(shard)
    set_limits(shard)
    return True


cdef inline void publish_directory(Shard* shard) noexcept nogil:
    """Before any reference into a new chunk is placed."""
    store_directory(&table_at(shard.table).chunks, shard.entries.chunks)
    if shard.old != 0:
        store_directory(&table_at(shard.old).chunks, shard.entries.chunks)


cdef inline bint begin_insert(Shard* shard, uint64_t mixed) noexcept nogil:
    """There is a table, and the key's bucket has moved into it. False: no memory."""
    if unlikely(is_unused(shard)) and not make_table(shard, 1):
        return False
    return likely(shard.old == 0) or help_resize(shard, mixed) == 0


cdef inline void end_insert(Shard* shard) noexcept nogil:
    """The new entry is in its place."""
    note_change(shard)
    if unlikely(shard.entries.n_used > shard.limit or overflow_of(shard.table) > shard.overflow_limit
                or shard.always_grow):
        maybe_resize(shard)


cdef uint32_t insert_entry(Shard* shard, uint64_t mixed, PyObject* key, Py_hash_t hash, size_t word) noexcept nogil:
    """Add a key that is absent, taking new references to it and to the value in the word. Its reference, or NO_ITEM."""
    cdef uint32_t ref
    cdef Entry* entry
    if not begin_insert(shard, mixed):
        return NO_ITEM
    ref = entry_new(shard)
    if ref == NO_ITEM:
        return NO_ITEM
    if unlikely(table_at(shard.table).chunks is not shard.entries.chunks):
        publish_directory(shard)
    entry = entry_at(shard, ref)
    entry.hash = hash
    store_object(&entry.key, key)
    if place(shard, mixed, ref) < 0:
        arena_release(&shard.entries, ref)
        return NO_ITEM
    incref(key)
    note_tracked(shard, key)
    if value_in(word) is not NULL:
        adopt_value(shard, value_in(word))
        store_count(&shard.count, shard.count + 1)
    # From here on the key is present.
    store_word(&entry.word, word)
    end_insert(shard)
    return ref


cdef inline void adopt_value(Shard* shard, PyObject* value) noexcept nogil:
    """Take a reference for an entry; before the entry has it."""
    incref(value)
    note_tracked(shard, value)


cdef inline void note_tracked(Shard* shard, PyObject* thing) noexcept nogil:
    if unlikely(may_cycle(thing)) and not load_byte(&shard.tracked):
        store_byte(&shard.tracked, 1)


cdef inline void unchain_if_empty(Shard* shard, Table* table, Bucket* previous, Bucket* bucket) noexcept nogil:
    """Take an overflow bucket that a delete has emptied out of its chain. A reader that is in it goes on by its link,
    so it is not used again, unless there are no others; it counts as used until the table is rewritten."""
    cdef uint32_t link
    if likely(previous is NULL) or match_tags(bucket, 0) != ALL_SLOTS:
        return
    link = previous.link
    store_ref(&previous.link, bucket.link)
    if is_locked_by_all(shard):
        arena_release(&table.overflow, link)


cdef void remove_entry(Shard* shard, uint64_t mixed, uint32_t ref, bint had_value) noexcept nogil:
    """Take an entry out of its bucket and let it be used again. The caller has marked it DELETED and owns the
    references to key and value now."""
    remove_reference(shard, mixed, ref)
    if had_value:
        store_count(&shard.count, shard.count - 1)
    # First: who goes on with an interrupted search must not take the entry for the one it has found.
    note_change(shard)
    entry_release(shard, ref)


cdef void remove_reference(Shard* shard, uint64_t mixed, uint32_t ref) noexcept nogil:
    """Empty the slot that has this reference, which is there."""
    cdef Table* table
    cdef Bucket* bucket
    cdef Bucket* previous = NULL
    cdef uint32_t hits
    cdef uint32_t slot
    if shard.old != 0:
        # For want of memory the key stays in the old table; removing it there is as good.
        help_resize(shard, mixed)
    bucket = home(shard, mixed, &table)
    while True:
        hits = match_tags(bucket, tag_of(mixed))
        while hits:
            slot = count_trailing_zeros(hits)
            if bucket.refs[slot] == ref:
                store_tag(&bucket.tags[slot], 0)
                unchain_if_empty(shard, table, previous, bucket)
                return
            hits &= hits - 1
        previous = bucket
        bucket = following(table, bucket)
