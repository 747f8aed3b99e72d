# Times to live: EXPIRE, TTL, PERSIST and their kin.

cdef enum:
    # When a deadline may be changed.
    ANYHOW = 0
    IF_NONE = 1                         # NX
    IF_ANY = 2                          # XX
    IF_LATER = 4                        # GT; none is later than any
    IF_EARLIER = 8                      # LT


cdef inline bint may_change(int64_t former, int64_t deadline, uint32_t condition) noexcept nogil:
    if condition & IF_NONE and former != 0:
        return False
    if condition & IF_ANY and former == 0:
        return False
    if condition & IF_LATER and (former == 0 or deadline <= former):
        return False
    return not (condition & IF_EARLIER and former != 0 and deadline >= former)


cdef int set_deadline_if(Loop* loop, Spot* spot, int64_t deadline, uint32_t condition, int64_t* former) noexcept nogil:
    """DONE; NOT_DONE: the key is absent, or the condition does not hold; IS_FULL. A deadline that is past removes."""
    cdef int answer, _eviction
    for _eviction in range(MOST_EVICTIONS_ELSEWHERE):
        answer = NOT_DONE
        enter_spot(loop, spot)
        if find_record(spot):
            former[0] = deadline_of(spot.record)
            if may_change(former[0], deadline, condition):
                answer = DONE
                if deadline != 0 and deadline <= boot_ms():
                    remove_record(spot)
                elif set_deadline(spot, deadline) != STORED:
                    answer = IS_FULL
        leave_spot(loop, spot)
        if likely(answer != IS_FULL) or not evict_anywhere(loop):
            break
    return answer


cdef bint deadline_condition(Loop* loop, Request* request, uint32_t* condition) noexcept nogil:
    cdef uint32_t i
    condition[0] = ANYHOW
    for i in range(3, request.n):
        if is_word(request.arguments[i], b"nx"):
            condition[0] |= IF_NONE
        elif is_word(request.arguments[i], b"xx"):
            condition[0] |= IF_ANY
        elif is_word(request.arguments[i], b"gt"):
            condition[0] |= IF_LATER
        elif is_word(request.arguments[i], b"lt"):
            condition[0] |= IF_EARLIER
        else:
            fail_about(loop, b"ERR Unsupported option %.*s", request.arguments[i])
            return False
    if condition[0] & IF_NONE and condition[0] != IF_NONE:
        fail(loop, b"ERR NX and XX, GT or LT options at the same time are not compatible")
        return False
    if condition[0] & IF_LATER and condition[0] & IF_EARLIER:
        fail(loop, b"ERR GT and LT options at the same time are not compatible")
        return False
    return True


cdef void expire(Loop* loop, Request* request, uint32_t unit) noexcept nogil:
    cdef uint32_t condition
    cdef int64_t number, deadline, former
    cdef int answer
    if not (deadline_condition(loop, request, &condition) and as_integer(loop, request.arguments[2], &number)):
        return
    if not as_deadline_at(number, unit, &deadline):
        fail_expire(loop, request)
        return
    answer = set_deadline_if(loop, &request.spot, deadline, condition, &former)
    if answer < 0:
        fail_write(loop, answer)
    else:
        put_integer(&loop.out, answer == DONE)


cdef void run_expire(Loop* loop, Request* request) noexcept nogil:
    expire(loop, request, SECONDS)


cdef void run_pexpire(Loop* loop, Request* request) noexcept nogil:
    expire(loop, request, 0)


cdef void run_expireat(Loop* loop, Request* request) noexcept nogil:
    expire(loop, request, SECONDS | ABSOLUTE)


cdef void run_pexpireat(Loop* loop, Request* request) noexcept nogil:
    expire(loop, request, ABSOLUTE)


cdef void run_persist(Loop* loop, Request* request) noexcept nogil:
    cdef int64_t former = 0
    put_integer(&loop.out, set_deadline_if(loop, &request.spot, 0, IF_ANY, &former) == DONE)


cdef void reply_deadline(Loop* loop, Request* request, uint32_t unit) noexcept nogil:
    cdef Spot* spot = &request.spot
    cdef int64_t answer = -2
    enter_spot(loop, spot)
    if find_record(spot):
        answer = deadline_of(spot.record)
        if answer == 0:
            answer = -1
        else:
            if unit & ABSOLUTE:
                answer += boot_to_unix_ms()
            else:
                answer = max(<int64_t>0, answer - boot_ms())
            if unit & SECONDS:
                # To the nearest, as Redis does it.
                answer = (answer + 500) // 1000
    leave_spot(loop, spot)
    put_integer(&loop.out, answer)


cdef void run_ttl(Loop* loop, Request* request) noexcept nogil:
    reply_deadline(loop, request, SECONDS)


cdef void run_pttl(Loop* loop, Request* request) noexcept nogil:
    reply_deadline(loop, request, 0)


cdef void run_expiretime(Loop* loop, Request* request) noexcept nogil:
    reply_deadline(loop, request, SECONDS | ABSOLUTE)


cdef void run_pexpiretime(Loop* loop, Request* request) noexcept nogil:
    reply_deadline(loop, request, ABSOLUTE)
