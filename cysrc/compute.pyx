# Callbacks: reserve the key, run the callback with nothing locked, publish what it returned.

cdef Reservation* reserve_key(Probe* probe, Reservation* reservation, int answer, PyObject** old) noexcept nogil:
    """After a locate: reserve the key, present or absent. NULL, with nothing changed, when there is no memory."""
    if answer == FOUND:
        reservation.ref = probe.ref
        # With the mark no overwriter changes the value any more.
        old[0] = value_in(fetch_or(&probe.entry.word, RESERVED))
        incref(old[0])
    else:
        reservation.ref = insert_entry(probe.shard, probe.mixed, probe.key, probe.hash, RESERVED)
        if reservation.ref == NO_ITEM:
            return NULL
    reservation.owner = this_thread()
    reservation.next = probe.shard.reservations
    probe.shard.reservations = reservation
    return reservation


cdef Reservation* reserve(Probe* probe, int answer, PyObject** old) except NULL:
    """Reserve the key located, release the lock. `old`: for a key FOUND a new reference to its value."""
    cdef Reservation* reservation = <Reservation*>calloc(1, sizeof(Reservation))
    if reservation is NULL:
        out_of_memory(probe)
    if reserve_key(probe, reservation, answer, old) is NULL:
        free(reservation)
        out_of_memory(probe)
    unlock_shard(probe.shard)
    return reservation


cdef PyObject* settle(Probe* probe, PyObject* result, PyObject** key) noexcept nogil:
    """Under the lock: give the entry its result, or none. Returns the value, and the key, that the caller is to
    drop."""
    cdef PyObject* value
    cdef bint was_absent = value_of(probe.entry) is NULL
    if result is NULL:
        value = value_in(exchange_word(&probe.entry.word, DELETED))
        value = displace(probe.map, value)
        remove_found(probe, not was_absent, key)
        return value
    if was_absent:
        store_count(&probe.shard.count, probe.shard.count + 1)
    return put_value(probe, result)


cdef void conclude(Probe* probe, Reservation* reservation, PyObject* result, bint keep) noexcept:
    """End the reservation: with `keep` the entry is as it was; else it has the result, or for NULL is deleted."""
    cdef PyObject* displaced = NULL
    cdef PyObject* displaced_key = NULL
    lock_shard(probe.shard)
    if not reservation.cancelled:
        unlink_reservation(probe.shard, reservation)
        probe.ref = reservation.ref
        probe.entry = entry_at(probe.shard, reservation.ref)
        if keep and value_of(probe.entry) is not NULL:
            store_word(&probe.entry.word, probe.entry.word & ~<size_t>RESERVED)
        else:
            displaced = settle(probe, result, &displaced_key)
        wake_all(reservation)
    unlock_shard(probe.shard)
    free(reservation)
    drop(displaced)
    drop(displaced_key)
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


cdef object compute_from(Probe* probe, int answer, object fn, object second):
    """Under the lock, after a locate: reserve the key and `run` the callback on its value or MISSING."""
    cdef PyObject* old = NULL
    cdef Reservation* reservation = reserve(probe, answer, &old)
    return run(probe, reservation, fn, MISSING if old is NULL else steal(old), second)


cdef object compute(Map* map, object key, object fn):
    cdef Probe probe
    probe_begin_write(&probe, map, <PyObject*>key)
    return compute_from(&probe, locate_to_write(&probe), fn, MISSING)


cdef object compute_if_absent(Map* map, object key, object fn):
    cdef Probe probe
    cdef PyObject* value
    probe_begin_write(&probe, map, <PyObject*>key)
    value = find_present(&probe, <PyObject*>key)
    if value is NULL:
        if locate_to_insert(&probe) == ABSENT:
            return run(&probe, reserve(&probe, ABSENT, &value), fn, key, MISSING)
        remember_found(&probe)
        value = value_of(probe.entry)
        incref(value)
        unlock_shard(probe.shard)
    probe_end(&probe)
    return steal(value)


cdef object compute_if_present(Map* map, object key, object fn):
    cdef Probe probe
    if probe_begin(&probe, map, <PyObject*>key) == ABSENT:
        return MISSING
    if locate_to_change(&probe) == ABSENT:
        unlock_shard(probe.shard)
        probe_end(&probe)
        return MISSING
    return compute_from(&probe, FOUND, fn, MISSING)


cdef object merge(Map* map, object key, object value, object fn):
    cdef Probe probe
    check_storable(<PyObject*>value)
    probe_begin_write(&probe, map, <PyObject*>key)
    if locate_to_write(&probe) == ABSENT:
        add_entry(&probe, <PyObject*>value)
        unlock_shard(probe.shard)
        probe_end(&probe)
        return value
    return compute_from(&probe, FOUND, fn, value)
