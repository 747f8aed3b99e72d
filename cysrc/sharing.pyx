# Sharing: whether one thread alone has used a map, or several (free-threaded builds).
#
# A map is private to the thread that made it, or to one that took its place after its end, until a second one uses it.
# While it is private nobody else can be looking at what a write displaces, so that is released at once.
#
# The second thread makes the map shared, for good, before it touches anything in it: it says so in map.shared, then
# waits until the section that the first may be in has ended. A section looks at map.shared after it has been pinned,
# so from then on things are retired (retire.pyx).
#
# When a thread comes back that has used the map before another one did, they use it by turns, and the reference
# counting of the map object is deferred, where CPython can do that (3.14): each m[k] on a map that a global variable or
# an attribute names takes a reference to the map and drops it again, two changes of one word, which the threads'
# processors have to pass to and fro. With deferred reference counting the interpreter leaves them out. The price is
# that only the garbage collector frees the map then, and it knows nothing of the map's size. Maps that are made by one
# thread and handed on to the next, through a queue, go at once.
#
# A thread is noticed when it looks a key up by the table. What it recalls (lookaside.pyx) it looks up once after
# another thread has come, because that makes what all threads remember of this map invalid.

cdef extern from *:
    """
    #if SM_FREE_THREADED && PY_VERSION_HEX >= 0x030E0000
    #define sm_defer(object) ((void)PyUnstable_Object_EnableDeferredRefcount(object))
    #else
    #define sm_defer(object) ((void)(object))
    #endif
    """
    void defer "sm_defer"(PyObject* thing) noexcept nogil

cdef enum:
    # Values of map.shared.
    PRIVATE = 0              # to map.maker
    BEING_SHARED = 1         # by a thread that has not waited yet
    SHARED = 2               # map.user has used it last, and before it map.former, or map.maker
    BY_TURNS = 3             # its reference counting is deferred


cdef inline bint is_private(Map* map) noexcept nogil:
    """Pinned: it will be until this thread unpins itself."""
    return load_number(&map.shared) == PRIVATE


cdef inline bint is_alone(Map* map) noexcept nogil:
    """Pinned: no other thread writes to this map, or releases anything, until this one unpins itself."""
    return not SM_FREE_THREADED or is_private(map)


cdef void share(Map* map) noexcept nogil:
    """Each thread that finds the map not quite shared waits for itself."""
    lock(&map.turns)
    if map.shared == PRIVATE:
        store_number(&map.shared, BEING_SHARED)
    unlock(&map.turns)
    synchronize()
    lock(&map.turns)
    if map.shared == BEING_SHARED:
        map.former = map.maker
        store_participant(&map.user, me)   # note_thread() looks at it without the lock
        store_ref(&map.shared, SHARED)
    unlock(&map.turns)
    invalidate(map)


cdef void take_turn(Map* map) noexcept nogil:
    """Another thread than the last one is using a shared map."""
    cdef bint by_turns = False
    lock(&map.turns)
    if map.shared == SHARED and map.user is not me:
        by_turns = me is map.maker or me is map.former
        map.former = map.user
        store_participant(&map.user, me)
        if by_turns:
            store_ref(&map.shared, BY_TURNS)
    unlock(&map.turns)
    if by_turns:
        defer(map.object)
    else:
        invalidate(map)


cdef void note_other_thread(Map* map) noexcept nogil:
    if load_ref(&map.shared) < SHARED:
        share(map)
    if load_ref(&map.shared) == SHARED and load_participant(&map.user) is not me:
        take_turn(map)


cdef inline void note_thread(Map* map) noexcept nogil:
    """A thread that has joined, and has a reference to the map, is about to use it. Nothing is locked or pinned."""
    if SM_FREE_THREADED and unlikely(load_ref(&map.shared) != BY_TURNS and load_participant(&map.user) is not me):
        note_other_thread(map)


cdef inline int join_thread() except -1:
    """Before a thread is pinned. -1: no memory."""
    if SM_FREE_THREADED and unlikely(not joined()) and not join_epochs():
        raise MemoryError
    return 0


cdef inline int join(Map* map) except -1:
    """At the start of every operation, before anything is pinned or locked. -1: no memory."""
    join_thread()
    note_thread(map)
    return 0
