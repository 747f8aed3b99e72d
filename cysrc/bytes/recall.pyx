# Recall: what a thread knows of key objects that it has used before.
#
# Programs use the same key objects again and again. Of each of the last ones a thread keeps
#
#   - its mixed hash, which takes 20 ns to compute;
#   - its record. As long as no key of the shard has moved to another record, which the shard's number of moves tells,
#     it is the key's: a write of the same length goes there without a search, and `in` needs no lock;
#   - if the value is short, the bytes object that it was given for it. As long as nothing has changed in the shard,
#     which its number of changes tells, that object is the value: a look-up needs neither the lock nor a copy.
#
#     recalled[the top bits of (address of the key * odd constant)]      one cache line
#
# or the slot beside it. A slot owns its key and its value, so an address means the object; both are exactly bytes, and
# dropping them runs nothing. The store is known by a number that no other one ever gets, so a slot may outlive it.
#
# Linearizable: moves and changes are counted under the shard's lock. Who reads the same number as when the value was
# read has a value that was right at that moment: a writer who is inside the lock has not returned.
#
# Not kept: records with a deadline, whose time comes without a write; and values while the store evicts what was not
# used for long, because it would not learn of such reads.
#
# A key object is remembered when it is used for the second time.
#
# GIL builds have one table for the process. Free-threaded builds have one for each thread, in its thread state's dict,
# so that it goes with the thread state while objects can still be dropped.

cdef struct Recalled:
    PyObject* key                       # owned, or NULL
    PyObject* value                     # owned, or NULL
    uint64_t store                      # its id
    uint64_t mixed
    ByteShard* shard
    Record* record                      # or NULL
    uint64_t moves
    uint64_t changes

cdef enum:
    # Sets of two slots: of 1,000 keys in use 20 find no room. Half of this for each thread of a free-threaded build.
    RECALL_BITS = 11
    RECALL_SETS = 1 << RECALL_BITS
    # Bytes of a key or a value that is kept: all slots together keep 4 MiB alive at most.
    MOST_RECALLED = 512

cdef extern from *:
    """
    /* Of the number of sets of tags of keys that were seen once: 16 KiB. */
    #define SM_MET_BITS 11
    #if SM_FREE_THREADED
    SM_THREAD_LOCAL void *sm_recall;
    #else
    static void *sm_recall;
    #endif
    static inline void sm_set_recall(void *table) { sm_recall = table; }
    #define sm_load_changes(number) __atomic_load_n(number, __ATOMIC_ACQUIRE)
    """
    enum: MET_BITS "SM_MET_BITS"
    void* recall_table "sm_recall"
    void set_recall_table "sm_set_recall"(void* table) noexcept nogil
    uint64_t load_changes "sm_load_changes"(uint64_t* number) noexcept nogil

cdef extern from "Python.h":
    PyObject* PyThreadState_GetDict() noexcept
    PyObject* PyCapsule_New(void* pointer, const char* name, void (*destructor)(PyObject*) noexcept) noexcept
    void* PyCapsule_GetPointer(PyObject* capsule, const char* name) noexcept
    int PyDict_SetItemString(PyObject* dictionary, const char* key, PyObject* value) noexcept
    void PyErr_Clear() noexcept


cdef void forget_recalled(PyObject* capsule) noexcept:
    """The thread state goes, and this thread's table with it."""
    cdef Recalled* table = <Recalled*>PyCapsule_GetPointer(capsule, NULL)
    cdef int i
    # At the end of the interpreter, and in the child of a fork, one thread does this for the others.
    if recall_table is table:
        set_recall_table(NULL)
    for i in range(2 * RECALL_SETS):
        xdecref(table[i].key)
        xdecref(table[i].value)
    free(table)


cdef bint make_recall_table() noexcept:
    """False: no memory; everything works without."""
    cdef PyObject* capsule
    cdef Recalled* table = <Recalled*>calloc(2 * RECALL_SETS, sizeof(Recalled))
    if table is NULL:
        return False
    if SM_FREE_THREADED:
        capsule = PyCapsule_New(table, NULL, forget_recalled)
        if capsule is NULL or PyThreadState_GetDict() is NULL or PyDict_SetItemString(
                PyThreadState_GetDict(), "shardmap.recall", capsule) < 0:
            # The capsule's destructor frees the table, if it was made.
            PyErr_Clear()
            if capsule is NULL:
                free(table)
            xdecref(capsule)
            return False
        decref(capsule)
    set_recall_table(table)
    return True


cdef inline Recalled* recall_set(PyObject* key) noexcept nogil:
    """The first of the two slots where the key may be; the table is there."""
    return &(<Recalled*>recall_table)[2 * ((<uint64_t><size_t>key * GOLDEN) >> (64 - RECALL_BITS))]


cdef inline Recalled* recall_bytes(PyObject* key, ByteStore* store) noexcept nogil:
    """The slot of this very key object for this store, or NULL."""
    cdef Recalled* slot
    if unlikely(recall_table is NULL):
        return NULL
    slot = recall_set(key)
    if slot.key != key:
        slot += 1
        if slot.key != key:
            return NULL
    return slot if likely(store is not NULL and slot.store == store.id) else NULL


cdef inline PyObject* recalled_value(PyObject* key, ByteStore* store) noexcept nogil:
    """A new reference to the key's value, or NULL if it is not known to be that still."""
    cdef Recalled* slot = recall_bytes(key, store)
    if unlikely(slot is NULL or slot.value is NULL or load_changes(&slot.shard.changes) != slot.changes):
        return NULL
    incref(slot.value)
    return slot.value


cdef inline void spot_for_object(Spot* spot, ByteStore* store, PyObject* key) noexcept nogil:
    """spot_for, for a key that is exactly bytes."""
    spot_for_recalled(spot, store, key, recall_bytes(key, store))


cdef inline void spot_for_recalled(Spot* spot, ByteStore* store, PyObject* key, Recalled* slot) noexcept nogil:
    cdef Span span
    span.data = bytes_data(key)
    span.size = bytes_size(key)
    if likely(slot is not NULL):
        spot.key = span
        spot.mixed = slot.mixed
        spot.shard = slot.shard
        spot.record = NULL
    else:
        spot_for(spot, store, span)


cdef inline void note_recall(Recalled* seen, Spot* spot) noexcept nogil:
    """Locked: what there is to remember of a record that has been found."""
    seen.shard = spot.shard
    seen.store = spot.shard.store.id
    seen.mixed = spot.mixed
    seen.record = NULL if unlikely(spot.record.head & HAS_DEADLINE) else spot.record
    seen.moves = spot.shard.moves
    seen.changes = spot.shard.changes


cdef extern from *:
    """
    /* What was seen once, shared by all threads: four tags of 16 bits in a set, the newest lowest. */
    static uint64_t sm_met[1 << SM_MET_BITS];

    static inline int sm_met_before(uint64_t at, uint64_t tag) {
        uint64_t tags = __atomic_load_n(&sm_met[at], __ATOMIC_RELAXED), zero_where_equal;
        zero_where_equal = tags ^ tag * UINT64_C(0x0001000100010001);
        /* Has one of the four a borrow out of nothing? Then it is zero (or, seldom, above one that is). */
        if ((zero_where_equal - UINT64_C(0x0001000100010001)) & ~zero_where_equal & UINT64_C(0x8000800080008000)) {
            return 1;
        }
        __atomic_store_n(&sm_met[at], tags << 16 | tag, __ATOMIC_RELAXED);
        return 0;
    }
    """
    bint sm_met_before(uint64_t at, uint64_t tag) noexcept nogil


cdef inline bint met_before(PyObject* key, uint64_t mixed) noexcept nogil:
    """Has a key been used at this address, with this hash? Keys that are made, used once and dropped are most of the
    keys of many programs; to remember each took longer than the look-up. (Other keys often get their addresses, so the
    hash is asked for too.) A wrong answer costs or saves a little time."""
    return sm_met_before((<uint64_t><size_t>key * GOLDEN) >> (64 - MET_BITS), (mixed >> 20 & 0xFFFF) | 1)


cdef inline void recall_later(PyObject* key, PyObject* value, Recalled* seen) noexcept:
    """Remember what was noted of a key object and, unless NULL, the value that it had then."""
    cdef Recalled* slot
    # A slot keeps the key alive, be it gone from the map.
    if unlikely(bytes_size(key) > MOST_RECALLED) or unlikely(recall_table is NULL) and not make_recall_table():
        return
    slot = recall_set(key)
    if slot.key != key and (slot + 1).key != key and not met_before(key, seen.mixed):
        return
    if slot.key != key:
        if slot.key is not NULL and (slot + 1).key != key:
            # The older of the two goes.
            move_recalled(slot)
        elif (slot + 1).key == key:
            slot += 1
    fill_recalled(slot, key, value, seen)


cdef inline void move_recalled(Recalled* slot) noexcept:
    """Make room in the first slot: what it has moves to the second."""
    cdef Recalled former = (slot + 1)[0]
    (slot + 1)[0] = slot[0]
    slot.key = slot.value = NULL
    xdecref(former.key)
    xdecref(former.value)


cdef inline void fill_recalled(Recalled* slot, PyObject* key, PyObject* value, Recalled* seen) noexcept:
    cdef PyObject* former = slot.value
    if slot.key != key:
        incref(key)
    if value is not NULL:
        incref(value)
    slot[0] = seen[0]
    slot.key = key
    slot.value = value
    xdecref(former)


cdef inline bint may_recall(Recalled* seen, PyObject* value) noexcept nogil:
    """May the value be kept by the thread that has read it?"""
    return (seen.record is not NULL and bytes_size(value) <= MOST_RECALLED
            and read_policy(&seen.shard.store.policy) != ALL_KEYS_LRU)


cdef inline bint recalled_presence(PyObject* key, ByteStore* store) noexcept nogil:
    """Is the key known to be present? False: perhaps."""
    cdef Recalled* slot = recall_bytes(key, store)
    return slot is not NULL and slot.record is not NULL and load_changes(&slot.shard.moves) == slot.moves


cdef inline bint find_recalled(Spot* spot, Recalled* slot, PyObject* key) noexcept nogil:
    """Locked: has the key the record still that it had? Its place in the table is not looked for."""
    # With a GIL, waiting for the lock has given it away: others may have put another key into the slot.
    if slot.key != key or slot.store != spot.shard.store.id or slot.record is NULL or slot.moves != spot.shard.moves:
        return False
    spot.record = slot.record
    return True
