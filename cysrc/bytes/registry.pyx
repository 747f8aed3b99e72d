# Every byte store of the process, for fork and for the sweeper.
#
# Threads without the GIL may be inside a store when the process forks. So the thread that forks first takes every lock
# of every store, and parent and child give them back: in the child each store is whole, and nobody holds anything.

cdef struct Registered:
    ByteStore* store
    Registered* next

cdef Registered* all_stores = NULL
cdef Lock all_stores_lock = 0


cdef bint register_store(ByteStore* store) noexcept nogil:
    """False: no memory."""
    global all_stores
    cdef Registered* entry = <Registered*>malloc(sizeof(Registered))
    if entry is NULL:
        return False
    lock_bytes(&all_stores_lock)
    entry.store = store
    entry.next = all_stores
    all_stores = entry
    unlock_bytes(&all_stores_lock)
    return True


cdef void unregister_store(ByteStore* store) noexcept nogil:
    """Nobody has it any more; from now on no fork waits for its locks."""
    cdef Registered** at = &all_stores
    cdef Registered* entry
    lock_bytes(&all_stores_lock)
    while at[0].store is not store:
        at = &at[0].next
    entry = at[0]
    at[0] = entry.next
    unlock_bytes(&all_stores_lock)
    free(entry)


cdef bint share_if_alive(ByteStore* store) noexcept nogil:
    return share_unless_zero(&store.references)


cdef ByteStore* next_store(ByteStore* former) noexcept nogil:
    """Another store than the former one, with a reference for the caller; the first one for NULL, NULL at the end. A
    store that comes meanwhile may be left out, and if the former one went the caller begins anew."""
    cdef Registered* entry
    cdef ByteStore* found = NULL
    lock_bytes(&all_stores_lock)
    entry = all_stores
    while former is not NULL and entry is not NULL and entry.store is not former:
        entry = entry.next
    if former is not NULL and entry is not NULL:
        entry = entry.next
    # One without a reference is about to go.
    while entry is not NULL and not share_if_alive(entry.store):
        entry = entry.next
    if entry is not NULL:
        found = entry.store
    unlock_bytes(&all_stores_lock)
    return found


def _sweep_all():
    """Remove what is due from every byte map of the process, without the GIL. Returns how many entries that were."""
    cdef uint64_t total = 0
    cdef ByteStore* store
    cdef ByteStore* former
    with nogil:
        store = next_store(NULL)
        while store is not NULL:
            total += sweep_store(store)
            former = store
            store = next_store(former)
            store_release(former)
    return total


cdef void before_fork() noexcept nogil:
    """Attached throughout: the interpreter holds locks of its own while it forks, for which others may wait with the
    GIL. Who holds one of ours needs neither."""
    cdef Registered* entry
    cdef uint32_t i
    lock_bytes_attached(&all_stores_lock)
    entry = all_stores
    while entry is not NULL:
        for i in range(entry.store.shards):
            lock_bytes_attached(&byte_shard(entry.store, i).base.lock)
        entry = entry.next


cdef void after_fork() noexcept nogil:
    cdef Registered* entry = all_stores
    while entry is not NULL:
        unlock_store(entry.store)
        entry = entry.next
    unlock_bytes(&all_stores_lock)


cdef void after_fork_in_child_of_stores() noexcept nogil:
    """What threads that are not here had in hand, such as what they had cleared and not given back yet, is lost, and no
    part of what the stores have taken."""
    cdef Registered* entry = all_stores
    while entry is not NULL:
        recount_budget(entry.store)
        entry = entry.next
    after_fork()


cdef void recount_budget(ByteStore* store) noexcept nogil:
    """All locks are held."""
    cdef uint64_t total = store_bytes(store.shards)
    cdef ByteShard* shard
    cdef uint32_t i
    for i in range(store.shards):
        shard = byte_shard(store, i)
        total += (shard.heap.reserved + shard.heap.room * (sizeof(char*) + sizeof(uint32_t)) + shard.large
                  + taken_by_table(shard.base.table) + taken_by_table(shard.base.old))
    write_limit(&store.budget.taken, total)


cdef uint64_t taken_by_table(size_t table) noexcept nogil:
    """As arena_more_room counts it: each of the directories, the former ones included."""
    cdef uint64_t total = 0
    cdef uint32_t i, room
    cdef Arena* overflow
    if table == 0 or table == EMPTY_TABLE:
        return 0
    overflow = &table_at(table).overflow
    for i in range(overflow.n_chunks):
        total += chunk_bytes(i, BUCKET_SIZE)
    room = overflow.room
    while room >= FIRST_ROOM:
        total += (room + 1) * sizeof(char*)
        room //= 2
    return total + table_bytes(buckets_of(table))


if pthread_atfork(before_fork, after_fork, after_fork_in_child_of_stores) != 0:
    raise MemoryError("no memory for the fork handler of shardmap's byte stores")
