# Commands that Python answers: rare ones, which need no speed and are said better there.
#
# The client waits, with what it sends meanwhile; its loop goes on with the others. A thread of Python takes the command
# (`take_handed`), makes the reply, and puts it into the loop's inbox. Whoever waits for an answer is not freed before
# it has come.

cdef void wake(Loop* loop) noexcept nogil:
    cdef uint64_t one = 1
    write(loop.wake.fd, &one, sizeof(one))


cdef Message* new_message(uint32_t kind) noexcept nogil:
    """NULL: no memory."""
    cdef Message* message = <Message*>calloc(1, sizeof(Message))
    if message is not NULL:
        message.kind = kind
    return message


cdef void post(Loop* loop, Message* message) noexcept nogil:
    """Give a message to a loop's thread."""
    pthread_mutex_lock(&loop.inbox_guard)
    loop.inbox_end[0] = message
    loop.inbox_end = &message.following
    pthread_mutex_unlock(&loop.inbox_guard)
    wake(loop)


cdef Handed* copy_for_python(Loop* loop, Request* request) noexcept nogil:
    """NULL: no memory."""
    cdef Handed* handed = <Handed*>malloc(sizeof(Handed) + copied_bytes(request))
    if handed is NULL:
        return NULL
    handed.following = NULL
    handed.client = loop.client
    handed.command = request.command
    handed.protocol = loop.client.protocol
    handed.client_id = loop.client.id
    handed.began = ticks()
    handed.n = request.n
    copy_arguments(request, handed.arguments)
    return handed


cdef void to_python(Loop* loop, Request* request) noexcept nogil:
    """The handler of every command that Python answers."""
    cdef Server* server = loop.server
    cdef Handed* handed
    if loop.holds:
        fail(loop, NOT_IN_TRANSACTION)
        return
    handed = copy_for_python(loop, request)
    if handed is NULL:
        fail(loop, NO_MEMORY_LEFT)
        return
    set_state(loop.client, WAITING)
    pthread_mutex_lock(&server.calls_guard)
    server.calls_end[0] = handed
    server.calls_end = &handed.following
    bump(&server.waiting, 1)
    pthread_cond_signal(&server.calls_there)
    pthread_mutex_unlock(&server.calls_guard)


cdef const char* NOT_IN_TRANSACTION = b"ERR Command not allowed inside a transaction"


cdef Handed* take_handed(Server* server) noexcept nogil:
    """Wait for a command; NULL once the server stops."""
    cdef Handed* handed = NULL
    pthread_mutex_lock(&server.calls_guard)
    while server.calls is NULL and not seen_flag(&server.stopping):
        pthread_cond_wait(&server.calls_there, &server.calls_guard)
    handed = server.calls
    if handed is not NULL:
        server.calls = handed.following
        if server.calls is NULL:
            server.calls_end = &server.calls
    pthread_mutex_unlock(&server.calls_guard)
    return handed


cdef void answer_handed(Server* server, Handed* handed, Buffer* reply, bint failed) noexcept nogil:
    """Send the reply; it and the command are given away."""
    cdef Message* message = new_message(REPLY)
    while message is NULL:
        # Its client would wait for ever.
        breathe()
        message = new_message(REPLY)
    message.handed = handed
    message.reply = reply[0]
    message.failed = failed
    pthread_mutex_lock(&server.calls_guard)
    bump(&server.waiting, -1)
    pthread_mutex_unlock(&server.calls_guard)
    post(handed.client.loop, message)
