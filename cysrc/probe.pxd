# Probe: one operation's search for one key.
#
# Rules for callers
#   1. probe_begin hashes the key (Python code may run) and finds its shard; nothing is locked.
#   2. locate answers FOUND or ABSENT with the stripe lock held; or -1 with an exception set, no lock held, and the
#      probe ended. For FOUND, `entry` and `ref` are valid until the lock is released.
#   3. The caller unlocks, then drops what it displaced, then calls probe_end.
#   4. Locating again with the same probe is allowed before step 3, after setting `rescan`.
#
# How __eq__ is called without a lock. Keys that are exactly str, int or bytes are compared in C, under the lock. For
# any other candidate with the same hash the probe takes a reference to the candidate's key, releases the lock, asks
# Python, takes the lock again and validates: if no entry of the shard appeared, vanished or moved meanwhile (its
# version tells) it goes on where it was; otherwise it searches again from the start, remembering what Python said about
# which key object. No key object is asked about twice in one operation, so a search ends however busy the shard is and
# however __eq__ behaves; "equal" afterwards means "this very key object is in the bucket", which is what gets believed.

cdef enum:
    FOUND = EQUAL
    ABSENT = DIFFERENT

cdef struct Probe:
    PyObject* key            # borrowed from the caller's argument
    Py_hash_t hash
    uint64_t mixed
    Shard* shard             # NULL: the map was never written to, every key is absent
    Entry* entry
    uint32_t ref
    # -- only used once Python has been asked
    bint rescan              # searching again: consult `unequal`
    PyObject* equal          # owned: the key object that __eq__ said is the same
    PyObject** unequal       # owned, each: those that it said are not
    Py_ssize_t n_unequal
    Py_ssize_t room
    Bucket* bucket           # where to go on: the bucket, its slots still to look at, the version this holds for
    uint32_t hits
    uint64_t version
