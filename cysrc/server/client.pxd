# Client: a connection, and all that is known of it. It belongs to one loop's thread, which alone changes it; others
# look at the numbers of it that are noted atomically, and at the texts with the loop's list locked.

cdef struct Command
cdef struct Loop
cdef struct Server

# What epoll tells of: the first field of each thing that is registered there says what it is.
cdef enum:
    WAKE = 0
    LISTENER = 1
    CLIENT = 2

cdef struct Source:
    uint32_t kind
    int fd

# An argument, in a buffer that may move: where it begins, from the command's first byte on.
cdef struct Piece:
    size_t at
    size_t size

# A command that is being read.
cdef struct Parse:
    int64_t expected                    # arguments; 0: its first line has not come
    int64_t bulk                        # bytes of the argument that comes next; -1: its length has not come
    size_t at                           # what was understood
    uint32_t n                          # arguments that are there
    uint32_t room
    Piece* pieces

# A command of a transaction, with its arguments' bytes behind.
cdef struct Queued:
    Queued* following
    Command* command
    uint32_t n
    Span arguments[1]                   # the first of them

# A key that is to be as it was: its record is kept, so that no other can be taken for it.
cdef struct Watched:
    Watched* following
    Spot spot                           # its key's bytes are behind this
    ByteShard* shard
    Record* record                      # NULL: absent
    Expectation expectation             # that it comes, if it was absent
    uint32_t ref
    int64_t deadline

cdef enum:
    # Of a name, a library's name, an address.
    NAME_ROOM = 128

cdef enum:
    # Client.state, bits.
    AUTHENTICATED = 1
    IN_MULTI = 2                        # commands are queued
    SPOILED = 4                         # one of them could not be
    WAITING = 8                         # for Python's answer
    CLOSING = 16                        # once its replies are sent
    DEAD = 32                           # closed; its memory goes when nobody has it
    DOOMED = 64                         # a watched key could not be kept

cdef struct Client:
    Source source                       # first
    Loop* loop
    Client* following                   # in the loop's list
    Client* former
    Client* following_dead
    uint64_t id
    uint32_t state
    uint32_t protocol                   # 2 or 3
    uint32_t events                     # that epoll is asked for
    bint has_more                       # to be read, of which epoll has told already
    uint32_t killed                     # by another thread
    Buffer input                        # what has not been understood yet
    Buffer output                       # what could not be sent yet
    Parse parse
    Queued* queue
    Queued** queue_end
    uint32_t n_queued
    uint32_t n_watched
    size_t queued_bytes
    Watched* watched
    void* last_command                  # Command*
    uint64_t since                      # ns of the steady clock: connected
    uint64_t active                     # last heard of
    uint64_t request_since              # a half-sent command began; 0: none
    uint64_t input_bytes
    uint64_t output_bytes
    uint64_t commands
    uint64_t waiting_input              # sizes of the buffers, for others
    uint64_t waiting_output
    char address[NAME_ROOM]
    char local_address[NAME_ROOM]
    char name[NAME_ROOM]
    char library[NAME_ROOM]
    char library_version[NAME_ROOM]
