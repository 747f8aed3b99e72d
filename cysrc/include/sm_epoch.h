/* Epochs: when may memory that a reader without a lock has seen be freed?
 *
 * Epoch-based reclamation (Fraser, Practical lock-freedom, 2004) with the terms of crossbeam-epoch. A thread that is
 * about to follow pointers into a map *pins* itself: it announces the epoch in its participant, a record that only it
 * writes. What is taken out of a map is *retired* with a stamp, the epoch at that time, and freed when every pinned
 * thread has announced a later one, because such a thread began after the thing could be reached.
 *
 *     reader                          writer
 *     announced = epoch               take the thing out of the map
 *     (barrier, see below)            stamp = epoch++                     sm_seal
 *     follow pointers                 barrier, then read every `announced`
 *     announced = 0                   free it if all are 0 or later than the stamp
 *
 * The barriers keep either side from reading before its own write is visible: without them the reader could follow an
 * old pointer and the writer not see it pinned. The reader's would cost more than the rest of a lookup, so the writer
 * pays for both: membarrier(2) makes every running thread of the process pass a full barrier. It takes some 400 ns to
 * 10 microseconds, so it is called for thousands of retired things at once. Where the kernel does not have it, readers
 * announce with an atomic exchange.
 *
 * Rules for callers
 *   1. While pinned no Python code runs, no last reference is dropped and nothing is waited for (but malloc, and the
 *      lock of the graph of waiting threads, which is held for nanoseconds).
 *   2. A thread pins itself once: sections do not nest. Taking a shard's lock pins (shard.pxd).
 *   3. A thread has joined before it pins: sm_join.
 *   4. The stamp is taken after the thing cannot be reached any more.
 *
 * The stamp is taken by an atomic addition, not by a load: a thread that announces a later epoch has then read a value
 * that was written after the thing was taken out, and so sees that it was.
 *
 * With the GIL a section runs to its end before any other begins: all of this is nothing.
 */
#ifndef SHARDMAP_EPOCH_H
#define SHARDMAP_EPOCH_H

#include "sm_lock.h"

/* 128 bytes: processors fetch neighbouring pairs of cache lines. */
#define SM_PARTICIPANT_ALIGN 128

/* A bag takes 2 KiB. */
#define SM_BAG_ROOM 253

/* Things retired, their kind in the low bits of their addresses (retire.pyx). */
typedef struct sm_bag {
    struct sm_bag *next;
    uint64_t stamp; /* of a sealed one */
    uint32_t n;
    size_t things[SM_BAG_ROOM];
} sm_bag;

/* What a thread has retired. Two, so that another thread can empty one of them while the owner fills the other. */
typedef struct {
    sm_bag *open;  /* being filled; never NULL once joined */
    sm_bag *first; /* sealed, the oldest first */
    sm_bag *last;
    uint32_t sealed; /* their number */
    uint32_t things; /* in all of them; read by other threads for stats() */
} sm_garbage;

/* A thread, as the others need to know it. Never freed; when its thread ends the next new thread takes it over. */
typedef struct sm_participant {
    uint64_t announced;          /* 0, or the epoch << 1 | writing */
    struct sm_participant *next; /* of all; does not change */
    uint32_t taken;              /* a thread owns it */
    uint32_t active;             /* garbage[active] is the owner's, the other one nobody's or drain()'s */
    uint32_t retired;            /* things that the owner has retired, to look after them now and then */
    uint32_t due;                /* it is time to */
    uint32_t busy;               /* the owner is releasing things, whose finalizers may retire more */
    uint32_t tick;               /* of the coarse clock when it did last */
    uint64_t turned;             /* when `active` was changed; with the lock */
    sm_bag *spare;               /* an empty bag */
    void *lookaside;             /* the thread's own table, from sm_lines_new; freed when the thread ends */
    size_t lookaside_bytes;
    sm_garbage garbage[2];
} sm_participant;

#if SM_FREE_THREADED

#include <pthread.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#if defined(SYS_membarrier)
#include <linux/membarrier.h>
#endif
#endif

#ifdef CLOCK_MONOTONIC_COARSE
#define SM_COARSE_CLOCK CLOCK_MONOTONIC_COARSE
#else
#define SM_COARSE_CLOCK CLOCK_MONOTONIC
#endif

/* At a fixed distance from the thread pointer, where the dynamic linker has room for it in a library that is loaded
 * late: glibc keeps some, musl does not. */
#ifdef __GLIBC__
#define SM_THREAD_LOCAL static __thread __attribute__((tls_model("initial-exec")))
#else
#define SM_THREAD_LOCAL static __thread
#endif

SM_THREAD_LOCAL sm_participant *sm_me;
SM_THREAD_LOCAL char *sm_seen; /* the thread's lookaside table (lookaside.pyx), NULL before it has one */

/* On a line of its own: every pin reads it. `safe` and `barrier` change as rarely. */
static struct {
    uint64_t epoch;    /* from 1 on */
    uint64_t safe;     /* what was retired with a stamp up to this may be freed */
    uint64_t barrier;  /* a barrier has come after this epoch ended */
    uint32_t exchange; /* no membarrier: readers announce with an exchange */
} __attribute__((aligned(SM_PARTICIPANT_ALIGN))) sm_epochs = {1, 0, 0, 0};

static sm_participant *sm_participants;
static sm_lock_t sm_participants_lock; /* taking and giving back; emptying others' garbage */
static pthread_key_t sm_thread_end;
static uint32_t sm_orphans; /* a thread has ended and left something behind */

static inline int sm_joined(void) { return sm_me != NULL; }

/* A later relaxed load can pass an exchange where that is not one instruction. ThreadSanitizer knows no fences. */
static inline void sm_full_fence(void) {
#if !defined(__SANITIZE_THREAD__)
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static inline void sm_pin_as(uint64_t writing) {
    SM_ASSERT(sm_me->announced == 0);
    uint64_t announcement = sm_load_acquire(&sm_epochs.epoch) << 1 | writing;
    /* Release: whoever reads it, and not the 0 before it, knows as well that the last section has ended. */
    if (sm_unlikely(sm_epochs.exchange)) {
        __atomic_exchange_n(&sm_me->announced, announcement, __ATOMIC_SEQ_CST);
        sm_full_fence();
    } else {
        __atomic_store_n(&sm_me->announced, announcement, __ATOMIC_RELEASE);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
    }
}

static inline void sm_pin(void) { sm_pin_as(0); }

/* As one who changes values without a lock: sm_wait_for_writers waits for it. */
static inline void sm_pin_to_write(void) { sm_pin_as(1); }

static inline void sm_unpin(void) {
    SM_ASSERT(sm_me->announced != 0);
    sm_store_release(&sm_me->announced, 0);
}

/* End the epoch; the stamp of what was taken out of a map before. */
static inline uint64_t sm_seal(void) { return __atomic_fetch_add(&sm_epochs.epoch, 1, __ATOMIC_SEQ_CST); }

static inline int sm_is_safe(uint64_t stamp) { return stamp <= sm_load_acquire(&sm_epochs.safe); }

/* Every thread of the process passes a full barrier. */
static void sm_barrier(void) {
#if defined(SYS_membarrier)
    if (!sm_epochs.exchange) {
        if (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) {
            /* It worked before: a filter that was installed since forbids it, and readers count on it. */
            Py_FatalError("shardmap: membarrier(2) was allowed at import and is not any more");
        }
        return;
    }
#endif
    __atomic_fetch_add(&sm_epochs.barrier, 0, __ATOMIC_SEQ_CST);
}

static inline void sm_raise_to(uint64_t *word, uint64_t value) {
    uint64_t seen = sm_load_acquire(word);
    while (seen < value && !__atomic_compare_exchange_n(word, &seen, value, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE)) {
    }
}

/* The oldest epoch that a thread other than this one has announced, at most `newest`. */
static uint64_t sm_oldest(uint64_t newest) {
    for (sm_participant *each = sm_load_acquire(&sm_participants); each != NULL; each = each->next) {
        uint64_t announced = each == sm_me ? 0 : __atomic_load_n(&each->announced, __ATOMIC_SEQ_CST);
        if (announced != 0 && announced >> 1 < newest) {
            newest = announced >> 1;
        }
    }
    return newest;
}

/* Try to make things with this stamp safe, looking so many times at threads that are pinned; true if they are. */
static int sm_try_advance(uint64_t stamp, int looks) {
    if (stamp > sm_load_acquire(&sm_epochs.barrier)) {
        uint64_t ended = sm_seal();
        sm_barrier();
        sm_raise_to(&sm_epochs.barrier, ended);
    }
    do {
        uint64_t oldest = sm_oldest(sm_load_acquire(&sm_epochs.barrier) + 1);
        sm_raise_to(&sm_epochs.safe, oldest - 1);
        if (sm_is_safe(stamp)) {
            return 1;
        }
        sm_relax();
    } while (--looks > 0);
    return 0;
}

/* Wait until every section that other threads are in now has ended. Nothing may be locked or pinned. */
static void sm_synchronize(void) {
    uint64_t stamp = sm_seal();
    for (int round = 0; !sm_try_advance(stamp, 1); round++) {
        sm_wait(round);
    }
}

/* Is the participant in a section that changes values without a lock, and began in this epoch or before? */
static int sm_writes_since(sm_participant *each, uint64_t epoch) {
    uint64_t announced = __atomic_load_n(&each->announced, __ATOMIC_SEQ_CST);
    return (announced & 1) != 0 && announced >> 1 <= epoch;
}

/* Wait until every section that changes values without a lock, and may not have seen what the caller has stored before,
has
 * ended. The caller may hold locks, but is not pinned. */
static void sm_wait_for_writers(void) {
    uint64_t ended = sm_seal();
    sm_barrier();
    for (sm_participant *each = sm_load_acquire(&sm_participants); each != NULL; each = each->next) {
        for (int round = 0; each != sm_me && sm_writes_since(each, ended); round++) {
            sm_wait_attached(round);
        }
    }
}

/* -- threads that come and go ------------------------------------------------------------------------------------- */

static void sm_lines_free(void *lines, size_t bytes); /* memory.pyx */

/* A participant that no thread owns, or NULL. The lock is held. */
static sm_participant *sm_participant_left(void) {
    for (sm_participant *each = sm_participants; each != NULL; each = each->next) {
        if (!each->taken) {
            return each;
        }
    }
    return NULL;
}

static sm_participant *sm_participant_new(void) {
    void *made = NULL;
    if (posix_memalign(&made, SM_PARTICIPANT_ALIGN, sizeof(sm_participant)) != 0) {
        return NULL;
    }
    memset(made, 0, sizeof(sm_participant));
    ((sm_participant *)made)->next = sm_participants;
    sm_store_release(&sm_participants, (sm_participant *)made);
    return made;
}

static int sm_has_open_bag(sm_participant *participant) {
    sm_garbage *garbage = &participant->garbage[participant->active];
    if (garbage->open == NULL && (garbage->open = malloc(sizeof(sm_bag))) != NULL) {
        garbage->open->n = 0;
    }
    return garbage->open != NULL;
}

/* Make this thread a participant; 0 when there is no memory for it. Nothing is locked or pinned. */
static int sm_join(void) {
    if (sm_likely(sm_me != NULL)) {
        return 1;
    }
    sm_lock(&sm_participants_lock);
    sm_participant *mine = sm_participant_left();
    if (mine == NULL) {
        mine = sm_participant_new();
    }
    if (mine != NULL && sm_has_open_bag(mine) && pthread_setspecific(sm_thread_end, mine) == 0) {
        mine->taken = 1;
        sm_me = mine;
    }
    sm_unlock(&sm_participants_lock);
    return sm_me != NULL;
}

static void sm_participant_forget(sm_participant *participant) {
    sm_lines_free(participant->lookaside, participant->lookaside_bytes);
    participant->lookaside = NULL;
}

/* Called without a thread state: the garbage stays for the next owner, or for whoever looks after it first. */
static void sm_participant_leave(void *participant) {
    sm_participant *mine = participant;
    sm_participant_forget(mine);
    sm_seen = NULL;
    sm_me = NULL;
    sm_lock(&sm_participants_lock);
    mine->taken = 0;
    mine->due = mine->busy = 0;
    if (mine->garbage[mine->active].things != 0) {
        sm_store_relaxed(&sm_orphans, 1);
    }
    sm_unlock(&sm_participants_lock);
}

/* Each process for itself tells the kernel that it will ask for barriers. */
static void sm_epochs_register(void) {
#if defined(SYS_membarrier)
    sm_epochs.exchange = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) != 0;
#else
    sm_epochs.exchange = 1;
#endif
}

static void sm_lock_participants(void) { sm_lock(&sm_participants_lock); }
static void sm_unlock_participants(void) { sm_unlock(&sm_participants_lock); }

/* Milliseconds, a few at a time: reading this clock takes 5 ns. */
static uint32_t sm_coarse_clock(void) {
    struct timespec now;
    clock_gettime(SM_COARSE_CLOCK, &now);
    return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}

/* In the child of a fork, where this is the only thread. */
static void sm_epochs_after_fork(void) {
    sm_participants_lock = 0;
    for (sm_participant *each = sm_participants; each != NULL; each = each->next) {
        if (each != sm_me) {
            sm_orphans |= each->taken;
            each->announced = 0;
            each->taken = 0;
            each->busy = 0;
            sm_participant_forget(each);
        }
    }
    sm_epochs_register();
}

static int sm_epochs_init(void) {
    sm_epochs_register();
    return pthread_key_create(&sm_thread_end, sm_participant_leave);
}

#else

#define sm_me ((sm_participant *)NULL)
#define sm_participants ((sm_participant *)NULL)
static uint32_t sm_orphans;

static inline uint64_t sm_seal(void) { return 0; }
static inline int sm_is_safe(uint64_t stamp) { return 1; }
static inline int sm_try_advance(uint64_t stamp, int looks) { return 1; }
static inline uint32_t sm_coarse_clock(void) { return 0; }
static inline void sm_lock_participants(void) {}
static inline void sm_unlock_participants(void) {}
static inline int sm_joined(void) { return 1; }
static inline int sm_join(void) { return 1; }
static inline void sm_pin(void) {}
static inline void sm_pin_to_write(void) {}
static inline void sm_unpin(void) {}
static inline void sm_wait_for_writers(void) {}
static inline void sm_synchronize(void) {}
static inline void sm_epochs_after_fork(void) {}
static inline int sm_epochs_init(void) { return 0; }

#endif
#endif
