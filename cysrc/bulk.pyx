# Many keys in one call.

cdef enum:
    # Keys looked up together: while one waits for memory, the others' lines are under way. A core of today has ten to
    # sixteen line-fill buffers; more keys than that only wait for each other.
    BATCH = 16


cdef inline void prefetch_buckets(Probe* probes, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        prefetch(&probes[i].shard.table[bucket_bits(probes[i].mixed) & probes[i].shard.mask])


cdef inline Entry* likely_entry(Probe* probe) noexcept nogil:
    """The first entry of the key's bucket with its tag, unless the table is moving; NULL if none. Only a guess."""
    cdef Bucket* bucket = &probe.shard.table[bucket_bits(probe.mixed) & probe.shard.mask]
    cdef uint32_t hits = match_tags(bucket, tag_of(probe.mixed))
    return entry_at(probe.shard, bucket.refs[count_trailing_zeros(hits)]) if hits else NULL


cdef inline void prefetch_entries(Probe* probes, Py_ssize_t n) noexcept nogil:
    """Entries, then the key objects they lead to: each stage finds what the stage before has fetched."""
    cdef Entry* entries[BATCH]
    cdef Py_ssize_t i
    for i in range(n):
        entries[i] = likely_entry(&probes[i])
        if entries[i] is not NULL:
            prefetch(entries[i])
    for i in range(n):
        if entries[i] is not NULL:
            prefetch(entries[i].key)


cdef int fetch_batch(Map* map, list keys, Py_ssize_t first, Py_ssize_t n, list results, object default) except -1:
    """Look up keys[first : first + n]. Stages without Python code, then the lookups, which may call __eq__."""
    cdef Probe probes[BATCH]
    cdef Stripes* stripes = stripes_of(map)
    cdef PyObject* value
    cdef Py_ssize_t i
    for i in range(n):
        probe_hashed(&probes[i], map, stripes, <PyObject*>keys[first + i], hash_of(<PyObject*>keys[first + i]))
    if not SM_FREE_THREADED:
        # Without the GIL another thread may be changing these tables: they may only be read under their locks.
        prefetch_buckets(probes, n)
        prefetch_entries(probes, n)
    for i in range(n):
        value = NULL
        if find_value(NULL, &probes[i], &value) == FOUND:
            results.append(steal(value))
        else:
            results.append(default)
    return 0


cdef list get_many(Map* map, object iterable, object default):
    cdef list keys = list(iterable)
    cdef list results = []
    cdef Py_ssize_t n = len(keys), first = 0
    cdef object key
    note_thread(map)
    if stripes_of(map) is NULL:
        for key in keys:
            hash_of(<PyObject*>key)
        return [default] * n
    while first < n:
        fetch_batch(map, keys, first, min(n - first, BATCH), results, default)
        first += BATCH
    return results


cdef int set_many(Map* map, object source) except -1:
    """As dict.update reads its argument: a mapping by its keys(), else pairs."""
    cdef object key, value
    if isinstance(source, CoreMap):
        source = (<CoreMap>source).snapshot()
    if type(source) is dict:
        for key, value in (<dict>source).items():
            store(map, <PyObject*>key, <PyObject*>value)
    elif hasattr(source, "keys"):
        for key in source.keys():
            value = source[key]
            store(map, <PyObject*>key, <PyObject*>value)
    else:
        set_pairs(map, source)
    return 0


cdef int set_pairs(Map* map, object pairs) except -1:
    cdef Py_ssize_t number = 0
    cdef object pair, key, value
    for pair in pairs:
        if type(pair) is not tuple or len(<tuple>pair) != 2:
            pair = checked_pair(pair, number)
        key, value = <tuple>pair
        store(map, <PyObject*>key, <PyObject*>value)
        number += 1
    return 0


cdef tuple checked_pair(object pair, Py_ssize_t number):
    """Worded as dict.update words it."""
    cdef tuple made
    try:
        made = tuple(pair)
    except TypeError:
        raise TypeError(f"cannot convert map update sequence element #{number} to a sequence") from None
    if len(made) != 2:
        raise ValueError(f"map update sequence element #{number} has length {len(made)}; 2 is required")
    return made


cdef int64_t delete_many(Map* map, object iterable) except -1:
    cdef int64_t removed = 0
    cdef object key
    for key in iterable:
        removed += remove(map, <PyObject*>key)
    return removed
