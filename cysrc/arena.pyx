cdef inline char* arena_at(char** chunks, uint32_t ref) noexcept nogil:
    return chunks[ref >> GRANULE_BITS] + <size_t>(ref & GRANULE_MASK) * GRANULE


cdef inline uint32_t chunk_items(uint32_t chunk, uint32_t size) noexcept nogil:
    cdef uint32_t full = CHUNK // size
    # Beyond 8 << 8 every item size of ours fills a chunk; the shift must not overflow for the thousandth one.
    return full if chunk > 8 or <uint32_t>FIRST_CHUNK_ITEMS << chunk > full else <uint32_t>FIRST_CHUNK_ITEMS << chunk


cdef inline size_t chunk_bytes(uint32_t chunk, uint32_t size) noexcept nogil:
    """Whole cache lines."""
    return (<size_t>chunk_items(chunk, size) * size + 63) & ~<size_t>63


cdef int arena_add_chunk(Arena* arena, uint32_t size) noexcept nogil:
    """0, or -1 when there is no memory; the arena is unchanged then."""
    cdef uint32_t room
    cdef char** directory
    cdef char* chunk
    if arena.n_chunks == MAX_CHUNKS:
        return -1
    if arena.n_chunks == arena.room:
        room = arena.room * 2 if arena.room else 4
        directory = <char**>realloc(arena.chunks, room * sizeof(char*))
        if directory is NULL:
            return -1
        arena.chunks = directory
        arena.room = room
    chunk = <char*>lines_raw(chunk_bytes(arena.n_chunks, size))
    if chunk is NULL:
        return -1
    arena.chunks[arena.n_chunks] = chunk
    arena.fill = 0
    if arena.n_chunks == 0:
        # The first item of the first chunk has reference 0, which means "none": it looks free to a walk, for ever.
        memset(chunk, 0, size)
        arena.fill = 1
    arena.n_chunks += 1
    return 0


cdef inline uint32_t arena_new(Arena* arena, uint32_t size) noexcept nogil:
    """A free item's reference, its contents undefined; NO_ITEM when there is no memory."""
    cdef uint32_t ref = arena.free_head
    if ref != NO_ITEM:
        arena.free_head = (<uint32_t*>arena_at(arena.chunks, ref))[2]
        arena.n_free -= 1
    else:
        if arena_untouched(arena, size) == 0 and arena_add_chunk(arena, size) < 0:
            return NO_ITEM
        ref = ((arena.n_chunks - 1) << GRANULE_BITS) | (arena.fill * (size // GRANULE))
        arena.fill += 1
    arena.n_used += 1
    return ref


cdef inline void arena_release(Arena* arena, uint32_t ref) noexcept nogil:
    cdef char* item = arena_at(arena.chunks, ref)
    (<uint64_t*>item)[0] = 0
    (<uint32_t*>item)[2] = arena.free_head
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
    """The next item that is in use, NULL at the end; start with a zeroed position."""
    cdef char* item
    cdef uint32_t end
    while at.chunk < arena.n_chunks:
        end = arena.fill if at.chunk == arena.n_chunks - 1 else chunk_items(at.chunk, size)
        while at.index < end:
            item = arena.chunks[at.chunk] + <size_t>at.index * size
            at.index += 1
            if (<uint64_t*>item)[0] != 0:
                return item
        at.chunk += 1
        at.index = 0
    return NULL


cdef inline uint32_t arena_last_ref(ArenaPosition* at, uint32_t size) noexcept nogil:
    """The reference of the item that arena_next returned last."""
    return (at.chunk << GRANULE_BITS) | ((at.index - 1) * (size // GRANULE))


cdef size_t arena_bytes(Arena* arena, uint32_t size) noexcept nogil:
    cdef size_t total = arena.room * sizeof(char*)
    cdef uint32_t i
    for i in range(arena.n_chunks):
        total += chunk_bytes(i, size)
    return total


cdef void arena_close(Arena* arena, uint32_t size) noexcept nogil:
    """Free all memory; the arena is empty and usable afterwards. What the items own is the caller's to release."""
    cdef uint32_t i
    for i in range(arena.n_chunks):
        lines_free(arena.chunks[i], chunk_bytes(i, size))
    free(arena.chunks)
    memset(arena, 0, sizeof(Arena))
