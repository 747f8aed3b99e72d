# Capture: the entries of a shard, or of the whole map, at one instant.
#
# Python objects may not be made under a lock. So references to keys and values are taken into plain arrays first, and
# become Python lists or a dict after the lock is released.

cdef struct Captured:
    PyObject** keys       # owned references
    PyObject** values     # owned references
    Py_hash_t* hashes     # only where asked for
    Py_ssize_t length


cdef bint captured_open(Captured* captured, int64_t room, bint with_hashes) noexcept nogil:
    """False, with nothing to free, when there is no memory. Arrays of length 0 are not NULL."""
    cdef size_t n = <size_t>room + 1
    captured.length = 0
    captured.keys = <PyObject**>malloc(n * sizeof(PyObject*))
    captured.values = <PyObject**>malloc(n * sizeof(PyObject*))
    captured.hashes = <Py_hash_t*>malloc(n * sizeof(Py_hash_t)) if with_hashes else NULL
    if captured.keys is NULL or captured.values is NULL or (with_hashes and captured.hashes is NULL):
        captured_free(captured)
        return False
    return True


cdef void captured_free(Captured* captured) noexcept nogil:
    """The arrays; their references have been dropped or passed on."""
    free(captured.keys)
    free(captured.values)
    free(captured.hashes)


cdef void captured_drop(Captured* captured) noexcept:
    cdef Py_ssize_t i
    for i in range(captured.length):
        decref(captured.keys[i])
        decref(captured.values[i])
    captured_free(captured)


cdef void capture_more(Captured* captured, Shard* shard) noexcept nogil:
    """Add the entries of a shard; its lock is held and there is room."""
    cdef ArenaPosition at
    cdef Entry* entry
    cdef PyObject* value
    cdef Py_ssize_t n = captured.length
    memset(&at, 0, sizeof(at))
    while True:
        entry = <Entry*>arena_next(&shard.entries, &at, ENTRY_SIZE)
        if entry is NULL:
            break
        value = value_of(entry)
        if value is NULL:
            continue
        incref(entry.key)
        incref(value)
        captured.keys[n] = entry.key
        captured.values[n] = value
        if captured.hashes is not NULL:
            captured.hashes[n] = entry.hash
        n += 1
    captured.length = n


cdef int capture_shard(Shard* shard, Captured* captured) except -1:
    lock(&shard.lock)
    cdef bint opened = captured_open(captured, shard.count, False)
    if opened:
        capture_more(captured, shard)
    unlock(&shard.lock)
    if not opened:
        raise MemoryError
    return 0


cdef int capture_map(Map* map, Captured* captured, bint with_hashes) except -1:
    """All stripes are held meanwhile: one instant of the whole map."""
    cdef Stripes* stripes = lock_all(map)
    cdef bint opened = captured_open(captured, total_count(map), with_hashes)
    cdef uint32_t i
    if opened and stripes is not NULL:
        for i in range(stripes.shards):
            capture_more(captured, &stripes.shard[i])
    unlock_all(map)
    if not opened:
        raise MemoryError
    return 0


cdef list list_of(PyObject** owned, Py_ssize_t length):
    """A list that takes over the references; they are not touched if this raises."""
    cdef object items = PyList_New(length)
    cdef Py_ssize_t i
    for i in range(length):
        PyList_SET_ITEM(items, i, owned[i])
    return <list>items


cdef void drop_all(PyObject** owned, Py_ssize_t length) noexcept:
    cdef Py_ssize_t i
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
