# Byte store: keys and values in native memory, for threads that need no interpreter.
#
#   ByteStore --> ByteShard: one after the other, each a Shard (the bucket map, the lock) with a heap
#                 Shard.table --> buckets --> references --> heap --> Record
#
# The engine behind shardmap.ByteMap and the service. Nothing here knows of Python: any thread may call it, with or
# without the GIL, and no Python object is on its paths.
#
# An operation on one key
#
#     cdef Spot spot
#     spot_for(&spot, store, key)          hash the key, find its shard; nothing is locked
#     lock_spot(&spot)
#     if find_record(&spot): ...           the record, good while the shard is locked
#     put_record(&spot, &draft)            or remove_record(&spot)
#     unlock_spot(&spot)                   frees what is due to be freed
#
# A thread holds one shard's lock at a time, for as long as it takes to copy a value, or all of them in index order
# (lock_store); it never waits for anything else meanwhile, and never for the GIL. To go on with a record afterwards:
# keep_record, and later release_record.
#
# What a shard's lock orders: the table, the heap, the records. Read without it: `count`, for the length, and the
# numbers of statistics.

cdef enum:
    # What to do when the budget is spent.
    NO_EVICTION = 0
    ALL_KEYS_LRU = 1
    VOLATILE_TTL = 2

cdef struct ByteStore

# Who waits for an absent key to come: in its shard's list, all under the shard's lock.
cdef struct Expectation:
    Expectation* following
    uint64_t mixed
    bint fulfilled

cdef struct ByteShard:
    Shard base                          # its `map` is NULL
    ByteStore* store
    Heap heap
    uint32_t clock                      # of accesses
    uint32_t scan                       # where the next sample is taken
    uint64_t payload                    # bytes of all keys and values
    uint64_t in_blocks                  # bytes of the blocks of all records
    uint64_t slack                      # bytes that their blocks have too much
    uint64_t large                      # bytes of large records' memory
    uint32_t n_large
    uint32_t n_deadlines                # records that have one
    uint64_t kept                       # references besides the tables'
    void* rubbish                       # memory to be given back to the system once unlocked
    uint64_t changes                    # of any record's value or deadline; only ever grows
    uint64_t moves                      # of any key to another record, to none, or from none; only ever grows
    Expectation* expectations
    uint64_t hits                       # look-ups of the service's clients
    uint64_t misses
    uint64_t expired
    uint64_t contended                  # operations on one key that found the lock taken
    uint64_t evicted
    uint64_t longest_sweep              # ns for which a sweep had the lock

cdef struct ByteStore:
    uint32_t mask                       # shards - 1
    uint32_t shards
    SipKey key
    Budget budget
    uint64_t large_from                 # bytes of key and value from which a record is large
    uint32_t policy
    uint32_t references                 # of owners and views; the last one frees the store
    uint32_t slots                      # for tests, as a Map has them
    uint32_t load
    uint8_t always_grow
    size_t stride                       # bytes from one shard to the next
    char* first                         # shard
    uint64_t id                         # that no other store has had or gets; not 0

cdef enum:
    # Operations whose memory is fetched together: as many as a core has line-fill buffers, roughly.
    IN_FLIGHT = 16

# Where a key is, or would be.
cdef struct Spot:
    Span key
    uint64_t mixed
    ByteShard* shard
    Record* record                      # found
    uint32_t ref
    Bucket* bucket                      # and its place in the table
    uint32_t slot
