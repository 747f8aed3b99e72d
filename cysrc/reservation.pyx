cdef Waiter* waiting_graph = NULL
cdef Lock waiting_graph_lock = 0
cdef uint64_t forks = 0        # between the first process and this one; changed only in the child, which has one thread


cdef Reservation* reservation_of(Shard* shard, uint32_t ref) noexcept nogil:
    """The reservation of an entry that is marked RESERVED. A shard has as many as callbacks run in it: a few."""
    cdef Reservation* each = shard.reservations
    while each.ref != ref:
        each = each.next
    return each


cdef void unlink_reservation(Shard* shard, Reservation* reservation) noexcept nogil:
    cdef Reservation** at = &shard.reservations
    while at[0] is not reservation:
        at = &at[0].next
    at[0] = reservation.next


# -- the graph of waiting threads --------------------------------------------------------------------------------------

cdef void graph_add(Waiter* waiter) noexcept nogil:
    waiter.graph_previous = NULL
    waiter.graph_next = waiting_graph
    if waiting_graph is not NULL:
        waiting_graph.graph_previous = waiter
    set_waiting_graph(waiter)


cdef inline void set_waiting_graph(Waiter* first) noexcept nogil:
    global waiting_graph
    waiting_graph = first


cdef void graph_remove(Waiter* waiter) noexcept nogil:
    if waiter.graph_previous is NULL:
        set_waiting_graph(waiter.graph_next)
    else:
        waiter.graph_previous.graph_next = waiter.graph_next
    if waiter.graph_next is not NULL:
        waiter.graph_next.graph_previous = waiter.graph_previous


cdef bint leads_to(unsigned long thread, unsigned long target) noexcept nogil:
    """Does `thread` wait, directly or through others, for `target`? Ends: the graph has no circle before this one."""
    cdef Waiter* each = waiting_graph
    if thread == target:
        return True
    while each is not NULL:
        if each.thread == thread and leads_to(each.owner, target):
            return True
        each = each.graph_next
    return False


# -- waiting and waking ------------------------------------------------------------------------------------------------

cdef void wake_all(Reservation* reservation) noexcept nogil:
    """Under the stripe lock: a waiter frees itself only after it has taken that lock again."""
    cdef Waiter* waiter = reservation.waiters
    cdef Waiter* following_waiter
    reservation.waiters = NULL
    if waiter is NULL:
        return
    lock_attached(&waiting_graph_lock)
    while waiter is not NULL:
        following_waiter = waiter.next
        graph_remove(waiter)
        waiter.waits = False
        PyThread_release_lock(waiter.bell)
        waiter = following_waiter
    unlock(&waiting_graph_lock)


cdef bint enlist(Reservation* reservation, Waiter* waiter) noexcept nogil:
    """Link the waiter, unless its waiting would close a circle."""
    lock_attached(&waiting_graph_lock)
    if leads_to(reservation.owner, waiter.thread):
        unlock(&waiting_graph_lock)
        return False
    graph_add(waiter)
    unlock(&waiting_graph_lock)
    waiter.waits = True
    waiter.next = reservation.waiters
    reservation.waiters = waiter
    return True


cdef void withdraw(Reservation* reservation, Waiter* waiter) noexcept nogil:
    """Unlink a waiter that gave up."""
    cdef Waiter** at = &reservation.waiters
    lock_attached(&waiting_graph_lock)
    graph_remove(waiter)
    unlock(&waiting_graph_lock)
    while at[0] is not waiter:
        at = &at[0].next
    at[0] = waiter.next


cdef enum:
    # A signal that arrives just before the sleep does not end it: look again after so many microseconds. Short for a
    # person who has pressed Ctrl-C, and ten wake-ups a second are nothing for a processor.
    SIGNAL_CHECK = 100000


cdef int sleep_on(PyThread_type_lock bell, uint64_t born) except -1:
    """Until the bell is released, or this is the child of a fork by a signal handler, where nobody is left to ring it.
    -1 if a handler raised. Signals are handled in the main thread alone."""
    cdef PyLockStatus status = PY_LOCK_INTR
    while status != PY_LOCK_ACQUIRED:
        PyErr_CheckSignals()
        if born != forks:
            return 0
        with nogil:
            status = PyThread_acquire_lock_timed(bell, SIGNAL_CHECK, 1)
    return 0


cdef int wait_for(Shard* shard, Reservation* reservation) except -1:
    """Take the stripe lock held, return without it: 0 when the reservation has ended, else -1."""
    cdef Waiter waiter
    cdef uint64_t born = forks
    waiter.thread = this_thread()
    waiter.owner = reservation.owner
    waiter.bell = PyThread_allocate_lock()
    if waiter.bell is NULL:
        unlock_shard(shard)
        raise MemoryError
    PyThread_acquire_lock(waiter.bell, NOWAIT_LOCK)
    if not enlist(reservation, &waiter):
        unlock_shard(shard)
        PyThread_release_lock(waiter.bell)
        PyThread_free_lock(waiter.bell)
        raise DeadlockError(
            "waiting for this key would never end: the thread that computes it waits, perhaps through others, "
            "for a key that this thread is computing")
    unlock_shard(shard)
    try:
        sleep_on(waiter.bell, born)
    finally:
        lock_shard(shard)
        if waiter.waits and born == forks:
            # Still linked, so the reservation still exists. In the child of a fork all waiters have been unlinked.
            withdraw(reservation, &waiter)
        unlock_shard(shard)
        # It may have been rung after a handler raised: only a lock that is held may be released.
        PyThread_acquire_lock(waiter.bell, NOWAIT_LOCK)
        PyThread_release_lock(waiter.bell)
        PyThread_free_lock(waiter.bell)
    return 0


# -- meeting one -------------------------------------------------------------------------------------------------------

cdef PyObject* revert_abandoned(Shard* shard, uint64_t mixed, Reservation* reservation) noexcept nogil:
    """Undo a reservation whose thread does not exist in this process. Returns a key for the caller to drop, or NULL."""
    cdef Entry* entry = entry_at(shard, reservation.ref)
    cdef PyObject* key = NULL
    unlink_reservation(shard, reservation)
    if value_of(entry) is not NULL:
        store_word(&entry.word, entry.word & ~<size_t>RESERVED)
    else:
        store_word(&entry.word, DELETED)
        key = entry.key
        remove_entry(shard, mixed, reservation.ref, False)
        key = displace(shard.map, key)
    free(reservation)
    return key


cdef enum:
    RETRY = 0     # the lock is released; the reservation is gone
    STAYS = 1     # the lock is still held; another thread computes the key

cdef int face_reservation(Probe* probe, bint may_wait) except -1:
    cdef Reservation* reservation = reservation_of(probe.shard, probe.ref)
    cdef PyObject* displaced
    if reservation.abandoned:
        displaced = revert_abandoned(probe.shard, probe.mixed, reservation)
        unlock_shard(probe.shard)
        drop(displaced)
        return RETRY
    if reservation.owner == this_thread():
        unlock_shard(probe.shard)
        raise RuntimeError(f"this thread is computing the value of {<object>probe.key!r} and cannot write it meanwhile")
    if not may_wait:
        return STAYS
    wait_for(probe.shard, reservation)
    return RETRY


cdef int meet_reservation(Probe* probe, bint may_wait) except -1:
    """A writer, holding the stripe lock, found its key reserved: RETRY (waits for that if it may) or STAYS.

    Raises RuntimeError when this very thread computes the key, DeadlockError when waiting would never end, and what a
    signal handler raises; the probe is ended then.
    """
    try:
        probe.rescan = True
        return face_reservation(probe, may_wait)
    except:
        probe_forget(probe)
        raise


# -- locate, for writers -----------------------------------------------------------------------------------------------

cdef inline int locate_to_write(Probe* probe) except -1:
    """As locate, for a writer that needs the key to itself: waits while it is reserved."""
    cdef int answer
    while True:
        answer = locate(probe)
        if likely(answer == ABSENT or not is_reserved(word_of(probe.entry))):
            return answer
        meet_reservation(probe, True)


cdef inline int locate_to_change(Probe* probe) except -1:
    """For a writer that leaves absent keys alone: a key reserved while absent is ABSENT, without waiting."""
    cdef int answer
    while True:
        answer = locate(probe)
        if likely(answer == ABSENT or not is_reserved(word_of(probe.entry))):
            return answer
        if meet_reservation(probe, value_of(probe.entry) is not NULL) == STAYS:
            return ABSENT


cdef inline int locate_to_insert(Probe* probe) except -1:
    """For a writer that leaves present keys alone: one with a value is FOUND without waiting, reserved or not."""
    cdef int answer
    while True:
        answer = locate(probe)
        if likely(answer == ABSENT or not is_reserved(word_of(probe.entry))):
            return answer
        if meet_reservation(probe, value_of(probe.entry) is NULL) == STAYS:
            return FOUND
