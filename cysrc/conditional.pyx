# Writes that depend on what is there.

cdef bint insert(Map* map, PyObject* key, PyObject* value) except -1:
    cdef Probe probe
    cdef int answer
    check_storable(value)
    probe_begin_write(&probe, map, key)
    answer = locate_to_insert(&probe)
    if answer == ABSENT:
        add_entry(&probe, value)
    unlock(&probe.shard.lock)
    probe_end(&probe)
    return answer == ABSENT


cdef bint replace(Map* map, PyObject* key, PyObject* value) except -1:
    cdef Probe probe
    cdef PyObject* displaced = NULL
    cdef int answer
    check_storable(value)
    if probe_begin(&probe, map, key) == ABSENT:
        return False
    answer = locate_to_change(&probe)
    if answer == FOUND:
        displaced = put_value(&probe, value)
    unlock(&probe.shard.lock)
    xdecref(displaced)
    probe_end(&probe)
    return answer == FOUND


cdef object swap(Map* map, object key, object value, object default):
    cdef Probe probe
    cdef PyObject* displaced
    check_storable(<PyObject*>value)
    probe_begin_write(&probe, map, <PyObject*>key)
    if locate_to_write(&probe) == FOUND:
        displaced = put_value(&probe, <PyObject*>value)
    else:
        add_entry(&probe, <PyObject*>value)
        displaced = <PyObject*>default
        incref(displaced)
    unlock(&probe.shard.lock)
    probe_end(&probe)
    return steal(displaced)


cdef bint is_expected(Probe* probe, PyObject* value, PyObject* expected) except -1:
    """Are they equal? Python may run: nothing is locked. The probe is ended if that raises."""
    try:
        return rich_compare_bool(value, expected, Py_EQ)
    except:
        probe_forget(probe)
        raise


cdef bint change_if(Map* map, PyObject* key, PyObject* expected, PyObject* new) except -1:
    """compare_and_set, or with NULL for `new` compare_and_delete.

    The value is compared without the lock; then the key must still have that very value, else it is compared anew.
    """
    cdef Probe probe
    cdef object accepted = MISSING       # the value that was found equal to the expected one; MISSING is never stored
    cdef PyObject* value
    cdef PyObject* stored_key = NULL
    if probe_begin(&probe, map, key) == ABSENT:
        return False
    while locate_to_change(&probe) == FOUND:
        value = value_of(probe.entry)
        if value == expected or value == <PyObject*>accepted:
            if new is NULL:
                take_entry(&probe, &stored_key)
            else:
                put_value(&probe, new)
            unlock(&probe.shard.lock)
            decref(value)
            xdecref(stored_key)
            probe_end(&probe)
            return True
        incref(value)
        unlock(&probe.shard.lock)
        accepted = steal(value)
        probe.rescan = True
        if not is_expected(&probe, value, expected):
            probe_end(&probe)
            return False
    unlock(&probe.shard.lock)
    probe_end(&probe)
    return False
