# Entry: a key, its hash, and one atomic word that is all an overwrite touches.
#
# The word
#     value               the key is present; the address of its value, which the entry owns
#     value | RESERVED    the same, while a callback computes its next value
#     RESERVED            absent, while a callback computes its first value
#     DELETED             absent for ever, as far as those are concerned who still see the entry: removed, or not yet
#                         inserted; and while the entry is in limbo or free
#     MOVED               shrink() has moved the entry: ask again, with the shard's lock
#
# Who changes it: without the lock only from one value to another, by compare-and-exchange, so never a word with a mark;
# the rest needs the lock. A key becomes present, or absent, at the instant when its word says so: an insert stores the
# word last, when the entry can be found, and a delete marks it first.
#
# Ownership: an entry that is present owns one reference to its key and one to its value; reserved while absent, one to
# its key; DELETED or MOVED, none.
#
# Limbo. A deleted entry may still be looked at, by readers without the lock. It waits in its shard's limbo until they
# have left, then it is used again: DELETED all the time, its key left as it was until the next insert. So a reader that
# has reached an entry through a bucket sees one key in it as long as it is pinned. (Through the lookaside it can reach
# an entry that was deleted before, and looks twice at its key: lookaside.pyx.)

cdef struct Entry:
    # Key and word first: an entry is 24 bytes, so every fourth one lies across two cache lines, but a key that is found
    # by identity never needs the second line.
    PyObject* key
    size_t word
    Py_hash_t hash       # hash(key), kept so that growth never calls __hash__; in limbo and when free a link

cdef enum:
    ENTRY_SIZE = 24
    # Objects are 8-byte aligned at least: the low bits of the word are free for marks.
    RESERVED = 1
    DELETED = 2
    MOVED = 3
    MARKS = 3

cdef struct Limbo:
    # Entries that were deleted, as two lists through their links: those of late, and those before, which are stamped
    # and used again together.
    uint32_t recent
    uint32_t recent_last
    uint32_t n_recent
    uint32_t first
    uint32_t last
    uint32_t n
    uint64_t stamp
