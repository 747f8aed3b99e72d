# Buffer: bytes that come in at one end and go out at the other.
#
#   data          start             end             room
#    |  consumed    |    content     |   free        |
#
# It grows to what is really there, never to what somebody says will come.

cdef struct Buffer:
    char* data
    size_t start
    size_t end
    size_t room
    size_t limit                        # of the content, roughly; 0: none
    bint failed                         # there was no memory, or too much: the content is incomplete
    bint too_much                       # it would have been beyond the limit

cdef enum:
    LEAST_ROOM = 1024                   # bytes


cdef inline size_t buffer_size(Buffer* buffer) noexcept nogil:
    return buffer.end - buffer.start


cdef void buffer_free(Buffer* buffer) noexcept nogil:
    cdef size_t limit = buffer.limit
    free(buffer.data)
    memset(buffer, 0, sizeof(Buffer))
    buffer.limit = limit


cdef bint buffer_grow(Buffer* buffer, size_t more) noexcept nogil:
    """Move the content to the front, or to a place twice as large. False: there is none, and nothing has changed."""
    cdef size_t size = buffer_size(buffer)
    cdef size_t room = max(max(2 * size, size + more), <size_t>LEAST_ROOM)
    cdef char* moved
    # What has been consumed is given back first, unless little is gained by it.
    if buffer.start and size + more <= buffer.room and size <= buffer.room // 2:
        memmove(buffer.data, buffer.data + buffer.start, size)
        buffer.start = 0
        buffer.end = size
        return True
    if buffer.limit and size + more > buffer.limit:
        buffer.too_much = True
        moved = NULL
    else:
        moved = <char*>malloc(room)
    if moved is NULL:
        buffer.failed = True
        return False
    if size:
        memcpy(moved, buffer.data + buffer.start, size)
    free(buffer.data)
    buffer.data = moved
    buffer.start = 0
    buffer.end = size
    buffer.room = room
    return True


cdef inline bint buffer_reserve(Buffer* buffer, size_t more) noexcept nogil:
    """See that so many bytes can be put."""
    return likely(buffer.room - buffer.end >= more) or buffer_grow(buffer, more)


cdef inline void buffer_put(Buffer* buffer, const void* data, size_t size) noexcept nogil:
    """After buffer_reserve."""
    memcpy(buffer.data + buffer.end, data, size)
    buffer.end += size


cdef inline void buffer_append(Buffer* buffer, const void* data, size_t size) noexcept nogil:
    if buffer_reserve(buffer, size) and size:
        buffer_put(buffer, data, size)


cdef inline void buffer_consume(Buffer* buffer, size_t size) noexcept nogil:
    buffer.start += size
    if buffer.start == buffer.end:
        buffer.start = buffer.end = 0
