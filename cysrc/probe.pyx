cdef inline Shard* shard_for(Stripes* stripes, uint64_t mixed) noexcept nogil:
    return &stripes.shard[shard_bits(mixed) & stripes.mask]


cdef inline void probe_hashed(Probe* probe, Map* map, Stripes* stripes, PyObject* key, Py_hash_t hash) noexcept nogil:
    probe.map = map
    probe.key = key
    probe.hash = hash
    probe.mixed = mix(&map.mixer, hash)
    probe.shard = shard_for(stripes, probe.mixed)
    probe.rescan = False
    probe.known_absent = False
    probe.equal = NULL
    probe.unequal = NULL


cdef inline int probe_begin(Probe* probe, Map* map, PyObject* key) except -1:
    """For reading: FOUND (there is a shard to search) or ABSENT."""
    cdef Py_hash_t hash = hash_of(key)
    join(map)
    cdef Stripes* stripes = stripes_of(map)
    if unlikely(stripes is NULL):
        probe.shard = NULL
        probe.equal = NULL
        probe.unequal = NULL
        return ABSENT
    probe_hashed(probe, map, stripes, key, hash)
    return FOUND


cdef inline int probe_begin_write(Probe* probe, Map* map, PyObject* key) except -1:
    """For writing: the shards exist afterwards."""
    cdef Py_hash_t hash = hash_of(key)
    join(map)
    cdef Stripes* stripes = stripes_of(map)
    if unlikely(stripes is NULL):
        stripes = make_stripes(map)
        if stripes is NULL:
            raise MemoryError
    probe_hashed(probe, map, stripes, key, hash)
    return 0


cdef inline void probe_end(Probe* probe) noexcept:
    """The end of the operation: nothing is locked or pinned, Python code may run."""
    if unlikely(probe.equal is not NULL or probe.unequal is not NULL):
        probe_forget(probe)
    tidy()


cdef void probe_forget(Probe* probe) noexcept:
    cdef Py_ssize_t i
    xdecref(probe.equal)
    probe.equal = NULL
    if probe.unequal is not NULL:
        for i in range(probe.n_unequal):
            decref(probe.unequal[i])
        free(probe.unequal)
        probe.unequal = NULL


# -- searching, locked or pinned ---------------------------------------------------------------------------------------

cdef int judge_other(Probe* probe, PyObject* key) noexcept nogil:
    """EQUAL, DIFFERENT or ASK_PYTHON for a key with the same hash that is not simply another str."""
    cdef Py_ssize_t i
    cdef int same
    if key == probe.equal:
        return EQUAL
    same = same_simple(key, probe.key)
    if same == ASK_PYTHON and probe.rescan and probe.unequal is not NULL:
        for i in range(probe.n_unequal):
            if probe.unequal[i] == key:
                return DIFFERENT
    return same


cdef inline int judge(Probe* probe, Entry* entry) noexcept nogil:
    cdef PyObject* key = key_of(entry)
    if key == probe.key:
        return EQUAL
    if is_str(key) and is_str(probe.key):
        # Their lengths and characters are nearer than the entry's hash, which may lie on another cache line.
        return same_str(key, probe.key)
    if load_hash(&entry.hash) != probe.hash:
        return DIFFERENT
    return judge_other(probe, key)


cdef inline int walk(Probe* probe, Table* table, Bucket* bucket, uint32_t hits) noexcept nogil:
    """Search a chain from the slots `hits` of `bucket` on: FOUND, ABSENT or ASK_PYTHON (about probe.entry)."""
    cdef uint32_t ref
    cdef Entry* entry
    cdef int same
    while True:
        while hits:
            ref = load_ref(&bucket.refs[count_trailing_zeros(hits)])
            hits &= hits - 1
            entry = entry_in(table, ref)
            same = judge(probe, entry)
            if likely(same != DIFFERENT):
                probe.entry = entry
                probe.ref = ref
                if unlikely(same == ASK_PYTHON):
                    probe.table = table
                    probe.bucket = bucket
                    probe.hits = hits
                return same
        bucket = following(table, bucket)
        if likely(bucket is NULL):
            return ABSENT
        hits = match_tags(bucket, tag_of(probe.mixed))


cdef inline int search(Probe* probe) noexcept nogil:
    cdef Table* table
    cdef Bucket* bucket
    cdef uint64_t version = load_version(&probe.shard.version)
    if probe.known_absent and not probe.pinned and version == probe.version:
        return ABSENT
    probe.version = version
    bucket = home(probe.shard, probe.mixed, &table)
    return walk(probe, table, bucket, match_tags(bucket, tag_of(probe.mixed)))


cdef inline Entry* find_str(Shard* shard, PyObject* key, uint64_t mixed, bint* doubt) noexcept nogil:
    """The entry of a key that is exactly str, or NULL; sets `doubt` on meeting a key of another type with its hash.

    The short way for the keys that most maps have: it needs no probe, so everything stays in registers.
    """
    cdef Table* table
    cdef Bucket* bucket = home(shard, mixed, &table)
    cdef Entry* entry
    cdef PyObject* stored
    cdef uint32_t hits
    while True:
        hits = match_tags(bucket, tag_of(mixed))
        while hits:
            entry = entry_in(table, load_ref(&bucket.refs[count_trailing_zeros(hits)]))
            stored = key_of(entry)
            if likely(stored == key):
                return entry
            if likely(is_str(stored)):
                # Their lengths and characters are nearer than the entry's hash, which may lie on another cache line.
                if same_str(stored, key):
                    return entry
            elif load_hash(&entry.hash) == str_hash(key):
                doubt[0] = True
            hits &= hits - 1
        bucket = following(table, bucket)
        if likely(bucket is NULL):
            return NULL


# -- holding what is searched ------------------------------------------------------------------------------------------

cdef inline void hold(Probe* probe) noexcept nogil:
    """Pin the thread to read, or lock the shard; to read while clear() is at work it is locked too."""
    if probe.pinned:
        if probe.overwriting:
            pin_to_write()
        else:
            pin()
        if likely(may_go_on(probe)):
            return
        unpin()
        probe.pinned = False
        probe.rescan = True
    lock_shard(probe.shard)
    probe.stamp = load_stamp(&probe.map.stamp)


cdef inline bint may_go_on(Probe* probe) noexcept nogil:
    probe.stamp = load_stamp(&probe.map.stamp)
    if not SM_FREE_THREADED:
        return True
    return probe.stamp != 0 and not (probe.overwriting and is_frozen(probe.map))


cdef inline void let_go(Probe* probe) noexcept nogil:
    if probe.pinned:
        unpin()
    else:
        unlock_shard(probe.shard)


# -- asking Python, holding nothing ------------------------------------------------------------------------------------

cdef int remember_unequal(Probe* probe, PyObject* stored) except -1:
    """Keep the reference to `stored`, which the probe owns from now on, whatever is returned."""
    cdef PyObject** larger
    if probe.unequal is NULL:
        probe.n_unequal = probe.room = 0
    if probe.unequal is NULL or probe.n_unequal == probe.room:
        probe.room = probe.room * 2 if probe.room else 4
        larger = <PyObject**>realloc(probe.unequal, probe.room * sizeof(PyObject*))
        if larger is NULL:
            probe.room = probe.n_unequal
            decref(stored)
            raise MemoryError
        probe.unequal = larger
    probe.unequal[probe.n_unequal] = stored
    probe.n_unequal += 1
    return 0


cdef int ask(Probe* probe) except -1:
    """Called while holding, with a candidate in probe.entry; returns as search does, holding, or -1 holding nothing."""
    cdef PyObject* stored = key_of(probe.entry)
    cdef PyObject* former
    cdef int same
    incref(stored)
    let_go(probe)
    try:
        same = rich_compare_bool(stored, probe.key, Py_EQ)
    except:
        decref(stored)
        raise
    if same:
        former = probe.equal
        probe.equal = stored
        xdecref(former)
    else:
        remember_unequal(probe, stored)
    hold(probe)
    if probe.version != load_version(&probe.shard.version):
        probe.rescan = True
        return search(probe)
    if same:
        return FOUND
    return walk(probe, probe.table, probe.bucket, probe.hits)


cdef int locate_by_asking(Probe* probe) except -1:
    cdef int answer = ASK_PYTHON
    try:
        while answer == ASK_PYTHON:
            answer = ask(probe)
    except:
        probe_forget(probe)
        raise
    return answer


cdef inline int locate_holding(Probe* probe) except -1:
    hold(probe)
    cdef int answer = search(probe)
    if unlikely(answer == ASK_PYTHON):
        answer = locate_by_asking(probe)
    probe.known_absent = probe.pinned and answer == ABSENT
    return answer


cdef inline int locate(Probe* probe) except -1:
    """Take the stripe lock and find the key: FOUND or ABSENT with the lock held; -1 without it."""
    probe.pinned = False
    return locate_holding(probe)


cdef inline int locate_to_read(Probe* probe, size_t* word) except -1:
    """FOUND with a word that has a value, good until end_reading; or ABSENT, until then as well. -1: nothing is
    held."""
    probe.pinned = True
    probe.overwriting = False
    while True:
        if unlikely(locate_holding(probe) == ABSENT):
            return ABSENT
        word[0] = word_of(probe.entry)
        if not SM_FREE_THREADED or likely(word[0] != MOVED):
            return FOUND if likely(value_in(word[0]) is not NULL) else ABSENT
        # shrink() is at work: with the lock there is no such word.
        let_go(probe)
        probe.pinned = False
        probe.rescan = True


cdef inline void end_reading(Probe* probe) noexcept nogil:
    let_go(probe)
