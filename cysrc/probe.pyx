cdef inline Shard* shard_for(Stripes* stripes, uint64_t mixed) noexcept nogil:
    return &stripes.shard[shard_bits(mixed) & stripes.mask]


cdef inline void probe_hashed(Probe* probe, Map* map, Stripes* stripes, PyObject* key, Py_hash_t hash) noexcept nogil:
    probe.key = key
    probe.hash = hash
    probe.mixed = mix(&map.mixer, hash)
    probe.shard = shard_for(stripes, probe.mixed)
    probe.rescan = False
    probe.equal = NULL
    probe.unequal = NULL


cdef inline int probe_begin(Probe* probe, Map* map, PyObject* key) except -1:
    """For reading: FOUND (there is a shard to search) or ABSENT."""
    cdef Py_hash_t hash = hash_of(key)
    cdef Stripes* stripes = stripes_of(map)
    note_thread(map)
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
    cdef Stripes* stripes = stripes_of(map)
    note_thread(map)
    if unlikely(stripes is NULL):
        stripes = make_stripes(map)
        if stripes is NULL:
            raise MemoryError
    probe_hashed(probe, map, stripes, key, hash)
    return 0


cdef inline void probe_end(Probe* probe) noexcept:
    if unlikely(probe.equal is not NULL or probe.unequal is not NULL):
        probe_forget(probe)


cdef void probe_forget(Probe* probe) noexcept:
    cdef Py_ssize_t i
    xdecref(probe.equal)
    probe.equal = NULL
    if probe.unequal is not NULL:
        for i in range(probe.n_unequal):
            decref(probe.unequal[i])
        free(probe.unequal)
        probe.unequal = NULL


# -- searching, under the lock -----------------------------------------------------------------------------------------

cdef int judge_other(Probe* probe, Entry* entry) noexcept nogil:
    """EQUAL, DIFFERENT or ASK_PYTHON for an entry with the same hash that is not simply two str."""
    cdef Py_ssize_t i
    cdef int same
    if entry.key == probe.equal:
        return EQUAL
    same = same_simple(entry.key, probe.key)
    if same == ASK_PYTHON and probe.rescan and probe.unequal is not NULL:
        for i in range(probe.n_unequal):
            if probe.unequal[i] == entry.key:
                return DIFFERENT
    return same


cdef inline int judge(Probe* probe, Entry* entry) noexcept nogil:
    if entry.key == probe.key:
        return EQUAL
    if is_str(entry.key) and is_str(probe.key):
        # Their lengths and characters are nearer than the entry's hash, which may lie on another cache line.
        return same_str(entry.key, probe.key)
    if entry.hash != probe.hash:
        return DIFFERENT
    return judge_other(probe, entry)


cdef inline int walk(Probe* probe, Bucket* bucket, uint32_t hits) noexcept nogil:
    """Search a chain from the slots `hits` of `bucket` on: FOUND, ABSENT or ASK_PYTHON (about probe.entry)."""
    cdef Shard* shard = probe.shard
    cdef uint32_t ref
    cdef int same
    while True:
        while hits:
            ref = bucket.refs[count_trailing_zeros(hits)]
            hits &= hits - 1
            same = judge(probe, entry_at(shard, ref))
            if likely(same != DIFFERENT):
                probe.entry = entry_at(shard, ref)
                probe.ref = ref
                if unlikely(same == ASK_PYTHON):
                    probe.bucket = bucket
                    probe.hits = hits
                    probe.version = shard.version
                return same
        bucket = following(shard, bucket)
        if likely(bucket is NULL):
            return ABSENT
        hits = match_tags(bucket, tag_of(probe.mixed))


cdef inline int search(Probe* probe) noexcept nogil:
    cdef Bucket* bucket = home(probe.shard, probe.mixed)
    return walk(probe, bucket, match_tags(bucket, tag_of(probe.mixed)))


cdef inline Entry* find_str(Shard* shard, PyObject* key, uint64_t mixed, bint* doubt) noexcept nogil:
    """The entry of a key that is exactly str, or NULL; sets `doubt` on meeting a key of another type with its hash.

    The short way for the keys that most maps have: it needs no probe, so everything stays in registers.
    """
    cdef Bucket* bucket = home(shard, mixed)
    cdef Entry* entry
    cdef uint32_t hits
    while True:
        hits = match_tags(bucket, tag_of(mixed))
        while hits:
            entry = entry_at(shard, bucket.refs[count_trailing_zeros(hits)])
            if likely(entry.key == key):
                return entry
            if likely(is_str(entry.key)):
                # Their lengths and characters are nearer than the entry's hash, which may lie on another cache line.
                if same_str(entry.key, key):
                    return entry
            elif entry.hash == str_hash(key):
                doubt[0] = True
            hits &= hits - 1
        bucket = following(shard, bucket)
        if likely(bucket is NULL):
            return NULL


# -- asking Python, without the lock -----------------------------------------------------------------------------------

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
    """Take the lock held and a candidate in probe.entry; return as search does, the lock held, or -1 and not held."""
    cdef PyObject* stored = probe.entry.key
    cdef PyObject* former
    cdef int same
    incref(stored)
    unlock(&probe.shard.lock)
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
    lock(&probe.shard.lock)
    if probe.version != probe.shard.version:
        probe.rescan = True
        return search(probe)
    if same:
        return FOUND
    return walk(probe, probe.bucket, probe.hits)


cdef int locate_by_asking(Probe* probe) except -1:
    cdef int answer = ASK_PYTHON
    try:
        while answer == ASK_PYTHON:
            answer = ask(probe)
    except:
        probe_forget(probe)
        raise
    return answer


cdef inline int locate(Probe* probe) except -1:
    """Take the stripe lock and find the key: FOUND or ABSENT with the lock held; -1 without it."""
    lock(&probe.shard.lock)
    cdef int answer = search(probe)
    if unlikely(answer == ASK_PYTHON):
        return locate_by_asking(probe)
    return answer
