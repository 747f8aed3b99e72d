# CoreServer, Call: the service as Python sees it (shardmap/service/).

@cython.final
@cython.no_gc_clear
cdef class Call:
    """A command that a client waits for Python to answer: `name` in upper case, `arguments` as they were sent, the
    `client`'s number. One that goes without a reply answers with an internal error."""
    cdef CoreServer server
    cdef Handed* handed
    cdef readonly str name
    cdef readonly list arguments
    cdef readonly uint64_t client

    def __init__(self):
        raise TypeError("a Call is made by CoreServer.next_call()")

    def __dealloc__(self):
        if self.handed is not NULL:
            reply_text(self.server.server, self.handed, b"ERR internal error")
            self.handed = NULL

    def reply(self, value, /):
        """Send a reply: a str is a status, bytes a bulk string, an int, a float, None, a bool, a list or a tuple an
        array, a dict a map, a set a set, an exception an error, whose text is sent as it is.

        Raises RuntimeError if there was one before, TypeError for anything else, which is answered with an error.
        """
        cdef Buffer out
        # Taken at once: what is to be sent may run Python code, which may come here again.
        cdef Handed* handed = <Handed*>exchange_word(<size_t*>&self.handed, 0)
        if handed is NULL:
            raise RuntimeError("reply(): this call has been answered")
        memset(&out, 0, sizeof(out))
        try:
            encode_reply(&out, handed.protocol, value)
        except BaseException:
            buffer_free(&out)
            store_word(<size_t*>&self.handed, <size_t>handed)
            raise
        with nogil:
            answer_handed(self.server.server, handed, &out, out.end > 0 and out.data[0] == 45)


cdef void reply_text(Server* server, Handed* handed, const char* text) noexcept nogil:
    cdef Buffer out
    memset(&out, 0, sizeof(out))
    put_simple(&out, b"-", text, strlen(text))
    answer_handed(server, handed, &out, True)


cdef int encode_reply(Buffer* out, uint32_t protocol, object value) except -1:
    """Append a Python object as RESP."""
    if value is None:
        put_null(out, protocol)
    elif isinstance(value, bool):
        encode_bool(out, protocol, value)
    elif isinstance(value, bytes):
        put_bulk(out, bytes_data(<PyObject*>value), bytes_size(<PyObject*>value))
    elif isinstance(value, str):
        encode_line(out, b"+", value)
    elif isinstance(value, int):
        put_integer(out, value)
    elif isinstance(value, float):
        encode_float(out, protocol, value)
    elif isinstance(value, BaseException):
        encode_line(out, b"-", str(value))
    elif isinstance(value, dict):
        put_map(out, protocol, len(value))
        for key, item in value.items():
            encode_reply(out, protocol, key)
            encode_reply(out, protocol, item)
    elif isinstance(value, (list, tuple, set, frozenset)):
        put_header(out, b"~" if protocol == 3 and isinstance(value, (set, frozenset)) else b"*", len(value))
        for item in value:
            encode_reply(out, protocol, item)
    else:
        raise TypeError(f"a reply of type {type(value).__name__}: allowed are str, bytes, int, float, bool, None, "
                        "list, tuple, dict, set and exceptions")
    if out.failed:
        raise MemoryError
    return 0


cdef int encode_line(Buffer* out, char kind, str text) except -1:
    cdef bytes line = text.encode("utf-8", "replace")
    put_simple(out, kind, bytes_data(<PyObject*>line), bytes_size(<PyObject*>line))
    return 0


cdef int encode_bool(Buffer* out, uint32_t protocol, bint value) except -1:
    if protocol == 3:
        put_line(out, b"#t\r\n" if value else b"#f\r\n")
    else:
        put_integer(out, value)
    return 0


cdef int encode_float(Buffer* out, uint32_t protocol, double value) except -1:
    cdef bytes digits = repr(value).encode()
    if protocol == 3:
        put_simple(out, b",", bytes_data(<PyObject*>digits), bytes_size(<PyObject*>digits))
    else:
        put_bulk(out, bytes_data(<PyObject*>digits), bytes_size(<PyObject*>digits))
    return 0


cdef bytes bytes_of_span(Span span):
    return steal(make_bytes(span.data, span.size))


cdef str text_of(const char* text):
    return text[:strlen(text)].decode("utf-8", "replace")


cdef class CoreServer:
    """Event loops in native threads that serve RESP clients on a byte map's store, without the GIL.

    ``CoreServer(byte_map, threads=1)``; then configure(), add_listener(), and run(i) in a thread for each loop. Every
    method may be called from any thread.
    """
    cdef Server* server
    cdef CoreByteMap owner              # so that it lives as long

    def __cinit__(self, CoreByteMap byte_map not None, /, *, int threads=1):
        if not 1 <= threads <= MOST_THREADS:
            raise ValueError(f"threads={threads}: allowed are 1 to {MOST_THREADS}")
        self.owner = byte_map
        self.server = server_new(opened(byte_map), threads)
        if self.server is NULL:
            raise OSError("the service cannot start: no memory, or no file descriptors")

    def __dealloc__(self):
        if self.server is not NULL:
            server_free(self.server)

    def configure(self, *, bytes password, uint64_t max_clients, uint64_t max_bulk, uint64_t max_arguments,
                  uint64_t max_query, uint64_t max_output, int64_t idle_timeout, int64_t request_timeout,
                  int64_t slow_log_threshold, uint64_t slow_log_length):
        """Publish new settings: sizes in bytes, times in milliseconds but for the threshold's microseconds."""
        cdef Settings* settings = <Settings*>calloc(1, sizeof(Settings) + len(password))
        if settings is NULL:
            raise MemoryError
        settings.max_clients = max_clients
        settings.max_bulk = max_bulk
        settings.max_arguments = max_arguments
        settings.max_query = max_query
        settings.max_output = max_output
        settings.idle_timeout = idle_timeout
        settings.request_timeout = request_timeout
        settings.slow_log_threshold = slow_log_threshold
        settings.slow_log_length = slow_log_length
        settings.password_size = len(password)
        memcpy(settings.password, bytes_data(<PyObject*>password), len(password))
        with nogil:
            pthread_mutex_lock(&self.server.slow_guard)
            settings.former = self.server.settings
            publish(<void**>&self.server.settings, settings)
            pthread_mutex_unlock(&self.server.slow_guard)

    def add_listener(self, int fd, /):
        """Accept connections from a listening socket that does not block; it stays the caller's."""
        if not listen_on(self.server, fd):
            raise OSError(f"descriptor {fd} cannot be watched")

    def run(self, uint32_t thread, /):
        """Serve, in this thread, until stop(); the GIL is released meanwhile."""
        if thread >= self.server.threads:
            raise ValueError(f"thread={thread}: allowed are 0 to {self.server.threads - 1}")
        if subscribe(<void**>&self.server.settings) is NULL:
            raise RuntimeError("configure() comes before run()")
        if add_to_flag(&self.server.loops[thread].has_thread, 1) != 1:
            add_to_flag(&self.server.loops[thread].has_thread, -1)
            raise RuntimeError(f"run({thread}): another thread is in it")
        with nogil:
            loop_run(&self.server.loops[thread])
        add_to_flag(&self.server.loops[thread].has_thread, -1)

    def next_call(self):
        """Wait for a command that Python answers; None after stop()."""
        cdef Handed* handed
        cdef Call call
        with nogil:
            handed = take_handed(self.server)
        if handed is NULL:
            return None
        call = Call.__new__(Call)
        call.server = self
        call.handed = handed
        call.client = handed.client_id
        call.name = text_of(handed.command.name).upper()
        call.arguments = [bytes_of_span(handed.arguments[i]) for i in range(handed.n)]
        return call

    def set_loading(self, bint loading, /):
        """While the data is loaded commands on it are refused."""
        note_flag(&self.server.loading, loading)

    def stop_accepting(self):
        """Look at the listeners no more."""
        with nogil:
            stop_listening(self.server)

    def stop(self):
        """End the loops: what has been read is answered, connections are closed, run() and next_call() return."""
        with nogil:
            server_stop(self.server)

    def kill(self, uint64_t client, /):
        """Close a client's connection; False if there is none with this number."""
        cdef bint found
        with nogil:
            found = kill_client(self.server, client)
        return found

    # -- numbers -------------------------------------------------------------------------------------------------------

    def statistics(self):
        """Counts since the start, or reset_statistics(), and what there is now."""
        return statistics_of(self.server)

    def command_statistics(self):
        """For each command that was called: name, calls, microseconds, rejected, failed, and the calls by their time:
        below 2**i * 250 ns."""
        return command_statistics_of(self.server)

    def error_statistics(self):
        """Error replies by their prefix."""
        cdef uint32_t kind, i
        cdef dict found = {}
        for kind in range(ERROR_KINDS):
            total = sum([seen(&self.server.loops[i].error_kinds[kind]) for i in range(self.server.threads)])
            if total:
                found[text_of(error_kinds[kind])] = total
        return found

    def reset_statistics(self):
        """Begin counting again."""
        reset_statistics_of(self.server)

    def shard_statistics(self):
        """For each shard: entries, bytes reserved, hits, misses, expired, evicted, times that its lock
        was found taken, changes."""
        return shard_statistics_of(self.server.store)

    def clients(self):
        """What CLIENT LIST tells of each connection."""
        return clients_of(self.server)

    def slow_log(self):
        """Newest first: number, unix time, microseconds, arguments, address, name."""
        return slow_log_of(self.server)

    def slow_log_reset(self):
        """Forget the slow commands."""
        with nogil:
            pthread_mutex_lock(&self.server.slow_guard)
            self.server.slow_first = self.server.slow_next
            pthread_mutex_unlock(&self.server.slow_guard)

    @staticmethod
    def know_scripts(release, extend, reacquire, /):
        """SHA-1 names, in hexadecimal, of the scripts that EVALSHA knows."""
        cdef bytes name
        cdef int i
        for i, text in enumerate((release, extend, reacquire)):
            name = text.encode("ascii")
            if len(name) != 40:
                raise ValueError(f"{text!r} is no SHA-1 in hexadecimal")
            memcpy(script_names[i], bytes_data(<PyObject*>name), 41)

    def run_script(self, str sha1, bytes key, bytes token, int64_t duration=0, bint adds=False):
        """Do what the script of this name does to a lock: 1, 0, or MemoryError without room for a time to live."""
        cdef bytes name = sha1.encode("ascii")
        cdef int script = script_of(span_of(name))
        if script < 0 or not -MOST_DURATION <= duration <= MOST_DURATION:
            raise ValueError(f"script {sha1!r} with {duration} ms: no such script, or no such time")
        answer = run_on_lock(self.server.store, script, span_of(key), span_of(token), duration, adds)
        if answer < 0:
            raise MemoryError
        return answer

    @staticmethod
    def commands():
        """Every command: name, arity as Redis counts it, flags, first key, last key, step."""
        return [command_row(&commands[i]) for i in range(n_commands)]


cdef tuple command_row(Command* command):
    cdef tuple flags = tuple([text_of(flag_names[i]) for i in range(8) if command.flags >> i & 1])
    return (text_of(command.name), command.arity, flags, command.first_key, command.last_key,
            command.step if command.first_key else 0)


cdef enum:
    MOST_THREADS = 1024
