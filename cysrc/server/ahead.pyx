# Hearing clients ahead of their turns. Of those that have sent something all are read from first, and what their first
# commands will look at in the store is on its way while the system is busy with the others' sockets:
#
#   epoll --> recv of each --> prefetch of buckets and records --> the turns, in the same order
#
# With one command in flight a client, which is how most use a server, the cache misses of a large store were a tenth of
# all processor time (docs/performance.md).

cdef enum:
    # Clients that are heard before the first has its turn: as many misses as a processor has under way at once.
    GROUP = 16
    # Bytes, after which no other is heard: long pipelines fetch what they need on their own, in the first cache.
    HEARD_SIZE = 4 * 1024
    # Of loop.input: what is heard lies one behind the other, and the last one may be as long as any. Behind them is a
    # place for a client that is heard in its turn, while what others were heard saying still waits.
    UNHEARD_AT = HEARD_SIZE + READ_SIZE
    INPUT_ROOM = UNHEARD_AT + READ_SIZE

# What was read from a client.
cdef struct Heard:
    char* data                          # NULL: nobody has tried yet
    ssize_t size                        # as recv returned it
    int error                           # and its reason
    bint is_full                        # the room that there was for it: there may be more


cdef inline void hear(Client* client, char* data, size_t room, Heard* heard) noexcept nogil:
    heard.data = data
    heard.size = recv(client.source.fd, data, room, 0)
    heard.error = last_error() if heard.size < 0 else 0
    heard.is_full = heard.size == <ssize_t>room


cdef inline bint first_key(const char* data, size_t size, Span* key) noexcept nogil:
    """The second argument, as a rule. It is only looked at: the command is understood, or refused, when it is run."""
    cdef Parse parse
    cdef int64_t number = 0
    parse.at = 0
    if data[0] != b"*" or parse_length(&parse, data, size, &number) != PARSED:
        return False
    if parse.at >= size or parse_length(&parse, data, size, &number) != PARSED or <uint64_t>number >= size:
        return False
    parse.at += number + 2
    if parse.at >= size or data[parse.at] != b"$" or parse_length(&parse, data, size, &number) != PARSED:
        return False
    key.data = data + parse.at
    key.size = number
    return <uint64_t>number < size and parse.at + number < size


cdef inline bint may_be_heard(epoll_event* event) noexcept nogil:
    """A client that has sent something, and goes on in no part of a command, which lies elsewhere."""
    cdef Client* client = <Client*>event.data.ptr
    return (client.source.kind == CLIENT and event.events & EPOLLIN != 0 and not client.state & DEAD
            and buffer_size(&client.input) == 0)


cdef int hear_some(Loop* loop, epoll_event* events, int n, Heard* heard) noexcept nogil:
    """Of how many clients, or other things with events, the turns are next."""
    cdef size_t used = 0
    cdef int i = 0
    while i < n and i < GROUP and used < HEARD_SIZE:
        heard[i].data = NULL
        if likely(may_be_heard(&events[i])):
            hear(<Client*>events[i].data.ptr, loop.input + used, READ_SIZE, &heard[i])
            used += max(heard[i].size, <ssize_t>0)
        i += 1
    return i


cdef void fetch_for(Loop* loop, Heard* heard, int n) noexcept nogil:
    """Have it on its way what their first commands will look at."""
    cdef Spot spots[GROUP]
    cdef Span key
    cdef int i, n_spots = 0
    for i in range(n):
        if heard[i].data is not NULL and heard[i].size > 0 and first_key(heard[i].data, heard[i].size, &key):
            spot_for(&spots[n_spots], loop.store, key)
            n_spots += 1
    prefetch_spots(spots, n_spots)


cdef inline int hear_group(Loop* loop, epoll_event* events, int n, Heard* heard) noexcept nogil:
    """Hear the first of those with events; returns how many of them have their turns now, heard or not."""
    cdef int group = hear_some(loop, events, n, heard)
    # The only one would wait for it at once.
    if group > 1:
        fetch_for(loop, heard, group)
    return group
