# Counting: add, and count for many keys at once.

cdef inline bint is_number(PyObject* value) noexcept nogil:
    """Exactly int or float: adding two of them runs no Python code."""
    return is_int(value) or is_float(value)


cdef inline bint are_small_numbers(PyObject* a, PyObject* b) noexcept nogil:
    return (is_small_int(a) or is_float(a)) and (is_small_int(b) or is_float(b))


cdef inline PyObject* add_to_word(Map* map, Shard* shard, Entry* entry, size_t word, PyObject* delta) noexcept:
    """Pinned as a writer, with the entry's settled word: add, and unpin. The new value, a new reference; NULL: not
    done, perhaps with an exception set.

    Numbers are added while pinned, where otherwise no object is made: that of a number runs no Python code and never
    gives the GIL away, and small ones take a few nanoseconds. Somebody else's change is progress, so that the threads
    together never stall.
    """
    cdef PyObject* total = NULL
    cdef PyObject* displaced
    while is_settled(word) and likely(are_small_numbers(<PyObject*>word, delta)):
        xdecref(total)
        total = add_numbers(<PyObject*>word, delta)
        if unlikely(total is NULL):
            break
        # The reference that `total` is becomes the entry's.
        if likely(set_word(map, entry, &word, total)):
            incref(total)
            displaced = displace(map, <PyObject*>word)
            unpin()
            drop(displaced)
            return total
    unpin()
    xdecref(total)
    return NULL


cdef inline PyObject* add_recalled(Map* map, PyObject* key, PyObject* delta) noexcept:
    """As add_to_word, for a key that is recalled."""
    cdef Seen* seen = recall(key)
    cdef size_t word
    if unlikely(seen is NULL):
        return NULL
    pin_to_write()
    if likely(recalled_word(map, seen, key, &word) and not is_frozen(map)):
        return add_to_word(map, seen.shard, seen.entry, word, delta)
    unpin()
    return NULL


cdef object add(Map* map, PyObject* key, PyObject* delta):
    """The new value. Plain numbers: as add_to_word. Other values are computed under a reservation, because their
    __add__ must run exactly once."""
    cdef Probe probe
    cdef PyObject* total
    cdef size_t word
    check_storable(delta)
    probe_begin_write(&probe, map, key)
    if locate_to_overwrite(&probe, &word) == FOUND:
        remember_found(&probe)
        total = add_to_word(map, probe.shard, probe.entry, word, delta)
        if likely(total is not NULL):
            probe_end(&probe)
            return steal(total)
        if PyErr_Occurred() is not NULL:
            end_with_error(&probe)
        probe.rescan = True
    return add_locked(&probe, delta)


cdef object add_locked(Probe* probe, PyObject* delta):
    cdef PyObject* old
    cdef PyObject* total
    cdef PyObject* displaced
    cdef size_t word
    cdef uint64_t version
    while True:
        if locate_to_write(probe) == ABSENT:
            add_entry(probe, delta)
            incref(delta)
            unlock_shard(probe.shard)
            probe_end(probe)
            return steal(delta)
        remember_found(probe)
        word = word_of(probe.entry)
        old = <PyObject*>word
        if unlikely(not is_number(old) or not is_number(delta)):
            return compute_from(probe, FOUND, operator_add, <object>delta)
        incref(old)
        version = probe.version
        unlock_shard(probe.shard)
        total = add_numbers(old, delta)
        if unlikely(total is NULL):
            # An int that is too large for a float.
            decref(old)
            end_with_error(probe)
        lock_shard(probe.shard)
        # The same version: the entry is where it was. The same object, which we have kept alive: nobody wrote.
        if likely(version == probe.shard.version and change_word(probe.shard, probe.entry, &word, total)):
            displaced = displace(probe.map, old)
            unlock_shard(probe.shard)
            decref(old)
            drop(displaced)
            probe_end(probe)
            return steal(total)
        unlock_shard(probe.shard)
        decref(old)
        decref(total)
        probe.rescan = True


cdef int end_with_error(Probe* probe) except -1:
    """Pass on the exception that is set."""
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
