# Taking blocks from a shard's heap and giving them back.

cdef inline char* block_at(Heap* heap, uint32_t ref) noexcept nogil:
    return arena_at(heap.chunks, ref)


cdef inline FreeBlock* free_block_at(Heap* heap, uint32_t ref) noexcept nogil:
    return <FreeBlock*>block_at(heap, ref)


cdef inline uint32_t* head_at(Heap* heap, uint32_t ref) noexcept nogil:
    """The first word of a block, free or in use, or of a sentinel."""
    return <uint32_t*>block_at(heap, ref)


cdef inline uint32_t* size_word_before(Heap* heap, uint32_t ref) noexcept nogil:
    """The last word of the block before, which is free: its size."""
    return <uint32_t*>(block_at(heap, ref) - sizeof(uint32_t))


cdef inline uint32_t size_before(Heap* heap, uint32_t ref) noexcept nogil:
    return size_word_before(heap, ref)[0]


cdef inline uint32_t granules(size_t size) noexcept nogil:
    return max(<uint32_t>LEAST_BLOCK, <uint32_t>((size + GRANULE - 1) // GRANULE))


# -- lists -------------------------------------------------------------------------------------------------------------

cdef inline uint32_t list_for(uint32_t size) noexcept nogil:
    """The list where blocks of this size belong: level * LISTS + list."""
    cdef uint32_t log
    if size < LISTS:
        return size
    log = 31 - count_leading_zeros(size)
    if log - LINEAR_BITS + 1 >= LEVELS:
        # A region made for one large block: such blocks are few, and share a list.
        return LEVELS * LISTS - 1
    return (log - LINEAR_BITS + 1) * LISTS + ((size >> (log - LINEAR_BITS)) & (LISTS - 1))


cdef inline uint32_t list_that_fits(uint32_t size) noexcept nogil:
    """The first list of which every block is large enough."""
    if size >= LISTS:
        size += (<uint32_t>1 << (31 - count_leading_zeros(size) - LINEAR_BITS)) - 1
    return list_for(size)


cdef inline void list_block(Heap* heap, uint32_t ref, uint32_t size) noexcept nogil:
    """Make these granules a free block, behind one in use; the block behind it learns of it."""
    cdef uint32_t at = list_for(size)
    cdef uint32_t following = heap.first[at]
    cdef FreeBlock* block = free_block_at(heap, ref)
    block.head = FREE_BLOCK
    block.size = size
    block.next = following
    block.previous = 0
    if following:
        free_block_at(heap, following).previous = ref
    heap.first[at] = ref
    heap.lists[at // LISTS] |= <uint16_t>(1 << (at % LISTS))
    heap.levels |= <uint32_t>1 << (at // LISTS)
    size_word_before(heap, ref + size)[0] = size
    write_head(head_at(heap, ref + size), head_at(heap, ref + size)[0] | AFTER_FREE)
    heap.free_granules += size


cdef inline void unlist_block(Heap* heap, uint32_t ref) noexcept nogil:
    cdef FreeBlock* block = free_block_at(heap, ref)
    cdef uint32_t at = list_for(block.size)
    if block.next:
        free_block_at(heap, block.next).previous = block.previous
    if block.previous:
        free_block_at(heap, block.previous).next = block.next
    else:
        heap.first[at] = block.next
        if block.next == 0:
            heap.lists[at // LISTS] &= <uint16_t>~(1 << (at % LISTS))
            if heap.lists[at // LISTS] == 0:
                heap.levels &= ~(<uint32_t>1 << (at // LISTS))
    write_head(head_at(heap, ref + block.size), head_at(heap, ref + block.size)[0] & ~AFTER_FREE)
    heap.free_granules -= block.size


cdef inline uint32_t find_in_list(Heap* heap, uint32_t at, uint32_t size, int looks) noexcept nogil:
    cdef uint32_t ref = heap.first[at]
    while ref and looks:
        if free_block_at(heap, ref).size >= size:
            return ref
        ref = free_block_at(heap, ref).next
        looks -= 1
    return 0


cdef inline uint32_t find_block(Heap* heap, uint32_t size) noexcept nogil:
    """A free block of at least this size; 0 if none is found."""
    cdef uint32_t at = list_for(size)
    cdef uint32_t ref = find_in_list(heap, at, size, LOOKS_IN_LIST)
    cdef uint32_t level, lists
    if ref:
        return ref
    at = list_that_fits(size)
    level = at // LISTS
    lists = heap.lists[level] & (<uint32_t>0xFFFF << (at % LISTS))
    if lists == 0:
        if level + 1 >= LEVELS or heap.levels >> (level + 1) == 0:
            return 0
        level += 1 + count_trailing_zeros(heap.levels >> (level + 1))
        lists = heap.lists[level]
    at = level * LISTS + count_trailing_zeros(lists)
    # In all lists but the last, which has no upper end, the first block will do.
    return heap.first[at] if at < LEVELS * LISTS - 1 else find_in_list(heap, at, size, -1)


# -- regions -----------------------------------------------------------------------------------------------------------

cdef bint more_directory(Heap* heap, uint32_t wanted) noexcept nogil:
    """Room for so many more chunks. False: no memory, and nothing has changed."""
    cdef uint32_t room = max(heap.room * 2, heap.n_chunks + wanted)
    cdef size_t added = (room - heap.room) * (sizeof(char*) + sizeof(uint32_t))
    cdef void* moved
    if heap.n_chunks + wanted <= heap.room:
        return True
    if <uint64_t>heap.n_chunks + wanted >= 1 << (32 - GRANULE_BITS) or not budget_take(heap.budget, added, 0):
        return False
    moved = realloc(heap.chunks, room * sizeof(char*))
    if moved is not NULL:
        heap.chunks = <char**>moved
        moved = realloc(heap.spans, room * sizeof(uint32_t))
        if moved is not NULL:
            heap.spans = <uint32_t*>moved
            heap.room = room
            return True
    budget_give(heap.budget, added)
    return False


cdef inline uint32_t least_chunks(uint32_t size) noexcept nogil:
    return (size + 2 + GRANULE_MASK) >> GRANULE_BITS


cdef uint32_t chunks_wanted(Heap* heap, uint32_t size) noexcept nogil:
    """Chunks of the next region, which is to hold a block of this size."""
    cdef uint64_t share = max(heap.reserved, heap.expected) // REGION_SHARE // CHUNK
    cdef uint32_t chunks = 1
    while chunks < LARGEST_REGION and chunks * 2 <= share:
        chunks *= 2
    return max(chunks, least_chunks(size))


cdef uint32_t place_in_directory(Heap* heap, uint32_t chunks) noexcept nogil:
    """Where a region of so many chunks can go: where another one of the same length was, or at the end."""
    cdef uint32_t at = 0, empty = 0
    while at < heap.n_chunks:
        empty = 0 if heap.chunks[at] is not NULL else empty + 1
        at += heap.spans[at] if heap.spans[at] else 1
        if empty == chunks:
            return at - chunks
    return heap.n_chunks


cdef bint add_region(Heap* heap, uint32_t size) noexcept nogil:
    """Take memory from the system for a block of this size and more. False: there is none, and nothing has changed."""
    cdef uint32_t chunks = chunks_wanted(heap, size)
    cdef uint32_t at, i
    cdef char* region
    if not more_directory(heap, chunks):
        return False
    region = <char*>lines_within(heap.budget, <size_t>chunks * CHUNK, heap.rest)
    if region is NULL:
        # The last bit of the budget.
        chunks = least_chunks(size)
        region = <char*>lines_within(heap.budget, <size_t>chunks * CHUNK, heap.rest)
    if region is NULL:
        return False
    if heap.expected > heap.reserved:
        lines_populate(region, min(<size_t>chunks * CHUNK, heap.expected - heap.reserved))
    at = place_in_directory(heap, chunks) if heap.free_slots >= chunks else heap.n_chunks
    if at == heap.n_chunks:
        heap.n_chunks += chunks
    else:
        heap.free_slots -= chunks
    for i in range(chunks):
        heap.chunks[at + i] = region + <size_t>i * CHUNK
        heap.spans[at + i] = 0
    heap.spans[at] = chunks
    heap.reserved += <size_t>chunks * CHUNK
    # The sentinel.
    head_at(heap, ((at + chunks) << GRANULE_BITS) - 1)[0] = 0
    list_block(heap, (at << GRANULE_BITS) + 1, (chunks << GRANULE_BITS) - 2)
    return True


# -- rubbish -----------------------------------------------------------------------------------------------------------
#
# Memory that goes back to the system when the shard is not locked any more: in its first words what follows in the
# list, and its size in bytes, in whose lowest bit stands whether the budget has got them already.

cdef enum:
    IS_PAID = 1


cdef inline void add_rubbish(void** rubbish, void* lines, size_t size) noexcept nogil:
    (<void**>lines)[0] = rubbish[0]
    (<void**>lines)[1] = <void*>size
    rubbish[0] = lines


cdef inline void append_rubbish(void** rubbish, void* others) noexcept nogil:
    """A second list's, in front."""
    cdef void** last = <void**>others
    if others is NULL:
        return
    while last[0] is not NULL:
        last = <void**>last[0]
    last[0] = rubbish[0]
    rubbish[0] = others


cdef void free_rubbish(Budget* budget, void* rubbish) noexcept nogil:
    """Nothing is locked, or somebody needs it at once."""
    cdef void* following_one
    cdef size_t size
    while rubbish is not NULL:
        following_one = (<void**>rubbish)[0]
        size = <size_t>(<void**>rubbish)[1]
        if size & IS_PAID:
            lines_free(rubbish, size & ~<size_t>IS_PAID)
        else:
            lines_return(budget, rubbish, size)
        rubbish = following_one


# -- regions that are free ---------------------------------------------------------------------------------------------

cdef inline bint is_region(Heap* heap, uint32_t ref, uint32_t size) noexcept nogil:
    """Is this free block all that its region has?"""
    return ref & GRANULE_MASK == 1 and size == (heap.spans[ref >> GRANULE_BITS] << GRANULE_BITS) - 2


cdef void drop_region(Heap* heap, uint32_t ref, void** rubbish) noexcept nogil:
    """Give up a region, all of which is one free block. It is rubbish, to be given back to the system without the
    lock, which can take long; its bytes are free for others at once, so that it may be beyond the bound until then.
    """
    cdef uint32_t at = ref >> GRANULE_BITS
    cdef uint32_t chunks = heap.spans[at]
    cdef char* region = heap.chunks[at]
    cdef uint32_t i
    unlist_block(heap, ref)
    for i in range(chunks):
        heap.chunks[at + i] = NULL
    heap.spans[at] = 0
    heap.free_slots += chunks
    heap.reserved -= <size_t>chunks * CHUNK
    budget_give(heap.budget, <size_t>chunks * CHUNK)
    add_rubbish(rubbish, region, <size_t>chunks * CHUNK | IS_PAID)


cdef bint drop_free_regions(Heap* heap, void** rubbish) noexcept nogil:
    """Give up every region of which all is free; was there one?"""
    cdef uint32_t chunk, first
    cdef bint found = False
    for chunk in range(heap.n_chunks):
        first = (chunk << GRANULE_BITS) + 1
        if (heap.spans[chunk] and head_at(heap, first)[0] & FREE_BLOCK
                and is_region(heap, first, free_block_at(heap, first).size)):
            drop_region(heap, first, rubbish)
            found = True
    return found


cdef void heap_close(Heap* heap) noexcept nogil:
    """Free everything; the heap is empty and usable afterwards."""
    cdef Budget* budget = heap.budget
    cdef uint64_t rest = heap.rest
    cdef uint32_t at
    for at in range(heap.n_chunks):
        if heap.spans[at]:
            lines_return(budget, heap.chunks[at], <size_t>heap.spans[at] * CHUNK)
    free(heap.chunks)
    free(heap.spans)
    budget_give(budget, heap.room * (sizeof(char*) + sizeof(uint32_t)))
    memset(heap, 0, sizeof(Heap))
    heap.budget = budget
    heap.rest = rest


# -- blocks ------------------------------------------------------------------------------------------------------------

cdef inline uint32_t block_take(Heap* heap, uint32_t size, uint32_t* slack) noexcept nogil:
    """A block of `size` granules, and of `slack` more if what would be left is no block; 0 if there is no memory. Of
    its first word the top bits are set as the heap wants them, everything else is undefined."""
    cdef uint32_t ref = find_block(heap, size)
    cdef uint32_t rest
    if unlikely(ref == 0):
        if not add_region(heap, size):
            return 0
        ref = find_block(heap, size)
    unlist_block(heap, ref)
    rest = free_block_at(heap, ref).size - size
    slack[0] = 0
    if rest >= LEAST_BLOCK:
        head_at(heap, ref + size)[0] = 0
        list_block(heap, ref + size, rest)
    else:
        slack[0] = rest
    # The block before is in use: otherwise the two would have been one.
    head_at(heap, ref)[0] = 0
    heap.used[list_for(size)] += 1
    return ref


cdef inline void block_give(Heap* heap, uint32_t ref, uint32_t size, uint32_t slack,
                            void** rubbish) noexcept nogil:
    """Give a block back; with its free neighbours it becomes one. A region that is free as a whole becomes rubbish
    while there is more than as much free memory besides, so that one that comes and goes does not."""
    cdef uint32_t before
    heap.used[list_for(size)] -= 1
    size += slack
    if head_at(heap, ref)[0] & AFTER_FREE:
        before = size_before(heap, ref)
        ref -= before
        size += before
        unlist_block(heap, ref)
    if head_at(heap, ref + size)[0] & FREE_BLOCK:
        before = free_block_at(heap, ref + size).size
        unlist_block(heap, ref + size)
        size += before
    list_block(heap, ref, size)
    if unlikely(is_region(heap, ref, size)) and heap.free_granules > <uint64_t>2 * size:
        drop_region(heap, ref, rubbish)


# -- what it comes to --------------------------------------------------------------------------------------------------

cdef uint32_t smallest_in_use(Heap* heap) noexcept nogil:
    """Granules of the smallest blocks in use, to within their list; 0 if there are none."""
    cdef uint32_t at, level
    for at in range(LEVELS * LISTS):
        if heap.used[at]:
            level = at // LISTS
            return at if level == 0 else (LISTS + at % LISTS) << (level - 1)
    return 0


cdef uint64_t too_small(Heap* heap, uint32_t least) noexcept nogil:
    """Granules of all free blocks smaller than this."""
    cdef uint64_t total = 0
    cdef uint32_t at, ref
    for at in range(list_for(least) + 1 if least else 0):
        ref = heap.first[at]
        while ref:
            if free_block_at(heap, ref).size < least:
                total += free_block_at(heap, ref).size
            ref = free_block_at(heap, ref).next
    return total
