# The stripes of a map: made at its first write, locked one by one or all together, taken apart at its end.
#
# Lock order: Map.create, then the stripes in index order, then the graph of waiting threads.

cdef extern from "sm_platform.h" nogil:
    Stripes* load_stripes "sm_load_acquire"(Stripes** address)
    void publish_stripes "sm_store_release"(Stripes** address, Stripes* stripes)


cdef inline Stripes* stripes_of(Map* map) noexcept nogil:
    """NULL before the first write. Once made they stay where they are until the map is deallocated."""
    return load_stripes(&map.stripes)


cdef uint64_t last_stamp = 0


cdef void restamp(Map* map) noexcept nogil:
    """Make what threads remember of the map's entries invalid (lookaside.pyx). Necessary before memory of entries is
    freed, with the locks of their shards held."""
    store_stamp(&map.stamp, next_number(&last_stamp))


cdef size_t stripes_bytes(uint32_t shards) noexcept nogil:
    """Whole cache lines."""
    return (sizeof(Stripes) + <size_t>(shards - 1) * sizeof(Shard) + 63) & ~<size_t>63


cdef void shard_reset(Map* map, Shard* shard) noexcept nogil:
    """An empty shard that owns nothing. Its lock, its version and its callbacks' reservations are left alone."""
    shard.table = <Bucket*>EMPTY_BUCKET
    shard.old = NULL
    shard.mask = shard.old_mask = 0
    memset(&shard.entries, 0, sizeof(Arena))
    memset(&shard.overflow, 0, sizeof(Arena))
    memset(&shard.popped, 0, sizeof(ArenaPosition))
    shard.tracked = 0
    shard.limit = shard.overflow_limit = 0
    shard.cursor = shard.evacuated = 0
    shard.always_grow = map.always_grow
    shard.slots = (1 << map.slots) - 1
    shard.load = map.load
    shard.mixer = map.mixer
    store_count(&shard.count, 0)
    shard.version += 1


cdef Stripes* make_stripes(Map* map) except? NULL:
    """The stripes, made now unless another thread was faster; NULL when there is no memory."""
    cdef Stripes* stripes
    cdef uint32_t i
    if map.shards == 0:
        configure_by_default(map)
    lock(&map.create)
    stripes = map.stripes
    if stripes is NULL:
        stripes = <Stripes*>lines_new(stripes_bytes(map.shards))
        if stripes is not NULL:
            stripes.shards = map.shards
            stripes.mask = map.shards - 1
            for i in range(map.shards):
                shard_reset(map, &stripes.shard[i])
            restamp(map)
            publish_stripes(&map.stripes, stripes)
    unlock(&map.create)
    return stripes


cdef void set_seed(Map* map, uint64_t seed) noexcept nogil:
    map.seed = seed
    mixer_seed(&map.mixer, seed)


cdef int configure_by_default(Map* map) except -1:
    """For a map whose class did not call the constructor of ShardMap: as if called without arguments."""
    from shardmap import config
    cdef uint32_t shards = config.shards(None)
    cdef uint64_t seed = config.hash_seed(None)
    lock(&map.create)
    if map.shards == 0:
        set_seed(map, seed)
        map.shards = shards
    unlock(&map.create)
    return 0


# -- all at once -------------------------------------------------------------------------------------------------------

cdef Stripes* lock_all(Map* map) noexcept nogil:
    """Stop every writer, and the readers that take locks. NULL, with only Map.create held, before the first write."""
    cdef Stripes* stripes
    cdef uint32_t i
    lock(&map.create)
    stripes = map.stripes
    if SM_FREE_THREADED and stripes is not NULL:
        for i in range(stripes.shards):
            lock(&stripes.shard[i].lock)
    return stripes


cdef void unlock_all(Map* map) noexcept nogil:
    cdef Stripes* stripes = map.stripes
    cdef uint32_t i
    if SM_FREE_THREADED and stripes is not NULL:
        for i in range(stripes.shards):
            unlock(&stripes.shard[i].lock)
    unlock(&map.create)


cdef int64_t total_count(Map* map) noexcept nogil:
    """Keys with a value; exact when no thread writes, or under lock_all. A shard's count is never negative."""
    cdef Stripes* stripes = stripes_of(map)
    cdef int64_t total = 0
    cdef uint32_t i
    if stripes is not NULL:
        for i in range(stripes.shards):
            total += load_count(&stripes.shard[i].count)
    return total


# -- taking apart ------------------------------------------------------------------------------------------------------

cdef struct Remains:
    # What a shard held when it was emptied.
    Bucket* table
    Bucket* old
    uint32_t mask
    uint32_t old_mask
    Arena entries
    Arena overflow


cdef void shard_remains(Shard* shard, Remains* remains) noexcept nogil:
    remains.table = shard.table
    remains.old = shard.old
    remains.mask = shard.mask
    remains.old_mask = shard.old_mask
    remains.entries = shard.entries
    remains.overflow = shard.overflow


cdef void shard_detach(Map* map, Shard* shard, Remains* remains) noexcept nogil:
    """Empty a shard in constant time. Computations that run are cancelled: they count as done just before."""
    cdef Reservation* reservation = shard.reservations
    cdef Reservation* next_reservation
    shard_remains(shard, remains)
    shard.reservations = NULL
    while reservation is not NULL:
        next_reservation = reservation.next
        if reservation.abandoned:
            free(reservation)
        else:
            reservation.cancelled = True
            wake_all(reservation)
        reservation = next_reservation
    shard_reset(map, shard)


cdef void remains_release(Remains* remains) noexcept:
    """Drop all keys and values, which may run any code, and free the memory. Nothing is locked."""
    cdef ArenaPosition at
    cdef Entry* entry
    memset(&at, 0, sizeof(at))
    while True:
        entry = <Entry*>arena_next(&remains.entries, &at, ENTRY_SIZE)
        if entry is NULL:
            break
        decref(entry.key)
        xdecref(value_of(entry))
    remains_free(remains)


cdef void remains_free(Remains* remains) noexcept nogil:
    if <const char*>remains.table != EMPTY_BUCKET:
        lines_free(remains.table, (<size_t>remains.mask + 1) * BUCKET_SIZE)
    if remains.old is not NULL:
        lines_free(remains.old, (<size_t>remains.old_mask + 1) * BUCKET_SIZE)
    arena_close(&remains.entries, ENTRY_SIZE)
    arena_close(&remains.overflow, BUCKET_SIZE)


cdef int clear_all(Map* map) except -1:
    """Remove every entry at one instant."""
    cdef Stripes* stripes = stripes_of(map)
    cdef Remains* remains
    cdef uint32_t i, shards
    if stripes is NULL:
        return 0
    shards = stripes.shards
    remains = <Remains*>calloc(shards, sizeof(Remains))
    if remains is NULL:
        raise MemoryError
    lock_all(map)
    restamp(map)
    for i in range(shards):
        shard_detach(map, &stripes.shard[i], &remains[i])
    unlock_all(map)
    for i in range(shards):
        remains_release(&remains[i])
    free(remains)
    return 0


cdef void destroy(Map* map) noexcept:
    """The end of a map that nobody refers to any more."""
    cdef Stripes* stripes = map.stripes
    cdef Remains remains
    cdef uint32_t i
    if stripes is NULL:
        return
    map.stripes = NULL
    for i in range(stripes.shards):
        shard_detach(map, &stripes.shard[i], &remains)
        remains_release(&remains)
    lines_free(stripes, stripes_bytes(stripes.shards))
