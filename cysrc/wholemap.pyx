# Operations on the whole map.

cdef dict snapshot(Map* map):
    """Hashes and comparisons may run Python code, so the dict is filled after the locks are released."""
    cdef Captured captured
    cdef dict made = {}
    cdef list keys, values
    cdef Py_ssize_t i
    capture_map(map, &captured, ITEMS)
    keys, values = captured_lists(&captured)
    for i in range(len(keys)):
        made[keys[i]] = values[i]
    return made


cdef int copy_into(Map* source, Map* target) except -1:
    """Fill an empty map of the same seed and shards, which no other thread knows yet; no key is hashed or compared."""
    cdef Captured captured
    cdef Stripes* stripes
    cdef Shard* shard
    cdef uint64_t mixed
    cdef Py_ssize_t i
    capture_map(source, &captured, ITEMS | HASHES)
    try:
        stripes = make_stripes(target)
        if stripes is NULL:
            raise MemoryError
        reserve_all(target, captured.length)
        for i in range(captured.length):
            mixed = mix(&target.mixer, captured.hashes[i])
            shard = shard_for(stripes, mixed)
            if insert_entry(shard, mixed, captured.keys[i], captured.hashes[i],
                            <size_t>captured.values[i]) == NO_ITEM:
                raise MemoryError
    finally:
        captured_drop(&captured)
    return 0


# -- room --------------------------------------------------------------------------------------------------------------

cdef enum:
    # Old buckets moved between two releases of the lock: some 10 microseconds.
    RESERVE_STEP = 64


cdef uint64_t entries_a_shard(uint64_t entries, uint32_t shards) noexcept nogil:
    """Room that a shard needs so that n entries, spread at random, will fit: the mean and six standard deviations."""
    cdef uint64_t mean = entries // shards + 1
    cdef uint64_t root = 1
    while root * root < mean:
        root += 1 + root // 16
    return entries if shards == 1 else min(entries, mean + 6 * root)


cdef bint finish_moving(Shard* shard) noexcept nogil:
    """Complete the move that is going on. The lock is held before and after, but given away now and then: anything may
    have happened meanwhile. False: no memory, the writers will go on with it."""
    cdef int _step
    while shard.old is not NULL:
        for _step in range(RESERVE_STEP):
            if shard.old is not NULL and advance(shard) < 0:
                return False
        unlock(&shard.lock)
        lock(&shard.lock)
    return True


cdef bint make_table(Shard* shard, uint32_t buckets) noexcept nogil:
    """For an unused shard. False: no memory."""
    cdef Bucket* table = <Bucket*>lines_new(<size_t>buckets * BUCKET_SIZE)
    if table is NULL:
        return False
    shard.table = table
    shard.mask = buckets - 1
    shard.version += 1
    set_limits(shard)
    return True


cdef bint reserve_shard(Shard* shard, uint64_t entries) noexcept nogil:
    """False when there is no memory."""
    cdef uint32_t buckets
    cdef bint grown = False
    cdef bint done = True
    lock(&shard.lock)
    buckets = buckets_for(entries, shard.load)
    while done:
        # Looked at anew each time: while a move was finished, the shard may have been cleared, shrunk, or grown.
        if is_unused(shard):
            done = make_table(shard, buckets)
            break
        if shard.old is not NULL:
            if not finish_moving(shard):
                break
        elif grown or shard.mask + 1 >= buckets:
            break
        else:
            done = grown = begin_resize(shard, buckets) == 0
    unlock(&shard.lock)
    return done


cdef int reserve_all(Map* map, uint64_t entries) except -1:
    cdef Stripes* stripes
    cdef uint32_t i
    cdef uint64_t a_shard
    if entries == 0:
        return 0
    stripes = make_stripes(map)
    if stripes is NULL:
        raise MemoryError
    a_shard = entries_a_shard(entries, stripes.shards)
    for i in range(stripes.shards):
        if not reserve_shard(&stripes.shard[i], a_shard):
            raise MemoryError
    return 0


cdef bint pack_into(Shard* shard, Shard* packed) noexcept nogil:
    """Copy all entries, one after the other, into the empty table and arenas of `packed`. False: no memory."""
    cdef ArenaPosition at
    cdef Entry* entry
    cdef uint32_t ref
    memset(&at, 0, sizeof(at))
    while True:
        entry = <Entry*>arena_next(&shard.entries, &at, ENTRY_SIZE)
        if entry is NULL:
            return True
        ref = arena_new(&packed.entries, ENTRY_SIZE)
        if ref == NO_ITEM:
            return False
        entry_at(packed, ref)[0] = entry[0]
        if place(packed, mix(&packed.mixer, entry.hash), ref) < 0:
            return False


cdef void follow_reservations(Shard* shard, Shard* packed) noexcept nogil:
    """Reservations name their entry by its reference: find the new one, by its key object, of which there is one."""
    cdef Reservation* reservation = shard.reservations
    cdef ArenaPosition at
    cdef PyObject* key
    while reservation is not NULL:
        key = entry_at(shard, reservation.ref).key
        memset(&at, 0, sizeof(at))
        while (<Entry*>arena_next(&packed.entries, &at, ENTRY_SIZE)).key != key:
            pass
        reservation.ref = arena_last_ref(&at, ENTRY_SIZE)
        reservation = reservation.next


cdef bint shrink_shard(Map* map, Shard* shard) noexcept nogil:
    """Rebuild a shard in as little memory as its entries need. False: no memory, and nothing has changed."""
    cdef Remains remains
    cdef Shard packed
    memset(&packed, 0, sizeof(packed))
    lock(&shard.lock)
    shard_reset(map, &packed)
    if shard.entries.n_used:
        packed.mask = buckets_for(shard.entries.n_used, shard.load) - 1
        packed.table = <Bucket*>lines_new((<size_t>packed.mask + 1) * BUCKET_SIZE)
        if packed.table is NULL or not pack_into(shard, &packed):
            unlock(&shard.lock)
            shard_remains(&packed, &remains)
            remains_free(&remains)
            return False
        follow_reservations(shard, &packed)
    shard_remains(shard, &remains)
    restamp(map)
    shard.table = packed.table
    shard.old = NULL
    shard.mask = packed.mask
    shard.entries = packed.entries
    shard.overflow = packed.overflow
    memset(&shard.popped, 0, sizeof(ArenaPosition))
    shard.version += 1
    if is_unused(shard):
        shard.limit = shard.overflow_limit = 0
    else:
        set_limits(shard)
    unlock(&shard.lock)
    # The entries' references live on in the packed ones: only memory is freed.
    remains_free(&remains)
    return True


cdef int shrink(Map* map) except -1:
    cdef Stripes* stripes = stripes_of(map)
    cdef uint32_t i
    if stripes is not NULL:
        for i in range(stripes.shards):
            if not shrink_shard(map, &stripes.shard[i]):
                raise MemoryError
    return 0


# -- reports -----------------------------------------------------------------------------------------------------------

cdef size_t shard_bytes(Shard* shard) noexcept nogil:
    cdef size_t total = arena_bytes(&shard.entries, ENTRY_SIZE) + arena_bytes(&shard.overflow, BUCKET_SIZE)
    if not is_unused(shard):
        total += (<size_t>shard.mask + 1) * BUCKET_SIZE
    if shard.old is not NULL:
        total += (<size_t>shard.old_mask + 1) * BUCKET_SIZE
    return total


cdef uint32_t waiters_of(Reservation* reservation) noexcept nogil:
    cdef uint32_t n = 0
    cdef Waiter* waiter = reservation.waiters
    while waiter is not NULL:
        n += 1
        waiter = waiter.next
    return n


cdef struct Totals:
    int64_t entries, least, most
    uint64_t buckets, overflow_buckets, growths, bytes
    uint32_t used, growing, reserved, waiting


cdef void shard_totals(Shard* shard, Totals* totals) noexcept nogil:
    cdef Reservation* reservation
    lock(&shard.lock)
    totals.entries += shard.count
    totals.least = min(totals.least, shard.count)
    totals.most = max(totals.most, shard.count)
    totals.bytes += shard_bytes(shard)
    if not is_unused(shard):
        totals.used += 1
        totals.buckets += <uint64_t>shard.mask + 1
    totals.overflow_buckets += shard.overflow.n_used
    totals.growing += shard.old is not NULL
    totals.growths += shard.growths
    reservation = shard.reservations
    while reservation is not NULL:
        totals.reserved += 1
        totals.waiting += waiters_of(reservation)
        reservation = reservation.next
    unlock(&shard.lock)


cdef Totals totals_of(Map* map) noexcept nogil:
    cdef Totals totals
    cdef Stripes* stripes = stripes_of(map)
    cdef uint32_t i
    memset(&totals, 0, sizeof(totals))
    if stripes is not NULL:
        totals.least = load_count(&stripes.shard[0].count)
        totals.bytes = stripes_bytes(stripes.shards)
        for i in range(stripes.shards):
            shard_totals(&stripes.shard[i], &totals)
    return totals


cdef dict stats(Map* map):
    cdef Totals totals = totals_of(map)
    return {
        "entries": totals.entries,
        "shards": map.shards,
        "shards_used": totals.used,
        "shard_entries_min": totals.least,
        "shard_entries_max": totals.most,
        "buckets": totals.buckets,
        "overflow_buckets": totals.overflow_buckets,
        "load": totals.entries / <double>(totals.buckets * SLOTS) if totals.buckets else 0.0,
        "growing": totals.growing,
        "growths": totals.growths,
        "reserved": totals.reserved,
        "waiting": totals.waiting,
        "bytes": totals.bytes + sizeof(Map),
    }
