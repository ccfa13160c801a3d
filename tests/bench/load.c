/* A load generator for what wrk does not do: a fixed number of requests, all sent at one moment; many
 * different texts; a count of the answers by status and X-Cache; when the first and the last answer came.
 *
 * One epoll loop, one request at a time on each connection. All connections are open before the first request
 * is sent, and the clock starts there. Text number i of a run is the prefix, i and padding, so runs with one
 * prefix ask for the same texts.
 *
 * usage: load [--host=ADDRESS] --port=N [--connections=N] [--requests=N | --seconds=S] [--texts=N]
 * [--size=BYTES] [--prefix=TEXT]
 *
 * Prints one JSON object. Exit status 1: some request got no answer. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX   512
#define RESPONSE_MAX (16 * 1024)
#define NAMES_MAX    16

struct options {
    const char *host;
    uint16_t port;
    size_t connections;
    size_t requests; /* 0: until the seconds are over */
    double seconds;
    size_t texts;
    size_t size;
    const char *prefix;
};

/* How often each value of something was seen. */
struct tally {
    struct {
        char name[24];
        size_t count;
    } row[NAMES_MAX];
    size_t rows;
};

struct connection {
    int fd; /* -1: closed */
    bool waiting;
    uint64_t sent_us;
    size_t length;
    char input[RESPONSE_MAX];
};

struct run {
    struct options options;
    int epoll;
    struct connection *connections;
    char **request; /* one per text */
    size_t *request_length;
    uint64_t started_us, deadline_us;
    size_t sent, answered, unanswered;
    uint64_t first_us, last_us; /* of the answers */
    uint32_t *latency_us;       /* of each answer */
    size_t latency_room;
    struct tally status, x_cache;
};

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void *need(void *memory) {
    if (memory == NULL)
        die("memory");
    return memory;
}

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void tally_add(struct tally *tally, const char *name, size_t length) {
    if (length >= sizeof tally->row[0].name)
        length = sizeof tally->row[0].name - 1;
    size_t i = 0;
    while (i < tally->rows &&
           (strncmp(tally->row[i].name, name, length) != 0 || tally->row[i].name[length] != '\0'))
        i++;
    if (i == NAMES_MAX)
        return;
    if (i == tally->rows) {
        memcpy(tally->row[i].name, name, length);
        tally->row[i].name[length] = '\0';
        tally->rows++;
    }
    tally->row[i].count++;
}

static void tally_print(const char *label, const struct tally *tally) {
    printf(", \"%s\": {", label);
    for (size_t i = 0; i < tally->rows; i++)
        printf("%s\"%s\": %zu", i == 0 ? "" : ", ", tally->row[i].name, tally->row[i].count);
    printf("}");
}

/* Requests are made before the clock starts. */
static void requests_make(struct run *run) {
    const struct options *options = &run->options;
    size_t room = strlen(options->prefix) + options->size + 512;
    char *text = need(malloc(room));

    run->request = need(calloc(options->texts, sizeof *run->request));
    run->request_length = need(calloc(options->texts, sizeof *run->request_length));
    for (size_t i = 0; i < options->texts; i++) {
        size_t length = (size_t)snprintf(text, room, "%s %zu ", options->prefix, i);
        for (; length < options->size; length++) /* words, as a text has them */
            text[length] = "greatly "[length % 8];
        text[length] = '\0';
        run->request[i] = need(malloc(room));
        run->request_length[i] = (size_t)snprintf(run->request[i], room,
                                                  "POST /predict HTTP/1.1\r\n"
                                                  "Host: localhost\r\n"
                                                  "Content-Type: application/json\r\n"
                                                  "Content-Length: %zu\r\n"
                                                  "\r\n"
                                                  "{\"text\": \"%s\"}",
                                                  length + strlen("{\"text\": \"\"}"), text);
    }
    free(text);
}

static void connections_open(struct run *run) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(run->options.port)};
    if (inet_pton(AF_INET, run->options.host, &address.sin_addr) != 1)
        die(run->options.host);
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    run->connections = need(calloc(run->options.connections, sizeof *run->connections));
    for (size_t i = 0; i < run->options.connections; i++) {
        struct connection *connection = &run->connections[i];
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        int one = 1;
        connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connection->fd < 0 ||
            connect(connection->fd, (const struct sockaddr *)&address, sizeof address) != 0)
            die("connect");
        setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
            die("epoll_ctl");
    }
}

static void connection_lost(struct run *run, struct connection *connection) {
    if (connection->waiting)
        run->unanswered++;
    connection->waiting = false;
    close(connection->fd);
    connection->fd = -1;
}

/* Sends the next request, if there is one left to send. */
static void next_request(struct run *run, struct connection *connection, uint64_t now) {
    if (run->options.requests != 0 ? run->sent == run->options.requests : now >= run->deadline_us)
        return;
    size_t text = run->sent++ % run->options.texts;
    connection->waiting = true;
    connection->length = 0;
    connection->sent_us = now;
    ssize_t n = send(connection->fd, run->request[text], run->request_length[text], MSG_NOSIGNAL);
    if (n != (ssize_t)run->request_length[text])
        connection_lost(run, connection);
}

/* The value of a header field, or NULL. `name` is "\r\nName: ". */
static const char *field(const char *head, const char *name) {
    const char *found = strcasestr(head, name);
    return found == NULL ? NULL : found + strlen(name);
}

/* True when the input holds one whole answer. */
static bool answer_is_complete(struct connection *connection) {
    connection->input[connection->length] = '\0';
    char *end = strstr(connection->input, "\r\n\r\n");
    if (end == NULL)
        return false;
    const char *value = field(connection->input, "\r\nContent-Length: ");
    size_t body = value == NULL ? 0 : strtoul(value, NULL, 10);
    return connection->length >= (size_t)(end - connection->input) + 4 + body;
}

static void answered(struct run *run, struct connection *connection, uint64_t now) {
    if (run->answered == run->latency_room) {
        run->latency_room = run->latency_room == 0 ? 65536 : run->latency_room * 2;
        run->latency_us = need(realloc(run->latency_us, run->latency_room * sizeof *run->latency_us));
    }
    run->latency_us[run->answered] = (uint32_t)(now - connection->sent_us);
    if (run->answered++ == 0)
        run->first_us = now;
    run->last_us = now;
    tally_add(&run->status, connection->input + strlen("HTTP/1.1 "), 3);
    const char *x_cache = field(connection->input, "\r\nX-Cache: ");
    if (x_cache != NULL)
        tally_add(&run->x_cache, x_cache, strcspn(x_cache, "\r"));
    connection->waiting = false;
}

static void readable(struct run *run, struct connection *connection) {
    size_t room = sizeof connection->input - 1 - connection->length;
    ssize_t n = recv(connection->fd, connection->input + connection->length, room, 0);
    if (n <= 0) {
        connection_lost(run, connection);
        return;
    }
    connection->length += (size_t)n;
    if (!answer_is_complete(connection))
        return;
    uint64_t now = now_us();
    answered(run, connection, now);
    next_request(run, connection, now);
}

static void run_all(struct run *run) {
    struct epoll_event events[EVENTS_MAX];

    run->started_us = now_us();
    run->deadline_us = run->started_us + (uint64_t)(run->options.seconds * 1e6);
    for (size_t i = 0; i < run->options.connections; i++)
        next_request(run, &run->connections[i], now_us());
    while (run->answered + run->unanswered < run->sent) {
        int n = epoll_wait(run->epoll, events, EVENTS_MAX, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++)
            readable(run, events[i].data.ptr);
    }
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t percentile(const struct run *run, double p) {
    return run->answered == 0 ? 0 : run->latency_us[(size_t)(p * (double)(run->answered - 1))];
}

static void report(struct run *run) {
    double seconds = (double)(run->last_us - run->started_us) / 1e6;
    if (run->answered != 0)
        qsort(run->latency_us, run->answered, sizeof *run->latency_us, compare);
    else
        run->first_us = run->last_us = run->started_us;
    printf("{\"answered\": %zu, \"unanswered\": %zu, \"rps\": %.0f", run->answered, run->unanswered,
           run->answered == 0 ? 0.0 : (double)run->answered / seconds);
    printf(", \"p50_us\": %u, \"p99_us\": %u, \"max_us\": %u", percentile(run, 0.50), percentile(run, 0.99),
           percentile(run, 1.0));
    printf(", \"first_ms\": %.3f, \"last_ms\": %.3f", (double)(run->first_us - run->started_us) / 1e3,
           (double)(run->last_us - run->started_us) / 1e3);
    tally_print("status", &run->status);
    tally_print("x_cache", &run->x_cache);
    printf("}\n");
}

static bool options_read(struct options *options, int argc, char **argv) {
    static const struct option LONG[] = {
        {"host", 1, NULL, 'h'},     {"port", 1, NULL, 'p'},    {"connections", 1, NULL, 'c'},
        {"requests", 1, NULL, 'n'}, {"seconds", 1, NULL, 'd'}, {"texts", 1, NULL, 't'},
        {"size", 1, NULL, 's'},     {"prefix", 1, NULL, 'x'},  {NULL, 0, NULL, 0}};
    int option;
    *options = (struct options){
        .host = "127.0.0.1", .connections = 32, .seconds = 1, .texts = 1, .size = 35, .prefix = "text"};
    while ((option = getopt_long(argc, argv, "", LONG, NULL)) != -1) {
        switch (option) {
        case 'h':
            options->host = optarg;
            break;
        case 'p':
            options->port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'c':
            options->connections = strtoul(optarg, NULL, 10);
            break;
        case 'n':
            options->requests = strtoul(optarg, NULL, 10);
            break;
        case 'd':
            options->seconds = strtod(optarg, NULL);
            break;
        case 't':
            options->texts = strtoul(optarg, NULL, 10);
            break;
        case 's':
            options->size = strtoul(optarg, NULL, 10);
            break;
        case 'x':
            options->prefix = optarg;
            break;
        default:
            return false;
        }
    }
    return optind == argc && options->port != 0 && options->connections != 0 && options->texts != 0;
}

int main(int argc, char **argv) {
    static struct run run; /* not on the stack, so that a leak checker sees what it holds */
    struct rlimit files;
    if (!options_read(&run.options, argc, argv)) {
        fprintf(stderr, "usage: see the head of tests/bench/load.c\n");
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    requests_make(&run);
    connections_open(&run);
    run_all(&run);
    report(&run);
    return run.unanswered == 0 && run.answered == run.sent ? 0 : 1;
}
