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
#   2. its stamp is the map's: the map is the one that was looked in, and no memory of its entries has been freed since.
#      A stamp is never given out twice, so a map that died and another one at its address are different;
#   3. with the shard's lock held, the stamp is still the same and the entry's key is that object. Entries never move
#      while the stamp holds; a freed entry has no key; and an entry owns its key, so an object at its address is that
#      object. Equal hashes and equality follow from identity, as for dict.
#
# in this order.
#
# GIL builds have one table for the process, guarded by the GIL. Free-threaded builds have one for each thread, which
# nobody else reads or writes: readers share nothing but the shard's lock.

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

    #include <pthread.h>
    /* A thread gets its table after so many keys that could have been in it: many threads live shorter. */
    #define SM_SEEN_THRIFT 64

    /* Two words at a fixed distance from the thread pointer, where the dynamic linker has room for them in a library
     * that is loaded late: glibc keeps some, musl does not. */
    #ifdef __GLIBC__
    #define SM_THREAD_LOCAL static __thread __attribute__((tls_model("initial-exec")))
    #else
    #define SM_THREAD_LOCAL static __thread
    #endif
    SM_THREAD_LOCAL char *sm_seen;
    SM_THREAD_LOCAL uint32_t sm_seen_clock;
    static pthread_key_t sm_seen_owner; /* its destructor frees the table of a thread that ends */

    static void sm_seen_drop(void *table) {
        sm_seen = NULL;
        sm_lines_free(table, SM_SEEN_BYTES);
    }

    static int sm_seen_init(void) { return pthread_key_create(&sm_seen_owner, sm_seen_drop); }

    static void sm_seen_make(void) {
        if (sm_seen_clock < SM_SEEN_THRIFT) {
            return;
        }
        char *table = sm_lines_new(SM_SEEN_BYTES);
        if (table != NULL && pthread_setspecific(sm_seen_owner, table) != 0) {
            sm_lines_free(table, SM_SEEN_BYTES);
            table = NULL;
        }
        sm_seen = table;
    }

    static inline int sm_seen_is_there(void) { return sm_seen != NULL; }

    #else

    static char sm_seen[SM_SEEN_BYTES] __attribute__((aligned(64)));
    static uint32_t sm_seen_clock;

    static int sm_seen_init(void) { return 0; }
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
    int seen_init "sm_seen_init"() noexcept nogil
    void seen_make "sm_seen_make"() noexcept nogil
    bint seen_is_there "sm_seen_is_there"() noexcept nogil
    void* seen_slot "sm_seen_slot"(PyObject* key) noexcept nogil
    void seen_tick "sm_seen_tick"() noexcept nogil
    bint seen_gives_way "sm_seen_gives_way"() noexcept nogil


cdef inline bint is_settled(Entry* entry) noexcept nogil:
    """Has a value, and no callback is computing another."""
    return not entry.word & MARKS


cdef inline bint is_current(Seen* seen, Map* map) noexcept nogil:
    return seen.stamp == load_stamp(&map.stamp)


cdef inline bint is_simple(PyObject* key) noexcept nogil:
    """Hashing and comparing it runs no Python code, so nobody can tell if that is left out."""
    return is_str(key) or is_int(key) or is_bytes(key)


cdef inline Seen* recall(Map* map, PyObject* key) noexcept nogil:
    """Where this thread found the key: its shard is locked now, its entry settled. Else NULL, and nothing is locked."""
    cdef Seen* seen
    if unlikely(not seen_is_there()):
        return NULL
    seen = <Seen*>seen_slot(key)
    if unlikely(seen.key != key or not is_current(seen, map) or not is_simple(key)):
        return NULL
    race_window()
    if unlikely(not try_lock(&seen.shard.lock)):
        return NULL
    if likely((not SM_FREE_THREADED or is_current(seen, map)) and seen.entry.key == key and is_settled(seen.entry)):
        return seen
    unlock(&seen.shard.lock)
    return NULL


cdef inline PyObject* take_value(Shard* shard, Entry* entry) noexcept nogil:
    """A new reference to the value of a settled entry; releases the lock."""
    cdef PyObject* value = <PyObject*>entry.word
    incref(value)
    unlock(&shard.lock)
    return value


cdef inline PyObject* recall_value(Map* map, PyObject* key) noexcept nogil:
    """A new reference to the value, or NULL if the key is not recalled."""
    cdef Seen* seen = recall(map, key)
    return take_value(seen.shard, seen.entry) if likely(seen is not NULL) else NULL


cdef inline void remember_found(Map* map, Probe* probe) noexcept nogil:
    """After a locate that has FOUND the key; its shard is still locked."""
    if probe.entry.key == probe.key and is_simple(probe.key):
        remember(map, probe.shard, probe.entry)


cdef inline void remember(Map* map, Shard* shard, Entry* entry) noexcept nogil:
    """The entry was found, with its very key object, which is simple; its shard is still locked."""
    cdef Seen* seen
    seen_tick()
    if unlikely(not seen_is_there()):
        seen_make()
        if not seen_is_there():
            return
    seen = <Seen*>seen_slot(entry.key)
    if seen.key is NULL or seen_gives_way():
        seen.key = entry.key
        seen.entry = entry
        seen.shard = shard
        seen.stamp = load_stamp(&map.stamp)


if sizeof(Seen) > SEEN_SLOT or seen_init() != 0:
    raise MemoryError("no room for what threads of shardmap remember")
