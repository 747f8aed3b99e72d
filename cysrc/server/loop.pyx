# The loop of one thread: waits for events, serves clients by turns, takes in what other threads have for it.
#
# Listening sockets are watched by every loop, and one of them is woken for a connection; it gives the client to the
# loop that has fewest.

cdef enum:
    # ms between looks at what has no events: half-sent commands, idle clients, the order to stop.
    TICK = 100
    # Connections accepted in one go: clients that are there have their turn in between.
    ACCEPTS = 64


cdef bint loop_open(Loop* loop, Server* server, uint32_t index) noexcept nogil:
    """False: the system has no descriptors or no memory; loop_close then."""
    cdef epoll_event event
    loop.server = server
    loop.store = server.store
    loop.index = index
    loop.random = ticks() + index
    loop.epoll = epoll_create1(EPOLL_CLOEXEC)
    loop.wake.kind = WAKE
    loop.wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
    loop.inbox_end = &loop.inbox
    loop.held = <uint64_t*>calloc(held_words(server.store), sizeof(uint64_t))
    loop.input = <char*>malloc(INPUT_ROOM)
    loop.counts = <CommandCount*>calloc(MOST_COMMANDS, sizeof(CommandCount))
    pthread_mutex_init(&loop.guard, NULL)
    pthread_mutex_init(&loop.inbox_guard, NULL)
    if (loop.epoll < 0 or loop.wake.fd < 0 or loop.held is NULL or loop.input is NULL or loop.counts is NULL):
        return False
    event.events = EPOLLIN
    event.data.ptr = loop
    return epoll_ctl(loop.epoll, EPOLL_CTL_ADD, loop.wake.fd, &event) == 0


cdef void loop_close(Loop* loop) noexcept nogil:
    """Its thread has ended, and nobody waits for Python any more."""
    cdef Message* message
    while loop.inbox is not NULL:
        message = loop.inbox
        loop.inbox = message.following
        if message.kind == NEW_CLIENT:
            close(message.client.source.fd)
            client_free(message.client)
        elif message.kind == REPLY:
            client_free(message.handed.client)
            free(message.handed)
        buffer_free(&message.reply)
        free(message)
    if loop.epoll >= 0:
        close(loop.epoll)
    if loop.wake.fd >= 0:
        close(loop.wake.fd)
    free(loop.held)
    free(loop.input)
    free(loop.counts)
    free(loop.arguments)
    free(loop.spots)
    free(loop.parse.pieces)
    buffer_free(&loop.out)
    buffer_free(&loop.scratch)
    pthread_mutex_destroy(&loop.guard)
    pthread_mutex_destroy(&loop.inbox_guard)


# -- new connections ---------------------------------------------------------------------------------------------------

cdef Loop* least_busy(Server* server) noexcept nogil:
    cdef Loop* best = &server.loops[0]
    cdef uint32_t i
    for i in range(1, server.threads):
        if seen(&server.loops[i].n_clients) < seen(&best.n_clients):
            best = &server.loops[i]
    return best


cdef void refuse(Server* server, int fd) noexcept nogil:
    send(fd, b"-ERR max number of clients reached\r\n", 36, MSG_NOSIGNAL)
    close(fd)
    add_atomically(&server.rejected, 1)


cdef void welcome(Loop* loop, int fd, sockaddr_storage* address, socklen_t size) noexcept nogil:
    cdef Server* server = loop.server
    cdef Client* client
    cdef Loop* target
    cdef Message* message
    cdef int one = 1
    if add_atomically(&server.n_clients, 1) > <int64_t>loop.settings.max_clients:
        add_atomically(&server.n_clients, -1)
        refuse(server, fd)
        return
    client = client_new(fd, address, size)
    if client is NULL:
        add_atomically(&server.n_clients, -1)
        refuse(server, fd)
        return
    if address.ss_family != AF_UNIX:
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one))
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one))
    client.id = add_atomically(&server.next_client, 1)
    add_atomically(&server.received, 1)
    target = least_busy(server)
    message = new_message(NEW_CLIENT) if target is not loop else NULL
    if message is NULL:
        client_join(loop, client)
    else:
        message.client = client
        post(target, message)


cdef void accept_some(Loop* loop, Listener* listener) noexcept nogil:
    cdef sockaddr_storage address
    cdef socklen_t size
    cdef int fd, _accept
    take_settings(loop)
    for _accept in range(ACCEPTS):
        if not seen_flag(&loop.server.accepting):
            return
        size = sizeof(address)
        memset(&address, 0, sizeof(address))
        fd = accept4(listener.source.fd, <sockaddr*>&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if fd < 0:
            if last_error() in (EMFILE, ENFILE, ENOBUFS):
                # The connection stays in the queue: to ask again at once would only keep the processor busy.
                add_atomically(&loop.server.rejected, 1)
                breathe()
            return
        welcome(loop, fd, &address, size)


# -- messages ----------------------------------------------------------------------------------------------------------

cdef void read_inbox(Loop* loop) noexcept nogil:
    cdef uint64_t count
    cdef Message* message
    cdef Message* following
    read(loop.wake.fd, &count, sizeof(count))
    pthread_mutex_lock(&loop.inbox_guard)
    message = loop.inbox
    loop.inbox = NULL
    loop.inbox_end = &loop.inbox
    pthread_mutex_unlock(&loop.inbox_guard)
    take_settings(loop)
    while message is not NULL:
        following = message.following
        if message.kind == NEW_CLIENT:
            client_join(loop, message.client)
        elif message.kind == REPLY:
            deliver_reply(loop, message.handed, &message.reply, message.failed)
            free(message.handed)
        else:
            close_killed(loop)
        free(message)
        message = following


cdef void close_killed(Loop* loop) noexcept nogil:
    cdef Client* client = loop.clients
    cdef Client* following
    while client is not NULL:
        following = client.following
        if seen_flag(&client.killed):
            client_close(client)
        client = following


# -- time --------------------------------------------------------------------------------------------------------------

cdef inline bint is_over(uint64_t since, int64_t milliseconds, uint64_t now) noexcept nogil:
    return milliseconds != 0 and since != 0 and now > since + <uint64_t>milliseconds * 1000000


cdef bint has_timed_out(Client* client, Settings* settings, uint64_t now) noexcept nogil:
    if client.state & WAITING:
        return False
    if is_over(client.request_since, settings.request_timeout, now):
        return True
    if not client.state & AUTHENTICATED and is_over(client.since, settings.request_timeout, now):
        return True
    return is_over(client.active, settings.idle_timeout, now)


cdef void close_timed_out(Loop* loop) noexcept nogil:
    cdef Client* client = loop.clients
    cdef Client* following
    cdef uint64_t now = steady_ns()
    take_settings(loop)
    while client is not NULL:
        following = client.following
        if has_timed_out(client, loop.settings, now):
            bump(&loop.timeouts, 1)
            client_close(client)
        client = following


# -- running -----------------------------------------------------------------------------------------------------------

cdef void serve_event(Loop* loop, epoll_event* event, Heard* heard) noexcept nogil:
    cdef Source* source = <Source*>event.data.ptr
    if likely(source.kind == CLIENT):
        serve_client(loop, <Client*>source, event.events, heard)
    elif source.kind == WAKE:
        read_inbox(loop)
    else:
        accept_some(loop, <Listener*>source)


cdef int serve_group(Loop* loop, epoll_event* events, int n) noexcept nogil:
    """Turns for the first of those with events; returns for how many."""
    cdef Heard heard[GROUP]
    cdef int i, group = hear_group(loop, events, n, heard)
    for i in range(group):
        serve_event(loop, &events[i], &heard[i])
    return group


cdef void loop_run(Loop* loop) noexcept nogil:
    """Until the server is told to stop."""
    cdef epoll_event events[EVENTS]
    cdef uint64_t looked = steady_ns()
    cdef int at, n
    take_settings(loop)
    while not seen_flag(&loop.server.stopping):
        n = epoll_wait(loop.epoll, events, EVENTS, TICK)
        loop.now = steady_ns()
        at = 0
        while at < n:
            at += serve_group(loop, &events[at], n - at)
        # Clients that sleep are looked at a few times a second, however busy the others are.
        if loop.now - looked > <uint64_t>TICK * 1000000:
            looked = loop.now
            close_timed_out(loop)
        free_the_dead(loop)
    loop_end(loop)


cdef void loop_end(Loop* loop) noexcept nogil:
    """What clients have sent until now is answered; then they are closed."""
    cdef Client* client
    cdef Client* following
    read_inbox(loop)
    client = loop.clients
    while client is not NULL:
        following = client.following
        if may_proceed(client):
            serve_unheard(loop, client, EPOLLIN)
        client = following
    while loop.clients is not NULL:
        close_politely(loop.clients)
    free_the_dead(loop)
