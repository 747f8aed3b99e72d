# A client's turn: what it has sent is read, understood, run in batches, and answered.
#
#   socket --> loop.input, ahead of the turn (or client.input, if a part of a command is waiting there)
#          --> requests, up to REQUESTS at a time; what all of them will look at in the store is fetched together
#          --> loop.out --> socket (what does not go is kept in client.output, and the client is not read from until
#              it has gone)

cdef inline bint may_proceed(Client* client) noexcept nogil:
    return not client.state & (WAITING | CLOSING | DEAD) and client.output.end == client.output.start


# -- understanding -----------------------------------------------------------------------------------------------------

cdef bint arguments_room(Loop* loop, uint32_t wanted) noexcept nogil:
    cdef uint32_t room = max(max(<uint32_t>1024, 2 * loop.room_arguments), wanted)
    cdef void* moved
    if wanted <= loop.room_arguments:
        return True
    moved = realloc(loop.arguments, room * sizeof(Span))
    if moved is NULL:
        return False
    loop.arguments = <Span*>moved
    loop.room_arguments = room
    return True


cdef inline bint add_request(Loop* loop, const char* command, Parse* parse, size_t end) noexcept nogil:
    """A command that is complete. False: no memory."""
    cdef Request* request = &loop.requests[loop.n_requests]
    cdef uint32_t i
    if unlikely(not arguments_room(loop, loop.n_arguments + parse.n)):
        return False
    request.first = loop.n_arguments
    request.n = parse.n
    request.end = end
    for i in range(parse.n):
        loop.arguments[loop.n_arguments + i].data = command + parse.pieces[i].at
        loop.arguments[loop.n_arguments + i].size = parse.pieces[i].size
    loop.n_arguments += parse.n
    loop.n_requests += 1
    return True


cdef inline int read_batch(Loop* loop, Client* client, char* data, size_t size, size_t* at) noexcept nogil:
    """Read commands from `at` on into loop.requests. Returns INCOMPLETE at the end of what is there, PARSED if the
    batch is full, or what is wrong behind the last one of them."""
    cdef int answer = PARSED
    cdef Parse* parse = &client.parse
    loop.n_requests = loop.n_arguments = 0
    # The pieces' memory is the loop's, but for a command that waits for its rest.
    if parse_is_fresh(parse):
        swap_pieces(&loop.parse, parse)
    while loop.n_requests < REQUESTS:
        # What is quoted in an inline command is written out in place, so it is read but once: when it is run next.
        if unlikely(loop.n_requests and at[0] < size and data[at[0]] != b"*"):
            break
        answer = parse_request(parse, data + at[0], size - at[0], loop.settings,
                               client.state & AUTHENTICATED != 0)
        if answer != PARSED:
            break
        if parse.n and not add_request(loop, data + at[0], parse, at[0] + parse.at):
            answer = NO_MEMORY
            break
        at[0] += parse.at
        parse_begin(parse)
    if parse_is_fresh(parse):
        swap_pieces(&loop.parse, parse)
        # A client that sleeps keeps none.
        if unlikely(parse.pieces is not NULL):
            free(parse.pieces)
            parse.pieces = NULL
            parse.room = 0
    return answer


cdef inline void swap_pieces(Parse* a, Parse* b) noexcept nogil:
    a.pieces, b.pieces = b.pieces, a.pieces
    a.room, b.room = b.room, a.room


cdef inline void prepare_batch(Loop* loop) noexcept nogil:
    """Find the commands, hash the keys, have the memory fetched that they need."""
    cdef Request* request
    cdef Command* command
    cdef uint32_t i
    for i in range(loop.n_requests):
        request = &loop.requests[i]
        request.arguments = loop.arguments + request.first
        command = find_command(request.arguments[0])
        request.command = command
        if likely(command is not NULL and command.first_key and <uint32_t>command.first_key < request.n):
            spot_for(&request.spot, loop.store, request.arguments[command.first_key])
            if loop.n_requests > 1:
                prefetch_bucket(&request.spot)
        else:
            request.spot.shard = NULL
    if loop.n_requests > 1:
        for i in range(loop.n_requests):
            if loop.requests[i].spot.shard is not NULL:
                prefetch_record(&loop.requests[i].spot)


cdef void fail_protocol(Loop* loop, Client* client, int answer, char wrong) noexcept nogil:
    """Tell what is wrong, if it is one octet also which; what follows cannot be understood."""
    cdef char text[64]
    bump(&loop.protocol_errors, 1)
    if answer == NO_DOLLAR:
        fail_with(loop, text, snprintf(text, sizeof(text), b"%s, got '%c'", parse_errors[-answer], <int>wrong))
    else:
        fail(loop, parse_errors[-answer])
    set_state(client, CLOSING)


cdef size_t run_input(Loop* loop, Client* client, char* data, size_t size) noexcept nogil:
    """Run the commands that are there; how many bytes were used."""
    cdef size_t at = 0, used = 0
    cdef uint32_t i
    cdef int answer
    while may_proceed(client):
        answer = read_batch(loop, client, data, size, &at)
        prepare_batch(loop)
        for i in range(loop.n_requests):
            execute(loop, &loop.requests[i])
            used = loop.requests[i].end
            bump(&client.commands, 1)
            bump(&loop.commands, 1)
            if unlikely(buffer_size(&loop.out) >= SEND_SIZE):
                send_replies(loop, client)
            if unlikely(not may_proceed(client)):
                break
        if unlikely(not may_proceed(client)):
            # Those behind are read again, and so is what is wrong behind them: it has not been told yet.
            if used != at or answer < 0:
                parse_begin(&client.parse)
            return used
        used = at
        if answer != PARSED:
            if unlikely(answer != INCOMPLETE):
                fail_protocol(loop, client, answer, data[at + client.parse.at] if answer == NO_DOLLAR else 0)
            break
    return used


# -- sending -----------------------------------------------------------------------------------------------------------

cdef size_t send_some(Loop* loop, Client* client, Buffer* buffer) noexcept nogil:
    """Send what the socket takes. The client is closed if there is nobody any more."""
    cdef ssize_t sent
    while buffer.start < buffer.end:
        sent = send(client.source.fd, buffer.data + buffer.start, buffer_size(buffer), MSG_NOSIGNAL)
        if sent < 0:
            if last_error() == EINTR:
                continue
            if last_error() != EAGAIN:
                client_close(client)
            break
        bump(&client.output_bytes, sent)
        bump(&loop.output_bytes, sent)
        buffer_consume(buffer, sent)
    return buffer_size(buffer)


cdef void send_replies(Loop* loop, Client* client) noexcept nogil:
    """Send loop.out; what does not go waits in client.output."""
    cdef Buffer* out = &loop.out
    if client.state & DEAD:
        # Its descriptor may be somebody else's by now.
        pass
    elif out.failed:
        if out.too_much:
            bump(&loop.output_limits, 1)
        client_close(client)
    elif client.output.end == client.output.start:
        send_some(loop, client, out)
    if out.start < out.end and not client.state & DEAD:
        keep_replies(loop, client, out)
    out.start = out.end = 0
    out.failed = out.too_much = False
    if unlikely(out.room > KEPT_OUTPUT):
        buffer_free(out)


cdef void keep_replies(Loop* loop, Client* client, Buffer* out) noexcept nogil:
    if buffer_size(&client.output) + buffer_size(out) > loop.settings.max_output:
        bump(&loop.output_limits, 1)
        client_close(client)
        return
    buffer_append(&client.output, out.data + out.start, buffer_size(out))
    if client.output.failed:
        client_close(client)


# -- the turn ----------------------------------------------------------------------------------------------------------

cdef void end_turn(Loop* loop, Client* client) noexcept nogil:
    """Send the replies, and say what the client waits for."""
    # Also if there is nothing in it: the only reply may be the one that did not fit.
    if buffer_size(&loop.out) or loop.out.failed:
        send_replies(loop, client)
    if unlikely(loop.scratch.room > KEPT_OUTPUT):
        buffer_free(&loop.scratch)
    if client.state & DEAD:
        return
    if buffer_size(&client.output):
        client_watch_events(client, EPOLLOUT)
    elif client.state & CLOSING:
        close_politely(client)
        return
    else:
        client_watch_events(client, 0 if client.state & WAITING else EPOLLIN)
    note(&client.waiting_input, buffer_size(&client.input))
    note(&client.waiting_output, buffer_size(&client.output))


cdef void close_politely(Client* client) noexcept nogil:
    """So that the last reply arrives: a close with bytes unread would reset the connection."""
    cdef char rest[4096]
    cdef int _read
    shutdown(client.source.fd, SHUT_WR)
    for _read in range(64):
        if recv(client.source.fd, rest, sizeof(rest), 0) <= 0:
            break
    client_close(client)


cdef void note_half_sent(Client* client) noexcept nogil:
    """Since when a command has been waiting for its rest. While the client waits for us, or we for it to read, nothing
    is taken from it, so that the rest may be on the way."""
    if buffer_size(&client.input) == 0 or not may_proceed(client):
        client.request_since = 0
    elif client.request_since == 0:
        client.request_since = steady_ns()


cdef void run_fresh(Loop* loop, Client* client, char* data, size_t size) noexcept nogil:
    """What was read is in the loop's buffer, and nothing was waiting."""
    cdef size_t used = run_input(loop, client, data, size)
    if used < size and not client.state & (CLOSING | DEAD):
        buffer_append(&client.input, data + used, size - used)
        if client.input.failed:
            client_close(client)


cdef void run_waiting(Loop* loop, Client* client) noexcept nogil:
    """Go on with what is in client.input."""
    cdef Buffer* input = &client.input
    cdef size_t used
    if buffer_size(input) == 0:
        return
    used = run_input(loop, client, input.data + input.start, buffer_size(input))
    buffer_consume(input, used)
    if used:
        client.request_since = 0
    if buffer_size(input) == 0:
        buffer_free(input)


cdef bint hear_rest(Client* client, Heard* heard) noexcept nogil:
    """Read what goes on in a part of a command behind that. False: there is no room, and the client is closed."""
    cdef Buffer* input = &client.input
    # A long argument is read in larger pieces, as far as it has come already.
    cdef size_t room = max(<size_t>READ_SIZE, min(buffer_size(input), <size_t>1 << 20))
    if not buffer_reserve(input, room):
        client_close(client)
        return False
    hear(client, input.data + input.end, room, heard)
    if heard.size > 0:
        input.end += heard.size
    return True


cdef void serve_input(Loop* loop, Client* client, Heard* heard, bint ends) noexcept nogil:
    """It ends: what was read may have been cut short by the connection's end, or by urgent data."""
    cdef bint was_waiting = buffer_size(&client.input) != 0
    if was_waiting:
        if not hear_rest(client, heard):
            return
    elif heard.data is NULL:
        hear(client, loop.input + UNHEARD_AT, READ_SIZE, heard)
    if unlikely(heard.size <= 0):
        if heard.error == EINTR:
            client_ask_for(client, EPOLLIN)
        elif heard.error != EAGAIN:
            client_close(client)
        return
    client.has_more = heard.is_full or ends
    bump(&client.input_bytes, heard.size)
    bump(&loop.input_bytes, heard.size)
    note(&client.active, loop.now)
    loop.client = client
    if likely(not was_waiting):
        run_fresh(loop, client, heard.data, heard.size)
    else:
        run_waiting(loop, client)
    if unlikely(buffer_size(&client.input) > loop.settings.max_query):
        bump(&loop.query_limits, 1)
        client_close(client)
    note_half_sent(client)
    end_turn(loop, client)


cdef void serve_output(Loop* loop, Client* client) noexcept nogil:
    """The socket takes bytes again; when all have gone the client's commands go on."""
    # Who reads is not idle.
    note(&client.active, loop.now)
    if send_some(loop, client, &client.output) or client.state & DEAD:
        return
    buffer_free(&client.output)
    resume(loop, client)


cdef void resume(Loop* loop, Client* client) noexcept nogil:
    loop.client = client
    if may_proceed(client):
        run_waiting(loop, client)
        note_half_sent(client)
    end_turn(loop, client)


cdef inline void take_settings(Loop* loop) noexcept nogil:
    loop.settings = <Settings*>subscribe(<void**>&loop.server.settings)
    # A reply has room in it whatever the limit is; for what waits to be read it is exact.
    loop.out.limit = max(loop.settings.max_output, <uint64_t>(2 * SEND_SIZE))


cdef void serve_client(Loop* loop, Client* client, uint32_t events, Heard* heard) noexcept nogil:
    """With what was heard of it ahead."""
    take_settings(loop)
    if client.state & DEAD:
        return
    if events & EPOLLOUT:
        serve_output(loop, client)
    elif events & EPOLLIN:
        serve_input(loop, client, heard, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI) != 0)
    elif events & (EPOLLERR | EPOLLHUP):
        client_close(client)


cdef void serve_unheard(Loop* loop, Client* client, uint32_t events) noexcept nogil:
    cdef Heard heard
    heard.data = NULL
    serve_client(loop, client, events, &heard)


cdef void count_handed(Loop* loop, Handed* handed, bint failed) noexcept nogil:
    """Its time is what the client has waited."""
    cdef Request request
    request.command = handed.command
    request.n = handed.n
    request.arguments = handed.arguments
    loop.failed = failed
    count_run(loop, &request, ticks() - handed.began)


cdef void deliver_reply(Loop* loop, Handed* handed, Buffer* reply, bint failed) noexcept nogil:
    """Python's answer has come."""
    cdef Client* client = handed.client
    clear_state(client, WAITING)
    if client.state & DEAD:
        client_bury(client)
        buffer_free(reply)
        return
    take_settings(loop)
    loop.client = client
    note(&client.active, loop.now)
    count_handed(loop, handed, failed)
    if buffer_size(reply) == 0:
        # There was no memory for it.
        loop.out.failed = True
    elif failed:
        count_error(loop, reply.data + 1, buffer_size(reply) - 1)
    buffer_append(&loop.out, reply.data + reply.start, buffer_size(reply))
    buffer_free(reply)
    send_replies(loop, client)
    if not client.state & DEAD:
        resume(loop, client)
