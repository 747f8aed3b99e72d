# Writing a snapshot while others use the store. Threads share the work: each takes a shard, walks through it, fills a
# buffer with a section, and writes that to a place of the file that nobody else has. Which entries that are written
# meanwhile are in the file is not said; those that nobody touches are.

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <time.h>
    #include <unistd.h>

    /* What to add to a time of the boot clock to have milliseconds since 1970. */
    static int64_t sm_boot_to_unix(void) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000 - sm_boot_ms();
    }

    /* 0, or errno. */
    static int sm_write_all(int fd, const char *data, size_t size, uint64_t offset) {
        while (size != 0) {
            ssize_t written = pwrite(fd, data, size, (off_t)offset);
            if (written < 0) {
                if (errno == EINTR) {
                    continue;
                }
                return errno;
            }
            data += written;
            size -= (size_t)written;
            offset += (uint64_t)written;
        }
        return 0;
    }

    /* Have the system write this part of the file to the disk from now on: the others are made meanwhile, and the sync
     * at the end has less to wait for. It is a hint; the sync tells of errors. */
    static void sm_begin_writing(int fd, uint64_t offset, size_t size) {
    #ifdef SYNC_FILE_RANGE_WRITE
        (void)sync_file_range(fd, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
    #else
        (void)fd, (void)offset, (void)size;
    #endif
    }

    /* 0, errno, or -1 at the end of the file. */
    static int sm_read_all(int fd, char *data, size_t size, uint64_t offset) {
        while (size != 0) {
            ssize_t found = pread(fd, data, size, (off_t)offset);
            if (found == 0) {
                return -1;
            }
            if (found < 0) {
                if (errno == EINTR) {
                    continue;
                }
                return errno;
            }
            data += found;
            size -= (size_t)found;
            offset += (uint64_t)found;
        }
        return 0;
    }

    #define sm_add_to(number, amount) __atomic_fetch_add(number, amount, __ATOMIC_RELAXED)
    """
    int64_t boot_to_unix "sm_boot_to_unix"() noexcept nogil
    int write_all "sm_write_all"(int fd, const char* data, size_t size, uint64_t offset) noexcept nogil
    void begin_writing "sm_begin_writing"(int fd, uint64_t offset, size_t size) noexcept nogil
    int read_all "sm_read_all"(int fd, char* data, size_t size, uint64_t offset) noexcept nogil
    uint64_t add_to "sm_add_to"(uint64_t* number, uint64_t amount) noexcept nogil
    int ENOMEM
    int EFBIG

# What the threads of a dump share.
cdef struct Dump:
    ByteStore* store
    int fd
    int64_t to_unix
    uint64_t begun                      # milliseconds since 1970
    uint64_t next_shard
    uint64_t next_offset                # of the file, where nobody has written
    Lock lock                           # for the rest
    int failure                         # errno
    Section* sections
    uint64_t n_sections
    uint64_t room
    uint64_t entries

# The section that a thread is filling.
cdef struct Draught:
    Section section
    char* data
    size_t size
    size_t room
    uint32_t* hashes                    # of its records, for the index
    uint32_t* places                    # and where they start, in words
    uint64_t n_room


cdef inline void put_number(char* at, uint64_t number) noexcept nogil:
    number = little_endian(number)
    memcpy(at, &number, sizeof(number))


cdef inline void put_half(char* at, uint32_t number) noexcept nogil:
    at[0] = <char>number
    at[1] = <char>(number >> 8)
    at[2] = <char>(number >> 16)
    at[3] = <char>(number >> 24)


cdef inline size_t whole_words(size_t size) noexcept nogil:
    return (size + 7) & ~<size_t>7


# -- filling a section -------------------------------------------------------------------------------------------------

cdef bint draught_room(Draught* draught, size_t size) noexcept nogil:
    """Room for a record of so many bytes. False: no memory."""
    cdef size_t room = max(<size_t>(SECTION_BYTES + SECTION_BYTES // 8), draught.size + size)
    cdef uint64_t n_room = max(<uint64_t>(SECTION_BYTES // 16), draught.section.entries * 2)
    cdef void* moved
    if draught.size + size > draught.room:
        moved = realloc(draught.data, room)
        if moved is NULL:
            return False
        draught.data = <char*>moved
        draught.room = room
    if draught.section.entries == draught.n_room:
        moved = realloc(draught.hashes, n_room * sizeof(uint32_t))
        if moved is NULL:
            return False
        draught.hashes = <uint32_t*>moved
        moved = realloc(draught.places, n_room * sizeof(uint32_t))
        if moved is NULL:
            return False
        draught.places = <uint32_t*>moved
        draught.n_room = n_room
    return True


cdef bint draught_add(Draught* draught, Record* record, uint32_t hash, int64_t to_unix) noexcept nogil:
    """Append a record. False: no memory."""
    cdef int64_t deadline = deadline_of(record)
    cdef size_t content = content_of(record)
    cdef size_t size = whole_words(RECORD_HEAD + (sizeof(int64_t) if deadline else 0) + content)
    cdef char* at
    if not draught_room(draught, size):
        return False
    at = draught.data + draught.size
    # The zeros at its end.
    put_number(at + size - 8, 0)
    put_half(at, record.key_size | (DEADLINE_FLAG if deadline else 0))
    put_half(at + 4, record.value_size)
    at += RECORD_HEAD
    if deadline:
        put_number(at, <uint64_t>(deadline + to_unix))
        at += sizeof(int64_t)
    memcpy(at, bytes_of(record), content)
    draught.hashes[draught.section.entries] = hash
    draught.places[draught.section.entries] = <uint32_t>(draught.size >> 3)
    draught.section.entries += 1
    draught.size += size
    return True


cdef bint draught_index(Draught* draught) noexcept nogil:
    """Append the index. False: no memory."""
    cdef Section* section = &draught.section
    cdef uint32_t slots = <uint32_t>(section.entries // RECORDS_PER_SLOT) + 1
    cdef uint64_t i = 0
    cdef uint32_t slot
    cdef char* at
    section.size = draught.size
    section.slots = slots
    if not draught_room(draught, whole_words(<size_t>slots * 4)):
        return False
    at = draught.data + draught.size
    put_number(at + whole_words(<size_t>slots * 4) - 8, 0)
    for slot in range(slots):
        while i < section.entries and slot_of(section, draught.hashes[i]) < slot:
            i += 1
        put_half(at + 4 * slot, draught.places[i] if i < section.entries else <uint32_t>(section.size >> 3))
    draught.size += whole_words(<size_t>slots * 4)
    return True


cdef inline uint32_t slot_of(Section* section, uint64_t hash) noexcept nogil:
    """Which of the equal parts of the section's range has this hash of it."""
    return <uint32_t>((hash - section.first) * section.slots // (section.end - section.first))


cdef int draught_write(Dump* dump, Draught* draught, uint64_t end) noexcept nogil:
    """Finish the section, whose hashes are before `end`, and begin the next one; errno or 0."""
    cdef Section* section = &draught.section
    cdef int failure
    section.end = end
    if section.entries:
        if draught.size >> 3 > <size_t>0xFFFFFFFF:
            return EFBIG
        if not draught_index(draught):
            return ENOMEM
        section.checksum = xxh64(draught.data, draught.size)
        section.offset = add_to(&dump.next_offset, draught.size)
        failure = write_all(dump.fd, draught.data, draught.size, section.offset)
        if failure:
            return failure
        begin_writing(dump.fd, section.offset, draught.size)
        if not note_section(dump, section):
            return ENOMEM
    section.first = end
    section.entries = 0
    draught.size = 0
    return 0


cdef bint note_section(Dump* dump, Section* section) noexcept nogil:
    cdef uint64_t room = max(<uint64_t>64, dump.room * 2)
    cdef void* moved
    lock_bytes(&dump.lock)
    if dump.n_sections == dump.room:
        moved = realloc(dump.sections, room * sizeof(Section))
        if moved is NULL:
            unlock_bytes(&dump.lock)
            return False
        dump.sections = <Section*>moved
        dump.room = room
    dump.sections[dump.n_sections] = section[0]
    dump.n_sections += 1
    dump.entries += section.entries
    unlock_bytes(&dump.lock)
    return True


# -- a shard after the other -------------------------------------------------------------------------------------------

cdef struct Hashed:
    uint32_t hash
    Record* record


cdef enum:
    # Bytes of a record that are fetched ahead; those behind them the processor foresees itself.
    FETCHED_AHEAD = 256


cdef inline void prefetch_content(Record* record) noexcept nogil:
    cdef const char* data = bytes_of(record)
    cdef size_t size = min(content_of(record), <size_t>FETCHED_AHEAD), at = 0
    while at < size:
        prefetch(data + at)
        at += 64
    prefetch(data + size)


cdef void sort_batch(ByteStore* store, Batch* batch, Hashed* order) noexcept nogil:
    """The records by their hashes: buckets come in that order, so few are out of place."""
    cdef Hashed each
    cdef uint32_t i, j
    # All cache misses at once.
    for i in range(batch.n):
        prefetch_content(batch.records[i])
    for i in range(batch.n):
        each.record = batch.records[i]
        each.hash = bucket_bits(hash_of_record(store, each.record))
        j = i
        while j and order[j - 1].hash > each.hash:
            order[j] = order[j - 1]
            j -= 1
        order[j] = each


cdef int dump_batch(Dump* dump, Draught* draught, Batch* batch, Hashed** order, uint32_t* room) noexcept nogil:
    cdef void* moved
    cdef uint32_t i
    cdef int failure
    if batch.n > room[0]:
        moved = realloc(order[0], batch.room * sizeof(Hashed))
        if moved is NULL:
            return ENOMEM
        order[0] = <Hashed*>moved
        room[0] = batch.room
    sort_batch(dump.store, batch, order[0])
    for i in range(batch.n):
        # A batch of large values makes several sections.
        if draught.size >= SECTION_BYTES and i and order[0][i].hash != order[0][i - 1].hash:
            failure = draught_write(dump, draught, order[0][i].hash)
            if failure:
                return failure
        if not draught_add(draught, order[0][i].record, order[0][i].hash, dump.to_unix):
            return ENOMEM
    return 0


cdef int dump_shard(Dump* dump, uint32_t index, Draught* draught) noexcept nogil:
    """errno or 0."""
    cdef Walk walk
    cdef Batch batch
    cdef Hashed* order = NULL
    cdef uint32_t room = 0
    cdef int failure = 0, answer
    walk_open(&walk, dump.store, index, index + 1)
    batch_open(&batch)
    draught.section.shard = index
    draught.section.first = 0
    draught.section.entries = 0
    draught.size = 0
    while failure == 0 and load_failure(dump) == 0:
        answer = walk_next(&walk, &batch, NULL)
        if answer <= 0:
            failure = ENOMEM if answer < 0 else draught_write(dump, draught, <uint64_t>1 << 32)
            break
        failure = dump_batch(dump, draught, &batch, &order, &room)
        batch_release(&batch, NULL)
        # Behind the last shard's end the walk's position is the next one's.
        if failure == 0 and draught.size >= SECTION_BYTES and walk.shard == index:
            failure = draught_write(dump, draught, walk.position)
    batch_close(&batch)
    free(order)
    return failure


cdef int load_failure(Dump* dump) noexcept nogil:
    lock_bytes(&dump.lock)
    cdef int failure = dump.failure
    unlock_bytes(&dump.lock)
    return failure


cdef void dump_shards(Dump* dump) noexcept nogil:
    """A thread's part of the work."""
    cdef Draught draught
    cdef uint64_t index
    cdef int failure = 0
    memset(&draught, 0, sizeof(draught))
    while failure == 0:
        index = add_to(&dump.next_shard, 1)
        if index >= dump.store.shards or load_failure(dump):
            break
        failure = dump_shard(dump, <uint32_t>index, &draught)
    if failure:
        lock_bytes(&dump.lock)
        dump.failure = failure
        unlock_bytes(&dump.lock)
    free(draught.data)
    free(draught.hashes)
    free(draught.places)


# -- header, directory, trailer ----------------------------------------------------------------------------------------

cdef int compare_sections(const void* a, const void* b) noexcept nogil:
    cdef const Section* x = <const Section*>a
    cdef const Section* y = <const Section*>b
    if x.shard != y.shard:
        return -1 if x.shard < y.shard else 1
    return -1 if x.first < y.first else 1


cdef void put_section(char* at, Section* section) noexcept nogil:
    put_number(at, section.offset)
    put_number(at + 8, section.size)
    put_number(at + 16, section.entries)
    put_half(at + 24, section.shard)
    put_half(at + 28, section.slots)
    put_number(at + 32, section.first)
    put_number(at + 40, section.end)
    put_number(at + 48, section.checksum)
    put_number(at + 56, 0)


cdef int write_header(Dump* dump) noexcept nogil:
    cdef char header[SNAPSHOT_HEADER]
    memset(header, 0, SNAPSHOT_HEADER)
    memcpy(header, SNAPSHOT_MAGIC, 8)
    put_half(header + 8, SNAPSHOT_VERSION)
    put_half(header + 12, SNAPSHOT_HEADER)
    put_number(header + 16, dump.store.key.first)
    put_number(header + 24, dump.store.key.second)
    put_number(header + 32, dump.begun)
    put_half(header + 40, dump.store.shards)
    put_number(header + 56, xxh64(header, 56))
    return write_all(dump.fd, header, SNAPSHOT_HEADER, 0)


cdef int write_directory(Dump* dump) noexcept nogil:
    """The directory and the trailer; errno or 0."""
    cdef uint64_t size = dump.n_sections * SNAPSHOT_DESCRIPTOR, i
    cdef char* data = <char*>calloc(1, size + SNAPSHOT_TRAILER)
    cdef char* trailer = data + size
    cdef int failure
    if data is NULL:
        return ENOMEM
    if dump.n_sections:
        qsort(dump.sections, dump.n_sections, sizeof(Section), compare_sections)
    for i in range(dump.n_sections):
        put_section(data + i * SNAPSHOT_DESCRIPTOR, &dump.sections[i])
    put_number(trailer, dump.next_offset)
    put_number(trailer + 8, dump.n_sections)
    put_number(trailer + 16, dump.entries)
    put_number(trailer + 24, dump.next_offset + size + SNAPSHOT_TRAILER)
    put_number(trailer + 32, xxh64(data, size))
    memcpy(trailer + 40, SNAPSHOT_END, 8)
    put_number(trailer + 56, xxh64(trailer, 56))
    failure = write_all(dump.fd, data, size + SNAPSHOT_TRAILER, dump.next_offset)
    free(data)
    return failure


# -- for Python --------------------------------------------------------------------------------------------------------

@cython.auto_pickle(False)
cdef class Dumper:
    """One dump of a byte map into an open file: ``run()`` in as many threads as should share the work, then
    ``finish()``."""

    cdef CoreByteMap map
    cdef Dump dump

    def __cinit__(self, CoreByteMap owner not None, int fd, /):
        self.map = owner
        self.dump.store = opened(owner)
        self.dump.fd = fd
        self.dump.to_unix = boot_to_unix()
        self.dump.begun = <uint64_t>(boot_ms() + self.dump.to_unix)
        self.dump.next_offset = SNAPSHOT_HEADER

    def __dealloc__(self):
        free(self.dump.sections)

    def run(self):
        """Write shards until there are no more. Without the GIL."""
        with nogil:
            dump_shards(&self.dump)

    def finish(self):
        """Write what is left; the number of entries in the file. Raises OSError or MemoryError, also for the
        threads."""
        cdef int failure = self.dump.failure
        if failure == 0:
            with nogil:
                failure = write_directory(&self.dump)
                if failure == 0:
                    failure = write_header(&self.dump)
        if failure == ENOMEM:
            raise MemoryError
        if failure:
            raise OSError(failure, strerror(failure))
        return self.dump.entries


cdef object strerror(int failure):
    from os import strerror
    return strerror(failure)
