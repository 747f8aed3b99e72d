# Snapshot: a file of a store's entries. docs/snapshot-format.md describes it for other languages; this is the same in
# the core's words. All numbers are unsigned and little-endian; every part starts at a multiple of eight bytes.
#
#   header     64 bytes                     magic, version, the key of the hash, when it was made
#   sections   about 1 MiB each             records in the order of their hashes, then an index
#   directory  64 bytes for each section    where it is, which shard and hashes it has, its checksum
#   trailer    64 bytes                     where the directory is, how many entries there are
#
# The header and the trailer end with a checksum of the 56 bytes before; a section's is in the directory, the
# directory's in the trailer. So a file is read from its end, and one that was cut off or not finished is none.
#
# A section has the records of one shard whose hashes (the 32 bits that choose a bucket) are in a range; the ranges of a
# shard do not overlap. Its index has, for `slots` equal parts of the range, where the first record of that part or a
# later one starts, in units of eight bytes from the section's start: a look-up reads a handful of records.
#
# A record: key size, with the top bit set if it has a deadline; value size; the deadline (milliseconds since 1970), if
# it has one; key; value; zeros up to a multiple of eight.
#
# What this buys: shards and sections can be written and read by several threads at once, without a lock between them;
# a file can be looked into without being read; and a reader knows of every length, before it believes it, that it lies
# within the file.

cdef enum:
    SNAPSHOT_VERSION = 1
    SNAPSHOT_HEADER = 64                # bytes
    SNAPSHOT_DESCRIPTOR = 64
    SNAPSHOT_TRAILER = 64
    RECORD_HEAD = 8                     # bytes of its two sizes
    # A section is finished when it has so many bytes: verifying one, as the first look-up does, takes 0.1 ms.
    SECTION_BYTES = 1024 * 1024
    # Records for each part of the index: it takes half a byte a record.
    RECORDS_PER_SLOT = 8

cdef extern from *:
    """
    #define SM_SNAPSHOT_MAGIC "SHARDMAP"
    #define SM_SNAPSHOT_END "SHARDEND"
    #define SM_DEADLINE_FLAG UINT32_C(0x80000000)
    """
    const char* SNAPSHOT_MAGIC "SM_SNAPSHOT_MAGIC"
    const char* SNAPSHOT_END "SM_SNAPSHOT_END"
    const uint32_t DEADLINE_FLAG "SM_DEADLINE_FLAG"

# A descriptor of the directory, as numbers of this machine.
cdef struct Section:
    uint64_t offset                     # of its first record in the file
    uint64_t size                       # bytes of its records, without the index
    uint64_t entries
    uint32_t shard
    uint32_t slots                      # of its index
    uint64_t first                      # its hashes: from this one
    uint64_t end                        # to before this one
    uint64_t checksum                   # of records and index

# What is wrong with a file, and where.
cdef struct Damage:
    const char* reason                  # NULL: nothing
    uint64_t offset

# A record in a section that has been read or mapped.
cdef struct StoredRecord:
    Span key
    Span value
    int64_t deadline                    # milliseconds since 1970; 0: none
    uint64_t size                       # of all of it
