# Lookaside: where a thread has found a key object before.
#
# Programs look up the same key *objects* again and again: names in their code, attributes of long-lived objects, what
# they took from the map itself. A lookup by the table is a chain of five loads and two multiplications, each waiting
# for the one before; this is one multiplication and three loads:
#
#     seen[the top bits of (address of the key * odd constant)] = {key, entry, shard, stamp}
#
# It is a cache and holds no reference. A slot may be out of date in every way, so it is believed only if
#
#   1. its key is the address asked for, where an object now is whose hashing and comparing is C code: for others Python
#      code has to run;
#   2. its stamp is the map's, after the thread has been pinned: the map is the one that was looked in, and no memory of
#      its entries has been freed since. A stamp is never given out twice, so a map that died and another one at its
#      address are different; and none is 0, which the map has while clear() is at work;
#   3. the entry's key is that object, before and after its word is read, and the word is settled. A deleted entry is
#      marked, and an entry that is not owns its key, so an object at that address is that object. Equal hashes and
#      equality follow from identity, as for dict.
#
# in this order. Why the key is looked at twice: the entry may have been deleted before, and be in use again for another
# key. Who does that stores the key first and the word last, so a word of the new use comes with a key of the new use.
# And it cannot be used a third time before this thread is unpinned.
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
    /* 8192 slots, 4096 for each thread of a free-threaded build: of 1,000 hot keys 6%, or 11%, do without, because
     * another one has their slot. Only what is used costs memory, and 256 KiB are 64 pages, as many as the smallest of
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
        sm_seen = sm_lines_new(SM_SEEN_BYTES);
        sm_me->lookaside = sm_seen;
        sm_me->lookaside_bytes = SM_SEEN_BYTES;
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

    static inline int sm_seen_gives_way(void) { return sm_seen_clock % SM_SEEN_PATIENCE == 0; }
    static inline void sm_seen_tick(void) { sm_seen_clock++; }
    """
    size_t SEEN_SLOT "SM_SEEN_SLOT"
    void seen_make "sm_seen_make"() noexcept nogil
    bint seen_is_there "sm_seen_is_there"() noexcept nogil
    void* seen_slot "sm_seen_slot"(PyObject* key) noexcept nogil
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
    return seen if likely(seen.key == key and is_simple(key)) else NULL


cdef inline bint recalled_word(Map* map, Seen* seen, PyObject* key, size_t* word) noexcept nogil:
    """Pinned: is the key in this map, where it was found, with a settled word?"""
    if unlikely(seen.stamp != load_stamp(&map.stamp)):
        return False
    race_window()
    if unlikely(key_of(seen.entry) != key):
        return False
    race_window()
    word[0] = word_of(seen.entry)
    race_window()
    return likely(is_settled(word[0]) and (not SM_FREE_THREADED or key_of(seen.entry) == key))


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
    if key_of(probe.entry) == probe.key and is_simple(probe.key):
        remember(probe.shard, probe.entry, probe.key, probe.stamp)


cdef inline void remember(Shard* shard, Entry* entry, PyObject* key, uint64_t stamp) noexcept nogil:
    """The entry was found, locked or pinned, with its very key object, which is simple, and after the map had this
    stamp."""
    cdef Seen* seen
    seen_tick()
    if unlikely(not seen_is_there()):
        seen_make()
        if not seen_is_there():
            return
    seen = <Seen*>seen_slot(key)
    if seen.key is NULL or seen_gives_way():
        seen.key = key
        seen.entry = entry
        seen.shard = shard
        seen.stamp = stamp


if sizeof(Seen) > SEEN_SLOT:
    raise MemoryError("no room for what threads of shardmap remember")
