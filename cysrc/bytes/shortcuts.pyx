# Shortcuts: [], get() and in for keys whose value, or absence of it, is known without the methods that Cython makes; as
# in ../shortcuts.pyx, whose tools these are.

cdef binaryfunc full_byte_subscript
cdef objobjargproc full_byte_assign
cdef objobjproc full_byte_contains
cdef fastcall_keywords full_byte_get
cdef fastcall_keywords full_byte_set


cdef PyObject* byte_subscript(PyObject* self, PyObject* key) noexcept:
    cdef PyObject* value = recalled_value(key, store_of(<CoreByteMap>self))
    return value if likely(value is not NULL) else full_byte_subscript(self, key)


cdef PyObject* byte_get(PyObject* self, PyObject** arguments, Py_ssize_t n) noexcept:
    cdef PyObject* value
    if likely(n == 1 or n == 2):
        value = recalled_value(arguments[0], store_of(<CoreByteMap>self))
        if likely(value is not NULL):
            return value
    return full_byte_get(self, arguments, n, NULL)


cdef inline bint is_short_entry(PyObject* key, PyObject* value) noexcept nogil:
    """Exactly bytes, and not so long that it may be a large record or has to be copied without the GIL."""
    return (value is not NULL and is_bytes(key) and is_bytes(value)
            and bytes_size(key) + bytes_size(value) < LEAST_LARGE)


cdef int byte_assign(PyObject* self, PyObject* key, PyObject* value) noexcept:
    cdef ByteStore* store = store_of(<CoreByteMap>self)
    cdef Recalled* slot
    cdef Draft draft
    cdef Spot spot
    if unlikely(store is NULL or not is_short_entry(key, value)):
        return full_byte_assign(self, key, value)
    slot = recall_bytes(key, store)
    spot_for_recalled(&spot, store, key, slot)
    draft.key = spot.key
    draft.value.data = bytes_data(value)
    draft.value.size = bytes_size(value)
    draft.deadline = 0
    draft.large = NULL
    lock_spot(&spot)
    if likely(slot is not NULL and find_recalled(&spot, slot, key) and may_write_over(spot.record, &draft, 0)):
        count_change(&spot.shard.changes)
        write_over(spot.shard, spot.record, &draft, 0)
        touch_record(&spot)
        unlock_spot(&spot)
        return 0
    return assign_by_search(self, key, value, &spot, &draft)


cdef int assign_by_search(PyObject* self, PyObject* key, PyObject* value, Spot* spot, Draft* draft) noexcept:
    """Locked. The rest of byte_assign."""
    cdef Recalled seen
    cdef int answer
    find_record(spot)
    answer = put_record(spot, draft)
    if likely(answer == STORED):
        note_recall(&seen, spot)
    unlock_spot(spot)
    if unlikely(answer != STORED):
        return full_byte_assign(self, key, value)
    recall_later(key, NULL, &seen)
    return 0


cdef int byte_contains(PyObject* self, PyObject* key) noexcept:
    if likely(recalled_presence(key, store_of(<CoreByteMap>self))):
        return 1
    return full_byte_contains(self, key)


cdef PyObject* byte_set(PyObject* self, PyObject** arguments, Py_ssize_t n, PyObject* names) noexcept:
    """set() without a time to live is m[k] = v."""
    if likely(n == 2 and names is NULL):
        return new_reference(<PyObject*>None) if likely(byte_assign(self, arguments[0], arguments[1]) == 0) else NULL
    return full_byte_set(self, arguments, n, names)


cdef int take_byte_shortcuts() except -1:
    global full_byte_subscript, full_byte_get, full_byte_set, full_byte_assign, full_byte_contains
    cdef PyTypeObject* type = <PyTypeObject*>CoreByteMap
    full_byte_subscript = type.tp_as_mapping.mp_subscript
    type.tp_as_mapping.mp_subscript = byte_subscript
    replace_descriptor(CoreByteMap, "__getitem__", <void*>byte_subscript)
    full_byte_assign = type.tp_as_mapping.mp_ass_subscript
    type.tp_as_mapping.mp_ass_subscript = byte_assign
    full_byte_contains = type.tp_as_sequence.sq_contains
    type.tp_as_sequence.sq_contains = byte_contains
    replace_descriptor(CoreByteMap, "__contains__", <void*>byte_contains)
    # One slot serves both, and a subclass only inherits it if both agree.
    replace_descriptor(CoreByteMap, "__setitem__", <void*>byte_assign)
    replace_descriptor(CoreByteMap, "__delitem__", <void*>byte_assign)
    full_byte_get = replace_method(CoreByteMap, "get", &byte_get_definition, <void*>byte_get, METH_FASTCALL)
    full_byte_set = replace_method(CoreByteMap, "set", &byte_set_definition, <void*>byte_set,
                                   METH_FASTCALL | METH_KEYWORDS)
    return 0


take_byte_shortcuts()
