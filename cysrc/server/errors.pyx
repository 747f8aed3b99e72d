# Error replies, in Redis's words, since clients look at them.

cdef enum:
    # Loop.error_kinds, by prefix; the last for those that are none of these.
    ERR = 0
    NOAUTH = 1
    WRONGPASS = 2
    OOM = 3
    LOADING = 4
    EXECABORT = 5
    NOSCRIPT = 6
    OTHER = 7
    ERROR_KINDS = 8

cdef const char* error_kinds[8]
error_kinds[:] = [b"ERR", b"NOAUTH", b"WRONGPASS", b"OOM", b"LOADING", b"EXECABORT", b"NOSCRIPT", b"OTHER"]

cdef const char* SYNTAX = b"ERR syntax error"
cdef const char* NOT_AN_INTEGER = b"ERR value is not an integer or out of range"
cdef const char* NOT_A_FLOAT = b"ERR value is not a valid float"
cdef const char* WOULD_OVERFLOW = b"ERR increment or decrement would overflow"
cdef const char* NO_SUCH_KEY = b"ERR no such key"
cdef const char* OUT_OF_MEMORY = b"OOM command not allowed when used memory > 'maxmemory'."
cdef const char* TOO_LONG = b"ERR string exceeds maximum allowed size (proto-max-bulk-len)"
cdef const char* NO_MEMORY_LEFT = b"ERR out of memory"


cdef uint32_t error_kind(const char* text, size_t size) noexcept nogil:
    cdef uint32_t kind
    cdef size_t length
    for kind in range(OTHER):
        length = strlen(error_kinds[kind])
        if size > length and text[length] == 32 and memcmp(text, error_kinds[kind], length) == 0:
            return kind
    return OTHER


cdef void count_error(Loop* loop, const char* text, size_t size) noexcept nogil:
    loop.failed = True
    bump(&loop.errors, 1)
    bump(&loop.error_kinds[error_kind(text, size)], 1)


cdef void fail_with(Loop* loop, const char* text, size_t size) noexcept nogil:
    count_error(loop, text, size)
    put_simple(&loop.out, b"-", text, size)


cdef void fail(Loop* loop, const char* text) noexcept nogil:
    fail_with(loop, text, strlen(text))


cdef void fail_about(Loop* loop, const char* form, Span what) noexcept nogil:
    """With the first 128 bytes of what the client sent in the place of ``%.*s``."""
    cdef char text[320]
    cdef int size = snprintf(text, sizeof(text), form, <int>min(what.size, <size_t>128), what.data)
    fail_with(loop, text, min(<size_t>max(size, 0), sizeof(text) - 1))


cdef void fail_arity(Loop* loop, const char* command) noexcept nogil:
    cdef char text[160]
    fail_with(loop, text, snprintf(text, sizeof(text), b"ERR wrong number of arguments for '%s' command", command))


cdef void fail_subcommand_arity(Loop* loop, const char* command, const char* subcommand) noexcept nogil:
    cdef char text[160]
    fail_with(loop, text, snprintf(
        text, sizeof(text), b"ERR wrong number of arguments for '%s|%s' command", command, subcommand))


cdef void fail_expire(Loop* loop, Request* request) noexcept nogil:
    cdef char text[160]
    fail_with(loop, text, snprintf(
        text, sizeof(text), b"ERR invalid expire time in '%s' command", request.command.name))


cdef void fail_write(Loop* loop, int answer) noexcept nogil:
    """For IS_FULL, TOO_LARGE, NOT_A_NUMBER, OUT_OF_RANGE."""
    if answer == NOT_A_NUMBER:
        fail(loop, NOT_AN_INTEGER)
    elif answer == OUT_OF_RANGE:
        fail(loop, WOULD_OVERFLOW)
    else:
        fail(loop, OUT_OF_MEMORY)
