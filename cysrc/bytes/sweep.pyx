# Removing entries that are due: for some microseconds at a time, so that no shard is locked for long.

cdef enum:
    # For so long a shard is locked, and until a bucket's records have gone, which takes 5 microseconds or so: a quarter
    # of what others may be made to wait, 100 microseconds, since the machine may be slower, or interrupt it.
    SWEEP_NS = 20 * 1000


cdef uint32_t sweep_chain(ByteShard* shard, Bucket* bucket, Table* table, int64_t now, uint32_t* due) noexcept nogil:
    """The references of the records in this chain that are due: their number, SLOTS at most."""
    cdef uint32_t n = 0, slot
    while bucket is not NULL:
        for slot in range(SLOTS):
            if bucket.tags[slot] and n < SLOTS and is_due(record_at(shard, bucket.refs[slot]), now):
                due[n] = bucket.refs[slot]
                n += 1
        bucket = following(table, bucket)
    return n


cdef uint64_t sweep_bucket(ByteShard* shard, uint64_t mixed, int64_t now) noexcept nogil:
    """Remove what is due where keys with this mixed hash are; how many there were."""
    cdef uint32_t due[SLOTS]
    cdef Table* table
    cdef Bucket* bucket
    cdef uint64_t total = 0
    cdef uint32_t n, i
    while True:
        bucket = home(&shard.base, mixed, &table)
        n = sweep_chain(shard, bucket, table, now, due)
        for i in range(n):
            # Removing may move other records, but not these: their references stay.
            take_out(shard, mixed_hash_of_record(&shard.base, due[i]), due[i])
        total += n
        shard.expired += n
        if n < SLOTS:
            return total


cdef inline uint64_t least_step(Shard* shard) noexcept nogil:
    """Hashes that a bucket of the larger table has: in steps of this each bucket of either is met."""
    cdef uint64_t step = <uint64_t>1 << (shard.table & SHIFT_MASK)
    return min(step, <uint64_t>1 << (shard.old & SHIFT_MASK)) if shard.old != 0 else step


cdef inline void prefetch_records(ByteShard* shard, uint64_t mixed) noexcept nogil:
    """Of the bucket where keys with this mixed hash are: a sweep looks at each of them, a cache miss each."""
    cdef Table* table
    cdef Bucket* bucket = home(&shard.base, mixed, &table)
    cdef uint32_t slot
    for slot in range(SLOTS):
        if bucket.tags[slot]:
            prefetch(record_at(shard, bucket.refs[slot]))


cdef uint64_t sweep_some(ByteShard* shard, int64_t now, uint64_t* position) noexcept nogil:
    """From this bucket on until the time is over; how many were removed. The shard is locked."""
    cdef uint64_t total = 0, following
    cdef int64_t began = boot_ns(), at = began
    while position[0] < <uint64_t>1 << 32 and at - began < SWEEP_NS:
        # Before: removing may end a move to a smaller table, whose next bucket is farther away.
        following = (position[0] | (least_step(&shard.base) - 1)) + 1
        if following < <uint64_t>1 << 32:
            prefetch_records(shard, following << 16)
        total += sweep_bucket(shard, position[0] << 16, now)
        position[0] = following
        at = boot_ns()
    shard.longest_sweep = max(shard.longest_sweep, <uint64_t>(at - began))
    return total


cdef uint64_t sweep_shard(ByteShard* shard, int64_t now) noexcept nogil:
    """Remove every entry of a shard that was due at this time. Buckets are in the order of their hashes whatever the
    table's size, so a step goes on where the one before ended although the table may have grown."""
    cdef uint64_t total = 0, position = 0
    while position < <uint64_t>1 << 32:
        lock_bytes(&shard.base.lock)
        if shard.n_deadlines == 0:
            unlock_byte_shard(shard)
            break
        total += sweep_some(shard, now, &position)
        unlock_byte_shard(shard)
        # Whoever waits sleeps by now, and would find the lock taken again: for as long as a step takes it is free.
        breathe()
    return total


cdef uint64_t sweep_store(ByteStore* store) noexcept nogil:
    """Remove every entry that is due; how many there were. Nothing is locked, and the caller needs no interpreter."""
    cdef uint64_t total = 0
    cdef uint32_t i
    for i in range(store.shards):
        total += sweep_shard(byte_shard(store, i), boot_ms())
    return total
