/* The stripe lock: one byte, held for tens of nanoseconds, never while Python code runs.
 *
 * An exchange to take it, a plain store to release it. PyMutex needs two read-modify-writes for the same and cannot
 * live in memory that we lay out ourselves on 3.11. A waiter spins briefly, then detaches its thread state (gives the GIL
 * away) while it sleeps, so that neither a stop-the-world pause (garbage collection, fork) nor a thread that wants the
 * GIL ever waits for it; it attaches again *before* it tries the lock, so that no lock is taken and then held through
 * such a pause. A thread that holds a lock already waits attached. Who holds one never waits for the GIL.
 *
 * sm_lock       for Python objects. GIL builds compile it to nothing (sm_platform.h says why that is enough).
 * sm_lock_bytes for native memory, which threads without the GIL use too: the same on all builds.
 */
#ifndef SHARDMAP_LOCK_H
#define SHARDMAP_LOCK_H

#include "sm_platform.h"

typedef uint8_t sm_lock_t; /* 0 free, 1 held */

#include <sched.h>
#include <time.h>

/* A critical section is some tens of nanoseconds: longer spinning only pays while its holder runs on another core. */
#define SM_SPINS 100
/* Then yield a few times, since the holder may have been descheduled; */
#define SM_YIELDS 16
/* after that someone holds all stripes (a snapshot of the whole map): sleep, from 10 microseconds up to 1 ms. */
#define SM_SLEEP_FIRST_NS 10000
#define SM_SLEEP_LAST_NS 1000000

/* In debug builds another thread often runs here, where otherwise one in a million does: tests meet the window. */
#ifdef SM_DEBUG
static __thread unsigned sm_windows;
#define sm_window() ((void)(++sm_windows % 8 == 0 && sched_yield()))
#else
#define sm_window() ((void)0)
#endif

/* Once, without waiting. */
static inline int sm_try_lock(sm_lock_t *lock) {
    return !__atomic_load_n(lock, __ATOMIC_RELAXED) && !__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE);
}

static inline void sm_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

static void sm_sleep(int round) {
    struct timespec nap = {0, SM_SLEEP_FIRST_NS};
    if (round < SM_YIELDS) {
        sched_yield();
        return;
    }
    round -= SM_YIELDS;
    nap.tv_nsec = round < 7 ? (long)SM_SLEEP_FIRST_NS << round : SM_SLEEP_LAST_NS;
    nanosleep(&nap, NULL);
}

/* Has this thread a thread state attached: the GIL, where there is one? */
static inline int sm_attached(void) {
#if PY_VERSION_HEX >= 0x030D0000
    return PyThreadState_GetUnchecked() != NULL;
#else
    /* Not PyGILState_Check(): it says yes to everybody once there was a second interpreter, or none any more. */
    PyThreadState *mine = PyGILState_GetThisThreadState();
    return mine != NULL && mine == _PyThreadState_UncheckedGet();
#endif
}

/* One round of waiting, of ever longer ones, for something that another thread is about to do. The thread state is
 * attached again on return. */
static __attribute__((noinline)) void sm_wait(int round) {
    if (round < SM_SPINS) {
        sm_relax();
        return;
    }
    PyThreadState *attached = sm_attached() ? PyEval_SaveThread() : NULL;
    sm_sleep(round - SM_SPINS);
    if (attached != NULL) {
        PyEval_RestoreThread(attached);
    }
}

/* The same for a thread that holds a lock: it stays attached, so that it cannot be stopped, or ended with the
 * interpreter, while others need the lock. Whom it waits for is in a short section that does not stop either. */
#define SM_NAP_NS 20000
static __attribute__((noinline)) void sm_wait_attached(int round) {
    struct timespec nap = {0, SM_NAP_NS};
    if (round < SM_SPINS) {
        sm_relax();
    } else if (round < SM_SPINS + SM_YIELDS) {
        sched_yield();
    } else {
        nanosleep(&nap, NULL);
    }
}

static __attribute__((noinline)) void sm_lock_slow(sm_lock_t *lock) {
    for (int round = 0; !sm_try_lock(lock); round++) {
        sm_wait(round);
    }
}

static inline void sm_lock_bytes(sm_lock_t *lock) {
    if (sm_unlikely(__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE))) {
        sm_lock_slow(lock);
    }
}

/* For one who holds another lock already. */
static inline void sm_lock_bytes_attached(sm_lock_t *lock) {
    for (int round = 0; !sm_try_lock(lock); round++) {
        sm_wait_attached(round);
    }
}

static inline void sm_unlock_bytes(sm_lock_t *lock) {
    SM_ASSERT(*lock == 1);
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

#if SM_FREE_THREADED
#define sm_lock sm_lock_bytes
#define sm_lock_attached sm_lock_bytes_attached
#define sm_unlock sm_unlock_bytes
#else
#undef sm_window
#define sm_window() ((void)0)
static inline void sm_lock(sm_lock_t *lock) { (void)lock; }
static inline void sm_lock_attached(sm_lock_t *lock) { (void)lock; }
static inline void sm_unlock(sm_lock_t *lock) { (void)lock; }
#endif

#endif
