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
    cdef uint64_t bits
    cdef uint32_t word
    loop.holds = False
    for word in range(held_words(loop.store)):
        bits = loop.held[word]
        loop.held[word] = 0
        while bits:
            unlock_byte_shard(byte_shard(loop.store, 64 * word + count_trailing_zeros_64(bits)))
            bits &= bits - 1


# -- several keys ------------------------------------------------------------------------------------------------------

cdef inline uint32_t last_key_of(Request* request) noexcept nogil:
    cdef int last = request.command.last_key
    return <uint32_t>(last if last >= 0 else <int>request.n + last)


cdef bint spots_for_keys(Loop* loop, Request* request) noexcept nogil:
    """Hash every key of the command, into loop.spots, and fetch what their look-ups need. False: no memory."""
    cdef uint32_t n = (last_key_of(request) - request.command.first_key) // request.command.step + 1
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
    return write_at(write, spot) if likely(not loop.holds) else write_held(write, spot)


cdef int write_held(Write* write, Spot* spot) noexcept nogil:
    cdef ByteStore* store = spot.shard.store
    cdef int answer
    if not could_ever_fit(store, &write.draft):
        return TOO_LARGE
    if draft_is_large(store, &write.draft) and not draft_large(store, &write.draft):
        return IS_FULL
    answer = write_locked(write, spot)
    draft_forget(store, &write.draft)
    return answer


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
