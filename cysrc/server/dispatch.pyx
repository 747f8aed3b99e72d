# From a command that has been read to its reply: may it run now, with which locks, how long did it take.

cdef inline bint is_right_arity(Request* request) noexcept nogil:
    cdef int arity = request.command.arity
    return <int>request.n == arity if arity > 0 else <int>request.n >= -arity


cdef size_t UNKNOWN_TEXT = 128          # bytes of an unknown command's arguments that are repeated


cdef void fail_unknown(Loop* loop, Request* request) noexcept nogil:
    """As Redis words it: the name, and the beginning of the arguments."""
    cdef char text[512]
    cdef Span name = request.arguments[0]
    cdef size_t room = sizeof(text), at, first
    cdef uint32_t i
    if is_word(name, b"post") or is_word(name, b"host:"):
        # A browser that was told to speak to us, by a page that hopes to be understood.
        set_state(loop.client, CLOSING)
        return
    at = snprintf(text, room, b"ERR unknown command '%.*s', with args beginning with: ",
                  <int>min(name.size, <size_t>128), name.data)
    first = at
    for i in range(1, request.n):
        if at - first >= UNKNOWN_TEXT:
            break
        at += snprintf(text + at, room - at, b"'%.*s' ",
                       <int>min(request.arguments[i].size, UNKNOWN_TEXT - (at - first)), request.arguments[i].data)
    fail_with(loop, text, min(at, room - 1))


cdef bint is_refused_now(Loop* loop, Request* request) noexcept nogil:
    """Tell the client why the command does not run; False: it may."""
    cdef Client* client = loop.client
    cdef Command* command = request.command
    if command is NULL:
        fail_unknown(loop, request)
    elif not is_right_arity(request):
        if command.run is run_exec:
            fail(loop, b"EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command")
            forget_transaction(client)
        else:
            fail_arity(loop, command.name)
    elif not client.state & AUTHENTICATED and not command.flags & WITHOUT_AUTH:
        fail(loop, b"NOAUTH Authentication required.")
    elif not command.flags & WHILE_LOADING and seen_flag(&loop.server.loading):
        fail(loop, b"LOADING shardmap is loading the dataset in memory")
    elif client.state & IN_MULTI and command.flags & BLOCKED_IN_MULTI:
        fail(loop, NOT_IN_TRANSACTION)
    else:
        return False
    if client.state & IN_MULTI:
        set_state(client, SPOILED)
    if command is not NULL:
        bump(&loop.counts[command.index].rejected, 1)
    return True


cdef inline void run_command(Loop* loop, Request* request) noexcept nogil:
    """With the locks that several keys need; those of one key are its handler's."""
    cdef Command* command = request.command
    cdef bint takes_locks
    if likely(not command.flags & HAS_KEYS):
        if loop.holds and command.first_key:
            spot_for(&request.spot, loop.store, request.arguments[command.first_key])
        command.run(loop, request)
        return
    if not spots_for_keys(loop, request):
        fail(loop, NO_MEMORY_LEFT)
        return
    # MSET and MSETNX rely on the locks for a single key, too.
    takes_locks = (not loop.holds and command.run is not run_watch
                   and (key_count(request) > 1 or command.step > 1))
    if takes_locks:
        want_spots(loop, key_count(request))
        hold_shards(loop)
    command.run(loop, request)
    if takes_locks:
        let_go_of_shards(loop)


cdef inline uint32_t time_bucket(uint64_t nanoseconds) noexcept nogil:
    """Of bounds that double, from 250 ns on."""
    cdef uint64_t quarters = nanoseconds // 250
    return min(<uint32_t>(64 - count_leading_zeros_64(quarters)) if quarters else <uint32_t>0,
               <uint32_t>TIME_BUCKETS - 1)


cdef inline void count_run(Loop* loop, Request* request, uint64_t taken) noexcept nogil:
    cdef CommandCount* count = &loop.counts[request.command.index]
    cdef int64_t threshold = loop.settings.slow_log_threshold
    cdef uint64_t nanoseconds = <uint64_t>(taken * loop.server.ns_per_tick)
    bump(&count.calls, 1)
    bump(&count.ticks, taken)
    bump(&count.times[time_bucket(nanoseconds)], 1)
    if unlikely(loop.failed):
        bump(&count.failed, 1)
    if unlikely(threshold >= 0 and nanoseconds >= <uint64_t>threshold * 1000):
        note_slow(loop, request, nanoseconds // 1000)


cdef void run_counted(Loop* loop, Request* request) noexcept nogil:
    cdef uint64_t begin = ticks()
    loop.failed = False
    run_command(loop, request)
    # What Python answers is counted when its answer has come.
    if likely(not loop.client.state & WAITING):
        count_run(loop, request, ticks() - begin)


cdef inline void execute(Loop* loop, Request* request) noexcept nogil:
    cdef Client* client = loop.client
    note_pointer(&client.last_command, request.command)
    if unlikely(is_refused_now(loop, request)):
        return
    if unlikely(client.state & IN_MULTI) and not request.command.flags & AT_ONCE:
        queue_request(loop, request)
        return
    run_counted(loop, request)
