/* httpsink.c - HTTP callback sink that counts (epoll, one thread).
 *
 * build: gcc -O2 -Wall -Wextra -o httpsink httpsink.c
 * usage: ./httpsink [-p port=9100] [-b body]
 *
 * GET /__stats answers JSON, GET /__reset zeroes it. Connections count when their first callback comes. Anything else
 * counts as a callback, of one of three kinds:
 *   mo     its path starts with /mo, or it is a webhook of type "message.received";
 *   final  "DELIVRD" or the parameter s=1 is in it, or it is a webhook of type "message.delivered", "undelivered",
 *          "failed", "expired", "canceled" or "unknown";
 *   mid    all others.
 * Its number, which keys the distinct and duplicate counts, is the first found of "n": 123 or "n": "123" (JSON),
 * n=123 and n%3D123, in URL or body. Times are CLOCK_MONOTONIC. */
#include "common.h"
#include <signal.h>

typedef struct {
    int fd, counted;
    buffer in;
} conn;

enum { FINAL, MID, MO, KINDS };

static uint8_t *seen[KINDS]; /* how often each number came, up to 255 */
static struct {
    uint64_t n, distinct, dups;
    double first, last;
} stat[KINDS];
static uint64_t without_number, connections;

/* Where a webhook names its type; NULL in other callbacks. */
static const char *webhook_type(const char *request, size_t n) {
    const char *type = find(request, n, "\"message.");
    return type ? type + strlen("\"message.") : NULL;
}

static int is_success_parameter(const char *request, size_t n) {
    const char *end = request + n;
    for (const char *p = request; (p = find(p, end - p, "s=1")); p += 3)
        if ((p[-1] == '&' || p[-1] == '?') && (p[3] < '0' || p[3] > '9')) return 1;
    return 0;
}

static int kind_of(const char *request, size_t n) {
    static const char *const finals[] = {"delivered\"", "undelivered\"", "failed\"",
                                         "expired\"",   "canceled\"",    "unknown\""};
    const char *path = memchr(request, ' ', n), *type = webhook_type(request, n);
    if (path && !strncmp(path + 1, "/mo", 3)) return MO;
    if (type) {
        if (!strncmp(type, "received\"", 9)) return MO;
        for (size_t i = 0; i < sizeof finals / sizeof *finals; i++)
            if (!strncmp(type, finals[i], strlen(finals[i]))) return FINAL;
        return MID;
    }
    return find(request, n, "DELIVRD") || is_success_parameter(request, n) ? FINAL : MID;
}

static int is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* The number of a callback; NUMBERS if it has none. */
static unsigned long number_of(const char *request, size_t n) {
    const char *end = request + n, *p;
    for (p = request; (p = find(p, end - p, "\"n\":")); p++) {
        const char *q = p + 4;
        while (*q == ' ') q++;
        if (*q == '"') q++;
        if (is_digit(*q)) return strtoul(q, NULL, 10);
    }
    /* The 0 is the end of %20. */
    for (p = request; (p = find(p, end - p, "n=")); p += 2)
        if (is_digit(p[2]) && strchr("?&+ \n\"0", p[-1])) return strtoul(p + 2, NULL, 10);
    p = find(request, n, "n%3D");
    if (!p) p = find(request, n, "n%3d");
    return p ? strtoul(p + 4, NULL, 10) : NUMBERS;
}

static void count(const char *request, size_t n) {
    int kind = kind_of(request, n);
    unsigned long number = number_of(request, n);
    double t = now();
    if (!stat[kind].n++) stat[kind].first = t;
    stat[kind].last = t;
    if (number >= NUMBERS) {
        without_number++;
        return;
    }
    if (seen[kind][number])
        stat[kind].dups++;
    else
        stat[kind].distinct++;
    if (seen[kind][number] < 255) seen[kind][number]++;
}

static void write_stats(char *out, size_t size) {
    static const char *const names[KINDS] = {"dlr_final", "dlr_mid", "mo"}, *const times[KINDS] = {"f", "m", "mo"};
    size_t n = 0;
    n += snprintf(out, size, "{");
    for (int k = 0; k < KINDS; k++)
        n += snprintf(out + n, size - n,
                      "\"%s\":%lu,\"%s_distinct\":%lu,\"%s_dups\":%lu,\"%s_first\":%.6f,\"%s_last\":%.6f,", names[k],
                      stat[k].n, names[k], stat[k].distinct, names[k], stat[k].dups, times[k], stat[k].first, times[k],
                      stat[k].last);
    snprintf(out + n, size - n, "\"noN\":%lu,\"conns\":%lu}", without_number, connections);
}

static void reset(void) {
    memset(stat, 0, sizeof stat);
    without_number = connections = 0;
    for (int k = 0; k < KINDS; k++) memset(seen[k], 0, NUMBERS);
}

/* The length of the request at the start of the buffer; 0 while it is incomplete. */
static size_t request_length(const char *request, size_t n, int *closing) {
    char *end = find(request, n, "\r\n\r\n");
    if (!end) return 0;
    size_t headers = end + 4 - request, total = headers;
    char saved = *end;
    *end = 0;
    char *fixed = strcasestr(request, "\r\ncontent-length:");
    int chunked = strcasestr(request, "\r\ntransfer-encoding: chunked") != NULL;
    int last_one = strcasestr(request, "connection: close") != NULL ||
                   (strstr(request, "HTTP/1.0") && !strcasestr(request, "keep-alive"));
    *end = saved;
    if (fixed) total += strtoul(fixed + strlen("\r\ncontent-length:"), NULL, 10);
    if (chunked) {
        char *last = find(end + 2, n - headers + 2, "\r\n0\r\n\r\n");
        if (!last) return 0;
        total = last + 7 - request;
    }
    if (n < total) return 0;
    *closing = last_one;
    return total;
}

/* Answer all complete requests; whether the connection is to be closed. */
static int serve(conn *c, const char *body) {
    size_t n;
    int closing = 0;
    while (!closing && (n = request_length(head(&c->in), length(&c->in), &closing))) {
        char stats[1024], answer[2048];
        const char *content = body;
        if (!strncmp(head(&c->in), "GET /__stats", 12)) {
            write_stats(stats, sizeof stats);
            content = stats;
        } else if (!strncmp(head(&c->in), "GET /__reset", 12)) {
            reset();
        } else {
            connections += !c->counted++;
            count(head(&c->in), n);
        }
        int m = snprintf(answer, sizeof answer,
                         "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                         "Content-Length: %zu\r\nConnection: %s\r\n\r\n%s",
                         strlen(content), closing ? "close" : "keep-alive", content);
        send(c->fd, answer, m, MSG_NOSIGNAL);
        drop(&c->in, n);
        *room(&c->in, 0) = 0;
    }
    return closing;
}

int main(int argc, char **argv) {
    int port = 9100, option;
    const char *body = "";
    while ((option = getopt(argc, argv, "p:b:")) != -1) switch (option) {
            case 'p': port = atoi(optarg); break;
            case 'b': body = optarg; break;
            default: return 2;
        }
    signal(SIGPIPE, SIG_IGN);
    for (int k = 0; k < KINDS; k++) seen[k] = need(calloc(NUMBERS, 1));
    int listener = listen_on(port), ep = epoll_create1(EPOLL_CLOEXEC), fd;
    watch(ep, EPOLL_CTL_ADD, listener, EPOLLIN, NULL);
    say_ready();
    for (;;) {
        struct epoll_event events[128];
        int n = epoll_wait(ep, events, 128, 1000);
        for (int i = 0; i < n; i++) {
            conn *c = events[i].data.ptr;
            if (!c) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                    set_nodelay(fd);
                    c = need(calloc(1, sizeof *c));
                    c->fd = fd;
                    watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN, c);
                }
                continue;
            }
            ssize_t got = recv(c->fd, room(&c->in, 65536), 65536, 0);
            if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
            if (got > 0) {
                c->in.end += got;
                c->in.data[c->in.end] = 0;
            }
            if (got <= 0 || serve(c, body)) {
                close(c->fd);
                free(c->in.data);
                free(c);
            }
        }
    }
}
