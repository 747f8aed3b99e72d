# Shortcuts: [], []=, in and get() for a str that is found at once, ahead of the methods that Cython makes.
#
# A lookup ends by changing the reference count of what it found: a store to an address that is known late. Processors
# hold back the loads that follow such a store, and a function's way out is nothing but loads of saved registers: they
# cost m[k] 3 of its 20 ns. So these functions call nothing on their way, need no stack frame, and leave everything that
# is not the common case to the full method by a tail call: another type of key, no hash yet, a lock that is taken, a
# long key, a key that is absent, reserved, or not in the first slot that looks like it.
#
# They take the place of Cython's functions in the type's slots and in the slots' descriptors, from which a subclass
# made in Python takes its own.

ctypedef PyObject* (*fastcall_keywords)(PyObject* self, PyObject** arguments, Py_ssize_t n, PyObject* names) noexcept

cdef binaryfunc full_subscript
cdef objobjproc full_contains
cdef objobjargproc full_assign
cdef fastcall_keywords full_get


cdef inline bint has_shortcut(Stripes* stripes, PyObject* key) noexcept nogil:
    return is_str(key) and str_hash(key) != -1 and stripes is not NULL


cdef inline Entry* first_look(Shard* shard, uint64_t mixed) noexcept nogil:
    """The entry of the first slot with the key's tag, or NULL."""
    cdef Bucket* bucket = home(shard, mixed)
    cdef uint32_t hits = match_tags(bucket, tag_of(mixed))
    return entry_at(shard, bucket.refs[count_trailing_zeros(hits)]) if likely(hits) else NULL


cdef inline bint is_settled(Entry* entry) noexcept nogil:
    return not entry.word & MARKS


cdef inline bint is_same_short(Entry* entry, PyObject* key) noexcept nogil:
    return is_str(entry.key) and same_short_str(entry.key, key) == 1 and is_settled(entry)


cdef inline PyObject* take_value(Shard* shard, Entry* entry) noexcept nogil:
    """A new reference to the value of a settled entry; releases the lock."""
    cdef PyObject* value = <PyObject*>entry.word
    incref(value)
    unlock(&shard.lock)
    return value


cdef PyObject* subscript(PyObject* self, PyObject* key) noexcept:
    cdef Map* map = map_of(self)
    cdef Stripes* stripes = stripes_of(map)
    cdef Shard* shard
    cdef Entry* entry
    cdef uint64_t mixed
    if unlikely(not has_shortcut(stripes, key)):
        return full_subscript(self, key)
    mixed = mix(&map.mixer, str_hash(key))
    shard = pinned(shard_for(stripes, mixed))
    if unlikely(not try_lock(&shard.lock)):
        return full_subscript(self, key)
    entry = first_look(shard, mixed)
    if likely(entry is not NULL and entry.key == key and is_settled(entry)):
        return take_value(shard, entry)
    return rest.subscript(self, key, shard, entry)


cdef PyObject* subscript_rest(PyObject* self, PyObject* key, Shard* shard, Entry* entry) noexcept:
    if entry is not NULL and is_same_short(entry, key):
        return take_value(shard, entry)
    unlock(&shard.lock)
    return full_subscript(self, key)


cdef PyObject* get(PyObject* self, PyObject** arguments, Py_ssize_t n) noexcept:
    cdef Map* map = map_of(self)
    cdef Stripes* stripes = stripes_of(map)
    cdef Shard* shard
    cdef Entry* entry
    cdef uint64_t mixed
    if unlikely(n < 1 or n > 2 or not has_shortcut(stripes, arguments[0])):
        return full_get(self, arguments, n, NULL)
    mixed = mix(&map.mixer, str_hash(arguments[0]))
    shard = pinned(shard_for(stripes, mixed))
    if unlikely(not try_lock(&shard.lock)):
        return full_get(self, arguments, n, NULL)
    entry = first_look(shard, mixed)
    if likely(entry is not NULL and entry.key == arguments[0] and is_settled(entry)):
        return take_value(shard, entry)
    return rest.get(self, arguments, n, shard, entry)


cdef PyObject* get_rest(PyObject* self, PyObject** arguments, Py_ssize_t n, Shard* shard, Entry* entry) noexcept:
    if entry is not NULL and is_same_short(entry, arguments[0]):
        return take_value(shard, entry)
    unlock(&shard.lock)
    return full_get(self, arguments, n, NULL)


cdef int contains_key(PyObject* self, PyObject* key) noexcept:
    cdef Map* map = map_of(self)
    cdef Stripes* stripes = stripes_of(map)
    cdef Shard* shard
    cdef Entry* entry
    cdef uint64_t mixed
    cdef bint found
    if unlikely(not has_shortcut(stripes, key)):
        return full_contains(self, key)
    mixed = mix(&map.mixer, str_hash(key))
    shard = pinned(shard_for(stripes, mixed))
    if unlikely(not try_lock(&shard.lock)):
        return full_contains(self, key)
    entry = first_look(shard, mixed)
    found = entry is not NULL and (is_settled(entry) if entry.key == key else is_same_short(entry, key))
    unlock(&shard.lock)
    return 1 if likely(found) else full_contains(self, key)


cdef inline int overwrite(Shard* shard, Entry* entry, PyObject* value) noexcept:
    """Give a settled entry another value; releases the lock."""
    cdef PyObject* displaced = <PyObject*>entry.word
    adopt_value(shard, value)
    entry.word = <size_t>value
    unlock(&shard.lock)
    decref(displaced)
    return 0


cdef int assign(PyObject* self, PyObject* key, PyObject* value) noexcept:
    cdef Map* map = map_of(self)
    cdef Stripes* stripes = stripes_of(map)
    cdef Shard* shard
    cdef Entry* entry
    cdef uint64_t mixed
    if unlikely(value is NULL or value == <PyObject*>MISSING or not has_shortcut(stripes, key)):
        return full_assign(self, key, value)
    mixed = mix(&map.mixer, str_hash(key))
    shard = pinned(shard_for(stripes, mixed))
    if unlikely(not try_lock(&shard.lock)):
        return full_assign(self, key, value)
    entry = first_look(shard, mixed)
    if likely(entry is not NULL and entry.key == key and is_settled(entry)):
        return overwrite(shard, entry, value)
    return rest.assign(self, key, value, shard, entry)


cdef int assign_rest(PyObject* self, PyObject* key, PyObject* value, Shard* shard, Entry* entry) noexcept:
    if entry is not NULL and is_same_short(entry, key):
        return overwrite(shard, entry, value)
    unlock(&shard.lock)
    return full_assign(self, key, value)


# Called through pointers, so that the compiler does not bring their registers back into the functions above.
cdef struct Rest:
    PyObject* (*subscript)(PyObject* self, PyObject* key, Shard* shard, Entry* entry) noexcept
    PyObject* (*get)(PyObject* self, PyObject** arguments, Py_ssize_t n, Shard* shard, Entry* entry) noexcept
    int (*assign)(PyObject* self, PyObject* key, PyObject* value, Shard* shard, Entry* entry) noexcept

cdef Rest rest


# -- putting them in place ---------------------------------------------------------------------------------------------

cdef PyMethodDef get_definition


cdef int replace_descriptor(str name, void* function) except -1:
    cdef object descriptor = CoreMap.__dict__[name]
    (<PyWrapperDescrObject*><PyObject*>descriptor).d_wrapped = function
    return 0


cdef int take_shortcuts() except -1:
    global full_subscript, full_contains, full_assign, full_get, get_definition
    cdef PyTypeObject* type = <PyTypeObject*>CoreMap
    cdef object descriptor = CoreMap.__dict__["get"]
    rest.subscript = subscript_rest
    rest.get = get_rest
    rest.assign = assign_rest
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
    get_definition = (<PyMethodDescrObject*><PyObject*>descriptor).d_method[0]
    full_get = <fastcall_keywords>get_definition.ml_meth
    get_definition.ml_meth = <void*>get
    get_definition.ml_flags = METH_FASTCALL
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
            setattr(cls, name, PyDescr_NewMethod(<PyTypeObject*>cls, method))
