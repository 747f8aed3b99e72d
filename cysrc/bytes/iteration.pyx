# Iterating over a byte map, in the order of the keys' hashes: some records at a time, nothing is locked in between.

cdef enum:
    # What an iterator yields; KEYS, VALUES and ITEMS as a ShardMap's.
    RECORDS = 4                         # (key, value, milliseconds left or None), for copies


# The collector must not take the map away before __dealloc__ gives the batch back to it.
@cython.no_gc_clear
@cython.auto_pickle(False)
cdef class ByteIterator:
    """Over keys, values or items of a byte map or a part of it. Threads may share one: each entry goes to one of
    them."""

    cdef CoreByteMap map
    cdef Walk walk
    cdef Batch batch
    cdef int kind
    cdef uint32_t at                    # in the batch
    cdef Lock advancing                 # nobody waits while he holds it, so it is never held when the process forks

    def __dealloc__(self):
        batch_close(&self.batch)

    def __iter__(self):
        return self

    def __next__(self):
        cdef Element element
        cdef ByteShard* busy
        cdef int answer
        while True:
            busy = NULL
            lock_bytes(&self.advancing)
            answer = advance_iterator(self, &element, &busy)
            unlock_bytes(&self.advancing)
            if likely(busy is NULL):
                break
            lock_bytes(&busy.base.lock)
            unlock_byte_shard(busy)
        # Making a tuple may run the collector, and that any code, which may come back here.
        if answer == 0:
            raise StopIteration
        return element_object(&element, self.kind, answer)


# An entry as objects, owned; or NULL, with an exception set for `key` or `value` if it was wanted.
cdef struct Element:
    PyObject* key
    PyObject* value
    int64_t deadline


cdef int advance_iterator(ByteIterator self, Element* element, ByteShard** busy) noexcept:
    """Attached throughout, and no code of others runs. 1: there is an element; 0 at the end, or if a shard is busy; -1:
    no memory."""
    cdef Record* record
    cdef Span span
    cdef int answer
    element.key = element.value = NULL
    while True:
        if self.at == self.batch.n:
            if not batch_release(&self.batch, busy):
                return 0
            self.at = 0
            answer = walk_next(&self.walk, &self.batch, busy)
            if answer < 0:
                # Whoever asks again begins where this did.
                batch_close(&self.batch)
            if answer <= 0:
                return answer
        record = self.batch.records[self.at]
        self.at += 1
        # It was not due when the batch was made.
        if likely(deadline_of(record) == 0) or not is_due(record, boot_ms()):
            break
    if self.kind != VALUES:
        span = key_span(record)
        element.key = make_bytes(span.data, span.size)
    if self.kind != KEYS:
        span = value_span(record)
        element.value = make_bytes(span.data, span.size)
    return 1


cdef object element_object(Element* element, int kind, int answer):
    cdef object key, value
    if answer < 0:
        raise MemoryError
    if element.key is NULL and kind != VALUES or element.value is NULL and kind != KEYS:
        xdecref(element.key)
        xdecref(element.value)
        raise MemoryError
    if kind == KEYS:
        return steal(element.key)
    if kind == VALUES:
        return steal(element.value)
    key = steal(element.key)
    value = steal(element.value)
    return key, value


cdef object entry_object(Record* record, int kind):
    """No code of others runs: copying is making bytes, with the thread state attached."""
    cdef Span value = value_span(record)
    if kind == KEYS:
        return key_object(record)
    if kind == VALUES:
        return steal(make_bytes(value.data, value.size))
    if kind == ITEMS:
        return key_object(record), steal(make_bytes(value.data, value.size))
    return key_object(record), steal(make_bytes(value.data, value.size)), time_left(record)


cdef object time_left(Record* record):
    """Milliseconds, or None. The deadline is read without the lock: it is one word."""
    cdef int64_t deadline = deadline_of(record)
    return None if deadline == 0 else max(1, deadline - boot_ms())


cdef ByteIterator byte_iterator(CoreByteMap map, int kind, uint32_t first, uint32_t end):
    cdef ByteIterator made = ByteIterator.__new__(ByteIterator)
    made.map = map
    made.kind = kind
    walk_open(&made.walk, opened(map), first, end)
    return made


cdef list byte_partitions(CoreByteMap map, object n):
    """n iterators over the items, of about as many shards each."""
    cdef uint32_t parts = checked_parts(n)
    cdef uint64_t shards = opened(map).shards
    cdef uint64_t i
    return [byte_iterator(map, ITEMS, i * shards // parts, (i + 1) * shards // parts) for i in range(parts)]


# -- one instant -------------------------------------------------------------------------------------------------------

cdef Batch* capture_store(ByteStore* store) noexcept nogil:
    """A batch for each shard, with all records at one instant; NULL if there is no memory."""
    cdef Batch* batches = <Batch*>calloc(store.shards, sizeof(Batch))
    cdef Walk walk
    cdef uint32_t i
    cdef bint failed = False
    if batches is NULL:
        return NULL
    lock_store(store)
    for i in range(store.shards):
        batches[i].shard = byte_shard(store, i)
        walk_open(&walk, store, i, i + 1)
        while walk.position < <uint64_t>1 << 32 and not failed:
            failed = walk_range(&walk, &batches[i]) < 0
    unlock_store(store)
    if failed:
        release_capture(store, batches)
        return NULL
    return batches


cdef void release_capture(ByteStore* store, Batch* batches) noexcept nogil:
    cdef uint32_t i
    for i in range(store.shards):
        batch_close(&batches[i])
    free(batches)


cdef dict store_snapshot(ByteStore* store):
    """All entries at one instant."""
    cdef Batch* batches
    cdef dict made = {}
    cdef uint32_t i, j
    with nogil:
        batches = capture_store(store)
    if batches is NULL:
        raise MemoryError
    try:
        for i in range(store.shards):
            for j in range(batches[i].n):
                made[key_object(batches[i].records[j])] = value_object(batches[i].records[j])
    finally:
        release_capture(store, batches)
    return made


cdef list store_records(ByteStore* store):
    """(key, value, milliseconds left or None) of all entries at one instant."""
    cdef Batch* batches
    cdef list made = []
    cdef uint32_t i, j
    with nogil:
        batches = capture_store(store)
    if batches is NULL:
        raise MemoryError
    try:
        for i in range(store.shards):
            for j in range(batches[i].n):
                made.append(entry_object(batches[i].records[j], RECORDS))
    finally:
        release_capture(store, batches)
    return made
