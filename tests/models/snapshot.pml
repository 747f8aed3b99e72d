/* A snapshot against overwriters without locks, over two keys in two shards: it shows one instant.
 *
 * Modelled: cysrc/stripes.pyx: all locks, map.frozen, the wait for announced overwriters; cysrc/capture.pyx: the words
 * are read one after the other; cysrc/overwrite.pyx: the overwriter looks at map.frozen after its announcement, without
 * success it takes the lock. Store buffers as in tso.pml.
 * Abstracted: reclamation (epoch.pml); inserts and removals, which need the locks; the way from a key to its entry.
 * Property: what a snapshot found was the state of both keys at one instant while it ran; no deadlock. The words'
 * instants are the only ones there are: a reader that looks at both keys between any two changes would prove their
 * order.
 * Size: WRITERS of PASSES passes each, a pass being an overwrite of each key (every other writer the other way round);
 * SNAPSHOTS snapshots.
 *
 * Broken:
 *   NO_WAIT        the snapshot does not wait for announced overwriters
 *   NO_MEMBARRIER  it waits, but without the membarrier
 *   NO_LOOK        the overwriter does not look at map.frozen
 *   LOOK_FIRST     the overwriter looks at map.frozen before it announces itself
 *   FREEZE_LATE    map.frozen is set after the wait
 *   THAW_EARLY     map.frozen is reset before the words are read
 *   READERS_BIT    the overwriter announces itself as a reader
 */

#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef PASSES
#define PASSES 1
#endif
#ifndef SNAPSHOTS
#define SNAPSHOTS 1
#endif
#define THREADS WRITERS
#define KEYS 2
#define TSO
#include "common.pml"

#define STATE (1 << (word[0] * 4 + word[1]))    /* values are 0 to 3 */
#ifdef READERS_BIT
#define WRITING 0
#else
#define WRITING 1
#endif

byte word[KEYS];
bool locked[KEYS];
bool frozen;
int states;             /* of both keys, since the snapshot began; 0: there is none */

inline settle(key, value) {
    word[key] = value;
    if
    :: states -> states = states | STATE
    :: else
    fi
}

inline overwrite(key, value) {
    d_step { done = false; ice = false };
#ifdef LOOK_FIRST
    ice = frozen;
    enter(WRITING);
#else
    enter(WRITING);
#ifndef NO_LOOK
    ice = frozen;
#endif
#endif
    if
    :: !ice ->
        seen = word[key];
        /* A locked instruction: the store buffer is empty when it is done. */
        atomic {
            drain(me);
            if
            :: word[key] == seen -> settle(key, value); done = true
            :: else
            fi;
            seen = 0
        }
    :: else
    fi;
    leave();
    if
    :: !done ->
        lock(locked[key]);
        d_step { settle(key, value) };
        unlock(locked[key])
    :: else
    fi
}

proctype overwriter(byte me) {
    byte mine, seen, n, key;
    bool done, ice;
    do
    :: n < 2 * PASSES ->
        key = (n + me) & 1;
        overwrite(key, 1 + me + (n >> 1));
        n++
    :: else -> break
    od
}

inline wait_for_writers() {
#ifndef NO_MEMBARRIER
    membarrier(i);
#endif
    i = 0;
    do
    :: atomic { i < THREADS && !(announced[i] & 1) -> i++ }
    :: i == THREADS -> break
    od;
    i = 0
}

proctype snapshot() {
    byte i, n, first, second;
    do
    :: n < SNAPSHOTS ->
        n++;
        d_step { states = STATE };
        lock(locked[0]);
        lock(locked[1]);
#ifndef FREEZE_LATE
        frozen = true;
#endif
#ifndef NO_WAIT
        wait_for_writers();
#endif
#ifdef FREEZE_LATE
        frozen = true;
#endif
#ifdef THAW_EARLY
        frozen = false;
#endif
        first = word[0];
        second = word[1];
#ifndef THAW_EARLY
        frozen = false;
#endif
        unlock(locked[0]);
        unlock(locked[1]);
        d_step { assert(states & (1 << (first * 4 + second))); states = 0; first = 0; second = 0 }
    :: else -> break
    od
}

init {
    byte i;
    atomic {
        do
        :: i < WRITERS -> run overwriter(i); run processor(i); i++
        :: else -> break
        od;
        run snapshot()
    }
}
