# KEYS and SCAN: walks in the order of hashes (bytes/walk.pyx). SCAN's cursor is the place where the next step begins,
# so it needs nothing to be remembered, stays right while the table grows, and yields every key that is there all the
# time exactly once.
#
#   cursor   shard << 32 | place; 0 at the start and at the end

cdef int next_batch(Loop* loop, Walk* walk, Batch* batch) noexcept nogil:
    """As walk_next; in a transaction all shards are locked already."""
    cdef int answer = 0
    if likely(not loop.holds):
        return walk_next(walk, batch, NULL)
    while walk.shard < walk.end and batch.n == 0:
        batch.shard = byte_shard(walk.store, walk.shard)
        while answer == 0 and walk.position < <uint64_t>1 << 32 and batch.n < WALK_BATCH:
            answer = walk_range(walk, batch)
        if answer < 0:
            return -1
        if walk.position >= <uint64_t>1 << 32:
            walk.shard += 1
            walk.position = 0
    return batch.n != 0


cdef void drop_batch(Loop* loop, Batch* batch) noexcept nogil:
    cdef uint32_t i
    if not loop.holds:
        batch_release(batch, NULL)
        return
    for i in range(batch.n):
        release_record(batch.shard, batch.refs[i])
    batch.n = 0


cdef int64_t put_matching(Loop* loop, Batch* batch, Span* pattern) noexcept nogil:
    """Append the keys that match, unless NULL, to loop.scratch; how many there were."""
    cdef int64_t n = 0
    cdef uint32_t i
    cdef Span key
    for i in range(batch.n):
        key = key_span(batch.records[i])
        if pattern is NULL or matches(pattern[0], key):
            put_bulk(&loop.scratch, key.data, key.size)
            n += 1
    return n


cdef int64_t walk_keys(Loop* loop, Walk* walk, Span* pattern, uint64_t count) noexcept nogil:
    """Go on with a walk for so many keys at least; those that match are in loop.scratch. -1: no memory."""
    cdef Batch batch
    cdef int64_t found = 0
    cdef uint64_t looked_at = 0
    cdef int answer = 1
    scratch_clear(loop)
    batch_open(&batch)
    while looked_at < count:
        answer = next_batch(loop, walk, &batch)
        if answer <= 0:
            break
        looked_at += batch.n
        found += put_matching(loop, &batch, pattern)
        drop_batch(loop, &batch)
        if buffer_size(&loop.scratch) > loop.out.limit:
            # More than may be sent: not all of it has to be there before that is known.
            loop.out.failed = loop.out.too_much = True
            break
    drop_batch(loop, &batch)
    batch_close(&batch)
    return -1 if answer < 0 or loop.scratch.failed else found


cdef void reply_keys(Loop* loop, int64_t found) noexcept nogil:
    put_array(&loop.out, found)
    buffer_append(&loop.out, loop.scratch.data, buffer_size(&loop.scratch))


cdef void run_keys(Loop* loop, Request* request) noexcept nogil:
    cdef Walk walk
    cdef int64_t found
    cdef Span pattern = request.arguments[1]
    cdef bint is_all = pattern.size == 1 and pattern.data[0] == b"*"
    walk_open(&walk, loop.store, 0, loop.store.shards)
    found = walk_keys(loop, &walk, NULL if is_all else &pattern, <uint64_t>-1)
    if found < 0:
        fail(loop, NO_MEMORY_LEFT)
    else:
        reply_keys(loop, found)


cdef struct ScanOptions:
    Span pattern
    bint has_pattern
    bint of_other_type                  # than strings: there are none
    int64_t count


cdef bint scan_options(Loop* loop, Request* request, ScanOptions* options) noexcept nogil:
    cdef uint32_t i = 2
    memset(options, 0, sizeof(ScanOptions))
    options.count = 10
    while i < request.n:
        if i + 1 == request.n:
            fail(loop, SYNTAX)
            return False
        if is_word(request.arguments[i], b"match"):
            options.pattern = request.arguments[i + 1]
            options.has_pattern = options.pattern.size != 1 or options.pattern.data[0] != b"*"
        elif is_word(request.arguments[i], b"count"):
            if not as_integer(loop, request.arguments[i + 1], &options.count):
                return False
            if options.count < 1:
                fail(loop, SYNTAX)
                return False
        elif is_word(request.arguments[i], b"type"):
            options.of_other_type = not is_word(request.arguments[i + 1], b"string")
        else:
            fail(loop, SYNTAX)
            return False
        i += 2
    return True


cdef bint parse_cursor(Span text, uint64_t* cursor) noexcept nogil:
    cdef size_t i
    cursor[0] = 0
    if text.size == 0 or text.size > 20:
        return False
    for i in range(text.size):
        if not 48 <= text.data[i] <= 57:
            return False
        cursor[0] = cursor[0] * 10 + <uint64_t>(text.data[i] - 48)
    return True


cdef void run_scan(Loop* loop, Request* request) noexcept nogil:
    cdef ScanOptions options
    cdef Walk walk
    cdef uint64_t cursor
    cdef int64_t found = 0
    if not parse_cursor(request.arguments[1], &cursor):
        fail(loop, b"ERR invalid cursor")
        return
    if not scan_options(loop, request, &options):
        return
    walk_open(&walk, loop.store, <uint32_t>min(cursor >> 32, <uint64_t>loop.store.shards), loop.store.shards)
    walk.position = cursor & <uint64_t>0xFFFFFFFF
    found = walk_keys(loop, &walk, &options.pattern if options.has_pattern else NULL, options.count)
    if found < 0:
        fail(loop, NO_MEMORY_LEFT)
        return
    if options.of_other_type:
        scratch_clear(loop)
        found = 0
    cursor = 0
    if walk.shard != walk.end:
        cursor = <uint64_t>walk.shard << 32 | walk.position
    put_array(&loop.out, 2)
    put_number_as_bulk(&loop.out, cursor)
    reply_keys(loop, found)
