# Shortcuts: [], []=, in, get() and add() ahead of the methods that Cython makes, in three steps.
#
#   1. recall: a key object that this thread has found before (lookaside.pyx);
#   2. look_up: another str, hashed already, by the table;
#   3. the full method: other types of key, keys that a callback has reserved, errors.
#
# A lookup ends by changing the reference count of what it found: a store to an address that is known late. Processors
# hold back the loads that follow such a store, and a function's way out is nothing but loads of saved registers. So the
# first step calls nothing on its way, needs no stack frame, and leaves the others to a tail call.
#
# The functions take the place of Cython's in the type's slots and in the slots' descriptors, from which a subclass made
# in Python takes its own.

ctypedef PyObject* (*fastcall_keywords)(PyObject* self, PyObject** arguments, Py_ssize_t n, PyObject* names) noexcept

cdef binaryfunc full_subscript
cdef objobjproc full_contains
cdef objobjargproc full_assign
cdef fastcall_keywords full_get
cdef fastcall_keywords full_add

cdef PyObject* ONE = PyLong_FromLong(1)

# Called through pointers, so that the compiler does not bring their stack frames into the functions of the first step.
cdef struct SecondStep:
    PyObject* (*subscript)(PyObject* self, PyObject* key) noexcept
    PyObject* (*get)(PyObject* self, PyObject** arguments, Py_ssize_t n) noexcept
    PyObject* (*add)(PyObject* self, PyObject** arguments, Py_ssize_t n) noexcept
    int (*contains)(PyObject* self, PyObject* key) noexcept
    int (*assign)(PyObject* self, PyObject* key, PyObject* value) noexcept

cdef SecondStep second

cdef enum:
    UNDECIDED = ASK_PYTHON


cdef inline int look_up(Map* map, PyObject* key, Shard** shard, Entry** entry) noexcept nogil:
    """FOUND: a settled entry, its shard locked. ABSENT, or UNDECIDED: nothing is locked."""
    cdef Stripes* stripes = stripes_of(map)
    cdef bint doubt = False
    cdef uint64_t mixed
    if unlikely(not is_str(key) or str_hash(key) == -1 or stripes is NULL):
        return UNDECIDED
    note_thread(map)
    mixed = mix(&map.mixer, str_hash(key))
    shard[0] = shard_for(stripes, mixed)
    lock(&shard[0].lock)
    entry[0] = find_str(shard[0], key, mixed, &doubt)
    if likely(entry[0] is not NULL and is_settled(entry[0])):
        if entry[0].key == key:
            remember(map, shard[0], entry[0])
        return FOUND
    unlock(&shard[0].lock)
    return UNDECIDED if doubt or entry[0] is not NULL else ABSENT


cdef inline int overwrite(Shard* shard, Entry* entry, PyObject* value) noexcept:
    """Give a settled entry another value; releases the lock."""
    cdef PyObject* displaced = <PyObject*>entry.word
    adopt_value(shard, value)
    entry.word = <size_t>value
    unlock(&shard.lock)
    decref(displaced)
    return 0


cdef PyObject* subscript(PyObject* self, PyObject* key) noexcept:
    cdef PyObject* value = recall_value(map_of(self), key)
    return value if likely(value is not NULL) else second.subscript(self, key)


cdef PyObject* second_subscript(PyObject* self, PyObject* key) noexcept:
    cdef Shard* shard
    cdef Entry* entry
    if likely(look_up(map_of(self), key, &shard, &entry) == FOUND):
        return take_value(shard, entry)
    return full_subscript(self, key)


cdef PyObject* get(PyObject* self, PyObject** arguments, Py_ssize_t n) noexcept:
    cdef PyObject* value
    if likely(n == 1 or n == 2):
        value = recall_value(map_of(self), arguments[0])
        if likely(value is not NULL):
            return value
    return second.get(self, arguments, n)


cdef PyObject* second_get(PyObject* self, PyObject** arguments, Py_ssize_t n) noexcept:
    cdef Shard* shard
    cdef Entry* entry
    cdef int answer = look_up(map_of(self), arguments[0], &shard, &entry) if n == 1 or n == 2 else UNDECIDED
    if likely(answer == FOUND):
        return take_value(shard, entry)
    if answer == UNDECIDED:
        return full_get(self, arguments, n, NULL)
    return new_reference(arguments[1] if n == 2 else <PyObject*>None)


cdef PyObject* add_number(PyObject* self, PyObject** arguments, Py_ssize_t n) noexcept:
    cdef PyObject* total
    if likely(n == 1 or n == 2):
        total = add_recalled(map_of(self), arguments[0], arguments[1] if n == 2 else ONE)
        if likely(total is not NULL):
            return total
    return second.add(self, arguments, n)


cdef PyObject* second_add(PyObject* self, PyObject** arguments, Py_ssize_t n) noexcept:
    if PyErr_Occurred() is not NULL:
        return NULL
    return full_add(self, arguments, n, NULL)


cdef inline PyObject* new_reference(PyObject* thing) noexcept nogil:
    incref(thing)
    return thing


cdef int contains_key(PyObject* self, PyObject* key) noexcept:
    cdef Seen* seen = recall(map_of(self), key)
    if unlikely(seen is NULL):
        return second.contains(self, key)
    unlock(&seen.shard.lock)
    return 1


cdef int second_contains(PyObject* self, PyObject* key) noexcept:
    cdef Shard* shard
    cdef Entry* entry
    cdef int answer = look_up(map_of(self), key, &shard, &entry)
    if answer == UNDECIDED:
        return full_contains(self, key)
    if answer == FOUND:
        unlock(&shard.lock)
    return answer == FOUND


cdef int assign(PyObject* self, PyObject* key, PyObject* value) noexcept:
    cdef Seen* seen
    if likely(value is not NULL and value != <PyObject*>MISSING):
        seen = recall(map_of(self), key)
        if likely(seen is not NULL):
            return overwrite(seen.shard, seen.entry, value)
    return second.assign(self, key, value)


cdef int second_assign(PyObject* self, PyObject* key, PyObject* value) noexcept:
    cdef Shard* shard
    cdef Entry* entry
    if unlikely(value is NULL or value == <PyObject*>MISSING):
        return full_assign(self, key, value)
    if look_up(map_of(self), key, &shard, &entry) == FOUND:
        return overwrite(shard, entry, value)
    return full_assign(self, key, value)


# -- putting them in place ---------------------------------------------------------------------------------------------

cdef PyMethodDef get_definition
cdef PyMethodDef add_definition


cdef int replace_descriptor(str name, void* function) except -1:
    cdef object descriptor = CoreMap.__dict__[name]
    (<PyWrapperDescrObject*><PyObject*>descriptor).d_wrapped = function
    return 0


cdef fastcall_keywords replace_method(str name, PyMethodDef* definition, void* function) except NULL:
    """Make the definition of a method with this C function; the one that it had."""
    cdef object descriptor = CoreMap.__dict__[name]
    definition[0] = (<PyMethodDescrObject*><PyObject*>descriptor).d_method[0]
    cdef void* former = definition.ml_meth
    definition.ml_meth = function
    definition.ml_flags = METH_FASTCALL
    return <fastcall_keywords>former


cdef int take_shortcuts() except -1:
    global full_subscript, full_contains, full_assign, full_get, full_add
    cdef PyTypeObject* type = <PyTypeObject*>CoreMap
    second.subscript = second_subscript
    second.get = second_get
    second.add = second_add
    second.contains = second_contains
    second.assign = second_assign
    full_subscript = type.tp_as_mapping.mp_subscript
    full_assign = type.tp_as_mapping.mp_ass_subscript
    full_contains = type.tp_as_sequence.sq_contains
    type.tp_as_mapping.mp_subscript = subscript
    type.tp_as_mapping.mp_ass_subscript = assign
    type.tp_as_sequence.sq_contains = contains_key
    replace_descriptor("__getitem__", <void*>subscript)
    # One slot serves both, and a subclass only inherits it if both agree.
    replace_descriptor("__setitem__", <void*>assign)
    replace_descriptor("__delitem__", <void*>assign)
    replace_descriptor("__contains__", <void*>contains_key)
    full_get = replace_method("get", &get_definition, <void*>get)
    full_add = replace_method("add", &add_definition, <void*>add_number)
    return 0


take_shortcuts()


def _adopt_methods(cls, /):
    """Give *cls*, a subclass of CoreMap, descriptors of its own for the methods that it does not define itself.

    CPython's interpreter has a short way for calling a method written in C, but only on objects of the very type that
    the method's descriptor was made for: with those of CoreMap, a call on a ShardMap takes 7 ns longer.
    """
    cdef object method_descriptor = type(CoreMap.clear)
    cdef PyMethodDef* method
    for name, descriptor in CoreMap.__dict__.items():
        if type(descriptor) is method_descriptor and name not in cls.__dict__:
            method = (<PyMethodDescrObject*><PyObject*>descriptor).d_method
            if name == "get":
                method = &get_definition
            elif name == "add":
                method = &add_definition
            setattr(cls, name, PyDescr_NewMethod(<PyTypeObject*>cls, method))
