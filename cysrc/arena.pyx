cdef inline char* arena_at(char** chunks, uint32_t ref) noexcept nogil:
    return chunks[ref >> GRANULE_BITS] + <size_t>(ref & GRANULE_MASK) * GRANULE


cdef inline uint32_t chunk_items(uint32_t chunk, uint32_t size) noexcept nogil:
    cdef uint32_t full = CHUNK // size
    # Beyond 8 << 8 every item size of ours fills a chunk; the shift must not overflow for the thousandth one.
    return full if chunk > 8 or <uint32_t>FIRST_CHUNK_ITEMS << chunk > full else <uint32_t>FIRST_CHUNK_ITEMS << chunk


cdef inline size_t chunk_bytes(uint32_t chunk, uint32_t size) noexcept nogil:
    """Whole cache lines."""
    return (<size_t>chunk_items(chunk, size) * size + 63) & ~<size_t>63


cdef bint arena_more_room(Arena* arena) noexcept nogil:
    """A directory of twice the size. False: no memory, and nothing has changed."""
    cdef uint32_t room = arena.room * 2 if arena.room else FIRST_ROOM
    cdef char** directory
    if not budget_take(arena.budget, (room + 1) * sizeof(char*), 0):
        return False
    directory = <char**>malloc((room + 1) * sizeof(char*))
    if directory is NULL:
        budget_give(arena.budget, (room + 1) * sizeof(char*))
        return False
    directory[0] = <char*>arena.chunks
    directory += 1
    if arena.n_chunks:
        memcpy(directory, arena.chunks, arena.n_chunks * sizeof(char*))
    store_directory(&arena.chunks, directory)
    arena.room = room
    return True


cdef int arena_add_chunk(Arena* arena, uint32_t size) noexcept nogil:
    """0, or -1 when there is no memory; the arena is unchanged then."""
    cdef char* chunk
    if arena.n_chunks == MAX_CHUNKS:
        return -1
    chunk = <char*>lines_within(arena.budget, chunk_bytes(arena.n_chunks, size), 0)
    if chunk is NULL:
        return -1
    if arena.n_chunks == arena.room and not arena_more_room(arena):
        lines_return(arena.budget, chunk, chunk_bytes(arena.n_chunks, size))
        return -1
    arena.chunks[arena.n_chunks] = chunk
    # The first item of the first chunk has reference 0, which means "none".
    arena.fill = 1 if arena.n_chunks == 0 else 0
    arena.n_chunks += 1
    return 0


cdef inline uint32_t* next_free(Arena* arena, uint32_t ref) noexcept nogil:
    """Where a free item keeps the reference of the next one."""
    return <uint32_t*>(arena_at(arena.chunks, ref) + LINK_OFFSET)


cdef inline uint32_t arena_new(Arena* arena, uint32_t size) noexcept nogil:
    """A free item's reference, its contents undefined; NO_ITEM when there is no memory."""
    cdef uint32_t ref = arena.free_head
    if ref != NO_ITEM:
        arena.free_head = next_free(arena, ref)[0]
        arena.n_free -= 1
    else:
        if arena_untouched(arena, size) == 0 and arena_add_chunk(arena, size) < 0:
            return NO_ITEM
        ref = ((arena.n_chunks - 1) << GRANULE_BITS) | (arena.fill * (size // GRANULE))
        arena.fill += 1
    arena.n_used += 1
    return ref


cdef inline void arena_release(Arena* arena, uint32_t ref) noexcept nogil:
    next_free(arena, ref)[0] = arena.free_head
    arena.free_head = ref
    arena.n_free += 1
    arena.n_used -= 1


cdef inline uint32_t arena_untouched(Arena* arena, uint32_t size) noexcept nogil:
    """Items of the last chunk that were never handed out."""
    return chunk_items(arena.n_chunks - 1, size) - arena.fill if arena.n_chunks else 0


cdef int arena_ensure(Arena* arena, uint32_t wanted, uint32_t size) noexcept nogil:
    """Make sure that the next `wanted` items cannot fail; -1 when there is no memory for them."""
    while arena.n_free + arena_untouched(arena, size) < wanted:
        # The rest of the last chunk goes to the free list, so that a new chunk can be the last.
        while arena_untouched(arena, size):
            arena.n_used += 1
            arena.fill += 1
            arena_release(arena, ((arena.n_chunks - 1) << GRANULE_BITS) | ((arena.fill - 1) * (size // GRANULE)))
        if arena_add_chunk(arena, size) < 0:
            return -1
    return 0


cdef inline char* arena_next(Arena* arena, ArenaPosition* at, uint32_t size) noexcept nogil:
    """The next item that was ever handed out, in use or free; NULL at the end. Start with a zeroed position."""
    cdef uint32_t end
    while at.chunk < arena.n_chunks:
        end = arena.fill if at.chunk == arena.n_chunks - 1 else chunk_items(at.chunk, size)
        # Reference 0 is no item.
        at.index += at.chunk == 0 and at.index == 0
        if at.index < end:
            at.index += 1
            return arena.chunks[at.chunk] + <size_t>(at.index - 1) * size
        at.chunk += 1
        at.index = 0
    return NULL


cdef inline uint32_t arena_last_ref(ArenaPosition* at, uint32_t size) noexcept nogil:
    """The reference of the item that arena_next returned last."""
    return (at.chunk << GRANULE_BITS) | ((at.index - 1) * (size // GRANULE))


cdef size_t arena_bytes(Arena* arena, uint32_t size) noexcept nogil:
    # The directories: this one, and the former ones, each half as large.
    cdef size_t total = (2 * arena.room + 1) * sizeof(char*) if arena.room else 0
    cdef uint32_t i
    for i in range(arena.n_chunks):
        total += chunk_bytes(i, size)
    return total


cdef void arena_close(Arena* arena, uint32_t size) noexcept nogil:
    """Free all memory; the arena is empty and usable afterwards. What the items own is the caller's to release."""
    cdef char** directory = arena.chunks
    cdef char** former
    cdef Budget* budget = arena.budget
    cdef uint32_t room = arena.room
    cdef uint32_t i
    for i in range(arena.n_chunks):
        lines_return(budget, arena.chunks[i], chunk_bytes(i, size))
    while directory is not NULL:
        former = <char**>(directory - 1)[0]
        free(directory - 1)
        budget_give(budget, (room + 1) * sizeof(char*))
        room //= 2
        directory = former
    memset(arena, 0, sizeof(Arena))
    arena.budget = budget
