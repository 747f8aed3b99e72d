# Connections: made, remembered, closed. Only the thread of a client's loop calls these, but for `address_text`.

cdef inline void set_state(Client* client, uint32_t bits) noexcept nogil:
    """Others may look at the state meanwhile, for CLIENT LIST; nobody else changes it."""
    note_flag(&client.state, client.state | bits)


cdef inline void clear_state(Client* client, uint32_t bits) noexcept nogil:
    note_flag(&client.state, client.state & ~bits)


cdef void address_text(sockaddr_storage* address, socklen_t size, char* text) noexcept nogil:
    """``127.0.0.1:5000``, ``[::1]:5000``, or the path of a Unix socket; in NAME_ROOM bytes."""
    cdef char host[INET6_ADDRSTRLEN]
    cdef sockaddr_un* path
    text[0] = 0
    if address.ss_family == AF_INET:
        if inet_ntop(AF_INET, &(<sockaddr_in*>address).sin_addr, host, sizeof(host)) is not NULL:
            snprintf(text, NAME_ROOM, b"%s:%d", <char*>host, <int>ntohs((<sockaddr_in*>address).sin_port))
    elif address.ss_family == AF_INET6:
        if inet_ntop(AF_INET6, &(<sockaddr_in6*>address).sin6_addr, host, sizeof(host)) is not NULL:
            snprintf(text, NAME_ROOM, b"[%s]:%d", <char*>host, <int>ntohs((<sockaddr_in6*>address).sin6_port))
    else:
        path = <sockaddr_un*>address
        # Up to 107 octets, which may have no end.
        if size > sizeof(unsigned short) and path.sun_path[0] != 0:
            snprintf(text, NAME_ROOM, b"%.*s:0", <int>min(<size_t>size - sizeof(unsigned short), <size_t>107),
                     path.sun_path)
        else:
            snprintf(text, NAME_ROOM, b"unix:0")


cdef Client* client_new(int fd, sockaddr_storage* address, socklen_t size) noexcept nogil:
    """NULL: no memory, and the connection is the caller's."""
    cdef Client* client = <Client*>calloc(1, sizeof(Client))
    cdef sockaddr_storage local
    cdef socklen_t local_size = sizeof(local)
    if client is NULL:
        return NULL
    client.source.kind = CLIENT
    client.source.fd = fd
    client.protocol = 2
    client.queue_end = &client.queue
    parse_begin(&client.parse)
    client.since = client.active = steady_ns()
    memset(&local, 0, sizeof(local))
    if getsockname(fd, <sockaddr*>&local, &local_size) == 0:
        address_text(&local, local_size, client.local_address)
    # A Unix socket's client has no address of its own: the socket's is shown.
    if address.ss_family == AF_UNIX:
        memcpy(client.address, client.local_address, NAME_ROOM)
    else:
        address_text(address, size, client.address)
    return client


# Epoll tells of a client once, when something comes (EPOLLET): to be told until nothing is left would have it look at
# each socket a second time, in vain, which is a twentieth of what a single request costs. So whoever leaves something
# unread has to ask again.
cdef enum:
    TOLD_ONCE = EPOLLET | EPOLLRDHUP | EPOLLPRI


cdef inline void client_watch_events(Client* client, uint32_t events) noexcept nogil:
    """Have epoll tell of these events from now on."""
    if unlikely(client.events != events or client.has_more):
        client_ask_for(client, events)


cdef void client_ask_for(Client* client, uint32_t events) noexcept nogil:
    """Also if they are there already, or are the same as before."""
    cdef epoll_event event
    if client.state & DEAD:
        return
    client.events = events
    client.has_more = False
    event.events = events | TOLD_ONCE
    event.data.ptr = client
    epoll_ctl(client.loop.epoll, EPOLL_CTL_MOD, client.source.fd, &event)


cdef void client_join(Loop* loop, Client* client) noexcept nogil:
    """A new client of this loop."""
    cdef epoll_event event
    client.loop = loop
    pthread_mutex_lock(&loop.guard)
    client.following = loop.clients
    if client.following is not NULL:
        client.following.former = client
    loop.clients = client
    note(&loop.n_clients, loop.n_clients + 1)
    pthread_mutex_unlock(&loop.guard)
    if loop.settings.password_size == 0:
        set_state(client, AUTHENTICATED)
    client.events = EPOLLIN
    event.events = EPOLLIN | TOLD_ONCE
    event.data.ptr = client
    if epoll_ctl(loop.epoll, EPOLL_CTL_ADD, client.source.fd, &event) != 0:
        client_close(client)


cdef void client_close(Client* client) noexcept nogil:
    """At once. The memory goes at the end of the loop's round, when no event for it can be waiting."""
    cdef Loop* loop = client.loop
    cdef epoll_event event
    if client.state & DEAD:
        return
    set_state(client, DEAD)
    # Not left to close(): a child of the application that has not come to its exec() yet may have the socket, too.
    epoll_ctl(loop.epoll, EPOLL_CTL_DEL, client.source.fd, &event)
    close(client.source.fd)
    pthread_mutex_lock(&loop.guard)
    if client.former is not NULL:
        client.former.following = client.following
    else:
        loop.clients = client.following
    if client.following is not NULL:
        client.following.former = client.former
    note(&loop.n_clients, loop.n_clients - 1)
    pthread_mutex_unlock(&loop.guard)
    forget_transaction(client)
    if not client.state & WAITING:
        client_bury(client)


cdef void client_bury(Client* client) noexcept nogil:
    client.following_dead = client.loop.dead
    client.loop.dead = client


cdef void client_free(Client* client) noexcept nogil:
    buffer_free(&client.input)
    buffer_free(&client.output)
    free(client.parse.pieces)
    free(client)


cdef void free_the_dead(Loop* loop) noexcept nogil:
    cdef Client* client
    while loop.dead is not NULL:
        client = loop.dead
        loop.dead = client.following_dead
        client_free(client)
        add_atomically(&loop.server.n_clients, -1)
