# EVAL and EVALSHA of the three scripts of redis-py's Lock, which are conditional writes of one key: they are known by
# their SHA-1 and done natively. There is no Lua here: every other script is refused.
#
#   release    KEYS[1] = name, ARGV[1] = token                          delete if the value is the token
#   extend     ARGV[2] = milliseconds, ARGV[3] = "0" adds, else sets    a time to live, if it is and has one
#   reacquire  ARGV[2] = milliseconds                                   a time to live, if it is

cdef int64_t MOST_DURATION = <int64_t>1 << 50     # ms: 35,000 years, and a sum of two is a number

cdef enum:
    RELEASE_LOCK = 0
    EXTEND_LOCK = 1
    REACQUIRE_LOCK = 2
    SCRIPTS = 3

# In hexadecimal; of the texts in shardmap/service/scripts.py.
cdef char script_names[3][41]


cdef int script_of(Span name) noexcept nogil:
    cdef int i
    for i in range(SCRIPTS):
        if name.size == 40 and script_names[i][0] and strncasecmp(name.data, script_names[i], 40) == 0:
            return i
    return -1


cdef int64_t run_on_lock(Loop* loop, Spot* spot, int script, Request* request, int64_t duration) noexcept nogil:
    """Locked. 1: it has been done; 0: the lock is not the caller's; a failure of a write."""
    cdef int64_t now = boot_ms(), deadline
    if not find_record(spot) or not is_value(spot.record, &request.arguments[4]):
        return 0
    if script == RELEASE_LOCK:
        remove_record(spot)
        return 1
    deadline = deadline_of(spot.record)
    if script == EXTEND_LOCK:
        if deadline == 0:
            return 0
        if is_word(request.arguments[6], b"0"):
            duration += deadline - now
    if duration <= 0:
        remove_record(spot)
        return 1
    return 1 if set_deadline(spot, now + duration) == STORED else IS_FULL


cdef void run_evalsha(Loop* loop, Request* request) noexcept nogil:
    cdef int script = script_of(request.arguments[1])
    cdef Spot* spot = &request.spot
    cdef int64_t keys, answer, duration = 0
    if script < 0:
        fail(loop, b"NOSCRIPT No matching script. Please use EVAL.")
        return
    if not as_integer(loop, request.arguments[2], &keys):
        return
    if keys != 1 or request.n != (5 if script == RELEASE_LOCK else 7 if script == EXTEND_LOCK else 6):
        fail(loop, b"ERR wrong number of keys or arguments for this script")
        return
    if script != RELEASE_LOCK and not as_integer(loop, request.arguments[5], &duration):
        return
    if not -MOST_DURATION <= duration <= MOST_DURATION:
        fail_expire(loop, request)
        return
    spot_for(spot, loop.store, request.arguments[3])
    lock_spot(spot)
    answer = run_on_lock(loop, spot, script, request, duration)
    unlock_spot(spot)
    if answer < 0:
        fail_write(loop, <int>answer)
    else:
        put_integer(&loop.out, answer)


cdef void run_eval(Loop* loop, Request* request) noexcept nogil:
    # By its text: Python knows its SHA-1 (SCRIPT LOAD).
    fail(loop, b"ERR Lua scripts are not supported; redis-py's Lock works by EVALSHA")
