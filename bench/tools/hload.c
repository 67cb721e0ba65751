/* hload.c - exact-count keep-alive HTTP load generator (epoll, one thread).
 *
 * build: gcc -O2 -Wall -Wextra -o hload hload.c
 * usage: ./hload -p port -u '/path?text=n%3D{n}&to={d}' [-n requests=20000] [-c connections=50]
 *        [-b 'body {n}' | -f file] [-k copies=1] [-D distinct=0] [-H 'Header: v']... [-s first_n=0]
 *        [-a accepted.txt] [-R reconnect_seconds=0]
 *
 * With a body it POSTs, else it GETs. {n} is the request's number, {d} a 12-digit destination made of it. What stands
 * between {* and *} in a body is repeated -k times with commas between; there {n} is request * copies + copy, so that
 * every message of a batch has a number of its own. With -D so many bodies are made before the clock starts and used
 * in turn; else each request's is made when it is sent.
 * A 2xx status is "ok"; -a writes "<n> <done time>" for each. "accepted" sums the field of that name in the answers.
 * A request whose connection broke is "unknown": it is not retried; with -R the load goes on when the server is back.
 * sent = ok + bad + unknown. Prints one JSON line. Times are CLOCK_MONOTONIC. */
#include "common.h"
#include <signal.h>
#include <sys/resource.h>

#define CHUNK 65536
#define PAUSE 0.05 /* before connecting again */

typedef struct {
    int fd, connecting, busy, wants_out;
    long n;
    double since, retry;
    buffer in, out;
} conn;

typedef struct {
    const char *text, *end;      /* all of it */
    const char *item, *item_end; /* the two markers of what is repeated; NULL if nothing is */
} template;

static int port = 80, connections = 50, ep;
static long requests = 20000, first, copies = 1, distinct;
static template url, body;
static buffer *made, headers;
static double patience, started, ended, broken_since, *latency;
static long sent, done, ok, bad, unknown, accepted, reconnects, answers;
static int statuses[600];
static char sample[256];
static FILE *accepted_file;

static template parse(const char *text, size_t n, int repeats) {
    template t = {.text = text, .end = text + n};
    const char *open = repeats ? find(text, n, "{*") : NULL;
    const char *close = open ? find(open, t.end - open, "*}") : NULL;
    if (close) t.item = open, t.item_end = close;
    return t;
}

static void expand_span(buffer *out, const char *p, const char *end, long n) {
    char *to = room(out, (end - p) * 8 + 32); /* the longest expansion is 20 bytes for 3 */
    while (p < end) {
        const char *brace = memchr(p, '{', end - p);
        size_t plain = (brace ? brace : end) - p;
        memcpy(to, p, plain);
        to += plain, p += plain;
        if (end - p > 2 && p[2] == '}' && (p[1] == 'n' || p[1] == 'd')) {
            to += p[1] == 'n' ? sprintf(to, "%ld", n) : sprintf(to, "4477%08ld", n % 100000000);
            p += 3;
        } else if (p < end)
            *to++ = *p++;
    }
    out->end = to - out->data;
}

static void expand(buffer *out, const template *t, long n) {
    if (!t->item) {
        expand_span(out, t->text, t->end, n);
        return;
    }
    expand_span(out, t->text, t->item, n);
    for (long i = 0; i < copies; i++) {
        if (i) append(out, ",", 1);
        expand_span(out, t->item + 2, t->item_end, n * copies + i);
    }
    expand_span(out, t->item_end + 2, t->end, n);
}

static void open_connection(conn *c) {
    struct sockaddr_in address = loopback(port);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    set_nodelay(c->fd);
    drop(&c->in, length(&c->in));
    drop(&c->out, length(&c->out));
    c->connecting = 1, c->busy = 0, c->wants_out = 1;
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS) {
        close(c->fd);
        c->fd = -1, c->retry = now() + PAUSE;
        return;
    }
    watch(ep, EPOLL_CTL_ADD, c->fd, EPOLLIN | EPOLLOUT, c);
}

static void close_connection(conn *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
}

static void broke(conn *c) {
    if (c->busy) unknown++, done++, c->busy = 0;
    close_connection(c);
    if (!broken_since) broken_since = now();
    c->retry = now() + PAUSE;
    reconnects++;
}

static void push(conn *c) {
    ssize_t n;
    while (length(&c->out) && (n = send(c->fd, head(&c->out), length(&c->out), MSG_NOSIGNAL)) > 0) drop(&c->out, n);
    int wants_out = length(&c->out) > 0;
    if (wants_out != c->wants_out) watch(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN | (wants_out ? EPOLLOUT : 0), c);
    c->wants_out = wants_out;
}

static void send_next(conn *c) {
    static buffer content, target;
    char line[64];
    if (sent >= requests) {
        close_connection(c);
        c->retry = 1e300;
        return;
    }
    c->n = first + sent, c->busy = 1;
    buffer *b = &content;
    drop(b, length(b));
    drop(&target, length(&target));
    expand(&target, &url, c->n);
    if (made)
        b = &made[sent % distinct];
    else if (body.text)
        expand(b, &body, c->n);
    sent++;
    append(&c->out, body.text ? "POST " : "GET ", body.text ? 5 : 4);
    append(&c->out, head(&target), length(&target));
    append(&c->out, line, sprintf(line, " HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n", port));
    append(&c->out, head(&headers), length(&headers));
    if (body.text) append(&c->out, line, sprintf(line, "Content-Length: %zu\r\n", length(b)));
    append(&c->out, "\r\n", 2);
    append(&c->out, head(b), length(b));
    c->since = now();
    push(c);
}

/* Whether the buffer holds a whole answer; it ends with a NUL. */
static int complete(char *answer, size_t n, int *status, int *closing) {
    char *end = find(answer, n, "\r\n\r\n");
    if (!end || n < 12) return 0;
    size_t head_length = end + 4 - answer;
    *end = 0;
    *status = atoi(answer + 9);
    char *fixed = strcasestr(answer, "\r\ncontent-length:");
    int chunked = strcasestr(answer, "\r\ntransfer-encoding: chunked") != NULL;
    *closing = strcasestr(answer, "\r\nconnection: close") != NULL || !strncmp(answer, "HTTP/1.0", 8);
    *end = '\r';
    if (fixed) return n >= head_length + strtoul(fixed + strlen("\r\ncontent-length:"), NULL, 10);
    if (chunked) return find(end + 2, n - head_length + 2, "\r\n0\r\n\r\n") != NULL;
    return *status == 204;
}

static void record(conn *c, int status) {
    char *answer = head(&c->in);
    double t = now();
    latency[answers++] = t - c->since;
    if (status >= 0 && status < 600) statuses[status]++;
    if (status >= 200 && status < 300) {
        char *field = find(answer, length(&c->in), "\"accepted\":");
        ok++;
        if (field) accepted += strtol(field + strlen("\"accepted\":"), NULL, 10);
        if (accepted_file) fprintf(accepted_file, "%ld %.6f\n", c->n, t);
    } else {
        if (!bad++) snprintf(sample, sizeof sample, "%.250s", answer);
    }
    done++, ended = t, c->busy = 0;
}

static void on_event(conn *c, uint32_t events) {
    int status = 0, closing = 0;
    if (c->connecting) {
        int error = 0;
        socklen_t size = sizeof error;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error || events & (EPOLLERR | EPOLLHUP)) {
            broke(c);
            return;
        }
        c->connecting = 0, broken_since = 0;
        send_next(c);
        return;
    }
    if (events & EPOLLOUT) push(c);
    if (!(events & ~EPOLLOUT)) return;
    ssize_t n = recv(c->fd, room(&c->in, CHUNK), CHUNK, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) {
        if (c->busy) {
            broke(c);
        } else {
            close_connection(c);
            open_connection(c);
            reconnects++;
        }
        return;
    }
    c->in.end += n;
    c->in.data[c->in.end] = 0;
    if (!complete(head(&c->in), length(&c->in), &status, &closing)) return;
    record(c, status);
    drop(&c->in, length(&c->in));
    if (closing || length(&c->out)) { /* an answer before the whole request was read ends the connection too */
        close_connection(c);
        reconnects++;
        open_connection(c);
    } else
        send_next(c);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double percentile(double p) {
    return answers ? latency[(long)((answers - 1) * p)] * 1e3 : 0;
}

static void print_results(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    if (!ended) ended = now();
    qsort(latency, answers, sizeof *latency, ascending);
    for (char *p = sample; *p; p++)
        if ((unsigned char)*p < 32 || (unsigned char)*p > 126 || *p == '"' || *p == '\\') *p = ' ';
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("{\"sent\":%ld,\"ok\":%ld,\"bad\":%ld,\"unknown\":%ld,\"accepted\":%ld,", sent, ok, bad, unknown, accepted);
    printf("\"t0\":%.6f,\"t1\":%.6f,\"rps\":%.1f,", started, ended, ok / (ended - started));
    printf("\"p50\":%.2f,\"p90\":%.2f,\"p99\":%.2f,\"max\":%.2f,", percentile(.5), percentile(.9), percentile(.99),
           percentile(1));
    printf("\"reconnects\":%ld,\"cpu\":%.2f,\"status\":{", reconnects, cpu);
    for (int i = 0, some = 0; i < 600; i++)
        if (statuses[i]) printf("%s\"%d\":%d", some++ ? "," : "", i, statuses[i]);
    printf("},\"sample_bad\":\"%s\"}\n", sample);
}

static buffer read_file(const char *name) {
    buffer b = {0};
    FILE *f = fopen(name, "rb");
    size_t n;
    if (!f) {
        perror(name);
        exit(2);
    }
    while ((n = fread(room(&b, CHUNK), 1, CHUNK, f))) b.end += n;
    fclose(f);
    return b;
}

static void options(int argc, char **argv) {
    int option;
    buffer b;
    while ((option = getopt(argc, argv, "p:n:c:u:b:f:k:D:H:s:a:R:")) != -1) switch (option) {
            case 'p': port = atoi(optarg); break;
            case 'n': requests = atol(optarg); break;
            case 'c': connections = atoi(optarg); break;
            case 'u': url = parse(optarg, strlen(optarg), 0); break;
            case 'b': body = parse(optarg, strlen(optarg), 1); break;
            case 'f': b = read_file(optarg), body = parse(head(&b), length(&b), 1); break;
            case 'k': copies = atol(optarg); break;
            case 'D': distinct = atol(optarg); break;
            case 'H': append(&headers, optarg, strlen(optarg)), append(&headers, "\r\n", 2); break;
            case 's': first = atol(optarg); break;
            case 'a':
                if (!(accepted_file = fopen(optarg, "w"))) perror(optarg), exit(2);
                break;
            case 'R': patience = atof(optarg); break;
            default: exit(2);
        }
    if (!url.text || requests < 1 || connections < 1 || copies < 1) {
        fprintf(stderr, "see the usage at the top of hload.c\n");
        exit(2);
    }
}

int main(int argc, char **argv) {
    options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    latency = need(malloc(sizeof *latency * requests));
    conn *all = need(calloc(connections, sizeof *all));
    if (body.text && distinct > 0) {
        made = need(calloc(distinct, sizeof *made));
        for (long i = 0; i < distinct; i++) expand(&made[i], &body, first + i);
    }
    ep = epoll_create1(EPOLL_CLOEXEC);
    started = now();
    for (int i = 0; i < connections; i++) {
        all[i].fd = -1;
        open_connection(&all[i]);
    }
    for (int over = 0; done < requests && !over;) {
        struct epoll_event events[128];
        int n = epoll_wait(ep, events, 128, 20);
        double t = now();
        for (int i = 0; i < n; i++) {
            conn *c = events[i].data.ptr;
            if (c->fd >= 0) on_event(c, events[i].events);
        }
        for (int i = 0; i < connections; i++) {
            conn *c = &all[i];
            if (c->fd >= 0 || c->retry > t) continue;
            if (sent >= requests)
                c->retry = 1e300;
            else if (patience <= 0 || (broken_since && t - broken_since > patience))
                over = 1;
            else
                open_connection(c);
        }
    }
    for (int i = 0; i < connections; i++) unknown += all[i].busy;
    if (accepted_file) fclose(accepted_file);
    print_results();
}
