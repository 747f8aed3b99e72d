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

/* Words that a thread reads without the lock under which another one writes them: whole, never torn. */
#if SM_FREE_THREADED
#define sm_load_acquire(address) __atomic_load_n(address, __ATOMIC_ACQUIRE)
#define sm_store_release(address, value) __atomic_store_n(address, value, __ATOMIC_RELEASE)
#define sm_load_relaxed(address) __atomic_load_n(address, __ATOMIC_RELAXED)
#define sm_store_relaxed(address, value) __atomic_store_n(address, value, __ATOMIC_RELAXED)
#define sm_next(counter) __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED)
#else
#define sm_load_acquire(address) (*(address))
#define sm_store_release(address, value) ((void)(*(address) = (value)))
#define sm_load_relaxed(address) (*(address))
#define sm_store_relaxed(address, value) ((void)(*(address) = (value)))
#define sm_next(counter) (++*(counter))
#endif

/* High and low half of the 128-bit product, folded: one multiplication mixes all bits of `a` into all of the result
 * (the "mum" of wyhash, Wang Yi, https://github.com/wangyi-fudan/wyhash). */
static inline uint64_t sm_multiply_fold(uint64_t a, uint64_t b) {
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#endif
