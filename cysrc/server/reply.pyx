# Replies, in RESP2 and RESP3, appended to a buffer. If there is no memory for one the buffer says so, and the
# connection is closed: it would be out of step.

cdef enum:
    # Of a header: a type, twenty digits, the end of the line; with room to spare.
    HEADER = 32


cdef inline void put_line(Buffer* out, const char* text) noexcept nogil:
    """A constant, with its end of line."""
    buffer_append(out, text, strlen(text))


cdef inline void put_digits(Buffer* out, char kind, int64_t number) noexcept nogil:
    """After buffer_reserve of HEADER: ``:12\\r\\n``."""
    cdef char digits[MOST_DIGITS]
    cdef Span text
    cdef char* at = out.data + out.end
    if likely(0 <= number < 10):
        at[0] = kind
        at[1] = <char>(48 + number)
        at[2] = 13
        at[3] = 10
        out.end += 4
        return
    text = format_number(number, digits)
    at[0] = kind
    memcpy(at + 1, text.data, text.size)
    memcpy(at + 1 + text.size, b"\r\n", 2)
    out.end += text.size + 3


cdef inline void put_header(Buffer* out, char kind, int64_t number) noexcept nogil:
    if likely(buffer_reserve(out, HEADER)):
        put_digits(out, kind, number)


cdef inline void put_integer(Buffer* out, int64_t number) noexcept nogil:
    put_header(out, b":", number)


cdef inline void put_array(Buffer* out, int64_t size) noexcept nogil:
    put_header(out, b"*", size)


cdef inline void put_map(Buffer* out, uint32_t protocol, int64_t pairs) noexcept nogil:
    if protocol == 3:
        put_header(out, b"%", pairs)
    else:
        put_header(out, b"*", 2 * pairs)


cdef inline void put_null(Buffer* out, uint32_t protocol) noexcept nogil:
    put_line(out, b"_\r\n" if protocol == 3 else b"$-1\r\n")


cdef inline void put_null_array(Buffer* out, uint32_t protocol) noexcept nogil:
    put_line(out, b"_\r\n" if protocol == 3 else b"*-1\r\n")


cdef inline void put_ok(Buffer* out) noexcept nogil:
    if likely(buffer_reserve(out, 5)):
        buffer_put(out, b"+OK\r\n", 5)


cdef inline void put_bulk(Buffer* out, const char* data, size_t size) noexcept nogil:
    if likely(buffer_reserve(out, HEADER + size)):
        put_digits(out, b"$", size)
        buffer_put(out, data, size)
        buffer_put(out, b"\r\n", 2)


cdef inline void put_text(Buffer* out, const char* text) noexcept nogil:
    put_bulk(out, text, strlen(text))


cdef inline void put_number_as_bulk(Buffer* out, uint64_t number) noexcept nogil:
    cdef char digits[24]
    put_bulk(out, digits, snprintf(digits, sizeof(digits), b"%llu", <unsigned long long>number))


cdef void put_simple(Buffer* out, char kind, const char* text, size_t size) noexcept nogil:
    """A status or an error: one line, so that ends of lines in the text become spaces."""
    cdef size_t i, first
    if not buffer_reserve(out, size + 3):
        return
    buffer_put(out, &kind, 1)
    first = out.end
    buffer_put(out, text, size)
    for i in range(first, out.end):
        if out.data[i] == 13 or out.data[i] == 10:
            out.data[i] = 32
    buffer_put(out, b"\r\n", 2)
