# Counting: add, and count for many keys at once.

cdef inline bint is_number(PyObject* value) noexcept nogil:
    """Exactly int or float: adding two of them runs no Python code."""
    return is_int(value) or is_float(value)


cdef inline bint are_small_numbers(PyObject* a, PyObject* b) noexcept nogil:
    return (is_small_int(a) or is_float(a)) and (is_small_int(b) or is_float(b))


cdef inline PyObject* add_recalled(Map* map, PyObject* key, PyObject* delta) noexcept:
    """The new value, a new reference. NULL: not done, perhaps with an exception set.

    Numbers are added under the lock, where otherwise no object is made: that of a number runs no Python code and never
    gives the GIL away, and small ones take a few nanoseconds.
    """
    cdef Seen* seen = recall(map, key)
    cdef PyObject* old
    cdef PyObject* total
    if unlikely(seen is NULL):
        return NULL
    old = <PyObject*>seen.entry.word
    total = add_numbers(old, delta) if likely(are_small_numbers(old, delta)) else NULL
    if unlikely(total is NULL):
        unlock(&seen.shard.lock)
        return NULL
    seen.entry.word = <size_t>total
    incref(total)
    unlock(&seen.shard.lock)
    decref(old)
    return total


cdef object add(Map* map, PyObject* key, PyObject* delta):
    """The new value. For plain numbers: read, add without the lock, and store if nothing has changed meanwhile, else
    again; somebody else's change is progress, so the threads together never stall. Other values are computed under a
    reservation, because their __add__ must run exactly once."""
    cdef Probe probe
    cdef PyObject* old
    cdef PyObject* total
    cdef uint64_t version
    check_storable(delta)
    probe_begin_write(&probe, map, key)
    while True:
        if locate_to_write(&probe) == ABSENT:
            add_entry(&probe, delta)
            incref(delta)
            unlock(&probe.shard.lock)
            probe_end(&probe)
            return steal(delta)
        old = value_of(probe.entry)
        remember_found(map, &probe)
        if unlikely(not is_number(old) or not is_number(delta)):
            return compute_from(&probe, FOUND, old, operator_add, <object>delta)
        incref(old)
        version = probe.shard.version
        unlock(&probe.shard.lock)
        total = sum_or_end(&probe, old, delta)
        lock(&probe.shard.lock)
        # The same version: the entry is where it was. The same object, which we have kept alive: nobody wrote.
        if likely(version == probe.shard.version and probe.entry.word == <size_t>old):
            probe.entry.word = <size_t>total
            incref(total)
            unlock(&probe.shard.lock)
            decref(old)
            decref(old)
            probe_end(&probe)
            return steal(total)
        unlock(&probe.shard.lock)
        decref(old)
        decref(total)
        probe.rescan = True


cdef inline PyObject* sum_or_end(Probe* probe, PyObject* old, PyObject* delta) except NULL:
    """A new reference; on an exception (int too large for a float) what was taken is given back."""
    cdef PyObject* total = add_numbers(old, delta)
    if unlikely(total is NULL):
        give_up_sum(probe, old)
    return total


cdef int give_up_sum(Probe* probe, PyObject* old) except -1:
    decref(old)
    probe_forget(probe)
    return -1


# -- count -------------------------------------------------------------------------------------------------------------
#
# The keys are counted in a table of the call's own, without locks, and added to the map when that has as many distinct
# keys as fit into the processor's nearer caches, and at the end. Keys whose comparison may run Python code are
# added one by one.

cdef enum:
    TALLY_FIRST = 256          # slots; a call for a handful of elements should not clear much memory
    TALLY_LAST = 65536         # slots of 24 bytes: 1.5 MiB, half of them used

cdef struct TallySlot:
    PyObject* key              # owned; NULL in an empty slot
    Py_hash_t hash
    int64_t count

cdef struct Tally:
    TallySlot* slots
    uint32_t mask
    uint32_t used
    Mixer* mixer


cdef int tally_open(Tally* tally, Map* map) except -1:
    tally.slots = <TallySlot*>calloc(TALLY_FIRST, sizeof(TallySlot))
    if tally.slots is NULL:
        raise MemoryError
    tally.mask = TALLY_FIRST - 1
    tally.used = 0
    tally.mixer = &map.mixer
    return 0


cdef inline TallySlot* tally_find(Tally* tally, PyObject* key, Py_hash_t hash) noexcept nogil:
    """The key's slot or the empty one where it belongs: linear probing, never more than half full."""
    cdef uint32_t at = bucket_bits(mix(tally.mixer, hash)) & tally.mask
    cdef TallySlot* slot
    while True:
        slot = &tally.slots[at]
        if slot.key == key or slot.key is NULL:
            return slot
        if slot.hash == hash and same_simple(slot.key, key) == EQUAL:
            return slot
        at = (at + 1) & tally.mask


cdef bint tally_grow(Tally* tally) noexcept nogil:
    """Double the table; False if it is as large as it gets, or there is no memory."""
    cdef TallySlot* old = tally.slots
    cdef uint32_t size = tally.mask + 1, i
    if size == TALLY_LAST:
        return False
    tally.slots = <TallySlot*>calloc(size * 2, sizeof(TallySlot))
    if tally.slots is NULL:
        tally.slots = old
        return False
    tally.mask = size * 2 - 1
    for i in range(size):
        if old[i].key is not NULL:
            tally_find(tally, old[i].key, old[i].hash)[0] = old[i]
    free(old)
    return True


cdef int tally_flush(Tally* tally, Map* map) except -1:
    """Add every count to the map. What one key raises is raised after all others have been added."""
    cdef uint32_t i
    cdef TallySlot slot
    cdef object failure = None
    for i in range(tally.mask + 1):
        slot = tally.slots[i]
        if slot.key is NULL:
            continue
        tally.slots[i].key = NULL
        try:
            add_count(map, slot.key, slot.count)
        except BaseException as error:
            if failure is None:
                failure = error
        decref(slot.key)
    tally.used = 0
    if failure is not None:
        raise failure
    return 0


cdef int add_count(Map* map, PyObject* key, int64_t count) except -1:
    cdef object delta = count
    add(map, key, <PyObject*>delta)
    return 0


cdef inline int tally_add(Tally* tally, Map* map, PyObject* key) except -1:
    cdef Py_hash_t hash
    cdef TallySlot* slot
    if unlikely(not is_simple(key)):
        return add_count(map, key, 1)
    hash = hash_of(key)
    slot = tally_find(tally, key, hash)
    if likely(slot.key is not NULL):
        slot.count += 1
        return 0
    incref(key)
    slot.key = key
    slot.hash = hash
    slot.count = 1
    tally.used += 1
    if tally.used * 2 > tally.mask and not tally_grow(tally):
        tally_flush(tally, map)
    return 0


cdef int count(Map* map, object iterable) except -1:
    cdef Tally tally
    cdef object key
    tally_open(&tally, map)
    try:
        for key in iterable:
            tally_add(&tally, map, <PyObject*>key)
    finally:
        try:
            tally_flush(&tally, map)
        finally:
            free(tally.slots)
    return 0
