# Commands that make a value from the one that is there: APPEND, SETRANGE, INCR and their kin.
#
# The new value is made in loop.scratch, from the former one, with the shard locked if that is short. A long one is kept
# and read without the lock; if the key has another record afterwards, the work was for nothing and is done again.

# What a command makes of the former value (size 0 and data NULL if the key is absent), in loop.scratch. False: it makes
# nothing, and `number` says why: a negative answer, of operations.pyx or of those below.
ctypedef bint (*Builder)(Loop* loop, Request* request, Span former, int64_t* number) noexcept nogil

cdef enum:
    OVERTAKEN = -100
    TOO_LONG_ANSWER = -101
    FLOAT_ANSWER = -102
    INFINITE_ANSWER = -103


cdef inline void scratch_clear(Loop* loop) noexcept nogil:
    if unlikely(loop.scratch.room > KEPT_OUTPUT):
        buffer_free(&loop.scratch)
    loop.scratch.start = loop.scratch.end = 0
    loop.scratch.failed = False


cdef inline Span former_of(Spot* spot) noexcept nogil:
    cdef Span none
    if spot.record is not NULL:
        return value_span(spot.record)
    none.data = NULL
    none.size = 0
    return none


cdef int put_scratch(Loop* loop, Request* request, Spot* spot) noexcept nogil:
    """Locked, the key looked up: what is in loop.scratch is its value now; its time to live goes on."""
    cdef Draft draft
    draft.key = request.arguments[1]
    draft.value.data = loop.scratch.data
    draft.value.size = buffer_size(&loop.scratch)
    draft.deadline = KEEP_DEADLINE
    draft.large = NULL
    if not could_ever_fit(loop.store, &draft):
        return TOO_LARGE
    if draft_is_large(loop.store, &draft) and not draft_large(loop.store, &draft):
        return IS_FULL
    cdef int answer = DONE if put_record(spot, &draft) == STORED else IS_FULL
    draft_forget(loop.store, &draft)
    return answer


cdef int build(Loop* loop, Request* request, Spot* spot, Builder builder, int64_t* number) noexcept nogil:
    """Locked."""
    scratch_clear(loop)
    if not builder(loop, request, former_of(spot), number):
        return <int>number[0]
    return put_scratch(loop, request, spot) if not loop.scratch.failed else IS_FULL


cdef int build_beside(Loop* loop, Request* request, Spot* spot, Builder builder, int64_t* number) noexcept nogil:
    """Locked, a long value found: build without the lock. OVERTAKEN: somebody else was faster."""
    cdef Record* record = spot.record
    cdef uint32_t ref = spot.ref
    cdef bint built
    cdef int answer
    if not keep_record(spot.shard, record):
        return build(loop, request, spot, builder, number)
    unlock_spot(spot)
    scratch_clear(loop)
    built = builder(loop, request, value_span(record), number)
    lock_spot(spot)
    if not built:
        answer = <int>number[0]
    elif not find_record(spot) or spot.record is not record:
        answer = OVERTAKEN
    else:
        answer = put_scratch(loop, request, spot) if not loop.scratch.failed else IS_FULL
    release_record(spot.shard, ref)
    return answer


cdef int modify(Loop* loop, Request* request, Builder builder, int64_t* number) noexcept nogil:
    """DONE, or why not. `number` is the builder's: each time it is as it is now."""
    cdef Spot* spot = &request.spot
    cdef int64_t given = number[0]
    cdef int answer, eviction = 0
    while True:
        number[0] = given
        enter_spot(loop, spot)
        find_record(spot)
        if not loop.holds and former_of(spot).size >= LONG_VALUE:
            answer = build_beside(loop, request, spot, builder, number)
        else:
            answer = build(loop, request, spot, builder, number)
        leave_spot(loop, spot)
        if answer == OVERTAKEN:
            continue
        eviction += 1
        if likely(answer != IS_FULL) or eviction > MOST_EVICTIONS_ELSEWHERE or not evict_anywhere(loop):
            return answer


cdef void reply_modified(Loop* loop, int answer, int64_t number) noexcept nogil:
    if likely(answer == DONE):
        put_integer(&loop.out, number)
    elif answer == TOO_LONG_ANSWER:
        fail(loop, TOO_LONG)
    elif answer == FLOAT_ANSWER:
        fail(loop, NOT_A_FLOAT)
    elif answer == INFINITE_ANSWER:
        fail(loop, b"ERR increment would produce NaN or Infinity")
    else:
        fail_write(loop, answer)


# -- counting ----------------------------------------------------------------------------------------------------------

cdef bint build_sum(Loop* loop, Request* request, Span former, int64_t* number) noexcept nogil:
    """`number`: what to add; then the sum."""
    cdef char digits[MOST_DIGITS]
    cdef int64_t total = 0
    cdef Span text
    if former.data is not NULL and not parse_number(former, &total):
        number[0] = NOT_A_NUMBER
        return False
    if add_overflows(total, number[0]):
        number[0] = OUT_OF_RANGE
        return False
    number[0] += total
    text = format_number(number[0], digits)
    buffer_append(&loop.scratch, text.data, text.size)
    return True


cdef void count_up(Loop* loop, Request* request, int64_t delta) noexcept nogil:
    cdef Spot* spot = &request.spot
    cdef int64_t total
    cdef int answer = IS_FULL
    if likely(request.arguments[1].size <= MOST_KEY_TO_ADD):
        enter_spot(loop, spot)
        find_record(spot)
        answer = add_to_record(spot, delta, &total)
        leave_spot(loop, spot)
    if unlikely(answer == IS_FULL):
        # With a key that makes a large record, or when others have to go for it.
        total = delta
        answer = modify(loop, request, build_sum, &total)
    reply_modified(loop, answer, total)


cdef void run_incr(Loop* loop, Request* request) noexcept nogil:
    count_up(loop, request, 1)


cdef void run_decr(Loop* loop, Request* request) noexcept nogil:
    count_up(loop, request, -1)


cdef void run_incrby(Loop* loop, Request* request) noexcept nogil:
    cdef int64_t delta
    if as_integer(loop, request.arguments[2], &delta):
        count_up(loop, request, delta)


cdef void run_decrby(Loop* loop, Request* request) noexcept nogil:
    cdef int64_t delta
    if not as_integer(loop, request.arguments[2], &delta):
        return
    if delta == INT64_MIN:
        fail(loop, b"ERR decrement would overflow")
    else:
        count_up(loop, request, -delta)


cdef bint build_float_sum(Loop* loop, Request* request, Span former, int64_t* number) noexcept nogil:
    # The largest has 4,933 digits before the point.
    cdef char text[5120]
    cdef long double total = 0, delta
    if former.data is not NULL and not parse_float(former, &total):
        number[0] = FLOAT_ANSWER
        return False
    parse_float(request.arguments[2], &delta)
    total += delta
    if total - total != 0:
        number[0] = INFINITE_ANSWER
        return False
    buffer_append(&loop.scratch, text, format_float(total, text, sizeof(text)))
    return True


cdef void run_incrbyfloat(Loop* loop, Request* request) noexcept nogil:
    cdef long double delta
    cdef int64_t number = 0
    cdef int answer
    if not parse_float(request.arguments[2], &delta):
        fail(loop, NOT_A_FLOAT)
        return
    answer = modify(loop, request, build_float_sum, &number)
    if answer == DONE:
        put_bulk(&loop.out, loop.scratch.data, buffer_size(&loop.scratch))
    else:
        reply_modified(loop, answer, number)


# -- parts of values ---------------------------------------------------------------------------------------------------

cdef bint build_append(Loop* loop, Request* request, Span former, int64_t* number) noexcept nogil:
    number[0] = former.size + request.arguments[2].size
    if <uint64_t>number[0] > loop.settings.max_bulk:
        number[0] = TOO_LONG_ANSWER
        return False
    if buffer_reserve(&loop.scratch, number[0]):
        buffer_append(&loop.scratch, former.data, former.size)
        buffer_append(&loop.scratch, request.arguments[2].data, request.arguments[2].size)
    return True


cdef void run_append(Loop* loop, Request* request) noexcept nogil:
    cdef int64_t number = 0
    cdef int answer = modify(loop, request, build_append, &number)
    reply_modified(loop, answer, number)


cdef bint build_range(Loop* loop, Request* request, Span former, int64_t* number) noexcept nogil:
    """SETRANGE: what is missing before the offset becomes zeros."""
    cdef Span piece = request.arguments[3]
    cdef int64_t offset = 0
    parse_number(request.arguments[2], &offset)
    if <uint64_t>offset > loop.settings.max_bulk or offset + piece.size > loop.settings.max_bulk:
        number[0] = TOO_LONG_ANSWER
        return False
    number[0] = max(<int64_t>former.size, <int64_t>(offset + piece.size))
    if not buffer_reserve(&loop.scratch, number[0]):
        return True
    buffer_append(&loop.scratch, former.data, former.size)
    if former.size < <size_t>number[0]:
        memset(loop.scratch.data + former.size, 0, number[0] - former.size)
    loop.scratch.end = number[0]
    memcpy(loop.scratch.data + offset, piece.data, piece.size)
    return True


cdef void run_setrange(Loop* loop, Request* request) noexcept nogil:
    cdef int64_t number = 0
    cdef int answer
    if not as_integer(loop, request.arguments[2], &number):
        return
    if number < 0:
        fail(loop, b"ERR offset is out of range")
        return
    if request.arguments[3].size == 0:
        run_strlen(loop, request)
        return
    answer = modify(loop, request, build_range, &number)
    reply_modified(loop, answer, number)


cdef void run_strlen(Loop* loop, Request* request) noexcept nogil:
    cdef Spot* spot = &request.spot
    cdef int64_t size = 0
    enter_spot(loop, spot)
    if find_to_read(spot):
        size = spot.record.value_size
    leave_spot(loop, spot)
    put_integer(&loop.out, size)


cdef void run_getrange(Loop* loop, Request* request) noexcept nogil:
    cdef Spot* spot = &request.spot
    cdef int64_t first, last, size
    cdef Span value
    if not (as_integer(loop, request.arguments[2], &first) and as_integer(loop, request.arguments[3], &last)):
        return
    enter_spot(loop, spot)
    if find_to_read(spot):
        value = value_span(spot.record)
        size = value.size
        if first < 0 and last < 0 and first > last:
            size = 0
        # Behind the ends is as far as there is anything.
        first = max(<int64_t>0, first + size if first < 0 else first)
        last = min(size - 1, max(<int64_t>0, last + size) if last < 0 else last)
        if first <= last and size:
            put_bulk(&loop.out, value.data + first, last - first + 1)
        else:
            put_bulk(&loop.out, b"", 0)
    else:
        put_bulk(&loop.out, b"", 0)
    leave_spot(loop, spot)
