# What every mapping does, on one key. Python's slots and methods for these are in coremap.pyx.

cdef inline int find_value(Map* map, Probe* probe, PyObject** value) except -1:
    """FOUND with a new reference in `value`, or ABSENT; ends the probe. With a map, that remembers the place."""
    cdef int answer = locate(probe)
    if likely(answer == FOUND):
        value[0] = value_of(probe.entry)
        if likely(value[0] is not NULL):
            incref(value[0])
            if map is not NULL:
                remember_found(map, probe)
        else:
            answer = ABSENT
    unlock(&probe.shard.lock)
    probe_end(probe)
    return answer


cdef int fetch(Map* map, PyObject* key, PyObject** value) except -1:
    """FOUND with a new reference in `value`, or ABSENT. (Most str keys have been found before it comes to this: see
    shortcuts.pyx.)"""
    cdef Probe probe
    if probe_begin(&probe, map, key) == ABSENT:
        return ABSENT
    return find_value(map, &probe, value)


cdef inline int contains(Map* map, PyObject* key) except -1:
    cdef Probe probe
    cdef int answer
    if probe_begin(&probe, map, key) == ABSENT:
        return ABSENT
    answer = locate(&probe)
    if answer == FOUND:
        if value_of(probe.entry) is NULL:
            answer = ABSENT
        else:
            remember_found(map, &probe)
    unlock(&probe.shard.lock)
    probe_end(&probe)
    return answer


cdef inline int store(Map* map, PyObject* key, PyObject* value) except -1:
    cdef Probe probe
    cdef PyObject* displaced = NULL
    check_storable(value)
    probe_begin_write(&probe, map, key)
    if likely(locate_to_write(&probe) == FOUND):
        displaced = put_value(&probe, value)
        remember_found(map, &probe)
    else:
        add_entry(&probe, value)
    unlock(&probe.shard.lock)
    xdecref(displaced)
    probe_end(&probe)
    return 0


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
    unlock(&probe.shard.lock)
    xdecref(stored_key)
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


cdef object fetch_or_set(Map* map, object key, object default):
    """setdefault."""
    cdef Probe probe
    cdef PyObject* value
    check_storable(<PyObject*>default)
    value = recall_value(map, <PyObject*>key)
    if value is not NULL:
        return steal(value)
    probe_begin_write(&probe, map, <PyObject*>key)
    if locate_to_insert(&probe) == FOUND:
        value = value_of(probe.entry)
        remember_found(map, &probe)
    else:
        value = <PyObject*>default
        add_entry(&probe, value)
    incref(value)
    unlock(&probe.shard.lock)
    probe_end(&probe)
    return steal(value)
