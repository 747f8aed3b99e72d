# Capture: the entries of a shard, or of the whole map, at one instant.
#
# Python objects may not be made under a lock. So references to keys and values are taken into plain arrays first, and
# become Python lists or a dict after the lock is released.

cdef enum:
    # What to capture of each entry. Taking a reference to an object brings its memory into the cache: not for nothing.
    KEYS = 1
    VALUES = 2
    ITEMS = KEYS | VALUES
    HASHES = 4

cdef struct Captured:
    # Each is NULL unless asked for.
    PyObject** keys       # owned references
    PyObject** values     # owned references
    Py_hash_t* hashes
    Py_ssize_t length


cdef bint captured_open(Captured* captured, int64_t room, int what) noexcept nogil:
    """False, with nothing to free, when there is no memory."""
    # One more, since no bytes may be NULL.
    cdef size_t n = <size_t>room + 1
    memset(captured, 0, sizeof(Captured))
    if what & KEYS:
        captured.keys = <PyObject**>malloc(n * sizeof(PyObject*))
    if what & VALUES:
        captured.values = <PyObject**>malloc(n * sizeof(PyObject*))
    if what & HASHES:
        captured.hashes = <Py_hash_t*>malloc(n * sizeof(Py_hash_t))
    if ((what & KEYS and captured.keys is NULL) or (what & VALUES and captured.values is NULL)
            or (what & HASHES and captured.hashes is NULL)):
        captured_free(captured)
        return False
    return True


cdef void captured_free(Captured* captured) noexcept nogil:
    """The arrays; their references have been dropped or passed on."""
    free(captured.keys)
    free(captured.values)
    free(captured.hashes)


cdef void captured_drop(Captured* captured) noexcept:
    drop_all(captured.keys, captured.length)
    drop_all(captured.values, captured.length)
    captured_free(captured)


cdef void capture_more(Captured* captured, Shard* shard) noexcept nogil:
    """Add the entries of a shard; its lock is held and there is room."""
    cdef ArenaPosition at
    cdef Entry* entry
    cdef PyObject* value
    cdef Py_ssize_t n = captured.length
    memset(&at, 0, sizeof(at))
    while True:
        entry = next_entry(shard, &at)
        if entry is NULL:
            break
        value = value_of(entry)
        if value is NULL:
            continue
        if captured.keys is not NULL:
            incref(entry.key)
            captured.keys[n] = entry.key
        if captured.values is not NULL:
            incref(value)
            captured.values[n] = value
        if captured.hashes is not NULL:
            captured.hashes[n] = entry.hash
        n += 1
    captured.length = n


cdef int capture_shard(Map* map, Shard* shard, Captured* captured, int what) except -1:
    """The keys of one instant; each value of some instant of the call."""
    join(map)
    lock_shard(shard)
    cdef bint opened = captured_open(captured, shard.count, what)
    if opened:
        capture_more(captured, shard)
    unlock_shard(shard)
    if not opened:
        raise MemoryError
    return 0


cdef int capture_map(Map* map, Captured* captured, int what) except -1:
    """All stripes are held meanwhile, and overwriters kept out: one instant of the whole map."""
    join(map)
    cdef Stripes* stripes = freeze_all(map)
    cdef bint opened = captured_open(captured, total_count(map), what)
    cdef uint32_t i
    if opened and stripes is not NULL:
        for i in range(stripes.shards):
            capture_more(captured, &stripes.shard[i])
    thaw_all(map)
    if not opened:
        raise MemoryError
    return 0


cdef list list_of(PyObject** owned, Py_ssize_t length):
    """A list that takes over the references, None for what was not captured; nothing is touched if this raises."""
    cdef object items
    cdef Py_ssize_t i
    if owned is NULL:
        return None
    items = PyList_New(length)
    for i in range(length):
        PyList_SET_ITEM(items, i, owned[i])
    return <list>items


cdef void drop_all(PyObject** owned, Py_ssize_t length) noexcept:
    cdef Py_ssize_t i
    if owned is not NULL:
        for i in range(length):
            decref(owned[i])


cdef tuple captured_lists(Captured* captured):
    """``(keys, values)``; the capture is used up, whatever happens."""
    cdef list keys, values
    try:
        keys = list_of(captured.keys, captured.length)
    except:
        captured_drop(captured)
        raise
    try:
        values = list_of(captured.values, captured.length)
    except:
        drop_all(captured.values, captured.length)
        captured_free(captured)
        raise
    captured_free(captured)
    return keys, values
