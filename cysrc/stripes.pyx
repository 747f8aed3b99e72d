# The stripes of a map: made at its first write, locked one by one or all together, taken apart at its end.
#
# Lock order: Map.create, then the stripes in index order, then the graph of waiting threads. A thread is pinned when it
# has its lock, or all of them, and not while it waits for one.

cdef extern from "sm_platform.h" nogil:
    Stripes* load_stripes "sm_load_acquire"(Stripes** address)
    void publish_stripes "sm_store_release"(Stripes** address, Stripes* stripes)


cdef inline Stripes* stripes_of(Map* map) noexcept nogil:
    """NULL before the first write. Once made they stay where they are until the map is deallocated."""
    return load_stripes(&map.stripes)


cdef uint64_t last_stamp = 0


cdef void invalidate(Map* map) noexcept nogil:
    """The same, at any time and for no other reason than to have threads come by the table; clear() does it anyhow."""
    cdef size_t stamp = load_stamp(&map.stamp)
    if stamp != 0:
        compare_exchange(<size_t*>&map.stamp, &stamp, next_number(&last_stamp))


cdef void restamp(Map* map) noexcept nogil:
    """Make what threads remember of the map's entries invalid (lookaside.pyx). Necessary when entries have been moved
    or removed without being marked, after that and before their memory is retired; the locks of their shards are
    held."""
    store_stamp(&map.stamp, next_number(&last_stamp))


cdef size_t stripes_bytes(uint32_t shards) noexcept nogil:
    """Whole cache lines."""
    return (sizeof(Stripes) + <size_t>(shards - 1) * sizeof(Shard) + 63) & ~<size_t>63


cdef inline void lock_shard(Shard* shard) noexcept nogil:
    lock(&shard.lock)
    pin()


cdef inline void unlock_shard(Shard* shard) noexcept nogil:
    unpin()
    unlock(&shard.lock)


cdef void shard_reset(Shard* shard) noexcept nogil:
    """An empty shard that owns nothing. Its lock, its version and its callbacks' reservations are left alone."""
    store_word(&shard.table, EMPTY_TABLE)
    store_word(&shard.old, 0)
    memset(&shard.entries, 0, sizeof(Arena))
    memset(&shard.popped, 0, sizeof(ArenaPosition))
    memset(&shard.limbo, 0, sizeof(Limbo))
    store_byte(&shard.tracked, 0)
    shard.limit = shard.overflow_limit = 0
    shard.cursor = shard.evacuated = 0
    store_count(&shard.count, 0)
    note_change(shard)


cdef void shard_init(Map* map, Shard* shard) noexcept nogil:
    shard.map = map
    shard.always_grow = map.always_grow
    shard.slots = (1 << map.slots) - 1
    shard.load = map.load
    shard.mixer = map.mixer
    shard_reset(shard)


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
                shard_init(map, &stripes.shard[i])
            publish_stripes(&map.stripes, stripes)
            # Second: who sees a stamp that is not 0 finds the stripes.
            restamp(map)
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
    """Stop every writer but overwriters, and readers that take locks. NULL, with only Map.create held, before the first
    write."""
    cdef Stripes* stripes
    cdef uint32_t i
    lock(&map.create)
    stripes = map.stripes
    if SM_FREE_THREADED and stripes is not NULL:
        for i in range(stripes.shards):
            lock_attached(&stripes.shard[i].lock)
    pin()
    return stripes


cdef void unlock_all(Map* map) noexcept nogil:
    cdef Stripes* stripes = map.stripes
    cdef uint32_t i
    unpin()
    if SM_FREE_THREADED and stripes is not NULL:
        for i in range(stripes.shards):
            unlock(&stripes.shard[i].lock)
    unlock(&map.create)


cdef inline bint is_frozen(Map* map) noexcept nogil:
    """Pinned as a writer: has it to keep out?"""
    return SM_FREE_THREADED and unlikely(load_number(&map.frozen))


cdef Stripes* freeze_all(Map* map) noexcept nogil:
    """As lock_all, and no overwriter changes a value until thaw_all: they look at map.frozen after they have pinned
    themselves, and those who have looked already are waited for."""
    cdef Stripes* stripes = lock_all(map)
    if not is_alone(map):
        store_number(&map.frozen, 1)
        unpin()
        wait_for_writers()
        pin()
    return stripes


cdef void thaw_all(Map* map) noexcept nogil:
    store_number(&map.frozen, 0)
    unlock_all(map)


cdef int hold_all(Map* map, unsigned char* flags) except -1:
    """For tests. The caller is not pinned meanwhile: its own sections would keep what others displace."""
    cdef int rounds = 0
    join(map)
    with nogil:
        lock_all(map)
        unpin()
        (<volatile unsigned char*>flags)[0] = 1
        while (<volatile unsigned char*>flags)[1] == 0:
            wait_a_little(rounds)
            rounds += 1
        pin()
        unlock_all(map)
    return 0


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
    # What a shard held when it was emptied. Several shards' follow each other in memory.
    uint32_t shards          # in all
    bint owned               # whether the entries' references go with them
    size_t table
    size_t old
    Arena entries


cdef void shard_remains(Shard* shard, Remains* remains) noexcept nogil:
    remains.shards = 1
    remains.owned = True
    remains.table = shard.table
    remains.old = shard.old
    remains.entries = shard.entries


cdef void shard_detach(Shard* shard, Remains* remains) noexcept nogil:
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
    shard_reset(shard)


cdef void drop_entries(Arena* entries) noexcept:
    """Drop all keys and values, which may run any code. Nothing is locked, nobody else knows the entries."""
    cdef ArenaPosition at
    cdef Entry* entry
    memset(&at, 0, sizeof(at))
    while True:
        entry = <Entry*>arena_next(entries, &at, ENTRY_SIZE)
        if entry is NULL:
            return
        if not is_deleted(entry.word):
            xdecref(value_in(entry.word))
            decref(entry.key)


cdef void remains_close(Remains* remains) noexcept nogil:
    """Free the memory."""
    if remains.table != EMPTY_TABLE:
        table_free(table_at(remains.table))
    if remains.old != 0:
        table_free(table_at(remains.old))
    arena_close(&remains.entries, ENTRY_SIZE)


cdef void remains_free(Remains* remains) noexcept:
    if remains.owned:
        drop_entries(&remains.entries)
    remains_close(remains)


cdef void remains_release(Remains* remains) noexcept:
    cdef uint32_t i
    for i in range(remains.shards):
        remains_free(&remains[i])
    free(remains)


cdef Remains* displace_remains(Map* map, Remains* remains) noexcept nogil:
    """Pinned, as displace(): what the caller is to release after unpinning, or NULL."""
    if is_alone(map):
        return remains
    retire(<size_t>remains | REMAINS_OF_MAP)
    # They may be large: not when other things are released, but now, if no reader is in the way.
    me.due = URGENT
    return NULL


cdef int clear_all(Map* map, bint unreachable) except -1:
    """Remove every entry at one instant, that of the zero in the stamp: readers without the lock that have seen another
    one began before, and those that see the zero wait for the lock. An unreachable map is used by no other thread, and
    what it had is released at once."""
    cdef Stripes* stripes = stripes_of(map)
    cdef Remains* remains
    cdef uint32_t i, shards
    if unreachable:
        join_thread()
    else:
        join(map)
    if stripes is NULL:
        return 0
    shards = stripes.shards
    remains = <Remains*>calloc(shards, sizeof(Remains))
    if remains is NULL:
        raise MemoryError
    lock_all(map)
    store_stamp(&map.stamp, 0)
    for i in range(shards):
        shard_detach(&stripes.shard[i], &remains[i])
    restamp(map)
    remains.shards = shards
    if not unreachable:
        remains = displace_remains(map, remains)
    unlock_all(map)
    if remains is not NULL:
        remains_release(remains)
    tidy()
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
        shard_detach(&stripes.shard[i], &remains)
        remains_free(&remains)
    lines_free(stripes, stripes_bytes(stripes.shards))


if sizeof(Shard) % 64 or sizeof(Table) != 2 * BUCKET_SIZE or sizeof(Entry) != ENTRY_SIZE:
    raise ImportError("shardmap was compiled with a layout that it cannot work with")
