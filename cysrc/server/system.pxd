# What the operating system gives to the service: sockets, epoll, clocks, threads' waiting. Linux.

cdef extern from *:
    """
    #include <arpa/inet.h>
    #include <errno.h>
    #include <fcntl.h>
    #include <netinet/in.h>
    #include <netinet/tcp.h>
    #include <pthread.h>
    #include <stdio.h>
    #include <strings.h>
    #include <sys/epoll.h>
    #include <sys/eventfd.h>
    #include <sys/socket.h>
    #include <sys/un.h>
    #include <time.h>
    #include <unistd.h>

    /* The processor's own counter, a third of what a clock costs: every command is timed. */
    static inline uint64_t sm_ticks(void) {
    #if defined(__x86_64__)
        return __builtin_ia32_rdtsc();
    #elif defined(__aarch64__)
        uint64_t ticks;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
        return ticks;
    #else
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    #endif
    }

    static inline int64_t sm_clock_ns(clockid_t clock) {
        struct timespec now;
        clock_gettime(clock, &now);
        return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    }
    #define sm_unix_ns() sm_clock_ns(CLOCK_REALTIME)
    #define sm_steady_ns() sm_clock_ns(CLOCK_MONOTONIC)
    #define sm_errno() (errno)
    #define sm_clear_errno() ((void)(errno = 0))

    /* Numbers that one thread changes and others read at any time. */
    #define sm_bump(number, by) \\
        __atomic_store_n(number, __atomic_load_n(number, __ATOMIC_RELAXED) + (by), __ATOMIC_RELAXED)
    #define sm_note(number, value) __atomic_store_n(number, value, __ATOMIC_RELAXED)
    #define sm_seen(number) __atomic_load_n(number, __ATOMIC_RELAXED)
    #define sm_add_atomically(number, by) (__atomic_add_fetch(number, (uint64_t)(int64_t)(by), __ATOMIC_RELAXED))
    #define sm_add_to_flag(flag, by) (__atomic_add_fetch(flag, (uint32_t)(by), __ATOMIC_ACQ_REL))
    #define sm_publish(address, pointer) __atomic_store_n(address, pointer, __ATOMIC_RELEASE)
    #define sm_subscribe(address) __atomic_load_n(address, __ATOMIC_ACQUIRE)
    """
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_mutex_init(pthread_mutex_t* mutex, void* attributes) noexcept nogil
    int pthread_mutex_destroy(pthread_mutex_t* mutex) noexcept nogil
    int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept nogil
    int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept nogil
    int pthread_cond_init(pthread_cond_t* condition, void* attributes) noexcept nogil
    int pthread_cond_destroy(pthread_cond_t* condition) noexcept nogil
    int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) noexcept nogil
    int pthread_cond_signal(pthread_cond_t* condition) noexcept nogil
    int pthread_cond_broadcast(pthread_cond_t* condition) noexcept nogil

    uint32_t count_trailing_zeros_64 "__builtin_ctzll"(uint64_t bits) noexcept nogil
    uint32_t count_leading_zeros_64 "__builtin_clzll"(uint64_t bits) noexcept nogil
    uint64_t ticks "sm_ticks"() noexcept nogil
    int64_t unix_ns "sm_unix_ns"() noexcept nogil
    int64_t steady_ns "sm_steady_ns"() noexcept nogil
    int last_error "sm_errno"() noexcept nogil
    void clear_error "sm_clear_errno"() noexcept nogil
    void bump "sm_bump"(uint64_t* number, uint64_t by) noexcept nogil
    void note "sm_note"(uint64_t* number, uint64_t value) noexcept nogil
    uint64_t add_atomically "sm_add_atomically"(uint64_t* number, int64_t by) noexcept nogil
    uint64_t seen "sm_seen"(uint64_t* number) noexcept nogil
    uint32_t add_to_flag "sm_add_to_flag"(uint32_t* flag, int by) noexcept nogil
    void note_flag "sm_note"(uint32_t* flag, uint32_t value) noexcept nogil
    uint32_t seen_flag "sm_seen"(uint32_t* flag) noexcept nogil
    void note_pointer "sm_note"(void** address, const void* pointer) noexcept nogil
    void* seen_pointer "sm_seen"(void** address) noexcept nogil
    void publish "sm_publish"(void** address, void* pointer) noexcept nogil
    void* subscribe "sm_subscribe"(void** address) noexcept nogil

    enum:
        EAGAIN
        EINTR
        EMFILE
        ENFILE
        ERANGE
        ENOBUFS
        EPOLLIN
        EPOLLOUT
        EPOLLERR
        EPOLLHUP
        EPOLLRDHUP
        EPOLLPRI
        EPOLLET
        EPOLLEXCLUSIVE
        EPOLL_CTL_ADD
        EPOLL_CTL_DEL
        EPOLL_CTL_MOD
        EPOLL_CLOEXEC
        EFD_CLOEXEC
        EFD_NONBLOCK
        SOCK_CLOEXEC
        SOCK_NONBLOCK
        MSG_NOSIGNAL
        AF_INET
        AF_INET6
        AF_UNIX
        IPPROTO_TCP
        TCP_NODELAY
        SOL_SOCKET
        SO_KEEPALIVE
        INET6_ADDRSTRLEN
        SHUT_WR
        SOCK_STREAM
        MSG_PEEK
    ctypedef union epoll_data_t:
        void* ptr
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int epoll_create1(int flags) noexcept nogil
    int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept nogil
    int epoll_wait(int epoll, epoll_event* events, int room, int milliseconds) noexcept nogil
    int eventfd(unsigned int count, int flags) noexcept nogil
    ssize_t read(int fd, void* data, size_t size) noexcept nogil
    ssize_t write(int fd, const void* data, size_t size) noexcept nogil
    ssize_t recv(int fd, void* data, size_t size, int flags) noexcept nogil
    ssize_t send(int fd, const void* data, size_t size, int flags) noexcept nogil
    int close(int fd) noexcept nogil
    int dup(int fd) noexcept nogil
    ctypedef unsigned int socklen_t
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        unsigned short ss_family
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        unsigned short sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_port
        in6_addr sin6_addr
    struct sockaddr_un:
        char* sun_path
    int accept4(int fd, sockaddr* address, socklen_t* size, int flags) noexcept nogil
    int getsockname(int fd, sockaddr* address, socklen_t* size) noexcept nogil
    int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept nogil
    int socketpair(int family, int type, int protocol, int* ends) noexcept nogil
    int shutdown(int fd, int how) noexcept nogil
    const char* inet_ntop(int family, const void* address, char* text, socklen_t size) noexcept nogil
    unsigned short ntohs(unsigned short port) noexcept nogil
    int snprintf(char* text, size_t size, const char* form, ...) noexcept nogil
    const void* memchr(const void* data, int octet, size_t size) noexcept nogil
    int strncasecmp(const char* a, const char* b, size_t size) noexcept nogil
    size_t strlen(const char* text) noexcept nogil
    long double strtold(const char* text, char** end) noexcept nogil
