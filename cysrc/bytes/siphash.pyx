# SipHash-1-3: Aumasson and Bernstein, SipHash: a fast short-input PRF, 2012; one round for each word and three at the
# end, as Rust and CPython use it for their hash tables. Who does not know the key cannot find keys that collide.

cdef struct SipKey:
    uint64_t first
    uint64_t second

cdef struct SipState:
    uint64_t a
    uint64_t b
    uint64_t c
    uint64_t d


cdef inline uint64_t rotate(uint64_t word, int bits) noexcept nogil:
    return (word << bits) | (word >> (64 - bits))


cdef inline void sip_round(SipState* state) noexcept nogil:
    state.a += state.b
    state.c += state.d
    state.b = rotate(state.b, 13) ^ state.a
    state.d = rotate(state.d, 16) ^ state.c
    state.a = rotate(state.a, 32) + state.d
    state.c += state.b
    state.d = rotate(state.d, 21) ^ state.a
    state.b = rotate(state.b, 17) ^ state.c
    state.c = rotate(state.c, 32)


cdef inline uint64_t word_in(const char* data) noexcept nogil:
    """Eight octets, the first one lowest."""
    cdef uint64_t word
    memcpy(&word, data, sizeof(word))
    return little_endian(word)


cdef inline uint64_t last_word(const char* data, size_t size) noexcept nogil:
    """The octets after the last whole word, and the number of all of them on top."""
    cdef uint64_t word = <uint64_t>size << 56
    cdef size_t rest = size & 7, i
    if rest and size >= 8:
        # The last eight octets, without those that have been seen: one load instead of up to seven.
        return word | word_in(data + size - 8) >> (64 - 8 * rest)
    for i in range(rest):
        word |= <uint64_t><uint8_t>data[i] << (8 * i)
    return word


cdef inline void sip_absorb(SipState* state, uint64_t word) noexcept nogil:
    state.d ^= word
    sip_round(state)
    state.a ^= word


cdef inline uint64_t siphash(SipKey* key, const char* data, size_t size) noexcept nogil:
    cdef SipState state
    cdef size_t i
    cdef int _round
    state.a = key.first ^ <uint64_t>0x736F6D6570736575
    state.b = key.second ^ <uint64_t>0x646F72616E646F6D
    state.c = key.first ^ <uint64_t>0x6C7967656E657261
    state.d = key.second ^ <uint64_t>0x7465646279746573
    for i in range(size >> 3):
        sip_absorb(&state, word_in(data + 8 * i))
    sip_absorb(&state, last_word(data, size))
    state.c ^= 0xFF
    for _round in range(3):
        sip_round(&state)
    return state.a ^ state.b ^ state.c ^ state.d


def _siphash(const unsigned char[::1] data not None, uint64_t first, uint64_t second, /):
    """For tests: SipHash-1-3 with this key."""
    cdef SipKey key
    cdef const char* start = NULL
    if data.shape[0]:
        start = <const char*>&data[0]
    key.first = first
    key.second = second
    return siphash(&key, start, data.shape[0])
