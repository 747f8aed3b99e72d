# The table of commands, and finding one by its name.
#
# Names are hashed without regard to case into a table four times as large as there are commands.

cdef enum:
    # Command.flags. Those that clients see are named in `flag_names`, in this order.
    WRITES = 1
    READS = 2
    DENY_OOM = 4
    ADMIN = 8
    FAST = 16
    WHILE_LOADING = 32
    WITHOUT_AUTH = 64
    BLOCKED_IN_MULTI = 128              # Redis calls it no-multi
    # Ours.
    AT_ONCE = 1 << 16                   # in a MULTI too, instead of being queued
    WHOLE_STORE = 1 << 17               # in a transaction all shards are held
    HAS_KEYS = 1 << 18                  # several: they are hashed, and their shards held, before it runs
    MOST_COMMANDS = 128
    COMMAND_SLOTS = 512
    LONGEST_COMMAND = 16

cdef const char* flag_names[8]
flag_names[:] = [b"write", b"readonly", b"denyoom", b"admin", b"fast", b"loading", b"no_auth", b"no_multi"]

cdef Command commands[MOST_COMMANDS]
cdef uint32_t n_commands = 0
cdef uint8_t command_slots[COMMAND_SLOTS]      # index + 1


cdef inline uint32_t command_hash(const char* name, size_t size) noexcept nogil:
    """Of a name's first and last octets, in lower case."""
    cdef uint64_t first = 0, last = 0
    if size >= 8:
        memcpy(&first, name, 8)
        memcpy(&last, name + size - 8, 8)
    else:
        memcpy(&first, name, size)
    # Letters become lower case; that digits and signs become something else does not matter.
    return <uint32_t>(multiply_fold(
        (first | <uint64_t>0x2020202020202020) ^ size, (last | <uint64_t>0x2020202020202020) ^ GOLDEN) % COMMAND_SLOTS)


cdef inline Command* find_command(Span name) noexcept nogil:
    """NULL: there is none."""
    cdef uint32_t at
    cdef Command* command
    if unlikely(name.size > LONGEST_COMMAND):
        return NULL
    at = command_hash(name.data, name.size)
    while command_slots[at]:
        command = &commands[command_slots[at] - 1]
        # Its size first: a name with a zero octet would end there for the comparison.
        if likely(command.name_size == name.size and strncasecmp(command.name, name.data, name.size) == 0):
            return command
        at = (at + 1) % COMMAND_SLOTS
    return NULL


cdef void define(const char* name, int arity, uint32_t flags, Handler run, int first=0, int last=0,
                 int step=0) noexcept:
    cdef Command* command = &commands[n_commands]
    global n_commands
    command.name = name
    command.name_size = <uint32_t>strlen(name)
    command.arity = arity
    command.flags = flags
    command.first_key = first
    command.last_key = last
    command.step = step if step else 1
    command.run = run
    command.index = n_commands
    if last < 0 or last > first:
        command.flags |= HAS_KEYS
    n_commands += 1
    cdef uint32_t at = command_hash(name, strlen(name))
    while command_slots[at]:
        at = (at + 1) % COMMAND_SLOTS
    command_slots[at] = <uint8_t>n_commands


cdef void define_connection() noexcept:
    cdef uint32_t always = FAST | WHILE_LOADING
    define(b"ping", -1, always, run_ping)
    define(b"echo", 2, always, run_echo)
    define(b"time", 1, always, run_time)
    define(b"select", 2, always, run_select)
    define(b"hello", -1, always | WITHOUT_AUTH | BLOCKED_IN_MULTI, run_hello)
    define(b"auth", -2, always | WITHOUT_AUTH | BLOCKED_IN_MULTI, run_auth)
    define(b"quit", -1, always | WITHOUT_AUTH | AT_ONCE, run_quit)
    define(b"reset", 1, always | WITHOUT_AUTH | AT_ONCE, run_reset)
    define(b"client", -2, WHILE_LOADING, run_client)
    define(b"multi", 1, always | AT_ONCE, run_multi)
    define(b"exec", 1, WHILE_LOADING | AT_ONCE, run_exec)
    define(b"discard", 1, always | AT_ONCE, run_discard)
    define(b"watch", -2, FAST | AT_ONCE, run_watch, 1, -1)
    define(b"unwatch", 1, FAST | WHILE_LOADING, run_unwatch)
    define(b"asking", 1, FAST, run_without_cluster)
    define(b"cluster", -2, 0, run_without_cluster)
    define(b"readonly", 1, always, run_without_cluster)
    define(b"readwrite", 1, always, run_without_cluster)


cdef void define_strings() noexcept:
    define(b"get", 2, READS | FAST, run_get, 1, 1)
    define(b"set", -3, WRITES | DENY_OOM, run_set, 1, 1)
    define(b"mget", -2, READS | FAST, run_mget, 1, -1)
    define(b"mset", -3, WRITES | DENY_OOM, run_mset, 1, -1, 2)
    define(b"msetnx", -3, WRITES | DENY_OOM, run_msetnx, 1, -1, 2)
    define(b"setnx", 3, WRITES | DENY_OOM | FAST, run_setnx, 1, 1)
    define(b"setex", 4, WRITES | DENY_OOM, run_setex, 1, 1)
    define(b"psetex", 4, WRITES | DENY_OOM, run_psetex, 1, 1)
    define(b"getset", 3, WRITES | DENY_OOM | FAST, run_getset, 1, 1)
    define(b"getdel", 2, WRITES | FAST, run_getdel, 1, 1)
    define(b"getex", -2, WRITES | FAST, run_getex, 1, 1)
    define(b"append", 3, WRITES | DENY_OOM | FAST, run_append, 1, 1)
    define(b"strlen", 2, READS | FAST, run_strlen, 1, 1)
    define(b"setrange", 4, WRITES | DENY_OOM, run_setrange, 1, 1)
    define(b"getrange", 4, READS, run_getrange, 1, 1)
    define(b"substr", 4, READS, run_getrange, 1, 1)
    define(b"incr", 2, WRITES | DENY_OOM | FAST, run_incr, 1, 1)
    define(b"decr", 2, WRITES | DENY_OOM | FAST, run_decr, 1, 1)
    define(b"incrby", 3, WRITES | DENY_OOM | FAST, run_incrby, 1, 1)
    define(b"decrby", 3, WRITES | DENY_OOM | FAST, run_decrby, 1, 1)
    define(b"incrbyfloat", 3, WRITES | DENY_OOM | FAST, run_incrbyfloat, 1, 1)
    define(b"delifeq", 3, WRITES | FAST, run_delifeq, 1, 1)


cdef void define_keys() noexcept:
    define(b"del", -2, WRITES, run_del, 1, -1)
    define(b"unlink", -2, WRITES | FAST, run_del, 1, -1)
    define(b"exists", -2, READS | FAST, run_exists, 1, -1)
    define(b"touch", -2, READS | FAST, run_exists, 1, -1)
    define(b"type", 2, READS | FAST, run_type, 1, 1)
    define(b"rename", 3, WRITES, run_rename, 1, 2)
    define(b"renamenx", 3, WRITES | FAST, run_renamenx, 1, 2)
    define(b"copy", -3, WRITES | DENY_OOM, run_copy, 1, 2)
    define(b"object", -2, READS | WHOLE_STORE, run_object)
    define(b"memory", -2, READS | WHOLE_STORE, run_memory)
    define(b"randomkey", 1, READS | WHOLE_STORE, run_randomkey)
    define(b"keys", 2, READS | WHOLE_STORE, run_keys)
    define(b"scan", -2, READS | WHOLE_STORE, run_scan)
    define(b"dbsize", 1, READS | FAST, run_dbsize)
    define(b"flushdb", -1, WRITES | WHOLE_STORE, run_flush)
    define(b"flushall", -1, WRITES | WHOLE_STORE, run_flush)


cdef void define_deadlines() noexcept:
    define(b"expire", -3, WRITES | FAST, run_expire, 1, 1)
    define(b"pexpire", -3, WRITES | FAST, run_pexpire, 1, 1)
    define(b"expireat", -3, WRITES | FAST, run_expireat, 1, 1)
    define(b"pexpireat", -3, WRITES | FAST, run_pexpireat, 1, 1)
    define(b"ttl", 2, READS | FAST, run_ttl, 1, 1)
    define(b"pttl", 2, READS | FAST, run_pttl, 1, 1)
    define(b"expiretime", 2, READS | FAST, run_expiretime, 1, 1)
    define(b"pexpiretime", 2, READS | FAST, run_pexpiretime, 1, 1)
    define(b"persist", 2, WRITES | FAST, run_persist, 1, 1)


cdef void define_the_rest() noexcept:
    cdef uint32_t here = WHILE_LOADING | BLOCKED_IN_MULTI
    define(b"evalsha", -3, WRITES | BLOCKED_IN_MULTI, run_evalsha)
    define(b"eval", -3, WRITES | BLOCKED_IN_MULTI, to_python)
    define(b"script", -2, here, to_python)
    define(b"info", -1, here, to_python)
    define(b"command", -1, here, to_python)
    define(b"config", -2, here | ADMIN, to_python)
    define(b"slowlog", -2, here | ADMIN, to_python)
    define(b"latency", -2, here | ADMIN, to_python)
    define(b"save", 1, BLOCKED_IN_MULTI | ADMIN, to_python)
    define(b"bgsave", -1, BLOCKED_IN_MULTI | ADMIN, to_python)
    define(b"lastsave", 1, here | FAST, to_python)
    define(b"shutdown", -1, here | ADMIN, to_python)


define_connection()
define_strings()
define_keys()
define_deadlines()
define_the_rest()
