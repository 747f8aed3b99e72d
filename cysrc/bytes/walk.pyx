# Walking through a store in the order of the keys' hashes.
#
# A table's bucket is chosen by the hash's top bits, so buckets are in the order of hashes, and growing or shrinking
# splits or joins neighbours: a place in this order means the same whatever the table's size. So a walk that goes on
# from the hash where it stopped yields every key that is there from start to end exactly once, and needs no state in
# the store; that is what SCAN's cursor is. Each step is at one instant, the walk as a whole is not.

cdef struct Walk:
    ByteStore* store
    uint32_t shard                      # index
    uint32_t end                        # index of the shard to stop before
    uint64_t position                   # of 2**32

# Records that a step has come by, each with a reference.
cdef struct Batch:
    ByteShard* shard
    uint32_t n
    uint32_t room
    uint32_t* refs
    Record** records

cdef enum:
    # Records after which a step ends: with the cache misses some microseconds of its shard's lock.
    WALK_BATCH = 64
    # And buckets: there may be nothing in them.
    WALK_RANGES = 64


cdef void batch_open(Batch* batch) noexcept nogil:
    memset(batch, 0, sizeof(Batch))


cdef bint batch_room(Batch* batch, uint32_t wanted) noexcept nogil:
    cdef uint32_t room = max(<uint32_t>WALK_BATCH, batch.room * 2, wanted)
    cdef void* moved
    if wanted <= batch.room:
        return True
    moved = realloc(batch.refs, room * sizeof(uint32_t))
    if moved is NULL:
        return False
    batch.refs = <uint32_t*>moved
    moved = realloc(batch.records, room * sizeof(Record*))
    if moved is NULL:
        return False
    batch.records = <Record**>moved
    batch.room = room
    return True


cdef bint lock_or_tell(ByteShard* shard, ByteShard** busy) noexcept nogil:
    """Wait for the lock. For one who must not wait now: False, with the shard in `busy`, if it is not free."""
    if busy is NULL:
        lock_bytes(&shard.base.lock)
    elif not try_lock_bytes(&shard.base.lock):
        busy[0] = shard
        return False
    return True


cdef bint batch_release(Batch* batch, ByteShard** busy) noexcept nogil:
    """Give the references back; the batch is empty then. False: the shard is busy, nothing has happened."""
    cdef uint32_t i
    if batch.n == 0:
        return True
    if not lock_or_tell(batch.shard, busy):
        return False
    for i in range(batch.n):
        release_record(batch.shard, batch.refs[i])
    unlock_byte_shard(batch.shard)
    batch.n = 0
    return True


cdef void batch_close(Batch* batch) noexcept nogil:
    batch_release(batch, NULL)
    free(batch.refs)
    free(batch.records)
    memset(batch, 0, sizeof(Batch))


cdef inline bint is_before(ByteShard* shard, uint32_t ref, uint64_t first) noexcept nogil:
    """Has the walk been where this record is? Only to be asked where a bucket has been joined from two."""
    return first != 0 and bucket_bits(mixed_hash_of_record(&shard.base, ref)) < first


cdef bint batch_chain(Batch* batch, Table* table, Bucket* bucket, uint64_t first, int64_t now) noexcept nogil:
    """Add the records of a chain that are not due, and whose hash is not before the first. False: no memory."""
    cdef Record* record
    cdef uint32_t slot
    while bucket is not NULL:
        if not batch_room(batch, batch.n + SLOTS):
            return False
        # All cache misses at once.
        for slot in range(SLOTS):
            if bucket.tags[slot]:
                prefetch(record_at(batch.shard, bucket.refs[slot]))
        for slot in range(SLOTS):
            if not bucket.tags[slot]:
                continue
            record = record_at(batch.shard, bucket.refs[slot])
            if (not is_due(record, now) and not is_before(batch.shard, bucket.refs[slot], first)
                    and keep_record(batch.shard, record)):
                batch.refs[batch.n] = bucket.refs[slot]
                batch.records[batch.n] = record
                batch.n += 1
        bucket = following(table, bucket)
    return True


cdef bint batch_range(Batch* batch, size_t table, bint is_old, uint64_t first, uint64_t end,
                      int64_t now) noexcept nogil:
    """Add the records of a table's buckets for the hashes from first to end. False: no memory."""
    cdef uint32_t shift = table & SHIFT_MASK
    cdef uint64_t joined = first if first & ((<uint64_t>1 << shift) - 1) else 0
    cdef Bucket* bucket
    cdef uint64_t i
    if table == 0 or table == EMPTY_TABLE:
        return True
    for i in range(first >> shift, (end - 1 >> shift) + 1):
        bucket = &table_at(table).bucket[i]
        if not (is_old and is_evacuated(bucket)) and not batch_chain(
                batch, table_at(table), bucket, joined, now):
            return False
    return True


cdef inline uint64_t walk_step(Shard* shard) noexcept nogil:
    """Hashes that a bucket of the smaller table has: those of a whole number of buckets of either."""
    cdef uint64_t step = <uint64_t>1 << (shard.table & SHIFT_MASK)
    if shard.old != 0:
        step = max(step, <uint64_t>1 << (shard.old & SHIFT_MASK))
    return step


cdef int walk_range(Walk* walk, Batch* batch) noexcept nogil:
    """Locked: add what is in the next bucket, while the table grows with what it is split into; -1: no memory."""
    cdef Shard* shard = &batch.shard.base
    cdef int64_t now = boot_ms() if batch.shard.n_deadlines else 0
    # A walk may be in the middle of a bucket, if the table has shrunk: it passes over what it has had.
    cdef uint64_t end = (walk.position | (walk_step(shard) - 1)) + 1
    if not (batch_range(batch, shard.old, True, walk.position, end, now)
            and batch_range(batch, shard.table, False, walk.position, end, now)):
        return -1
    walk.position = end
    if end < <uint64_t>1 << 32:
        prefetch_records(batch.shard, end << 16)
    return 0


cdef void walk_open(Walk* walk, ByteStore* store, uint32_t first, uint32_t end) noexcept nogil:
    walk.store = store
    walk.shard = first
    walk.end = end
    walk.position = 0


cdef int walk_next(Walk* walk, Batch* batch, ByteShard** busy) noexcept nogil:
    """The next records, in an empty batch: 1; 0 at the end, or if a shard is busy; -1 if there is no memory. Nothing is
    locked."""
    cdef int answer = 0, ranges
    while walk.shard < walk.end and batch.n == 0:
        batch.shard = byte_shard(walk.store, walk.shard)
        if not lock_or_tell(batch.shard, busy):
            return 0
        answer = ranges = 0
        while (answer == 0 and walk.position < <uint64_t>1 << 32 and batch.n < WALK_BATCH
                and ranges < WALK_RANGES):
            answer = walk_range(walk, batch)
            ranges += 1
        unlock_byte_shard(batch.shard)
        if answer < 0:
            return -1
        if walk.position >= <uint64_t>1 << 32:
            walk.shard += 1
            walk.position = 0
    return batch.n != 0


# -- any entry ---------------------------------------------------------------------------------------------------------

cdef bint find_any(ByteShard* shard, Spot* spot) noexcept nogil:
    """Locked: the first record that is not due, from where the last one was found on. False: the shard is empty."""
    cdef int64_t now = boot_ms() if shard.n_deadlines else 0
    cdef uint64_t position = shard.base.popped.index, start = position
    cdef bint again = False
    while shard.base.count:
        if find_in_chain(shard, position << 16, now, spot):
            shard.base.popped.index = <uint32_t>position
            return True
        position = (position | (least_step(&shard.base) - 1)) + 1
        if position >= <uint64_t>1 << 32:
            if again:
                break
            again = True
            position = 0
        elif again and position > start:
            break
    shard.base.popped.index = 0
    return False


cdef bint find_in_chain(ByteShard* shard, uint64_t mixed, int64_t now, Spot* spot) noexcept nogil:
    cdef Table* table
    cdef Bucket* bucket = home(&shard.base, mixed, &table)
    cdef uint32_t slot
    while bucket is not NULL:
        for slot in range(SLOTS):
            if bucket.tags[slot] and not is_due(record_at(shard, bucket.refs[slot]), now):
                spot.shard = shard
                spot.ref = bucket.refs[slot]
                spot.record = record_at(shard, spot.ref)
                spot_for(spot, shard.store, key_span(record_at(shard, bucket.refs[slot])))
                spot.ref = bucket.refs[slot]
                spot.record = record_at(shard, spot.ref)
                return True
        bucket = following(table, bucket)
    return False


cdef bint take_any(ByteStore* store, uint32_t start, Spot* spot) noexcept nogil:
    """Remove any record and keep it for the caller; False: none was there. Nothing is locked."""
    cdef ByteShard* shard
    cdef uint32_t i
    for i in range(store.shards):
        shard = byte_shard(store, (start + i) & store.mask)
        if read_count(&shard.base.count) == 0:
            continue
        lock_bytes(&shard.base.lock)
        if find_any(shard, spot) and keep_record(shard, spot.record):
            take_out(shard, spot.mixed, spot.ref)
            unlock_byte_shard(shard)
            return True
        unlock_byte_shard(shard)
    return take_last(store, spot)


cdef bint take_last(ByteStore* store, Spot* spot) noexcept nogil:
    """Shard after shard had none: entries may have come behind and gone ahead. So once more, at one instant."""
    cdef uint32_t i
    cdef bint found = False
    if entries_in(store) == 0:
        return False
    lock_store(store)
    for i in range(store.shards):
        if find_any(byte_shard(store, i), spot) and keep_record(spot.shard, spot.record):
            take_out(spot.shard, spot.mixed, spot.ref)
            found = True
            break
    unlock_store(store)
    return found
