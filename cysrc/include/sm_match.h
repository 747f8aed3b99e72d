/* Compare the twelve tags of a bucket with one byte, all at once; and store one tag.
 *
 * On free-threaded builds a reader without the lock meets tags that change under it. Safety: every tag is one byte,
 * which no processor tears, and x86 keeps loads in order, so a tag that is seen is followed by what was stored before
 * it (its reference, its entry). Elsewhere, and for ThreadSanitizer, the tags are read as two atomic words. (What keeps
 * the compiler from loading the reference first is that it has to know the slot.)
 *
 * The bucket's first sixteen bytes are twelve tags and its link (bucket.pxd); the link's four results are masked away.
 * Bit i of the answer stands for slot i.
 */
#ifndef SHARDMAP_MATCH_H
#define SHARDMAP_MATCH_H

#include "sm_platform.h"

#define SM_SLOTS 12
#define SM_ALL_SLOTS 0xFFFu

#if SM_FREE_THREADED && defined(__SANITIZE_THREAD__)
#define SM_NO_SIMD
#endif

#define sm_store_tag(address, tag) sm_store_release(address, tag)

#if defined(__SSE2__) && !defined(SM_NO_SIMD)

#include <emmintrin.h>

static inline uint32_t sm_match(const void *bucket, uint8_t tag) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* for the compiler: load now, not what was loaded before */
    __m128i line = _mm_load_si128((const __m128i *)bucket);
    __m128i wanted = _mm_set1_epi8((char)tag);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(line, wanted)) & SM_ALL_SLOTS;
}

#else

/* One bit for each zero byte. Exact: the additions cannot carry from one byte into the next, unlike in the usual
 * (x - 0x01..) & ~x & 0x80.., which also flags a byte above a true zero. */
static inline uint32_t sm_zero_bytes(uint64_t x) {
    const uint64_t low7 = 0x7F7F7F7F7F7F7F7Full;
    uint64_t zero = ~(((x & low7) + low7) | x | low7);
    return (uint32_t)(((zero >> 7) * 0x0102040810204080ull) >> 56);
}

/* The bytes of the tags, read as words. */
typedef const uint64_t __attribute__((may_alias)) sm_word64;
typedef const uint32_t __attribute__((may_alias)) sm_word32;

static inline uint32_t sm_match(const void *bucket, uint8_t tag) {
    const uint64_t wanted = 0x0101010101010101ull * tag;
    uint64_t low = sm_load_acquire((sm_word64 *)bucket);
    uint32_t high = sm_load_acquire((sm_word32 *)((const char *)bucket + 8));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    low = __builtin_bswap64(low);
    high = __builtin_bswap32(high);
#endif
    return (sm_zero_bytes(low ^ wanted) | sm_zero_bytes((uint64_t)high ^ wanted) << 8) & SM_ALL_SLOTS;
}

#endif
#endif
