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
    int (*assign_again)(PyObject* self, PyObject* key, PyObject* value) noexcept
    int (*drop)(PyObject* displaced) noexcept
    int (*retire)(PyObject* displaced) noexcept

cdef SecondStep second

# The same function as store_absent, called as C does: -1 says that an exception is set.
cdef int (*insert_absent)(Map* map, PyObject* key, PyObject* value, uint64_t version) noexcept
insert_absent = <int (*)(Map*, PyObject*, PyObject*, uint64_t) noexcept>store_absent

cdef enum:
    UNDECIDED = ASK_PYTHON


cdef inline int look_up(Map* map, PyObject* key, Shard** shard, Entry** entry, size_t* word,
                        uint64_t* version) noexcept nogil:
    """Pinned: FOUND, with the entry's settled word; ABSENT; or UNDECIDED. The key is a str with a known hash.
    `version`, for writers: the shard's when the search began, on a line that readers leave alone."""
    cdef uint64_t stamp = load_stamp(&map.stamp)
    cdef bint doubt = False
    cdef uint64_t mixed
    if unlikely(stamp == 0):
        # Never written to, or clear() is at work.
        return UNDECIDED
    mixed = mix(&map.mixer, str_hash(key))
    shard[0] = shard_for(stripes_of(map), mixed)
    if version is not NULL:
        version[0] = load_version(&shard[0].version)
    entry[0] = find_str(shard[0], key, mixed, &doubt)
    if unlikely(entry[0] is NULL):
        return UNDECIDED if doubt else ABSENT
    word[0] = word_of(entry[0])
    if unlikely(not is_settled(word[0])):
        return UNDECIDED
    remember(shard[0], entry[0], key, stamp)
    return FOUND


cdef inline bint may_look_up(Map* map, PyObject* key) noexcept nogil:
    """Before pinning: is the key a str with a known hash, and may this thread use the map?"""
    if unlikely(not is_str(key) or not joined()):
        return False
    note_thread(map)
    return likely(str_hash(key) != -1 or learn_hash(key))


cdef inline PyObject* look_up_value(Map* map, PyObject* key, int* answer) noexcept nogil:
    """A new reference to the value, or NULL, and why."""
    cdef Shard* shard
    cdef Entry* entry
    cdef size_t word
    answer[0] = UNDECIDED
    if likely(may_look_up(map, key)):
        pin()
        answer[0] = look_up(map, key, &shard, &entry, &word, NULL)
        if likely(answer[0] == FOUND):
            incref(<PyObject*>word)
        unpin()
    return <PyObject*>word if likely(answer[0] == FOUND) else NULL


cdef inline int overwrite(Map* map, Shard* shard, Entry* entry, size_t word, PyObject* value) noexcept:
    """Pinned as a writer: give the entry another value than the settled one, and unpin. UNDECIDED: not done."""
    cdef PyObject* displaced
    if unlikely(is_frozen(map) or not overwrite_word(shard, entry, &word, value)):
        unpin()
        return UNDECIDED
    displaced = displace(map, displaced_by(word, value))
    unpin()
    drop(displaced)
    return FOUND


cdef PyObject* subscript(PyObject* self, PyObject* key) noexcept:
    cdef PyObject* value = recall_value(map_of(self), key)
    return value if likely(value is not NULL) else second.subscript(self, key)


cdef PyObject* second_subscript(PyObject* self, PyObject* key) noexcept:
    cdef int answer
    cdef PyObject* value = look_up_value(map_of(self), key, &answer)
    return value if likely(answer == FOUND) else full_subscript(self, key)


cdef PyObject* get(PyObject* self, PyObject** arguments, Py_ssize_t n) noexcept:
    cdef PyObject* value
    if likely(n == 1 or n == 2):
        value = recall_value(map_of(self), arguments[0])
        if likely(value is not NULL):
            return value
    return second.get(self, arguments, n)


cdef PyObject* second_get(PyObject* self, PyObject** arguments, Py_ssize_t n) noexcept:
    cdef int answer
    cdef PyObject* value
    if unlikely(n != 1 and n != 2):
        return full_get(self, arguments, n, NULL)
    value = look_up_value(map_of(self), arguments[0], &answer)
    if likely(answer == FOUND):
        return value
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
    cdef Seen* seen = recall(key)
    cdef size_t word
    cdef bint there = False
    if likely(seen is not NULL):
        pin()
        there = recalled_word(map_of(self), seen, key, &word)
        unpin()
    return 1 if likely(there) else second.contains(self, key)


cdef int second_contains(PyObject* self, PyObject* key) noexcept:
    cdef Map* map = map_of(self)
    cdef Shard* shard
    cdef Entry* entry
    cdef size_t word
    cdef int answer = UNDECIDED
    if likely(may_look_up(map, key)):
        pin()
        answer = look_up(map, key, &shard, &entry, &word, NULL)
        unpin()
    return answer == FOUND if likely(answer != UNDECIDED) else full_contains(self, key)


cdef int assign(PyObject* self, PyObject* key, PyObject* value) noexcept:
    cdef Map* map = map_of(self)
    cdef Seen* seen
    cdef size_t word
    if likely(value is not NULL and value != <PyObject*>MISSING):
        seen = recall(key)
        if likely(seen is not NULL):
            pin_to_write()
            if likely(recalled_word(map, seen, key, &word) and not is_frozen(map)):
                if word == <size_t>value:
                    unpin()
                    return 0
                adopt_value(seen.shard, value)
                if is_alone(map):
                    # Nobody else changes words: an ordinary store will do.
                    store_word(&seen.entry.word, <size_t>value)
                    unpin()
                    return second.drop(<PyObject*>word)
                if likely(compare_exchange(&seen.entry.word, &word, <size_t>value)):
                    return second.retire(<PyObject*>word)
                unpin()
                return second.assign_again(self, key, value)
            unpin()
    return second.assign(self, key, value)


cdef int drop_displaced(PyObject* displaced) noexcept:
    drop(displaced)
    return 0


cdef int retire_displaced(PyObject* displaced) noexcept:
    """Still pinned."""
    retire(<size_t>displaced)
    unpin()
    tidy()
    return 0


cdef int assign_again(PyObject* self, PyObject* key, PyObject* value) noexcept:
    """Another thread was faster."""
    disown_value(value)
    return second_assign(self, key, value)


cdef int second_assign(PyObject* self, PyObject* key, PyObject* value) noexcept:
    cdef Map* map = map_of(self)
    cdef Shard* shard
    cdef Entry* entry
    cdef size_t word
    cdef uint64_t version
    cdef int answer = UNDECIDED
    if likely(value is not NULL and value != <PyObject*>MISSING and may_look_up(map, key)):
        pin_to_write()
        answer = look_up(map, key, &shard, &entry, &word, &version)
        if answer == FOUND:
            answer = overwrite(map, shard, entry, word, value)
        else:
            unpin()
    if answer == FOUND:
        return 0
    if answer == ABSENT:
        return insert_absent(map, key, value, version)
    return full_assign(self, key, value)


# -- putting them in place ---------------------------------------------------------------------------------------------

cdef PyMethodDef get_definition
cdef PyMethodDef add_definition
cdef PyMethodDef byte_get_definition      # bytes/shortcuts.pyx
cdef PyMethodDef byte_set_definition


cdef int replace_descriptor(type owner, str name, void* function) except -1:
    cdef object descriptor = owner.__dict__[name]
    (<PyWrapperDescrObject*><PyObject*>descriptor).d_wrapped = function
    return 0


cdef fastcall_keywords replace_method(type owner, str name, PyMethodDef* definition, void* function,
                                      int flags) except NULL:
    """Make the definition of a method with this C function; the one that it had."""
    cdef object descriptor = owner.__dict__[name]
    definition[0] = (<PyMethodDescrObject*><PyObject*>descriptor).d_method[0]
    cdef void* former = definition.ml_meth
    definition.ml_meth = function
    definition.ml_flags = flags
    return <fastcall_keywords>former


cdef int take_shortcuts() except -1:
    global full_subscript, full_contains, full_assign, full_get, full_add
    cdef PyTypeObject* type = <PyTypeObject*>CoreMap
    second.subscript = second_subscript
    second.get = second_get
    second.add = second_add
    second.contains = second_contains
    second.assign = second_assign
    second.assign_again = assign_again
    second.drop = drop_displaced
    second.retire = retire_displaced
    full_subscript = type.tp_as_mapping.mp_subscript
    full_assign = type.tp_as_mapping.mp_ass_subscript
    full_contains = type.tp_as_sequence.sq_contains
    type.tp_as_mapping.mp_subscript = subscript
    type.tp_as_mapping.mp_ass_subscript = assign
    type.tp_as_sequence.sq_contains = contains_key
    replace_descriptor(CoreMap, "__getitem__", <void*>subscript)
    # One slot serves both, and a subclass only inherits it if both agree.
    replace_descriptor(CoreMap, "__setitem__", <void*>assign)
    replace_descriptor(CoreMap, "__delitem__", <void*>assign)
    replace_descriptor(CoreMap, "__contains__", <void*>contains_key)
    full_get = replace_method(CoreMap, "get", &get_definition, <void*>get, METH_FASTCALL)
    full_add = replace_method(CoreMap, "add", &add_definition, <void*>add_number, METH_FASTCALL)
    return 0


take_shortcuts()


def _adopt_methods(cls, /):
    """Give *cls*, a subclass of CoreMap or CoreByteMap, descriptors of its own for the methods that it does not define
    itself.

    CPython's interpreter has a short way for calling a method written in C, but only on objects of the very type that
    the method's descriptor was made for: with those of CoreMap, a call on a ShardMap takes 7 ns longer.
    """
    cdef object base = CoreMap if issubclass(cls, CoreMap) else CoreByteMap
    cdef object method_descriptor = type(CoreMap.clear)
    cdef PyMethodDef* method
    for name, descriptor in base.__dict__.items():
        if type(descriptor) is method_descriptor and name not in cls.__dict__:
            method = replaced_definition(base, name)
            if method is NULL:
                method = (<PyMethodDescrObject*><PyObject*>descriptor).d_method
            setattr(cls, name, PyDescr_NewMethod(<PyTypeObject*>cls, method))


cdef PyMethodDef* replaced_definition(object base, str name) noexcept:
    """That of a shortcut, or NULL."""
    if base is CoreMap:
        return &get_definition if name == "get" else &add_definition if name == "add" else NULL
    return &byte_get_definition if name == "get" else &byte_set_definition if name == "set" else NULL
