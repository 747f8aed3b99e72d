# Whole operations on a store: what takes several steps, or several attempts. Nothing is locked before or after.

cdef enum:
    # Conditions of a write.
    ALWAYS = 0
    IF_ABSENT = 1
    IF_PRESENT = 2
    IF_EQUAL = 3                        # to the expected value
    # Answers.
    DONE = 1
    NOT_DONE = 0                        # the condition does not hold
    IS_FULL = -1                        # the budget is spent, and nothing more may be evicted
    TOO_LARGE = -2                      # for the budget, however empty
    NOT_A_NUMBER = -3
    OUT_OF_RANGE = -4
    # Regions of other shards, or large records, evicted for one write before it gives up.
    MOST_EVICTIONS_ELSEWHERE = 64

cdef struct Write:
    Draft draft
    Span expected                       # for IF_EQUAL
    int condition
    # What was there, for those who ask: a record that is kept until release_former.
    bint wants_former
    ByteShard* shard
    uint32_t former                     # its reference; 0: none
    Record* former_record


cdef inline bint holds(Write* write, Spot* spot) noexcept nogil:
    if write.condition == ALWAYS:
        return True
    if write.condition == IF_ABSENT:
        return spot.record is NULL
    if spot.record is NULL:
        return False
    return write.condition == IF_PRESENT or is_value(spot.record, &write.expected)


cdef inline bint is_value(Record* record, Span* expected) noexcept nogil:
    return record.value_size == expected.size and same_bytes(value_span(record).data, expected.data, expected.size)


cdef inline void keep_former(Write* write, Spot* spot) noexcept nogil:
    if spot.record is not NULL and keep_record(spot.shard, spot.record):
        write.shard = spot.shard
        write.former = spot.ref
        write.former_record = spot.record


cdef inline int write_locked(Write* write, Spot* spot) noexcept nogil:
    """The key's shard is locked. DONE, NOT_DONE or IS_FULL."""
    find_record(spot)
    if unlikely(write.wants_former):
        keep_former(write, spot)
    if unlikely(not holds(write, spot)):
        return NOT_DONE
    return DONE if likely(put_record(spot, &write.draft) == STORED) else IS_FULL


cdef inline int attempt_write(Write* write, Spot* spot) noexcept nogil:
    cdef int answer
    lock_spot(spot)
    answer = write_locked(write, spot)
    unlock_spot(spot)
    if answer == IS_FULL:
        release_former(write)
    return answer


cdef inline void release_former(Write* write) noexcept nogil:
    if unlikely(write.former):
        lock_bytes(&write.shard.base.lock)
        release_record(write.shard, write.former)
        unlock_byte_shard(write.shard)
        write.former = 0


cdef inline int write_record(Write* write, ByteStore* store) noexcept nogil:
    """DONE, NOT_DONE, IS_FULL or TOO_LARGE."""
    cdef Spot spot
    spot_for(&spot, store, write.draft.key)
    return write_at(write, &spot)


cdef inline int write_at(Write* write, Spot* spot) noexcept nogil:
    """The same for a key that has been hashed."""
    cdef int answer
    if likely(not draft_is_large(spot.shard.store, &write.draft)):
        answer = attempt_write(write, spot)
        if likely(answer != IS_FULL):
            return answer
    elif write.condition != ALWAYS and is_refused(write, spot):
        return NOT_DONE
    return write_with_effort(write, spot)


cdef bint is_refused(Write* write, Spot* spot) noexcept nogil:
    """Does the condition not hold now? Then nothing has to go to make room for the draft."""
    cdef bint refused
    lock_spot(spot)
    find_record(spot)
    refused = not holds(write, spot)
    if refused and write.wants_former:
        keep_former(write, spot)
    unlock_spot(spot)
    return refused


cdef int write_with_effort(Write* write, Spot* spot) noexcept nogil:
    """For a large record, or when the key's shard has no room."""
    cdef ByteStore* store = spot.shard.store
    cdef int answer = IS_FULL
    cdef uint64_t _eviction
    if not could_ever_fit(store, &write.draft):
        return TOO_LARGE
    # Each frees as much as the smallest large record has at least.
    for _eviction in range(MOST_EVICTIONS_ELSEWHERE + 2 * draft_content(&write.draft) // LEAST_LARGE):
        if not draft_is_large(store, &write.draft) or write.draft.large is not NULL or draft_large(store, &write.draft):
            answer = attempt_write(write, spot)
            if answer != IS_FULL:
                break
        if not evict_elsewhere(store):
            break
    draft_forget(store, &write.draft)
    return answer


cdef bint could_ever_fit(ByteStore* store, Draft* draft) noexcept nogil:
    """Is the entry smaller than the bound, without what an empty store takes?"""
    cdef uint64_t limit = read_number(&store.budget.limit)
    cdef uint64_t needed = store_bytes(store.shards) + 2 * CHUNK + large_bytes(draft_content(draft))
    return limit == 0 or needed + limit // TABLE_SHARE <= limit


# -- counting ----------------------------------------------------------------------------------------------------------

cdef enum:
    MOST_DIGITS = 20                    # of a signed 64-bit number, with its sign


cdef bint parse_number(Span text, int64_t* number) noexcept nogil:
    """A decimal integer as Redis takes it: no spaces, no plus sign, no leading zeros."""
    cdef bint negative = text.size > 0 and text.data[0] == b"-"
    cdef size_t i = 1 if negative else 0
    cdef uint64_t limit = (<uint64_t>1 << 63) - (0 if negative else 1)
    cdef uint64_t total = 0, digit
    if text.size == i or text.size > MOST_DIGITS or (text.data[i] == b"0" and text.size > 1):
        return False
    while i < text.size:
        digit = <uint64_t><uint8_t>text.data[i] - 48
        if digit > 9 or total > (limit - digit) // 10:
            return False
        total = total * 10 + digit
        i += 1
    number[0] = <int64_t>(0 - total if negative else total)
    return True


cdef Span format_number(int64_t number, char* buffer) noexcept nogil:
    """In the last places of a buffer of MOST_DIGITS."""
    cdef uint64_t rest = 0 - <uint64_t>number if number < 0 else <uint64_t>number
    cdef Span text
    cdef int at = MOST_DIGITS
    while True:
        at -= 1
        buffer[at] = <char>(48 + rest % 10)
        rest //= 10
        if rest == 0:
            break
    if number < 0:
        at -= 1
        buffer[at] = b"-"
    text.data = buffer + at
    text.size = MOST_DIGITS - at
    return text


cdef inline bint add_overflows(int64_t a, int64_t b) noexcept nogil:
    return b > 0 and a > INT64_MAX - b or b < 0 and a < INT64_MIN - b


cdef int add_to_record(Spot* spot, int64_t delta, int64_t* total) noexcept nogil:
    """DONE, IS_FULL, NOT_A_NUMBER or OUT_OF_RANGE. A time to live goes on."""
    cdef char buffer[MOST_DIGITS]
    cdef Draft draft
    total[0] = 0
    if spot.record is not NULL and not parse_number(value_span(spot.record), total):
        return NOT_A_NUMBER
    if add_overflows(total[0], delta):
        return OUT_OF_RANGE
    total[0] += delta
    draft.key = spot.key
    draft.value = format_number(total[0], buffer)
    draft.deadline = KEEP_DEADLINE
    draft.large = NULL
    return DONE if likely(put_record(spot, &draft) == STORED) else IS_FULL


cdef int store_add(ByteStore* store, Span key, int64_t delta, int64_t* total) noexcept nogil:
    """Add to the number that the key has, which is 0 if it is absent. The key is not so long that the record is large:
    MOST_KEY_TO_ADD."""
    cdef Spot spot
    cdef int answer, _eviction
    for _eviction in range(MOST_EVICTIONS_ELSEWHERE):
        spot_for(&spot, store, key)
        lock_spot(&spot)
        find_record(&spot)
        answer = add_to_record(&spot, delta, total)
        unlock_spot(&spot)
        if likely(answer != IS_FULL) or not evict_elsewhere(store):
            break
    return answer


# -- deadlines ---------------------------------------------------------------------------------------------------------

cdef int store_deadline(ByteStore* store, Span key, int64_t deadline, int64_t* former) noexcept nogil:
    """Give a present key a deadline, or with 0 none; the one that it had is in `former`. DONE, NOT_DONE if it is
    absent, or IS_FULL."""
    cdef Spot spot
    cdef int answer = NOT_DONE, _eviction
    spot_for(&spot, store, key)
    for _eviction in range(MOST_EVICTIONS_ELSEWHERE):
        lock_spot(&spot)
        if find_record(&spot):
            former[0] = deadline_of(spot.record)
            answer = DONE if set_deadline(&spot, deadline) == STORED else IS_FULL
        else:
            answer = NOT_DONE
        unlock_spot(&spot)
        if likely(answer != IS_FULL) or not evict_elsewhere(store):
            break
    return answer


# -- room --------------------------------------------------------------------------------------------------------------

cdef int reserve_in_shard(ByteShard* shard, uint64_t entries) noexcept nogil:
    """A table for so many entries; their own memory is not taken. -1: no memory, and nothing is lost."""
    cdef uint32_t buckets = buckets_for(entries, shard.base.load)
    cdef int answer = 0
    lock_bytes(&shard.base.lock)
    # A move that is under way first. Looked at anew each time: others may have come meanwhile.
    while answer == 0 and shard.base.old != 0:
        answer = advance_and_breathe(shard)
    if answer == 0 and is_unused(&shard.base):
        answer = 0 if make_table(&shard.base, buckets) else -1
    elif answer == 0 and buckets > buckets_of(shard.base.table):
        answer = begin_resize(&shard.base, buckets)
    unlock_byte_shard(shard)
    return answer


cdef int shrink_byte_shard(ByteShard* shard) noexcept nogil:
    """A table that fits what there is: moved a step at a time, each of which lets others in. -1: no memory."""
    cdef uint32_t buckets
    cdef int answer = 0
    lock_bytes(&shard.base.lock)
    while answer == 0 and shard.base.old != 0:
        answer = advance_and_breathe(shard)
    if answer == 0 and not is_unused(&shard.base):
        buckets = buckets_for(shard.base.entries.n_used, shard.base.load)
        if buckets < buckets_of(shard.base.table):
            answer = begin_resize(&shard.base, buckets)
        while answer == 0 and shard.base.old != 0:
            answer = advance_and_breathe(shard)
    drop_free_regions(&shard.heap, &shard.rubbish)
    unlock_byte_shard(shard)
    return answer


cdef enum:
    # Old buckets moved before other threads are let in.
    MOVES = 16


cdef int advance_and_breathe(ByteShard* shard) noexcept nogil:
    """Locked, and again on return; meanwhile others may have come, and have finished the move."""
    cdef int _move
    for _move in range(MOVES):
        if shard.base.old != 0 and advance(&shard.base) < 0:
            return -1
    unlock_byte_shard(shard)
    # Who waits sleeps by now, and would find the lock taken again.
    breathe()
    lock_bytes(&shard.base.lock)
    return 0
