# The steps that every writing operation is made of. All are taken under the stripe lock, after a locate.

cdef inline PyObject* put_value(Probe* probe, PyObject* value) noexcept nogil:
    """Set the value of the entry found, and take a reservation away. Returns what displace() says of the old one."""
    adopt_value(probe.shard, value)
    return displace(probe.map, value_in(exchange_word(&probe.entry.word, <size_t>value)))


cdef inline int add_entry(Probe* probe, PyObject* value) except -1:
    """Insert the absent key with a value. -1 with MemoryError set, the lock released and the probe ended."""
    if unlikely(insert_entry(probe.shard, probe.mixed, probe.key, probe.hash, <size_t>value) == NO_ITEM):
        return out_of_memory(probe)
    return 0


cdef int out_of_memory(Probe* probe) except -1:
    unlock_shard(probe.shard)
    probe_forget(probe)
    raise MemoryError


cdef inline void remove_found(Probe* probe, bint had_value, PyObject** key) noexcept nogil:
    """Take the entry found, which is marked DELETED, out of its shard. `key`: what displace() says of its key."""
    cdef PyObject* stored = key_of(probe.entry)
    remove_entry(probe.shard, probe.mixed, probe.ref, had_value)
    # Now, and not before: until it was out of its bucket readers that came later could still compare it.
    key[0] = displace(probe.map, stored)


cdef inline PyObject* take_entry(Probe* probe, PyObject** key) noexcept nogil:
    """Remove the entry found, present or reserved. Returns its value, or NULL, as a reference of the caller's."""
    cdef PyObject* value = value_in(exchange_word(&probe.entry.word, DELETED))
    if value is not NULL:
        hand_over(probe.map, value)
    remove_found(probe, value is not NULL, key)
    return value


cdef inline bint take_entry_with(Probe* probe, PyObject* value, PyObject** key) noexcept nogil:
    """Remove the entry found only if it has this value; the map's reference to it becomes the caller's. False:
    another."""
    cdef size_t word = <size_t>value
    if not compare_exchange(&probe.entry.word, &word, DELETED):
        return False
    hand_over(probe.map, value)
    remove_found(probe, True, key)
    return True


cdef inline int check_storable(PyObject* value) except -1:
    if unlikely(value == <PyObject*>MISSING):
        raise ValueError("MISSING cannot be stored: it stands for an absent key; use None, or delete the key")
    return 0
