/* common.h - what the load tools share: time, byte order, growing buffers, loopback sockets, epoll. */
#ifndef COMMON_H
#define COMMON_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
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

#define NUMBERS (4u << 20) /* numbers below this are counted one by one */

static inline double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static inline uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void put32(uint8_t *p, uint32_t v) {
    p[0] = v >> 24, p[1] = v >> 16, p[2] = v >> 8, p[3] = v;
}

static inline void *need(void *memory) {
    if (!memory) {
        perror("memory");
        exit(1);
    }
    return memory;
}

/* Bytes between start and end; always one byte of room behind them, for a NUL. */
typedef struct {
    char *data;
    size_t start, end, capacity;
} buffer;

static inline size_t length(const buffer *b) {
    return b->end - b->start;
}

static inline char *head(buffer *b) {
    return b->data + b->start;
}

static inline void drop(buffer *b, size_t n) {
    b->start += n;
    if (b->start == b->end) b->start = b->end = 0;
}

/* Room for n more bytes and the NUL. */
static inline char *room(buffer *b, size_t n) {
    if (b->end + n + 1 > b->capacity && b->start) {
        memmove(b->data, b->data + b->start, length(b));
        b->end -= b->start;
        b->start = 0;
    }
    if (b->end + n + 1 > b->capacity) {
        if (!b->capacity) b->capacity = 4096;
        while (b->end + n + 1 > b->capacity) b->capacity *= 2;
        b->data = need(realloc(b->data, b->capacity));
    }
    return b->data + b->end;
}

static inline void append(buffer *b, const void *bytes, size_t n) {
    char *to = room(b, n);
    if (n) memcpy(to, bytes, n);
    b->end += n;
}

static inline char *find(const char *in, size_t n, const char *what) {
    return memmem(in, n, what, strlen(what));
}

static inline void set_nodelay(int fd) {
    int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static inline struct sockaddr_in loopback(int port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in address = loopback(port);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
        perror("bind/listen");
        exit(1);
    }
    return fd;
}

/* Tell whoever started us. */
static inline void say_ready(void) {
    puts("listening");
    fflush(stdout);
}

static inline void watch(int ep, int how, int fd, uint32_t events, void *who) {
    struct epoll_event e = {.events = events, .data.ptr = who};
    epoll_ctl(ep, how, fd, &e);
}

#endif
