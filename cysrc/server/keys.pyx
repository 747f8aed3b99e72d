# Commands on keys, whatever their values are.

cdef void run_del(Loop* loop, Request* request) noexcept nogil:
    cdef int64_t removed = 0
    cdef Spot* spot
    cdef uint32_t i
    for i in range(key_count(request)):
        spot = &loop.spots[i]
        enter_spot(loop, spot)
        if find_record(spot):
            remove_record(spot)
            removed += 1
        leave_spot(loop, spot)
    put_integer(&loop.out, removed)


cdef void run_exists(Loop* loop, Request* request) noexcept nogil:
    """EXISTS and TOUCH: how many of the keys are there, each counted as often as it is named."""
    cdef int64_t present = 0
    cdef Spot* spot
    cdef uint32_t i
    for i in range(key_count(request)):
        spot = &loop.spots[i]
        enter_spot(loop, spot)
        present += find_to_read(spot)
        leave_spot(loop, spot)
    put_integer(&loop.out, present)


cdef bint is_present(Loop* loop, Spot* spot) noexcept nogil:
    cdef bint found
    enter_spot(loop, spot)
    found = find_record(spot)
    leave_spot(loop, spot)
    return found


cdef void run_type(Loop* loop, Request* request) noexcept nogil:
    put_line(&loop.out, b"+string\r\n" if is_present(loop, &request.spot) else b"+none\r\n")


# -- RENAME, COPY ------------------------------------------------------------------------------------------------------

cdef enum:
    COPIED = 1
    NO_SOURCE = 0
    TARGET_THERE = 2


cdef int copy_held(Loop* loop, Spot* source, Spot* target, bint may_replace) noexcept nogil:
    """Both shards are held. COPIED, NO_SOURCE, TARGET_THERE, or a failure of a write."""
    cdef Write write
    cdef uint32_t ref
    cdef int answer
    if not find_record(source):
        return NO_SOURCE
    write_begin(&write, target.key, value_span(source.record))
    write.draft.deadline = deadline_of(source.record)
    write.condition = ALWAYS if may_replace else IF_ABSENT
    ref = source.ref
    # So that it does not go to make room for its own copy.
    if not keep_record(source.shard, source.record):
        return IS_FULL
    answer = write_held(loop, &write, target)
    release_record(source.shard, ref)
    return answer if answer < 0 else COPIED if answer == DONE else TARGET_THERE


cdef int rename(Loop* loop, bint may_replace) noexcept nogil:
    cdef Spot* source = &loop.spots[0]
    cdef Spot* target = &loop.spots[1]
    cdef int answer
    if same_key(source, target):
        if not find_record(source):
            return NO_SOURCE
        return COPIED if may_replace else TARGET_THERE
    answer = copy_held(loop, source, target, may_replace)
    if answer == COPIED and find_record(source):
        remove_record(source)
    return answer


cdef inline bint same_key(Spot* a, Spot* b) noexcept nogil:
    return a.key.size == b.key.size and same_bytes(a.key.data, b.key.data, a.key.size)


cdef void run_rename(Loop* loop, Request* request) noexcept nogil:
    cdef int answer = rename(loop, True)
    if answer < 0:
        fail_write(loop, answer)
    elif answer == NO_SOURCE:
        fail(loop, NO_SUCH_KEY)
    else:
        put_ok(&loop.out)


cdef void run_renamenx(Loop* loop, Request* request) noexcept nogil:
    cdef int answer = rename(loop, False)
    if answer < 0:
        fail_write(loop, answer)
    elif answer == NO_SOURCE:
        fail(loop, NO_SUCH_KEY)
    else:
        put_integer(&loop.out, answer == COPIED)


cdef void run_copy(Loop* loop, Request* request) noexcept nogil:
    cdef bint may_replace = False
    cdef int64_t database
    cdef uint32_t i = 3
    cdef int answer
    while i < request.n:
        if is_word(request.arguments[i], b"replace"):
            may_replace = True
        elif is_word(request.arguments[i], b"db") and i + 1 < request.n:
            i += 1
            if not as_integer(loop, request.arguments[i], &database):
                return
            if database != 0:
                fail(loop, b"ERR DB index is out of range")
                return
        else:
            fail(loop, SYNTAX)
            return
        i += 1
    if same_key(&loop.spots[0], &loop.spots[1]):
        fail(loop, b"ERR source and destination objects are the same")
        return
    answer = copy_held(loop, &loop.spots[0], &loop.spots[1], may_replace)
    if answer < 0:
        fail_write(loop, answer)
    else:
        put_integer(&loop.out, answer == COPIED)


# -- OBJECT, MEMORY USAGE ----------------------------------------------------------------------------------------------

cdef void reply_object_help(Loop* loop) noexcept nogil:
    put_array(&loop.out, 5)
    put_line(&loop.out, b"+OBJECT <subcommand> <key>. Subcommands are:\r\n")
    put_line(&loop.out, b"+ENCODING: int, embstr or raw, by the value\r\n")
    put_line(&loop.out, b"+FREQ: refused, accesses are not counted\r\n")
    put_line(&loop.out, b"+IDLETIME: always 0, the times of accesses are not kept\r\n")
    put_line(&loop.out, b"+REFCOUNT: always 1\r\n")


cdef const char* object_words[4]
object_words[:] = [b"encoding", b"refcount", b"idletime", b"freq"]


cdef void fail_object(Loop* loop, Span what) noexcept nogil:
    """A subcommand without its key, or one that there is not."""
    cdef int i
    for i in range(4):
        if is_word(what, object_words[i]):
            fail_subcommand_arity(loop, b"object", object_words[i])
            return
    fail_about(loop, b"ERR unknown subcommand '%.*s'. Try OBJECT HELP.", what)


cdef void run_object(Loop* loop, Request* request) noexcept nogil:
    cdef Spot* spot = &request.spot
    cdef Span what = request.arguments[1]
    cdef Span value
    cdef int64_t number
    cdef const char* encoding = b"raw"
    cdef bint found
    if is_word(what, b"help") and request.n == 2:
        reply_object_help(loop)
        return
    if request.n != 3:
        fail_object(loop, what)
        return
    spot_for(spot, loop.store, request.arguments[2])
    enter_spot(loop, spot)
    found = find_record(spot)
    if found:
        value = value_span(spot.record)
        if parse_number(value, &number):
            encoding = b"int"
        elif value.size <= 44:
            encoding = b"embstr"
    leave_spot(loop, spot)
    if not found:
        put_null(&loop.out, loop.client.protocol)
    elif is_word(what, b"encoding"):
        put_text(&loop.out, encoding)
    elif is_word(what, b"refcount"):
        put_integer(&loop.out, 1)
    elif is_word(what, b"idletime"):
        # The order of accesses is known, not their times.
        put_integer(&loop.out, 0)
    elif is_word(what, b"freq"):
        fail(loop, b"ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when "
             b"switching between policies at runtime LRU and LFU data will take some time to adjust.")
    else:
        fail_object(loop, what)


cdef void reply_memory_usage(Loop* loop, Request* request) noexcept nogil:
    """Bytes of the key's entry: its block, what is elsewhere, and its slot in the table."""
    cdef Spot* spot = &request.spot
    cdef int64_t size = 0
    cdef bint found
    spot_for(spot, loop.store, request.arguments[2])
    enter_spot(loop, spot)
    found = find_record(spot)
    if found:
        size = (granules_of(spot.record) + slack_of(spot.record)) * GRANULE + 5
        if spot.record.head & IS_LARGE:
            size += large_bytes(content_of(spot.record))
    leave_spot(loop, spot)
    if found:
        put_integer(&loop.out, size)
    else:
        put_null(&loop.out, loop.client.protocol)


# -- the whole store ---------------------------------------------------------------------------------------------------

cdef void run_dbsize(Loop* loop, Request* request) noexcept nogil:
    put_integer(&loop.out, entries_in(loop.store))


cdef void run_flush(Loop* loop, Request* request) noexcept nogil:
    cdef uint32_t i
    if request.n > 2 or (request.n == 2 and not is_word(request.arguments[1], b"async")
                         and not is_word(request.arguments[1], b"sync")):
        fail(loop, SYNTAX)
        return
    if loop.holds:
        for i in range(loop.store.shards):
            clear_locked(byte_shard(loop.store, i))
    elif store_clear(loop.store) < 0:
        fail(loop, NO_MEMORY_LEFT)
        return
    put_ok(&loop.out)


cdef void clear_locked(ByteShard* shard) noexcept nogil:
    """In a transaction: what the shard had is given back under its lock."""
    count_change(&shard.changes)
    count_change(&shard.moves)
    empty_in_place(shard)
    drop_free_regions(&shard.heap, &shard.rubbish)
    # At once: commands behind it may fill the shard again.
    discard_rubbish(shard)


cdef void run_randomkey(Loop* loop, Request* request) noexcept nogil:
    cdef ByteShard* shard
    cdef Spot spot
    cdef uint64_t random = splitmix(&loop.random)
    cdef uint32_t i
    cdef bint found = False
    cdef Span key
    for i in range(loop.store.shards):
        shard = byte_shard(loop.store, <uint32_t>(random + i) & loop.store.mask)
        if read_count(&shard.base.count) == 0:
            continue
        if not loop.holds:
            lock_bytes(&shard.base.lock)
        found = find_from(shard, random >> 32, &spot)
        if found:
            key = key_span(spot.record)
            put_bulk(&loop.out, key.data, key.size)
        if not loop.holds:
            unlock_byte_shard(shard)
        if found:
            return
    put_null(&loop.out, loop.client.protocol)


cdef bint find_from(ByteShard* shard, uint64_t position, Spot* spot) noexcept nogil:
    """Locked: the first record that is not due, from a place in the order of hashes on, once round."""
    cdef int64_t now = boot_ms() if shard.n_deadlines else 0
    cdef uint64_t end = position + (<uint64_t>1 << 32)
    while position < end and shard.base.count:
        if find_in_chain(shard, (position & <uint64_t>0xFFFFFFFF) << 16, now, spot):
            return True
        position = (position | (least_step(&shard.base) - 1)) + 1
    return False
