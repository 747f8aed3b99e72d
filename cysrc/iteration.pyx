# Iteration: shard after shard, each captured at one instant, so that no key comes twice and none that stays is missed.

@cython.auto_pickle(False)
cdef class MapIterator:
    """Keys, values or ``(key, value)`` pairs of a map, or of every *step*-th shard from *start* on.

    Weakly consistent: concurrent changes never raise; what is present from start to end comes exactly once. Several
    threads may share one iterator: each gets elements that the others do not.
    """

    cdef CoreMap owner         # None once exhausted: an iterator that has ended stays ended
    cdef int what              # KEYS, VALUES or ITEMS
    cdef uint32_t shard        # captured next
    cdef uint32_t step
    cdef list keys             # of the shard being yielded
    cdef list values
    cdef list more             # pairs of such lists, captured while another thread brought in the present ones
    cdef Py_ssize_t index
    cdef Py_ssize_t length

    def __init__(self):
        raise TypeError("iterators are made by the map")

    def __iter__(self):
        return self

    def __next__(self):
        with cython.critical_section(self):
            # Again after a refill: what that dropped may have run __del__, which may have used up the new lists.
            while self.index == self.length:
                if not iterator_refill(self):
                    raise StopIteration
            return iterator_take(self)

    def __length_hint__(self):
        with cython.critical_section(self):
            return self.length - self.index + iterator_ahead(self)

    def __reduce__(self):
        raise TypeError("an iterator over a map cannot be copied or pickled; take list(iterator)")


cdef MapIterator new_iterator(CoreMap owner, int what, uint32_t start, uint32_t step):
    cdef MapIterator made = MapIterator.__new__(MapIterator)
    made.owner = owner
    made.what = what
    made.more = []
    made.shard = start
    made.step = step
    return made


cdef inline object iterator_take(MapIterator self):
    cdef Py_ssize_t i = self.index
    self.index = i + 1
    if self.what == KEYS:
        return self.keys[i]
    if self.what == VALUES:
        return self.values[i]
    return (self.keys[i], self.values[i])


cdef bint iterator_refill(MapIterator self) except -1:
    """The lists of the next shard that has entries are at hand, or a step nearer; False at the end."""
    cdef Stripes* stripes
    cdef Shard* shard
    cdef Captured captured
    # Waiting for a stripe, or making lists, lets other threads and finalizers use this iterator: up, perhaps.
    cdef CoreMap owner = self.owner
    if self.more:
        iterator_turn(self, self.more.pop())
        return True
    if owner is None:
        return False
    stripes = stripes_of(&owner.map)
    while stripes is not NULL and self.shard < stripes.shards:
        shard = &stripes.shard[self.shard]
        self.shard += self.step
        if load_count(&shard.count) == 0:
            continue
        capture_shard(&owner.map, shard, &captured, self.what)
        if captured.length:
            self.more.append(captured_lists(&captured))
            return True
        captured_free(&captured)
    self.owner = None
    if self.index == self.length:
        iterator_turn(self, (None, None))
    return self.index != self.length or len(self.more) != 0


cdef inline Py_ssize_t length_of(list elements) noexcept:
    return len(elements) if elements is not None else 0


cdef int iterator_turn(MapIterator self, tuple lists) except -1:
    """Yield from these lists now. The old ones are dropped last: that may run __del__, which may use this iterator."""
    _old_keys, _old_values = self.keys, self.values
    self.keys, self.values = lists
    self.index = 0
    self.length = length_of(self.keys if self.keys is not None else self.values)
    return 0


cdef int64_t iterator_ahead(MapIterator self) noexcept:
    """Entries in the shards still to come, as far as can be said now."""
    cdef Stripes* stripes
    cdef int64_t total = 0
    cdef uint32_t i
    if self.owner is None:
        return 0
    stripes = stripes_of(&self.owner.map)
    if stripes is NULL:
        return 0
    i = self.shard
    while i < stripes.shards:
        total += load_count(&stripes.shard[i].count)
        i += self.step
    return total


cdef list partitions(CoreMap owner, object n):
    """Iterators over the shards i, i + n, i + 2n ...; those beyond the number of shards are empty."""
    cdef uint32_t i, parts = checked_parts(n)
    return [new_iterator(owner, ITEMS, i, parts) for i in range(parts)]


cdef uint32_t checked_parts(object n) except 0:
    cdef object number = index(n)
    if not 1 <= number <= MAX_PARTITIONS:
        raise ValueError(f"partitions({number}): allowed is 1 to {MAX_PARTITIONS}")
    return number


cdef enum:
    # As many as a map can have shards: more could only be empty.
    MAX_PARTITIONS = 65536


# -- removing while looking --------------------------------------------------------------------------------------------

cdef object pop_from(Map* map, Shard* shard):
    """Remove any entry that is not reserved, as a pair; None if there is none. The search goes on where it last ended,
    so that emptying a map is linear."""
    cdef Entry* entry
    cdef PyObject* key
    cdef PyObject* value
    cdef int rounds = 0
    lock_shard(shard)
    while True:
        entry = next_entry(shard, &shard.popped)
        if entry is NULL:
            memset(&shard.popped, 0, sizeof(ArenaPosition))
            rounds += 1
            if rounds == 2:
                unlock_shard(shard)
                return None
        elif not is_reserved(word_of(entry)):
            break
    value = hand_over(map, value_in(exchange_word(&entry.word, DELETED)))
    key = entry.key
    remove_entry(shard, mix(&shard.mixer, entry.hash), arena_last_ref(&shard.popped, ENTRY_SIZE), True)
    # Last: until it was out of its bucket readers that came later could still compare it.
    hand_over(map, key)
    unlock_shard(shard)
    tidy()
    return (steal(key), steal(value))


cdef int wait_in(Shard* shard) except -1:
    """Wait for the first computation of a key with a value in this shard, if there is one."""
    cdef Reservation* reservation
    lock_shard(shard)
    reservation = shard.reservations
    while reservation is not NULL and value_of(entry_at(shard, reservation.ref)) is NULL:
        reservation = reservation.next
    if reservation is NULL:
        unlock_shard(shard)
    elif reservation.abandoned:
        # It has a value, so undoing it removes nothing.
        revert_abandoned(shard, mix(&shard.mixer, entry_at(shard, reservation.ref).hash), reservation)
        unlock_shard(shard)
    elif reservation.owner == this_thread():
        unlock_shard(shard)
        raise RuntimeError("popitem(): the only entries left are those that this thread is computing")
    else:
        wait_for(shard, reservation)
    return 0


cdef tuple popitem(Map* map):
    cdef Stripes* stripes
    cdef Shard* shard
    cdef object pair
    cdef uint32_t i, first
    join(map)
    stripes = stripes_of(map)
    while stripes is not NULL and total_count(map):
        first = load_number(&map.pop_cursor)
        for i in range(stripes.shards):
            shard = &stripes.shard[(first + i) & stripes.mask]
            if load_count(&shard.count) == 0:
                continue
            pair = pop_from(map, shard)
            if pair is not None:
                store_number(&map.pop_cursor, (first + i) & stripes.mask)
                return pair
        for i in range(stripes.shards):
            wait_in(&stripes.shard[i])
    raise KeyError("popitem(): the map is empty")


cdef bint remove_unless(Map* map, object key, object value, object predicate) except -1:
    """Remove the key if its value is the one judged; a value that came meanwhile is judged anew."""
    cdef Probe probe
    cdef PyObject* current
    cdef PyObject* stored_key = NULL
    while not predicate(key, value):
        if probe_begin(&probe, map, <PyObject*>key) == ABSENT:
            return False
        if locate_to_change(&probe) == ABSENT:
            unlock_shard(probe.shard)
            probe_end(&probe)
            return False
        if take_entry_with(&probe, <PyObject*>value, &stored_key):
            unlock_shard(probe.shard)
            decref(<PyObject*>value)
            drop(stored_key)
            probe_end(&probe)
            return True
        current = value_of(probe.entry)
        incref(current)
        unlock_shard(probe.shard)
        probe_end(&probe)
        value = steal(current)
    return False


cdef int64_t retain(CoreMap owner, object predicate) except -1:
    cdef int64_t removed = 0
    cdef object key, value
    for key, value in new_iterator(owner, ITEMS, 0, 1):
        removed += remove_unless(&owner.map, key, value, predicate)
    return removed
