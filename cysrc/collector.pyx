# The garbage collector's view of a map.
#
# Cython visits Python attributes only, not native memory, so the type's tp_traverse and tp_clear are replaced, once, by
# functions that do Cython's work and ours. Subclasses made in Python find them through their base.
#
# Traversing takes no lock: the collector runs with the GIL held or with all threads stopped, and no thread stops inside
# a critical section. What has been retired is not visited: it counts as referred to from outside until it is released.
# A shard that has only ever held objects that cannot be part of a cycle (str, int, float, bytes...)
# is not walked at all.

cdef traverseproc cython_traverse
cdef inquiry cython_clear


cdef int traverse_shard(Shard* shard, visitproc visit, void* arg) noexcept:
    cdef ArenaPosition at
    cdef Entry* entry
    cdef int stop
    memset(&at, 0, sizeof(at))
    while True:
        entry = next_entry(shard, &at)
        if entry is NULL:
            return 0
        stop = visit(entry.key, arg)
        if stop == 0 and value_of(entry) is not NULL:
            stop = visit(value_of(entry), arg)
        if stop:
            return stop


cdef int traverse(PyObject* self, visitproc visit, void* arg) noexcept:
    cdef Stripes* stripes = map_of(self).stripes
    cdef int stop = cython_traverse(self, visit, arg)
    cdef uint32_t i
    if stop == 0 and stripes is not NULL:
        for i in range(stripes.shards):
            if stripes.shard[i].tracked:
                stop = traverse_shard(&stripes.shard[i], visit, arg)
                if stop:
                    break
    return stop


cdef int break_cycles(PyObject* self) noexcept:
    """Without memory for it, the cycle stays until the next collection."""
    try:
        clear_all(map_of(self), True)
    except MemoryError:
        pass
    return cython_clear(self)


cdef int replace_slots() except -1:
    global cython_traverse, cython_clear
    cdef PyTypeObject* type = <PyTypeObject*>CoreMap
    cython_traverse = type.tp_traverse
    cython_clear = type.tp_clear
    type.tp_traverse = traverse
    type.tp_clear = break_cycles
    return 0


replace_slots()
