# What a store holds and has done, in numbers.

cdef dict numbers_of(ByteStore* store):
    """Sums over the shards, each at its own instant."""
    cdef ByteShard* shard
    cdef uint64_t entries = 0, content = 0, used = 0, large = 0, heap = 0, tables = 0, unusable = 0, free_bytes = 0
    cdef uint64_t expired = 0, evicted = 0, deadlines = 0, kept = 0, buckets = 0, growths = 0
    cdef uint64_t most = 0, least = <uint64_t>-1, longest_sweep = 0
    cdef uint32_t i
    for i in range(store.shards):
        shard = byte_shard(store, i)
        lock_bytes(&shard.base.lock)
        entries += shard.base.count
        most = max(most, <uint64_t>shard.base.count)
        least = min(least, <uint64_t>shard.base.count)
        content += shard.payload
        used += shard.in_blocks - shard.slack
        large += shard.large
        heap += shard.heap.reserved
        free_bytes += shard.heap.free_granules * GRANULE
        unusable += shard.slack + GRANULE * too_small(&shard.heap, smallest_in_use(&shard.heap))
        tables += bytes_of_table(shard.base.table) + bytes_of_table(shard.base.old)
        buckets += buckets_of(shard.base.table) if not is_unused(&shard.base) else 0
        growths += shard.base.growths
        expired += shard.expired
        evicted += shard.evicted
        deadlines += shard.n_deadlines
        kept += shard.kept
        longest_sweep = max(longest_sweep, shard.longest_sweep)
        unlock_byte_shard(shard)
    return {
        "entries": entries, "most_in_shard": most, "least_in_shard": least, "deadlines": deadlines, "kept": kept,
        "content": content, "used": used, "large": large, "heap": heap, "free": free_bytes, "unusable": unusable,
        "tables": tables, "reserved": budget_taken(&store.budget), "buckets": buckets, "growths": growths,
        "expired": expired, "evicted": evicted, "longest_sweep_ns": longest_sweep,
    }
