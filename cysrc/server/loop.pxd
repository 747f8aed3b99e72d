# Loop: one thread's clients, and what it works with while it serves one of them.

cdef enum:
    # Bytes read from a client in one turn: what comes after waits until the others have had theirs.
    READ_SIZE = 16 * 1024
    # Replies are sent when there is so much of them, before the turn's end.
    SEND_SIZE = 64 * 1024
    # Memory of the shared buffer for replies that is kept from turn to turn.
    KEPT_OUTPUT = 1 << 20
    # Commands that are read, and whose memory is fetched, before the first of them is run.
    REQUESTS = IN_FLIGHT
    EVENTS = 128                        # of one call of epoll_wait
    # Buckets of the histogram: below 2**i * 250 ns, the last without a bound.
    TIME_BUCKETS = 24

# A command that has come as a whole.
cdef struct Request:
    Command* command                    # NULL: unknown
    uint32_t n                          # arguments, the name among them
    uint32_t first                      # of them in the loop's array
    Span* arguments
    size_t end                          # where the next one begins
    Spot spot                           # of the first key, if it has one

ctypedef void (*Handler)(Loop* loop, Request* request) noexcept nogil

cdef struct Command:
    const char* name                    # in lower case
    uint32_t name_size
    int arity                           # arguments with the name; -n: n or more
    uint32_t flags
    int first_key
    int last_key                        # -1: the last argument
    int step
    Handler run
    uint32_t index

cdef struct CommandCount:
    uint64_t calls
    uint64_t ticks
    uint64_t rejected
    uint64_t failed
    uint64_t times[TIME_BUCKETS]

# A command that Python is to answer.
cdef struct Handed:
    Handed* following
    Client* client
    Command* command
    uint32_t protocol
    uint64_t client_id
    uint64_t began                      # ticks
    uint32_t n
    Span arguments[1]

# What another thread has for a loop.
cdef enum:
    NEW_CLIENT = 0
    REPLY = 1
    LOOK = 2                            # at what has been killed, or at the order to stop

cdef struct Message:
    Message* following
    uint32_t kind
    Client* client                      # of NEW_CLIENT
    Handed* handed                      # of REPLY
    Buffer reply
    bint failed                         # it is an error

cdef struct Loop:
    Source wake                         # first: an eventfd
    Server* server
    ByteStore* store
    Settings* settings                  # of this turn
    Client* client                      # being served
    Buffer out                          # its replies
    bint failed                         # the command that is being run has answered with an error
    bint holds                          # the locks of all shards that it needs, and each command in it may rely on that
    uint64_t* held                      # a bit for each shard
    int epoll
    uint32_t index
    uint32_t has_thread                 # some thread is in run()
    uint32_t n_requests
    uint32_t n_arguments
    uint32_t room_arguments
    uint32_t room_spots
    Request requests[REQUESTS]
    Span* arguments
    Spot* spots                         # of a command with several keys
    Buffer scratch                      # a value, or a reply, that is being made
    Parse parse
    char* input                         # INPUT_ROOM bytes
    uint64_t now                        # ns of the steady clock, when epoll told of what is served
    uint64_t random
    Client* dead
    pthread_mutex_t guard               # of the list of clients, and of their texts
    Client* clients
    uint64_t n_clients
    pthread_mutex_t inbox_guard
    Message* inbox
    Message** inbox_end
    # Numbers for statistics.
    uint64_t commands
    uint64_t input_bytes
    uint64_t output_bytes
    uint64_t protocol_errors
    uint64_t errors
    uint64_t auth_failures
    uint64_t output_limits
    uint64_t query_limits
    uint64_t timeouts
    uint64_t slow_commands
    uint64_t transactions
    uint64_t transactions_aborted
    uint64_t error_kinds[8]
    CommandCount* counts

cdef struct SlowEntry:
    uint64_t id
    int64_t unix_seconds
    uint64_t microseconds
    char address[NAME_ROOM]
    char name[NAME_ROOM]
    uint32_t n
    Span* arguments                     # their bytes are behind

cdef struct Listener:
    Source source
    Listener* following

cdef struct Server:
    ByteStore* store
    Settings* settings                  # the newest
    Loop* loops
    uint32_t threads
    uint32_t loading
    uint32_t accepting
    uint32_t stopping
    uint32_t running                    # loops
    uint64_t next_client
    uint64_t n_clients
    uint64_t received                   # connections
    uint64_t rejected
    Listener* listeners
    double ns_per_tick
    uint64_t waiting                    # clients, for Python
    pthread_mutex_t calls_guard
    pthread_cond_t calls_there
    Handed* calls
    Handed** calls_end
    pthread_mutex_t slow_guard
    SlowEntry* slow                     # a ring
    uint64_t slow_room
    uint64_t slow_next                  # id
    uint64_t slow_first                 # id of the oldest one that counts
