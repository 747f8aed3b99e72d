/* Readers and an overwriter without locks against a writer that grows the table, twice.
 *
 * Modelled: cysrc/table.pyx: begin_resize, evacuate, the end of a move (old = NULL), insert and remove that move their
 * own bucket first, home with its restart; a bucket with one slot and an overflow bucket with one, whose link is in one
 * word with the mark EVACUATED; tables retired and freed (cysrc/include/sm_epoch.h). One key, whose entry stays where
 * it is.
 * Abstracted: one bucket a table, so all its keys move in one step of the move; the first slot of the first table is
 * taken by another key, so the key is in the overflow bucket in the beginning. Entries are not used again, a tag and
 * its reference are one (remove.pml). The records are looked at in one step (epoch.pml).
 * Property: a result was the key's value at some instant of the call; no update is lost; a freed table is not looked
 * at.
 * Size: READERS of CALLS calls each, WRITERS of WRITES overwrites each, three tables, EDITS removals and insertions.
 *
 * Broken:
 *   MARK_FIRST      a bucket is marked EVACUATED before its references are copied
 *   NO_RESTART      a reader scans an EVACUATED bucket of the table it loaded
 *   OLD_FIRST       a reader loads shard.old before shard.table
 *   TABLE_FIRST     the writer stores shard.table before shard.old when a move begins
 *   FREE_AT_ONCE    a table is freed as soon as the move is finished
 *   CUT_CHAIN       the mark EVACUATED overwrites the link to the overflow bucket
 *   WIPE            evacuation clears the old bucket's slots
 *   INSERT_UNMOVED  insertion does not move its key's old bucket first
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
#define WRITES 1
#endif
#ifndef EDITS
#define EDITS 2
#endif
#define THREADS (READERS + WRITERS)
#define KEYS 1
#define TABLES 3
#include "common.pml"

#define DELETED ABSENT
#define MINE (2 + (me - READERS) * WRITES + n)  /* of an overwriter's n-th call */
#define INSERTED(n) (2 + WRITERS * WRITES + (n))
#define ENTRIES (1 + (EDITS + 1) / 2)
#define OTHER ENTRIES           /* a reference to an entry with another key */
/* The word of a bucket's link and mark. */
#define LINKED 1
#define EVACUATED 2

byte word[ENTRIES];
/* Slot 2 * t is in the first bucket of table t, slot 2 * t + 1 in the overflow bucket. */
bool tag[2 * TABLES];
byte ref[2 * TABLES];
byte link[TABLES];
bool gone_table[TABLES];        /* freed */
byte table = 0;
byte old = NONE;
bool locked;

#define there(which) assert(!gone_table[which])

/* One look at memory a step, with what follows from it for this thread alone. A tag and its reference are one look. */
inline look_at_slot(slot_number) {
    there(bucket);
    if
    :: tag[slot_number] && ref[slot_number] != OTHER -> found = ref[slot_number]
    :: else
    fi
}

/* Without the lock, announced. */
inline find() {
    d_step { found = NONE; bucket = NONE };
again:
#ifdef OLD_FIRST
    former = old;
    newer = table;
#else
    newer = table;
    former = old;
#endif
    atomic {
        if
        :: former != NONE ->
            there(former);
            if
            :: !(link[former] & EVACUATED) -> bucket = former
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
            :: link[newer] & EVACUATED -> goto again
#endif
            :: else -> bucket = newer
            fi
        :: else
        fi;
        newer = 0;
        former = 0
    };
    d_step { look_at_slot(2 * bucket) };
    if
    :: found == NONE ->
        d_step {
            there(bucket);
            linked = link[bucket] & LINKED
        };
        d_step {
            if
            :: linked -> look_at_slot(2 * bucket + 1)
            :: else
            fi;
            linked = false
        }
    :: else
    fi;
    bucket = 0
}

/* With the lock, in a d_step. */
inline find_locked() {
    bucket = ((old != NONE && !(link[old] & EVACUATED)) -> old : table);
    found = NONE;
    slot = 2 * bucket;
    if
    :: tag[slot] && ref[slot] != OTHER -> found = ref[slot]
    :: else ->
        slot++;
        if
        :: (link[bucket] & LINKED) && tag[slot] && ref[slot] != OTHER -> found = ref[slot]
        :: else
        fi
    fi
}

proctype reader(byte me) {
    byte mine, newer, former, bucket, found, value, n;
    bool linked;
    do
    :: n < CALLS ->
        n++;
        calls(0);
        enter(0);
        find();
        if
        :: found == NONE -> value = ABSENT
        :: else -> value = word[found]
        fi;
        leave();
        returns(value);
        d_step { found = 0; value = 0 }
    :: else -> break
    od
}

/* m[k] = v that leaves an absent key alone. */
proctype overwriter(byte me) {
    byte mine, newer, former, bucket, found, slot, seen, n;
    bool linked, done;
    do
    :: n < WRITES ->
        calls(0);
        enter(1);
        find();
        if
        :: found != NONE ->
            seen = word[found];
            d_step {
                if
                :: seen != DELETED && word[found] == seen ->
                    assert(current[0] == seen);
                    word[found] = MINE;
                    became(0, word[found]);
                    done = true
                :: else
                fi;
                seen = 0
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
                :: else -> word[found] = MINE; became(0, word[found])
                fi
            };
            unlock(locked)
        fi;
        d_step { been[me] = 0; found = 0; slot = 0; bucket = 0; done = false; n++ }
    :: else -> break
    od
}

/* Into the new table; in an atomic sequence. */
inline place(what) {
    slot = 2 * table + (tag[2 * table] -> 1 : 0);
    ref[slot] = what;
    tag[slot] = true;
    link[table] = link[table] | (slot & 1 -> LINKED : 0);
    slot = 0
}

inline mark() {
#ifdef CUT_CHAIN
    link[old] = EVACUATED
#else
    link[old] = link[old] | EVACUATED
#endif
}

inline move(from) {
    atomic {
        if
        :: tag[from] ->
            place(ref[from]);
#ifdef WIPE
            tag[from] = false
#endif
        :: else
        fi
    }
}

inline evacuate() {
#ifdef MARK_FIRST
    mark();
#endif
    move(2 * old);
    move(2 * old + 1);
#ifndef MARK_FIRST
    mark()
#endif
}

/* Retired and safe; all records are looked at in one step. */
#if THREADS > 2
#error is_safe looks at two records
#endif
#define is_safe(which) \
    (stamp[which] && (announced[0] == 0 || is_beyond(announced[0], stamp[which])) && \
     (announced[THREADS - 1] == 0 || is_beyond(announced[THREADS - 1], stamp[which])))

proctype writer() {
    byte found, slot, bucket, edits, inserted;
    byte stamp[TABLES];         /* of a retired table; 0: not retired, or freed */
    do
    :: atomic { old == NONE && table < TABLES - 1 -> lock(locked) };
#ifdef TABLE_FIRST
        table = table + 1;
        atomic { old = table - 1; unlock(locked) }
#else
        old = table;
        atomic { table = table + 1; unlock(locked) }
#endif
    :: atomic { old != NONE && !(link[old] & EVACUATED) -> lock(locked) };
        evacuate();
        unlock(locked)
    :: atomic { old != NONE && (link[old] & EVACUATED) -> lock(locked) };
        atomic { slot = old; old = NONE };
#ifdef FREE_AT_ONCE
        gone_table[slot] = true;
#else
        atomic { stamp[slot] = epoch; epoch++ };        /* seal */
#endif
        atomic { slot = 0; unlock(locked) }
    :: d_step { is_safe(0) -> gone_table[0] = true; stamp[0] = 0 }
    :: d_step { is_safe(1) -> gone_table[1] = true; stamp[1] = 0 }
    :: atomic { edits < EDITS -> lock(locked) };
        if
#ifndef INSERT_UNMOVED
        :: old != NONE && !(link[old] & EVACUATED) -> evacuate()
#endif
        :: else
        fi;
        d_step { find_locked() };
        if
        :: found != NONE ->
            d_step { word[found] = DELETED; became(0, ABSENT) };
            tag[slot] = false
        :: else ->
            atomic { inserted++; place(inserted) };
            d_step { word[inserted] = INSERTED(edits); became(0, word[inserted]) }
        fi;
        atomic { edits++; found = 0; slot = 0; bucket = 0; unlock(locked) }
    :: atomic { old == NONE && table == TABLES - 1 && edits == EDITS && !stamp[0] && !stamp[1] -> break }
    od
}

init {
    byte i;
    atomic {
        word[0] = 1;
        current[0] = 1;
        tag[0] = true;
        ref[0] = OTHER;
        link[0] = LINKED;
        tag[1] = true;
        do
        :: i < READERS -> run reader(i); i++
        :: i >= READERS && i < THREADS -> run overwriter(i); i++
        :: else -> break
        od;
        run writer()
    }
}
