# Commands about the connection itself: HELLO, AUTH, CLIENT and their kin.

cdef void run_ping(Loop* loop, Request* request) noexcept nogil:
    if request.n > 2:
        fail_arity(loop, request.command.name)
    elif request.n == 2:
        put_bulk(&loop.out, request.arguments[1].data, request.arguments[1].size)
    else:
        put_line(&loop.out, b"+PONG\r\n")


cdef void run_echo(Loop* loop, Request* request) noexcept nogil:
    put_bulk(&loop.out, request.arguments[1].data, request.arguments[1].size)


cdef void run_time(Loop* loop, Request* request) noexcept nogil:
    cdef int64_t now = unix_ns()
    put_array(&loop.out, 2)
    put_number_as_bulk(&loop.out, now // 1000000000)
    put_number_as_bulk(&loop.out, now % 1000000000 // 1000)


cdef void run_without_cluster(Loop* loop, Request* request) noexcept nogil:
    """For commands of a cluster's clients. redis-cli from 7.4 on sends READONLY before --bigkeys, and takes this error,
    word by word, for no error."""
    fail(loop, b"ERR This instance has cluster support disabled")


cdef void run_select(Loop* loop, Request* request) noexcept nogil:
    cdef int64_t database
    if not as_integer(loop, request.arguments[1], &database):
        return
    if database != 0:
        fail(loop, b"ERR DB index is out of range")
    else:
        put_ok(&loop.out)


cdef void run_quit(Loop* loop, Request* request) noexcept nogil:
    put_ok(&loop.out)
    set_state(loop.client, CLOSING)


cdef void run_reset(Loop* loop, Request* request) noexcept nogil:
    cdef Client* client = loop.client
    forget_transaction(client)
    client.protocol = 2
    set_text(loop, client.name, NULL)
    clear_state(client, AUTHENTICATED)
    if loop.settings.password_size == 0:
        set_state(client, AUTHENTICATED)
    put_line(&loop.out, b"+RESET\r\n")


# -- texts -------------------------------------------------------------------------------------------------------------

cdef void set_text(Loop* loop, char* text, Span* value) noexcept nogil:
    """Others may be reading it. NULL: empty. What does not fit is cut."""
    cdef size_t size = min(value.size, <size_t>NAME_ROOM - 1) if value is not NULL else 0
    pthread_mutex_lock(&loop.guard)
    if size:
        memcpy(text, value.data, size)
    text[size] = 0
    pthread_mutex_unlock(&loop.guard)


cdef bint is_plain(Span value) noexcept nogil:
    """Without spaces, ends of lines and special characters, so that CLIENT LIST can be read."""
    cdef size_t i
    for i in range(value.size):
        if not 33 <= <uint8_t>value.data[i] <= 126:
            return False
    return True


# -- AUTH, HELLO -------------------------------------------------------------------------------------------------------

cdef bint is_password(Settings* settings, Span given) noexcept nogil:
    """In a time that does not depend on where the two differ."""
    cdef uint8_t difference = given.size != settings.password_size
    cdef size_t i
    for i in range(given.size):
        difference |= <uint8_t>given.data[i] ^ <uint8_t>settings.password[i % max(settings.password_size, <size_t>1)]
    return difference == 0


cdef bint authenticate(Loop* loop, Span* user, Span password) noexcept nogil:
    """False: the client has been told that it is not so."""
    if loop.settings.password_size == 0:
        if user is NULL:
            fail(loop, b"ERR AUTH <password> called without any password configured for the default user. Are you "
                 b"sure your configuration is correct?")
            return False
        if is_word(user[0], b"default"):
            # There may have been a password when it connected.
            set_state(loop.client, AUTHENTICATED)
            return True
    elif (user is NULL or is_word(user[0], b"default")) and is_password(loop.settings, password):
        set_state(loop.client, AUTHENTICATED)
        return True
    bump(&loop.auth_failures, 1)
    fail(loop, b"WRONGPASS invalid username-password pair or user is disabled.")
    return False


cdef void run_auth(Loop* loop, Request* request) noexcept nogil:
    if request.n > 3:
        fail(loop, SYNTAX)
    elif authenticate(loop, &request.arguments[1] if request.n == 3 else NULL, request.arguments[request.n - 1]):
        put_ok(&loop.out)


cdef bint hello_options(Loop* loop, Request* request) noexcept nogil:
    cdef uint32_t i = 2
    cdef Span* name = NULL
    while i < request.n:
        if is_word(request.arguments[i], b"auth") and i + 2 < request.n:
            if not authenticate(loop, &request.arguments[i + 1], request.arguments[i + 2]):
                return False
            i += 3
        elif is_word(request.arguments[i], b"setname") and i + 1 < request.n:
            name = &request.arguments[i + 1]
            if not is_plain(name[0]):
                fail(loop, BAD_NAME)
                return False
            i += 2
        else:
            fail_about(loop, b"ERR Syntax error in HELLO option '%.*s'", request.arguments[i])
            return False
    if not loop.client.state & AUTHENTICATED:
        fail(loop, b"NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> "
             b"AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version "
             b"at the same time")
        return False
    if name is not NULL:
        set_text(loop, loop.client.name, name)
    return True


cdef const char* BAD_NAME = b"ERR Client names cannot contain spaces, newlines or special characters."


cdef void run_hello(Loop* loop, Request* request) noexcept nogil:
    cdef int64_t protocol = loop.client.protocol
    cdef Client* client = loop.client
    if request.n > 1 and not parse_number(request.arguments[1], &protocol):
        fail(loop, b"ERR Protocol version is not an integer or out of range")
        return
    if not 2 <= protocol <= 3:
        fail(loop, b"NOPROTO unsupported protocol version")
        return
    if not hello_options(loop, request):
        return
    client.protocol = <uint32_t>protocol
    put_map(&loop.out, client.protocol, 7)
    put_text(&loop.out, b"server")
    put_text(&loop.out, b"redis")
    put_text(&loop.out, b"version")
    put_text(&loop.out, b"7.2.4")
    put_text(&loop.out, b"proto")
    put_integer(&loop.out, client.protocol)
    put_text(&loop.out, b"id")
    put_integer(&loop.out, client.id)
    put_text(&loop.out, b"mode")
    put_text(&loop.out, b"standalone")
    put_text(&loop.out, b"role")
    put_text(&loop.out, b"master")
    put_text(&loop.out, b"modules")
    put_array(&loop.out, 0)


# -- CLIENT ------------------------------------------------------------------------------------------------------------

cdef void client_setinfo(Loop* loop, Request* request) noexcept nogil:
    cdef Span what = request.arguments[2]
    cdef Span value = request.arguments[3]
    cdef bint is_name = is_word(what, b"lib-name")
    if not is_name and not is_word(what, b"lib-ver"):
        fail_about(loop, b"ERR Unrecognized option '%.*s'", what)
    elif not is_plain(value):
        fail_about(loop, b"ERR %.*s cannot contain spaces, newlines or special characters.", what)
    else:
        if is_name:
            set_text(loop, loop.client.library, &value)
        else:
            set_text(loop, loop.client.library_version, &value)
        put_ok(&loop.out)


cdef void client_setname(Loop* loop, Request* request) noexcept nogil:
    if not is_plain(request.arguments[2]):
        fail(loop, BAD_NAME)
    else:
        set_text(loop, loop.client.name, &request.arguments[2])
        put_ok(&loop.out)


cdef void client_getname(Loop* loop) noexcept nogil:
    if loop.client.name[0]:
        put_text(&loop.out, loop.client.name)
    else:
        put_null(&loop.out, loop.client.protocol)


cdef enum:
    CLIENT_WORDS = 6

# Subcommands answered here, and how many arguments each has.
cdef const char* client_words[CLIENT_WORDS]
client_words[:] = [b"id", b"getname", b"setname", b"no-evict", b"no-touch", b"setinfo"]
cdef uint32_t client_sizes[CLIENT_WORDS]
client_sizes[:] = [2, 2, 3, 3, 3, 4]


cdef int client_word(Span what) noexcept nogil:
    cdef int i
    for i in range(CLIENT_WORDS):
        if is_word(what, client_words[i]):
            return i
    return -1


cdef void run_client(Loop* loop, Request* request) noexcept nogil:
    """What concerns this client alone; the rest goes to Python."""
    cdef int word = client_word(request.arguments[1])
    if word < 0:
        to_python(loop, request)
    elif request.n != client_sizes[word]:
        fail_subcommand_arity(loop, b"client", client_words[word])
    elif word == 0:
        put_integer(&loop.out, loop.client.id)
    elif word == 1:
        client_getname(loop)
    elif word == 2:
        client_setname(loop, request)
    elif word == 5:
        client_setinfo(loop, request)
    elif is_word(request.arguments[2], b"on") or is_word(request.arguments[2], b"off"):
        # The store knows nothing of who asks.
        put_ok(&loop.out)
    else:
        fail(loop, SYNTAX)


cdef void run_memory(Loop* loop, Request* request) noexcept nogil:
    cdef int64_t samples = 0
    if not is_word(request.arguments[1], b"usage"):
        to_python(loop, request)
    elif request.n == 5 and is_word(request.arguments[3], b"samples"):
        # A string is one sample.
        if as_integer(loop, request.arguments[4], &samples):
            if samples < 0:
                fail(loop, SYNTAX)
            else:
                reply_memory_usage(loop, request)
    elif request.n == 3:
        reply_memory_usage(loop, request)
    elif request.n == 2:
        fail_subcommand_arity(loop, b"memory", b"usage")
    else:
        fail(loop, SYNTAX)
