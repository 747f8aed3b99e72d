# Record: a key and a value in native memory, one block of its shard's heap.
#
#   byte  0       4         8           12            16           24
#         +-------+---------+-----------+-------------+------------+---------+-----------+
#         | head  | access  | key size  | value size  | (deadline) | key ... | value ... |
#         +-------+---------+-----------+-------------+------------+---------+-----------+
#
# The head has flags and, below, the number of references: one of the shard's table, unless the record is detached, and
# one of each view or reader that goes on with the record after it has unlocked the shard. Its memory is free when there
# is none. A record that only the table refers to may be written over in place; one that others see never changes, but
# for its deadline and the time of its last access, which they do not look at.
#
# The deadline, in milliseconds of the system's boot clock, is there if the record ever had one; 0 says "none any more".
#
# A large record keeps key and value elsewhere, in memory of their own from the system, and has their address in the
# place of the key: a heap's regions would not be filled well by it, and it can be made before the shard is locked.
#
# All under the shard's lock, but for reading key and value by those who have a reference.

cdef enum:
    RECORD_HEADER = 16                  # bytes
    HAS_DEADLINE = 1 << 29
    IS_LARGE = 1 << 28
    SLACK_SHIFT = 26                    # granules that the block has more than the record needs: at most two
    SLACK_MASK = 3
    DETACHED = 1 << 25                  # replaced or removed: in no table
    REFERENCES = DETACHED - 1
    # Of a key and of a value: 31 bits, of which a snapshot needs the 32nd.
    MOST_BYTES = 0x7FFFFFFF

cdef struct Record:
    uint32_t head
    uint32_t access                     # the shard's clock when it was last read
    uint32_t key_size
    uint32_t value_size

# Bytes that somebody else owns.
cdef struct Span:
    const char* data
    size_t size

# A record to be: what it is to have, and the memory of a large one.
cdef struct Draft:
    Span key
    Span value
    int64_t deadline                    # 0: none; KEEP_DEADLINE: that of the record that it replaces
    char* large                         # NULL for one that the heap holds

cdef enum:
    KEEP_DEADLINE = -1
