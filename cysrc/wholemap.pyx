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
    while shard.old != 0:
        for _step in range(RESERVE_STEP):
            if shard.old != 0 and advance(shard) < 0:
                return False
        unlock_shard(shard)
        lock_shard(shard)
    return True


cdef bint reserve_shard(Shard* shard, uint64_t entries) noexcept nogil:
    """False when there is no memory."""
    cdef uint32_t buckets
    cdef bint grown = False
    cdef bint done = True
    lock_shard(shard)
    buckets = buckets_for(entries, shard.load)
    while done:
        # Looked at anew each time: while a move was finished, the shard may have been cleared, shrunk, or grown.
        if is_unused(shard):
            done = make_table(shard, buckets)
            break
        if shard.old != 0:
            if not finish_moving(shard):
                break
        elif grown or buckets_of(shard.table) >= buckets:
            break
        else:
            done = grown = begin_resize(shard, buckets) == 0
    unlock_shard(shard)
    return done


cdef int reserve_all(Map* map, uint64_t entries) except -1:
    cdef Stripes* stripes
    cdef uint32_t i
    cdef uint64_t a_shard
    if entries == 0:
        return 0
    join(map)
    stripes = make_stripes(map)
    if stripes is NULL:
        raise MemoryError
    a_shard = entries_a_shard(entries, stripes.shards)
    for i in range(stripes.shards):
        if not reserve_shard(&stripes.shard[i], a_shard):
            raise MemoryError
    tidy()
    return 0


# Shrinking copies a shard's entries to a new arena, then its table. The words move last, by an exchange that leaves
# MOVED behind: an overwriter without the lock either comes before it, and its value moves along, or sees the mark.
# Whoever meets the mark, in what the shard had before, waits for the lock.

cdef bint pack_into(Shard* shard, Shard* packed) noexcept nogil:
    """Copy all entries but for their words, one after the other, into the empty table and arena of `packed`. False: no
    memory."""
    cdef ArenaPosition at
    cdef Entry* entry
    cdef Entry* copy
    cdef uint32_t ref
    memset(&at, 0, sizeof(at))
    while True:
        entry = next_entry(shard, &at)
        if entry is NULL:
            publish_directory(packed)
            return True
        ref = arena_new(&packed.entries, ENTRY_SIZE)
        if ref == NO_ITEM:
            return False
        copy = entry_at(packed, ref)
        copy.key = entry.key
        copy.hash = entry.hash
        if place(packed, mix(&packed.mixer, entry.hash), ref) < 0:
            return False


cdef void move_words(Shard* shard, Shard* packed) noexcept nogil:
    """Of all entries, which `packed` has in the same order; and tell reservations where theirs are now."""
    cdef ArenaPosition at, packed_at
    cdef Reservation* reservation
    cdef Entry* entry
    cdef Entry* copy
    memset(&at, 0, sizeof(at))
    memset(&packed_at, 0, sizeof(at))
    while True:
        entry = next_entry(shard, &at)
        if entry is NULL:
            break
        copy = <Entry*>arena_next(&packed.entries, &packed_at, ENTRY_SIZE)
        copy.word = exchange_word(&entry.word, MOVED)
        if is_reserved(copy.word):
            reservation = reservation_of(shard, arena_last_ref(&at, ENTRY_SIZE))
            reservation.new_ref = arena_last_ref(&packed_at, ENTRY_SIZE)
    reservation = shard.reservations
    while reservation is not NULL:
        reservation.ref = reservation.new_ref
        reservation = reservation.next


cdef void mark_all_evacuated(Table* table) noexcept nogil:
    cdef uint32_t i
    for i in range(table.buckets):
        store_ref(&table.bucket[i].link, table.bucket[i].link | EVACUATED)


cdef bint make_packed(Shard* shard, Shard* packed) noexcept nogil:
    """A copy of the shard in as little memory as its entries need, without their words. False: no memory for it."""
    cdef Remains remains
    memset(packed, 0, sizeof(Shard))
    shard_init(shard.map, packed)
    if shard.entries.n_used == 0:
        return True
    if make_table(packed, buckets_for(shard.entries.n_used, shard.load)) and pack_into(shard, packed):
        return True
    shard_remains(packed, &remains)
    remains.owned = False
    remains_close(&remains)
    return False


cdef void adopt_packed(Shard* shard, Shard* packed) noexcept nogil:
    cdef size_t former = shard.table
    move_words(shard, packed)
    shard.entries = packed.entries
    memset(&shard.limbo, 0, sizeof(Limbo))
    memset(&shard.popped, 0, sizeof(ArenaPosition))
    # Readers load `table`, then `old`. Those who get the new table and the old `old` find the entries there marked;
    # those who get the former table and no `old` would miss what had not moved to it yet, so its buckets send them on.
    store_word(&shard.table, packed.table)
    if shard.old != 0:
        mark_all_evacuated(table_at(former))
    store_word(&shard.old, 0)
    note_change(shard)
    restamp(shard.map)
    if is_unused(shard):
        shard.limit = shard.overflow_limit = 0
    else:
        set_limits(shard)


cdef bint shrink_shard(Map* map, Shard* shard) noexcept:
    """Rebuild a shard in as little memory as its entries need. False: no memory, and nothing has changed."""
    cdef Remains* remains = <Remains*>calloc(1, sizeof(Remains))
    cdef Shard packed
    cdef bint made
    if remains is NULL:
        return False
    lock_shard(shard)
    made = make_packed(shard, &packed)
    if made:
        shard_remains(shard, remains)
        # The references live on in the packed entries.
        remains.owned = False
        adopt_packed(shard, &packed)
        remains = displace_remains(map, remains)
    unlock_shard(shard)
    if not made:
        free(remains)
    elif remains is not NULL:
        remains_release(remains)
    tidy()
    return made


cdef int shrink(Map* map) except -1:
    cdef Stripes* stripes
    cdef uint32_t i
    join(map)
    stripes = stripes_of(map)
    if stripes is not NULL:
        for i in range(stripes.shards):
            if not shrink_shard(map, &stripes.shard[i]):
                raise MemoryError
    return 0


cdef void reuse_limbo(Shard* shard) noexcept nogil:
    """What was deleted before a synchronize() can be used again."""
    lock_shard(shard)
    limbo_turn(shard)
    unlock_shard(shard)


cdef void reuse_all(Stripes* stripes) noexcept nogil:
    cdef uint32_t i
    for i in range(stripes.shards):
        reuse_limbo(&stripes.shard[i])


cdef uint64_t drain(Map* map) except? 0:
    """Release what all maps have retired, and let this map use all its deleted entries again; those last, since what is
    released may delete."""
    cdef Stripes* stripes
    cdef uint64_t released
    cdef int _turn
    join(map)
    released = drain_all()
    stripes = stripes_of(map)
    if SM_FREE_THREADED and stripes is not NULL:
        # What has been stamped already; what has not; and what that made wait.
        for _turn in range(2):
            synchronize()
            reuse_all(stripes)
        synchronize()
        reuse_all(stripes)
    return released


# -- reports -----------------------------------------------------------------------------------------------------------

cdef size_t bytes_of_table(size_t word) noexcept nogil:
    """0 for no table, and for the one that unused shards share."""
    cdef Table* table = table_at(word)
    if word == 0 or word == EMPTY_TABLE:
        return 0
    return table_bytes(table.buckets) + arena_bytes(&table.overflow, BUCKET_SIZE)


cdef size_t shard_bytes(Shard* shard) noexcept nogil:
    return arena_bytes(&shard.entries, ENTRY_SIZE) + bytes_of_table(shard.table) + bytes_of_table(shard.old)


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
    uint32_t used, growing, reserved, waiting, deleted


cdef void shard_totals(Shard* shard, Totals* totals) noexcept nogil:
    cdef Reservation* reservation
    lock_shard(shard)
    totals.entries += shard.count
    totals.least = min(totals.least, shard.count)
    totals.most = max(totals.most, shard.count)
    totals.bytes += shard_bytes(shard)
    if not is_unused(shard):
        totals.used += 1
        totals.buckets += buckets_of(shard.table)
    totals.overflow_buckets += overflow_of(shard.table) + overflow_of(shard.old)
    totals.deleted += shard.limbo.n + shard.limbo.n_recent
    totals.growing += shard.old != 0
    totals.growths += shard.growths
    reservation = shard.reservations
    while reservation is not NULL:
        totals.reserved += 1
        totals.waiting += waiters_of(reservation)
        reservation = reservation.next
    unlock_shard(shard)


cdef Totals totals_of(Map* map) except *:
    cdef Totals totals
    cdef Stripes* stripes
    cdef uint32_t i
    join(map)
    stripes = stripes_of(map)
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
        "deleted": totals.deleted,
        "retired": retired_now(),
        "bytes": totals.bytes + sizeof(Map),
    }
