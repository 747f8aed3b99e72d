# What every mapping does, on one key. Python's slots and methods for these are in coremap.pyx.

cdef inline int find_value(Probe* probe, PyObject** value) except -1:
    """FOUND with a new reference in `value`, or ABSENT. probe_end is the caller's."""
    cdef size_t word
    cdef int answer = locate_to_read(probe, &word)
    if likely(answer == FOUND):
        value[0] = value_in(word)
        incref(value[0])
        remember_found(probe)
    end_reading(probe)
    return answer


cdef int fetch(Map* map, PyObject* key, PyObject** value) except -1:
    """FOUND with a new reference in `value`, or ABSENT. (Most str keys have been found before it comes to this: see
    shortcuts.pyx.)"""
    cdef Probe probe
    cdef int answer
    if probe_begin(&probe, map, key) == ABSENT:
        return ABSENT
    answer = find_value(&probe, value)
    probe_end(&probe)
    return answer


cdef int contains(Map* map, PyObject* key) except -1:
    cdef Probe probe
    cdef size_t word
    cdef int answer
    if probe_begin(&probe, map, key) == ABSENT:
        return ABSENT
    answer = locate_to_read(&probe, &word)
    if answer == FOUND:
        remember_found(&probe)
    end_reading(&probe)
    probe_end(&probe)
    return answer


cdef int store(Map* map, PyObject* key, PyObject* value) except -1:
    cdef Probe probe
    cdef size_t word
    check_storable(value)
    probe_begin_write(&probe, map, key)
    if locate_to_overwrite(&probe, &word) == FOUND:
        if likely(overwrite_word(probe.shard, probe.entry, &word, value)):
            remember_found(&probe)
            finish_overwriting(&probe, displaced_by(word, value))
            return 0
        end_overwriting(&probe)
    return store_locked(&probe, value)


cdef int store_locked(Probe* probe, PyObject* value) except -1:
    cdef PyObject* displaced = NULL
    if likely(locate_to_write(probe) == FOUND):
        displaced = put_value(probe, value)
        remember_found(probe)
    else:
        add_entry(probe, value)
    unlock_shard(probe.shard)
    drop(displaced)
    probe_end(probe)
    return 0


cdef int store_absent(Map* map, PyObject* key, PyObject* value, uint64_t version) except -1:
    """As store, for a key that was absent when its shard had this version."""
    cdef Probe probe
    probe_begin_write(&probe, map, key)
    probe.known_absent = True
    probe.version = version
    return store_locked(&probe, value)


cdef int take(Map* map, PyObject* key, PyObject** value) except -1:
    """Remove the key: FOUND with its value in `value`, a reference that the caller owns now; or ABSENT."""
    cdef Probe probe
    cdef PyObject* stored_key = NULL
    cdef int answer
    if probe_begin(&probe, map, key) == ABSENT:
        return ABSENT
    answer = locate_to_change(&probe)
    if answer == FOUND:
        value[0] = take_entry(&probe, &stored_key)
    unlock_shard(probe.shard)
    drop(stored_key)
    probe_end(&probe)
    return answer


cdef object take_or(Map* map, object key, object default):
    cdef PyObject* value = NULL
    if take(map, <PyObject*>key, &value) == FOUND:
        return steal(value)
    return default


cdef int remove(Map* map, PyObject* key) except -1:
    cdef PyObject* value = NULL
    cdef int answer = take(map, key, &value)
    xdecref(value)
    return answer


cdef PyObject* find_present(Probe* probe, PyObject* key) except? NULL:
    """The hit path of operations that leave a present key alone: a new reference to its value. NULL: it was absent, or
    a callback is computing it, which only the lock tells whose."""
    cdef PyObject* value = recall_value(probe.map, key)
    cdef size_t word
    if value is NULL and SM_FREE_THREADED:
        if locate_to_read(probe, &word) == FOUND and is_settled(word):
            value = <PyObject*>word
            incref(value)
            remember_found(probe)
        end_reading(probe)
        probe.rescan = True
    return value


cdef object fetch_or_set(Map* map, object key, object default):
    """setdefault."""
    cdef Probe probe
    cdef PyObject* value
    check_storable(<PyObject*>default)
    probe_begin_write(&probe, map, <PyObject*>key)
    value = find_present(&probe, <PyObject*>key)
    if value is NULL:
        if locate_to_insert(&probe) == FOUND:
            value = value_of(probe.entry)
            remember_found(&probe)
        else:
            value = <PyObject*>default
            add_entry(&probe, value)
        incref(value)
        unlock_shard(probe.shard)
    probe_end(&probe)
    return steal(value)
