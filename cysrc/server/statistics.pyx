# The service's numbers, summed over its loops, each at its own instant.

cdef dict statistics_of(Server* server):
    cdef Loop* loop
    cdef uint32_t i
    cdef dict numbers = dict.fromkeys((
        "commands", "net_input_bytes", "net_output_bytes", "protocol_errors", "errors", "auth_failures",
        "output_limit_disconnections", "query_limit_disconnections", "timeouts", "slow_commands", "transactions",
        "transactions_aborted"), 0)
    for i in range(server.threads):
        loop = &server.loops[i]
        numbers["commands"] += seen(&loop.commands)
        numbers["net_input_bytes"] += seen(&loop.input_bytes)
        numbers["net_output_bytes"] += seen(&loop.output_bytes)
        numbers["protocol_errors"] += seen(&loop.protocol_errors)
        numbers["errors"] += seen(&loop.errors)
        numbers["auth_failures"] += seen(&loop.auth_failures)
        numbers["output_limit_disconnections"] += seen(&loop.output_limits)
        numbers["query_limit_disconnections"] += seen(&loop.query_limits)
        numbers["timeouts"] += seen(&loop.timeouts)
        numbers["slow_commands"] += seen(&loop.slow_commands)
        numbers["transactions"] += seen(&loop.transactions)
        numbers["transactions_aborted"] += seen(&loop.transactions_aborted)
    numbers["connections_received"] = seen(&server.received)
    numbers["connections_rejected"] = seen(&server.rejected)
    numbers["clients"] = seen(&server.n_clients)
    numbers["blocked"] = seen(&server.waiting)
    numbers["loops"] = server.threads
    return numbers


cdef list command_statistics_of(Server* server):
    cdef CommandCount sum
    cdef uint32_t index, i
    cdef int bucket
    cdef list rows = []
    for index in range(n_commands):
        memset(&sum, 0, sizeof(sum))
        for i in range(server.threads):
            add_counts(&sum, &server.loops[i].counts[index])
        if sum.calls or sum.rejected:
            rows.append((text_of(commands[index].name), sum.calls,
                         <uint64_t>(sum.ticks * server.ns_per_tick / 1000), sum.rejected, sum.failed,
                         tuple([sum.times[bucket] for bucket in range(TIME_BUCKETS)])))
    return rows


cdef void add_counts(CommandCount* sum, CommandCount* count) noexcept nogil:
    cdef int bucket
    sum.calls += seen(&count.calls)
    sum.ticks += seen(&count.ticks)
    sum.rejected += seen(&count.rejected)
    sum.failed += seen(&count.failed)
    for bucket in range(TIME_BUCKETS):
        sum.times[bucket] += seen(&count.times[bucket])


cdef void reset_statistics_of(Server* server) noexcept nogil:
    """A loop that is counting at this moment may keep one count."""
    cdef Loop* loop
    cdef uint32_t i, at
    cdef uint64_t* number
    for i in range(server.threads):
        loop = &server.loops[i]
        number = &loop.commands
        while number < <uint64_t*>&loop.error_kinds[ERROR_KINDS]:
            note(number, 0)
            number += 1
        number = <uint64_t*>loop.counts
        for at in range(MOST_COMMANDS * (sizeof(CommandCount) // sizeof(uint64_t))):
            note(&number[at], 0)
    note(&server.received, 0)
    note(&server.rejected, 0)


cdef list shard_statistics_of(ByteStore* store):
    cdef ByteShard* shard
    cdef uint64_t entries, reserved, hits, misses, expired, evicted, contended, changes
    cdef uint32_t i
    cdef list rows = []
    for i in range(store.shards):
        shard = byte_shard(store, i)
        # No Python object is made with the lock held: the collector may run then, and with it any __del__, which may
        # use the map.
        lock_bytes(&shard.base.lock)
        entries = shard.base.count
        reserved = (shard.heap.reserved + shard.large + bytes_of_table(shard.base.table)
                    + bytes_of_table(shard.base.old))
        hits = shard.hits
        misses = shard.misses
        expired = shard.expired
        evicted = shard.evicted
        contended = shard.contended
        changes = shard.changes
        unlock_byte_shard(shard)
        rows.append((entries, reserved, hits, misses, expired, evicted, contended, changes))
    return rows


cdef list clients_of(Server* server):
    cdef Loop* loop
    cdef Client* copies
    cdef uint64_t n, room
    cdef uint32_t i
    cdef list rows = []
    for i in range(server.threads):
        loop = &server.loops[i]
        room = seen(&loop.n_clients) + 64
        copies = <Client*>malloc(room * sizeof(Client))
        if copies is NULL:
            raise MemoryError
        n = copy_clients(loop, copies, room)
        try:
            rows += [client_row(&copies[at], i) for at in range(n)]
        finally:
            free(copies)
    return rows


cdef uint64_t copy_clients(Loop* loop, Client* copies, uint64_t room) noexcept nogil:
    """What others may look at of each client; its loop goes on meanwhile."""
    cdef Client* client
    cdef Client* copy
    cdef uint64_t n = 0
    pthread_mutex_lock(&loop.guard)
    client = loop.clients
    while client is not NULL and n < room:
        copy = &copies[n]
        memset(copy, 0, sizeof(Client))
        copy.id = client.id
        copy.source.fd = client.source.fd
        copy.since = client.since
        copy.active = seen(&client.active)
        copy.protocol = seen_flag(&client.protocol)
        copy.state = seen_flag(&client.state)
        copy.n_queued = seen_flag(&client.n_queued)
        copy.n_watched = seen_flag(&client.n_watched)
        copy.last_command = seen_pointer(&client.last_command)
        copy.input_bytes = seen(&client.input_bytes)
        copy.output_bytes = seen(&client.output_bytes)
        copy.commands = seen(&client.commands)
        copy.waiting_input = seen(&client.waiting_input)
        copy.waiting_output = seen(&client.waiting_output)
        memcpy(copy.address, client.address, 5 * NAME_ROOM)
        n += 1
        client = client.following
    pthread_mutex_unlock(&loop.guard)
    return n


cdef dict client_row(Client* client, uint32_t loop):
    cdef uint64_t now = steady_ns()
    return {
        "id": client.id, "fd": client.source.fd, "addr": text_of(client.address),
        "laddr": text_of(client.local_address),
        "name": text_of(client.name), "lib_name": text_of(client.library), "lib_ver": text_of(client.library_version),
        "age": (now - client.since) // 1000000000, "idle": max(<int64_t>(now - client.active), 0) // 1000000000,
        "resp": client.protocol, "authenticated": client.state & AUTHENTICATED != 0,
        "multi": client.n_queued if client.state & IN_MULTI else -1, "watch": client.n_watched,
        "qbuf": client.waiting_input, "omem": client.waiting_output,
        "cmd": text_of((<Command*>client.last_command).name) if client.last_command is not NULL else "NULL",
        "tot_net_in": client.input_bytes, "tot_net_out": client.output_bytes, "tot_cmds": client.commands, "loop": loop,
    }


cdef SlowEntry* copy_slow_log(Server* server, uint64_t* n) noexcept nogil:
    """The entries, newest first, in memory of the caller's: each one's `arguments` are its own. NULL: no memory."""
    cdef SlowEntry* copies
    cdef SlowEntry* entry
    cdef Span* arguments
    cdef char* at
    cdef uint64_t id, oldest
    cdef uint32_t i
    pthread_mutex_lock(&server.slow_guard)
    oldest = max(server.slow_first, server.slow_next - min(server.slow_next, server.slow_room))
    copies = <SlowEntry*>calloc(server.slow_next - oldest + 1, sizeof(SlowEntry))
    n[0] = 0
    if copies is not NULL:
        for id in range(server.slow_next, oldest, -1):
            entry = &server.slow[(id - 1) % server.slow_room]
            arguments = <Span*>malloc(entry.n * (sizeof(Span) + SLOW_TEXT))
            if arguments is NULL:
                break
            at = <char*>(arguments + entry.n)
            for i in range(entry.n):
                memcpy(at, entry.arguments[i].data, entry.arguments[i].size)
                arguments[i].data = at
                arguments[i].size = entry.arguments[i].size
                at += entry.arguments[i].size
            copies[n[0]] = entry[0]
            copies[n[0]].arguments = arguments
            n[0] += 1
    pthread_mutex_unlock(&server.slow_guard)
    return copies


cdef list slow_log_of(Server* server):
    """No Python object is made with the guard held: the collector may run then, with any __del__, and let other threads
    run that want the guard."""
    cdef SlowEntry* entry
    cdef uint64_t n, at
    cdef uint32_t i
    cdef list rows = []
    cdef SlowEntry* copies = copy_slow_log(server, &n)
    if copies is NULL:
        raise MemoryError
    try:
        for at in range(n):
            entry = &copies[at]
            rows.append((entry.id, <double>entry.unix_seconds, entry.microseconds,
                         [bytes_of_span(entry.arguments[i]) for i in range(entry.n)],
                         text_of(entry.address), text_of(entry.name)))
    finally:
        for at in range(n):
            free(copies[at].arguments)
        free(copies)
    return rows
