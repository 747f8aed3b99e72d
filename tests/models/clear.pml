/* Clear against readers, an overwriter and an insert without waiting, over two shards: one instant.
 *
 * Modelled: cysrc/stripes.pyx: clear_all: all locks, map.stamp = 0, every shard's table = EMPTY, map.stamp = a new
 * number, the contents retired; readers and overwriters that look at the stamp after their announcement and take the
 * lock if it is 0 (cysrc/probe.pyx, cysrc/overwrite.pyx); a writer that inserts into the empty shard.
 * Abstracted: a table is its one entry; growth (growth.pml). Key 0 is overwritten and inserted again, key 1 is not.
 * Property: a result was the key's value at some instant of the call, the instant of clear being the store of 0: what a
 * thread finds or overwrites in the old tables later counts as just before it, so its call must have begun before it.
 * Directly: who has found a key absent does not find key 1 later. Entries and values that have been freed are not
 * touched, each value is released once, and in the end all but those in the map have been.
 * Size: READERS of CALLS calls each, an overwriter of one overwrite, an inserter of one insert, one clear.
 *
 * Broken:
 *   NO_ZERO          the new stamp is stored before the tables; it is never 0
 *   ZERO_LATE        the stamp is stored after the tables
 *   NO_LOOK          readers do not look at the stamp
 *   NO_GRACE         the contents are freed at once
 *   CONTENTS_EARLY   the values to be released are read from the words when the tables are replaced, not when nobody
 *                    can overwrite them any more
 *   SHARD_DIRECTORY  a reader finds the entry by the shard's directory of entries, loaded after the reference, instead
 *                    of the one that belongs to the table
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
#define THREADS (READERS + WRITERS)
#define KEYS 2
#include "common.pml"

#define DELETED ABSENT
#define WRITTEN 3
#define INSERTED 4
#define VALUES 5
/* Tables: of key k in shard k, which has entry k in the beginning and entry 2 + k later. */
#define EMPTY 0
#define FORMER 1
#define LATER 2
#define entry_of(which, what) ((what) == FORMER -> (which) : 2 + (which))

byte stamp = 1;
byte table[KEYS] = FORMER;
byte directory[KEYS] = FORMER;
byte word[2 * KEYS];
bool gone_entry[KEYS];
bool released[VALUES];
bool locked[KEYS];
/* The ghost of clear: the callers whose calls span its instant. */
bool spans[THREADS];
bool cleared;

inline release(value) {
    assert(!released[value]);
    released[value] = true
}

/* In the step of an overwrite in a table that is no longer the map's. */
inline became_before(key, value) {
    assert(spans[me]);
    each = 0;
    do
    :: each < THREADS ->
        if
        :: spans[each] && about[each] == key -> been[each] = been[each] | (1 << (value))
        :: else
        fi;
        each++
    :: else -> break
    od;
    each = 0
}

#if defined(NO_ZERO) || defined(ZERO_LATE) || defined(NO_LOOK)
/* These have no instant to speak of. They are judged by what one thread finds, one call after the other. */
#define ends(value) d_step { been[me] = 0; spans[me] = false }
#else
#define ends(value) d_step { assert(been[me] & (1 << (value))); been[me] = 0; spans[me] = false }
#endif

inline instant() {
    cleared = true;
    became(0, ABSENT);
    became(1, ABSENT);
    each = 0;
    do
    :: each < THREADS -> spans[each] = (been[each] != 0); each++
    :: else -> break
    od;
    each = 0
}

/* Announced; the entry, or NONE. */
inline find(which) {
    at = table[which];
    if
    :: at == EMPTY -> at = NONE
    :: else ->
#ifdef SHARD_DIRECTORY
        at = directory[which];
        assert(at != EMPTY);
#endif
        at = entry_of(which, at)
    fi
}

inline touch(entry) {
    if
    :: entry < KEYS -> assert(!gone_entry[entry])
    :: else
    fi
}

proctype reader(byte me) {
    byte mine, key, at, value, n;
    bool was_cleared;
    do
    :: n < CALLS ->
        n++;
        if
        :: key = 0
        :: key = 1
        fi;
        calls(key);
        enter(0);
#ifdef NO_LOOK
        at = 1;
#else
        at = stamp;
#endif
        if
        :: at != 0 ->
            find(key);
            if
            :: at != NONE ->
                d_step { touch(at); value = word[at] };
                assert(!released[value] || value == DELETED)      /* takes a reference */
            :: else
            fi;
            leave()
        :: else ->
            leave();
            lock(locked[key]);
            d_step { value = (table[key] == EMPTY -> ABSENT : word[entry_of(key, table[key])]) };
            unlock(locked[key])
        fi;
        ends(value);
        d_step {
            assert(!(was_cleared && key == 1 && value != ABSENT));
            was_cleared = was_cleared || value == ABSENT;
            at = 0;
            value = 0;
            key = 0
        }
    :: else -> break
    od
}

/* m[key 0] = v that leaves an absent key alone. */
proctype overwriter(byte me) {
    byte mine, at, seen, when, i;
    bool done;
    calls(0);
    enter(1);
    at = stamp;
    if
    :: at != 0 ->
        find(0);
        if
        :: at != NONE ->
            d_step { touch(at); seen = word[at] };
            d_step {
                touch(at);
                if
                :: seen != DELETED && word[at] == seen ->
                    word[at] = WRITTEN;
                    done = true;
                    if
                    :: at == 0 && cleared -> became_before(0, WRITTEN)
                    :: else -> became(0, WRITTEN)
                    fi
                :: else
                fi
            }
        :: else
        fi
    :: else
    fi;
    leave();
    if
    :: done
    :: else ->
        lock(locked[0]);
        d_step {
            seen = (table[0] == EMPTY -> ABSENT : word[entry_of(0, table[0])]);
            if
            :: seen != ABSENT -> word[entry_of(0, table[0])] = WRITTEN; became(0, WRITTEN); done = true
            :: else -> released[WRITTEN] = true     /* never stored */
            fi
        };
        unlock(locked[0])
    fi;
    d_step { been[me] = 0; spans[me] = false };
    if
    :: done ->
        seal(when);
        wait_safe(when, i);
        d_step { release(seen) }
    :: else
    fi
}

proctype inserter() {
    lock(locked[0]);
    if
    :: table[0] == EMPTY ->
        directory[0] = LATER;
        table[0] = LATER;
        d_step { word[2] = INSERTED; became(0, INSERTED) }
    :: else -> released[INSERTED] = true            /* never stored */
    fi;
    unlock(locked[0])
}

proctype clear() {
    byte when, i, first, second;
    lock(locked[0]);
    lock(locked[1]);
#if defined(NO_ZERO)
    stamp = 2;
    directory[0] = EMPTY;
    d_step { table[0] = EMPTY; instant() };
    directory[1] = EMPTY;
    table[1] = EMPTY;
#elif defined(ZERO_LATE)
    directory[0] = EMPTY;
    table[0] = EMPTY;
    directory[1] = EMPTY;
    table[1] = EMPTY;
    d_step { stamp = 0; instant() };
    stamp = 2;
#else
    d_step { stamp = 0; instant() };
    directory[0] = EMPTY;
    table[0] = EMPTY;
    directory[1] = EMPTY;
    table[1] = EMPTY;
    stamp = 2;
#endif
#ifdef CONTENTS_EARLY
    first = word[0];
    second = word[1];
#endif
    unlock(locked[0]);
    unlock(locked[1]);
#ifndef NO_GRACE
    seal(when);
    wait_safe(when, i);
#endif
#ifndef CONTENTS_EARLY
    first = word[0];
    second = word[1];
#endif
    d_step { release(first); release(second); gone_entry[0] = true; gone_entry[1] = true }
}

init {
    byte i;
    atomic {
        word[0] = 1;
        word[1] = 2;
        current[0] = 1;
        current[1] = 2;
        do
        :: i < READERS -> run reader(i); i++
        :: i >= READERS && i < THREADS -> run overwriter(i); i++
        :: else -> break
        od;
        run inserter();
        run clear()
    };
    /* All have ended: what is not in the map has been released. */
    _nr_pr == 1;
    i = 1;
    do
    :: i < VALUES ->
        assert(released[i] != (table[0] == LATER && word[2] == i || WRITERS == 0 && i == WRITTEN));
        i++
    :: else -> break
    od
}
