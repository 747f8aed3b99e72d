# Where a key goes, from the hash that Python gave it.
#
#   mixed hash = fold(FNV-1a round(multiply-fold(hash)))         64 bits
#
#     63    56 55      48 47                   16 15          0
#    +--------+----------+-----------------------+-------------+
#    |  tag   |          |        bucket         |    shard    |     disjoint parts
#    +--------+----------+-----------------------+-------------+
#
# The multiply-fold starts from a random seed and multiplies by a random odd number of the map; FNV's offset basis is
# mixed with a third. So whoever chooses integer keys (whose hash is the number itself) cannot choose keys that all meet
# in one shard or one bucket, and keys that meet in one map do not meet in the next. The characters of a str are not
# looked at: Python has hashed them already and keeps the result.
#
# One round of FNV-1a takes the whole word. Eight rounds, an octet each, are eight multiplications one after the other
# on the way to every entry: 7 ns of the 26 that m[k] took (docs/design.md).

cdef struct Mixer:
    uint64_t seed
    uint64_t multiplier      # odd
    uint64_t basis           # of FNV

cdef enum:
    # Tag 0 means an empty slot; a key whose top byte is 0 gets this one instead.
    TAG_FOR_ZERO = 1

cdef extern from *:
    """
    /* 2**64 over the golden ratio: the step of SplitMix64. */
    #define SM_GOLDEN UINT64_C(0x9E3779B97F4A7C15)
    """
    const uint64_t GOLDEN "SM_GOLDEN"


cdef inline uint64_t splitmix(uint64_t* state) noexcept nogil:
    """The next number of the generator SplitMix64 (Steele, Lea, Flood 2014): one seed becomes several."""
    state[0] += GOLDEN
    cdef uint64_t z = state[0]
    z = (z ^ (z >> 30)) * <uint64_t>0xBF58476D1CE4E5B9
    z = (z ^ (z >> 27)) * <uint64_t>0x94D049BB133111EB
    return z ^ (z >> 31)


cdef inline void mixer_seed(Mixer* mixer, uint64_t seed) noexcept nogil:
    mixer.seed = splitmix(&seed)
    mixer.multiplier = splitmix(&seed) | 1
    mixer.basis = FNV_BASIS ^ splitmix(&seed)


cdef inline uint64_t mix(Mixer* mixer, Py_hash_t hash) noexcept nogil:
    cdef uint64_t word = multiply_fold(<uint64_t>hash ^ mixer.seed, mixer.multiplier)
    cdef uint64_t state = fnv1a_round(mixer.basis, word)
    # FNV's low bits know nothing of the word's high ones: the fold brings the high half down.
    return state ^ (state >> 32)


cdef inline uint32_t shard_bits(uint64_t mixed) noexcept nogil:
    return <uint32_t>mixed & 0xFFFF


cdef inline uint32_t bucket_bits(uint64_t mixed) noexcept nogil:
    return <uint32_t>(mixed >> 16)


cdef inline uint8_t tag_of(uint64_t mixed) noexcept nogil:
    cdef uint8_t top = <uint8_t>(mixed >> 56)
    return top if top else TAG_FOR_ZERO
