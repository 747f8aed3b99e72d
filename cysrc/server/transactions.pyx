# MULTI, EXEC, DISCARD, WATCH, UNWATCH.
#
# EXEC takes the locks of the shards of all keys that its commands name, and of the watched ones, in index order, looks
# whether the watched keys are as they were, runs the commands, and gives the locks back: nobody sees a part of it.
#
# A watched key's record is kept. While it is, its memory is used for no other, and whoever changes the value has to put
# another record in its place; so the key is as it was if it has the same record with the same deadline. For a key that
# is absent the shard notes when one with its hash comes, so that it is noticed too if it has gone again.

cdef void forget_queue(Client* client) noexcept nogil:
    cdef Queued* queued
    while client.queue is not NULL:
        queued = client.queue
        client.queue = queued.following
        free(queued)
    client.queue_end = &client.queue
    client.n_queued = 0
    client.queued_bytes = 0
    clear_state(client, IN_MULTI | SPOILED)


cdef void forget_watched(Client* client) noexcept nogil:
    cdef Watched* watched
    while client.watched is not NULL:
        watched = client.watched
        client.watched = watched.following
        lock_bytes(&watched.shard.base.lock)
        if watched.record is not NULL:
            release_record(watched.shard, watched.ref)
        else:
            forget_expectation(watched.shard, &watched.expectation)
        unlock_byte_shard(watched.shard)
        free(watched)
    client.n_watched = 0
    clear_state(client, DOOMED)


cdef void forget_transaction(Client* client) noexcept nogil:
    forget_queue(client)
    forget_watched(client)


# -- WATCH -------------------------------------------------------------------------------------------------------------

cdef enum:
    # Keys of one client. Each is compared with all before it, and the shard of one that is absent looks at it for every
    # key that comes: more would hold up others.
    MOST_WATCHED = 8192


cdef bint is_watched(Client* client, Span key) noexcept nogil:
    cdef Watched* watched = client.watched
    while watched is not NULL:
        if watched.spot.key.size == key.size and same_bytes(watched.spot.key.data, key.data, key.size):
            return True
        watched = watched.following
    return False


cdef bint watch(Loop* loop, Span key) noexcept nogil:
    """False: no memory."""
    cdef Client* client = loop.client
    cdef Watched* watched = <Watched*>malloc(sizeof(Watched) + key.size)
    if watched is NULL:
        return False
    memcpy(<char*>watched + sizeof(Watched), key.data, key.size)
    key.data = <char*>watched + sizeof(Watched)
    spot_for(&watched.spot, loop.store, key)
    watched.shard = watched.spot.shard
    watched.record = NULL
    watched.deadline = 0
    lock_spot(&watched.spot)
    if find_record(&watched.spot):
        if keep_record(watched.shard, watched.spot.record):
            watched.record = watched.spot.record
            watched.ref = watched.spot.ref
            watched.deadline = deadline_of(watched.record)
        else:
            # Too many watch it: as if it had been changed, which is allowed.
            set_state(client, DOOMED)
    if watched.record is NULL:
        expect(watched.shard, &watched.expectation, watched.spot.mixed)
    unlock_spot(&watched.spot)
    watched.following = client.watched
    client.watched = watched
    client.n_watched += 1
    return True


cdef void run_watch(Loop* loop, Request* request) noexcept nogil:
    cdef uint32_t i
    if loop.client.state & IN_MULTI:
        fail(loop, b"ERR WATCH inside MULTI is not allowed")
        return
    for i in range(1, request.n):
        if is_watched(loop.client, request.arguments[i]):
            continue
        if loop.client.n_watched == MOST_WATCHED:
            fail(loop, b"ERR too many keys are watched")
            return
        if not watch(loop, request.arguments[i]):
            fail(loop, NO_MEMORY_LEFT)
            return
    put_ok(&loop.out)


cdef void run_unwatch(Loop* loop, Request* request) noexcept nogil:
    # In a transaction it is too late for it: EXEC, which holds the keys' shards, forgets them when it is through.
    if not loop.holds:
        forget_watched(loop.client)
    put_ok(&loop.out)


cdef bint is_unchanged(Watched* watched) noexcept nogil:
    """Its shard is held."""
    if not find_record(&watched.spot):
        return watched.record is NULL and not watched.expectation.fulfilled
    return watched.spot.record is watched.record and deadline_of(watched.record) == watched.deadline


cdef bint all_unchanged(Client* client) noexcept nogil:
    cdef Watched* watched = client.watched
    if client.state & DOOMED:
        return False
    while watched is not NULL:
        if not is_unchanged(watched):
            return False
        watched = watched.following
    return True


# -- MULTI -------------------------------------------------------------------------------------------------------------

cdef void run_multi(Loop* loop, Request* request) noexcept nogil:
    if loop.client.state & IN_MULTI:
        fail(loop, b"ERR MULTI calls can not be nested")
        return
    set_state(loop.client, IN_MULTI)
    put_ok(&loop.out)


cdef void run_discard(Loop* loop, Request* request) noexcept nogil:
    if not loop.client.state & IN_MULTI:
        fail(loop, b"ERR DISCARD without MULTI")
        return
    forget_transaction(loop.client)
    put_ok(&loop.out)


cdef void queue_request(Loop* loop, Request* request) noexcept nogil:
    """The command waits for EXEC, with a copy of its arguments."""
    cdef Client* client = loop.client
    cdef size_t size = sizeof(Queued) + copied_bytes(request)
    cdef Queued* queued
    if client.queued_bytes + size > loop.settings.max_query:
        # What waits for EXEC is bounded as what waits to be understood is.
        bump(&loop.query_limits, 1)
        set_state(client, CLOSING)
        return
    queued = <Queued*>malloc(size)
    if queued is NULL:
        set_state(client, SPOILED)
        fail(loop, NO_MEMORY_LEFT)
        return
    queued.following = NULL
    queued.command = request.command
    queued.n = request.n
    copy_arguments(request, queued.arguments)
    client.queue_end[0] = queued
    client.queue_end = &queued.following
    client.n_queued += 1
    client.queued_bytes += size
    put_line(&loop.out, b"+QUEUED\r\n")


# -- EXEC --------------------------------------------------------------------------------------------------------------

cdef void queued_request(Queued* queued, Request* request) noexcept nogil:
    request.command = queued.command
    request.n = queued.n
    request.arguments = queued.arguments


cdef void want_transaction(Loop* loop) noexcept nogil:
    cdef Queued* queued = loop.client.queue
    cdef Watched* watched = loop.client.watched
    cdef Request request
    while queued is not NULL:
        queued_request(queued, &request)
        want_keys(loop, &request)
        queued = queued.following
    while watched is not NULL:
        want_shard(loop, watched.spot.mixed)
        watched = watched.following


cdef void run_queued(Loop* loop) noexcept nogil:
    cdef Queued* queued = loop.client.queue
    cdef Request request
    put_array(&loop.out, loop.client.n_queued)
    while queued is not NULL:
        queued_request(queued, &request)
        run_counted(loop, &request)
        queued = queued.following


cdef void run_exec(Loop* loop, Request* request) noexcept nogil:
    cdef Client* client = loop.client
    cdef bint unchanged
    if not client.state & IN_MULTI:
        fail(loop, b"ERR EXEC without MULTI")
        return
    if client.state & SPOILED:
        fail(loop, b"EXECABORT Transaction discarded because of previous errors.")
        forget_transaction(client)
        return
    want_transaction(loop)
    hold_shards(loop)
    unchanged = all_unchanged(client)
    if unchanged:
        run_queued(loop)
    let_go_of_shards(loop)
    # What a command in it says of itself is not said of EXEC.
    loop.failed = False
    if unchanged:
        bump(&loop.transactions, 1)
    else:
        bump(&loop.transactions_aborted, 1)
        put_null_array(&loop.out, client.protocol)
    forget_transaction(client)
