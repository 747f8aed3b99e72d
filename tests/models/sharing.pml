/* A private map becomes shared: its maker releases what it displaces at once, until another thread uses the map.
 *
 * Modelled: cysrc/sharing.pyx: map.shared, which the maker looks at after its announcement; other threads that set it,
 * issue a membarrier, and wait until every announced record has left. Store buffers as in tso.pml. The flag has three
 * states: private, becoming shared, shared. A thread that finds it becoming shared waits as the one that made it so.
 * Abstracted: what is displaced is the value of one key.
 * Property: a reference is never taken to a released value; a value is released once; a result was the key's value at
 * some instant of the call; no deadlock.
 * Size: the maker with WRITES overwrites, OTHERS other threads with CALLS reads each.
 *
 * Broken:
 *   NO_WAIT        another thread sets the flag and goes on
 *   NO_MEMBARRIER  it waits, but without the membarrier
 *   EARLY_LOOK     the maker looks at the flag before its announcement
 *   ONE_FLAG       the flag has two states: a third thread finds it set and goes on, while the second one still waits
 *   JOIN_INSIDE    other threads wait while they are announced, leaving out their own record: two wait for each other
 */

#ifndef OTHERS
#define OTHERS 2
#endif
#ifndef CALLS
#define CALLS 1
#endif
#ifndef WRITES
#define WRITES 2
#endif
#define THREADS (1 + OTHERS)
#define KEYS 1
#define TSO
#define VALUES (2 + WRITES)
#include "common.pml"

#define PRIVATE 0
#define BECOMING 1
#define SHARED 2

byte shared = PRIVATE;
byte word = 1;
bool released[VALUES];

inline release(value) {
    assert(!released[value]);
    released[value] = true
}

proctype maker() {
    byte me = 0;
    byte mine, state, seen, when, i, n;
    do
    :: n < WRITES ->
#ifdef EARLY_LOOK
        state = shared;
        enter(1);
#else
        enter(1);
        state = shared;
#endif
        /* Nobody else writes. A locked instruction: the store buffer is empty when it is done. */
        atomic {
            drain(me);
            seen = word;
            word = 2 + n;
            became(0, word)
        };
        if
        :: state == PRIVATE ->
            if
            :: d_step { release(seen) }; leave()
            :: leave(); d_step { release(seen) }
            fi
        :: else ->
            leave();
            seal(when);
            wait_safe(when, i);
            d_step { release(seen) }
        fi;
        d_step { state = 0; seen = 0; when = 0; n++ }
    :: else -> break
    od
}

/* Not announced, and without locks. */
inline join() {
    state = shared;
    if
#ifdef ONE_FLAG
    :: state != PRIVATE
#else
    :: state == SHARED
#endif
    :: else ->
        shared = BECOMING;
#ifndef NO_WAIT
#ifndef NO_MEMBARRIER
        membarrier(i);
#endif
        i = 0;
        do
        :: atomic { i < THREADS && (announced[i] == 0 || i == me) -> i++ }
        :: i == THREADS -> break
        od;
        i = 0;
#endif
        shared = SHARED
    fi;
    state = 0
}

proctype other(byte me) {
    byte mine, state, value, i, n;
    do
    :: n < CALLS ->
        n++;
#ifdef JOIN_INSIDE
        enter(0);
        join();
        calls(0);
#else
        join();
        calls(0);
        enter(0);
#endif
        value = word;
        assert(!released[value]);       /* takes a reference */
        leave();
        returns(value);
        value = 0
    :: else -> break
    od
}

init {
    byte i;
    atomic {
        current[0] = word;
        do
        :: i < THREADS ->
            run processor(i);
            if
            :: i > 0 -> run other(i)
            :: else
            fi;
            i++
        :: else -> break
        od;
        run maker()
    }
}
