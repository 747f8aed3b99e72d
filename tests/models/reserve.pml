/* A callback computes a key's next value, while overwriters and readers go on without locks.
 *
 * Modelled: cysrc/reservation.pyx: a key is reserved (fetch_or of RESERVED, or RESERVED alone for an absent one), its
 * callback runs without the lock, then it is settled or removed; cysrc/overwrite.pyx: an overwriter's compare-and-swap
 * fails on any mark, and its slow path waits until the reservation has ended; a reader takes v from v|RESERVED, and
 * nothing from RESERVED alone.
 * Abstracted: one entry, which is the key's for ever: DELETED means not in the map, and an insertion stores its word.
 * Property: a result was the key's value at some instant of the call; between reserving and settling the key keeps the
 * value that the callback was given; no update is lost; no deadlock.
 * Size: READERS of CALLS calls each, WRITERS of WRITES overwrites each, COMPUTERS of one computation each, which stores
 * or removes.
 *
 * Broken:
 *   RESERVE_BLIND    reserving loads the word and stores it with the mark, two steps
 *   IGNORE_MARK      an overwriter displaces a word that has the mark
 *   SETTLE_UNMARKED  the mark is taken off before the value is stored
 *   MARK_HIDES       a reader takes v|RESERVED for absent
 */

#ifndef READERS
#define READERS 1
#endif
#ifndef CALLS
#define CALLS 2
#endif
#ifndef WRITERS
#define WRITERS 1
#endif
#ifndef WRITES
#define WRITES 2
#endif
#ifndef COMPUTERS
#define COMPUTERS 2
#endif
#define THREADS (READERS + WRITERS)
#define KEYS 1
#include "common.pml"

#define DELETED 0
#define RESERVED 16
#define value_in(what) ((what) & 15)
#define MINE (2 + (me - READERS) * WRITES + n)  /* of an overwriter's n-th call */
#define COMPUTED(n) (2 + WRITERS * WRITES + (n))

byte word = 1;
bool locked;

proctype reader(byte me) {
    byte mine, value, n;
    do
    :: n < CALLS ->
        n++;
        calls(0);
        enter(0);
        value = word;
#ifdef MARK_HIDES
        value = (value & RESERVED -> ABSENT : value);
#endif
        value = value_in(value);
        leave();
        returns(value);
        value = 0
    :: else -> break
    od
}

/* m[k] = v, which inserts an absent key. */
proctype overwriter(byte me) {
    byte mine, seen, n;
    bool done;
    do
    :: n < WRITES ->
        enter(1);
        seen = word;
#ifndef IGNORE_MARK
        if
        :: seen & RESERVED -> seen = DELETED
        :: else
        fi;
#endif
        d_step {
            if
            :: value_in(seen) != DELETED && word == seen ->
                assert(current[0] == value_in(seen));
                word = MINE;
                became(0, word);
                done = true
            :: else
            fi;
            seen = 0
        };
        leave();
        if
        :: done
        :: else ->
            atomic { !locked && !(word & RESERVED) -> locked = true };
            d_step { assert(current[0] == word); word = MINE; became(0, word) };
            unlock(locked)
        fi;
        d_step { done = false; n++ }
    :: else -> break
    od
}

proctype computer(byte number) {
    byte given;
    atomic { !locked && !(word & RESERVED) -> locked = true };
#ifdef RESERVE_BLIND
    given = word;
    word = given | RESERVED;
#else
    d_step { given = word; word = word | RESERVED };
#endif
    unlock(locked);
    /* The callback. */
    lock(locked);
#ifdef SETTLE_UNMARKED
    word = value_in(word);
#endif
    if
    :: d_step { assert(current[0] == given); word = COMPUTED(number); became(0, word) }
    :: d_step { assert(current[0] == given); word = DELETED; became(0, ABSENT) }
    fi;
    unlock(locked)
}

init {
    byte i;
    atomic {
        current[0] = word;
        do
        :: i < READERS -> run reader(i); i++
        :: i >= READERS && i < THREADS -> run overwriter(i); i++
        :: else -> break
        od;
        i = 0;
        do
        :: i < COMPUTERS -> run computer(i); i++
        :: else -> break
        od
    }
}
