# Making records, reading them, and freeing them.

cdef inline Record* record_at(ByteShard* shard, uint32_t ref) noexcept nogil:
    return <Record*>block_at(&shard.heap, ref)


cdef inline int64_t* deadline_at(Record* record) noexcept nogil:
    """Where the deadline of a record is that has one."""
    return <int64_t*>(<char*>record + RECORD_HEADER)


cdef inline int64_t deadline_of(Record* record) noexcept nogil:
    """Milliseconds; 0 for a record that lives until it is removed."""
    return read_count(deadline_at(record)) if unlikely(read_head(&record.head) & HAS_DEADLINE) else 0


cdef inline char* bytes_within(Record* record) noexcept nogil:
    return <char*>record + RECORD_HEADER + (
        sizeof(int64_t) if unlikely(read_head(&record.head) & HAS_DEADLINE) else 0)


cdef inline char* bytes_of(Record* record) noexcept nogil:
    """The key's bytes, and then the value's."""
    cdef char* within = bytes_within(record)
    return (<char**>within)[0] if unlikely(read_head(&record.head) & IS_LARGE) else within


cdef inline Span key_span(Record* record) noexcept nogil:
    cdef Span span
    span.data = bytes_of(record)
    span.size = record.key_size
    return span


cdef inline Span value_span(Record* record) noexcept nogil:
    cdef Span span
    span.data = bytes_of(record) + record.key_size
    span.size = record.value_size
    return span


cdef inline size_t content_of(Record* record) noexcept nogil:
    return <size_t>record.key_size + record.value_size


cdef inline uint32_t granules_for(size_t content, bint has_deadline, bint is_large) noexcept nogil:
    return granules(RECORD_HEADER + (sizeof(int64_t) if has_deadline else 0) + (sizeof(char*) if is_large else content))


cdef inline uint32_t granules_of(Record* record) noexcept nogil:
    return granules_for(content_of(record), (record.head & HAS_DEADLINE) != 0, (record.head & IS_LARGE) != 0)


cdef inline uint32_t slack_of(Record* record) noexcept nogil:
    return record.head >> SLACK_SHIFT & SLACK_MASK


cdef inline uint64_t mixed_hash_of_record(Shard* shard, uint32_t ref) noexcept nogil:
    """For the bucket map, when it moves a record: all but the bits that choose the shard."""
    cdef ByteShard* owner = <ByteShard*>shard
    return hash_of_record(owner.store, record_at(owner, ref))


cdef inline uint64_t hash_of_record(ByteStore* store, Record* record) noexcept nogil:
    """The same; it needs no lock if the record is kept."""
    return siphash(&store.key, bytes_of(record), record.key_size)


# -- drafts ------------------------------------------------------------------------------------------------------------

cdef inline size_t draft_content(Draft* draft) noexcept nogil:
    return draft.key.size + draft.value.size


cdef inline bint draft_is_large(ByteStore* store, Draft* draft) noexcept nogil:
    return draft_content(draft) >= read_number(&store.large_from)


cdef inline size_t large_bytes(size_t content) noexcept nogil:
    """Whole cache lines."""
    return (content + 63) & ~<size_t>63


cdef bint draft_large(ByteStore* store, Draft* draft) noexcept nogil:
    """Copy key and value into memory of their own; nothing is locked. False: there is none."""
    cdef uint64_t rest = read_number(&store.budget.limit) // TABLE_SHARE
    draft.large = <char*>lines_within(&store.budget, large_bytes(draft_content(draft)), rest)
    if draft.large is NULL:
        return False
    memcpy(draft.large, draft.key.data, draft.key.size)
    memcpy(draft.large + draft.key.size, draft.value.data, draft.value.size)
    return True


cdef void draft_forget(ByteStore* store, Draft* draft) noexcept nogil:
    """The draft has not become a record."""
    if draft.large is not NULL:
        lines_return(&store.budget, draft.large, large_bytes(draft_content(draft)))
        draft.large = NULL


# -- making ------------------------------------------------------------------------------------------------------------

cdef inline void count_record(ByteShard* shard, Record* record, int64_t sign) noexcept nogil:
    """Add a record to the shard's numbers, or take it away."""
    cdef int64_t content = sign * <int64_t>content_of(record)
    shard.payload += content
    shard.in_blocks += sign * <int64_t>(granules_of(record) + slack_of(record)) * GRANULE
    shard.slack += sign * <int64_t>slack_of(record) * GRANULE
    if unlikely(record.head & IS_LARGE):
        shard.large += sign * <int64_t>large_bytes(content_of(record))
        shard.n_large += <int>sign


cdef inline uint32_t draft_granules(Draft* draft, int64_t deadline) noexcept nogil:
    """Of the block that the draft's record needs. A large one always has room for a deadline."""
    cdef bint is_large = draft.large is not NULL
    return granules_for(draft_content(draft), deadline != 0 or is_large, is_large)


cdef inline uint32_t record_new(ByteShard* shard, Draft* draft, int64_t deadline) noexcept nogil:
    """The draft as a record with one reference, the caller's; 0 if the heap has no room."""
    cdef bint is_large = draft.large is not NULL
    cdef uint32_t slack
    cdef uint32_t ref = block_take(&shard.heap, draft_granules(draft, deadline), &slack)
    cdef Record* record
    cdef char* within
    if unlikely(ref == 0):
        return 0
    record = record_at(shard, ref)
    record.head |= (slack << SLACK_SHIFT) | 1
    record.access = shard.clock
    record.key_size = <uint32_t>draft.key.size
    record.value_size = <uint32_t>draft.value.size
    if deadline or is_large:
        record.head |= HAS_DEADLINE
        deadline_at(record)[0] = deadline
    within = bytes_within(record)
    if unlikely(is_large):
        record.head |= IS_LARGE
        (<char**>within)[0] = draft.large
        draft.large = NULL
    else:
        memcpy(within, draft.key.data, draft.key.size)
        memcpy(within + draft.key.size, draft.value.data, draft.value.size)
    count_record(shard, record, 1)
    return ref


# -- references --------------------------------------------------------------------------------------------------------

cdef inline void free_record(ByteShard* shard, uint32_t ref) noexcept nogil:
    cdef Record* record = record_at(shard, ref)
    count_record(shard, record, -1)
    if unlikely(record.head & IS_LARGE):
        # Memory from the system is given back without the lock: it can take long.
        add_rubbish(&shard.rubbish, bytes_of(record), large_bytes(content_of(record)))
    block_give(&shard.heap, ref, granules_of(record), slack_of(record), &shard.rubbish)


cdef inline void drop_record(ByteShard* shard, uint32_t ref) noexcept nogil:
    """The table's reference is gone."""
    cdef Record* record = record_at(shard, ref)
    if likely(record.head & REFERENCES == 1):
        free_record(shard, ref)
    else:
        write_head(&record.head, (record.head - 1) | DETACHED)


cdef inline bint keep_record(ByteShard* shard, Record* record) noexcept nogil:
    """Take a reference, to go on with the record without the lock. False: it has too many."""
    if unlikely(record.head & REFERENCES == REFERENCES):
        return False
    write_head(&record.head, record.head + 1)
    shard.kept += 1
    return True


cdef inline void release_record(ByteShard* shard, uint32_t ref) noexcept nogil:
    """Give back the reference that keep_record took."""
    cdef Record* record = record_at(shard, ref)
    shard.kept -= 1
    if record.head & REFERENCES == 1:
        free_record(shard, ref)
    else:
        write_head(&record.head, record.head - 1)
