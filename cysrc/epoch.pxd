# Epoch: when what a reader without a lock may have seen can be freed. The protocol and its rules: include/sm_epoch.h.
#
# A shard's lock pins the thread that takes it (lock_shard), so a thread that holds one or is pinned may follow every
# pointer that it finds in the map. With the GIL all of this compiles to nothing.

cdef extern from "sm_epoch.h" nogil:
    enum: BAG_ROOM "SM_BAG_ROOM"
    ctypedef struct Bag "sm_bag":
        Bag* next
        uint64_t stamp
        uint32_t n
        size_t things[1]             # really BAG_ROOM
    ctypedef struct Garbage "sm_garbage":
        Bag* open
        Bag* first
        Bag* last
        uint32_t sealed
        uint32_t things
    ctypedef struct Participant "sm_participant":
        Participant* next
        uint32_t taken
        uint32_t active
        uint32_t retired
        uint32_t due
        uint32_t busy
        uint32_t tick
        uint64_t turned
        Bag* spare
        void* lookaside
        size_t lookaside_bytes
        Garbage garbage[2]
    Participant* me "sm_me"          # this thread's; NULL before it has joined, and on GIL builds
    Participant* participants "sm_participants"
    uint32_t orphans "sm_orphans"    # a thread has ended and left something behind
    void lock_participants "sm_lock_participants"()
    void unlock_participants "sm_unlock_participants"()
    bint joined "sm_joined"()
    bint join_epochs "sm_join"()
    void pin "sm_pin"()
    void pin_to_write "sm_pin_to_write"()
    void unpin "sm_unpin"()
    uint64_t seal "sm_seal"()
    bint is_safe "sm_is_safe"(uint64_t stamp)
    bint try_advance "sm_try_advance"(uint64_t stamp, int looks)
    void wait_for_writers "sm_wait_for_writers"()
    void synchronize "sm_synchronize"()
    uint32_t coarse_clock "sm_coarse_clock"()
    void epochs_after_fork "sm_epochs_after_fork"()
    int epochs_init "sm_epochs_init"()

cdef extern from "sm_platform.h" nogil:
    Participant* load_participant "sm_load_acquire"(Participant** address)
    void store_participant "sm_store_release"(Participant** address, Participant* participant)
