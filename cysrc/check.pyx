# The invariant walker: everything that must hold of a shard whenever its lock is free.

# What one shard's walk has counted.
cdef struct Walked:
    uint32_t entries        # references met in buckets
    uint32_t present        # of these, with a value
    uint32_t reserved       # of these, marked
    uint32_t overflow       # overflow buckets of the table


cdef const char* check_entry(Shard* shard, Bucket* bucket, uint32_t slot, uint32_t index, size_t table,
                             Walked* walked) noexcept nogil:
    cdef uint32_t ref = bucket.refs[slot]
    cdef Entry* entry
    cdef uint64_t mixed
    if not shard.slots >> slot & 1:
        return "a slot is filled that must stay empty"
    if ref == NO_ITEM or ref >> GRANULE_BITS >= shard.entries.n_chunks:
        return "a reference leads outside of the arena"
    entry = entry_at(shard, ref)
    if is_deleted(word_of(entry)):
        return "a reference leads to a deleted entry"
    mixed = mix(&shard.mixer, entry.hash)
    if bucket.tags[slot] != tag_of(mixed):
        return "a tag is not that of the entry's hash"
    if bucket_in(table, mixed) is not &table_at(table).bucket[index]:
        return "an entry is in the wrong bucket"
    if word_of(entry) == 0:
        return "an entry has neither a value nor a reservation"
    walked.entries += 1
    walked.present += value_of(entry) is not NULL
    walked.reserved += is_reserved(word_of(entry))
    return NULL


cdef const char* check_chain(Shard* shard, uint32_t index, size_t table, Walked* walked) noexcept nogil:
    cdef Bucket* bucket = &table_at(table).bucket[index]
    cdef const char* wrong
    cdef uint32_t slot, length = 0
    while True:
        for slot in range(SLOTS):
            if bucket.tags[slot]:
                wrong = check_entry(shard, bucket, slot, index, table, walked)
                if wrong is not NULL:
                    return wrong
        bucket = following(table_at(table), bucket)
        if bucket is NULL:
            return NULL
        length += 1
        if length > overflow_of(table):
            return "a chain is longer than all overflow buckets"
        walked.overflow += 1


cdef const char* check_table(Shard* shard, Walked* walked) noexcept nogil:
    cdef const char* wrong
    cdef uint32_t i
    walked.overflow = 0
    for i in range(buckets_of(shard.table)):
        if is_evacuated(&table_at(shard.table).bucket[i]):
            return "a bucket of the new table is marked"
        wrong = check_chain(shard, i, shard.table, walked)
        if wrong is not NULL:
            return wrong
    # Those that were unchained while other threads might be in them count as used.
    if walked.overflow > overflow_of(shard.table) or (walked.overflow < overflow_of(shard.table)
                                                      and not SM_FREE_THREADED):
        return "overflow buckets are lost"
    if table_at(shard.table).chunks is not shard.entries.chunks:
        return "a table has an old directory"
    return NULL


cdef const char* check_old_table(Shard* shard, Walked* walked) noexcept nogil:
    cdef const char* wrong
    cdef Bucket* bucket = table_at(shard.old).bucket
    cdef uint32_t i, moved = 0
    for i in range(buckets_of(shard.old)):
        if is_evacuated(&bucket[i]):
            moved += 1
            continue
        if i < shard.cursor:
            return "the cursor has passed a bucket that has not moved"
        wrong = check_chain(shard, i, shard.old, walked)
        if wrong is not NULL:
            return wrong
    if moved != shard.evacuated:
        return "the number of moved buckets is wrong"
    if moved == buckets_of(shard.old):
        return "a finished move was not ended"
    return NULL


cdef bint only_moved_keys(Shard* shard) noexcept nogil:
    """While growing, is every key of the new table one whose old bucket has moved?"""
    cdef ArenaPosition at
    cdef Entry* entry
    cdef uint64_t mixed
    cdef uint32_t hits, ref
    cdef Table* table
    cdef Bucket* bucket
    memset(&at, 0, sizeof(at))
    while True:
        entry = next_entry(shard, &at)
        if entry is NULL:
            return True
        ref = arena_last_ref(&at, ENTRY_SIZE)
        mixed = mix(&shard.mixer, entry.hash)
        bucket = home(shard, mixed, &table)
        while bucket is not NULL:
            hits = match_tags(bucket, tag_of(mixed))
            while hits and bucket.refs[count_trailing_zeros(hits)] != ref:
                hits &= hits - 1
            if hits:
                break
            bucket = following(table, bucket)
        if bucket is NULL:
            return False


cdef bint is_list_of_deleted(Shard* shard, uint32_t first, uint32_t length) noexcept nogil:
    cdef uint32_t ref = first if length else NO_ITEM
    cdef uint32_t n = 0
    while ref != NO_ITEM and n <= length:
        if not is_deleted(word_of(entry_at(shard, ref))):
            return False
        ref = next_free(&shard.entries, ref)[0]
        n += 1
    return n == length


cdef const char* check_shard(Shard* shard) noexcept nogil:
    """NULL, or what is wrong. The lock is held."""
    cdef Walked walked
    cdef Reservation* reservation = shard.reservations
    cdef const char* wrong
    memset(&walked, 0, sizeof(walked))
    if is_unused(shard):
        if shard.count or shard.entries.n_used:
            return "an unused shard has entries"
        return NULL
    wrong = check_table(shard, &walked)
    if wrong is NULL and shard.old != 0:
        wrong = check_old_table(shard, &walked)
    if wrong is not NULL:
        return wrong
    while reservation is not NULL:
        if not is_reserved(word_of(entry_at(shard, reservation.ref))):
            return "a reservation's entry is not marked"
        walked.reserved -= 1
        reservation = reservation.next
    if walked.reserved:
        return "marked entries and reservations do not agree"
    if walked.entries != shard.entries.n_used:
        return "the buckets do not refer to every entry exactly once"
    if walked.present != shard.count:
        return "the count is wrong"
    if not (is_list_of_deleted(shard, shard.limbo.recent, shard.limbo.n_recent)
            and is_list_of_deleted(shard, shard.limbo.first, shard.limbo.n)):
        return "the lists of deleted entries are broken"
    if not only_moved_keys(shard):
        return "a key is not where a lookup searches"
    return NULL


cdef int check(Map* map) except -1:
    """AssertionError with the shard's index and what is wrong."""
    cdef Stripes* stripes
    cdef const char* wrong
    cdef uint32_t i
    join(map)
    stripes = stripes_of(map)
    if stripes is NULL:
        return 0
    for i in range(stripes.shards):
        lock_shard(&stripes.shard[i])
        wrong = check_shard(&stripes.shard[i])
        unlock_shard(&stripes.shard[i])
        if wrong is not NULL:
            raise AssertionError(f"shard {i}: {(<bytes>wrong).decode()}")
    return 0
