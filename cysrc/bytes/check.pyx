# The invariant walker of a byte store: everything that must hold of a shard whenever its lock is free.

cdef struct Found:
    uint64_t records                    # in the table
    uint64_t payload                    # of these
    uint64_t deadlines
    uint64_t references                 # of these and of detached ones, without the table's


cdef const char* check_record(ByteShard* shard, size_t table, uint32_t index, Bucket* bucket, uint32_t slot,
                              Found* found) noexcept nogil:
    cdef uint32_t ref = bucket.refs[slot]
    cdef Record* record
    cdef uint64_t mixed
    if ref >> GRANULE_BITS >= shard.heap.n_chunks or shard.heap.chunks[ref >> GRANULE_BITS] is NULL:
        return "a reference leads outside of the heap"
    record = record_at(shard, ref)
    if record.head & FREE_BLOCK:
        return "a reference leads to a free block"
    if record.head & DETACHED or record.head & REFERENCES == 0:
        return "a reference leads to a detached record"
    mixed = mixed_hash_of_record(&shard.base, ref)
    if bucket.tags[slot] != tag_of(mixed):
        return "a tag is not that of the record's hash"
    if bucket_in(table, mixed) is not &table_at(table).bucket[index]:
        return "a record is in the wrong bucket"
    found.records += 1
    found.payload += content_of(record)
    found.deadlines += deadline_of(record) != 0
    found.references += (record.head & REFERENCES) - 1
    return NULL


cdef const char* check_byte_table(ByteShard* shard, size_t table, bint is_old, Found* found) noexcept nogil:
    cdef Bucket* bucket
    cdef const char* wrong
    cdef uint32_t i, slot
    for i in range(buckets_of(table)):
        bucket = &table_at(table).bucket[i]
        if is_evacuated(bucket):
            if not is_old:
                return "a bucket of the new table is marked"
            continue
        while bucket is not NULL:
            for slot in range(SLOTS):
                if bucket.tags[slot]:
                    wrong = check_record(shard, table, i, bucket, slot, found)
                    if wrong is not NULL:
                        return wrong
            bucket = following(table_at(table), bucket)
    return NULL


cdef const char* check_heap(ByteShard* shard, uint64_t* free_granules, uint64_t* in_blocks, uint64_t* detached,
                            uint64_t* references) noexcept nogil:
    """Walk all blocks of all regions."""
    cdef Heap* heap = &shard.heap
    cdef uint64_t reserved = 0
    cdef uint32_t chunk, at, end
    cdef bint after_free
    for chunk in range(heap.n_chunks):
        if heap.spans[chunk] == 0:
            continue
        reserved += <uint64_t>heap.spans[chunk] * CHUNK
        at = (chunk << GRANULE_BITS) + 1
        end = ((chunk + heap.spans[chunk]) << GRANULE_BITS) - 1
        after_free = False
        while at < end:
            if ((head_at(heap, at)[0] & AFTER_FREE) != 0) != after_free:
                return "a block does not know whether the one before it is free"
            if head_at(heap, at)[0] & FREE_BLOCK:
                if after_free:
                    return "two free blocks are neighbours"
                free_granules[0] += free_block_at(heap, at).size
                if size_before(heap, at + free_block_at(heap, at).size) != free_block_at(heap, at).size:
                    return "a free block's sizes do not agree"
            else:
                in_blocks[0] += <uint64_t>block_size(shard, at) * GRANULE
                if record_at(shard, at).head & DETACHED:
                    detached[0] += 1
                    references[0] += record_at(shard, at).head & REFERENCES
            after_free = (head_at(heap, at)[0] & FREE_BLOCK) != 0
            at += block_size(shard, at)
        if at != end or head_at(heap, end)[0] & FREE_BLOCK:
            return "a region's blocks do not end with the region"
    if reserved != heap.reserved:
        return "the heap's size is wrong"
    return NULL


cdef const char* check_byte_shard(ByteShard* shard) noexcept nogil:
    """NULL, or what is wrong. The lock is held."""
    cdef Found found
    cdef const char* wrong = NULL
    cdef uint64_t free_granules = 0, in_blocks = 0, detached = 0
    memset(&found, 0, sizeof(found))
    if not is_unused(&shard.base):
        wrong = check_byte_table(shard, shard.base.table, False, &found)
    if wrong is NULL and shard.base.old != 0:
        wrong = check_byte_table(shard, shard.base.old, True, &found)
    if wrong is NULL:
        wrong = check_heap(shard, &free_granules, &in_blocks, &detached, &found.references)
    if wrong is not NULL:
        return wrong
    if found.records != <uint64_t>shard.base.count or found.records != shard.base.entries.n_used:
        return "the count is wrong"
    if found.deadlines != shard.n_deadlines:
        return "the number of deadlines is wrong"
    if found.references != shard.kept:
        return "the number of references is wrong"
    if free_granules != shard.heap.free_granules:
        return "the lists do not have all free blocks"
    if in_blocks != shard.in_blocks:
        return "the bytes in blocks are wrong"
    if detached == 0 and found.payload != shard.payload:
        return "the bytes of keys and values are wrong"
    return NULL


cdef int check_store(ByteStore* store) except -1:
    """AssertionError with the shard's index and what is wrong."""
    cdef const char* wrong
    cdef ByteShard* shard
    cdef uint32_t i
    for i in range(store.shards):
        shard = byte_shard(store, i)
        lock_bytes(&shard.base.lock)
        wrong = check_byte_shard(shard)
        unlock_byte_shard(shard)
        if wrong is not NULL:
            raise AssertionError(f"shard {i}: {(<bytes>wrong).decode()}")
    return 0
