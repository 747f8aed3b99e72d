/* Readers against overwriters: a value is released when nobody can be reading it.
 *
 * Modelled: get and m[k] = v without locks on one entry (cysrc/entry.pyx: the word; cysrc/overwrite.pyx:
 * compare-and-swap; cysrc/include/sm_epoch.h: enter, leave, seal, safe). The overwriters pass what they displaced to a
 * reclaimer (cysrc/retire.pyx), which seals, waits and releases.
 * Abstracted: the way from the key to the entry (growth.pml, remove.pml), store buffers (tso.pml), batches.
 * Property: a reference is never taken to a released value; a value is released once; a result was the key's value at
 * some instant of the call; in the end all but the present value are released.
 * Size: READERS of CALLS calls each, WRITERS of WRITES overwrites each, one key.
 *
 * Broken:
 *   LATE_ANNOUNCE  the reader loads the word before it announces itself
 *   LEAVE_EARLY    the reader leaves before it takes the reference
 *   NO_GRACE       the displaced value is released at once
 *   SEAL_FIRST     the stamp is taken before the value is displaced
 *   OFF_BY_ONE     a reader that announced the very epoch of the stamp does not count
 *   FROM_ZERO      the first epoch is 0, so a reader in it announces what means that it is not there
 *   BLIND_STORE    the overwriter stores without looking whether the word is still the one it displaces
 */

#ifndef READERS
#define READERS 2
#endif
#ifndef CALLS
#define CALLS 2
#endif
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef WRITES
#define WRITES 1
#endif
#define THREADS (READERS + WRITERS)
#define KEYS 1
#define VALUES (2 + WRITERS * WRITES)
#include "common.pml"

#define MINE (2 + (me - READERS) * WRITES + n)  /* of an overwriter's n-th call */

byte word = 1;
bool released[VALUES];
chan retired = [WRITERS * WRITES] of { byte, byte };

proctype reader(byte me) {
    byte mine, value, n;
    do
    :: n < CALLS ->
        n++;
        calls(0);
#ifdef LATE_ANNOUNCE
        value = word;
        enter(0);
#else
        enter(0);
        value = word;
#endif
#ifdef LEAVE_EARLY
        leave();
        assert(!released[value]);       /* takes a reference */
#else
        assert(!released[value]);       /* takes a reference */
        leave();
#endif
        returns(value);
        value = 0
    :: else -> break
    od
}

proctype overwriter(byte me) {
    byte mine, seen, stamp, n;
    bool done;
    do
    :: n < WRITES ->
        done = false;
        do
        :: !done ->
#ifdef SEAL_FIRST
            seal(stamp);
#endif
            enter(1);
            seen = word;
#ifdef BLIND_STORE
            d_step { word = MINE; became(0, word); done = true };
#else
            d_step {
                if
                :: word == seen -> word = MINE; became(0, word); done = true
                :: else
                fi
            };
#endif
            leave()
        :: else -> break
        od;
        retired!seen, stamp;
        atomic { seen = 0; stamp = 0; n++ }
    :: else -> break
    od
}

proctype reclaimer() {
    byte value, stamp, sealed, i, n;
    do
    :: n < WRITERS * WRITES ->
        n++;
        retired?value, stamp;
#ifndef SEAL_FIRST
        seal(stamp);
#endif
#ifndef NO_GRACE
        wait_safe(stamp, i);
#endif
        d_step { assert(!released[value]); released[value] = true; value = 0; stamp = 0 }
    :: else -> break
    od;
    i = 1;
    do
    :: i < VALUES -> assert(released[i] || i == word); i++
    :: else -> break
    od
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
        run reclaimer()
    }
}
