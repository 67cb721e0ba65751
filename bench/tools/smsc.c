/* smsc.c - small fast SMPP 3.4 SMSC sink for measuring SMS gateways (epoll, one thread).
 *
 * build: gcc -O2 -Wall -Wextra -o smsc smsc.c
 * usage: ./smsc [-p smpp_port=2775] [-c control_port=2776] [-d] [-D] [-y receipt_delay_ms] [-T] [-s]
 *   -d  send a text receipt (deliver_sm esm_class 4) when registered_delivery & 3 is not 0
 *   -D  always send a receipt      -y  receipt delay, ms
 *   -T  do not add receipted_message_id and message_state TLVs to receipts
 *   -s  print submits/s every second on stderr
 *
 * Any bind is accepted. submit_sm is answered at once with a 10-digit decimal message id. If the text has "n=<int>"
 * (< 4M) in it, it is counted by that number, so that losses and duplicates can be told apart.
 * The control port takes lines; one JSON line comes back for each:
 *   stats            totals; times are CLOCK_MONOTONIC seconds
 *   reset            zero everything
 *   mo N W [ADDR]    send N deliver_sm (text "mo n=<i> ...", to the number ADDR, default 12345) to the last bound
 *                    receiver or transceiver, W outstanding
 *   dlr 0|1|2        receipts: off, only if registered_delivery asks, always
 *   delay MS         delay between submit_sm_resp and its receipt (0 = same write)
 *   rdelay MS        delay of submit_sm_resp itself (slow SMSC: rate = window / MS); the receipt follows it
 *   dump FILE        write "<n> <times submitted>" for every n seen
 *   quit */
#include "common.h"
#include <signal.h>

enum {
    BIND_RECEIVER = 1,
    BIND_TRANSMITTER = 2,
    SUBMIT_SM = 4,
    DELIVER_SM = 5,
    UNBIND = 6,
    BIND_TRANSCEIVER = 9,
    ENQUIRE_LINK = 0x15,
    GENERIC_NACK = 0x80000000,
    RESP = 0x80000000,
};
enum { OK = 0, INVALID_LENGTH = 1, INVALID_COMMAND = 3 };
/* The top bits of our deliver_sm's sequence numbers say what they carry. */
enum { INBOUND = 0x20000000, RECEIPT = 0x40000000, SEQUENCE = 0xffffff };
#define CHUNK 262144
#define LONGEST_PDU 70000

typedef struct conn {
    int fd, control, receives, wants_out, dead;
    char system_id[32];
    buffer in, out;
    struct conn *next;
    uint32_t generation; /* tells it from another at the same address in memory */
} conn;

typedef struct {
    double due;
    char id[12], from[24], to[24]; /* from and to as in the submit_sm */
    uint8_t from_ton, from_npi, to_ton, to_npi;
    conn *c;
    uint32_t generation;
} receipt;

typedef struct {
    double due;
    uint32_t sequence;
    int wants_receipt;
    receipt receipt;
} response;

/* A ring of things that are due, in order; grows. */
#define QUEUE(type)                  \
    struct {                         \
        type *items;                 \
        size_t start, count, capacity; \
    }
#define FRONT(q) (&(q).items[(q).start])
#define POP(q) ((q).start = ((q).start + 1) % (q).capacity, (q).count--)
#define PUSH(q, item)                                                                                       \
    do {                                                                                                    \
        if ((q).count == (q).capacity) {                                                                    \
            size_t bigger_ = (q).capacity ? (q).capacity * 2 : 65536;                                       \
            void *all_ = need(malloc(bigger_ * sizeof *(q).items));                                         \
            size_t tail_ = (q).capacity - (q).start;                                                        \
            if ((q).count) {                                                                                \
                memcpy(all_, (q).items + (q).start, tail_ * sizeof *(q).items);                             \
                memcpy((char *)all_ + tail_ * sizeof *(q).items, (q).items, (q).start * sizeof *(q).items); \
            }                                                                                               \
            free((q).items);                                                                                \
            (q).items = all_, (q).capacity = bigger_, (q).start = 0;                                        \
        }                                                                                                   \
        (q).items[((q).start + (q).count++) % (q).capacity] = (item);                                       \
    } while (0)

static conn *conns;
static int ep, with_tlvs = 1, verbose;
static int receipts; /* as of the order dlr */
static double receipt_delay, response_delay;
static uint32_t generations = 1, sequence = 1;
static uint64_t message_id = 1;
static uint8_t *seen; /* how often each number was submitted, up to 255 */
static QUEUE(receipt) due_receipts;
static QUEUE(response) due_responses;
static struct {
    uint64_t left, outstanding, window, i;
    char to[24];
    conn *c;
    uint32_t generation;
} inbound = {.to = "12345"};
static struct {
    uint64_t binds, unbinds, submits, without_number, distinct, dups, receipts_sent, receipts_nobody, receipts_answered,
        receipts_refused, inbound_sent, inbound_answered, inbound_refused, enquiries;
    double submit_first, submit_last, receipt_last, inbound_first, inbound_last;
    uint32_t last_error;
} stat;

static void flush(conn *c) {
    while (length(&c->out)) {
        ssize_t n = send(c->fd, head(&c->out), length(&c->out), MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EINTR) continue;
            if (errno != EAGAIN) c->dead = 1;
            break;
        }
        drop(&c->out, n);
    }
    int wants_out = length(&c->out) > 0;
    if (wants_out != c->wants_out && !c->dead) {
        watch(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN | (wants_out ? EPOLLOUT : 0), c);
        c->wants_out = wants_out;
    }
}

static void put_pdu(conn *c, uint32_t command, uint32_t status, uint32_t number, const void *body, size_t n) {
    uint8_t header[16];
    put32(header, 16 + n);
    put32(header + 4, command);
    put32(header + 8, status);
    put32(header + 12, number);
    append(&c->out, header, 16);
    append(&c->out, body, n);
}

static size_t put_string(uint8_t *to, const char *string) {
    size_t n = strlen(string) + 1;
    memcpy(to, string, n);
    return n;
}

static conn *alive(conn *c, uint32_t generation) {
    for (conn *k = conns; k; k = k->next)
        if (k == c && k->generation == generation && !k->dead) return k;
    return NULL;
}

/* Who gets what is for c: itself if it receives, else one of the same system_id, else anybody. */
static conn *receiver_for(conn *c) {
    if (c && !c->dead && c->receives) return c;
    for (conn *k = conns; k; k = k->next)
        if (!k->dead && k->receives && (!c || !strcmp(k->system_id, c->system_id))) return k;
    for (conn *k = conns; k; k = k->next)
        if (!k->dead && k->receives) return k;
    return NULL;
}

static const char *date(void) {
    static time_t last;
    static char text[16];
    time_t t = time(NULL);
    if (t != last) {
        struct tm tm;
        localtime_r(&t, &tm);
        strftime(text, sizeof text, "%y%m%d%H%M", &tm);
        last = t;
    }
    return text;
}

static void send_receipt(receipt *r) {
    uint8_t b[512];
    size_t n = 0;
    conn *c = receiver_for(alive(r->c, r->generation));
    if (!c) {
        stat.receipts_nobody++;
        return;
    }
    n += put_string(b, ""); /* service_type */
    b[n++] = r->to_ton, b[n++] = r->to_npi, n += put_string(b + n, r->to);
    b[n++] = r->from_ton, b[n++] = r->from_npi, n += put_string(b + n, r->from);
    b[n++] = 4;                             /* esm_class */
    for (int i = 0; i < 8; i++) b[n++] = 0; /* protocol_id ... sm_default_msg_id */
    int l = sprintf((char *)b + n + 1,
                    "id:%s sub:001 dlvrd:001 submit date:%s done date:%s stat:DELIVRD err:000 text:ok", r->id, date(),
                    date());
    b[n] = l, n += 1 + l;
    if (with_tlvs) {
        size_t size = strlen(r->id) + 1;
        b[n++] = 0, b[n++] = 0x1e, b[n++] = 0, b[n++] = size; /* receipted_message_id */
        memcpy(b + n, r->id, size), n += size;
        b[n++] = 4, b[n++] = 0x27, b[n++] = 0, b[n++] = 1, b[n++] = 2; /* message_state DELIVERED */
    }
    put_pdu(c, DELIVER_SM, OK, RECEIPT | (sequence++ & SEQUENCE), b, n);
    stat.receipts_sent++, stat.receipt_last = now();
    if (c != r->c || receipt_delay > 0) flush(c); /* else it goes with the response */
}

static void queue_receipt(receipt *r, double t) {
    if (receipt_delay <= 0) {
        send_receipt(r);
        return;
    }
    r->due = t + receipt_delay;
    PUSH(due_receipts, *r);
}

static void send_inbound(void) {
    conn *c = alive(inbound.c, inbound.generation);
    if (!c) {
        inbound.left = 0;
        return;
    }
    while (inbound.left && inbound.outstanding < inbound.window) {
        uint8_t b[256];
        char from[24], text[64];
        size_t n = put_string(b, ""); /* service_type */
        sprintf(from, "4478%08llu", (unsigned long long)inbound.i % 100000000ULL);
        b[n++] = 1, b[n++] = 1, n += put_string(b + n, from);
        b[n++] = 1, b[n++] = 1, n += put_string(b + n, inbound.to);
        for (int i = 0; i < 9; i++) b[n++] = 0; /* esm_class ... sm_default_msg_id */
        int l = sprintf(text, "mo n=%llu hello from the handset", (unsigned long long)inbound.i);
        b[n++] = l;
        memcpy(b + n, text, l);
        put_pdu(c, DELIVER_SM, OK, INBOUND | (sequence++ & SEQUENCE), b, n + l);
        inbound.i++, inbound.left--, inbound.outstanding++, stat.inbound_sent++;
        if (!stat.inbound_first) stat.inbound_first = now();
    }
    flush(c);
}

/* A C string of the body at *i, which is moved behind it; 0 if it does not end. `to` may be NULL. */
static int take_string(const uint8_t *body, size_t n, size_t *i, char *to, size_t size) {
    const uint8_t *end = *i < n ? memchr(body + *i, 0, n - *i) : NULL;
    if (!end) return 0;
    size_t l = end - (body + *i);
    if (to) {
        size_t kept = l < size - 1 ? l : size - 1;
        memcpy(to, body + *i, kept);
        to[kept] = 0;
    }
    *i += l + 1;
    return 1;
}

/* Read a submit_sm's mandatory fields; 0 if they are cut off. */
static int parse_submit(const uint8_t *b, size_t n, receipt *r, int *registered, const uint8_t **text, size_t *size) {
    size_t i = 0;
    if (!take_string(b, n, &i, NULL, 0) || i + 2 > n) return 0; /* service_type */
    r->from_ton = b[i++], r->from_npi = b[i++];
    if (!take_string(b, n, &i, r->from, sizeof r->from) || i + 2 > n) return 0;
    r->to_ton = b[i++], r->to_npi = b[i++];
    if (!take_string(b, n, &i, r->to, sizeof r->to) || i + 3 > n) return 0;
    i += 3; /* esm_class, protocol_id, priority_flag */
    if (!take_string(b, n, &i, NULL, 0) || !take_string(b, n, &i, NULL, 0) || i + 5 > n) return 0; /* times */
    *registered = b[i], i += 4;
    *size = b[i++];
    *text = b + i;
    return i + *size <= n;
}

static void count_text(const uint8_t *bytes, size_t n) {
    char text[256];
    memcpy(text, bytes, n);
    text[n] = 0;
    char *p = find(text, n, "n="); /* also behind a user data header */
    if (!p) {
        stat.without_number++;
        return;
    }
    unsigned long number = strtoul(p + 2, NULL, 10);
    if (number >= NUMBERS) return;
    if (seen[number])
        stat.dups++;
    else
        stat.distinct++;
    if (seen[number] < 255) seen[number]++;
}

static void respond(conn *c, response *r, double t) {
    put_pdu(c, RESP | SUBMIT_SM, OK, r->sequence, r->receipt.id, strlen(r->receipt.id) + 1);
    if (r->wants_receipt) queue_receipt(&r->receipt, t);
}

static void on_submit(conn *c, uint32_t number, const uint8_t *body, size_t n) {
    response r = {.sequence = number, .receipt = {.c = c, .generation = c->generation}};
    int registered;
    const uint8_t *text;
    size_t size;
    if (!parse_submit(body, n, &r.receipt, &registered, &text, &size)) {
        put_pdu(c, RESP | SUBMIT_SM, INVALID_LENGTH, number, "", 1);
        return;
    }
    double t = now();
    if (!stat.submits++) stat.submit_first = t;
    stat.submit_last = t;
    count_text(text, size);
    snprintf(r.receipt.id, sizeof r.receipt.id, "%010llu", (unsigned long long)message_id++ % 10000000000ULL);
    r.wants_receipt = receipts == 2 || (receipts == 1 && registered & 3);
    if (response_delay > 0) {
        r.due = t + response_delay;
        PUSH(due_responses, r);
    } else
        respond(c, &r, t);
}

static void on_deliver_resp(uint32_t status, uint32_t number) {
    if (status) stat.last_error = status;
    if (number >> 28 == INBOUND >> 28) {
        stat.inbound_answered++, stat.inbound_refused += status != 0, stat.inbound_last = now();
        if (inbound.outstanding) inbound.outstanding--;
        if (inbound.left) send_inbound();
    } else
        stat.receipts_answered++, stat.receipts_refused += status != 0, stat.receipt_last = now();
}

static void on_bind(conn *c, uint32_t command, uint32_t number, const uint8_t *body, size_t n) {
    static const uint8_t answer[] = {'s', 'm', 's', 'c', 0, 2, 0x10, 0, 1, 0x34}; /* system_id, sc_interface_version */
    size_t i = 0;
    c->receives = command != BIND_TRANSMITTER;
    take_string(body, n, &i, c->system_id, sizeof c->system_id);
    stat.binds++;
    put_pdu(c, command | RESP, OK, number, answer, sizeof answer);
}

static void on_pdu(conn *c, const uint8_t *pdu, size_t n) {
    uint32_t command = get32(pdu + 4), status = get32(pdu + 8), number = get32(pdu + 12);
    switch (command) {
        case BIND_RECEIVER:
        case BIND_TRANSMITTER:
        case BIND_TRANSCEIVER: on_bind(c, command, number, pdu + 16, n - 16); break;
        case SUBMIT_SM: on_submit(c, number, pdu + 16, n - 16); break;
        case RESP | DELIVER_SM: on_deliver_resp(status, number); break;
        case ENQUIRE_LINK:
            stat.enquiries++;
            put_pdu(c, RESP | ENQUIRE_LINK, OK, number, NULL, 0);
            break;
        case UNBIND:
            stat.unbinds++;
            put_pdu(c, RESP | UNBIND, OK, number, NULL, 0);
            break;
        case RESP | ENQUIRE_LINK:
        case RESP | UNBIND:
        case GENERIC_NACK: break;
        default: put_pdu(c, GENERIC_NACK, INVALID_COMMAND, number, NULL, 0);
    }
}

static void write_stats(char *out, size_t size) {
    size_t n = snprintf(out, size,
                        "{\"binds\":%lu,\"unbinds\":%lu,\"submits\":%lu,\"no_n\":%lu,\"distinct\":%lu,\"dups\":%lu,"
                        "\"t_first\":%.6f,\"t_last\":%.6f,",
                        stat.binds, stat.unbinds, stat.submits, stat.without_number, stat.distinct, stat.dups,
                        stat.submit_first, stat.submit_last);
    n += snprintf(out + n, size - n,
                  "\"dlr_sent\":%lu,\"dlr_nobody\":%lu,\"dlr_resp\":%lu,\"dlr_err\":%lu,\"dlr_last\":%.6f,",
                  stat.receipts_sent, stat.receipts_nobody, stat.receipts_answered, stat.receipts_refused,
                  stat.receipt_last);
    snprintf(out + n, size - n,
             "\"mo_sent\":%lu,\"mo_resp\":%lu,\"mo_err\":%lu,\"mo_first\":%.6f,\"mo_last\":%.6f,"
             "\"enq\":%lu,\"last_err\":%u,\"now\":%.6f}\n",
             stat.inbound_sent, stat.inbound_answered, stat.inbound_refused, stat.inbound_first, stat.inbound_last,
             stat.enquiries, stat.last_error, now());
}

static void dump(const char *name) {
    FILE *f = fopen(name, "w");
    for (unsigned i = 0; f && i < NUMBERS; i++)
        if (seen[i]) fprintf(f, "%u %u\n", i, seen[i]);
    if (f) fclose(f);
}

static void on_order(conn *c, const char *line) {
    char answer[1024] = "{\"ok\":1}\n", word[256];
    unsigned long a, b;
    int n;
    if (!strncmp(line, "stats", 5)) {
        write_stats(answer, sizeof answer);
    } else if (!strncmp(line, "reset", 5)) {
        memset(&stat, 0, sizeof stat);
        memset(seen, 0, NUMBERS);
        inbound.left = inbound.outstanding = inbound.i = 0;
    } else if ((n = sscanf(line, "mo %lu %lu %23s", &a, &b, word)) >= 2) {
        inbound.c = receiver_for(NULL);
        if (inbound.c) {
            inbound.generation = inbound.c->generation;
            inbound.left = a, inbound.window = b, inbound.outstanding = 0;
            if (n > 2) strcpy(inbound.to, word);
            send_inbound();
        } else
            strcpy(answer, "{\"ok\":0,\"err\":\"no receiver bound\"}\n");
    } else if (sscanf(line, "dlr %lu", &a) == 1) {
        receipts = a;
    } else if (sscanf(line, "delay %lu", &a) == 1) {
        receipt_delay = a / 1e3;
    } else if (sscanf(line, "rdelay %lu", &a) == 1) {
        response_delay = a / 1e3;
    } else if (sscanf(line, "dump %255s", word) == 1) {
        dump(word);
    } else if (!strncmp(line, "quit", 4)) {
        write_stats(answer, sizeof answer);
        fputs(answer, stdout);
        exit(0);
    } else
        strcpy(answer, "{\"ok\":0}\n");
    append(&c->out, answer, strlen(answer));
}

static void handle(conn *c) {
    if (c->control) {
        char *end;
        while ((end = memchr(head(&c->in), '\n', length(&c->in)))) {
            *end = 0;
            on_order(c, head(&c->in));
            drop(&c->in, end + 1 - head(&c->in));
        }
    } else
        while (length(&c->in) >= 16) {
            const uint8_t *pdu = (uint8_t *)head(&c->in);
            uint32_t n = get32(pdu);
            if (n < 16 || n > LONGEST_PDU) {
                c->dead = 1;
                return;
            }
            if (length(&c->in) < n) break;
            on_pdu(c, pdu, n);
            drop(&c->in, n);
        }
    flush(c);
}

static void on_event(conn *c, uint32_t events) {
    if (events & EPOLLOUT) flush(c);
    if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
    ssize_t n = recv(c->fd, room(&c->in, CHUNK), CHUNK, 0);
    if (n > 0) {
        c->in.end += n;
        handle(c);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        c->dead = 1;
}

static void accept_all(int listener, int control) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        conn *c = need(calloc(1, sizeof *c));
        set_nodelay(fd);
        c->fd = fd, c->control = control, c->generation = generations++, c->next = conns;
        conns = c;
        watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN, c);
    }
}

static void send_what_is_due(double t) {
    while (due_responses.count && FRONT(due_responses)->due <= t) {
        response r = *FRONT(due_responses);
        POP(due_responses);
        conn *c = alive(r.receipt.c, r.receipt.generation);
        if (c) {
            respond(c, &r, t);
            flush(c);
        }
    }
    while (due_receipts.count && FRONT(due_receipts)->due <= t) {
        receipt r = *FRONT(due_receipts);
        POP(due_receipts);
        send_receipt(&r);
    }
}

static void bury_the_dead(void) {
    for (conn **p = &conns; *p;) {
        conn *c = *p;
        if (!c->dead) {
            p = &c->next;
            continue;
        }
        *p = c->next;
        close(c->fd);
        free(c->in.data);
        free(c->out.data);
        free(c);
    }
}

/* How long to wait for events, ms. */
static int patience(double t) {
    double until = t + (verbose ? 0.2 : 1);
    if (due_responses.count && FRONT(due_responses)->due < until) until = FRONT(due_responses)->due;
    if (due_receipts.count && FRONT(due_receipts)->due < until) until = FRONT(due_receipts)->due;
    return until <= t ? 0 : (int)((until - t) * 1e3) + 1;
}

int main(int argc, char **argv) {
    int port = 2775, control_port = 2776, option;
    while ((option = getopt(argc, argv, "p:c:dDy:Ts")) != -1) switch (option) {
            case 'p': port = atoi(optarg); break;
            case 'c': control_port = atoi(optarg); break;
            case 'd': receipts = 1; break;
            case 'D': receipts = 2; break;
            case 'y': receipt_delay = atoi(optarg) / 1e3; break;
            case 'T': with_tlvs = 0; break;
            case 's': verbose = 1; break;
            default: return 2;
        }
    signal(SIGPIPE, SIG_IGN);
    seen = need(calloc(NUMBERS, 1));
    ep = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on(port), control = listen_on(control_port);
    watch(ep, EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    watch(ep, EPOLL_CTL_ADD, control, EPOLLIN, &control);
    say_ready();
    uint64_t last_submits = 0;
    double last = now();
    for (;;) {
        struct epoll_event events[64];
        int n = epoll_wait(ep, events, 64, patience(now()));
        for (int i = 0; i < n; i++) {
            void *who = events[i].data.ptr;
            if (who == &listener || who == &control)
                accept_all(*(int *)who, who == &control);
            else
                on_event(who, events[i].events);
        }
        double t = now();
        send_what_is_due(t);
        bury_the_dead();
        if (verbose && t - last >= 1) {
            if (stat.submits != last_submits)
                fprintf(stderr, "%.1f submits/s total %lu\n", (stat.submits - last_submits) / (t - last), stat.submits);
            last_submits = stat.submits, last = t;
        }
    }
}
