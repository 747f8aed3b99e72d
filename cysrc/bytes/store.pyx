# A store's shards: made, locked one by one or all together, emptied, freed.

cdef extern from *:
    """
    #include <time.h>
    #ifdef CLOCK_BOOTTIME
    #define SM_BOOT_CLOCK CLOCK_BOOTTIME
    #else
    #define SM_BOOT_CLOCK CLOCK_MONOTONIC
    #endif

    /* Time to live is a duration: setting the clock changes nothing, and the time that the machine sleeps counts. */
    static inline int64_t sm_boot_ms(void) {
        struct timespec now;
        clock_gettime(SM_BOOT_CLOCK, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    }

    static inline int64_t sm_boot_ns(void) {
        struct timespec now;
        clock_gettime(SM_BOOT_CLOCK, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }

    /* Some tens of microseconds: what the system makes of the shortest sleep. */
    static void sm_breathe(void) {
        struct timespec nap = {0, SM_NAP_NS};
        nanosleep(&nap, NULL);
    }

    #define sm_change(number) __atomic_store_n(number, *(number) + 1, __ATOMIC_RELEASE)
    #define sm_next_id(number) __atomic_add_fetch(number, 1, __ATOMIC_RELAXED)
    #define sm_share(number) __atomic_add_fetch(number, 1, __ATOMIC_RELAXED)
    static inline int sm_share_unless_zero(uint32_t *number) {
        uint32_t seen = __atomic_load_n(number, __ATOMIC_RELAXED);
        while (seen != 0) {
            if (__atomic_compare_exchange_n(number, &seen, seen + 1, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
                return 1;
            }
        }
        return 0;
    }
    #define sm_unshare(number) __atomic_sub_fetch(number, 1, __ATOMIC_ACQ_REL)
    #define sm_read(number) __atomic_load_n(number, __ATOMIC_RELAXED)
    #define sm_write(number, value) __atomic_store_n(number, value, __ATOMIC_RELAXED)
    """
    int64_t boot_ms "sm_boot_ms"() noexcept nogil
    int64_t boot_ns "sm_boot_ns"() noexcept nogil
    void breathe "sm_breathe"() noexcept nogil
    void count_change "sm_change"(uint64_t* number) noexcept nogil
    uint64_t next_id "sm_next_id"(uint64_t* number) noexcept nogil
    uint32_t share_number "sm_share"(uint32_t* number) noexcept nogil
    uint32_t unshare_number "sm_unshare"(uint32_t* number) noexcept nogil
    bint share_unless_zero "sm_share_unless_zero"(uint32_t* number) noexcept nogil
    int64_t read_count "sm_read"(int64_t* number) noexcept nogil
    uint64_t read_number "sm_read"(uint64_t* number) noexcept nogil
    uint32_t read_policy "sm_read"(uint32_t* number) noexcept nogil
    void write_policy "sm_write"(uint32_t* number, uint32_t value) noexcept nogil
    void write_count "sm_write"(int64_t* number, int64_t value) noexcept nogil
    void write_limit "sm_write"(uint64_t* number, uint64_t value) noexcept nogil

cdef enum:
    # Bytes of key and value from which a record has memory of its own: two chunks, the quarter of a middling region.
    LARGE_FROM = 32 * 1024
    # With a bound, a record is at most this share of what a shard has of it: few large ones fill it unevenly.
    LARGE_SHARE = 64
    LEAST_LARGE = 512
    # The share of the bound that entries leave to tables: 1/16, enough for entries of 100 bytes and more.
    TABLE_SHARE = 16


cdef uint64_t last_id = 0


cdef inline ByteShard* byte_shard(ByteStore* store, uint32_t index) noexcept nogil:
    return <ByteShard*>(store.first + index * store.stride)


cdef inline size_t whole_lines(size_t size) noexcept nogil:
    return (size + 63) & ~<size_t>63


cdef void byte_shard_reset(ByteShard* shard) noexcept nogil:
    """An empty shard that owns nothing; its lock and its numbers of events are left alone."""
    shard_reset(&shard.base)
    memset(&shard.heap, 0, sizeof(Heap))
    shard.base.entries.budget = &shard.store.budget
    shard.heap.budget = &shard.store.budget
    shard.payload = shard.in_blocks = shard.slack = shard.large = 0
    shard.n_large = shard.n_deadlines = 0


cdef size_t store_bytes(uint32_t shards) noexcept nogil:
    return whole_lines(sizeof(ByteStore)) + shards * whole_lines(sizeof(ByteShard))


cdef ByteStore* store_new(uint32_t shards, uint64_t seed, uint32_t slots, uint32_t load) noexcept nogil:
    """An empty store with one reference, the caller's, and without a bound; NULL if there is no memory."""
    cdef ByteStore* store = <ByteStore*>lines_new(store_bytes(shards))
    cdef ByteShard* shard
    cdef uint32_t i
    if store is NULL:
        return NULL
    store.shards = shards
    store.mask = shards - 1
    store.key.first = splitmix(&seed)
    store.key.second = splitmix(&seed)
    store.references = 1
    store.id = next_id(&last_id)
    store.large_from = LARGE_FROM
    store.stride = whole_lines(sizeof(ByteShard))
    store.first = <char*>store + whole_lines(sizeof(ByteStore))
    store.budget.taken = store_bytes(shards)
    for i in range(shards):
        shard = byte_shard(store, i)
        shard.store = store
        shard.base.slots = (1 << slots) - 1
        shard.base.load = load
        byte_shard_reset(shard)
    return store


cdef void store_limit(ByteStore* store, uint64_t limit, uint32_t policy) noexcept nogil:
    """Bound what the store takes, in bytes; 0: no bound. What it has stays: the next writes make room."""
    cdef uint32_t i
    cdef ByteShard* shard
    write_limit(&store.budget.limit, limit)
    write_policy(&store.policy, policy)
    write_limit(&store.large_from, min(<uint64_t>LARGE_FROM, max(<uint64_t>LEAST_LARGE,
                limit // store.shards // LARGE_SHARE)) if limit else LARGE_FROM)
    for i in range(store.shards):
        shard = byte_shard(store, i)
        lock_bytes(&shard.base.lock)
        shard.heap.rest = limit // TABLE_SHARE
        # Values that threads recall: with ALL_KEYS_LRU the store has to learn of each read.
        count_change(&shard.changes)
        unlock_byte_shard(shard)
    while limit and budget_taken(&store.budget) > limit and evict_elsewhere(store):
        pass


# -- locking -----------------------------------------------------------------------------------------------------------

cdef inline void unlock_byte_shard(ByteShard* shard) noexcept nogil:
    cdef void* rubbish = shard.rubbish
    shard.rubbish = NULL
    unlock_bytes(&shard.base.lock)
    if unlikely(rubbish is not NULL):
        free_rubbish(&shard.store.budget, rubbish)


cdef void lock_store(ByteStore* store) noexcept nogil:
    """All shards, in index order; the first one without holding another."""
    cdef uint32_t i
    lock_bytes(&byte_shard(store, 0).base.lock)
    for i in range(1, store.shards):
        lock_bytes_attached(&byte_shard(store, i).base.lock)


cdef bint discard_rubbish(ByteShard* shard) noexcept nogil:
    """Give it back to the system under the shard's lock, for one who needs its bytes at once; was there any?"""
    cdef void* rubbish = shard.rubbish
    shard.rubbish = NULL
    free_rubbish(&shard.store.budget, rubbish)
    return rubbish is not NULL


cdef inline void unlock_and_collect(ByteShard* shard, void** rubbish) noexcept nogil:
    """For one who has other locks yet: what is rubbish is theirs to free, without any."""
    append_rubbish(rubbish, shard.rubbish)
    shard.rubbish = NULL
    unlock_bytes(&shard.base.lock)


cdef void unlock_store(ByteStore* store) noexcept nogil:
    cdef void* rubbish = NULL
    cdef uint32_t i
    for i in range(store.shards):
        unlock_and_collect(byte_shard(store, i), &rubbish)
    free_rubbish(&store.budget, rubbish)


# -- emptying ----------------------------------------------------------------------------------------------------------

cdef void for_each_record(ByteShard* shard, void (*visit)(ByteShard*, uint32_t) noexcept nogil) noexcept nogil:
    """The visitor may free the record, but not take it out of the table."""
    for_each_in(shard, shard.base.old, visit)
    for_each_in(shard, shard.base.table, visit)


cdef void for_each_in(ByteShard* shard, size_t table,
                      void (*visit)(ByteShard*, uint32_t) noexcept nogil) noexcept nogil:
    cdef Bucket* bucket
    cdef uint32_t i, slot
    if table == 0 or table == EMPTY_TABLE:
        return
    for i in range(buckets_of(table)):
        bucket = &table_at(table).bucket[i]
        if is_evacuated(bucket):
            continue
        while bucket is not NULL:
            for slot in range(SLOTS):
                if bucket.tags[slot]:
                    visit(shard, bucket.refs[slot])
            bucket = following(table_at(table), bucket)


cdef void drop_tables(Shard* shard) noexcept nogil:
    if not is_unused(shard):
        table_free(table_at(shard.table))
    if shard.old != 0:
        table_free(table_at(shard.old))


cdef void close_byte_shard(ByteShard* shard) noexcept nogil:
    """Free all that the shard has, which nobody refers to."""
    if shard.n_large:
        for_each_record(shard, drop_record)
    drop_tables(&shard.base)
    heap_close(&shard.heap)


cdef void empty_in_place(ByteShard* shard) noexcept nogil:
    """Locked, and some of the records are kept by readers: these stay in the heap."""
    for_each_record(shard, drop_record)
    drop_tables(&shard.base)
    store_word(&shard.base.table, EMPTY_TABLE)
    store_word(&shard.base.old, 0)
    shard.base.entries.n_used = 0
    shard.base.limit = shard.base.overflow_limit = 0
    shard.n_deadlines = 0
    write_count(&shard.base.count, 0)
    note_change(&shard.base)


cdef int64_t store_clear(ByteStore* store) noexcept nogil:
    """Remove every entry, at one instant. Returns how many, or -1, with nothing changed, if there is no memory to do so
    in a moment. Memory is given back after the locks are."""
    cdef ByteShard* remains = <ByteShard*>calloc(store.shards, sizeof(ByteShard))
    cdef ByteShard* shard
    cdef int64_t total = 0
    cdef uint32_t i
    if remains is NULL:
        return -1
    lock_store(store)
    for i in range(store.shards):
        shard = byte_shard(store, i)
        total += shard.base.count
        count_change(&shard.changes)
        count_change(&shard.moves)
        if shard.kept:
            empty_in_place(shard)
        else:
            # The bound's limits are the shard's, the rest goes with it.
            memcpy(&remains[i], shard, sizeof(ByteShard))
            byte_shard_reset(shard)
            shard.heap.rest = remains[i].heap.rest
            remains[i].rubbish = NULL
    unlock_store(store)
    for i in range(store.shards):
        if remains[i].store is not NULL:
            close_byte_shard(&remains[i])
            free_rubbish(&store.budget, remains[i].rubbish)
    free(remains)
    return total


# -- the end -----------------------------------------------------------------------------------------------------------

cdef inline void store_share(ByteStore* store) noexcept nogil:
    share_number(&store.references)


cdef void store_release(ByteStore* store) noexcept nogil:
    """Give a reference back; the last one frees the store."""
    cdef uint32_t i
    if unshare_number(&store.references) == 0:
        # First: whoever forks looks into all stores that are registered.
        unregister_store(store)
        for i in range(store.shards):
            close_byte_shard(byte_shard(store, i))
            free_rubbish(&store.budget, byte_shard(store, i).rubbish)
        lines_free(store, store_bytes(store.shards))


# -- sums over the shards ----------------------------------------------------------------------------------------------

cdef int64_t entries_in(ByteStore* store) noexcept nogil:
    """Entries, expired ones that have not been removed yet included; no lock is taken."""
    cdef int64_t total = 0
    cdef uint32_t i
    for i in range(store.shards):
        total += read_count(&byte_shard(store, i).base.count)
    return total
