# Arena: many items of one size, packed, found by a 32-bit reference instead of a 64-bit pointer.
#
# A bucket holds twelve references in the space of six pointers: that is what lets it have twelve slots in one cache
# line.
#
#   reference = chunk << 11 | granule          a granule is 8 bytes, so a chunk is at most 2048 * 8 = 16 KiB
#   address   = chunks[chunk] + granule * 8    0 is no item's reference: the first item of chunk 0 is never handed out
#
# Chunk i holds min(8 << i, as many as fit in 16 KiB) items: small maps stay small, large ones waste less than a chunk.
# Chunks never move, so an item's address holds until the arena is closed. Freed items go to a list and are handed out
# first, so that churn at a constant size needs no memory.
#
# Conventions: an item is at least 24 bytes. While it is free, bytes 16 to 19 are the reference of the next free item;
# the rest is its owner's, so that an owner's readers can tell a free item. Items of the last chunk that were never
# handed out are undefined, and no walk gets there.
# The caller holds the stripe lock. `size` is the item's size in bytes, always a constant.
#
# Readers without the lock find items by a directory that they have loaded after the item's reference. A directory that
# has become too small stays as it is until the arena is closed: together they are no larger than the present one.

cdef enum:
    GRANULE_BITS = 11
    GRANULE_MASK = (1 << GRANULE_BITS) - 1
    GRANULE = 8                                   # bytes
    CHUNK = (1 << GRANULE_BITS) * GRANULE         # bytes
    FIRST_CHUNK_ITEMS = 8
    FIRST_ROOM = 4                                # chunks that the first directory has room for
    LINK_OFFSET = 16                              # bytes, of a free item's link to the next
    MAX_CHUNKS = 1 << 20                          # 16 GiB; references stay below 2**31, one bit is the bucket's
    NO_ITEM = 0

cdef struct Arena:
    char** chunks        # the directory; one place before its start is the former one
    uint32_t n_chunks
    uint32_t room        # of the directory
    uint32_t fill        # items of the last chunk that were ever handed out
    uint32_t free_head   # newest freed item
    uint32_t n_used      # items handed out now
    uint32_t n_free      # length of that list
    Budget* budget       # that chunks and directories are on; NULL: none

# A place in a walk over all items, free ones included.
cdef struct ArenaPosition:
    uint32_t chunk
    uint32_t index
