/* Overwriters and readers without locks against removal and insertion, which use slots and entries again.
 *
 * Modelled: one bucket with two slots (cysrc/table.pyx: tag, then reference, then key; removal clears the tag and
 * leaves the reference); entries (cysrc/entry.pyx: exchange for DELETED, the word stored last); their way through limbo
 * to the next key (cysrc/include/sm_epoch.h: seal, safe); the overwriter's slow path with the lock
 * (cysrc/overwrite.pyx, cysrc/write.pyx). Two keys with the same tag: one is read and overwritten, both are removed and
 * inserted.
 * Abstracted: values are numbers, each stored once, so a key's result can only be its own value; their reclamation is
 * in epoch.pml. The wait for the grace period comes before the lock is taken: the real one does not wait, it takes
 * another entry.
 * Property: a result was the key's value at some instant of the call; whoever displaces a value gets the key's present
 * one (no update is lost), and nobody else gets it (it would be released twice).
 * Size: READERS of CALLS calls each, WRITERS of WRITES overwrites each, an editor with EDITS removals or insertions of
 * either key; two slots, two entries.
 *
 * Broken:
 *   BLIND_STORE   the overwriter stores a word without looking whether the entry was removed
 *   NO_GRACE      an entry is used again at once
 *   LOCKED_BLIND  the overwriter with the lock loads the old word and stores the new one, two steps
 *   REMOVE_BLIND  removal loads the old word and stores DELETED, two steps
 *   KEY_LAST      insertion sets the entry's key after its reference and tag are in the bucket
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
#ifndef EDITS
#define EDITS 4
#endif
#define THREADS (READERS + WRITERS)
#define KEYS 2
#include "common.pml"

#define DELETED ABSENT
#define FIRST 1         /* the value in the beginning */
#define MINE (2 + (me - READERS) * WRITES + n)  /* of an overwriter's n-th call */
#define INSERTED(n) (2 + WRITERS * WRITES + (n))
#define ENTRIES 2

/* The entries: the first one holds key 0. The other one is free and has had nothing. */
byte key[ENTRIES];
byte word[ENTRIES];
bool used[ENTRIES];
byte stamp[ENTRIES];    /* of a free one: in limbo until this is safe */
/* The bucket. */
bool tag[2];
byte ref[2];
bool locked;
bool displaced[INSERTED(EDITS)];

/* In the step that displaces a value. */
inline displaces(which, value) {
    assert(current[which] == value && !displaced[value]);
    displaced[value] = true
}

/* Without the lock, announced: all tags first, as the vector comparison does; a load a step. */
inline find(which) {
    tag0 = tag[0];
    tag1 = tag[1];
    found = NONE;
    if
    :: tag0 ->
        at = ref[0];
        if
        :: key[at] == which -> found = at
        :: else
        fi
    :: else
    fi;
    if
    :: found == NONE && tag1 ->
        at = ref[1];
        if
        :: key[at] == which -> found = at
        :: else
        fi
    :: else
    fi;
    d_step { at = 0; tag0 = false; tag1 = false }
}

/* With the lock: nobody else changes what this looks at. In a d_step. */
inline find_locked(which) {
    found = NONE;
    slot = 0;
    if
    :: tag[0] && key[ref[0]] == which -> found = ref[0]
    :: tag[1] && key[ref[1]] == which -> found = ref[1]; slot = 1
    :: else
    fi
}

proctype reader(byte me) {
    byte mine, found, at, value, n;
    bool tag0, tag1;
    do
    :: n < CALLS ->
        n++;
        calls(0);
        enter(0);
        find(0);
        if
        :: found == NONE -> value = ABSENT
        :: else -> value = word[found]      /* DELETED is ABSENT */
        fi;
        leave();
        returns(value);
        d_step { value = 0; found = 0 }
    :: else -> break
    od
}

/* m[k] = v that leaves an absent key alone. */
proctype overwriter(byte me) {
    byte mine, found, at, slot, seen, n;
    bool tag0, tag1, done;
    do
    :: n < WRITES ->
        calls(0);
        enter(1);
        find(0);
        if
        :: found != NONE ->
            seen = word[found];
            if
            :: seen != DELETED ->
#ifdef BLIND_STORE
                d_step { displaces(0, seen); word[found] = MINE; became(0, word[found]); done = true }
#else
                d_step {
                    if
                    :: word[found] == seen ->
                        displaces(0, seen);
                        word[found] = MINE;
                        became(0, word[found]);
                        done = true
                    :: else
                    fi
                }
#endif
            :: else
            fi;
            seen = 0
        :: else
        fi;
        found = 0;
        leave();
        if
        :: done -> returns(current[0])
        :: else ->
            lock(locked);
            d_step { find_locked(0) };
            if
            :: found == NONE -> returns(ABSENT)
            :: else ->
#ifdef LOCKED_BLIND
                seen = word[found];
                d_step { displaces(0, seen); word[found] = MINE; became(0, word[found]) };
#else
                d_step {
                    seen = word[found];
                    displaces(0, seen);
                    word[found] = MINE;
                    became(0, word[found])
                };
#endif
                returns(current[0])
            fi;
            unlock(locked);
            d_step { found = 0; slot = 0; seen = 0 }
        fi;
        d_step { done = false; n++ }
    :: else -> break
    od
}

inline remove(which) {
#ifdef REMOVE_BLIND
    value = word[found];
    d_step { displaces(which, value); word[found] = DELETED; became(which, ABSENT) };
#else
    d_step { value = word[found]; displaces(which, value); word[found] = DELETED; became(which, ABSENT) };
#endif
    tag[slot] = false;
    d_step { stamp[found] = epoch; epoch++; used[found] = false }   /* seal */
}

inline insert(which) {
    /* Nobody reaches a free entry but by an old reference. */
#ifndef KEY_LAST
    key[free] = which;
#endif
    d_step { used[free] = true; slot = (tag[0] -> 1 : 0) };
    ref[slot] = free;
    tag[slot] = true;
#ifdef KEY_LAST
    key[free] = which;
#endif
    d_step { word[free] = INSERTED(n); became(which, INSERTED(n)) }
}

proctype editor() {
    byte which, found, slot, value, free, i, n;
    do
    :: n < EDITS ->
        if
        :: which = 0
        :: which = 1
        fi;
        /* Which entries are free is decided by this process alone. */
        d_step { free = (used[0] -> (used[1] -> NONE : 1) : 0); find_locked(which) };
        if
        :: !used[0] && !used[1] -> free = 1     /* either one */
        :: else
        fi;
#ifndef NO_GRACE
        if
        :: found == NONE -> wait_safe(stamp[free], i)
        :: else
        fi;
#endif
        lock(locked);
        if
        :: found != NONE -> remove(which)
        :: else -> insert(which)
        fi;
        unlock(locked);
        d_step { n++; which = 0; found = 0; slot = 0; value = 0; free = 0 }
    :: else -> break
    od
}

init {
    byte i;
    atomic {
        word[0] = FIRST;
        current[0] = FIRST;
        used[0] = true;
        tag[0] = true;
        key[1] = NONE;
        do
        :: i < READERS -> run reader(i); i++
        :: i >= READERS && i < THREADS -> run overwriter(i); i++
        :: else -> break
        od;
        run editor()
    }
}
