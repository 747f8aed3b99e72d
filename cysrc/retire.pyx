# Retire: release what a write has displaced, once no reader without a lock can still be looking at it.
#
#   1. Pinned, with the thing no longer reachable: `displace` or `retire` it. The map's reference, or the memory, is the
#      bag's now.
#   2. Unpinned and unlocked, at the end of the operation: `tidy`, which now and then releases what has become safe.
#
# Each thread puts things into a bag of its own. A full bag is sealed, that is stamped with the epoch and queued; it is
# emptied when its stamp is safe. A thread looks after its bags every few retirements, and lets the epoch advance when
# the coarse clock has ticked (4 ms) since it last did, or several bags are full. So what is displaced lives some
# milliseconds longer than its entry, and never more than MOST_BAGS bags of it for each thread: at that limit a thread
# waits for the reader that is in its way. What a thread keeps that does nothing any more, at most a few bags, is
# released by drain(), or when the thread has ended by another one that looks after its own.
#
# With the GIL, and while only one thread has used a map (sharing.pyx), nobody can be looking: what is displaced is
# released at once.

cdef enum:
    # The kinds of things, in the low bits of their addresses.
    AN_OBJECT = 0
    A_TABLE = 1
    REMAINS_OF_MAP = 2
    KIND = 3
    # Retirements between two looks at the clock, which takes 5 ns.
    LOOK_EVERY = 16
    # Sealed bags, of 253 things each, from which on the epoch is made to advance whatever the clock says. That takes up
    # to 10 microseconds: 5 ns for each thing.
    MANY_BAGS = 8
    # Sealed bags that a thread keeps at most.
    MOST_BAGS = 16
    # How often to look whether the other threads' sections have ended, some tens of nanoseconds each time.
    LOOKS = 64
    # Things displaced thousands of writes ago are in no cache: bring so many at once.
    AHEAD = 8
    # For drain(), if finalizers go on displacing things.
    MOST_ROUNDS = 100

cdef enum:
    # Values of due.
    DUE = 1
    URGENT = 2                 # much memory waits

cdef uint32_t closing = 0      # the interpreter ends: keep nothing

cdef extern from "sm_platform.h" nogil:
    uint32_t load_index "sm_load_acquire"(uint32_t* address)
    void store_index "sm_store_release"(uint32_t* address, uint32_t value)


# -- putting into bags, pinned -----------------------------------------------------------------------------------------

cdef inline Garbage* my_garbage() noexcept nogil:
    """Pinned: until this thread unpins itself, nobody else touches it."""
    return &me.garbage[load_index(&me.active)]


cdef void queue_bag(Garbage* garbage, Bag* bag) noexcept nogil:
    """Stamp the bag; what is in it cannot be reached any more."""
    bag.stamp = seal()
    bag.next = NULL
    if garbage.first is NULL:
        garbage.first = bag
    else:
        garbage.last.next = bag
    garbage.last = bag
    garbage.sealed += 1


cdef Bag* seal_open(Garbage* garbage) noexcept nogil:
    """Queue the open bag, open another one. NULL, with nothing changed, when there is no memory."""
    cdef Bag* bag = me.spare
    me.spare = NULL
    if bag is NULL:
        bag = <Bag*>malloc(sizeof(Bag))
        if bag is NULL:
            return NULL
    bag.n = 0
    queue_bag(garbage, garbage.open)
    garbage.open = bag
    return bag


cdef inline void retire(size_t thing) noexcept nogil:
    """Pinned. The thing, with its kind, cannot be reached any more. tidy() has to come after it."""
    cdef Garbage* garbage = my_garbage()
    cdef Bag* bag = garbage.open
    if unlikely(bag.n == BAG_ROOM):
        bag = seal_open(garbage)
        if bag is NULL:
            # There is no memory to remember it until it is safe to release: a leak, the alternative being a crash.
            return
    bag.things[bag.n] = thing
    bag.n += 1
    store_number(&garbage.things, garbage.things + 1)
    me.retired += 1
    if me.retired % LOOK_EVERY == 0 or unlikely(load_number(&closing)):
        me.due = max(me.due, DUE)


cdef inline PyObject* displace(Map* map, PyObject* thing) noexcept nogil:
    """Pinned: the map gives up its reference to an object, or to none. Returns it if the caller is to drop it after
    unpinning, or NULL if it has been retired."""
    if is_alone(map):
        return thing
    if thing is not NULL:
        retire(<size_t>thing)
    return NULL


cdef inline PyObject* hand_over(Map* map, PyObject* value) noexcept nogil:
    """Pinned: the map gives up its reference to the value, and the caller gets one."""
    if not is_alone(map):
        incref(value)
        retire(<size_t>value)
    return value


# -- emptying them -----------------------------------------------------------------------------------------------------

cdef inline void tidy() noexcept:
    """Unpinned and unlocked; Python code may run."""
    if SM_FREE_THREADED and me is not NULL and unlikely(me.due):
        look_after()


cdef inline void drop(PyObject* displaced) noexcept:
    """Drop what displace() has returned."""
    xdecref(displaced)
    tidy()


cdef void release_thing(size_t thing) noexcept:
    cdef size_t address = thing & ~<size_t>KIND
    if thing & KIND == A_TABLE:
        table_free(<Table*>address)
    elif thing & KIND == REMAINS_OF_MAP:
        remains_release(<Remains*>address)
    else:
        decref(<PyObject*>address)


cdef void release_bags(Bag* bag) noexcept:
    """Release what is in these bags, and the bags."""
    cdef Bag* following_bag
    cdef uint32_t i
    while bag is not NULL:
        for i in range(bag.n):
            if i + AHEAD < bag.n:
                prefetch(<void*>(bag.things[i + AHEAD] & ~<size_t>KIND))
            release_thing(bag.things[i])
        following_bag = bag.next
        free(bag)
        bag = following_bag


cdef Bag* take_safe(Garbage* garbage) noexcept nogil:
    """Unqueue the bags whose stamp is safe."""
    cdef Bag* first = garbage.first
    cdef Bag** at = &garbage.first
    while at[0] is not NULL and is_safe(at[0].stamp):
        garbage.sealed -= 1
        store_number(&garbage.things, garbage.things - at[0].n)
        at = &at[0].next
    if at == &garbage.first:
        return NULL
    garbage.first = at[0]
    at[0] = NULL
    if garbage.first is NULL:
        garbage.last = NULL
    return first


cdef bint empty_safe_bags() noexcept:
    """Are there fewer than MOST_BAGS left?"""
    pin()
    cdef Garbage* garbage = my_garbage()
    cdef Bag* bags = take_safe(garbage)
    cdef bint few = garbage.sealed < MOST_BAGS
    unpin()
    release_bags(bags)
    return few


cdef uint64_t close_bags(bint ticked, bint urgent) noexcept nogil:
    """Seal the open bag if it is time to; the stamp that should become safe now, or 0."""
    cdef uint64_t wanted = 0
    cdef Garbage* garbage
    pin()
    garbage = my_garbage()
    if garbage.first is not NULL and (ticked or garbage.sealed >= MANY_BAGS):
        wanted = garbage.first.stamp
    # A reader that is stopped for long must not bring this thread to its limit with bags that hold little: while one
    # waits, the others fill.
    if garbage.open.n and (urgent or ticked and garbage.first is NULL):
        seal_open(garbage)
    if urgent and garbage.last is not NULL:
        wanted = garbage.last.stamp
    unpin()
    return wanted


cdef bint is_at_limit() noexcept nogil:
    pin()
    cdef bint at_limit = my_garbage().sealed >= MOST_BAGS
    unpin()
    return at_limit


cdef void look_after() noexcept:
    """Release what can be released. What finalizers displace meanwhile is left for later, unless it is too much."""
    cdef uint32_t tick = coarse_clock()
    cdef uint32_t was_busy = me.busy
    cdef bint urgent = me.due == URGENT or load_number(&closing)
    cdef uint64_t wanted
    me.due = 0
    if was_busy and not is_at_limit():
        return
    me.busy = 1
    wanted = close_bags(tick != me.tick, urgent)
    me.tick = tick
    if wanted and not is_safe(wanted):
        try_advance(wanted, LOOKS)
    while not empty_safe_bags():
        synchronize()
    if me.spare is NULL:
        me.spare = <Bag*>malloc(sizeof(Bag))
    if load_number(&orphans):
        adopt_orphans()
    me.busy = was_busy


# -- other threads' ----------------------------------------------------------------------------------------------------

cdef Bag* take_all(Garbage* garbage, Bag* bags) noexcept nogil:
    """Put all bags of this garbage, the open one too, before `bags`; nobody else touches it. The queue ends empty."""
    cdef Bag* bag
    if garbage.open is not NULL:
        garbage.open.next = bags
        bags = garbage.open
        garbage.open = NULL
    while garbage.first is not NULL:
        bag = garbage.first
        garbage.first = bag.next
        bag.next = bags
        bags = bag
    garbage.last = NULL
    garbage.sealed = 0
    store_number(&garbage.things, 0)
    return bags


cdef void adopt(Garbage* garbage, Bag* bag) noexcept nogil:
    """Pinned: put what is in the bag to the rest. Threads end with bags that are nearly empty, and there is a limit to
    the bags: what fits goes into the open one, otherwise the fuller of the two is queued."""
    cdef Bag* open = garbage.open
    store_number(&garbage.things, garbage.things + bag.n)
    if open.n + bag.n <= BAG_ROOM:
        memcpy(&open.things[open.n], bag.things, bag.n * sizeof(size_t))
        open.n += bag.n
        free(bag)
    elif open.n > bag.n:
        garbage.open = bag
        queue_bag(garbage, open)
    else:
        queue_bag(garbage, bag)


cdef void adopt_orphans() noexcept nogil:
    """Put what threads that have ended left behind to what this thread has retired."""
    cdef Bag* bags = NULL
    cdef Bag* bag
    cdef Participant* each
    lock_participants()
    store_number(&orphans, 0)
    each = participants
    while each is not NULL:
        if not each.taken:
            bags = take_all(&each.garbage[each.active], bags)
        each = each.next
    unlock_participants()
    pin()
    while bags is not NULL:
        bag = bags
        bags = bag.next
        adopt(my_garbage(), bag)
    unpin()


cdef void turn(Participant* participant) noexcept nogil:
    """Let the participant go on with its other garbage, unless somebody has to empty that first, there is nothing in
    this one, or there is no memory."""
    cdef uint32_t other = 1 - participant.active
    if (load_number(&participant.garbage[other].things) != 0
            or load_number(&participant.garbage[participant.active].things) == 0):
        return
    if participant.garbage[other].open is NULL:
        participant.garbage[other].open = new_bag()
        if participant.garbage[other].open is NULL:
            return
    store_index(&participant.active, other)
    participant.turned = seal()


cdef Bag* new_bag() noexcept nogil:
    cdef Bag* bag = <Bag*>malloc(sizeof(Bag))
    if bag is not NULL:
        bag.n = 0
    return bag


cdef Bag* take_everything() noexcept nogil:
    """What all threads have retired, safe to release: they turn to their other garbage, and when the sections that may
    still use this one have ended, it is ours. The others' threads may be asleep and need not do anything. Nothing is
    locked while this waits, so several threads may be doing this: any of them takes what is safe to take."""
    cdef Bag* bags = NULL
    cdef Garbage* garbage
    cdef Participant* each
    lock_participants()
    each = participants
    while each is not NULL:
        turn(each)
        each = each.next
    unlock_participants()
    synchronize()
    lock_participants()
    each = participants
    while each is not NULL:
        garbage = &each.garbage[1 - each.active]
        if load_number(&garbage.things) and is_safe(each.turned):
            bags = take_all(garbage, bags)
        each = each.next
    unlock_participants()
    return bags


cdef uint64_t things_in(Bag* bag) noexcept nogil:
    cdef uint64_t total = 0
    while bag is not NULL:
        total += bag.n
        bag = bag.next
    return total


cdef uint64_t drain_all() noexcept:
    """Release everything that has been retired; how much that was."""
    cdef uint64_t total = 0, found
    cdef Bag* bags
    cdef int _round
    if not SM_FREE_THREADED:
        return 0
    for _round in range(MOST_ROUNDS):
        bags = take_everything()
        found = things_in(bags)
        release_bags(bags)
        total += found
        if found == 0:
            break
    return total


cdef uint64_t retired_now() noexcept nogil:
    """Things in all bags of the process."""
    cdef Participant* each
    cdef uint64_t total = 0
    lock_participants()
    each = participants
    while each is not NULL:
        total += load_number(&each.garbage[0].things) + load_number(&each.garbage[1].things)
        each = each.next
    unlock_participants()
    return total


def _close():
    """For the end of the interpreter: release everything now, and from now on at once."""
    store_number(&closing, 1)
    drain_all()


def _stall(const unsigned char[::1] until, bint writing=False, /):
    """For tests: be a reader that the system has stopped in the middle of a lookup, or one who overwrites, until the
    byte is not 0."""
    cdef int rounds = 0
    join_thread()
    with nogil:
        if writing:
            pin_to_write()
        else:
            pin()
        while (<volatile const unsigned char*>&until[0])[0] == 0:
            wait_a_little(rounds)
            rounds += 1
        unpin()
