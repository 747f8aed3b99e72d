# The invariant walker: everything that must hold of a shard whenever its lock is free.

# What one shard's walk has counted.
cdef struct Walked:
    uint32_t entries        # references met in buckets
    uint32_t present        # of these, with a value
    uint32_t reserved       # of these, marked
    uint32_t overflow


cdef const char* check_entry(Shard* shard, Bucket* bucket, uint32_t slot, uint32_t index, uint32_t mask,
                             Walked* walked) noexcept nogil:
    cdef uint32_t ref = bucket.refs[slot]
    cdef Entry* entry
    cdef uint64_t mixed
    if not shard.slots >> slot & 1:
        return "a slot is filled that must stay empty"
    if ref == NO_ITEM or ref >> GRANULE_BITS >= shard.entries.n_chunks:
        return "a reference leads outside of the arena"
    entry = entry_at(shard, ref)
    if entry.key is NULL:
        return "a reference leads to a freed entry"
    mixed = mix(&shard.mixer, entry.hash)
    if bucket.tags[slot] != tag_of(mixed):
        return "a tag is not that of the entry's hash"
    if bucket_bits(mixed) & mask != index:
        return "an entry is in the wrong bucket"
    if entry.word == 0:
        return "an entry has neither a value nor a reservation"
    walked.entries += 1
    walked.present += value_of(entry) is not NULL
    walked.reserved += is_reserved(entry)
    return NULL


cdef const char* check_chain(Shard* shard, Bucket* bucket, uint32_t index, uint32_t mask,
                             Walked* walked) noexcept nogil:
    cdef const char* wrong
    cdef uint32_t slot
    while True:
        for slot in range(SLOTS):
            if bucket.tags[slot]:
                wrong = check_entry(shard, bucket, slot, index, mask, walked)
                if wrong is not NULL:
                    return wrong
            elif bucket.refs[slot] != 0:
                return "an empty slot has a reference"
        bucket = following(shard, bucket)
        if bucket is NULL:
            return NULL
        walked.overflow += 1
        if walked.overflow > shard.overflow.n_used:
            return "a chain is longer than all overflow buckets"


cdef const char* check_old_table(Shard* shard, Walked* walked) noexcept nogil:
    cdef const char* wrong
    cdef uint32_t i, moved = 0
    for i in range(shard.old_mask + 1):
        if shard.old[i].link & EVACUATED:
            moved += 1
            continue
        if i < shard.cursor:
            return "the cursor has passed a bucket that has not moved"
        wrong = check_chain(shard, &shard.old[i], i, shard.old_mask, walked)
        if wrong is not NULL:
            return wrong
    if moved != shard.evacuated:
        return "the number of moved buckets is wrong"
    if moved == shard.old_mask + 1:
        return "a finished move was not ended"
    return NULL


cdef bint only_moved_keys(Shard* shard) noexcept nogil:
    """While growing, is every key of the new table one whose old bucket has moved?"""
    cdef ArenaPosition at
    cdef Entry* entry
    cdef uint64_t mixed
    cdef uint32_t hits, ref
    cdef Bucket* bucket
    memset(&at, 0, sizeof(at))
    while True:
        entry = <Entry*>arena_next(&shard.entries, &at, ENTRY_SIZE)
        if entry is NULL:
            return True
        ref = arena_last_ref(&at, ENTRY_SIZE)
        mixed = mix(&shard.mixer, entry.hash)
        bucket = home(shard, mixed)
        while bucket is not NULL:
            hits = match_tags(bucket, tag_of(mixed))
            while hits and bucket.refs[count_trailing_zeros(hits)] != ref:
                hits &= hits - 1
            if hits:
                break
            bucket = following(shard, bucket)
        if bucket is NULL:
            return False


cdef const char* check_shard(Shard* shard) noexcept nogil:
    """NULL, or what is wrong. The lock is held."""
    cdef Walked walked
    cdef Reservation* reservation = shard.reservations
    cdef const char* wrong
    cdef uint32_t i
    memset(&walked, 0, sizeof(walked))
    if is_unused(shard):
        if shard.count or shard.entries.n_used:
            return "an unused shard has entries"
        return NULL
    for i in range(shard.mask + 1):
        wrong = check_chain(shard, &shard.table[i], i, shard.mask, &walked)
        if wrong is not NULL:
            return wrong
    if shard.old is not NULL:
        wrong = check_old_table(shard, &walked)
        if wrong is not NULL:
            return wrong
    while reservation is not NULL:
        if not is_reserved(entry_at(shard, reservation.ref)):
            return "a reservation's entry is not marked"
        walked.reserved -= 1
        reservation = reservation.next
    if walked.reserved:
        return "marked entries and reservations do not agree"
    if walked.entries != shard.entries.n_used:
        return "the buckets do not refer to every entry exactly once"
    if walked.present != shard.count:
        return "the count is wrong"
    if walked.overflow != shard.overflow.n_used:
        return "overflow buckets are lost"
    if not only_moved_keys(shard):
        return "a key is not where a lookup searches"
    return NULL


cdef int check(Map* map) except -1:
    """AssertionError with the shard's index and what is wrong."""
    cdef Stripes* stripes = stripes_of(map)
    cdef const char* wrong
    cdef uint32_t i
    if stripes is NULL:
        return 0
    for i in range(stripes.shards):
        lock(&stripes.shard[i].lock)
        wrong = check_shard(&stripes.shard[i])
        unlock(&stripes.shard[i].lock)
        if wrong is not NULL:
            raise AssertionError(f"shard {i}: {(<bytes>wrong).decode()}")
    return 0
