# Settings of the service that may change at any time: a loop takes a pointer to them at the start of each turn. Former
# ones stay until the server ends, for the loops that may look at them; a change is rare and takes 200 bytes.

cdef struct Settings:
    Settings* former
    uint64_t max_clients
    uint64_t max_bulk                   # bytes of an argument
    uint64_t max_arguments              # of a command
    uint64_t max_query                  # bytes that wait to be understood, of one client
    uint64_t max_output                 # bytes that wait to be read, by one client
    int64_t idle_timeout                # ms; 0: none
    int64_t request_timeout             # ms, of a half-sent command and of a client that has not authenticated; 0: none
    int64_t slow_log_threshold          # microseconds; -1: none
    uint64_t slow_log_length
    size_t password_size                # 0: none is asked for
    char password[1]                    # the first of them

cdef enum:
    # What a client may send before it has authenticated, as Redis has it.
    STRANGERS_ARGUMENTS = 10
    STRANGERS_BULK = 16 * 1024
