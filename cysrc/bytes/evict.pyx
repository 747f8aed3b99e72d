# Making room when the budget is spent: evict entries, as the policy says.
#
#   ALL_KEYS_LRU   the entry that was not used for longest, of a sample: approximated LRU, as Redis does it
#   VOLATILE_TTL   of the entries with a deadline, the one whose deadline is next, of a sample
#
# A sample is what is in a few buckets of the writer's own shard, which are a random part of the store.
#
# Entries that are due go first, also under NO_EVICTION, which lets no others go. What a reader keeps (views) is passed
# over: it would free nothing.
#
# A block that is large enough may take more than one entry: after some attempts the entries beside the one evicted go
# too, until their room together is enough. Nothing bounds how unequal the shards' contents may become, so a shard that
# has nothing to evict takes a whole region from the one that has most.

cdef enum:
    # Entries of a sample at least: more come closer to LRU (docs/design.md has the hit ratios) and cost a cache miss
    # each.
    SAMPLE = 16
    # Buckets looked into for a sample: there may be few entries with a deadline.
    MOST_LOOKS = 64
    # Entries evicted, each the oldest of its sample, before neighbours of the last one go.
    FAIR_ATTEMPTS = 8
    # Then it is for want of anything to evict that there is no room.
    MOST_ATTEMPTS = 256

cdef struct Victim:
    uint32_t ref                        # 0: none
    uint64_t age                        # the larger, the sooner it goes
    uint32_t seen                       # entries of the sample so far


cdef inline bint is_evictable(Record* record, uint32_t policy, int64_t now) noexcept nogil:
    if record.head & (DETACHED | REFERENCES) != 1:
        return False
    return policy == ALL_KEYS_LRU or (policy == VOLATILE_TTL and deadline_of(record) != 0) or is_due(record, now)


cdef inline uint64_t age_of(ByteShard* shard, Record* record, uint32_t policy, int64_t now) noexcept nogil:
    if is_due(record, now):
        return <uint64_t>-1
    if policy == ALL_KEYS_LRU:
        # The clock goes round: the difference does not mind.
        return <uint32_t>(shard.clock - record.access)
    return (<uint64_t>-1) // 2 - <uint64_t>deadline_of(record)


cdef void sample_chain(ByteShard* shard, Table* table, Bucket* bucket, uint32_t policy, int64_t now,
                       Victim* victim) noexcept nogil:
    cdef Record* record
    cdef uint64_t age
    cdef uint32_t slot
    while bucket is not NULL:
        for slot in range(SLOTS):
            if not bucket.tags[slot]:
                continue
            record = record_at(shard, bucket.refs[slot])
            if is_evictable(record, policy, now):
                age = age_of(shard, record, policy, now)
                if victim.ref == 0 or age > victim.age:
                    victim.ref = bucket.refs[slot]
                    victim.age = age
                victim.seen += 1
        bucket = following(table, bucket)


cdef uint32_t choose_victim(ByteShard* shard) noexcept nogil:
    """The reference of the record that should go first; 0 if none may."""
    cdef uint32_t policy = read_policy(&shard.store.policy)
    cdef int64_t now = boot_ms() if shard.n_deadlines else 0
    cdef Victim victim
    cdef Table* table
    cdef Bucket* bucket
    cdef uint64_t mixed, position
    cdef int _look
    memset(&victim, 0, sizeof(victim))
    if shard.base.count == 0 or (policy != ALL_KEYS_LRU and shard.n_deadlines == 0):
        return 0
    for _look in range(MOST_LOOKS):
        # The golden ratio's multiples are spread evenly, whatever the table's size.
        shard.scan += <uint32_t>(GOLDEN >> 32)
        mixed = <uint64_t>shard.scan << 16
        bucket = home(&shard.base, mixed, &table)
        sample_chain(shard, table, bucket, policy, now, &victim)
        if victim.seen >= SAMPLE:
            break
    position = shard.scan
    while victim.ref == 0 and position < (<uint64_t>1 << 32) + shard.scan:
        # Few entries in a large table, or few that may go: from here on, once round.
        mixed = <uint64_t><uint32_t>position << 16
        bucket = home(&shard.base, mixed, &table)
        sample_chain(shard, table, bucket, policy, now, &victim)
        position = (position | (least_step(&shard.base) - 1)) + 1
    return victim.ref


cdef inline void evict(ByteShard* shard, uint32_t ref) noexcept nogil:
    if is_due(record_at(shard, ref), boot_ms() if shard.n_deadlines else 0):
        shard.expired += 1
    else:
        shard.evicted += 1
    take_out(shard, mixed_hash_of_record(&shard.base, ref), ref)


cdef inline uint32_t block_size(ByteShard* shard, uint32_t ref) noexcept nogil:
    """Granules of a block, free or in use."""
    if head_at(&shard.heap, ref)[0] & FREE_BLOCK:
        return free_block_at(&shard.heap, ref).size
    return granules_of(record_at(shard, ref)) + slack_of(record_at(shard, ref))


cdef inline bint is_sentinel(Heap* heap, uint32_t ref) noexcept nogil:
    return (ref & GRANULE_MASK) == GRANULE_MASK and (
        (ref >> GRANULE_BITS) + 1 == heap.n_chunks or heap.chunks[(ref >> GRANULE_BITS) + 1] is NULL
        or heap.spans[(ref >> GRANULE_BITS) + 1] != 0)


cdef void evict_beside(ByteShard* shard, uint32_t ref, uint32_t size) noexcept nogil:
    """Evict a record and those behind it, until their room is `size` granules or one of them has to stay."""
    cdef uint32_t policy = read_policy(&shard.store.policy)
    cdef Heap* heap = &shard.heap
    cdef uint32_t first = ref, following_one
    if head_at(heap, ref)[0] & AFTER_FREE:
        first -= size_before(heap, ref)
    evict(shard, ref)
    # A region that became free as a whole may be gone by now.
    while heap.chunks[first >> GRANULE_BITS] is not NULL and block_size(shard, first) < size:
        following_one = first + block_size(shard, first)
        if is_sentinel(heap, following_one) or not is_evictable(record_at(shard, following_one), policy, 0):
            return
        evict(shard, following_one)


cdef bint make_room(ByteShard* shard, uint32_t size) noexcept nogil:
    """Evict what it takes for a block of this size. False: nothing may be evicted, or that is not enough."""
    cdef uint32_t victim
    cdef int attempt
    for attempt in range(MOST_ATTEMPTS):
        victim = choose_victim(shard)
        if victim == 0:
            return False
        if attempt < FAIR_ATTEMPTS:
            evict(shard, victim)
        else:
            evict_beside(shard, victim, size)
        if find_block(&shard.heap, size) or budget_has(&shard.store.budget, shard.heap.rest, size):
            return True
        # A large one's bytes count when they have been given back: no other has to go for them, too.
        if discard_rubbish(shard) and budget_has(&shard.store.budget, shard.heap.rest, size):
            return True
    return False


cdef inline bint budget_has(Budget* budget, uint64_t rest, uint32_t size) noexcept nogil:
    """Is there room for a region again that a block of this size fits into?"""
    cdef size_t bytes = <size_t>least_chunks(size) * CHUNK
    if not budget_take(budget, bytes, rest):
        return False
    budget_give(budget, bytes)
    return True


# -- a whole region ----------------------------------------------------------------------------------------------------

cdef inline uint32_t region_of(Heap* heap, uint32_t ref) noexcept nogil:
    """The first block of the region."""
    cdef uint32_t chunk = ref >> GRANULE_BITS
    while heap.spans[chunk] == 0:
        chunk -= 1
    return (chunk << GRANULE_BITS) + 1


cdef void evict_region(ByteShard* shard, uint32_t ref) noexcept nogil:
    """Evict the region's records, those that may be."""
    cdef uint32_t policy = read_policy(&shard.store.policy)
    cdef Heap* heap = &shard.heap
    cdef uint32_t at = region_of(heap, ref)
    cdef uint32_t end = at - 1 + (heap.spans[at >> GRANULE_BITS] << GRANULE_BITS) - 1
    cdef int64_t now = boot_ms() if shard.n_deadlines else 0
    cdef uint32_t first = at
    while at < end:
        if head_at(heap, at)[0] & FREE_BLOCK or not is_evictable(record_at(shard, at), policy, now):
            at += block_size(shard, at)
            continue
        if head_at(heap, at)[0] & AFTER_FREE:
            # It becomes one with the block before it.
            at -= size_before(heap, at)
            evict(shard, at + block_size(shard, at))
        else:
            evict(shard, at)
        if heap.chunks[at >> GRANULE_BITS] is NULL:
            return
    if head_at(heap, first)[0] & FREE_BLOCK and is_region(heap, first, free_block_at(heap, first).size):
        drop_region(heap, first, &shard.rubbish)


cdef bint evict_elsewhere(ByteStore* store) noexcept nogil:
    """Nothing is locked: evict a region, or a large record, of the shard that has most memory, or of the next one that
    has something to evict. False: nothing may be evicted."""
    cdef ByteShard* shard
    cdef uint32_t i, largest = 0
    cdef uint64_t memory, most = 0
    cdef bint found = False
    for i in range(store.shards):
        memory = memory_of(byte_shard(store, i))
        if memory > most:
            largest, most = i, memory
    for i in range(store.shards):
        shard = byte_shard(store, (largest + i) & store.mask)
        lock_bytes(&shard.base.lock)
        found = evict_much(shard)
        unlock_byte_shard(shard)
        if found:
            break
    return found


cdef uint64_t memory_of(ByteShard* shard) noexcept nogil:
    cdef uint64_t memory
    lock_bytes(&shard.base.lock)
    memory = shard.heap.reserved + shard.large
    unlock_byte_shard(shard)
    return memory


cdef bint evict_much(ByteShard* shard) noexcept nogil:
    cdef uint32_t victim
    # What the shard keeps for entries to come first.
    if drop_free_regions(&shard.heap, &shard.rubbish):
        return True
    victim = choose_victim(shard)
    if victim == 0:
        return False
    if record_at(shard, victim).head & IS_LARGE:
        evict(shard, victim)
    else:
        evict_region(shard, victim)
    return True
