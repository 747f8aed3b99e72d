/* Shrink against readers and an overwriter without locks: the shard gets new entries and a new table.
 *
 * Modelled: cysrc/wholemap.pyx: shrink of a shard (each word exchanged for MOVED and put into a new entry, then table,
 * old = NULL, map.stamp); before it a move that was going on, from table 0 to table 1 (cysrc/table.pyx); after it
 * perhaps a removal, and the beginning of the next move; readers that take the lock at MOVED; memory retired
 * (cysrc/include/sm_epoch.h).
 * Abstracted: the lookaside (lookaside.pml, stamp.pml); buckets of one slot, and one of them a table. One key.
 * In the middle of a move a key may be in `old` alone: a reader that has loaded `table` before and `old` after the
 * shrink would scan the table that the move was filling, and not find the key. So all buckets of that table are marked
 * EVACUATED between the stores of the new table and of old = NULL.
 * Property: a result was the key's value at some instant of the call; no update is lost; freed tables and entries are
 * not touched; references are looked up in the entries they were made for.
 * Size: READERS of CALLS calls each, WRITERS of one overwrite each, one shrink.
 *
 * Right as well:
 *   FINISH           the move is finished before the shrink, nothing is marked
 *   RECHECK          nothing is marked, but a reader looks at shard.table again after shard.old, and restarts if it
 *                    changed
 * Broken:
 *   NO_MARK          nothing is marked
 *   MARK_LATE        the buckets are marked after old = NULL
 *   NO_RESTART       readers scan EVACUATED buckets of the table they loaded
 *   COPY_WORD        the word is loaded and copied, and MOVED is stored later
 *   MOVED_ABSENT     a reader takes MOVED for absent
 *   NO_GRACE         the former entries and tables are freed at once
 *   SHARD_DIRECTORY  a reader finds the entry by the shard's directory of entries, loaded after the reference
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
#define KEYS 1
#include "common.pml"

#define DELETED ABSENT
#define MOVED 14
#define MINE (2 + me - READERS)
#define TABLES 4
/* Tables 0 and 1 refer to the former entries, tables 2 and 3 to the packed ones, by their number among them. The key is
 * the second one of the former entries, and the only one of the others. */
#define FORMER 0
#define PACKED 2
#define directory_of(which) ((which) < 2 -> FORMER : PACKED)

byte word[4];
bool tag[TABLES];
byte ref[TABLES];
bool evacuated[TABLES];
byte table = 1;
byte old = 0;
byte directory = FORMER;        /* of the shard */
bool gone;                      /* tables 0 and 1 and the former entries have been freed */
bool locked;

#define there(which) assert(!((which) < 2 && gone))

/* Without the lock, announced. The entry, or NONE. */
inline find() {
    d_step { found = NONE; bucket = NONE };
again:
    newer = table;
    former = old;
#ifdef RECHECK
    atomic {
        if
        :: table != newer -> goto again
        :: else
        fi
    };
#endif
    atomic {
        if
        :: former != NONE ->
            there(former);
            if
            :: !evacuated[former] -> bucket = former
            :: else
            fi
        :: else
        fi
    };
    atomic {
        if
        :: bucket == NONE ->
            there(newer);
            if
#ifndef NO_RESTART
            :: evacuated[newer] -> goto again
#endif
            :: else -> bucket = newer
            fi
        :: else
        fi;
        newer = 0;
        former = 0
    };
    d_step {
        there(bucket);
        if
        :: tag[bucket] -> found = ref[bucket]
        :: else
        fi
    };
    if
    :: found != NONE ->
#ifdef SHARD_DIRECTORY
        atomic { found = directory + found; assert(found != PACKED + 1) }   /* there is no second packed entry */
#else
        found = directory_of(bucket) + found
#endif
    :: else
    fi;
    bucket = 0
}

/* With the lock, in a d_step. */
inline find_locked() {
    bucket = ((old != NONE && !evacuated[old]) -> old : table);
    found = (tag[bucket] -> directory_of(bucket) + ref[bucket] : NONE)
}

proctype reader(byte me) {
    byte mine, newer, former, bucket, found, value, n;
    do
    :: n < CALLS ->
        n++;
        calls(0);
        enter(0);
        find();
        if
        :: found != NONE -> d_step { there(found); value = word[found] }
        :: else
        fi;
        leave();
#ifdef MOVED_ABSENT
        value = (value == MOVED -> ABSENT : value);
#endif
        if
        :: value == MOVED ->
            lock(locked);
            d_step { find_locked(); value = (found == NONE -> ABSENT : word[found]) };
            unlock(locked)
        :: else
        fi;
        returns(value);
        d_step { bucket = 0; found = 0; value = 0 }
    :: else -> break
    od
}

/* m[k] = v that leaves an absent key alone. */
proctype overwriter(byte me) {
    byte mine, newer, former, bucket, found, seen;
    bool done;
    calls(0);
    enter(1);
    find();
    if
    :: found != NONE ->
        d_step { there(found); seen = word[found] };
        d_step {
            there(found);
            if
            :: seen != DELETED && seen != MOVED && word[found] == seen ->
                assert(current[0] == seen);
                word[found] = MINE;
                became(0, word[found]);
                done = true
            :: else
            fi
        }
    :: else
    fi;
    leave();
    if
    :: done
    :: else ->
        lock(locked);
        d_step {
            find_locked();
            if
            :: found == NONE -> assert(been[me] & (1 << ABSENT))
            :: else -> assert(current[0] == word[found]); word[found] = MINE; became(0, word[found])
            fi
        };
        unlock(locked)
    fi;
    been[me] = 0
}

inline evacuate() {
    d_step { tag[table] = tag[old]; ref[table] = ref[old] };
    evacuated[old] = true
}

inline shrink() {
#ifdef FINISH
    if
    :: old != NONE ->
        evacuate();
        old = NONE
    :: else
    fi;
#endif
#ifdef COPY_WORD
    value = word[FORMER + 1];
    word[PACKED] = value;
    word[FORMER + 1] = MOVED;
#else
    d_step { value = word[FORMER + 1]; word[FORMER + 1] = MOVED };
    word[PACKED] = value;
#endif
    d_step { tag[2] = true; ref[2] = 0 };
    directory = PACKED;
    table = 2;
#if !defined(FINISH) && !defined(RECHECK) && !defined(NO_MARK) && !defined(MARK_LATE)
    if
    :: old != NONE -> evacuated[1] = true
    :: else
    fi;
#endif
    old = NONE;
#ifdef MARK_LATE
    evacuated[1] = true
#endif
}

proctype writer() {
    byte found, bucket, value, when, i;
    /* The move may have come to its end before. */
    if
    :: lock(locked); evacuate(); old = NONE; unlock(locked)
    :: skip
    fi;
    lock(locked);
    shrink();
    unlock(locked);
#ifdef NO_GRACE
    gone = true;
#else
    seal(when);
#endif
    if
    :: lock(locked);
        d_step { word[PACKED] = DELETED; became(0, ABSENT) };
        tag[2] = false;
        unlock(locked)
    :: skip
    fi;
    lock(locked);
    old = 2;
    table = 3;
    unlock(locked);
    lock(locked);
    evacuate();
    unlock(locked);
#ifndef NO_GRACE
    wait_safe(when, i);
    gone = true
#endif
}

init {
    byte i;
    atomic {
        word[FORMER + 1] = 1;
        current[0] = 1;
        tag[0] = true;
        ref[0] = 1;
        do
        :: i < READERS -> run reader(i); i++
        :: i >= READERS && i < THREADS -> run overwriter(i); i++
        :: else -> break
        od;
        run writer()
    }
}
