# Bucket: one cache line, twelve slots. Table: an array of them, behind a head with what a reader needs to follow them.
#
#   byte  0        12      16                                           64
#         +---------+-------+--------------------------------------------+
#         | 12 tags | link  | 12 references to entries, 4 bytes each     |
#         +---------+-------+--------------------------------------------+
#
# A tag is one byte of the key's mixed hash, 0 for an empty slot: one vector comparison finds the slots that may hold a
# key, and one in 255 of the others looks like it. An empty slot may have a reference left, which means nothing. The
# link leads to an overflow bucket, chained when all slots are full; its top bit says of a bucket in the old table of a
# growing shard that its keys have moved. Overflow buckets belong to the table and are freed with it.
#
# Why twelve references and not seven pointers: at a million entries seven pointers cost 17 bytes an entry and twelve
# references 8.4, and the map would be larger than dict (docs/design.md).
#
# A shard has a table as one word, address | shift: an aligned address leaves six bits, and a reader gets both or
# neither. The shift leaves of a mixed hash's bucket bits as many as the table needs: 32 - log2(buckets).

cdef extern from *:
    """
    #define SM_EVACUATED UINT32_C(0x80000000)
    #define SM_LINK_MASK UINT32_C(0x7FFFFFFF)
    """
    const uint32_t EVACUATED "SM_EVACUATED"
    const uint32_t LINK_MASK "SM_LINK_MASK"

cdef enum:
    BUCKET_SIZE = 64
    SHIFT_MASK = 63          # of the word of a table

cdef struct Bucket:
    uint8_t tags[12]
    uint32_t link
    uint32_t refs[12]

cdef struct Table:
    char** chunks            # the directory of the shard's entries, at least as new as any reference in the buckets
    Arena overflow
    uint32_t buckets
    char _pad[12]            # the buckets start on a line of their own
    Bucket bucket[1]         # really `buckets` of them
