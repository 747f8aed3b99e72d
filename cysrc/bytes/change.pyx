# The operations on one record, under its shard's lock.

cdef inline bint same_bytes(const char* a, const char* b, size_t size) noexcept nogil:
    # The shortest ones without a call.
    return same_short(a, b, size) if likely(size <= SHORT) else memcmp(a, b, size) == 0


# -- finding -----------------------------------------------------------------------------------------------------------

cdef inline uint64_t mixed_hash(SipKey* sip, Span key) noexcept nogil:
    """Shard, bucket and tag of a key, as in hashing.pyx.

    The shard comes from FNV-1a over the key, without a seed, the place in it from SipHash with the store's key: who
    floods a store with keys chosen to meet gets them into one shard, and there into places that he cannot foresee.
    """
    cdef uint64_t route = fnv1a(FNV_BASIS, <const uint8_t*>key.data, key.size)
    route ^= route >> 32
    return (siphash(sip, key.data, key.size) & ~<uint64_t>0xFFFF) | ((route ^ route >> 16) & 0xFFFF)


cdef inline void spot_for(Spot* spot, ByteStore* store, Span key) noexcept nogil:
    """Hash the key and find its shard."""
    spot.key = key
    spot.mixed = mixed_hash(&store.key, key)
    spot.shard = byte_shard(store, shard_bits(spot.mixed) & store.mask)
    spot.record = NULL


cdef inline void prefetch_bucket(Spot* spot) noexcept nogil:
    """Nothing is locked: only an address is made of what is read, and a wrong one does no harm."""
    prefetch(bucket_in(load_word(&spot.shard.base.table), spot.mixed))


cdef inline void prefetch_record(Spot* spot) noexcept nogil:
    """For a spot whose bucket has been prefetched: the records that may be the key's, both lines of a short one. Takes
    the lock and gives it back: some nanoseconds, for the hundred that a cache miss takes."""
    cdef ByteShard* shard = spot.shard
    cdef Table* table
    cdef Bucket* bucket
    cdef uint32_t hits
    lock_bytes(&shard.base.lock)
    bucket = home(&shard.base, spot.mixed, &table)
    hits = match_tags(bucket, tag_of(spot.mixed))
    while hits:
        prefetch(record_at(shard, bucket.refs[count_trailing_zeros(hits)]))
        prefetch(<char*>record_at(shard, bucket.refs[count_trailing_zeros(hits)]) + 64)
        hits &= hits - 1
    unlock_byte_shard(shard)


cdef inline void prefetch_spots(Spot* spots, int n) noexcept nogil:
    """Have what several operations need under way at once, before the first of them begins."""
    cdef int i
    for i in range(n):
        prefetch_bucket(&spots[i])
    for i in range(n):
        prefetch_record(&spots[i])


cdef inline void lock_spot(Spot* spot) noexcept nogil:
    if unlikely(not try_lock_bytes(&spot.shard.base.lock)):
        lock_bytes(&spot.shard.base.lock)
        spot.shard.contended += 1


cdef inline void unlock_spot(Spot* spot) noexcept nogil:
    unlock_byte_shard(spot.shard)


cdef inline bint find_record(Spot* spot) noexcept nogil:
    """Find the key's record, unless it is due; a record that is gets removed."""
    cdef ByteShard* shard = spot.shard
    cdef Table* table
    cdef Bucket* bucket = home(&shard.base, spot.mixed, &table)
    cdef Record* record
    cdef uint32_t hits, slot
    while True:
        hits = match_tags(bucket, tag_of(spot.mixed))
        while hits:
            slot = count_trailing_zeros(hits)
            record = record_at(shard, bucket.refs[slot])
            if likely(record.key_size == spot.key.size
                      and same_bytes(bytes_of(record), spot.key.data, spot.key.size)):
                spot.record = record
                spot.ref = bucket.refs[slot]
                spot.bucket = bucket
                spot.slot = slot
                return likely(not record.head & HAS_DEADLINE) or not remove_if_due(spot)
            hits &= hits - 1
        bucket = following(table, bucket)
        if likely(bucket is NULL):
            spot.record = NULL
            return False


cdef inline bint is_due(Record* record, int64_t now) noexcept nogil:
    cdef int64_t deadline = deadline_of(record)
    return deadline != 0 and deadline <= now


cdef bint remove_if_due(Spot* spot) noexcept nogil:
    if not is_due(spot.record, boot_ms()):
        return False
    remove_record(spot)
    spot.shard.expired += 1
    return True


cdef inline bint find_to_read(Spot* spot) noexcept nogil:
    """find_record, noting that somebody has read it."""
    if not find_record(spot):
        spot.shard.misses += 1
        return False
    touch_record(spot)
    spot.shard.hits += 1
    return True


cdef inline void touch_record(Spot* spot) noexcept nogil:
    """The record found is the one that was used last."""
    spot.shard.clock += 1
    spot.record.access = spot.shard.clock


# -- removing ----------------------------------------------------------------------------------------------------------

cdef inline void count_deadline(ByteShard* shard, Record* record, int sign) noexcept nogil:
    if unlikely(record.head & HAS_DEADLINE) and deadline_of(record) != 0:
        shard.n_deadlines += sign


cdef void take_out(ByteShard* shard, uint64_t mixed, uint32_t ref) noexcept nogil:
    """Take a record out of the table, and drop it."""
    remove_reference(&shard.base, mixed, ref)
    note_change(&shard.base)
    shard.base.entries.n_used -= 1
    write_count(&shard.base.count, shard.base.count - 1)
    count_change(&shard.changes)
    count_change(&shard.moves)
    count_deadline(shard, record_at(shard, ref), -1)
    drop_record(shard, ref)


cdef inline void remove_record(Spot* spot) noexcept nogil:
    """Remove the record found."""
    take_out(spot.shard, spot.mixed, spot.ref)
    spot.record = NULL


# -- putting -----------------------------------------------------------------------------------------------------------

cdef enum:
    STORED = 0
    NO_ROOM = -1                        # nothing has changed, but that others may have been evicted


cdef inline int64_t deadline_for(Spot* spot, Draft* draft) noexcept nogil:
    if draft.deadline != KEEP_DEADLINE:
        return draft.deadline
    return deadline_of(spot.record) if spot.record is not NULL else 0


cdef inline bint may_write_over(Record* record, Draft* draft, int64_t deadline) noexcept nogil:
    """Does the draft fit exactly, and does nobody else look at the record?"""
    return (record.head & (REFERENCES | IS_LARGE) == 1 and draft.large is NULL
            and ((record.head & HAS_DEADLINE) != 0) == (deadline != 0)
            and granules_for(draft_content(draft), deadline != 0, False) == granules_of(record))


cdef inline void write_over(ByteShard* shard, Record* record, Draft* draft, int64_t deadline) noexcept nogil:
    shard.payload += draft.value.size - <uint64_t>record.value_size
    record.value_size = <uint32_t>draft.value.size
    if unlikely(deadline != 0):
        count_deadline(shard, record, -1)
        deadline_at(record)[0] = deadline
        count_deadline(shard, record, 1)
    # The value does not lie in this record: whoever has it from there keeps the record.
    memcpy(bytes_within(record) + record.key_size, draft.value.data, draft.value.size)


cdef inline int put_record(Spot* spot, Draft* draft) noexcept nogil:
    """Give the key, found or not, the draft's value. STORED: the record is found now; NO_ROOM: it is as it was, or has
    been evicted."""
    cdef int64_t deadline = deadline_for(spot, draft)
    count_change(&spot.shard.changes)
    if spot.record is not NULL and likely(may_write_over(spot.record, draft, deadline)):
        write_over(spot.shard, spot.record, draft, deadline)
        touch_record(spot)
        return STORED
    return put_new_record(spot, draft, deadline)


cdef int put_new_record(Spot* spot, Draft* draft, int64_t deadline) noexcept nogil:
    cdef ByteShard* shard = spot.shard
    cdef uint32_t ref = record_new(shard, draft, deadline)
    count_change(&shard.moves)
    if unlikely(ref == 0):
        if not make_room(shard, draft_granules(draft, deadline)):
            return NO_ROOM
        ref = record_new(shard, draft, deadline)
        if ref == 0:
            return NO_ROOM
        # The key's own record may have gone.
        find_record(spot)
    if place_record(spot, ref) != STORED:
        undo_draft(shard, ref, draft)
        return NO_ROOM
    return STORED


cdef inline int place_record(Spot* spot, uint32_t ref) noexcept nogil:
    """Give the key, found or not, this record; NO_ROOM, for one that was not found: the table has none."""
    cdef ByteShard* shard = spot.shard
    cdef uint32_t former
    if spot.record is NULL:
        if insert_record(spot, ref) != STORED:
            return NO_ROOM
    else:
        former = spot.ref
        count_deadline(shard, spot.record, -1)
        store_ref(&spot.bucket.refs[spot.slot], ref)
        drop_record(shard, former)
        spot.ref = ref
    spot.record = record_at(shard, ref)
    count_deadline(shard, spot.record, 1)
    touch_record(spot)
    return STORED


cdef int insert_record(Spot* spot, uint32_t ref) noexcept nogil:
    cdef ByteShard* shard = spot.shard
    if not begin_insert(&shard.base, spot.mixed) or place(&shard.base, spot.mixed, ref) < 0:
        return NO_ROOM
    shard.base.entries.n_used += 1
    write_count(&shard.base.count, shard.base.count + 1)
    end_insert(&shard.base)
    if unlikely(shard.expectations is not NULL):
        fulfil(shard, spot.mixed)
    return STORED


cdef void fulfil(ByteShard* shard, uint64_t mixed) noexcept nogil:
    """A key with this hash has come: most likely the one that is expected."""
    cdef Expectation* expectation = shard.expectations
    while expectation is not NULL:
        if expectation.mixed == mixed:
            expectation.fulfilled = True
        expectation = expectation.following


cdef void fulfil_all(ByteShard* shard) noexcept nogil:
    """Any keys may have come."""
    cdef Expectation* expectation = shard.expectations
    while expectation is not NULL:
        expectation.fulfilled = True
        expectation = expectation.following


cdef void expect(ByteShard* shard, Expectation* expectation, uint64_t mixed) noexcept nogil:
    """From now on, until forget_expectation, it is noted when a key with this hash comes."""
    expectation.mixed = mixed
    expectation.fulfilled = False
    expectation.following = shard.expectations
    shard.expectations = expectation


cdef void forget_expectation(ByteShard* shard, Expectation* expectation) noexcept nogil:
    cdef Expectation** at = &shard.expectations
    while at[0] is not expectation:
        at = &at[0].following
    at[0] = expectation.following


cdef void undo_draft(ByteShard* shard, uint32_t ref, Draft* draft) noexcept nogil:
    """Free a record that is in no table; a large one's memory is the draft's again."""
    cdef Record* record = record_at(shard, ref)
    count_record(shard, record, -1)
    if record.head & IS_LARGE:
        draft.large = bytes_of(record)
    block_give(&shard.heap, ref, granules_of(record), slack_of(record), &shard.rubbish)


# -- deadlines ---------------------------------------------------------------------------------------------------------

cdef int set_deadline(Spot* spot, int64_t deadline) noexcept nogil:
    """Give the record found a deadline, or none with 0. NO_ROOM: it is as it was."""
    count_change(&spot.shard.changes)
    if spot.record.head & HAS_DEADLINE:
        count_deadline(spot.shard, spot.record, -1)
        write_count(deadline_at(spot.record), deadline)
        count_deadline(spot.shard, spot.record, 1)
        return STORED
    if deadline == 0:
        return STORED
    return put_again(spot, deadline)


cdef int put_again(Spot* spot, int64_t deadline) noexcept nogil:
    """Put a copy of the record found in its place, with a deadline; it is not large, since large ones have room for
    one."""
    cdef ByteShard* shard = spot.shard
    cdef uint32_t former = spot.ref
    cdef Draft draft
    cdef int answer
    # So that it is not evicted to make room for its own copy.
    if not keep_record(shard, spot.record):
        return NO_ROOM
    draft.key = key_span(spot.record)
    draft.value = value_span(spot.record)
    draft.large = NULL
    answer = put_new_record(spot, &draft, deadline)
    release_record(shard, former)
    return answer
