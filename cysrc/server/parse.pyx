# Reading commands: RESP arrays of bulk strings, and inline commands, as they come, whole or in parts.
#
# Nothing is copied: an argument is a piece of the buffer that it came in. A command of which a part is missing goes on
# where it stopped, so that somebody who sends it octet by octet makes no more work than anybody else.

cdef enum:
    PARSED = 1
    INCOMPLETE = 0
    # What is wrong with it, an index into `parse_errors`.
    BAD_ARGUMENTS = -1
    BAD_BULK = -2
    NO_DOLLAR = -3
    LONG_LINE = -4
    LONG_INLINE = -5
    BAD_QUOTES = -6
    STRANGER_ARGUMENTS = -7
    STRANGER_BULK = -8
    NO_MEMORY = -9
    # An inline command, as Redis has it.
    MOST_INLINE = 64 * 1024
    # The line of a length: a type, twenty digits, and as much again.
    MOST_LINE = 48

cdef const char* parse_errors[10]
parse_errors[:] = [
    b"",
    b"ERR Protocol error: invalid multibulk length",
    b"ERR Protocol error: invalid bulk length",
    b"ERR Protocol error: expected '$'",
    b"ERR Protocol error: too big mbulk count string",
    b"ERR Protocol error: too big inline request",
    b"ERR Protocol error: unbalanced quotes in request",
    b"ERR Protocol error: unauthenticated multibulk length",
    b"ERR Protocol error: unauthenticated bulk length",
    b"ERR Protocol error: out of memory",
]


cdef inline void parse_begin(Parse* parse) noexcept nogil:
    parse.expected = 0
    parse.bulk = -1
    parse.at = 0
    parse.n = 0


cdef inline bint parse_is_fresh(Parse* parse) noexcept nogil:
    return parse.expected == 0


cdef bint parse_room(Parse* parse) noexcept nogil:
    cdef uint32_t room = max(<uint32_t>16, 2 * parse.room)
    cdef void* moved = realloc(parse.pieces, room * sizeof(Piece))
    if moved is NULL:
        return False
    parse.pieces = <Piece*>moved
    parse.room = room
    return True


cdef inline bint add_piece(Parse* parse, size_t at, size_t size) noexcept nogil:
    if unlikely(parse.n == parse.room) and not parse_room(parse):
        return False
    parse.pieces[parse.n].at = at
    parse.pieces[parse.n].size = size
    parse.n += 1
    return True


cdef inline int parse_length(Parse* parse, const char* data, size_t size, int64_t* number) noexcept nogil:
    """The number of the line ``*12`` or ``$12`` at parse.at. PARSED: parse.at is behind the line."""
    cdef const char* line = data + parse.at
    cdef size_t room = size - parse.at
    cdef const char* end
    cdef Span text
    # One digit or two, as nearly always.
    if likely(room >= 4 and line[2] == 13):
        number[0] = line[1] - 48
        if likely(0 <= number[0] <= 9):
            parse.at += 4
            return PARSED
    elif likely(room >= 5 and line[3] == 13 and 48 < line[1] <= 57 and 48 <= line[2] <= 57):
        number[0] = 10 * (line[1] - 48) + line[2] - 48
        parse.at += 5
        return PARSED
    end = <const char*>memchr(line, 13, min(room, <size_t>MOST_LINE))
    if end is NULL or <size_t>(end - line) + 1 == room:
        return LONG_LINE if room > MOST_LINE else INCOMPLETE
    text.data = line + 1
    text.size = end - line - 1
    # What is not a number is out of bounds.
    if not parse_number(text, number):
        number[0] = INT64_MAX
    parse.at += end - line + 2
    return PARSED


cdef inline int parse_arguments(Parse* parse, const char* data, size_t size, Settings* settings,
                                bint is_known) noexcept nogil:
    """The bulk strings that are there. PARSED: all of them."""
    cdef int answer
    while parse.n < parse.expected:
        if parse.bulk < 0:
            if parse.at == size:
                return INCOMPLETE
            if unlikely(data[parse.at] != b"$"):
                return NO_DOLLAR
            answer = parse_length(parse, data, size, &parse.bulk)
            if unlikely(answer != PARSED):
                parse.bulk = -1
                return answer
            if unlikely(parse.bulk < 0 or <uint64_t>parse.bulk > settings.max_bulk):
                return BAD_BULK
            if unlikely(not is_known and parse.bulk > STRANGERS_BULK):
                return STRANGER_BULK
        if parse.at > size or size - parse.at < <size_t>parse.bulk + 2:
            return INCOMPLETE
        if unlikely(not add_piece(parse, parse.at, parse.bulk)):
            return NO_MEMORY
        parse.at += parse.bulk + 2
        parse.bulk = -1
    return PARSED


cdef inline int parse_request(Parse* parse, char* data, size_t size, Settings* settings,
                              bint is_known) noexcept nogil:
    """Read on in a command that begins at `data`. PARSED: parse.pieces are its arguments, which may be none, and
    parse.at is its end; INCOMPLETE; or what is wrong."""
    cdef int answer
    if parse.expected == 0:
        if size == 0:
            return INCOMPLETE
        if unlikely(data[0] != b"*"):
            return parse_inline(parse, data, size)
        answer = parse_length(parse, data, size, &parse.expected)
        if unlikely(answer != PARSED):
            parse.expected = 0
            return answer
        if unlikely(parse.expected > <int64_t>settings.max_arguments):
            return BAD_ARGUMENTS
        if unlikely(parse.expected <= 0):
            return PARSED
        if unlikely(not is_known and parse.expected > STRANGERS_ARGUMENTS):
            return STRANGER_ARGUMENTS
    return parse_arguments(parse, data, size, settings, is_known)


# -- inline commands ---------------------------------------------------------------------------------------------------

cdef int parse_inline(Parse* parse, char* data, size_t size) noexcept nogil:
    """One line of words, as somebody types it; quoted ones are written out in place, where they become shorter."""
    cdef char* newline = <char*>memchr(data, 10, min(size, <size_t>MOST_INLINE))
    cdef size_t end, at = 0
    if newline is NULL:
        return LONG_INLINE if size >= MOST_INLINE else INCOMPLETE
    end = newline - data
    parse.at = end + 1
    if end and data[end - 1] == 13:
        end -= 1
    while True:
        while at < end and is_space(data[at]):
            at += 1
        if at == end:
            return PARSED
        at = parse_word(parse, data, at, end)
        if at == 0:
            return BAD_QUOTES


cdef inline bint is_space(char octet) noexcept nogil:
    return octet == 32 or 9 <= octet <= 13 or octet == 0


cdef inline int hex_digit(char octet) noexcept nogil:
    if 48 <= octet <= 57:
        return octet - 48
    octet |= 32
    return octet - 87 if 97 <= octet <= 102 else -1


cdef size_t parse_word(Parse* parse, char* data, size_t at, size_t end) noexcept nogil:
    """The word that begins at `at`; returns where it ends. 0: its quotes are not closed, or there is no memory."""
    cdef size_t first = at, made = at
    cdef char quote = 0
    cdef int high, low
    while at < end:
        if quote == 0:
            if is_space(data[at]):
                break
            if data[at] == 34 or data[at] == 39:
                quote = data[at]
                at += 1
                continue
        elif data[at] == quote:
            # A space, or the end of the line, has to follow.
            if at + 1 < end and not is_space(data[at + 1]):
                return 0
            quote = 0
            at += 1
            break
        elif data[at] == 92 and quote == 39 and at + 1 < end and data[at + 1] == 39:
            at += 1
        elif data[at] == 92 and quote == 34 and at + 1 < end:
            high = hex_digit(data[at + 2]) if at + 3 < end and data[at + 1] == b"x" else -1
            low = hex_digit(data[at + 3]) if high >= 0 else -1
            if low >= 0:
                data[made] = <char>(16 * high + low)
                made += 1
                at += 4
                continue
            at += 1
            data[made] = escaped(data[at])
            made += 1
            at += 1
            continue
        data[made] = data[at]
        made += 1
        at += 1
    if quote or not add_piece(parse, first, made - first):
        return 0
    return at


cdef inline char escaped(char octet) noexcept nogil:
    if octet == b"n":
        return 10
    if octet == b"r":
        return 13
    if octet == b"t":
        return 9
    if octet == b"b":
        return 8
    if octet == b"a":
        return 7
    return octet
