# Sharing: a map that a second thread uses defers its reference counting (free-threaded builds, from CPython 3.14 on).
#
# Each m[k] on a map that a global variable or an attribute names takes a reference to the map and drops it again: two
# changes of one word, which the threads' processors have to pass to and fro. With deferred reference counting the
# interpreter leaves them out. The price is that only the garbage collector frees the map then, so this waits for a
# second thread: maps that one thread makes, uses and drops go at once, as always.

cdef extern from *:
    """
    #if SM_FREE_THREADED && PY_VERSION_HEX >= 0x030E0000
    #define SM_CAN_DEFER 1
    #define sm_defer(object) ((void)PyUnstable_Object_EnableDeferredRefcount(object))
    #else
    #define SM_CAN_DEFER 0
    #define sm_defer(object) ((void)(object))
    #endif
    """
    bint CAN_DEFER "SM_CAN_DEFER"
    void defer "sm_defer"(PyObject* thing) noexcept nogil


cdef inline void note_thread(Map* map) noexcept nogil:
    """A thread that has a reference to the map is using it."""
    if CAN_DEFER and unlikely(not load_flag(&map.shared) and map.maker != this_thread()):
        store_flag(&map.shared, 1)
        defer(map.object)
