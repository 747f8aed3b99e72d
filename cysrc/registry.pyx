# Every map of the process, for the child of a fork.
#
# fork() copies the memory and only the calling thread. CPython stops the world first on free-threaded builds, and on
# the others the GIL is ours: no thread is inside a critical section, so every shard is consistent in the child. What is
# left of the other threads: locks that they held while they waited for further ones (operations on all stripes), and
# keys that their callbacks had reserved. The child's handler opens all locks and declares these reservations void; the
# next writer of such a key undoes the mark. It touches no Python object: the interpreter is not ready for that yet.

cdef extern from *:
    """
    #include <pthread.h>
    """
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil) nogil

cdef Map* all_maps = NULL
cdef Lock all_maps_lock = 0


cdef inline void set_all_maps(Map* first) noexcept nogil:
    global all_maps
    all_maps = first


cdef void registry_add(Map* map) noexcept nogil:
    lock(&all_maps_lock)
    map.previous = NULL
    map.next = all_maps
    if all_maps is not NULL:
        all_maps.previous = map
    set_all_maps(map)
    unlock(&all_maps_lock)


cdef void registry_remove(Map* map) noexcept nogil:
    lock(&all_maps_lock)
    if map.previous is NULL:
        set_all_maps(map.next)
    else:
        map.previous.next = map.next
    if map.next is not NULL:
        map.next.previous = map.previous
    unlock(&all_maps_lock)


cdef void map_after_fork(Map* map, unsigned long survivor) noexcept nogil:
    cdef Reservation* reservation
    cdef uint32_t i
    map.create = map.turns = 0
    map.frozen = 0
    if map.stripes is NULL:
        return
    for i in range(map.stripes.shards):
        map.stripes.shard[i].lock = 0
        reservation = map.stripes.shard[i].reservations
        while reservation is not NULL:
            reservation.waiters = NULL
            if reservation.owner != survivor:
                reservation.abandoned = True
            reservation = reservation.next


cdef void after_fork_in_child() noexcept nogil:
    global all_maps_lock, waiting_graph_lock, forks
    cdef Map* map
    epochs_after_fork()
    all_maps_lock = 0
    waiting_graph_lock = 0
    set_waiting_graph(NULL)
    forks += 1
    map = all_maps
    while map is not NULL:
        map_after_fork(map, this_thread())
        map = map.next


if epochs_init() != 0 or pthread_atfork(NULL, NULL, after_fork_in_child) != 0:
    raise MemoryError("no memory for the epochs or the fork handler of shardmap")
