# Heap: where a shard of a byte store keeps its records. Two-level segregated fit: Masmano, Ripoll, Crespo and Real,
# TLSF, 2004. Taking and giving a block are O(1), neighbours that are free become one block at once, and no memory is
# set aside for sizes that nobody uses, as an allocator with size classes would do in each shard.
#
#   reference   chunk << 11 | granule, as in an arena: 16 KiB a chunk, 8 bytes a granule, so that 32 bits reach 32 GiB
#   region      1 to 64 successive chunks, contiguous in memory, from the system; more for a block that needs them
#
#       granule 0     1                                                                last
#       +----------+-----------+-----------+--------------------------+------------+-----------+
#       | nothing  | block     | block     |           ...            | block      | sentinel  |
#       +----------+-----------+-----------+--------------------------+------------+-----------+
#
# So reference 0 is no block, and every block has one behind it, if only the sentinel, which is never free. A block in
# use is a record; all that the heap needs of it are the two top bits of its first word, and its size, which the
# record's own lengths tell (record.pxd). A free block
#
#       | FREE | AFTER_FREE | -     | size   | next  | previous |   ...   | size  |
#
# is at least three granules; its last word is for the block behind it, which knows by AFTER_FREE to look there.
#
# Free blocks are in lists by size: sixteen lists for each power of two, so a list's sizes differ by 6% at most. All
# under the shard's lock.

cdef enum:
    LINEAR_BITS = 4
    LISTS = 1 << LINEAR_BITS       # for each power of two
    LEVELS = 15                    # up to 2**18 granules, 2 MiB: more than a region that holds more than one record
    LEAST_BLOCK = 3                # granules
    # Blocks of the list where a size belongs that are looked at before those of the next lists, which all fit. Without
    # this a heap of records of one size would not use the room of one for the next.
    LOOKS_IN_LIST = 4
    # Chunks of a region: an eighth of what the heap has or will have, so that little of a small map is unused.
    LARGEST_REGION = 64
    REGION_SHARE = 8

cdef extern from *:
    """
    #define SM_FREE_BLOCK UINT32_C(0x80000000)
    #define SM_AFTER_FREE UINT32_C(0x40000000)
    /* Who keeps a record reads its flags without the lock, while others change references and AFTER_FREE. */
    #define sm_read_head(head) __atomic_load_n(head, __ATOMIC_RELAXED)
    #define sm_write_head(head, word) __atomic_store_n(head, word, __ATOMIC_RELAXED)
    """
    uint32_t read_head "sm_read_head"(uint32_t* head) noexcept nogil
    void write_head "sm_write_head"(uint32_t* head, uint32_t word) noexcept nogil
    const uint32_t FREE_BLOCK "SM_FREE_BLOCK"
    const uint32_t AFTER_FREE "SM_AFTER_FREE"

cdef struct FreeBlock:
    uint32_t head
    uint32_t size                  # granules
    uint32_t next                  # in its list; 0 at the end
    uint32_t previous

cdef struct Heap:
    char** chunks                  # the directory; NULL where no region is
    uint32_t* spans                # for each chunk: how many its region has, if it is the first of one; else 0
    uint32_t n_chunks              # of the directory, regions that were given back included
    uint32_t room
    uint32_t free_slots            # of the directory: chunks of regions that were given back
    uint64_t reserved              # bytes of all regions
    uint64_t expected              # bytes of blocks, about, that a load will take; else 0
    uint64_t free_granules
    Budget* budget
    uint64_t rest                  # of the budget, bytes that regions leave to tables
    uint32_t levels                # bit i: level i has a free block
    uint16_t lists[LEVELS]         # bit j: list j of the level has one
    uint32_t first[LEVELS * LISTS]
    uint32_t used[LEVELS * LISTS]  # blocks in use, by size
