# Which locks a command takes.
#
# A command on one key takes that key's shard's lock by itself. One on several keys, and a transaction, takes the locks
# of all shards concerned before it begins, in index order, and gives them back when it is through (`loop.holds`): what
# it does is at one instant. While they are held nothing waits for anything else.

cdef inline void enter_spot(Loop* loop, Spot* spot) noexcept nogil:
    if likely(not loop.holds):
        lock_spot(spot)


cdef inline void leave_spot(Loop* loop, Spot* spot) noexcept nogil:
    if likely(not loop.holds):
        unlock_spot(spot)


cdef inline uint32_t held_words(ByteStore* store) noexcept nogil:
    return (store.shards + 63) // 64


cdef inline void want_shard(Loop* loop, uint64_t mixed) noexcept nogil:
    cdef uint32_t index = shard_bits(mixed) & loop.store.mask
    loop.held[index >> 6] |= <uint64_t>1 << (index & 63)


cdef inline void want_all_shards(Loop* loop) noexcept nogil:
    cdef uint32_t i
    for i in range(loop.store.shards):
        loop.held[i >> 6] |= <uint64_t>1 << (i & 63)


cdef void hold_shards(Loop* loop) noexcept nogil:
    """Take the locks that are wanted."""
    cdef bint is_first = True
    cdef uint64_t bits
    cdef uint32_t word
    cdef ByteShard* shard
    for word in range(held_words(loop.store)):
        bits = loop.held[word]
        while bits:
            shard = byte_shard(loop.store, 64 * word + count_trailing_zeros_64(bits))
            bits &= bits - 1
            if is_first:
                lock_bytes(&shard.base.lock)
            else:
                lock_bytes_attached(&shard.base.lock)
            is_first = False
    loop.holds = True


cdef void let_go_of_shards(Loop* loop) noexcept nogil:
    cdef void* rubbish = NULL
    cdef uint64_t bits
    cdef uint32_t word
    loop.holds = False
    for word in range(held_words(loop.store)):
        bits = loop.held[word]
        loop.held[word] = 0
        while bits:
            unlock_and_collect(byte_shard(loop.store, 64 * word + count_trailing_zeros_64(bits)), &rubbish)
            bits &= bits - 1
    free_rubbish(&loop.store.budget, rubbish)


# -- several keys ------------------------------------------------------------------------------------------------------

cdef inline uint32_t last_key_of(Request* request) noexcept nogil:
    cdef int last = request.command.last_key
    return <uint32_t>(last if last >= 0 else <int>request.n + last)


cdef inline uint32_t key_count(Request* request) noexcept nogil:
    return (last_key_of(request) - request.command.first_key) // request.command.step + 1


cdef bint spots_for_keys(Loop* loop, Request* request) noexcept nogil:
    """Hash every key of the command, into loop.spots, and fetch what their look-ups need. False: no memory."""
    cdef uint32_t n = key_count(request)
    cdef uint32_t i
    cdef void* moved
    if n > loop.room_spots:
        moved = realloc(loop.spots, n * sizeof(Spot))
        if moved is NULL:
            return False
        loop.spots = <Spot*>moved
        loop.room_spots = n
    for i in range(n):
        spot_for(&loop.spots[i], loop.store, request.arguments[request.command.first_key + i * request.command.step])
    i = 0
    while i < n and not loop.holds:
        prefetch_spots(&loop.spots[i], <int>min(<uint32_t>IN_FLIGHT, n - i))
        i += IN_FLIGHT
    return True


cdef void want_spots(Loop* loop, uint32_t n) noexcept nogil:
    """The shards of the keys that spots_for_keys has hashed."""
    cdef uint32_t i
    for i in range(n):
        want_shard(loop, loop.spots[i].mixed)


cdef void want_keys(Loop* loop, Request* request) noexcept nogil:
    cdef uint32_t i = request.command.first_key
    cdef Spot spot
    if request.command.flags & WHOLE_STORE:
        want_all_shards(loop)
    while i and i <= last_key_of(request):
        spot_for(&spot, loop.store, request.arguments[i])
        want_shard(loop, spot.mixed)
        i += request.command.step


# -- writes ------------------------------------------------------------------------------------------------------------

cdef inline int perform_write(Loop* loop, Write* write, Spot* spot) noexcept nogil:
    """DONE, NOT_DONE, IS_FULL or TOO_LARGE."""
    return write_at(write, spot) if likely(not loop.holds) else write_held(loop, write, spot)


cdef int write_held(Loop* loop, Write* write, Spot* spot) noexcept nogil:
    cdef ByteStore* store = loop.store
    cdef Draft* draft = &write.draft
    cdef int answer = IS_FULL
    cdef uint64_t _eviction
    if not could_ever_fit(store, draft):
        return TOO_LARGE
    for _eviction in range(most_evictions(draft)):
        if not draft_is_large(store, draft) or draft.large is not NULL or draft_large(store, draft):
            answer = write_locked(write, spot)
            if likely(answer != IS_FULL):
                break
            forget_former(loop, write)
        if not evict_anywhere(loop):
            break
    draft_forget(store, draft)
    return answer


cdef inline uint64_t most_evictions(Draft* draft) noexcept nogil:
    return MOST_EVICTIONS_ELSEWHERE + 2 * draft_content(draft) // LEAST_LARGE


cdef bint evict_anywhere(Loop* loop) noexcept nogil:
    """As evict_elsewhere, also for one who holds locks. Records that were found are to be looked up again."""
    if likely(not loop.holds):
        return evict_elsewhere(loop.store)
    # First what the commands before have left: it counts when it has been given back.
    return discard_from_held(loop) or evict_from_others(loop) or evict_from_held(loop)


cdef inline bint is_held(Loop* loop, uint32_t index) noexcept nogil:
    return (loop.held[index >> 6] >> (index & 63) & 1) != 0


cdef bint evict_from_others(Loop* loop) noexcept nogil:
    """From shards whose lock is free at the moment: to wait for one out of order could be for ever."""
    cdef uint64_t start = splitmix(&loop.random)
    cdef uint32_t i, index
    cdef ByteShard* shard
    cdef bint found = False
    for i in range(loop.store.shards):
        index = <uint32_t>(start + i) & loop.store.mask
        shard = byte_shard(loop.store, index)
        if not is_held(loop, index) and try_lock_bytes(&shard.base.lock):
            found = evict_much(shard)
            unlock_byte_shard(shard)
            if found:
                break
    return found


cdef bint discard_from_held(Loop* loop) noexcept nogil:
    cdef uint32_t i
    cdef bint found = False
    for i in range(loop.store.shards):
        if is_held(loop, i):
            found = discard_rubbish(byte_shard(loop.store, i)) or found
    return found


cdef bint evict_from_held(Loop* loop) noexcept nogil:
    cdef uint32_t i
    cdef ByteShard* shard
    for i in range(loop.store.shards):
        shard = byte_shard(loop.store, i)
        if is_held(loop, i) and evict_much(shard):
            discard_rubbish(shard)
            return True
    return False


cdef inline void forget_former(Loop* loop, Write* write) noexcept nogil:
    if write.former and loop.holds:
        release_record(write.shard, write.former)
        write.former = 0
    else:
        release_former(write)


cdef inline void release_kept(Loop* loop, ByteShard* shard, uint32_t ref) noexcept nogil:
    """Give back what keep_record took."""
    if not loop.holds:
        lock_bytes(&shard.base.lock)
    release_record(shard, ref)
    if not loop.holds:
        unlock_byte_shard(shard)
