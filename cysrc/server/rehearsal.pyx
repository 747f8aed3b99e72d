# Rehearsal: what a client would get for what it sends, in one thread and as fast as it goes, for fuzzing and for tests
# of how requests are cut into pieces. Everything is as in the service, its socket included, but that nobody waits.

@cython.final
@cython.auto_pickle(False)
cdef class Rehearsal:
    """``Rehearsal(server)``, a CoreServer with one loop, which does not run: no thread may use it meanwhile."""
    cdef CoreServer server

    def __init__(self, CoreServer server not None, /):
        if server.server.threads != 1 or server.server.settings is NULL:
            raise ValueError("a rehearsal takes a server with one loop and with settings")
        self.server = server

    def converse(self, list chunks, /):
        """Connect, send the chunks one after the other, each when what came before has been served, and return all that
        came back, and whether the server has closed the connection."""
        cdef Loop* loop = &self.server.server.loops[0]
        cdef int ends[2]
        cdef Client* client
        cdef sockaddr_storage address
        cdef bytes chunk
        cdef bint closed = False
        if socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0:
            raise OSError("no sockets")
        memset(&address, 0, sizeof(address))
        address.ss_family = AF_UNIX
        client = client_new(ends[0], &address, 0)
        if client is NULL:
            raise MemoryError
        add_atomically(&self.server.server.n_clients, 1)
        take_settings(loop)
        client_join(loop, client)
        received = bytearray()
        for chunk in chunks:
            if not closed:
                closed = self._send(loop, client, ends[1], chunk, received)
        if not closed:
            client_close(client)
        free_the_dead(loop)
        close(ends[1])
        return bytes(received), closed

    cdef bint _send(self, Loop* loop, Client* client, int end, bytes chunk, received) except -1:
        """True: the server has closed the connection."""
        cdef Py_ssize_t at = 0, sent
        while True:
            sent = 0
            if at < len(chunk):
                sent = send(end, bytes_data(<PyObject*>chunk) + at, len(chunk) - at, MSG_NOSIGNAL)
                at += max(sent, 0)
            with nogil:
                refuse_handed(self.server.server)
                read_inbox(loop)
                if not client.state & DEAD and client.events:
                    serve_unheard(loop, client, client.events)
            self._receive(end, received)
            if client.state & DEAD:
                return True
            # Served until nothing is left to read, to answer, to send.
            if sent <= 0 and at == len(chunk) and not client.state & WAITING and not has_input(client.source.fd):
                return False

    def parse(self, data, Py_ssize_t step, bint is_known, /):
        """What is understood of these bytes if so many arrive at a time, from a client that has authenticated or not: a
        hash of the requests, their number, what is wrong behind them as an index into the errors (0: nothing), and for
        how many arguments of a request there was room at the end."""
        cdef const uint8_t[::1] view = data
        cdef Parsed parsed
        if step < 1:
            raise ValueError(f"step must be at least 1, not {step}")
        memset(&parsed, 0, sizeof(parsed))
        parsed.state = FNV_BASIS
        with nogil:
            parse_arriving(&parsed, &view[0] if view.shape[0] else NULL, view.shape[0], step,
                           self.server.server.settings, is_known)
        if parsed.wrong == -NO_MEMORY:
            raise MemoryError
        return parsed.state, parsed.n, parsed.wrong, parsed.room

    cdef int _receive(self, int end, received) except -1:
        cdef char data[4096]
        cdef ssize_t size = recv(end, data, sizeof(data), 0)
        while size > 0:
            received += data[:size]
            size = recv(end, data, sizeof(data), 0)
        return 0


cdef bint has_input(int fd) noexcept nogil:
    cdef char octet
    return recv(fd, &octet, 1, MSG_PEEK) > 0


cdef void refuse_handed(Server* server) noexcept nogil:
    """There is no Python here that answers."""
    cdef Handed* handed
    while server.calls is not NULL:
        handed = take_handed(server)
        reply_text(server, handed, b"ERR not in a rehearsal")


# -- the parser alone --------------------------------------------------------------------------------------------------

cdef struct Parsed:
    uint64_t state                      # of the hash
    size_t n
    int wrong
    uint32_t room


cdef void parse_arriving(Parsed* parsed, const uint8_t* data, size_t size, size_t step, Settings* settings,
                         bint is_known) noexcept nogil:
    """Each part is copied when it comes, so that who reads further than what has come meets something else."""
    cdef char* arrived = <char*>calloc(max(size, <size_t>1), 1)
    cdef size_t at = 0, end = 0
    cdef Parse parse
    cdef int answer = INCOMPLETE
    memset(&parse, 0, sizeof(parse))
    parse_begin(&parse)
    if arrived is NULL:
        answer = NO_MEMORY
    while answer >= 0 and end < size:
        step = min(step, size - end)
        memcpy(arrived + end, data + end, step)
        end += step
        answer = PARSED
        while answer == PARSED and at < end:
            answer = parse_request(&parse, arrived + at, end - at, settings, is_known)
            if answer == PARSED:
                hash_request(parsed, &parse, arrived + at)
                at += parse.at
                parse_begin(&parse)
    parsed.wrong = -answer if answer < 0 else 0
    parsed.room = parse.room
    free(parse.pieces)
    free(arrived)


cdef void hash_request(Parsed* parsed, Parse* parse, const char* command) noexcept nogil:
    cdef uint32_t i
    parsed.n += 1
    parsed.state = fnv1a_round(parsed.state, parse.n)
    for i in range(parse.n):
        parsed.state = fnv1a_round(parsed.state, parse.pieces[i].size)
        parsed.state = fnv1a(parsed.state, <const uint8_t*>command + parse.pieces[i].at, parse.pieces[i].size)
