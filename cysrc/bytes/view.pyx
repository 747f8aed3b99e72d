# A view of a value: memory of the store, lent to Python without a copy.

@cython.auto_pickle(False)
cdef class RecordView:
    """What a memoryview from :meth:`ByteMap.get_view` refers to: it keeps the record, and with it the store's
    memory."""

    cdef ByteStore* store
    cdef ByteShard* shard
    cdef uint32_t ref
    cdef Span value

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        fill_buffer(buffer, <PyObject*>self, <void*>self.value.data, self.value.size, 1, flags)
        # Cython has put a reference to None where the owner is now.
        decref(<PyObject*>None)

    def __dealloc__(self):
        if self.store is NULL:
            return
        lock_bytes(&self.shard.base.lock)
        release_record(self.shard, self.ref)
        unlock_byte_shard(self.shard)
        store_release(self.store)


cdef object view_of(ByteStore* store, Span key):
    """A memoryview of the key's value, or None if it is absent."""
    cdef RecordView view = RecordView.__new__(RecordView)
    cdef Spot spot
    cdef bint kept = False
    spot_for(&spot, store, key)
    lock_spot(&spot)
    if find_record(&spot):
        touch_record(&spot)
        kept = keep_record(spot.shard, spot.record)
        if kept:
            view.value = value_span(spot.record)
    unlock_spot(&spot)
    if not kept:
        if spot.record is not NULL:
            raise OverflowError("the value has 33 million views")
        return None
    view.shard = spot.shard
    view.ref = spot.ref
    store_share(store)
    view.store = store
    return memoryview(view)
