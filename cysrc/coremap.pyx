# CoreMap: the public surface. Each method says what it promises; the work is in the file of its concept.

# Not MISSING, which is a default like any other.
cdef object NO_DEFAULT = object()


cdef inline Map* map_of(PyObject* self) noexcept nogil:
    """The Map inside a CoreMap, without touching a reference count."""
    return &(<CoreMap>self).map


@cython.trashcan(True)
@cython.auto_pickle(False)
cdef class CoreMap:
    """The compiled part of :class:`shardmap.ShardMap`; use that class."""

    cdef Map map
    # Not used: an attribute that is a Python object makes Cython give the type what garbage collection needs.
    cdef object collected
    cdef object __weakref__

    def __cinit__(self, *args, **kwargs):
        memset(&self.map, 0, sizeof(Map))
        self.map.slots = SLOTS
        self.map.load = DEFAULT_LOAD
        self.map.object = <PyObject*>self
        registry_add(&self.map)
        join_thread()
        self.map.maker = self.map.user = me

    def __dealloc__(self):
        registry_remove(&self.map)
        destroy(&self.map)

    # -- mapping -------------------------------------------------------------------------------------------------------

    def __getitem__(self, key):
        cdef PyObject* value = NULL
        if fetch(&self.map, <PyObject*>key, &value) == FOUND:
            return steal(value)
        return missing(self, key)

    def __setitem__(self, key, value):
        store(&self.map, <PyObject*>key, <PyObject*>value)

    def __delitem__(self, key):
        if remove(&self.map, <PyObject*>key) == ABSENT:
            raise_key_error(key)

    def __contains__(self, key):
        return contains(&self.map, <PyObject*>key) == FOUND

    def __len__(self):
        return total_count(&self.map)

    def __iter__(self):
        return new_iterator(self, KEYS, 0, 1)

    def get(self, key, default=None, /):
        """The value of *key*, or *default* if it is absent. O(1), linearizable.

        Raises :class:`TypeError` if *key* is not hashable, and whatever its ``__hash__`` or ``__eq__`` raises; so does
        every operation that takes a key.
        """
        cdef PyObject* value = NULL
        if fetch(&self.map, <PyObject*>key, &value) == FOUND:
            return steal(value)
        return default

    def setdefault(self, key, default=None, /):
        """The value of *key*, after setting it to *default* if it was absent. O(1), atomic: all threads get one value.

        Waits while another thread computes the key for the first time. Raises :class:`RuntimeError` if this thread is
        computing it.
        """
        return fetch_or_set(&self.map, key, default)

    def pop(self, key, default=NO_DEFAULT, /):
        """Remove *key* and return its value; *default*, or :class:`KeyError`, if it is absent. O(1), atomic.

        Each value goes to one caller. Waits while another thread computes the key's next value.
        """
        cdef object value = take_or(&self.map, key, default)
        if value is NO_DEFAULT:
            raise_key_error(key)
        return value

    def popitem(self):
        """Remove any entry and return it as ``(key, value)``; :class:`KeyError` if the map is empty. Atomic.

        Amortised O(1) while only this empties the map; at worst O(shards + entries of a shard). Entries that a callback
        is computing are passed over; if there are no others, this waits for one.
        """
        return popitem(&self.map)

    def clear(self):
        """Remove every entry, at one instant. O(shards) with the map locked, then O(n) to release the entries.

        A computation that is running counts as having finished just before: its result is returned and not stored.
        """
        clear_all(&self.map, False)

    # -- conditional ---------------------------------------------------------------------------------------------------

    def insert(self, key, value, /):
        """Set *key* only if it is absent. True if it was, so exactly one of many threads gets True. O(1), atomic.

        Waits while another thread computes the key for the first time. Raises :class:`RuntimeError` if this thread is
        computing it.
        """
        return insert(&self.map, <PyObject*>key, <PyObject*>value)

    def replace(self, key, value, /):
        """Set *key* only if it is present. True if it was. O(1), atomic.

        Waits while another thread computes the key's next value. Raises :class:`RuntimeError` if this thread does.
        """
        return replace(&self.map, <PyObject*>key, <PyObject*>value)

    def swap(self, key, value, default=None, /):
        """Set *key* and return the value it had, or *default* if it was absent. O(1), atomic.

        Waits while another thread computes the key's next value. Raises :class:`RuntimeError` if this thread does.
        """
        return swap(&self.map, key, value, default)

    def compare_and_set(self, key, expected, new, /):
        """Set *key* to *new* only if its value is *expected* (identical, else equal). True if it was. O(1), atomic.

        ``==`` runs with nothing locked; the value that it accepted is the one that gets replaced. Waits while another
        thread computes the key's next value. Raises :class:`RuntimeError` if this thread does.
        """
        check_storable(<PyObject*>new)
        return change_if(&self.map, <PyObject*>key, <PyObject*>expected, <PyObject*>new)

    def compare_and_delete(self, key, expected, /):
        """Remove *key* only if its value is *expected* (identical, else equal). True if it was. O(1), atomic.

        As for :meth:`compare_and_set`.
        """
        return change_if(&self.map, <PyObject*>key, <PyObject*>expected, NULL)

    # -- compute -------------------------------------------------------------------------------------------------------

    def compute(self, key, fn, /):
        """Set *key* to ``fn(old)``, with ``MISSING`` for *old* if it is absent; returning ``MISSING`` deletes the key.

        Returns what *fn* returned. O(1) and the callback, which runs exactly once, with no lock held and the key
        reserved: readers go on seeing the old value, other writers of this key wait, everybody else passes. If *fn*
        raises, the entry stays as it was. Raises :class:`RuntimeError` if this thread is computing the key already, and
        :class:`shardmap.DeadlockError` if waiting for another thread's computation would never end.
        """
        return compute(&self.map, key, fn)

    def compute_if_absent(self, key, fn, /):
        """The value of *key*, after setting it to ``fn(key)`` if it was absent. O(1) and the callback.

        However many threads ask at once, *fn* runs once and all get its result; if it raises, the next one's *fn* runs.
        If it returns ``MISSING``, nothing is set. Otherwise as :meth:`compute`.
        """
        return compute_if_absent(&self.map, key, fn)

    def compute_if_present(self, key, fn, /):
        """Set *key* to ``fn(old)`` if it is present; returning ``MISSING`` deletes it. O(1) and the callback.

        Returns what *fn* returned, or ``MISSING`` if the key is absent. Otherwise as :meth:`compute`.
        """
        return compute_if_present(&self.map, key, fn)

    def merge(self, key, value, fn, /):
        """Set *key* to *value* if it is absent, else to ``fn(old, value)``; returning ``MISSING`` deletes it.

        Returns the new value. O(1) and the callback. Otherwise as :meth:`compute`.
        """
        return merge(&self.map, key, value, fn)

    # -- counting ------------------------------------------------------------------------------------------------------

    def add(self, key, delta=1, /):
        """Add *delta* to the value of *key*, which is *delta* if it was absent; return the new value. O(1), atomic.

        Works for everything that has ``+``; for ``int`` and ``float`` without a reservation. Waits while another thread
        computes the key's next value. Raises :class:`RuntimeError` if this thread does, and what ``+`` raises.
        """
        return add(&self.map, <PyObject*>key, <PyObject*>delta)

    def count(self, iterable, /):
        """Add 1 to the value of each element's key, as ``collections.Counter.update`` does. O(n).

        Each key's addition is atomic and may be held back until the end, so that an element that comes often costs
        little. If the iterable raises, the elements before are counted.
        """
        count(&self.map, iterable)

    # -- bulk ----------------------------------------------------------------------------------------------------------

    def get_many(self, keys, default=None, /):
        """The values of all *keys*, in order, with *default* for those absent. O(n).

        Each lookup is linearizable, the whole is not. Several are in flight at once, which hides memory latency.
        """
        return get_many(&self.map, keys, default)

    def set_many(self, pairs, /):
        """Set every entry of a mapping or of pairs, one after the other, each atomically. O(n)."""
        set_many(&self.map, pairs)

    def delete_many(self, keys, /):
        """Remove all *keys*, each atomically; those absent are passed over. Returns how many were removed. O(n)."""
        return delete_many(&self.map, keys)

    def retain(self, predicate, /):
        """Remove every entry for which ``predicate(key, value)`` is false. Returns how many were removed. O(n).

        The predicate runs with nothing locked. An entry is removed only while it has the value that was judged; a value
        that came meanwhile is judged anew. Weakly consistent, as iteration is.
        """
        return retain(self, predicate)

    def partitions(self, n, /):
        """*n* iterators over ``(key, value)`` pairs that share all entries among them, for *n* threads. O(n).

        Each is weakly consistent, as iteration is. Raises :class:`ValueError` unless 1 <= *n* <= 65536; those beyond
        the number of shards are empty.
        """
        return partitions(self, n)

    # -- whole map -----------------------------------------------------------------------------------------------------

    def snapshot(self):
        """A ``dict`` of all entries at one instant. O(n); writers wait while references are taken, not for the dict."""
        return snapshot(&self.map)

    def reserve(self, n, /):
        """Make room for *n* entries in all, so that reaching them grows nothing. O(n), in small steps.

        Raises :class:`ValueError` for a negative or absurd number and :class:`MemoryError` if there is no memory; the
        entries are not affected.
        """
        reserve_all(&self.map, checked_room(n))

    def shrink(self):
        """Give back the memory that the present entries do not need. O(n); each shard in turn is locked meanwhile."""
        shrink(&self.map)

    def drain(self):
        """Release now what writes have displaced and readers without a lock might still have been looking at.

        Returns how many objects and tables that were. Only on free-threaded builds there are any; they would be
        released later, in bounded number. Waits for other threads' lookups that are going on, some nanoseconds each,
        and releases what all maps of the process have displaced, which may run any code.
        """
        return drain(&self.map)

    def shard_of(self, key, /):
        """The index of the shard where *key* is, or would be. O(1)."""
        cdef Py_hash_t hash = hash_of(<PyObject*>key)
        cdef uint32_t mask = self._shards - 1
        return shard_bits(mix(&self.map.mixer, hash)) & mask

    def stats(self):
        """The structure in numbers, as :class:`shardmap.Stats`. O(shards), each shard at its own instant."""
        self._shards
        return stats(&self.map)

    def __sizeof__(self):
        """Bytes of the map without its keys and values, for ``sys.getsizeof``."""
        return object.__sizeof__(self) + totals_of(&self.map).bytes

    @classmethod
    def __class_getitem__(cls, item, /):
        return GenericAlias(cls, item)

    # -- for the public class, the views and the tests -----------------------------------------------------------------

    @property
    def _shards(self):
        if self.map.shards == 0:
            configure_by_default(&self.map)
        return self.map.shards

    @property
    def _seed(self):
        self._shards
        return self.map.seed

    def _configure(self, shards, seed, capacity, /):
        """Set checked options, once, before the first write."""
        if self.map.shards:
            raise RuntimeError("the map has its options already; use update() to add entries")
        set_seed(&self.map, seed)
        self.map.shards = shards
        reserve_all(&self.map, capacity)

    def _copy_into(self, CoreMap other not None, /):
        copy_into(&self.map, &other.map)

    def _iter_values(self):
        return new_iterator(self, VALUES, 0, 1)

    def _iter_items(self):
        return new_iterator(self, ITEMS, 0, 1)

    def _check(self):
        """Raise :class:`AssertionError` if the structure breaks an invariant."""
        check(&self.map)

    def _forget(self):
        """For tests: every thread looks the keys of this map up by the table again, also those found before."""
        invalidate(&self.map)

    def _hold(self, unsigned char[::1] flags not None, /):
        """For tests: keep all shards locked from when flags[0] is 1 until flags[1] is."""
        hold_all(&self.map, &flags[0])

    def _stress(self, slots=2, load=1, always_grow=True, /):
        """For tests: fill only *slots* slots of a bucket, grow above *load* entries a bucket, and move all the time."""
        if not 1 <= slots <= SLOTS or not 1 <= load <= SLOTS:
            raise ValueError(f"_stress({slots}, {load}): allowed are 1 to {SLOTS}")
        if self.map.stripes is not NULL:
            raise RuntimeError("_stress() comes before the first write")
        self.map.slots = slots
        self.map.load = load * LOAD_BUCKETS
        self.map.always_grow = always_grow


cdef object missing(CoreMap self, object key):
    """What ``m[key]`` does for an absent key: a subclass's ``__missing__``, else KeyError, as dict does."""
    cdef object base, hook, bind
    for base in type(self).__mro__:
        if "__missing__" in base.__dict__:
            # Found on the class and bound to the instance, as Python does for special methods.
            hook = base.__dict__["__missing__"]
            bind = getattr(type(hook), "__get__", None)
            return (hook if bind is None else bind(hook, self, type(self)))(key)
    return raise_key_error(key)


cdef object raise_key_error(object key):
    raise KeyError(key)


cdef uint64_t checked_room(object n) except? 0:
    cdef object number = index(n)
    if not 0 <= number < 1 << 48:
        raise ValueError(f"reserve({number}): allowed is 0 or the number of entries to make room for, below 2**48")
    return number
