# Probe: one operation's search for one key.
#
# Rules for callers
#   1. probe_begin hashes the key (Python code may run) and finds its shard; nothing is locked.
#   2. To write: `locate` answers FOUND or ABSENT with the stripe lock held; or -1 with an exception set, no lock held,
#      and the probe ended. For FOUND, `entry` and `ref` are valid until the lock is released, and only overwriters
#      change the entry's word meanwhile. The caller unlocks, then drops what it displaced.
#   3. To read: `locate_to_read` does the same with the thread pinned instead (or locked, while clear() is at work); it
#      ends with `end_reading`. The entry may be deleted meanwhile: its word tells.
#   4. To overwrite: `locate_to_overwrite` (overwrite.pyx).
#   5. Locating again with the same probe is allowed, after setting `rescan`. At last the caller calls probe_end.
#
# How __eq__ is called without a lock. Keys that are exactly str, int or bytes are compared in C. For any other
# candidate with the same hash the probe takes a reference to the candidate's key, unlocks or unpins, asks Python, locks
# or pins again and validates: if no entry of the shard appeared, vanished or moved since the search began (its version
# tells) it goes on where it was; otherwise it searches again from the start, remembering what Python said about
# which key object. No key object is asked about twice in one operation, so a search ends however busy the shard is and
# however __eq__ behaves; "equal" afterwards means "this very key object is in the bucket", which is what gets believed.

cdef enum:
    FOUND = EQUAL
    ABSENT = DIFFERENT

cdef struct Probe:
    PyObject* key            # borrowed from the caller's argument
    Py_hash_t hash
    uint64_t mixed
    Map* map
    Shard* shard             # NULL: the map was never written to, every key is absent
    bint pinned              # only: without the lock
    bint overwriting         # pinned as one who overwrites values
    bint known_absent        # found absent without the lock: with it that holds if the shard still has this version
    uint64_t stamp           # the map's when the search began
    uint64_t version         # the shard's
    Entry* entry
    uint32_t ref
    # -- only used once Python has been asked
    bint rescan              # searching again: consult `unequal`
    PyObject* equal          # owned: the key object that __eq__ said is the same
    PyObject** unequal       # owned, each: those that it said are not
    Py_ssize_t n_unequal
    Py_ssize_t room
    Table* table             # where to go on: the bucket, in its table, and the slots still to look at
    Bucket* bucket
    uint32_t hits
