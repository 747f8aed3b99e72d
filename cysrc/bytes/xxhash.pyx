# XXH64: Yann Collet, xxHash, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md ; the checksum of
# snapshots. As fast as memory without instructions of a particular processor, and 64 bits find what a disk or a network
# breaks. It is no protection against somebody who writes a wrong file with a right checksum: readers check every length
# besides.

cdef extern from *:
    """
    #define SM_XXH_1 UINT64_C(0x9E3779B185EBCA87)
    #define SM_XXH_2 UINT64_C(0xC2B2AE3D27D4EB4F)
    #define SM_XXH_3 UINT64_C(0x165667B19E3779F9)
    #define SM_XXH_4 UINT64_C(0x85EBCA77C2B2AE63)
    #define SM_XXH_5 UINT64_C(0x27D4EB2F165667C5)
    """
    const uint64_t XXH_1 "SM_XXH_1"
    const uint64_t XXH_2 "SM_XXH_2"
    const uint64_t XXH_3 "SM_XXH_3"
    const uint64_t XXH_4 "SM_XXH_4"
    const uint64_t XXH_5 "SM_XXH_5"


cdef inline uint64_t xxh_round(uint64_t lane, uint64_t word) noexcept nogil:
    return rotate(lane + word * XXH_2, 31) * XXH_1


cdef inline uint64_t xxh_merge(uint64_t total, uint64_t lane) noexcept nogil:
    return (total ^ xxh_round(0, lane)) * XXH_1 + XXH_4


cdef inline uint64_t xxh_stripes(const char** at, size_t stripes) noexcept nogil:
    """Four words at a time, in four lanes that do not wait for each other."""
    cdef uint64_t a = XXH_1 + XXH_2, b = XXH_2, c = 0, d = 0 - XXH_1
    cdef const char* data = at[0]
    cdef size_t _stripe
    for _stripe in range(stripes):
        a = xxh_round(a, word_in(data))
        b = xxh_round(b, word_in(data + 8))
        c = xxh_round(c, word_in(data + 16))
        d = xxh_round(d, word_in(data + 24))
        data += 32
    at[0] = data
    cdef uint64_t total = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18)
    return xxh_merge(xxh_merge(xxh_merge(xxh_merge(total, a), b), c), d)


cdef inline uint64_t half_word_in(const char* data) noexcept nogil:
    """Four octets, the first one lowest."""
    return (<uint64_t><uint8_t>data[0] | <uint64_t><uint8_t>data[1] << 8 | <uint64_t><uint8_t>data[2] << 16
            | <uint64_t><uint8_t>data[3] << 24)


cdef uint64_t xxh64(const char* data, size_t size) noexcept nogil:
    """With seed 0."""
    cdef const char* end = data + size
    cdef uint64_t total = xxh_stripes(&data, size // 32) if size >= 32 else XXH_5
    total += size
    while end - data >= 8:
        total = rotate(total ^ xxh_round(0, word_in(data)), 27) * XXH_1 + XXH_4
        data += 8
    if end - data >= 4:
        total = rotate(total ^ half_word_in(data) * XXH_1, 23) * XXH_2 + XXH_3
        data += 4
    while data < end:
        total = rotate(total ^ <uint64_t><uint8_t>data[0] * XXH_5, 11) * XXH_1
        data += 1
    total = (total ^ total >> 33) * XXH_2
    total = (total ^ total >> 29) * XXH_3
    return total ^ total >> 32


def _xxh64(const unsigned char[::1] data not None, /):
    """For tests: XXH64 with seed 0."""
    return xxh64(<const char*>&data[0] if data.shape[0] else NULL, data.shape[0])
