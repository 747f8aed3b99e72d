# Lookaside: where a thread has found a key object before.
#
# Programs look up the same key *objects* again and again: names in their code, attributes of long-lived objects, what
# they took from the map itself. A lookup by the table is a chain of five loads and two multiplications, each waiting
# for the one before; this is one multiplication and three loads:
#
#     seen[the top bits of (address of the key * odd constant)] = {key, entry, shard, stamp}
#
# or the slot beside it on the same cache line: two keys that meet both find room.
#
# It is a cache and holds no reference. A slot may be out of date in every way, so it is believed only if
#
#   1. its key is the address asked for, where an object now is whose hashing and comparing is C code: for others Python
#      code has to run;
#   2. its stamp is the map's, after the thread has been pinned: the map is the one that was looked in, and no memory of
#      its entries has been freed since. A stamp is never given out twice, so a map that died and another one at its
#      address are different; and none is 0, which the map has while clear() is at work;
#   3. the entry's word is settled, and its key, looked at after the word, is that object or a str equal to it. A
#      deleted entry is marked, and an entry that is not owns its key. Who uses a deleted entry again stores the key
#      first and the word last, so the key is the word's; and it is not used again before this thread is unpinned, nor
#      is its key released.
#
# in this order. Equal hashes and equality follow from identity, as for dict. Keys that are equal and not identical, as
# those that come from input, are remembered if they are str, and compared.
#
# GIL builds have one table for the process, guarded by the GIL. Free-threaded builds have one for each thread, which
# nobody else reads or writes.

cdef struct Seen:
    PyObject* key        # not owned, perhaps long gone: only compared
    Entry* entry
    Shard* shard
    uint64_t stamp

cdef extern from *:
    """
    /* 8192 slots, 4096 for each thread of a free-threaded build: of 1,000 hot keys 1%, or 3%, do without, because two
     * others have their slots. Only what is used costs memory, and 256 KiB are 64 pages, as many as the smallest of
     * the processor's tables of pages holds. */
    #define SM_SEEN_BITS (SM_FREE_THREADED ? 12 : 13)
    #define SM_SEEN_SLOT 32 /* bytes: half a cache line */
    #define SM_SEEN_BYTES ((size_t)SM_SEEN_SLOT << SM_SEEN_BITS)
    /* A slot's old key stays for so many misses on average: when two hot keys meet, one of them keeps its place. */
    #define SM_SEEN_PATIENCE 16

    #if SM_FREE_THREADED

    /* A thread gets its table after so many keys that could have been in it: many threads live shorter. */
    #define SM_SEEN_THRIFT 64

    SM_THREAD_LOCAL uint32_t sm_seen_clock;

    static void sm_seen_make(void) {
        if (sm_seen_clock < SM_SEEN_THRIFT) {
            return;
        }
        sm_me->lookaside_bytes = SM_SEEN_BYTES; /* first: a fork may come in between */
        sm_me->lookaside = sm_seen = sm_lines_new(SM_SEEN_BYTES);
    }

    static inline int sm_seen_is_there(void) { return sm_seen != NULL; }

    #else

    static char sm_seen[SM_SEEN_BYTES] __attribute__((aligned(64)));
    static uint32_t sm_seen_clock;

    static void sm_seen_make(void) {}
    static inline int sm_seen_is_there(void) { return 1; }

    #endif

    /* Multiplicative hashing (Knuth, The Art of Computer Programming 3, 6.4): objects lie at regular distances, which
     * the golden ratio spreads evenly. The table has to be there. */
    static inline void *sm_seen_slot(const void *key) {
        size_t index = (size_t)(((uint64_t)(uintptr_t)key * SM_GOLDEN) >> (64 - SM_SEEN_BITS));
        return sm_seen + index * SM_SEEN_SLOT;
    }

    static inline void *sm_seen_beside(const void *slot) { return (void *)((uintptr_t)slot ^ SM_SEEN_SLOT); }
    static inline int sm_seen_gives_way(void) { return sm_seen_clock % SM_SEEN_PATIENCE == 0; }
    static inline void sm_seen_tick(void) { sm_seen_clock++; }
    """
    size_t SEEN_SLOT "SM_SEEN_SLOT"
    void seen_make "sm_seen_make"() noexcept nogil
    bint seen_is_there "sm_seen_is_there"() noexcept nogil
    void* seen_slot "sm_seen_slot"(PyObject* key) noexcept nogil
    void* seen_beside "sm_seen_beside"(Seen* seen) noexcept nogil
    void seen_tick "sm_seen_tick"() noexcept nogil
    bint seen_gives_way "sm_seen_gives_way"() noexcept nogil


cdef inline bint is_simple(PyObject* key) noexcept nogil:
    """Hashing and comparing it runs no Python code, so nobody can tell if that is left out."""
    return is_str(key) or is_int(key) or is_bytes(key)


cdef inline Seen* recall(PyObject* key) noexcept nogil:
    """Where this thread has found the key, or NULL. To be believed, the thread has to be pinned: recalled_word."""
    cdef Seen* seen
    if unlikely(not seen_is_there()):
        return NULL
    seen = <Seen*>seen_slot(key)
    if unlikely(seen.key != key):
        seen = <Seen*>seen_beside(seen)
        if seen.key != key:
            return NULL
    return seen if likely(is_simple(key)) else NULL


cdef inline bint recalled_word(Map* map, Seen* seen, PyObject* key, size_t* word) noexcept nogil:
    """Pinned: is the key in this map, where it was found, with a settled word?"""
    if unlikely(seen.stamp != load_stamp(&map.stamp)):
        return False
    race_window()
    word[0] = word_of(seen.entry)
    if unlikely(not is_settled(word[0])):
        return False
    race_window()
    return likely(is_same_key(key_of(seen.entry), key))


cdef inline bint is_same_key(PyObject* stored, PyObject* key) noexcept nogil:
    """Is the key that was remembered still the same as the entry's? False if that would take long to say."""
    return stored == key or (is_str(key) and is_str(stored) and str_hash(stored) == str_hash(key)
                             and same_short_ascii(stored, key))


cdef inline PyObject* recall_value(Map* map, PyObject* key) noexcept nogil:
    """A new reference to the value, or NULL if the key is not recalled."""
    cdef PyObject* value = NULL
    cdef size_t word
    cdef Seen* seen = recall(key)
    if likely(seen is not NULL):
        pin()
        if likely(recalled_word(map, seen, key, &word)):
            value = <PyObject*>word
            incref(value)
        unpin()
    return value


cdef inline void remember_found(Probe* probe) noexcept nogil:
    """After a locate that has FOUND the key, still holding."""
    if is_str(probe.key) or (key_of(probe.entry) == probe.key and is_simple(probe.key)):
        remember(probe.shard, probe.entry, probe.key, probe.stamp)


cdef inline void remember(Shard* shard, Entry* entry, PyObject* key, uint64_t stamp) noexcept nogil:
    """The entry was found, locked or pinned, after the map had this stamp; the key is a str, or simple and the entry's
    own object."""
    cdef Seen* seen
    seen_tick()
    if unlikely(not seen_is_there()):
        seen_make()
        if not seen_is_there():
            return
    seen = slot_to_use(<Seen*>seen_slot(key), key)
    if seen is not NULL:
        seen.key = key
        seen.entry = entry
        seen.shard = shard
        seen.stamp = stamp


cdef inline Seen* slot_to_use(Seen* seen, PyObject* key) noexcept nogil:
    """Of these two slots the key's own, an empty one, or now and then the first; else NULL."""
    cdef Seen* beside = <Seen*>seen_beside(seen)
    if seen.key is NULL or seen.key == key:
        return seen
    if beside.key is NULL or beside.key == key:
        return beside
    if not seen_gives_way():
        return NULL
    # Its key may move over: the older of the two goes.
    beside[0] = seen[0]
    return seen


if sizeof(Seen) > SEEN_SLOT:
    raise MemoryError("no room for what threads of shardmap remember")
