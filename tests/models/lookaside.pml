/* The lookaside against removal and entries used again: the key is looked at after the word.
 *
 * Modelled: cysrc/lookaside.pyx: what a thread remembers of a key, recall (the word, then the key) and remember; readers
 * that go by the table (cysrc/table.pyx) beside it; insertion, which stores the word last, and removal
 * (cysrc/entry.pyx). Both kinds of read for each call: a thread's memory of a key may give way at any time.
 * Abstracted: stamps (stamp.pml); two keys with the same tag, of which one is looked up; values are numbers, each
 * stored once.
 * Property: a result was the key's value at some instant of the call. Three of the broken forms have no certain
 * instant: there the change may count from the first step that anybody can see, it does count from the last one, and
 * once a call has ended that saw it, it counts for all calls that begin later.
 * Size: READERS of CALLS calls each, an editor with EDITS removals or insertions of either key; two slots, two entries.
 *
 * Right as well:
 *   TWO_LOOKS       recall looks at the key before the word too. Not necessary: a settled word means an entry in use, and
 *                   that keeps its key as long as the section lasts
 * Broken:
 *   EARLY_LOOK      recall looks at the key once, before the word
 *   WORD_FIRST      insertion stores the word before the tag: found by the lookaside, then not by the table
 *   TAG_FIRST       removal clears the tag before it exchanges the word: the same the other way round
 *   KEY_AFTER_WORD  insertion sets the key after the word
 *   NO_GRACE        an entry is used again at once
 */

#ifndef READERS
#define READERS 2
#endif
#ifndef CALLS
#define CALLS 2
#endif
#ifndef EDITS
#define EDITS 3
#endif
#define THREADS READERS
#define KEYS 2
#define ENTRIES 2
#include "common.pml"

#define DELETED ABSENT
#define INSERTED(n) (2 + (n))

/* Entry 0 holds key 0 in the beginning; the other one is free. */
byte key[ENTRIES];
byte word[ENTRIES];
bool used[ENTRIES];
byte stamp[ENTRIES];    /* of a free one: in limbo until this is safe */
bool tag[2];
byte ref[2];

#if defined(WORD_FIRST) || defined(TAG_FIRST) || defined(KEY_AFTER_WORD)
#define UNCERTAIN
#endif
#ifdef UNCERTAIN
bool pending;           /* key 0 may have the value `possible` */
byte possible;

/* In the first step of a change. */
inline may_become(which, value) {
    if
    :: which == 0 ->
        pending = true;
        possible = value;
        each = 0;
        do
        :: each < THREADS ->
            been[each] = (been[each] -> been[each] | (1 << (value)) : 0);
            each++
        :: else -> break
        od
    :: else
    fi;
    each = 0
}

/* In the last one. */
inline has_become() {
    if
    :: pending -> current[0] = possible; pending = false
    :: else
    fi
}

#define begins() d_step { been[me] = (1 << current[0]) | (pending -> 1 << possible : 0) }
#define ends(value) \
    d_step { \
        assert(been[me] & (1 << (value))); \
        been[me] = 0; \
        if \
        :: value == possible -> has_become() \
        :: else \
        fi \
    }
#else
#define begins() calls(0)
#define ends(value) returns(value)
#endif

inline find_by_table() {
    tag0 = tag[0];
    tag1 = tag[1];
    if
    :: tag0 ->
        at = ref[0];
        if
        :: key[at] == 0 -> found = at
        :: else
        fi
    :: else
    fi;
    if
    :: found == NONE && tag1 ->
        at = ref[1];
        if
        :: key[at] == 0 -> found = at
        :: else
        fi
    :: else
    fi;
    if
    :: found == NONE
    :: else -> value = word[found]
    fi;
    d_step { at = 0; tag0 = false; tag1 = false }
}

inline recall() {
    if
#if defined(TWO_LOOKS) || defined(EARLY_LOOK)
    :: key[seen] != 0
#endif
    :: else ->
        value = word[seen];
        if
#ifndef EARLY_LOOK
        :: key[seen] != 0 -> value = DELETED
#endif
        :: else ->
            if
            :: value != DELETED -> found = seen
            :: else
            fi
        fi
    fi
}

proctype reader(byte me) {
    byte mine, found, at, value, n;
    byte seen = 0;      /* the entry where this thread has found key 0 */
    bool tag0, tag1;
    do
    :: n < CALLS ->
        n++;
        begins();
        enter(0);
        found = NONE;
        if
        :: seen != NONE -> recall()
        :: seen = NONE                  /* another key has its place */
        fi;
        if
        :: found == NONE ->
            find_by_table();
            seen = (found != NONE && value != DELETED -> found : seen)
        :: else
        fi;
        leave();
        ends(value);
        d_step { value = 0; found = 0 }
    :: else -> break
    od
}

inline find_locked(which) {
    found = NONE;
    slot = 0;
    if
    :: tag[0] && key[ref[0]] == which -> found = ref[0]
    :: tag[1] && key[ref[1]] == which -> found = ref[1]; slot = 1
    :: else
    fi
}

inline remove(which) {
#ifdef TAG_FIRST
    d_step { tag[slot] = false; may_become(which, ABSENT) };
    d_step { word[found] = DELETED; has_become() };
#else
    d_step {
        word[found] = DELETED;
#ifdef UNCERTAIN
        may_become(which, ABSENT);
        has_become()
#else
        became(which, ABSENT)
#endif
    };
    tag[slot] = false;
#endif
    d_step { stamp[found] = epoch; epoch++; used[found] = false }   /* seal */
}

inline insert(which) {
    d_step { used[free] = true; slot = (tag[0] -> 1 : 0) };
#if defined(KEY_AFTER_WORD)
    ref[slot] = free;
    tag[slot] = true;
    d_step { word[free] = INSERTED(n); may_become(which, INSERTED(n)) };
    d_step { key[free] = which; has_become() }
#elif defined(WORD_FIRST)
    key[free] = which;
    d_step { word[free] = INSERTED(n); may_become(which, INSERTED(n)) };
    ref[slot] = free;
    d_step { tag[slot] = true; has_become() }
#else
    key[free] = which;
    ref[slot] = free;
    tag[slot] = true;
    d_step {
        word[free] = INSERTED(n);
#ifdef UNCERTAIN
        may_become(which, INSERTED(n));
        has_become()
#else
        became(which, INSERTED(n))
#endif
    }
#endif
}

proctype editor() {
    byte which, found, slot, free, i, n;
    do
    :: n < EDITS ->
        if
        :: which = 0
        :: which = 1
        fi;
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
        if
        :: found != NONE -> remove(which)
        :: else -> insert(which)
        fi;
        d_step { n++; which = 0; found = 0; slot = 0; free = 0 }
    :: else -> break
    od
}

init {
    byte i;
    atomic {
        word[0] = 1;
        current[0] = 1;
        used[0] = true;
        tag[0] = true;
        key[1] = NONE;
        do
        :: i < READERS -> run reader(i); i++
        :: else -> break
        od;
        run editor()
    }
}
