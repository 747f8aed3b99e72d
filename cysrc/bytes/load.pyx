# Reading a snapshot: what its parts say, checked before it is believed, and loading it into a store.
#
# A damaged file changes nothing. So a load into an empty store makes shards of its own from the file, by several
# threads if they are there; when every section was right and read to its end they take the place of the store's. A
# store that has entries, or evicts some, gets the file's one by one, and the file is read twice: first to see whether
# it is right.
#
# Threads share the work by parts: a part is all shards, of the file and of the store, whose indices are equal modulo
# the number of parts. Both numbers are powers of two and a shard is chosen by the lowest bits of one hash, so what a
# part of the file has goes into the same part of the store, and the threads have no shard in common.

cdef inline uint64_t get_number(const char* at) noexcept nogil:
    cdef uint64_t number
    memcpy(&number, at, sizeof(number))
    return little_endian(number)


cdef inline uint32_t get_half(const char* at) noexcept nogil:
    return <uint32_t>half_word_in(at)


cdef const char* SHORTER = "the file has become shorter"


cdef inline bint damaged(Damage* damage, const char* reason, uint64_t offset) noexcept nogil:
    """Note what is wrong; False."""
    damage.reason = reason
    damage.offset = offset
    return False


# -- header, trailer, directory ----------------------------------------------------------------------------------------

# What a file says of itself.
cdef struct Snapshot:
    uint64_t size                       # of the file
    SipKey key
    uint64_t created                    # milliseconds since 1970
    uint32_t shards
    uint64_t entries
    uint64_t directory                  # where it is
    uint64_t n_sections
    uint64_t directory_checksum
    Section* sections


cdef bint read_header(Snapshot* snapshot, const char* header, Damage* damage) noexcept nogil:
    """64 bytes from the start of the file."""
    if memcmp(header, SNAPSHOT_MAGIC, 8) != 0:
        return damaged(damage, "this is no snapshot: it does not begin with SHARDMAP", 0)
    if get_half(header + 8) != SNAPSHOT_VERSION or get_half(header + 12) != SNAPSHOT_HEADER:
        return damaged(damage, "a version of the format that is not known here", 8)
    if get_number(header + 56) != xxh64(header, 56):
        return damaged(damage, "the header's checksum is wrong", 56)
    snapshot.key.first = get_number(header + 16)
    snapshot.key.second = get_number(header + 24)
    snapshot.created = get_number(header + 32)
    snapshot.shards = get_half(header + 40)
    if snapshot.shards == 0 or snapshot.shards > 65536 or snapshot.shards & (snapshot.shards - 1):
        return damaged(damage, "the number of shards is no power of two up to 65536", 40)
    return True


cdef bint read_trailer(Snapshot* snapshot, const char* trailer, Damage* damage) noexcept nogil:
    """The last 64 bytes of the file."""
    cdef uint64_t at = snapshot.size - SNAPSHOT_TRAILER
    if memcmp(trailer + 40, SNAPSHOT_END, 8) != 0:
        return damaged(damage, "the file does not end as a snapshot does: it was cut off, or not finished", at + 40)
    if get_number(trailer + 56) != xxh64(trailer, 56):
        return damaged(damage, "the trailer's checksum is wrong", at + 56)
    snapshot.directory = get_number(trailer)
    snapshot.n_sections = get_number(trailer + 8)
    snapshot.entries = get_number(trailer + 16)
    snapshot.directory_checksum = get_number(trailer + 32)
    if get_number(trailer + 24) != snapshot.size:
        return damaged(damage, "the file is not as long as it says", at + 24)
    if (snapshot.directory < SNAPSHOT_HEADER or snapshot.directory > at or snapshot.directory & 7
            or snapshot.n_sections != (at - snapshot.directory) // SNAPSHOT_DESCRIPTOR
            or (at - snapshot.directory) % SNAPSHOT_DESCRIPTOR):
        return damaged(damage, "the directory does not lie within the file", at)
    return True


cdef void get_section(Section* section, const char* at) noexcept nogil:
    section.offset = get_number(at)
    section.size = get_number(at + 8)
    section.entries = get_number(at + 16)
    section.shard = get_half(at + 24)
    section.slots = get_half(at + 28)
    section.first = get_number(at + 32)
    section.end = get_number(at + 40)
    section.checksum = get_number(at + 48)


cdef inline uint64_t index_bytes(Section* section) noexcept nogil:
    return whole_words(<size_t>section.slots * 4)


cdef bint is_within(Snapshot* snapshot, Section* section) noexcept nogil:
    """Do records and index lie where sections can, and may there be so many entries?"""
    cdef uint64_t room
    if section.offset < SNAPSHOT_HEADER or section.offset > snapshot.directory or section.offset & 7:
        return False
    room = snapshot.directory - section.offset
    return (section.size <= room and not section.size & 7 and index_bytes(section) <= room - section.size
            and section.slots != 0 and section.entries != 0 and section.entries <= section.size // RECORD_HEAD)


cdef bint check_section(Snapshot* snapshot, uint64_t i, Damage* damage) noexcept nogil:
    """The descriptor's numbers, and that it comes after the one before."""
    cdef uint64_t at = snapshot.directory + i * SNAPSHOT_DESCRIPTOR
    cdef Section* section = &snapshot.sections[i]
    cdef Section* before = section - 1
    if not is_within(snapshot, section):
        return damaged(damage, "a section does not lie within the file", at)
    if section.shard >= snapshot.shards:
        return damaged(damage, "a section is of a shard that there is not", at + 24)
    if section.first >= section.end or section.end > <uint64_t>1 << 32:
        return damaged(damage, "a section's range of hashes is none", at + 32)
    if i and (section.shard < before.shard or (section.shard == before.shard and section.first < before.end)):
        return damaged(damage, "the sections are not in order", at + 24)
    return True


cdef bint read_directory(Snapshot* snapshot, const char* data, Damage* damage) noexcept nogil:
    """All descriptors; makes snapshot.sections. With no memory `reason` stays NULL."""
    cdef uint64_t i, total = 0, size, room = snapshot.directory - SNAPSHOT_HEADER
    if snapshot.directory_checksum != xxh64(data, snapshot.n_sections * SNAPSHOT_DESCRIPTOR):
        return damaged(damage, "the directory's checksum is wrong", snapshot.directory)
    snapshot.sections = <Section*>calloc(snapshot.n_sections + 1, sizeof(Section))
    if snapshot.sections is NULL:
        return False
    for i in range(snapshot.n_sections):
        get_section(&snapshot.sections[i], data + i * SNAPSHOT_DESCRIPTOR)
        if not check_section(snapshot, i, damage):
            return False
        # Sections that share their bytes would be more work, and more records, than the file has bytes for.
        size = snapshot.sections[i].size + index_bytes(&snapshot.sections[i])
        if size > room:
            return damaged(damage, "the sections overlap", snapshot.directory + i * SNAPSHOT_DESCRIPTOR)
        room -= size
        total += snapshot.sections[i].entries
    if total != snapshot.entries:
        return damaged(damage, "the sections do not have as many entries as the trailer says", snapshot.directory)
    return True


cdef uint64_t first_section_of(Snapshot* snapshot, uint32_t shard) noexcept nogil:
    """The first section of this shard or a later one."""
    cdef uint64_t first = 0, end = snapshot.n_sections, middle
    while first < end:
        middle = (first + end) // 2
        if snapshot.sections[middle].shard < shard:
            first = middle + 1
        else:
            end = middle
    return first


# -- records -----------------------------------------------------------------------------------------------------------

cdef inline bint read_record(const char* at, uint64_t room, StoredRecord* record) noexcept nogil:
    """A record at the start of so many bytes, a multiple of eight. False: it does not lie within them."""
    cdef uint64_t key_size, value_size, head = RECORD_HEAD
    if room < RECORD_HEAD:
        return False
    key_size = get_half(at)
    value_size = get_half(at + 4)
    record.deadline = 0
    if key_size & DEADLINE_FLAG:
        key_size &= ~<uint64_t>DEADLINE_FLAG
        head += sizeof(int64_t)
        if room < head:
            return False
        # Early and far enough for everybody: 0 would be no deadline, and no sum with it overflows.
        record.deadline = <int64_t>max(<uint64_t>1, min(get_number(at + RECORD_HEAD), <uint64_t>1 << 60))
    record.size = whole_words(head + key_size + value_size)
    if record.size > room or value_size > MOST_BYTES:
        return False
    record.key.data = at + head
    record.key.size = key_size
    record.value.data = at + head + key_size
    record.value.size = value_size
    return True


# -- loading -----------------------------------------------------------------------------------------------------------

cdef enum:
    # What becomes of a record.
    APART = 0                           # it goes into a shard of the load's own
    CHECKED = 1                         # nothing so far
    ADDED = 2                           # it goes into the store

# What the threads of a load share.
cdef struct Load:
    ByteStore* store
    int way                             # what becomes of records in this run
    ByteShard* shards                   # made from the file; nobody else sees them
    size_t stride
    int fd
    int64_t to_boot                     # what to add to a deadline of the file
    int64_t now
    Snapshot snapshot
    uint32_t parts                      # that there are
    uint64_t next_part
    Lock lock                           # for the rest
    Damage damage
    int failure                         # errno, or an answer of write_record
    uint64_t size                       # of the entry that does not fit
    uint64_t loaded


cdef inline ByteShard* loading_shard(Load* load, uint32_t index) noexcept nogil:
    return <ByteShard*>(<char*>load.shards + index * load.stride)


cdef int open_load(Load* load) noexcept nogil:
    """Empty shards, set up as the store's are; ENOMEM or 0."""
    cdef ByteStore* store = load.store
    cdef ByteShard* shard
    cdef uint32_t i
    load.stride = store.stride
    load.shards = <ByteShard*>lines_new(load.stride * store.shards)
    if load.shards is NULL:
        return ENOMEM
    for i in range(store.shards):
        shard = loading_shard(load, i)
        shard.store = store
        shard.base.slots = byte_shard(store, i).base.slots
        shard.base.load = byte_shard(store, i).base.load
        shard.base.always_grow = byte_shard(store, i).base.always_grow
        byte_shard_reset(shard)
        shard.heap.rest = read_number(&byte_shard(store, i).heap.rest)
    return 0


# What a shard of the load gets.
cdef struct Share:
    uint64_t entries
    uint64_t size                       # bytes of their records in the file


cdef Share share_of_shard(Load* load, uint32_t index) noexcept nogil:
    """As the file says, or about so much."""
    cdef Snapshot* snapshot = &load.snapshot
    cdef uint64_t i, shards = load.store.shards
    cdef Share share
    share.entries = share.size = 0
    if snapshot.shards != shards:
        # Keys spread evenly, but not exactly so.
        share.entries = snapshot.entries // shards + snapshot.entries // shards // 16
        share.size = (snapshot.directory - SNAPSHOT_HEADER) // shards
        return share
    i = first_section_of(snapshot, index)
    while i < snapshot.n_sections and snapshot.sections[i].shard == index:
        share.entries += snapshot.sections[i].entries
        share.size += snapshot.sections[i].size
        i += 1
    return share


cdef int reserve_part(Load* load, uint32_t part) noexcept nogil:
    """Tables for what the file says that it has, so that they need not grow; ENOMEM or 0. A record takes eight bytes of
    the file at least, so what is believed here is bounded by the file's size."""
    cdef uint32_t index = part
    cdef ByteShard* shard
    cdef Share share
    while index < load.store.shards:
        shard = loading_shard(load, index)
        share = share_of_shard(load, index)
        if share.entries:
            if not make_table(&shard.base, buckets_for(share.entries, shard.base.load)):
                return ENOMEM
            # Looking for a key comes first, and would get the page of zeros (sm_touch).
            lines_populate(table_at(shard.base.table), table_bytes(buckets_of(shard.base.table)))
        shard.heap.expected = share.size
        index += load.parts
    return 0


cdef void close_shards(Load* load) noexcept nogil:
    cdef uint32_t i
    if load.shards is not NULL:
        for i in range(load.store.shards):
            close_byte_shard(loading_shard(load, i))
            free_rubbish(&load.store.budget, loading_shard(load, i).rubbish)
        lines_free(load.shards, load.stride * load.store.shards)
        load.shards = NULL


cdef int load_record(Load* load, StoredRecord* stored, uint32_t file_shard, Damage* damage) noexcept nogil:
    """Do with a record what is done in this run; errno, an answer of write_record or 0. A record in a shard of the file
    where it does not belong is damage."""
    cdef Write write
    cdef Spot spot
    if stored.deadline and stored.deadline + load.to_boot <= load.now:
        return 0
    spot_for(&spot, load.store, stored.key)
    if shard_bits(spot.mixed) & (load.snapshot.shards - 1) != file_shard:
        damage.reason = "a record is in a shard where its key does not belong"
        return 0
    write.draft.key = stored.key
    write.draft.value = stored.value
    # No further away than a time to live may be.
    write.draft.deadline = min(stored.deadline + load.to_boot,
                               load.now + <int64_t>MOST_SECONDS * 1000) if stored.deadline else 0
    write.draft.large = NULL
    if load.way == APART:
        spot.shard = loading_shard(load, shard_bits(spot.mixed) & load.store.mask)
        return load_apart(load, &spot, &write.draft, damage)
    return add_record(load, &write) if load.way == ADDED else 0


cdef int load_apart(Load* load, Spot* spot, Draft* draft, Damage* damage) noexcept nogil:
    """errno or 0. Without the lock: nobody else has this shard."""
    cdef int answer = STORED
    if draft_is_large(load.store, draft) and not draft_large(load.store, draft):
        return ENOMEM
    if find_record(spot):
        damage.reason = "a key is there twice"
    else:
        answer = put_record(spot, draft)
    draft_forget(load.store, draft)
    return 0 if answer == STORED else ENOMEM


cdef int add_record(Load* load, Write* write) noexcept nogil:
    """An answer of write_record that is no success, or 0."""
    cdef int answer
    write.condition = ALWAYS
    write.wants_former = False
    write.former = 0
    answer = write_record(write, load.store)
    if answer == DONE:
        add_to(&load.loaded, 1)
        return 0
    lock_bytes(&load.lock)
    load.size = draft_content(&write.draft)
    unlock_bytes(&load.lock)
    return answer


cdef int load_records(Load* load, Section* section, const char* data, Damage* damage) noexcept nogil:
    cdef StoredRecord stored
    cdef uint64_t at = 0, entries = 0
    cdef int failure
    while at < section.size:
        if not read_record(data + at, section.size - at, &stored):
            damaged(damage, "a record does not lie within its section", section.offset + at)
            return 0
        failure = load_record(load, &stored, section.shard, damage)
        if failure or damage.reason is not NULL:
            damage.offset = section.offset + at
            return failure
        at += stored.size
        entries += 1
    if entries != section.entries:
        damaged(damage, "a section does not have as many entries as the directory says", section.offset)
    return 0


# What a section is read into.
cdef struct Read:
    char* data
    uint64_t room


cdef int load_section(Load* load, Section* section, Read* read, Damage* damage) noexcept nogil:
    """errno or 0."""
    cdef uint64_t size = section.size + index_bytes(section)
    cdef void* moved
    cdef int failure
    if size > read.room:
        moved = realloc(read.data, size)
        if moved is NULL:
            return ENOMEM
        read.data = <char*>moved
        read.room = size
    failure = read_all(load.fd, read.data, size, section.offset)
    if failure:
        if failure < 0:
            damaged(damage, SHORTER, section.offset)
        return max(failure, 0)
    if xxh64(read.data, size) != section.checksum:
        damaged(damage, "a section's checksum is wrong", section.offset)
        return 0
    return load_records(load, section, read.data, damage)


cdef int load_part(Load* load, uint32_t part, Read* read, Damage* damage) noexcept nogil:
    """errno or 0."""
    cdef Snapshot* snapshot = &load.snapshot
    cdef uint32_t shard = part
    cdef uint64_t i
    cdef int failure = reserve_part(load, part) if load.way == APART else 0
    while failure == 0 and shard < snapshot.shards:
        i = first_section_of(snapshot, shard)
        while i < snapshot.n_sections and snapshot.sections[i].shard == shard:
            failure = load_section(load, &snapshot.sections[i], read, damage)
            if failure or damage.reason is not NULL or load_has_failed(load):
                return failure
            i += 1
        shard += load.parts
    return failure


cdef void load_parts(Load* load) noexcept nogil:
    """A thread's share of the work."""
    cdef Damage damage
    cdef Read read
    cdef uint64_t part
    cdef int failure = 0
    damage.reason = NULL
    read.data = NULL
    read.room = 0
    while failure == 0 and damage.reason is NULL and not load_has_failed(load):
        part = add_to(&load.next_part, 1)
        if part >= load.parts:
            break
        failure = load_part(load, <uint32_t>part, &read, &damage)
    free(read.data)
    lock_bytes(&load.lock)
    if damage.reason is not NULL:
        load.damage = damage
    if failure:
        load.failure = failure
    unlock_bytes(&load.lock)


cdef bint load_has_failed(Load* load) noexcept nogil:
    lock_bytes(&load.lock)
    cdef bint failed = load.failure != 0 or load.damage.reason is not NULL
    unlock_bytes(&load.lock)
    return failed


# -- taking the loaded shards over -------------------------------------------------------------------------------------

cdef bint take_over(Load* load) noexcept nogil:
    """At one instant: the loaded shards' contents are the store's. False, with nothing done: it has entries by now, or
    records that are kept."""
    cdef ByteStore* store = load.store
    cdef ByteShard* loaded
    cdef uint32_t i
    cdef bint empty = True
    lock_store(store)
    for i in range(store.shards):
        empty = empty and byte_shard(store, i).base.count == 0 and byte_shard(store, i).kept == 0
    if empty:
        for i in range(store.shards):
            loaded = loading_shard(load, i)
            load.loaded += loaded.base.count
            swap_contents(byte_shard(store, i), loaded)
    unlock_store(store)
    return empty


cdef void swap_contents(ByteShard* shard, ByteShard* loaded) noexcept nogil:
    """All but the lock and the numbers of events; the first one's lock is held."""
    cdef ByteShard former
    # First: the lock, and what is read without it, must be right at every moment while the first one is written.
    loaded.base.lock = 1
    loaded.changes = shard.changes + 1
    loaded.moves = shard.moves + 1
    loaded.hits = shard.hits
    loaded.misses = shard.misses
    loaded.expired += shard.expired
    loaded.evicted += shard.evicted
    loaded.contended = shard.contended
    loaded.longest_sweep = shard.longest_sweep
    loaded.expectations = shard.expectations
    loaded.heap.rest = shard.heap.rest
    loaded.heap.expected = 0
    memcpy(&former, shard, sizeof(ByteShard))
    memcpy(shard, loaded, sizeof(ByteShard))
    memcpy(loaded, &former, sizeof(ByteShard))
    loaded.base.lock = 0
    fulfil_all(shard)


cdef bint may_be_apart(ByteStore* store) noexcept nogil:
    """Is the store empty, and would it keep all that it gets?"""
    return entries_in(store) == 0 and (read_number(&store.budget.limit) == 0
                                       or read_policy(&store.policy) == NO_EVICTION)


# -- for Python --------------------------------------------------------------------------------------------------------

cdef int raise_damage(Damage* damage, object path) except -1:
    from shardmap.errors import SnapshotError
    raise SnapshotError(path, damage.offset, (<bytes>damage.reason).decode())


@cython.auto_pickle(False)
cdef class Loader:
    """One load of an open file into a byte map: ``run()`` in as many threads as should share the work, then
    ``finish()``, and both again until it is done. *path* is for messages."""

    cdef CoreByteMap map
    cdef object path
    cdef Load load

    def __cinit__(self, CoreByteMap owner not None, int fd, uint64_t size, object path, /):
        cdef Damage damage
        self.map = owner
        self.path = path
        self.load.store = opened(owner)
        self.load.fd = fd
        self.load.to_boot = -boot_to_unix()
        self.load.now = boot_ms()
        self.load.snapshot.size = size
        damage.reason = NULL
        read_snapshot(&self.load.snapshot, fd, &damage)
        if damage.reason is not NULL:
            raise_damage(&damage, path)
        self.load.parts = min(self.load.snapshot.shards, self.load.store.shards)
        self.load.way = APART if may_be_apart(self.load.store) else CHECKED
        if self.load.way == APART and open_load(&self.load):
            raise_for(self.load.store, IS_FULL, 0)

    def __dealloc__(self):
        if self.map is not None:
            close_shards(&self.load)
        free(self.load.snapshot.sections)

    def run(self):
        """Load parts until there are no more. Without the GIL."""
        with nogil:
            load_parts(&self.load)

    def finish(self):
        """Let the map have what was loaded; the number of entries, or None if another run is to add them. Raises for
        the threads, with the map as it was unless they were adding."""
        if self.load.damage.reason is not NULL:
            raise_damage(&self.load.damage, self.path)
        if self.load.failure == ENOMEM:
            raise_for(self.load.store, IS_FULL, 0)
        if self.load.failure < 0:
            raise_for(self.load.store, self.load.failure, self.load.size)
        if self.load.failure:
            raise OSError(self.load.failure, strerror(self.load.failure), self.path)
        cdef bint done = self.load.way == ADDED
        if not done:
            with nogil:
                done = self.load.way == APART and take_over(&self.load)
                close_shards(&self.load)
        if done:
            return self.load.loaded
        self.load.way = ADDED
        self.load.next_part = 0
        return None

    @property
    def has_deadlines(self):
        """Has the map entries with a time to live now?"""
        return numbers_of(self.load.store)["deadlines"] != 0


cdef int read_snapshot(Snapshot* snapshot, int fd, Damage* damage) except -1:
    """Header, trailer and directory of an open file whose size is known."""
    cdef char ends[SNAPSHOT_HEADER]
    cdef char* data
    cdef uint64_t size
    if snapshot.size < SNAPSHOT_HEADER + SNAPSHOT_TRAILER:
        damaged(damage, "the file is shorter than a snapshot without entries", snapshot.size)
        return 0
    if not read_part(fd, ends, SNAPSHOT_HEADER, 0, damage) or not read_header(snapshot, ends, damage):
        return 0
    if not read_part(fd, ends, SNAPSHOT_TRAILER, snapshot.size - SNAPSHOT_TRAILER, damage) or not read_trailer(
            snapshot, ends, damage):
        return 0
    size = snapshot.n_sections * SNAPSHOT_DESCRIPTOR
    data = <char*>malloc(size + 1)
    if data is NULL:
        raise MemoryError
    try:
        if (read_part(fd, data, size, snapshot.directory, damage) and not read_directory(snapshot, data, damage)
                and damage.reason is NULL):
            raise MemoryError
    finally:
        free(data)
    return 0


cdef bint read_part(int fd, char* data, uint64_t size, uint64_t offset, Damage* damage) except -1:
    """False: the file ends before."""
    cdef int failure = read_all(fd, data, size, offset)
    if failure < 0:
        return damaged(damage, SHORTER, offset)
    if failure:
        raise OSError(failure, strerror(failure))
    return True
