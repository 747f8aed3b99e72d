/* What the compiler and the interpreter build are, in the few words that Cython has no syntax for.
 *
 * SM_FREE_THREADED  1 on CPython builds without the GIL. On the others the GIL is the lock: a critical section of
 *                   ours runs no Python code, makes no Python object (but the number of add) and drops no reference,
 *                   so nothing can come between.
 * SM_DEBUG          set by the debug build: SM_ASSERT checks.
 */
#ifndef SHARDMAP_PLATFORM_H
#define SHARDMAP_PLATFORM_H

#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifdef Py_GIL_DISABLED
#define SM_FREE_THREADED 1
#else
#define SM_FREE_THREADED 0
#endif

#ifdef SM_DEBUG
#include <assert.h>
#undef NDEBUG
#define SM_ASSERT(condition) assert(condition)
#else
#define SM_ASSERT(condition) ((void)0)
#endif

#define sm_likely(condition) __builtin_expect(!!(condition), 1)
#define sm_unlikely(condition) __builtin_expect(!!(condition), 0)
#define sm_prefetch(address) __builtin_prefetch(address)

/* Words that one thread reads while another writes them: whole, never torn, ordered as the names say (C11).
 * Read-modify-writes are acquire and release, and agree on one order.
 * With the GIL all of them are ordinary loads and stores. */
#if SM_FREE_THREADED
#define sm_load_acquire(address) __atomic_load_n(address, __ATOMIC_ACQUIRE)
#define sm_store_release(address, value) __atomic_store_n(address, value, __ATOMIC_RELEASE)
#define sm_load_relaxed(address) __atomic_load_n(address, __ATOMIC_RELAXED)
#define sm_store_relaxed(address, value) __atomic_store_n(address, value, __ATOMIC_RELAXED)
#define sm_next(counter) __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED)
static inline size_t sm_exchange(size_t *word, size_t value) {
    return __atomic_exchange_n(word, value, __ATOMIC_SEQ_CST);
}
static inline size_t sm_fetch_or(size_t *word, size_t bits) { return __atomic_fetch_or(word, bits, __ATOMIC_SEQ_CST); }
/* Store `value` if the word is still *seen; else bring *seen up to date. */
static inline int sm_compare_exchange(size_t *word, size_t *seen, size_t value) {
    return __atomic_compare_exchange_n(word, seen, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
}
#else
#define sm_load_acquire(address) (*(address))
#define sm_store_release(address, value) ((void)(*(address) = (value)))
#define sm_load_relaxed(address) (*(address))
#define sm_store_relaxed(address, value) ((void)(*(address) = (value)))
#define sm_next(counter) (++*(counter))
static inline size_t sm_exchange(size_t *word, size_t value) {
    size_t former = *word;
    *word = value;
    return former;
}
static inline size_t sm_fetch_or(size_t *word, size_t bits) {
    size_t former = *word;
    *word = former | bits;
    return former;
}
static inline int sm_compare_exchange(size_t *word, size_t *seen, size_t value) {
    if (*word != *seen) {
        *seen = *word;
        return 0;
    }
    *word = value;
    return 1;
}
#endif

/* Have the page of a word that may never have been touched, before anybody reads it: a first read would get the
 * kernel's page of zeros, and the first write then costs a second fault, and an interruption of the process's other
 * processors, which have to forget that page. It writes what it reads, so others may use the word meanwhile. */
#define sm_touch(word) ((void)__atomic_fetch_or(word, 0, __ATOMIC_RELAXED))

/* A word read from memory as if octets came lowest first; and back. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define sm_little_endian(word) __builtin_bswap64(word)
#else
#define sm_little_endian(word) (word)
#endif

/* High and low half of the 128-bit product, folded: one multiplication mixes all bits of `a` into all of the result
 * (the "mum" of wyhash, Wang Yi, https://github.com/wangyi-fudan/wyhash). */
static inline uint64_t sm_multiply_fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#endif
