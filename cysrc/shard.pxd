# Entry, shard, stripes, map: the structure that everything else works on.
#
#   Map --> Stripes: one Shard after the other, each with its own lock, table and arenas
#           Shard.table --> buckets --> references --> Shard.entries (arena) --> Entry {key, word, hash}
#                             \--> link --> Shard.overflow (arena) --> buckets
#
# Ownership: an entry owns one reference to its key and one to the value in its word. Both are taken under the lock and
# dropped after it, by whoever removed them from the entry.

cdef struct Entry:
    # Key and word first: an entry is 24 bytes, so every fourth one lies across two cache lines, but a key that is found
    # by identity never needs the second line.
    PyObject* key        # NULL while the entry is free
    size_t word          # the value's address and two marks
    Py_hash_t hash       # hash(key), kept so that growth never calls __hash__

cdef enum:
    ENTRY_SIZE = 24
    # Objects are 8-byte aligned at least: the low bits of the word are free for marks.
    RESERVED = 1         # a callback computes this key; without a value: reserved while absent
    MARKS = 3            # the second mark is kept for readers without locks ("deleted")

cdef struct Reservation   # reservation.pxd

cdef struct Shard:
    # -- first cache line: all that a lookup reads
    Bucket* table
    Bucket* old              # while moving to `table`, else NULL
    uint32_t mask            # buckets in the table, minus 1
    uint32_t old_mask
    Lock lock
    uint8_t tracked          # has ever held an object that the garbage collector must see
    uint8_t always_grow      # tests only
    uint16_t slots           # the slots that may be filled; all twelve, fewer in tests
    Arena entries
    # -- what writers need
    Arena overflow
    int64_t count            # keys with a value; read without the lock by len()
    uint64_t version         # changes whenever an entry appears, disappears or moves to another bucket
    Mixer mixer              # the map's
    Reservation* reservations
    uint32_t limit           # entries above which the table grows
    uint32_t overflow_limit  # overflow buckets above which it is rewritten at the same size
    uint32_t cursor          # old buckets below it have moved
    uint32_t evacuated       # old buckets that have moved
    uint32_t load            # entries for five buckets: 48 of 60 slots
    uint32_t growths
    ArenaPosition popped     # where popitem looks next
    char _pad[16]            # whole cache lines: neighbours share none

cdef struct Stripes:
    uint32_t mask            # shards - 1
    uint32_t shards
    char _pad[56]            # the first shard starts on a line of its own
    Shard shard[1]           # really `shards` of them

cdef struct Map:
    Stripes* stripes         # NULL until the first write
    uint64_t stamp           # of the entries' places in memory, see restamp
    Mixer mixer
    uint64_t seed            # the user's, from which the mixer comes
    uint32_t shards          # 0 until configured
    uint32_t slots
    uint32_t load
    uint8_t always_grow
    Lock create              # taken before any stripe: makes the stripes, and orders operations on the whole map
    uint32_t pop_cursor
    PyObject* object         # the CoreMap that this is part of
    unsigned long maker      # the thread that made it
    uint32_t shared          # another one has used it: see sharing.pyx
    Map* previous            # in the registry of all maps
    Map* next
