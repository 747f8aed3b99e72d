# CoreByteMap: the Python class over a store. What a method promises is said here, what it does in the files before.

cdef inline ByteStore* store_of(CoreByteMap self) noexcept nogil:
    """NULL before it has its options, which one of several threads may give it."""
    return <ByteStore*>load_word(<size_t*>&self.store)


cdef inline ByteStore* opened(CoreByteMap self) except NULL:
    if unlikely(store_of(self) is NULL):
        configure_bytes_by_default(self)
    return store_of(self)


cdef int configure_bytes_by_default(CoreByteMap self) except -1:
    """For a map whose class did not call the constructor of ByteMap: as if called without arguments."""
    from shardmap.bytemap import configure_by_default
    try:
        configure_by_default(self)
    except RuntimeError:
        # Another thread was faster?
        if store_of(self) is NULL:
            raise
    return 0


@cython.auto_pickle(False)
cdef class CoreByteMap:
    """The compiled part of :class:`shardmap.ByteMap`; use that class."""

    cdef ByteStore* store
    cdef uint32_t popped                # the shard where popitem found something last
    cdef object __weakref__

    def __dealloc__(self):
        if self.store is not NULL:
            # What views keep stays, the rest goes now.
            store_clear(self.store)
            store_release(self.store)

    # -- mapping -------------------------------------------------------------------------------------------------------

    def __getitem__(self, key):
        cdef object found = fetch_bytes(self, key, NO_DEFAULT)
        if found is NO_DEFAULT:
            raise KeyError(key)
        return found

    def __setitem__(self, key, value):
        write_value(self, key, value, 0, ALWAYS)

    def __delitem__(self, key):
        if take_bytes(self, key, NO_DEFAULT, False) is NO_DEFAULT:
            raise KeyError(key)

    def __contains__(self, key):
        cdef object exact = as_key(key)
        cdef Recalled seen
        cdef Spot spot
        spot_for_object(&spot, opened(self), <PyObject*>exact)
        lock_spot(&spot)
        if find_record(&spot):
            note_recall(&seen, &spot)
        unlock_spot(&spot)
        if spot.record is not NULL:
            recall_later(<PyObject*>exact, NULL, &seen)
        return spot.record is not NULL

    def __len__(self):
        return entries_in(opened(self))

    def __iter__(self):
        return byte_iterator(self, KEYS, 0, opened(self).shards)

    def get(self, key, default=None, /):
        """The value of *key* as ``bytes``, or *default* if it is absent. O(1) and the copy, linearizable.

        Raises :class:`TypeError` if *key* is not bytes-like; so does every operation that takes a key.
        """
        return fetch_bytes(self, key, default)

    def setdefault(self, key, default, /):
        """The value of *key*, after setting it to *default* if it was absent. O(1), atomic: all threads get one
        value."""
        cdef object value = as_value(default)
        cdef object former = write_and_fetch(self, key, value, IF_ABSENT, NO_DEFAULT)
        return value if former is NO_DEFAULT else former

    def pop(self, key, default=NO_DEFAULT, /):
        """Remove *key* and return its value; *default*, or :class:`KeyError`, if it is absent. O(1), atomic."""
        cdef object found = take_bytes(self, key, default, True)
        if found is NO_DEFAULT:
            raise KeyError(key)
        return found

    def popitem(self):
        """Remove any entry and return it as ``(key, value)``; :class:`KeyError` if the map is empty. Atomic.

        Amortised O(1) while only this empties the map; at worst O(shards + buckets of a shard).
        """
        cdef Spot spot
        if not take_any(opened(self), load_number(&self.popped), &spot):
            raise KeyError("popitem(): the byte map is empty")
        # A hint, where the next one is looked for first.
        store_number(&self.popped, shard_bits(spot.mixed) & self.store.mask)
        try:
            return key_object(spot.record), value_object(spot.record)
        finally:
            lock_spot(&spot)
            release_record(spot.shard, spot.ref)
            unlock_spot(&spot)

    def clear(self):
        """Remove every entry, at one instant. O(shards) with the map locked, then its memory is given back."""
        cdef ByteStore* store = opened(self)
        cdef int64_t removed
        with nogil:
            removed = store_clear(store)
        if removed < 0:
            raise MemoryError

    # -- conditional ---------------------------------------------------------------------------------------------------

    def set(self, key, value, /, ttl=None):
        """Set *key*, to live for *ttl* seconds (a number above 0 or a timedelta), or with None until it is removed.

        O(1) and the copies, atomic. Every write of a value ends the time to live that its key had, but for
        :meth:`add`.
        """
        write_value(self, key, value, as_deadline(ttl, "ttl"), ALWAYS)

    def insert(self, key, value, /, ttl=None):
        """Set *key* only if it is absent. True if it was, so exactly one of many threads gets True. O(1), atomic."""
        return write_value(self, key, value, as_deadline(ttl, "ttl"), IF_ABSENT)

    def replace(self, key, value, /, ttl=None):
        """Set *key* only if it is present. True if it was. O(1), atomic."""
        return write_value(self, key, value, as_deadline(ttl, "ttl"), IF_PRESENT)

    def swap(self, key, value, default=None, /):
        """Set *key* and return the value it had, or *default* if it was absent. O(1), atomic."""
        return write_and_fetch(self, key, as_value(value), ALWAYS, default)

    def compare_and_set(self, key, expected, new, /, ttl=None):
        """Set *key* to *new* only if its value is *expected*. True if it was. O(1), atomic."""
        cdef object exact = as_value(expected)
        return write_if_equal(self, key, exact, new, as_deadline(ttl, "ttl"))

    def compare_and_delete(self, key, expected, /):
        """Remove *key* only if its value is *expected*. True if it was. O(1), atomic."""
        return remove_if_equal(self, key, as_value(expected))

    # -- time to live --------------------------------------------------------------------------------------------------

    def ttl(self, key, /):
        """Seconds that *key* has left, as a float; None if it lives until it is removed. O(1).

        Raises :class:`KeyError` if it is absent.
        """
        cdef object exact = as_key(key)
        cdef Spot spot
        cdef int64_t deadline = 0
        spot_for(&spot, opened(self), span_of(exact))
        lock_spot(&spot)
        if find_record(&spot):
            deadline = deadline_of(spot.record)
        unlock_spot(&spot)
        if spot.record is NULL:
            raise KeyError(key)
        return None if deadline == 0 else max(1, deadline - boot_ms()) / 1000.0

    def expire(self, key, seconds, /):
        """Let *key* live for so many seconds from now. False if it is absent. O(1), atomic."""
        cdef int64_t former
        return change_deadline(self, key, boot_ms() + as_milliseconds(seconds, "seconds"), &former) == DONE

    def persist(self, key, /):
        """Let *key* live until it is removed. True if it had a time to live. O(1), atomic."""
        cdef int64_t former
        return change_deadline(self, key, 0, &former) == DONE and former != 0

    def sweep(self):
        """Remove every entry whose time has come; returns how many. O(n), a few entries at a time, without the GIL.

        They are not visible in any case; this gives their memory back. A thread of the library does it every
        ``SHARDMAP_GC_INTERVAL`` seconds.
        """
        cdef ByteStore* store = opened(self)
        cdef uint64_t removed
        with nogil:
            removed = sweep_store(store)
        return removed

    # -- counting ------------------------------------------------------------------------------------------------------

    def add(self, key, delta=1, /):
        """Add *delta*, an int of 64 bits, to the decimal integer that is the value of *key*; return the sum.

        O(1), atomic. An absent key counts as ``b"0"``. Raises :class:`ValueError` if the value is not such a number,
        :class:`OverflowError` if *delta* or the sum is beyond 64 bits; the value is as it was then. The time to live
        goes on.
        """
        cdef object exact = as_key(key)
        cdef int64_t total, amount = index(delta)
        cdef ByteStore* store = opened(self)
        cdef int answer
        if unlikely(bytes_size(<PyObject*>exact) > MOST_KEY_TO_ADD):
            raise ValueError(f"a key of {len(exact)} bytes: allowed for a counter are {MOST_KEY_TO_ADD}")
        answer = store_add(store, span_of(exact), amount, &total)
        if unlikely(answer != DONE):
            raise_for(store, answer, len(exact))
        return total

    # -- bulk ----------------------------------------------------------------------------------------------------------

    def get_many(self, keys, default=None, /):
        """The values of all *keys*, in order, with *default* for those absent. O(n).

        Each lookup is linearizable, the whole is not. Several are in flight at once, which hides memory latency.
        """
        return fetch_many(self, keys, default)

    def set_many(self, pairs, /, ttl=None):
        """Set every entry of a mapping or of pairs, one after the other, each atomically. O(n)."""
        cdef int64_t deadline = as_deadline(ttl, "ttl")
        for key, value in pairs_in(pairs):
            write_value(self, key, value, deadline, ALWAYS)

    def delete_many(self, keys, /):
        """Remove all *keys*, each atomically; those absent are passed over. Returns how many were removed. O(n)."""
        cdef int64_t removed = 0
        for key in keys:
            removed += take_bytes(self, key, NO_DEFAULT, False) is not NO_DEFAULT
        return removed

    def partitions(self, n, /):
        """*n* iterators over ``(key, value)`` pairs that share all entries among them, for *n* threads. O(n).

        Each is weakly consistent, as iteration is. Raises :class:`ValueError` unless 1 <= *n* <= 65536; with more than
        there are shards some are empty.
        """
        return byte_partitions(self, n)

    # -- memory --------------------------------------------------------------------------------------------------------

    def get_view(self, key, /):
        """A read-only memoryview of the value of *key*, or None if it is absent. O(1): nothing is copied.

        It stays valid and unchanged whatever happens to the entry and to the map, and keeps the value's memory as long
        as it lives.
        """
        cdef object exact = as_key(key)
        return view_of(opened(self), span_of(exact))

    def snapshot(self):
        """A ``dict`` of all entries at one instant. O(n); writers wait while records are marked, not for the dict."""
        return store_snapshot(opened(self))

    def reserve(self, n, /):
        """Make room in the tables for *n* entries in all, so that reaching them grows none. O(n), in small steps.

        Raises :class:`ValueError` for a negative or absurd number and :class:`MemoryError` if there is no memory.
        """
        cdef uint64_t room = checked_room(n)
        cdef ByteStore* store = opened(self)
        # A part more: keys spread evenly, but not exactly so.
        cdef uint64_t a_shard = room // store.shards + (room // store.shards // 16)
        cdef uint32_t i
        for i in range(store.shards):
            if room and reserve_in_shard(byte_shard(store, i), a_shard) < 0:
                raise_for(store, IS_FULL, 0)

    def shrink(self):
        """Give back memory that the present entries do not need: tables, and what is free as a whole region of the
        heap. O(n), in small steps."""
        cdef ByteStore* store = opened(self)
        cdef uint32_t i
        cdef int answer = 0
        with nogil:
            for i in range(store.shards):
                answer |= shrink_byte_shard(byte_shard(store, i))
        if answer:
            raise_for(store, IS_FULL, 0)

    def shard_of(self, key, /):
        """The index of the shard where *key* is, or would be: FNV-1a, the same in every process. O(len(key))."""
        cdef object exact = as_key(key)
        cdef Spot spot
        spot_for(&spot, opened(self), span_of(exact))
        return shard_bits(spot.mixed) & self.store.mask

    # -- for the public class and the tests ----------------------------------------------------------------------------

    @property
    def _shards(self):
        return opened(self).shards

    @property
    def _limit(self):
        return read_number(&opened(self).budget.limit)

    @property
    def _policy(self):
        return read_policy(&opened(self).policy)

    def _configure(self, shards, seed, limit, policy, capacity, slots=SLOTS, load=0, always_grow=False, /):
        """Set checked options, once. The last three, for tests: fill only *slots* slots of a bucket, grow above *load*
        entries a bucket, and move all the time."""
        cdef ByteStore* store
        cdef uint32_t i
        if self.store is not NULL:
            raise RuntimeError("the map has its options already; use update() to add entries")
        store = store_new(shards, seed, slots, load * LOAD_BUCKETS if load else DEFAULT_LOAD)
        if store is NULL or not register_store(store):
            raise MemoryError
        for i in range(store.shards):
            byte_shard(store, i).base.always_grow = always_grow
        store_limit(store, limit, policy)
        if not publish_store(self, store):
            store_release(store)
            raise RuntimeError("the map has its options already; use update() to add entries")
        if capacity:
            self.reserve(capacity)

    def _bound(self, limit, policy, /):
        """Change the bound, in bytes, and the policy of a map in use."""
        store_limit(opened(self), limit, policy)

    def _iter_values(self):
        return byte_iterator(self, VALUES, 0, opened(self).shards)

    def _iter_items(self):
        return byte_iterator(self, ITEMS, 0, opened(self).shards)

    def _records(self):
        """``(key, value, milliseconds left or None)`` of every entry, at one instant."""
        return store_records(opened(self))

    def _numbers(self):
        """Sums over the shards, each at its own instant, as a dict."""
        return numbers_of(opened(self))

    def _check(self):
        """Raise :class:`AssertionError` if the structure breaks an invariant."""
        check_store(opened(self))


cdef enum:
    # A counter's record is never a large one: 21 bytes and the key are below the least size of these.
    MOST_KEY_TO_ADD = LEAST_LARGE - MOST_DIGITS - 2


cdef bint publish_store(CoreByteMap self, ByteStore* store) noexcept nogil:
    cdef size_t none = 0
    return compare_exchange(<size_t*>&self.store, &none, <size_t>store)


cdef object pairs_in(object source):
    """A mapping's items, or the pairs themselves, as dict.update takes them."""
    if isinstance(source, CoreByteMap):
        return [record[:2] for record in source._records()]
    if isinstance(source, dict):
        return source.items()
    return [(key, source[key]) for key in source.keys()] if hasattr(source, "keys") else source


# -- one key -----------------------------------------------------------------------------------------------------------

cdef object fetch_bytes(CoreByteMap self, object key, object default):
    cdef object exact = as_key(key)
    cdef Spot spot
    cdef Recalled seen
    cdef PyObject* made = NULL
    spot_for_object(&spot, opened(self), <PyObject*>exact)
    lock_spot(&spot)
    if not find_record(&spot):
        unlock_spot(&spot)
        return default
    touch_record(&spot)
    if unlikely(spot.record.value_size >= LONG_COPY) and keep_record(spot.shard, spot.record):
        unlock_spot(&spot)
        return fetch_kept(&spot)
    made = make_bytes(value_span(spot.record).data, spot.record.value_size)
    note_recall(&seen, &spot)
    unlock_spot(&spot)
    if made is not NULL:
        recall_later(<PyObject*>exact, made if may_recall(&seen, made) else NULL, &seen)
    return steal(made)


cdef object fetch_kept(Spot* spot):
    try:
        return long_bytes(spot.record)
    finally:
        lock_spot(spot)
        release_record(spot.shard, spot.ref)
        unlock_spot(spot)


cdef int run_write(ByteStore* store, Write* write) except? -9:
    """write_record, without the GIL if it is long."""
    cdef int answer
    if unlikely(draft_content(&write.draft) >= LONG_COPY):
        with nogil:
            answer = write_record(write, store)
    else:
        answer = write_record(write, store)
    if unlikely(answer < 0):
        raise_for(store, answer, draft_content(&write.draft))
    return answer


cdef inline void begin_write(Write* write, object key, object value, int64_t deadline, int condition) noexcept:
    write.draft.key = span_of(key)
    write.draft.value = span_of(value)
    write.draft.deadline = deadline
    write.draft.large = NULL
    write.condition = condition
    write.wants_former = False
    write.former = 0


cdef bint write_value(CoreByteMap self, object key, object value, int64_t deadline, int condition) except -1:
    cdef object exact_key = as_key(key)
    cdef object exact_value = as_value(value)
    cdef Write write
    if deadline:
        wake_sweeper()
    check_sizes(exact_key, exact_value)
    begin_write(&write, exact_key, exact_value, deadline, condition)
    return run_write(opened(self), &write) == DONE


cdef bint write_if_equal(CoreByteMap self, object key, object expected, object new, int64_t deadline) except -1:
    cdef object exact_key = as_key(key)
    cdef object exact_value = as_value(new)
    cdef Write write
    if deadline:
        wake_sweeper()
    check_sizes(exact_key, exact_value)
    begin_write(&write, exact_key, exact_value, deadline, IF_EQUAL)
    write.expected = span_of(expected)
    return run_write(opened(self), &write) == DONE


cdef object write_and_fetch(CoreByteMap self, object key, object value, int condition, object default):
    """The former value, or the default if there was none."""
    cdef object exact_key = as_key(key)
    cdef Write write
    check_sizes(exact_key, value)
    begin_write(&write, exact_key, value, 0, condition)
    write.wants_former = True
    run_write(opened(self), &write)
    if write.former == 0:
        return default
    try:
        return value_object(write.former_record)
    finally:
        release_former(&write)


cdef object take_bytes(CoreByteMap self, object key, object default, bint wanted):
    """Remove the key; its value, or with not `wanted` None; the default if it was absent."""
    cdef object exact = as_key(key)
    cdef Spot spot
    cdef uint32_t ref
    cdef Record* record
    spot_for(&spot, opened(self), span_of(exact))
    lock_spot(&spot)
    if not find_record(&spot):
        unlock_spot(&spot)
        return default
    if not wanted:
        remove_record(&spot)
        unlock_spot(&spot)
        return None
    record = spot.record
    ref = spot.ref
    if not keep_record(spot.shard, record):
        unlock_spot(&spot)
        raise OverflowError("the value has 33 million views")
    remove_record(&spot)
    unlock_spot(&spot)
    try:
        return value_object(record)
    finally:
        lock_spot(&spot)
        release_record(spot.shard, ref)
        unlock_spot(&spot)


cdef bint remove_if_equal(CoreByteMap self, object key, object expected) except -1:
    cdef object exact = as_key(key)
    cdef Span value = span_of(expected)
    cdef Spot spot
    cdef bint equal
    spot_for(&spot, opened(self), span_of(exact))
    lock_spot(&spot)
    equal = find_record(&spot) and is_value(spot.record, &value)
    if equal:
        remove_record(&spot)
    unlock_spot(&spot)
    return equal


cdef int change_deadline(CoreByteMap self, object key, int64_t deadline, int64_t* former) except? -9:
    cdef object exact = as_key(key)
    cdef ByteStore* store = opened(self)
    cdef int answer
    if deadline:
        wake_sweeper()
    answer = store_deadline(store, span_of(exact), deadline, former)
    if unlikely(answer < 0):
        raise_for(store, answer, len(exact))
    return answer


# -- many keys ---------------------------------------------------------------------------------------------------------

cdef object fetch_many(CoreByteMap self, object keys, object default):
    cdef list exact = [as_key(key) for key in keys]
    cdef list found = []
    cdef ByteStore* store = opened(self)
    cdef Spot spots[IN_FLIGHT]
    cdef Py_ssize_t first, i, n
    for first in range(0, len(exact), IN_FLIGHT):
        n = min(<Py_ssize_t>IN_FLIGHT, len(exact) - first)
        for i in range(n):
            spot_for(&spots[i], store, span_of(exact[first + i]))
        prefetch_spots(spots, <int>n)
        for i in range(n):
            found.append(fetch_at(&spots[i], default))
    return found


cdef object fetch_at(Spot* spot, object default):
    cdef PyObject* made
    lock_spot(spot)
    if not find_record(spot):
        unlock_spot(spot)
        return default
    touch_record(spot)
    if unlikely(spot.record.value_size >= LONG_COPY) and keep_record(spot.shard, spot.record):
        unlock_spot(spot)
        return fetch_kept(spot)
    made = make_bytes(value_span(spot.record).data, spot.record.value_size)
    unlock_spot(spot)
    return steal(made)


# -- the sweeper, in Python --------------------------------------------------------------------------------------------

cdef object sweeper = None
cdef uint8_t sweeper_runs = 0


cdef int wake_sweeper() except -1:
    """An entry gets a deadline: see that somebody comes by (shardmap/sweeper.py)."""
    if unlikely(not load_byte(&sweeper_runs)):
        import_sweeper()
    return 0


cdef int import_sweeper() except -1:
    from shardmap import sweeper
    sweeper.start()
    return 0


def _sweeper_state(running, /):
    """For shardmap.sweeper: whether its thread runs, so that it is not asked again."""
    store_byte(&sweeper_runs, <bint>running)
