# Python's arguments as the engine takes them, and its answers as Python's exceptions.

cdef extern from "Python.h":
    char* bytes_data "PyBytes_AS_STRING"(PyObject* thing) noexcept nogil
    Py_ssize_t bytes_size "PyBytes_GET_SIZE"(PyObject* thing) noexcept nogil
    PyObject* make_bytes "PyBytes_FromStringAndSize"(const char* data, Py_ssize_t size) noexcept

cdef enum:
    # Bytes from which on a copy is made without the GIL, and without a shard's lock: some microseconds.
    LONG_COPY = 16 * 1024


cdef object other_bytes(object thing, str what, str one):
    """A copy as exact bytes of what is bytes-like and not exactly bytes: nobody else can change it then."""
    if isinstance(thing, str):
        raise TypeError(f"{what} of a ByteMap are bytes-like, not str: encode it, for example {one}.encode()")
    try:
        return memoryview(thing).tobytes()
    except TypeError:
        raise TypeError(f"{what} of a ByteMap are bytes-like, not {type(thing).__name__}") from None


cdef inline object as_key(object key):
    return key if likely(is_bytes(<PyObject*>key)) else other_bytes(key, "keys", "key")


def _as_key(key, /):
    """The key as bytes; TypeError if it is not bytes-like."""
    return as_key(key)


cdef inline object as_value(object value):
    return value if likely(is_bytes(<PyObject*>value)) else other_bytes(value, "values", "value")


cdef inline Span span_of(object exact_bytes) noexcept:
    cdef Span span
    span.data = bytes_data(<PyObject*>exact_bytes)
    span.size = bytes_size(<PyObject*>exact_bytes)
    return span


cdef inline int check_sizes(object key, object value) except -1:
    if unlikely(bytes_size(<PyObject*>key) > MOST_BYTES or bytes_size(<PyObject*>value) > MOST_BYTES):
        raise ValueError(f"a key of {len(key)} bytes with a value of {len(value)}: allowed are up to {MOST_BYTES} for "
                         "each")
    return 0


cdef object long_bytes(Record* record):
    """The value of a record that is kept, copied without the GIL."""
    cdef Span value = value_span(record)
    cdef PyObject* made = make_bytes(NULL, value.size)
    if made is NULL:
        raise MemoryError
    cdef char* data = bytes_data(made)
    with nogil:
        memcpy(data, value.data, value.size)
    return steal(made)


cdef object key_object(Record* record):
    cdef Span key = key_span(record)
    return steal(make_bytes(key.data, key.size))


cdef object value_object(Record* record):
    cdef Span value = value_span(record)
    if value.size >= LONG_COPY:
        return long_bytes(record)
    return steal(make_bytes(value.data, value.size))


cdef int raise_for(ByteStore* store, int answer, Py_ssize_t size) except -1:
    """The exception for an answer that is a failure."""
    cdef uint64_t limit = read_number(&store.budget.limit)
    cdef uint64_t taken = budget_taken(&store.budget)
    if answer == TOO_LARGE:
        raise ValueError(f"an entry of {size} bytes does not fit into max_memory={limit}, however empty the map is")
    if answer == NOT_A_NUMBER:
        raise ValueError("the value is not a decimal integer of 64 bits, without spaces and leading zeros")
    if answer == OUT_OF_RANGE:
        raise OverflowError("the sum is beyond the 64 bits of a counter")
    if limit:
        raise MemoryError(f"max_memory={limit}: {taken} bytes are taken, and the eviction policy lets nothing go; "
                          "delete entries, raise max_memory, or choose another policy")
    raise MemoryError


# -- times to live -----------------------------------------------------------------------------------------------------

cdef enum:
    # Seconds: 31 years, beyond which an entry may as well live until it is removed.
    MOST_SECONDS = 1000000000


cdef int64_t as_milliseconds(object seconds, str name) except -1:
    """A duration in seconds, an int or a float above 0, rounded up."""
    cdef double number
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        if not hasattr(seconds, "total_seconds"):
            raise TypeError(f"{name} is a number of seconds or a timedelta, not {type(seconds).__name__}")
        seconds = seconds.total_seconds()
    if not 0 < seconds <= MOST_SECONDS:
        raise ValueError(f"{name}={seconds!r}: allowed are seconds above 0 and up to {MOST_SECONDS}")
    number = seconds
    return max(<int64_t>1, <int64_t>ceil(number * 1000))


cdef int64_t as_deadline(object seconds, str name) except -1:
    """0 for None."""
    return 0 if seconds is None else boot_ms() + as_milliseconds(seconds, name)
