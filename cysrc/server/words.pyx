# Words and numbers among a command's arguments.

cdef inline bint is_word(Span argument, const char* word) noexcept nogil:
    """Without regard to case; the word is in lower case."""
    return argument.size == strlen(word) and strncasecmp(argument.data, word, argument.size) == 0


cdef inline bint as_integer(Loop* loop, Span argument, int64_t* number) noexcept nogil:
    """False: it is none, and the client has been told."""
    if likely(parse_number(argument, number)):
        return True
    fail(loop, NOT_AN_INTEGER)
    return False


cdef bint parse_float(Span text, long double* number) noexcept nogil:
    """As Redis reads it: the whole text, without spaces, not NaN; infinity is one."""
    cdef char copy[256]
    cdef char* end
    if text.size == 0 or text.size >= sizeof(copy) or is_space(text.data[0]):
        return False
    memcpy(copy, text.data, text.size)
    copy[text.size] = 0
    clear_error()
    number[0] = strtold(copy, &end)
    # Too large, or too small to be anything but 0.
    if last_error() == ERANGE and (number[0] == 0 or number[0] - number[0] != 0):
        return False
    return end == copy + text.size and number[0] == number[0]


cdef size_t format_float(long double number, char* text, size_t room) noexcept nogil:
    """Seventeen digits behind the point, without zeros at the end."""
    cdef int size = snprintf(text, room, b"%.17Lf", number)
    cdef size_t end = min(<size_t>max(size, 0), room - 1)
    if memchr(text, b".", end) is not NULL:
        while end and text[end - 1] == b"0":
            end -= 1
        if end and text[end - 1] == b".":
            end -= 1
    if end == 2 and text[0] == b"-" and text[1] == b"0":
        text[0] = b"0"
        end = 1
    return end


# -- copies of a request's arguments -----------------------------------------------------------------------------------

cdef size_t copied_bytes(Request* request) noexcept nogil:
    """What `copy_arguments` needs."""
    cdef size_t size = request.n * sizeof(Span)
    cdef uint32_t i
    for i in range(request.n):
        size += request.arguments[i].size
    return size


cdef void copy_arguments(Request* request, Span* copies) noexcept nogil:
    """The spans, and behind the last of them their bytes."""
    cdef char* at = <char*>(copies + request.n)
    cdef uint32_t i
    for i in range(request.n):
        memcpy(at, request.arguments[i].data, request.arguments[i].size)
        copies[i].data = at
        copies[i].size = request.arguments[i].size
        at += request.arguments[i].size


# -- times -------------------------------------------------------------------------------------------------------------

cdef enum:
    # Units of a time to live: bits of what an option or a command says.
    SECONDS = 1
    ABSOLUTE = 2


cdef enum:
    # ms by which two looks at two clocks may differ without one of them having been set.
    CLOCK_JITTER = 2

cdef int64_t boot_began = 0             # ms of unix time


cdef int64_t boot_to_unix_ms() noexcept nogil:
    """What is to be added to a time of the boot clock. The same each time unless a clock is set, so that a point in
    time that was given comes back as it was."""
    cdef int64_t offset = unix_ns() // 1000000 - boot_ms()
    cdef int64_t known = read_count(&boot_began)
    if not -CLOCK_JITTER <= offset - known <= CLOCK_JITTER:
        write_count(&boot_began, offset)
        return offset
    return known


cdef bint as_deadline_at(int64_t number, uint32_t unit, int64_t* deadline) noexcept nogil:
    """A time to live, or a unix time, as a time of the boot clock, which may be past. False: it is out of range."""
    cdef int64_t now = boot_ms()
    if unit & SECONDS:
        if number > INT64_MAX // 1000 or number < INT64_MIN // 1000:
            return False
        number *= 1000
    if unit & ABSOLUTE:
        # 0 would be none.
        deadline[0] = max(number - boot_to_unix_ms(), <int64_t>1) if number > 0 else 1
        return True
    # As a unix time it is a number too.
    if number > INT64_MAX - now - boot_to_unix_ms():
        return False
    deadline[0] = max(number + now, <int64_t>1) if number > -now else 1
    return True
