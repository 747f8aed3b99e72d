/* The lookaside against clear, which frees the memory of entries: a stamp is compared after the announcement.
 *
 * Modelled: cysrc/lookaside.pyx: the stamp in what a thread remembers, recall and remember; cysrc/stripes.pyx:
 * clear_all, which stores 0, replaces the table, stores a number never used before, and retires the entries
 * (cysrc/include/sm_epoch.h). After each clear the key is inserted again, into new memory.
 * Abstracted: one shard and one key; a table is its one entry; the second look at the key is in lookaside.pml.
 * Property: a freed entry is not touched; a result was the key's value at some instant of the call.
 * Size: READERS of CALLS calls each, CLEARS clears, an insertion after each.
 *
 * Broken:
 *   LATE_NOTE    a reader remembers an entry with the stamp of the time when it remembers, not of the time before it
 *                looked at the table
 *   EARLY_CHECK  recall compares the stamp before it announces itself
 *   LATE_STAMP   the entries are retired before the stamp changes
 */

#ifndef READERS
#define READERS 2
#endif
#ifndef CALLS
#define CALLS 2
#endif
#ifndef CLEARS
#define CLEARS 1
#endif
#define THREADS READERS
#define KEYS 1
#include "common.pml"

#define ENTRIES (CLEARS + 1)

byte stamp = 1;
byte table = 0;                 /* the entry; NONE: the table is empty */
byte word[ENTRIES];
bool gone_entry[ENTRIES];       /* freed */
bool locked;

inline touch(entry) { assert(!gone_entry[entry]) }

proctype reader(byte me) {
    byte mine, at, value, before, n;
    byte seen = NONE, seen_stamp;
    bool done;
    do
    :: n < CALLS ->
        n++;
        calls(0);
#ifdef EARLY_CHECK
        done = (seen != NONE && seen_stamp == stamp);
        enter(0);
#else
        enter(0);
        done = (seen != NONE && seen_stamp == stamp);
#endif
        if
        :: done -> d_step { touch(seen); value = word[seen] }
        :: else ->
            before = stamp;
            if
            :: before != 0 ->
                done = true;
                at = table;
                if
                :: at != NONE ->
                    d_step { touch(at); value = word[at] };
                    seen = at;
#ifdef LATE_NOTE
                    seen_stamp = stamp
#else
                    seen_stamp = before
#endif
                :: else
                fi
            :: else
            fi
        fi;
        leave();
        if
        :: done
        :: else ->
            lock(locked);
            d_step {
                at = table;
                value = (at == NONE -> ABSENT : word[at]);
                if
                :: at != NONE -> seen = at; seen_stamp = stamp
                :: else
                fi
            };
            unlock(locked)
        fi;
        returns(value);
        d_step { at = 0; value = 0; before = 0; done = false }
    :: else -> break
    od
}

proctype writer() {
    byte when, i, n;
    do
    :: n < CLEARS ->
        lock(locked);
#ifdef LATE_STAMP
        d_step { table = NONE; became(0, ABSENT) };
        seal(when);
        wait_safe(when, i);
        gone_entry[n] = true;
        stamp = 0;
        stamp = 2 + n;
#else
        d_step { stamp = 0; became(0, ABSENT) };
        table = NONE;
        stamp = 2 + n;
#endif
        unlock(locked);
        lock(locked);
        table = n + 1;
        d_step { word[n + 1] = 2 + n; became(0, 2 + n) };
        unlock(locked);
#ifndef LATE_STAMP
        seal(when);
        wait_safe(when, i);
        gone_entry[n] = true;
#endif
        d_step { when = 0; n++ }
    :: else -> break
    od
}

init {
    byte i;
    atomic {
        word[0] = 1;
        current[0] = 1;
        do
        :: i < READERS -> run reader(i); i++
        :: else -> break
        od;
        run writer()
    }
}
