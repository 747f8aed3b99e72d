# Writes that depend on what is there.

cdef bint insert(Map* map, PyObject* key, PyObject* value) except -1:
    cdef Probe probe
    cdef PyObject* present
    cdef int answer
    check_storable(value)
    probe_begin_write(&probe, map, key)
    present = find_present(&probe, key)
    if present is not NULL:
        decref(present)
        probe_end(&probe)
        return False
    answer = locate_to_insert(&probe)
    if answer == ABSENT:
        add_entry(&probe, value)
    unlock_shard(probe.shard)
    probe_end(&probe)
    return answer == ABSENT


cdef bint replace(Map* map, PyObject* key, PyObject* value) except -1:
    cdef Probe probe
    cdef PyObject* displaced = NULL
    cdef size_t word
    cdef int answer
    check_storable(value)
    if probe_begin(&probe, map, key) == ABSENT:
        return False
    if locate_to_overwrite(&probe, &word) == FOUND:
        if likely(overwrite_word(probe.shard, probe.entry, &word, value)):
            finish_overwriting(&probe, displaced_by(word, value))
            return True
        end_overwriting(&probe)
    answer = locate_to_change(&probe)
    if answer == FOUND:
        displaced = put_value(&probe, value)
    unlock_shard(probe.shard)
    drop(displaced)
    probe_end(&probe)
    return answer == FOUND


cdef object swap(Map* map, object key, object value, object default):
    cdef Probe probe
    cdef PyObject* displaced
    cdef size_t word
    check_storable(<PyObject*>value)
    probe_begin_write(&probe, map, <PyObject*>key)
    if locate_to_overwrite(&probe, &word) == FOUND:
        if likely(overwrite_word(probe.shard, probe.entry, &word, <PyObject*>value)):
            displaced = <PyObject*>word
            if displaced == <PyObject*>value:
                incref(displaced)
            else:
                hand_over(map, displaced)
            end_overwriting(&probe)
            probe_end(&probe)
            return steal(displaced)
        end_overwriting(&probe)
    return swap_locked(&probe, <PyObject*>value, <PyObject*>default)


cdef object swap_locked(Probe* probe, PyObject* value, PyObject* default):
    cdef PyObject* displaced
    if locate_to_write(probe) == FOUND:
        adopt_value(probe.shard, value)
        displaced = hand_over(probe.map, value_in(exchange_word(&probe.entry.word, <size_t>value)))
    else:
        add_entry(probe, value)
        displaced = default
        incref(displaced)
    unlock_shard(probe.shard)
    probe_end(probe)
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

    The value is compared while nothing is held; then the key must still have that very value, else it is compared anew.
    """
    cdef Probe probe
    cdef object accepted = MISSING       # the value that was found equal to the expected one; MISSING is never stored
    cdef PyObject* value
    cdef size_t word
    if probe_begin(&probe, map, key) == ABSENT:
        return False
    while True:
        value = NULL
        if new is not NULL and locate_to_overwrite(&probe, &word) == FOUND:
            value = <PyObject*>word
            if value == expected or value == <PyObject*>accepted:
                if change_word(probe.shard, probe.entry, &word, new):
                    finish_overwriting(&probe, value)
                    return True
                # It has another one by now, which may be equal too.
                end_overwriting(&probe)
                continue
            incref(value)
            end_overwriting(&probe)
        elif change_locked(&probe, expected, <PyObject*>accepted, new, &value):
            return True
        if value is NULL:
            probe_end(&probe)
            return False
        accepted = steal(value)
        probe.rescan = True
        if not is_expected(&probe, value, expected):
            probe_end(&probe)
            return False


cdef bint change_locked(Probe* probe, PyObject* expected, PyObject* accepted, PyObject* new,
                        PyObject** value) except -1:
    """With the lock. True: the value was one of these two and has been changed, the probe has ended. False: it is not,
    and `value` has a new reference to the one that is there, or NULL if the key is absent; nothing is held."""
    cdef PyObject* found
    cdef PyObject* displaced = NULL
    cdef PyObject* stored_key = NULL
    cdef bint changed = False
    cdef size_t word
    if locate_to_change(probe) == FOUND:
        word = word_of(probe.entry)
        found = value_in(word)
        if found == expected or found == accepted:
            if new is NULL:
                changed = take_entry_with(probe, found, &stored_key)
                displaced = found
            else:
                changed = change_word(probe.shard, probe.entry, &word, new)
                displaced = displace(probe.map, found) if changed else NULL
        if not changed:
            # That of an overwriter, perhaps, who was faster.
            displaced = NULL
            value[0] = value_of(probe.entry)
            incref(value[0])
    unlock_shard(probe.shard)
    drop(displaced)
    drop(stored_key)
    if changed:
        probe_end(probe)
    return changed
