# Commands that read and write values as wholes: GET, SET and their kin.

cdef void run_get(Loop* loop, Request* request) noexcept nogil:
    reply_value(loop, &request.spot)


cdef void run_mget(Loop* loop, Request* request) noexcept nogil:
    cdef uint32_t i
    put_array(&loop.out, request.n - 1)
    for i in range(request.n - 1):
        reply_value(loop, &loop.spots[i])


# -- SET ---------------------------------------------------------------------------------------------------------------

cdef inline void write_begin(Write* write, Span key, Span value) noexcept nogil:
    memset(write, 0, sizeof(Write))
    write.draft.key = key
    write.draft.value = value


cdef uint32_t unit_of(Span argument) noexcept nogil:
    """The unit that EX, PX, EXAT or PXAT say; 4 for another word."""
    if is_word(argument, b"ex"):
        return SECONDS
    if is_word(argument, b"px"):
        return 0
    if is_word(argument, b"exat"):
        return SECONDS | ABSOLUTE
    return ABSOLUTE if is_word(argument, b"pxat") else 4


cdef bint option_deadline(Loop* loop, Request* request, uint32_t i, uint32_t unit, int64_t* deadline) noexcept nogil:
    """The number behind an option. False: the client has been told."""
    cdef int64_t number
    if i >= request.n:
        fail(loop, SYNTAX)
        return False
    if not as_integer(loop, request.arguments[i], &number):
        return False
    if number <= 0 or not as_deadline_at(number, unit, deadline):
        fail_expire(loop, request)
        return False
    return True


cdef bint set_options(Loop* loop, Request* request, Write* write) noexcept nogil:
    """False: the client has been told what is wrong."""
    cdef uint32_t i = 3, unit
    cdef Span option
    cdef bint timed = False
    while i < request.n:
        option = request.arguments[i]
        unit = unit_of(option)
        # What says the same twice is allowed, as it is in Redis.
        if unit != 4 and not timed:
            i += 1
            if not option_deadline(loop, request, i, unit, &write.draft.deadline):
                return False
            timed = True
        elif is_word(option, b"keepttl") and (not timed or write.draft.deadline == KEEP_DEADLINE):
            write.draft.deadline = KEEP_DEADLINE
            timed = True
        elif is_word(option, b"nx") and write.condition in (ALWAYS, IF_ABSENT):
            write.condition = IF_ABSENT
        elif is_word(option, b"xx") and write.condition in (ALWAYS, IF_PRESENT):
            write.condition = IF_PRESENT
        elif is_word(option, b"ifeq") and write.condition == ALWAYS and i + 1 < request.n:
            i += 1
            write.condition = IF_EQUAL
            write.expected = request.arguments[i]
        elif is_word(option, b"get"):
            write.wants_former = True
        else:
            fail(loop, SYNTAX)
            return False
        i += 1
    return True


cdef void run_set(Loop* loop, Request* request) noexcept nogil:
    cdef Write write
    cdef int answer
    write_begin(&write, request.arguments[1], request.arguments[2])
    if unlikely(request.n > 3) and not set_options(loop, request, &write):
        return
    answer = perform_write(loop, &write, &request.spot)
    if unlikely(answer < 0):
        fail_write(loop, answer)
    elif unlikely(write.wants_former):
        reply_span_or_null(loop, write.former_record if write.former else NULL)
    elif likely(answer == DONE):
        put_ok(&loop.out)
    else:
        put_null(&loop.out, loop.client.protocol)
    forget_former(loop, &write)


cdef void run_setnx(Loop* loop, Request* request) noexcept nogil:
    cdef Write write
    cdef int answer
    write_begin(&write, request.arguments[1], request.arguments[2])
    write.condition = IF_ABSENT
    answer = perform_write(loop, &write, &request.spot)
    if answer < 0:
        fail_write(loop, answer)
    else:
        put_integer(&loop.out, answer == DONE)


cdef void set_for(Loop* loop, Request* request, uint32_t unit) noexcept nogil:
    """SETEX, PSETEX: key, time, value."""
    cdef Write write
    cdef int answer
    write_begin(&write, request.arguments[1], request.arguments[3])
    if not option_deadline(loop, request, 2, unit, &write.draft.deadline):
        return
    answer = perform_write(loop, &write, &request.spot)
    if answer < 0:
        fail_write(loop, answer)
    else:
        put_ok(&loop.out)


cdef void run_setex(Loop* loop, Request* request) noexcept nogil:
    set_for(loop, request, SECONDS)


cdef void run_psetex(Loop* loop, Request* request) noexcept nogil:
    set_for(loop, request, 0)


cdef void run_getset(Loop* loop, Request* request) noexcept nogil:
    cdef Write write
    cdef int answer
    write_begin(&write, request.arguments[1], request.arguments[2])
    write.wants_former = True
    answer = perform_write(loop, &write, &request.spot)
    if answer < 0:
        fail_write(loop, answer)
    else:
        reply_span_or_null(loop, write.former_record if write.former else NULL)
    forget_former(loop, &write)


# -- GETDEL, GETEX, DELIFEQ --------------------------------------------------------------------------------------------

cdef void run_getdel(Loop* loop, Request* request) noexcept nogil:
    cdef Spot* spot = &request.spot
    cdef bint found
    cdef Span value
    enter_spot(loop, spot)
    found = find_to_read(spot)
    if found:
        value = value_span(spot.record)
        put_bulk(&loop.out, value.data, value.size)
        remove_record(spot)
    leave_spot(loop, spot)
    if not found:
        put_null(&loop.out, loop.client.protocol)


cdef void run_getex(Loop* loop, Request* request) noexcept nogil:
    cdef Spot* spot = &request.spot
    cdef int64_t deadline = 0, former
    cdef uint32_t unit
    if request.n > 2:
        unit = unit_of(request.arguments[2])
        if unit != 4:
            if request.n > 4:
                fail(loop, SYNTAX)
                return
            if not option_deadline(loop, request, 3, unit, &deadline):
                return
        elif request.n > 3 or not is_word(request.arguments[2], b"persist"):
            fail(loop, SYNTAX)
            return
    if reply_value(loop, spot) and request.n > 2:
        # Between the two another client may be faster: then this one came before.
        set_deadline_if(loop, spot, deadline, ANYHOW, &former)


cdef void run_delifeq(Loop* loop, Request* request) noexcept nogil:
    cdef Spot* spot = &request.spot
    cdef bint equal
    enter_spot(loop, spot)
    equal = find_record(spot) and is_value(spot.record, &request.arguments[2])
    if equal:
        remove_record(spot)
    leave_spot(loop, spot)
    put_integer(&loop.out, equal)


# -- MSET, MSETNX ------------------------------------------------------------------------------------------------------
#
# All or nothing: first every value becomes a record, then keys that are absent get theirs, which may fail for want of
# room in the table and is undone then, and last those that are present, which cannot fail.

cdef void forget_drafts(Loop* loop, Draft* drafts, uint32_t* refs, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if refs[i]:
            undo_draft(loop.spots[i].shard, refs[i], &drafts[i])
        draft_forget(loop.store, &drafts[i])


cdef uint32_t make_record(Loop* loop, ByteShard* shard, Draft* draft) noexcept nogil:
    """0: there is no room, and none can be made."""
    cdef uint32_t ref
    cdef uint64_t _eviction
    if not could_ever_fit(loop.store, draft):
        return 0
    for _eviction in range(most_evictions(draft)):
        if not draft_is_large(loop.store, draft) or draft.large is not NULL or draft_large(loop.store, draft):
            ref = record_new(shard, draft, 0)
            if unlikely(ref == 0) and make_room(shard, draft_granules(draft, 0)):
                ref = record_new(shard, draft, 0)
            if likely(ref != 0):
                return ref
        if not evict_anywhere(loop):
            break
    return 0


cdef bint make_records(Loop* loop, Request* request, Draft* drafts, uint32_t* refs, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        drafts[i].key = request.arguments[1 + 2 * i]
        drafts[i].value = request.arguments[2 + 2 * i]
        drafts[i].deadline = 0
        refs[i] = make_record(loop, loop.spots[i].shard, &drafts[i])
        if refs[i] == 0:
            return False
        # In no table yet: so that it does not go to make room for the next ones.
        record_at(loop.spots[i].shard, refs[i]).head |= DETACHED
    return True


cdef inline int place_made(Spot* spot, uint32_t ref) noexcept nogil:
    """place_record for a record of make_records."""
    cdef Record* record = record_at(spot.shard, ref)
    count_change(&spot.shard.changes)
    count_change(&spot.shard.moves)
    record.head &= ~<uint32_t>DETACHED
    if place_record(spot, ref) == STORED:
        return STORED
    record.head |= DETACHED
    return NO_ROOM


cdef bint place_absent(Loop* loop, uint32_t* refs, uint32_t* inserted, uint32_t n) noexcept nogil:
    """False: some could not be, and none has been."""
    cdef uint32_t i, done
    for i in range(n):
        inserted[i] = 0
        if find_record(&loop.spots[i]):
            continue
        if place_made(&loop.spots[i], refs[i]) != STORED:
            for done in range(i):
                if inserted[done] and find_record(&loop.spots[done]):
                    remove_record(&loop.spots[done])
            return False
        inserted[i] = refs[i]
        refs[i] = 0
    return True


cdef void replace_present(Loop* loop, uint32_t* refs, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if refs[i]:
            find_record(&loop.spots[i])
            if place_made(&loop.spots[i], refs[i]) == STORED:
                refs[i] = 0


cdef bint set_all(Loop* loop, Request* request) noexcept nogil:
    """All shards concerned are held. False: nothing has changed."""
    cdef uint32_t n = request.n // 2
    cdef Draft* drafts = <Draft*>calloc(n, sizeof(Draft))
    cdef uint32_t* refs = <uint32_t*>calloc(2 * <size_t>n, sizeof(uint32_t))
    cdef bint done = (drafts is not NULL and refs is not NULL
                      and make_records(loop, request, drafts, refs, n) and place_absent(loop, refs, refs + n, n))
    if done:
        replace_present(loop, refs, n)
    if drafts is not NULL and refs is not NULL:
        forget_drafts(loop, drafts, refs, n)
    free(drafts)
    free(refs)
    return done


cdef void run_mset(Loop* loop, Request* request) noexcept nogil:
    if request.n % 2 == 0:
        fail_arity(loop, request.command.name)
    elif set_all(loop, request):
        put_ok(&loop.out)
    else:
        fail(loop, OUT_OF_MEMORY)


cdef void run_msetnx(Loop* loop, Request* request) noexcept nogil:
    cdef uint32_t i
    if request.n % 2 == 0:
        fail_arity(loop, request.command.name)
        return
    for i in range(request.n // 2):
        if find_record(&loop.spots[i]):
            put_integer(&loop.out, 0)
            return
    if set_all(loop, request):
        put_integer(&loop.out, 1)
    else:
        fail(loop, OUT_OF_MEMORY)
