# Replies with a value from the store, as short a way as there is: under the shard's lock into the buffer.

cdef enum:
    # Bytes from which on a value is kept and copied once its shard is unlocked.
    LONG_VALUE = 16 * 1024


cdef inline void send_value(Loop* loop, Spot* spot) noexcept nogil:
    """Locked, the record found: its value as a bulk string, now if it is short; then spot.record is NULL."""
    cdef Span value = value_span(spot.record)
    if likely(value.size < LONG_VALUE):
        put_digits(&loop.out, b"$", value.size)
        buffer_put(&loop.out, value.data, value.size)
        buffer_put(&loop.out, b"\r\n", 2)
        spot.record = NULL
    elif loop.holds or not keep_record(spot.shard, spot.record):
        put_bulk(&loop.out, value.data, value.size)
        spot.record = NULL


cdef void send_kept(Loop* loop, Spot* spot) noexcept nogil:
    """Unlocked: a value that send_value has left, kept."""
    cdef Span value = value_span(spot.record)
    put_bulk(&loop.out, value.data, value.size)
    release_kept(loop, spot.shard, spot.ref)


cdef inline bint reply_value(Loop* loop, Spot* spot) noexcept nogil:
    """The key's value, or null. False if it is absent."""
    cdef bint found
    if unlikely(not buffer_reserve(&loop.out, LONG_VALUE + HEADER)):
        return False
    enter_spot(loop, spot)
    found = find_to_read(spot)
    if likely(found):
        send_value(loop, spot)
    leave_spot(loop, spot)
    if unlikely(not found):
        put_null(&loop.out, loop.client.protocol)
    elif unlikely(spot.record is not NULL):
        send_kept(loop, spot)
    return found


cdef void reply_span_or_null(Loop* loop, Record* record) noexcept nogil:
    """The value of a record that is kept, or null for none."""
    cdef Span value
    if record is NULL:
        put_null(&loop.out, loop.client.protocol)
    else:
        value = value_span(record)
        put_bulk(&loop.out, value.data, value.size)
