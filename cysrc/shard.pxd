# Shard, stripes, map: the structure that everything else works on.
#
#   Map --> Stripes: one Shard after the other, each with its own lock, table and arena
#           Shard.table --> Table: buckets --> references --> Shard.entries (arena) --> Entry (entry.pxd)
#                                    \--> link --> Table.overflow (arena) --> buckets
#
# A thread may follow these pointers while it holds the shard's lock, or while it is pinned (epoch.pxd); it may change
# what they lead to while it holds the lock, but for the word of an entry, which overwriters change without.

cdef struct Reservation   # reservation.pxd

cdef struct Map

cdef struct Shard:
    # -- first cache line: what readers without the lock need; written when a table comes or goes
    size_t table             # address | shift
    size_t old               # the same, while its keys move to `table`; else 0
    uint8_t tracked          # has ever held an object that the garbage collector must see
    uint8_t always_grow      # tests only
    uint16_t slots           # the slots that may be filled; all twelve, fewer in tests
    uint32_t load            # entries for five buckets: 48 of 60 slots
    Map* map                 # NULL for a shard of a byte store
    Mixer mixer              # the map's
    char _pad[8]
    # -- what writers need
    Lock lock
    char _pad_lock[3]
    uint32_t limit           # entries above which the table grows
    int64_t count            # keys with a value; read without the lock by len()
    uint64_t version         # changes whenever an entry appears, disappears or moves to another bucket
    Arena entries
    ArenaPosition popped     # where popitem looks next
    # -- growing, reusing, computing
    uint32_t overflow_limit  # overflow buckets above which the table is rewritten at the same size
    uint32_t cursor          # old buckets below it have moved
    uint32_t evacuated       # old buckets that have moved
    uint32_t growths
    Limbo limbo
    Reservation* reservations
    # So far whole cache lines: neighbours share none.

cdef struct Stripes:
    uint32_t mask            # shards - 1
    uint32_t shards
    char _pad[56]            # the first shard starts on a line of its own
    Shard shard[1]           # really `shards` of them

cdef struct Map:
    # -- what every operation reads and hardly any writes
    Stripes* stripes         # NULL until the first write
    uint64_t stamp           # of the entries' places in memory, see restamp; 0 while clear() is at work
    Mixer mixer
    uint32_t frozen          # overwriters without locks have to keep out: see capture_map
    uint32_t shared          # who may have used it: see sharing.pyx
    Participant* user        # the thread that has used it last, until several do by turns
    # -- the rest
    uint64_t seed            # the user's, from which the mixer comes
    uint32_t shards          # 0 until configured
    uint32_t slots
    uint32_t load
    uint8_t always_grow
    Lock create              # taken before any stripe: makes the stripes, and orders operations on the whole map
    Lock turns               # for what sharing.pyx writes, held for nanoseconds
    uint32_t pop_cursor
    Participant* maker       # the thread that made it
    Participant* former      # the one that used it before `user`
    PyObject* object         # the CoreMap that this is part of
    Map* previous            # in the registry of all maps
    Map* next
