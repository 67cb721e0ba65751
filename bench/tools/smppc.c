/* smppc.c - SMPP client: one transceiver bind, n submit_sm, w outstanding; counts responses, answers deliver_sm.
 *
 * build: gcc -O2 -Wall -Wextra -o smppc smppc.c
 * usage: ./smppc [-p port=2775] [-n 500000] [-w window=50] [-r registered_delivery=0] [-u system_id] [-P password]
 *
 * The text of each is "n=<i> hello ...". With -r it waits for as many deliver_sm too. Prints one JSON line. */
#include "common.h"

enum {
    SUBMIT_SM = 4,
    DELIVER_SM = 5,
    BIND_TRANSCEIVER = 9,
    ENQUIRE_LINK = 0x15,
    RESP = 0x80000000,
};

static buffer out;

static void put_pdu(uint32_t command, uint32_t sequence, const void *body, size_t n) {
    uint8_t header[16];
    put32(header, 16 + n);
    put32(header + 4, command);
    put32(header + 8, 0);
    put32(header + 12, sequence);
    append(&out, header, 16);
    append(&out, body, n);
}

static size_t put_string(uint8_t *to, const char *string) {
    size_t n = strlen(string) + 1;
    memcpy(to, string, n);
    return n;
}

static void put_bind(const char *user, const char *password) {
    uint8_t b[256];
    size_t n = put_string(b, user);
    n += put_string(b + n, password);
    n += put_string(b + n, "");         /* system_type */
    b[n++] = 0x34;                      /* interface_version */
    b[n++] = 0, b[n++] = 0, b[n++] = 0; /* addr_ton, addr_npi, address_range */
    put_pdu(BIND_TRANSCEIVER, 1, b, n);
}

static void put_submit(long i, int registered_delivery) {
    uint8_t b[256];
    char to[32], text[64];
    size_t n = put_string(b, ""); /* service_type */
    sprintf(to, "4477%08ld", i);
    b[n++] = 1, b[n++] = 1, n += put_string(b + n, "12345");
    b[n++] = 1, b[n++] = 1, n += put_string(b + n, to);
    for (int k = 0; k < 5; k++) b[n++] = 0; /* esm_class, protocol_id, priority, schedule, validity */
    b[n++] = registered_delivery;
    b[n++] = 0, b[n++] = 0, b[n++] = 0; /* replace_if_present, data_coding, sm_default_msg_id */
    int l = sprintf(text, "n=%ld hello this is a test message", i);
    b[n++] = l;
    memcpy(b + n, text, l);
    put_pdu(SUBMIT_SM, 10 + i, b, n + l);
}

static void flush(int fd) {
    while (length(&out)) {
        ssize_t n = send(fd, head(&out), length(&out), MSG_NOSIGNAL);
        if (n <= 0) {
            perror("send");
            exit(1);
        }
        drop(&out, n);
    }
}

int main(int argc, char **argv) {
    int port = 2775, window = 50, registered_delivery = 0, bound = 0, option;
    long count = 500000, sent = 0, answered = 0, errors = 0, delivered = 0;
    const char *user = "u", *password = "p";
    buffer in = {0};
    while ((option = getopt(argc, argv, "p:n:w:r:u:P:")) != -1) switch (option) {
            case 'p': port = atoi(optarg); break;
            case 'n': count = atol(optarg); break;
            case 'w': window = atoi(optarg); break;
            case 'r': registered_delivery = atoi(optarg); break;
            case 'u': user = optarg; break;
            case 'P': password = optarg; break;
            default: return 2;
        }
    if (strlen(user) + strlen(password) > 200) return 2;
    struct sockaddr_in address = loopback(port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    set_nodelay(fd);
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        perror("connect");
        return 1;
    }
    put_bind(user, password);
    double started = now();
    while (answered < count || (registered_delivery && delivered < count)) {
        while (bound && sent < count && sent - answered < window) put_submit(sent++, registered_delivery);
        flush(fd);
        ssize_t got = recv(fd, room(&in, 1 << 18), 1 << 18, 0);
        if (got <= 0) {
            perror("recv");
            return 1;
        }
        in.end += got;
        while (length(&in) >= 16) {
            const uint8_t *pdu = (uint8_t *)head(&in);
            uint32_t n = get32(pdu), command = get32(pdu + 4), status = get32(pdu + 8), sequence = get32(pdu + 12);
            if (n < 16) {
                fprintf(stderr, "a PDU of %u bytes\n", n);
                return 1;
            }
            if (length(&in) < n) break;
            if (command == (RESP | BIND_TRANSCEIVER)) {
                if (status) {
                    fprintf(stderr, "bind refused: %u\n", status);
                    return 1;
                }
                bound = 1, started = now();
            } else if (command == (RESP | SUBMIT_SM)) {
                answered++, errors += status != 0;
            } else if (command == DELIVER_SM) {
                delivered++;
                put_pdu(RESP | DELIVER_SM, sequence, "", 1);
            } else if (command == ENQUIRE_LINK)
                put_pdu(RESP | ENQUIRE_LINK, sequence, "", 0);
            drop(&in, n);
        }
    }
    flush(fd);
    double seconds = now() - started;
    printf("{\"n\":%ld,\"window\":%d,\"err\":%ld,\"deliver\":%ld,\"secs\":%.3f,\"rate\":%.0f}\n", count, window, errors,
           delivered, seconds, count / seconds);
}
