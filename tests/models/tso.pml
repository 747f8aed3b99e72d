/* The announcement under x86's memory model: a plain store, made visible by the reclaimer's membarrier.
 *
 * Modelled: cysrc/include/sm_epoch.h: enter, leave, seal, safe and membarrier. A reader's store of its record waits in
 * the store buffer of its processor, while the load of the word goes ahead; leave's store waits there too. The
 * displacing exchange and the increment of the epoch are locked instructions, so the reclaimer needs no buffer of its
 * own.
 * Abstracted: everything else; one writer displaces, seals, waits and releases.
 * Property: as in epoch.pml.
 * Size: READERS of CALLS calls each, one writer of WRITES displacements, store buffers of two stores.
 *
 * Right as well:
 *   FENCED         each reader waits for its store buffer after enter; the reclaimer issues no membarrier
 * Broken:
 *   NO_MEMBARRIER  nobody makes the announcement visible
 *   BARRIER_FIRST  the membarrier comes before the value is displaced
 */

#ifndef READERS
#define READERS 2
#endif
#ifndef CALLS
#define CALLS 2
#endif
#ifndef WRITES
#define WRITES 2
#endif
#define THREADS READERS
#define KEYS 1
#define VALUES (2 + WRITES)
#define TSO
#if defined(NO_MEMBARRIER) || defined(BARRIER_FIRST) || defined(FENCED)
#define NO_BARRIER_IN_SAFE
#endif
#include "common.pml"

byte word = 1;
bool released[VALUES];

proctype reader(byte me) {
    byte mine, value, n;
    do
    :: n < CALLS ->
        n++;
        calls(0);
        enter(0);
#ifdef FENCED
        empty(buffer[me]);
#endif
        value = word;
        assert(!released[value]);       /* takes a reference */
        leave();
        returns(value);
        value = 0
    :: else -> break
    od
}

proctype writer() {
    byte displaced, stamp, i, n;
    do
    :: n < WRITES ->
#ifdef BARRIER_FIRST
        membarrier(i);
#endif
        d_step { displaced = word; word = 2 + n; became(0, word) };
        seal(stamp);
        wait_safe(stamp, i);
        d_step { assert(!released[displaced]); released[displaced] = true; displaced = 0; stamp = 0; n++ }
    :: else -> break
    od
}

init {
    byte i;
    atomic {
        current[0] = word;
        do
        :: i < READERS -> run reader(i); run processor(i); i++
        :: else -> break
        od;
        run writer()
    }
}
