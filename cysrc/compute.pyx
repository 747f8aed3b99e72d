# Callbacks: reserve the key, run the callback with nothing locked, publish what it returned.

cdef Reservation* reserve_key(Probe* probe, Reservation* reservation, int answer) noexcept nogil:
    """After a locate: reserve the key, present or absent. NULL, with nothing changed, when there is no memory."""
    if answer == FOUND:
        reservation.ref = probe.ref
        probe.entry.word |= RESERVED
    else:
        reservation.ref = insert_entry(probe.shard, probe.mixed, probe.key, probe.hash, RESERVED)
        if reservation.ref == NO_ITEM:
            return NULL
    reservation.owner = this_thread()
    reservation.next = probe.shard.reservations
    probe.shard.reservations = reservation
    return reservation


cdef Reservation* reserve(Probe* probe, int answer) except NULL:
    """Reserve the key located, release the lock."""
    cdef Reservation* reservation = <Reservation*>calloc(1, sizeof(Reservation))
    if reservation is NULL:
        out_of_memory(probe)
    if reserve_key(probe, reservation, answer) is NULL:
        free(reservation)
        out_of_memory(probe)
    unlock(&probe.shard.lock)
    return reservation


cdef PyObject* settle(Probe* probe, Reservation* reservation, PyObject* result, PyObject** key) noexcept nogil:
    """Under the lock: give the entry its result, or none. Returns the value, and the key, that were displaced."""
    cdef PyObject* displaced
    probe.ref = reservation.ref
    probe.entry = entry_at(probe.shard, reservation.ref)
    probe.entry.word &= ~<size_t>RESERVED
    if result is NULL:
        return take_entry(probe, key)
    displaced = put_value(probe, result)
    if displaced is NULL:
        store_count(&probe.shard.count, probe.shard.count + 1)
    return displaced


cdef void conclude(Probe* probe, Reservation* reservation, PyObject* result, bint keep) noexcept:
    """End the reservation: with `keep` the entry is as it was; else it has the result, or for NULL is deleted."""
    cdef PyObject* displaced = NULL
    cdef PyObject* displaced_key = NULL
    cdef Entry* entry
    lock(&probe.shard.lock)
    if not reservation.cancelled:
        unlink_reservation(probe.shard, reservation)
        entry = entry_at(probe.shard, reservation.ref)
        if keep and value_of(entry) is not NULL:
            entry.word &= ~<size_t>RESERVED
        else:
            displaced = settle(probe, reservation, result, &displaced_key)
        wake_all(reservation)
    unlock(&probe.shard.lock)
    free(reservation)
    xdecref(displaced)
    xdecref(displaced_key)
    probe_end(probe)


cdef object run(Probe* probe, Reservation* reservation, object call, object argument, object second):
    """Call back with one argument or, unless `second` is MISSING, two; publish; return what the callback returned."""
    cdef object result
    try:
        if second is MISSING:
            result = call(argument)
        else:
            result = call(argument, second)
    except:
        conclude(probe, reservation, NULL, True)
        raise
    conclude(probe, reservation, NULL if result is MISSING else <PyObject*>result, False)
    return result


cdef inline object own_value(Probe* probe):
    """The value of the entry found, as an object; releases the lock."""
    cdef PyObject* value = value_of(probe.entry)
    incref(value)
    unlock(&probe.shard.lock)
    return steal(value)


cdef object compute_from(Probe* probe, int answer, PyObject* old, object fn, object second):
    """Under the lock, after a locate: reserve the key and `run` the callback on its borrowed value or MISSING."""
    cdef Reservation* reservation
    incref(old)
    try:
        reservation = reserve(probe, answer)
    except:
        decref(old)
        raise
    return run(probe, reservation, fn, steal(old), second)


cdef object compute(Map* map, object key, object fn):
    cdef Probe probe
    cdef int answer
    probe_begin_write(&probe, map, <PyObject*>key)
    answer = locate_to_write(&probe)
    return compute_from(&probe, answer, value_of(probe.entry) if answer == FOUND else <PyObject*>MISSING, fn, MISSING)


cdef object compute_if_absent(Map* map, object key, object fn):
    cdef Probe probe
    cdef object present
    cdef PyObject* value = recall_value(map, <PyObject*>key)
    if value is not NULL:
        return steal(value)
    probe_begin_write(&probe, map, <PyObject*>key)
    if locate_to_insert(&probe) == FOUND:
        remember_found(map, &probe)
        present = own_value(&probe)
        probe_end(&probe)
        return present
    return run(&probe, reserve(&probe, ABSENT), fn, key, MISSING)


cdef object compute_if_present(Map* map, object key, object fn):
    cdef Probe probe
    if probe_begin(&probe, map, <PyObject*>key) == ABSENT:
        return MISSING
    if locate_to_change(&probe) == ABSENT:
        unlock(&probe.shard.lock)
        probe_end(&probe)
        return MISSING
    return compute_from(&probe, FOUND, value_of(probe.entry), fn, MISSING)


cdef object merge(Map* map, object key, object value, object fn):
    cdef Probe probe
    check_storable(<PyObject*>value)
    probe_begin_write(&probe, map, <PyObject*>key)
    if locate_to_write(&probe) == ABSENT:
        add_entry(&probe, <PyObject*>value)
        unlock(&probe.shard.lock)
        probe_end(&probe)
        return value
    return compute_from(&probe, FOUND, value_of(probe.entry), fn, value)
