# Sharing: whether one thread alone has used a map, or several (free-threaded builds).
#
# A map is private to the thread that made it, or to one that took its place after its end, until a second one uses it.
# While it is private nobody else can be looking at what a write displaces, so that is released at once, and the map
# object's reference count is an ordinary one.
#
# The second thread makes the map shared, for good, before it touches anything in it: it says so in map.shared, then
# waits until the section that the first may be in has ended. A section looks at map.shared after it has been pinned,
# so from then on things are retired (retire.pyx).
#
# It also defers the reference counting of the map object, where CPython can do that (3.14): each m[k] on a map that a
# global variable or an attribute names takes a reference to the map and drops it again, two changes of one word,
# which the threads' processors have to pass to and fro. With deferred reference counting the interpreter leaves them
# out. The price is that only the garbage collector frees the map then; maps that one thread makes, uses and drops go at
# once, as always.

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
    PRIVATE = 0
    BEING_SHARED = 1         # by a thread that has not waited yet
    SHARED = 2


cdef inline bint is_private(Map* map) noexcept nogil:
    """Pinned: it will be until this thread unpins itself."""
    return load_number(&map.shared) == PRIVATE


cdef inline bint is_alone(Map* map) noexcept nogil:
    """Pinned: no other thread writes to this map, or releases anything, until this one unpins itself."""
    return not SM_FREE_THREADED or is_private(map)


cdef void share(Map* map) noexcept nogil:
    """Each thread that finds the map not quite shared waits for itself."""
    store_number(&map.shared, BEING_SHARED)
    synchronize()
    store_number(&map.shared, SHARED)
    defer(map.object)


cdef inline void note_thread(Map* map) noexcept nogil:
    """A thread that has joined, and has a reference to the map, is about to use it. Nothing is locked or pinned."""
    if SM_FREE_THREADED and unlikely(load_ref(&map.shared) != SHARED and map.maker is not me):
        share(map)


cdef inline int join(Map* map) except -1:
    """At the start of every operation, before anything is pinned or locked. -1: no memory."""
    if SM_FREE_THREADED and unlikely(not joined()) and not join_epochs():
        raise MemoryError
    note_thread(map)
    return 0
