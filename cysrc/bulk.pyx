# Many keys in one call.

cdef enum:
    # Keys looked up together: while one waits for memory, the others' lines are under way. A core of today has ten to
    # sixteen line-fill buffers; more keys than that only wait for each other.
    BATCH = 16


cdef inline Bucket* likely_bucket(Probe* probe) noexcept nogil:
    """Where the key is, unless its shard is growing or the bucket has overflowed."""
    return bucket_in(load_word(&probe.shard.table), probe.mixed)


cdef inline Entry* likely_entry(Probe* probe) noexcept nogil:
    """The first entry with the key's tag in its likely bucket; NULL if none."""
    cdef size_t table = load_word(&probe.shard.table)
    cdef Bucket* bucket = bucket_in(table, probe.mixed)
    cdef uint32_t hits = match_tags(bucket, tag_of(probe.mixed))
    return entry_in(table_at(table), load_ref(&bucket.refs[count_trailing_zeros(hits)])) if hits else NULL


cdef inline void prefetch_all(Probe* probes, Py_ssize_t n) noexcept nogil:
    """Pinned. Buckets, then entries, then the key objects that these lead to: each stage finds what the one before has
    fetched."""
    cdef Entry* entries[BATCH]
    cdef Py_ssize_t i
    for i in range(n):
        prefetch(likely_bucket(&probes[i]))
    for i in range(n):
        entries[i] = likely_entry(&probes[i])
        if entries[i] is not NULL:
            prefetch(entries[i])
    for i in range(n):
        if entries[i] is not NULL:
            prefetch(key_of(entries[i]))


cdef inline int peek(Probe* probe, PyObject** value) noexcept nogil:
    """Pinned: FOUND with a new reference to the value, ABSENT, or ASK_PYTHON."""
    cdef int answer = search(probe)
    cdef size_t word
    if likely(answer == FOUND):
        word = word_of(probe.entry)
        value[0] = value_in(word)
        if unlikely(value[0] is NULL):
            return ABSENT if word != MOVED else ASK_PYTHON
        incref(value[0])
    return answer


cdef void peek_all(Map* map, Probe* probes, Py_ssize_t n, int* answers, PyObject** values) noexcept nogil:
    """Look all up in one section; while clear() is at work none."""
    cdef bint may = True
    cdef Py_ssize_t i
    pin()
    if SM_FREE_THREADED:
        may = load_stamp(&map.stamp) != 0
    if may:
        prefetch_all(probes, n)
    for i in range(n):
        answers[i] = peek(&probes[i], &values[i]) if may else ASK_PYTHON
    unpin()


cdef int fetch_batch(Map* map, list keys, Py_ssize_t first, Py_ssize_t n, list results, object default) except -1:
    """Look up keys[first : first + n]. Hashing them may run Python code, and comparing those left undecided."""
    cdef Probe probes[BATCH]
    cdef int answers[BATCH]
    cdef PyObject* values[BATCH]
    cdef Stripes* stripes = stripes_of(map)
    cdef Py_ssize_t i, taken = 0
    for i in range(n):
        probe_hashed(&probes[i], map, stripes, <PyObject*>keys[first + i], hash_of(<PyObject*>keys[first + i]))
    peek_all(map, probes, n, answers, values)
    try:
        for i in range(n):
            if unlikely(answers[i] == ASK_PYTHON):
                answers[i] = find_value(&probes[i], &values[i])
                probe_end(&probes[i])
            taken = i + 1
            results.append(steal(values[i]) if answers[i] == FOUND else default)
    except:
        for i in range(taken, n):
            if answers[i] == FOUND:
                decref(values[i])
        raise
    return 0


cdef list get_many(Map* map, object iterable, object default):
    cdef list keys = list(iterable)
    cdef list results = []
    cdef Py_ssize_t n = len(keys), first = 0
    cdef object key
    join(map)
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
