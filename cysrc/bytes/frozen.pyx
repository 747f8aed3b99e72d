# Looking into a snapshot that is mapped into memory, without loading it.
#
# Opening reads header, trailer and directory. A look-up finds the section by the key's hash, verifies its checksum if
# nobody has before, and reads the few records that the index leads to. Every length is checked, whatever the checksums
# say. The mapping is private to this process, but not a copy: whoever cuts the file off or writes into it, instead of
# putting another one in its place as dump() does, takes away what is mapped.

@cython.auto_pickle(False)
cdef class CoreFrozenMap:
    """The compiled part of :class:`shardmap.FrozenByteMap`; use that class."""

    cdef Snapshot snapshot
    cdef const char* start              # of the mapped file
    cdef object file                    # its owner; None once it has been let go
    cdef const unsigned char[::1] data
    cdef object path
    cdef uint8_t* verified              # for each section, 1 once its checksum was found right
    cdef int64_t to_unix
    cdef Lock lock                      # for the rest
    cdef bint is_open
    cdef uint64_t users                 # who look into the file now: it is let go when there are none
    cdef object __weakref__

    def __dealloc__(self):
        free(self.snapshot.sections)
        free(self.verified)

    def _open(self, file, path, /):
        """Take the file's contents, which are bytes-like; *path* is for messages."""
        cdef Damage damage
        cdef Snapshot* snapshot = &self.snapshot
        if self.file is not None:
            raise RuntimeError("the snapshot has been opened already")
        self.file = file
        self.data = file
        self.path = path
        self.to_unix = boot_to_unix()
        snapshot.size = self.data.shape[0]
        damage.reason = NULL
        if snapshot.size < SNAPSHOT_HEADER + SNAPSHOT_TRAILER:
            damaged(&damage, "the file is shorter than a snapshot without entries", snapshot.size)
            raise_damage(&damage, path)
        self.start = <const char*>&self.data[0]
        if (read_header(snapshot, self.start, &damage)
                and read_trailer(snapshot, file_at(self, snapshot.size - SNAPSHOT_TRAILER), &damage)
                and read_directory(snapshot, file_at(self, snapshot.directory), &damage)):
            self.verified = <uint8_t*>calloc(snapshot.n_sections + 1, 1)
        if damage.reason is not NULL:
            raise_damage(&damage, path)
        if self.verified is NULL:
            raise MemoryError
        self.is_open = True

    def __len__(self):
        return self.snapshot.entries

    def _find(self, key, as_view, /):
        """The key's value, as a view of the file or as bytes; or None."""
        cdef object exact = as_key(key)
        cdef StoredRecord record
        cdef Damage damage
        damage.reason = NULL
        enter(self)
        try:
            if find_stored(self, span_of(exact), &record, &damage):
                return view_in_file(self, record.value) if as_view else stored_value(&record)
        finally:
            leave(self)
        if damage.reason is not NULL:
            raise_damage(&damage, self.path)
        return None

    def _verify(self):
        """Check every section's checksum and records; raise SnapshotError for the first that is wrong. O(file)."""
        cdef Damage damage
        damage.reason = NULL
        enter(self)
        with nogil:
            verify_all(self, &damage)
        leave(self)
        if damage.reason is not NULL:
            raise_damage(&damage, self.path)

    def _sorted(self):
        """The places of all records in the file, in the order of their keys, as an array for :meth:`_record`."""
        cdef SortedRecords made = SortedRecords.__new__(SortedRecords)
        cdef Damage damage
        cdef bint enough
        damage.reason = NULL
        enter(self)
        with nogil:
            enough = sort_stored(self, made, &damage)
        leave(self)
        if damage.reason is not NULL:
            raise_damage(&damage, self.path)
        if not enough:
            raise MemoryError
        return made

    def _record(self, SortedRecords places not None, Py_ssize_t i, int kind, /):
        """Key, value or both of the i-th record, or None if its time has come."""
        cdef StoredRecord record
        if not 0 <= i < <Py_ssize_t>places.n:
            raise IndexError(i)
        enter(self)
        try:
            if not read_record(places.at[i], file_at(self, self.snapshot.directory) - places.at[i], &record):
                raise RuntimeError("the file has been changed")
            if is_past(self, &record):
                return None
            if kind == VALUES:
                return stored_value(&record)
            key = steal(make_bytes(record.key.data, record.key.size))
            return key if kind == KEYS else (key, stored_value(&record))
        finally:
            leave(self)

    def _close(self):
        """Let the file go: what is asked afterwards raises ValueError."""
        lock_bytes(&self.lock)
        cdef bint last = self.is_open and self.users == 0
        self.is_open = False
        unlock_bytes(&self.lock)
        if last:
            let_file_go(self)

    @property
    def _created(self):
        return self.snapshot.created / 1000.0


@cython.auto_pickle(False)
cdef class SortedRecords:
    """Places of records in a mapped file."""

    cdef const char** at
    cdef uint64_t n

    def __dealloc__(self):
        free(self.at)

    def __len__(self):
        return self.n


cdef inline const char* file_at(CoreFrozenMap self, uint64_t offset) noexcept nogil:
    return self.start + offset


@cython.auto_pickle(False)
cdef class StoredView:
    """What a memoryview of a value in the file refers to: it keeps the file mapped. Slices of one memoryview would all
    count on one number, which CPython 3.14 changes without a lock on free-threaded builds."""

    cdef object file
    cdef Span value

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        fill_buffer(buffer, <PyObject*>self, <void*>self.value.data, self.value.size, 1, flags)
        # Cython has put a reference to None where the owner is now.
        decref(<PyObject*>None)


cdef object view_in_file(CoreFrozenMap self, Span value):
    cdef StoredView view = StoredView.__new__(StoredView)
    view.file = self.file
    view.value = value
    return memoryview(view)


cdef object stored_value(StoredRecord* record):
    return steal(make_bytes(record.value.data, record.value.size))


cdef inline int enter(CoreFrozenMap self) except -1:
    """Until leave() the file stays where it is."""
    lock_bytes(&self.lock)
    cdef bint is_open = self.is_open
    self.users += is_open
    unlock_bytes(&self.lock)
    if not is_open:
        raise ValueError("the snapshot is closed")
    return 0


cdef inline int leave(CoreFrozenMap self) except -1:
    lock_bytes(&self.lock)
    self.users -= 1
    cdef bint last = not self.is_open and self.users == 0
    unlock_bytes(&self.lock)
    if last:
        let_file_go(self)
    return 0


cdef int let_file_go(CoreFrozenMap self) except -1:
    """Only one thread gets here, and nobody looks into the file. Views of values that are left keep it mapped."""
    self.data = None
    self.file = None
    return 0


cdef inline bint is_past(CoreFrozenMap self, StoredRecord* record) noexcept nogil:
    return record.deadline != 0 and record.deadline <= boot_ms() + self.to_unix


cdef int64_t section_for(Snapshot* snapshot, uint32_t shard, uint64_t hash) noexcept nogil:
    """The index of the section where records of this shard with this hash are, or -1. O(log sections)."""
    cdef uint64_t low = 0, high = snapshot.n_sections, middle
    cdef Section* section
    while low < high:
        middle = (low + high) // 2
        section = &snapshot.sections[middle]
        if section.shard < shard or (section.shard == shard and section.end <= hash):
            low = middle + 1
        else:
            high = middle
    section = &snapshot.sections[low]
    if low == snapshot.n_sections or section.shard != shard or hash < section.first:
        return -1
    return <int64_t>low


cdef bint verify_section(CoreFrozenMap self, uint64_t i, Damage* damage) noexcept nogil:
    """Its checksum, once. Two threads may do it at once, with the same result."""
    cdef Section* section = &self.snapshot.sections[i]
    if not self.verified[i]:
        if xxh64(file_at(self, section.offset), section.size + index_bytes(section)) != section.checksum:
            return damaged(damage, "a section's checksum is wrong", section.offset)
        self.verified[i] = 1
    return True


cdef bint find_stored(CoreFrozenMap self, Span key, StoredRecord* record, Damage* damage) noexcept nogil:
    """The key's record, if its time has not come."""
    cdef Snapshot* snapshot = &self.snapshot
    cdef uint64_t mixed = mixed_hash(&snapshot.key, key)
    cdef uint64_t hash = bucket_bits(mixed), at
    cdef int64_t i = section_for(snapshot, shard_bits(mixed) & (snapshot.shards - 1), hash)
    cdef Section* section
    cdef const char* index
    if i < 0 or not verify_section(self, i, damage):
        return False
    section = &snapshot.sections[i]
    index = file_at(self, section.offset + section.size) + 4 * <uint64_t>slot_of(section, hash)
    at = <uint64_t>get_half(index) << 3
    while at < section.size:
        if not read_record(file_at(self, section.offset + at), section.size - at, record):
            return damaged(damage, "a record does not lie within its section", section.offset + at)
        if record.key.size == key.size and same_bytes(record.key.data, key.data, key.size):
            return not is_past(self, record)
        if bucket_bits(siphash(&snapshot.key, record.key.data, record.key.size)) > hash:
            break
        at += record.size
    return False


cdef void verify_all(CoreFrozenMap self, Damage* damage) noexcept nogil:
    cdef uint64_t i
    for i in range(self.snapshot.n_sections):
        if verify_section(self, i, damage):
            verify_records(self, &self.snapshot.sections[i], damage)
        if damage.reason is not NULL:
            return


cdef void verify_records(CoreFrozenMap self, Section* section, Damage* damage) noexcept nogil:
    """All that a look-up relies on: every record within the section and in its shard, in the order of hashes, and the
    index leading to them."""
    cdef StoredRecord record
    cdef uint64_t at = 0, entries = 0, hash = section.first, next_hash, mixed
    cdef uint32_t slot = 0
    while at < section.size:
        if not read_record(file_at(self, section.offset + at), section.size - at, &record):
            damaged(damage, "a record does not lie within its section", section.offset + at)
            return
        mixed = mixed_hash(&self.snapshot.key, record.key)
        next_hash = bucket_bits(mixed)
        if shard_bits(mixed) & (self.snapshot.shards - 1) != section.shard:
            damaged(damage, "a record is in a shard where its key does not belong", section.offset + at)
            return
        if next_hash < hash or next_hash >= section.end:
            damaged(damage, "a record is not where its key's hash belongs", section.offset + at)
            return
        hash = next_hash
        if not verify_slots(self, section, &slot, slot_of(section, hash) + 1, at, damage):
            return
        at += record.size
        entries += 1
    if entries != section.entries:
        damaged(damage, "a section does not have as many entries as the directory says", section.offset)
    else:
        verify_slots(self, section, &slot, section.slots, at, damage)


cdef bint verify_slots(CoreFrozenMap self, Section* section, uint32_t* slot, uint32_t end, uint64_t at,
                       Damage* damage) noexcept nogil:
    """The slots of the index up to `end` lead to this place."""
    cdef uint64_t index = section.offset + section.size
    while slot[0] < end:
        if <uint64_t>get_half(file_at(self, index + 4 * <uint64_t>slot[0])) << 3 != at:
            return damaged(damage, "the index does not lead to a record", index + 4 * <uint64_t>slot[0])
        slot[0] += 1
    return True


cdef int compare_stored(const void* a, const void* b) noexcept nogil:
    """Two places of records, which have been checked, by their keys."""
    cdef StoredRecord x, y
    cdef int order
    read_record((<const char**>a)[0], <uint64_t>-1 >> 1, &x)
    read_record((<const char**>b)[0], <uint64_t>-1 >> 1, &y)
    order = memcmp(x.key.data, y.key.data, min(x.key.size, y.key.size))
    if order == 0 and x.key.size != y.key.size:
        return -1 if x.key.size < y.key.size else 1
    return order


cdef bint sort_stored(CoreFrozenMap self, SortedRecords made, Damage* damage) noexcept nogil:
    """False: damage, or no memory."""
    cdef Snapshot* snapshot = &self.snapshot
    cdef StoredRecord record
    cdef Section* section
    cdef uint64_t i, at
    verify_all(self, damage)
    if damage.reason is not NULL:
        return False
    made.at = <const char**>malloc((snapshot.entries + 1) * sizeof(char*))
    if made.at is NULL:
        return False
    for i in range(snapshot.n_sections):
        section = &snapshot.sections[i]
        at = 0
        while at < section.size:
            # It was right a moment ago; but nobody writes beyond the array because somebody writes into the file.
            if (not read_record(file_at(self, section.offset + at), section.size - at, &record)
                    or made.n == snapshot.entries):
                return damaged(damage, "the file has been changed", section.offset + at)
            made.at[made.n] = file_at(self, section.offset + at)
            made.n += 1
            at += record.size
    if made.n:
        qsort(<void*>made.at, made.n, sizeof(char*), compare_stored)
    for i in range(1, made.n):
        if compare_stored(&made.at[i - 1], &made.at[i]) == 0:
            return damaged(damage, "a key is there twice", <uint64_t>(made.at[i] - self.start))
    return True
