# FNV-1a, 64 bit: Fowler, Noll and Vo, http://www.isthe.com/chongo/tech/comp/fnv/ ; RFC 9923.

cdef extern from *:
    """
    /* The published parameters; the test vectors hold for no others. */
    #define SM_FNV_BASIS UINT64_C(0xCBF29CE484222325)
    #define SM_FNV_PRIME UINT64_C(0x00000100000001B3)
    """
    const uint64_t FNV_BASIS "SM_FNV_BASIS"
    const uint64_t FNV_PRIME "SM_FNV_PRIME"


cdef inline uint64_t fnv1a(uint64_t state, const uint8_t* data, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(length):
        state = (state ^ data[i]) * FNV_PRIME
    return state


cdef inline uint64_t fnv1a_round(uint64_t state, uint64_t word) noexcept nogil:
    """One round, with a whole word where the original takes an octet."""
    return (state ^ word) * FNV_PRIME


def fnv1a_64(data, /):
    """The 64-bit FNV-1a hash of *data*, as its authors define it.

    *data* is any bytes-like object; ``str`` has to be encoded first. Returns an ``int`` from 0 to 2**64 - 1. Raises
    :class:`TypeError` if *data* is not bytes-like. O(len(data)). Not for tables that strangers fill: it has no key.

    >>> hex(fnv1a_64(b"foobar"))
    '0x85944171f73967e8'
    """
    if isinstance(data, str):
        raise TypeError("fnv1a_64() takes bytes-like data, not str: encode it first, for example data.encode()")
    cdef const unsigned char[::1] view = memoryview(data).cast("B")
    if view.shape[0] == 0:
        return FNV_BASIS
    return fnv1a(FNV_BASIS, &view[0], view.shape[0])
