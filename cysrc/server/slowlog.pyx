# The slow log: the last commands that took longer than a threshold, in a ring of the server, cut as Redis cuts them.

cdef enum:
    SLOW_ARGUMENTS = 32
    SLOW_BYTES = 128                    # of an argument
    SLOW_TEXT = SLOW_BYTES + 48


cdef Span cut_argument(Span argument, char* text) noexcept nogil:
    cdef Span cut = argument
    if argument.size > SLOW_BYTES:
        memcpy(text, argument.data, SLOW_BYTES)
        cut.size = SLOW_BYTES + snprintf(text + SLOW_BYTES, SLOW_TEXT - SLOW_BYTES, b"... (%llu more bytes)",
                                         <unsigned long long>(argument.size - SLOW_BYTES))
        cut.data = text
    return cut


cdef Span* cut_arguments(Request* request, uint32_t* n) noexcept nogil:
    """A copy, in one piece of memory; NULL if there is none."""
    cdef char text[SLOW_TEXT]
    cdef Span cut
    cdef Span* copies
    cdef char* at
    # Of AUTH and HELLO the name alone: the rest may be a password.
    cdef uint32_t i, kept = 1 if request.command.flags & WITHOUT_AUTH else min(request.n, <uint32_t>SLOW_ARGUMENTS)
    copies = <Span*>malloc(kept * (sizeof(Span) + SLOW_TEXT))
    if copies is NULL:
        return NULL
    at = <char*>(copies + kept)
    for i in range(kept):
        cut = cut_argument(request.arguments[i], text)
        if i == SLOW_ARGUMENTS - 1 and request.n > SLOW_ARGUMENTS:
            cut.data = text
            cut.size = snprintf(text, sizeof(text), b"... (%u more arguments)", request.n - SLOW_ARGUMENTS + 1)
        memcpy(at, cut.data, cut.size)
        copies[i].data = at
        copies[i].size = cut.size
        at += cut.size
    n[0] = kept
    return copies


cdef bint slow_room(Server* server, uint64_t room) noexcept nogil:
    """A ring of this size, with nothing in it if that is another one than before."""
    cdef uint64_t i
    if server.slow_room == room:
        return True
    for i in range(server.slow_room):
        free(server.slow[i].arguments)
    free(server.slow)
    server.slow = <SlowEntry*>calloc(room, sizeof(SlowEntry))
    server.slow_room = room if server.slow is not NULL else 0
    server.slow_first = server.slow_next
    return server.slow is not NULL


cdef void note_slow(Loop* loop, Request* request, uint64_t microseconds) noexcept nogil:
    cdef Server* server = loop.server
    cdef SlowEntry* entry
    cdef uint32_t n = 0
    cdef Span* arguments
    bump(&loop.slow_commands, 1)
    if loop.settings.slow_log_length == 0:
        return
    arguments = cut_arguments(request, &n)
    pthread_mutex_lock(&server.slow_guard)
    if arguments is not NULL and slow_room(server, loop.settings.slow_log_length):
        entry = &server.slow[server.slow_next % server.slow_room]
        free(entry.arguments)
        entry.arguments = arguments
        entry.n = n
        entry.id = server.slow_next
        entry.unix_seconds = unix_ns() // 1000000000
        entry.microseconds = microseconds
        memcpy(entry.address, loop.client.address, NAME_ROOM)
        memcpy(entry.name, loop.client.name, NAME_ROOM)
        server.slow_next += 1
        arguments = NULL
    pthread_mutex_unlock(&server.slow_guard)
    free(arguments)
