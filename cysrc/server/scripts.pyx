# EVALSHA of the three scripts of redis-py's Lock, which are conditional writes of one key: they are known by their
# SHA-1 and done natively; for EVAL Python finds the SHA-1. There is no Lua here: every other script is refused.
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

# In hexadecimal; from shardmap/service/commands/script.py.
cdef char script_names[3][41]


cdef int script_of(Span name) noexcept nogil:
    cdef int i
    for i in range(SCRIPTS):
        if name.size == 40 and script_names[i][0] and strncasecmp(name.data, script_names[i], 40) == 0:
            return i
    return -1


cdef int run_on_lock(ByteStore* store, int script, Span key, Span token, int64_t duration, bint adds) noexcept nogil:
    """1: it has been done; 0: the lock is not the caller's; a failure of a write. Nothing is locked."""
    cdef Spot spot
    cdef int answer
    spot_for(&spot, store, key)
    lock_spot(&spot)
    if find_record(&spot) and is_value(spot.record, &token):
        answer = change_lock(&spot, script, duration, adds)
    else:
        answer = 0
    unlock_spot(&spot)
    return answer


cdef int change_lock(Spot* spot, int script, int64_t duration, bint adds) noexcept nogil:
    """Locked, and the lock is the caller's."""
    cdef int64_t now = boot_ms(), deadline = deadline_of(spot.record)
    if script == EXTEND_LOCK and deadline == 0:
        return 0
    if script == EXTEND_LOCK and adds:
        duration += deadline - now
    if script == RELEASE_LOCK or duration <= 0:
        remove_record(spot)
        return 1
    return 1 if set_deadline(spot, now + duration) == STORED else IS_FULL


cdef inline uint32_t script_arguments(int script) noexcept nogil:
    """Of EVALSHA at least, with the name, the script, and the number of keys."""
    return 5 if script == RELEASE_LOCK else 7 if script == EXTEND_LOCK else 6


cdef void run_evalsha(Loop* loop, Request* request) noexcept nogil:
    cdef int script = script_of(request.arguments[1])
    cdef int64_t keys, duration = 0
    cdef int answer
    if script < 0:
        fail(loop, b"NOSCRIPT No matching script. Please use EVAL.")
        return
    if not as_integer(loop, request.arguments[2], &keys):
        return
    if keys != 1 or request.n < script_arguments(script):
        fail(loop, b"ERR wrong number of keys or arguments for this script")
        return
    if script != RELEASE_LOCK and not as_integer(loop, request.arguments[5], &duration):
        return
    if not -MOST_DURATION <= duration <= MOST_DURATION:
        fail_expire(loop, request)
        return
    answer = run_on_lock(loop.store, script, request.arguments[3], request.arguments[4], duration,
                         script == EXTEND_LOCK and is_word(request.arguments[6], b"0"))
    if answer < 0:
        fail_write(loop, answer)
    else:
        put_integer(&loop.out, answer)
