# The service as a whole: a store, listeners, loops, and what they share.

cdef void measure_ticks(Server* server) noexcept nogil:
    """How long a tick of the processor's counter is: from two looks at it, a millisecond apart."""
    cdef int64_t begin = steady_ns(), end
    cdef uint64_t first = ticks()
    while True:
        end = steady_ns()
        if end - begin > 1000000:
            break
    server.ns_per_tick = <double>(end - begin) / <double>(ticks() - first)


cdef Server* server_new(ByteStore* store, uint32_t threads) noexcept nogil:
    """With a reference to the store. NULL: no memory, or no descriptors."""
    cdef Server* server = <Server*>calloc(1, sizeof(Server))
    cdef uint32_t i
    if server is NULL:
        return NULL
    server.store = store
    store_share(store)
    server.accepting = 1
    server.calls_end = &server.calls
    pthread_mutex_init(&server.calls_guard, NULL)
    pthread_cond_init(&server.calls_there, NULL)
    pthread_mutex_init(&server.slow_guard, NULL)
    measure_ticks(server)
    server.loops = <Loop*>calloc(threads, sizeof(Loop))
    if server.loops is not NULL:
        for i in range(threads):
            server.threads = i + 1
            if not loop_open(&server.loops[i], server, i):
                server_free(server)
                return NULL
        return server
    server_free(server)
    return NULL


cdef void server_free(Server* server) noexcept nogil:
    cdef Settings* settings
    cdef Listener* listener
    cdef Handed* handed
    cdef uint64_t i
    while server.calls is not NULL:
        handed = server.calls
        server.calls = handed.following
        client_free(handed.client)
        free(handed)
    for i in range(server.threads):
        loop_close(&server.loops[i])
    free(server.loops)
    while server.settings is not NULL:
        settings = server.settings
        server.settings = settings.former
        free(settings)
    while server.listeners is not NULL:
        listener = server.listeners
        server.listeners = listener.following
        free(listener)
    slow_room(server, 0)
    pthread_mutex_destroy(&server.calls_guard)
    pthread_cond_destroy(&server.calls_there)
    pthread_mutex_destroy(&server.slow_guard)
    store_release(server.store)
    free(server)


cdef bint listen_on(Server* server, int fd) noexcept nogil:
    """Every loop watches the socket; one is woken for a connection. False: no memory, or the system refuses."""
    cdef Listener* listener = <Listener*>calloc(1, sizeof(Listener))
    cdef epoll_event event
    cdef uint32_t i
    if listener is NULL:
        return False
    listener.source.kind = LISTENER
    listener.source.fd = fd
    listener.following = server.listeners
    server.listeners = listener
    event.events = EPOLLIN | EPOLLEXCLUSIVE
    event.data.ptr = listener
    for i in range(server.threads):
        if epoll_ctl(server.loops[i].epoll, EPOLL_CTL_ADD, fd, &event) != 0:
            return False
    return True


cdef void stop_listening(Server* server) noexcept nogil:
    cdef Listener* listener = server.listeners
    cdef epoll_event event
    cdef uint32_t i
    note_flag(&server.accepting, 0)
    while listener is not NULL:
        for i in range(server.threads):
            epoll_ctl(server.loops[i].epoll, EPOLL_CTL_DEL, listener.source.fd, &event)
        listener = listener.following


cdef void server_stop(Server* server) noexcept nogil:
    cdef uint32_t i
    note_flag(&server.stopping, 1)
    pthread_mutex_lock(&server.calls_guard)
    pthread_cond_broadcast(&server.calls_there)
    pthread_mutex_unlock(&server.calls_guard)
    for i in range(server.threads):
        wake(&server.loops[i])


cdef bint kill_client(Server* server, uint64_t id) noexcept nogil:
    """False: there is none with this id."""
    cdef Client* client
    cdef Loop* loop
    cdef Message* message
    cdef uint32_t i
    cdef bint found = False
    for i in range(server.threads):
        loop = &server.loops[i]
        pthread_mutex_lock(&loop.guard)
        client = loop.clients
        while client is not NULL and not found:
            if client.id == id:
                note_flag(&client.killed, 1)
                found = True
            client = client.following
        pthread_mutex_unlock(&loop.guard)
        if found:
            message = new_message(LOOK)
            if message is not NULL:
                post(loop, message)
            return True
    return False
