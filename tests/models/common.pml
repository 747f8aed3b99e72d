/* What all models share: records and epochs, the ghost that judges results, a lock.
 *
 * Modelled: the epoch, a record for each thread (cysrc/include/sm_epoch.h, where enter and leave are called pin and
 * unpin, and wait_safe is is_safe and try_advance), and, with TSO defined, the store buffer between a thread and its
 * record.
 *
 * A model defines THREADS and KEYS before it includes this file. Each of its processes that has a record has a variable
 * `me`, its index, and `mine`.
 *
 * Every access to memory that another thread can see is a step of its own. What is only the proof's (been, current)
 * changes in the same step as the memory it speaks of.
 */

#define NONE 15

/* -- records and epochs: cysrc/include/sm_epoch.h ------------------------------------------------------------------ */

#ifdef FROM_ZERO
byte epoch = 0;
#else
byte epoch = 1;
#endif
byte announced[THREADS];        /* 0, or epoch << 1 | writing, as other threads see it */

#ifdef TSO

/* x86: a store waits in its processor's buffer while the loads behind it go ahead. Stores leave in order. */
chan buffer[THREADS] = [2] of { byte };
#define publish(what) buffer[me]!(what)

/* The buffer drains whenever it likes. */
proctype processor(byte me) {
    byte what;
end:
    do
    :: atomic { buffer[me]?what -> announced[me] = what; what = 0 }
    od
}

hidden byte gone;

inline drain(who) {
    atomic {
        do
        :: nempty(buffer[who]) -> buffer[who]?gone; announced[who] = gone
        :: empty(buffer[who]) -> break
        od
    }
}

/* Every other processor makes a full fence, each at some moment of the call. */
inline membarrier(i) {
    i = 0;
    do
    :: i < THREADS -> drain(i); i++
    :: else -> break
    od;
    i = 0
}

#else

#define publish(what) announced[me] = (what)
#define membarrier(i) skip

#endif

/* The load of the epoch and the store of the record are two steps: the epoch may be old when it is announced. */
inline enter(writing) {
    mine = epoch;
    publish((mine << 1) | writing);
    mine = 0
}

inline leave() { publish(0) }

/* What was unlinked before is stamped with the value returned. */
inline seal(stamp) { d_step { stamp = epoch; epoch++ } }

#ifdef OFF_BY_ONE
#define is_beyond(record, stamp) ((record) >> 1 >= (stamp))
#else
#define is_beyond(record, stamp) ((record) >> 1 > (stamp))
#endif

/* The records are looked at one after the other. The real one gives up at the first that is not, and tries again later:
 * waiting allows the same and more. */
inline wait_safe(stamp, i) {
#ifndef NO_BARRIER_IN_SAFE
    membarrier(i);
#endif
    i = 0;
    do
    :: atomic { i < THREADS && (announced[i] == 0 || is_beyond(announced[i], stamp)) -> i++ }
    :: i == THREADS -> break
    od;
    i = 0
}

/* -- the ghost ----------------------------------------------------------------------------------------------------- */

/* All writes have a fixed point of linearization, where `became` is called. A history is linearizable if each result
 * was the key's value at some instant between call and return: been[c] has the bits of the values it has had since c's
 * call began. With several keys this is so for all of them, since there is one order of instants. */
#define ABSENT 0

byte current[KEYS];
int been[THREADS];              /* 0: not in a call */
#if KEYS > 1
byte about[THREADS];            /* the key that the call is about */
#else
#define about(thread) 0
#endif
hidden byte each;

inline calls(key) {
    d_step {
#if KEYS > 1
        about[me] = key;
#endif
        been[me] = 1 << current[key]
    }
}

inline became(key, value) {
    current[key] = value;
    each = 0;
    do
    :: each < THREADS ->
        if
#if KEYS > 1
        :: been[each] && about[each] == key -> been[each] = been[each] | (1 << (value))
#else
        :: been[each] -> been[each] = been[each] | (1 << (value))
#endif
        :: else
        fi;
        each++
    :: else -> break
    od;
    each = 0
}

inline returns(value) {
    d_step {
        assert(been[me] & (1 << (value)));
        been[me] = 0
    }
}

/* -- locks --------------------------------------------------------------------------------------------------------- */

#define lock(which) atomic { which == 0 -> which = 1 }
#define unlock(which) which = 0
