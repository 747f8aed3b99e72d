/* A client of Redis's protocol that keeps to a rate: connections with one request each at a time.
 *
 *   paced PORT CONNECTIONS REQUESTS RATE get|set KEYS random|ordered
 *
 * With a rate, requests are due at even distances, and a time begins when its request was due, not when a connection
 * had room for it: a server that stops for a second has made a second's worth of requests late. With rate 0 each
 * connection sends its next request when it has the reply to the last one.
 *
 * Printed: "seconds S", "longest NS AT" (the number of the request), "silences NS NS ..." (of each STRETCH replies the
 * longest time without one), then "BUCKET COUNT" for times up to 1.01**BUCKET nanoseconds.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUCKETS 4096
#define VALUE 64
/* Replies; at 140,000 a second 70 ms. */
#define STRETCH 10000

struct connection {
    int fd;
    int64_t since;      /* when its request was due; 0: it is free */
    int64_t number;     /* of its request */
    int64_t missing;    /* bytes of the reply that have not come; -1: its length is not known yet */
    char head[64];      /* of the reply, until the length is known */
    size_t have;
};

static uint64_t counts[BUCKETS];
static int64_t longest, longest_at;
static int64_t *silences;   /* of each stretch the longest */
static int writes;
static uint64_t keys, state = 88172645463325252u;
static int ordered;

static void fail(const char *what) {
    fprintf(stderr, "paced: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static uint64_t next_random(void) {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static void ask(struct connection *one, int64_t number, int64_t due) {
    char request[256], value[VALUE + 1];
    uint64_t key = ordered ? (uint64_t)number % keys : next_random() % keys;
    int size;
    if (writes) {
        memset(value, 'v', VALUE);
        value[VALUE] = 0;
        size = snprintf(request, sizeof request, "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012llu\r\n$%d\r\n%s\r\n",
                        (unsigned long long)key, VALUE, value);
    } else {
        size = snprintf(request, sizeof request, "*2\r\n$3\r\nGET\r\n$16\r\nkey:%012llu\r\n", (unsigned long long)key);
    }
    one->since = due;
    one->number = number;
    one->missing = -1;
    one->have = 0;
    if (send(one->fd, request, (size_t)size, MSG_NOSIGNAL) != size)
        fail("send");
}

/* Bytes of the reply that have come; 1 if it is whole. */
static int take(struct connection *one) {
    char data[4096];
    ssize_t got = recv(one->fd, data, sizeof data, 0);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN)
            return 0;
        fail("recv");
    }
    for (ssize_t i = 0; i < got; i++) {
        if (one->missing > 0) {
            int64_t some = got - i < one->missing ? got - i : one->missing;
            one->missing -= some;
            i += some - 1;
            if (one->missing == 0)
                return 1;
        } else {
            if (one->have == sizeof one->head)
                fail("a reply that is none");
            one->head[one->have++] = data[i];
            if (data[i] != '\n')
                continue;
            if (one->head[0] == '-') {
                fprintf(stderr, "paced: the server answered %.*s", (int)one->have, one->head);
                exit(1);
            }
            if (one->head[0] != '$' || one->head[1] == '-')
                return 1;
            one->missing = atoll(one->head + 1) + 2;
        }
    }
    return 0;
}

static void record(int64_t spent, int64_t number) {
    int bucket = spent > 1 ? (int)ceil(log((double)spent) / log(1.01)) : 0;
    counts[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
    if (spent > longest) {
        longest = spent;
        longest_at = number;
    }
}

static void keep_longest(int64_t *kept, int64_t spent) {
    if (spent > *kept)
        *kept = spent;
}

static int connected(int port) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&place, sizeof place) < 0)
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

int main(int argc, char **argv) {
    if (argc != 8) {
        fprintf(stderr, "paced PORT CONNECTIONS REQUESTS RATE get|set KEYS random|ordered\n");
        return 2;
    }
    int port = atoi(argv[1]), n = atoi(argv[2]), epoll = epoll_create1(0);
    int64_t requests = atoll(argv[3]), sent = 0, done = 0, free_ones = n;
    double rate = atof(argv[4]);
    writes = strcmp(argv[5], "set") == 0;
    keys = strtoull(argv[6], NULL, 10);
    ordered = strcmp(argv[7], "ordered") == 0;

    struct connection *all = calloc((size_t)n, sizeof *all);
    struct connection **idle = calloc((size_t)n, sizeof *idle);
    struct epoll_event *events = calloc((size_t)n, sizeof *events);
    silences = calloc((size_t)(requests / STRETCH + 1), sizeof *silences);
    if (epoll < 0 || !all || !idle || !events || !silences)
        fail("start");
    for (int i = 0; i < n; i++) {
        all[i].fd = connected(port);
        idle[i] = &all[i];
        struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = &all[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].fd, &wanted) < 0)
            fail("epoll_ctl");
    }

    int64_t began = now(), replied = began;
    while (done < requests) {
        int64_t time = now();
        while (sent < requests && free_ones > 0) {
            int64_t due = rate > 0 ? began + (int64_t)((double)sent * 1e9 / rate) : time;
            if (due > time)
                break;
            ask(idle[--free_ones], sent++, due);
        }
        /* With a rate it looks again at once: sleeping is coarser than what is measured. */
        int ready = epoll_wait(epoll, events, n, rate > 0 ? 0 : -1);
        if (ready < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < ready; i++) {
            struct connection *one = events[i].data.ptr;
            if (take(one)) {
                time = now();
                record(time - one->since, one->number);
                keep_longest(&silences[done / STRETCH], time - replied);
                replied = time;
                idle[free_ones++] = one;
                done++;
            }
        }
    }
    printf("seconds %.6f\nlongest %lld %lld\nsilences", (double)(now() - began) / 1e9, (long long)longest,
           (long long)longest_at);
    for (int64_t i = 0; i < (requests + STRETCH - 1) / STRETCH; i++)
        printf(" %lld", (long long)silences[i]);
    printf("\n");
    for (int i = 0; i < BUCKETS; i++)
        if (counts[i])
            printf("%d %llu\n", i, (unsigned long long)counts[i]);
    return 0;
}
