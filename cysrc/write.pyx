# The steps that every writing operation is made of. All are taken under the stripe lock, after a locate.

cdef inline PyObject* put_value(Probe* probe, PyObject* value) noexcept nogil:
    """Set the value of the entry found. Returns the old one, a reference for the caller to drop after unlocking."""
    cdef PyObject* displaced = value_of(probe.entry)
    adopt_value(probe.shard, value)
    probe.entry.word = <size_t>value
    return displaced


cdef inline int add_entry(Probe* probe, PyObject* value) except -1:
    """Insert the absent key with a value. -1 with MemoryError set, the lock released and the probe ended."""
    if unlikely(insert_entry(probe.shard, probe.mixed, probe.key, probe.hash, <size_t>value) == NO_ITEM):
        return out_of_memory(probe)
    return 0


cdef int out_of_memory(Probe* probe) except -1:
    unlock(&probe.shard.lock)
    probe_forget(probe)
    raise MemoryError


cdef inline PyObject* take_entry(Probe* probe, PyObject** key) noexcept nogil:
    """Remove the entry found. Returns its value and its key, whose references are the caller's now."""
    cdef PyObject* value = value_of(probe.entry)
    key[0] = probe.entry.key
    remove_entry(probe.shard, probe.mixed, probe.ref)
    return value


cdef inline int check_storable(PyObject* value) except -1:
    if unlikely(value == <PyObject*>MISSING):
        raise ValueError("MISSING cannot be stored: it stands for an absent key; use None, or delete the key")
    return 0
