/* A pipelined memcached connection that never blocks. */
#include "store/memcached/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Bytes that may wait to be sent. A server that takes less than it is told loses what is beyond. */
#define OUTPUT_MAX  (64u << 20)
#define OUTPUT_KEEP (64u << 10)

/* Bytes of one event, so that large values do not hold the loop: what is left makes the next event. */
#define INPUT_BYTES   (64u << 10)
#define READS_AT_ONCE 4

/* One line or value may take so many times STORE_TIMEOUT_MS while its bytes keep coming. */
#define SLOW_FACTOR 10

enum state { CLOSED, CONNECTING, OPEN };

TAILQ_HEAD(commands, memcached_command);

struct memcached_connection {
    struct memcached_connection_options options;
    enum state state;
    int descriptor;
    uv_poll_t *poll;      /* of the descriptor; freed by its close callback */
    uv_timer_t *deadline; /* runs while a command waits; freed by its close callback */
    int watched;          /* uv_poll events asked for */
    struct turn_task flush;
    struct commands sent;    /* or to be sent, in order */
    struct commands refused; /* for which there was no memory; they end with the turn */
    struct memcached_command barrier;
    bool barrier_sent;
    bool wrote; /* since the last barrier */
    struct buffer output;
    size_t written;                 /* bytes of `output` that the socket has taken */
    uint64_t heard_ms;              /* when the server said something, or the first command was sent */
    uint64_t progress_ms;           /* the same of a whole line or value */
    struct memcached_answer answer; /* under way */
};

/* ---- ends ---- */

static void disconnect(struct memcached_connection *connection) {
    if (connection->poll) {
        uv_poll_stop(connection->poll);
        uv_close((uv_handle_t *)connection->poll, turn_free_handle);
    }
    if (connection->descriptor >= 0)
        close(connection->descriptor);
    connection->poll = NULL;
    connection->descriptor = -1;
    connection->state = CLOSED;
    connection->watched = 0;
    connection->answer.line_length = connection->answer.value_left = 0;
    connection->wrote = connection->barrier_sent = false;
    connection->written = 0;
    buffer_reset(&connection->output, OUTPUT_KEEP);
    uv_timer_stop(connection->deadline);
}

/* The commands are taken out first: their ends may send new ones. */
static void end_all(struct commands *commands) {
    struct commands ending = TAILQ_HEAD_INITIALIZER(ending);
    struct memcached_command *command;
    TAILQ_CONCAT(&ending, commands, links);
    while ((command = TAILQ_FIRST(&ending)) != NULL) {
        TAILQ_REMOVE(&ending, command, links);
        command->ended(command, MEMCACHED_BROKEN);
    }
}

static void fail(struct memcached_connection *connection, enum breaker_failure failure, const char *why) {
    disconnect(connection);
    connection->options.failed(connection->options.user, failure, why);
    end_all(&connection->sent);
}

/* ---- time ---- */

static void on_deadline(uv_timer_t *timer);

static uint64_t earlier(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t due_ms(const struct memcached_connection *connection) {
    uint64_t timeout_ms = connection->options.timeout_ms;
    return earlier(connection->heard_ms + timeout_ms, connection->progress_ms + SLOW_FACTOR * timeout_ms);
}

static void watch_time(struct memcached_connection *connection) {
    uint64_t now_ms = uv_now(connection->options.loop);
    uint64_t at_ms = due_ms(connection);
    uv_timer_start(connection->deadline, on_deadline, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

static void note_progress(struct memcached_connection *connection) {
    connection->heard_ms = connection->progress_ms = uv_now(connection->options.loop);
}

/* ---- answers ---- */

static void end_first(struct memcached_connection *connection, enum memcached_outcome outcome) {
    struct memcached_command *command = TAILQ_FIRST(&connection->sent);
    TAILQ_REMOVE(&connection->sent, command, links);
    command->ended(command, outcome);
}

/* A command's end may destroy nothing but send: the connection stays. False: it failed. */
static bool take_input(struct memcached_connection *connection, struct bytes bytes) {
    while (bytes.length > 0) {
        enum memcached_outcome outcome;
        const char *why;
        switch (memcached_answer_read(&connection->answer, TAILQ_FIRST(&connection->sent),
                                      connection->options.name_length, &bytes, &outcome, &why)) {
        case READING_PART:
            if (connection->answer.value_left > 0)
                connection->heard_ms = uv_now(connection->options.loop);
            break;
        case READING_WHOLE:
            note_progress(connection);
            break;
        case READING_ENDED:
            note_progress(connection);
            end_first(connection, outcome);
            break;
        case READING_WRONG:
            fail(connection, BREAKER_WRONG, why);
            return false;
        }
    }
    return true;
}

/* An idle server may close: the next command connects again. */
static void peer_left(struct memcached_connection *connection, const char *why) {
    if (TAILQ_EMPTY(&connection->sent))
        disconnect(connection);
    else
        fail(connection, BREAKER_GONE, why);
}

static void receive(struct memcached_connection *connection) {
    char input[INPUT_BYTES];
    for (unsigned reads = 0; reads < READS_AT_ONCE && connection->state == OPEN; reads++) {
        ssize_t n = recv(connection->descriptor, input, sizeof(input), 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            peer_left(connection, n == 0 ? "the server closed the connection" : strerror(errno));
            return;
        }
        if (!take_input(connection, (struct bytes){input, (size_t)n}) || (size_t)n < sizeof(input))
            return;
    }
}

/* ---- commands out ---- */

static void on_event(uv_poll_t *poll, int status, int events);

static void watch(struct memcached_connection *connection, int events) {
    if (connection->watched == events)
        return;
    INVARIANT(uv_poll_start(connection->poll, events, on_event) == 0);
    connection->watched = events;
}

/* Writes what the socket takes, and goes on reading meanwhile: a server that cannot write does not read. */
static void push(struct memcached_connection *connection) {
    struct buffer *output = &connection->output;
    while (connection->written < output->length) {
        ssize_t n = send(connection->descriptor, output->data + connection->written,
                         output->length - connection->written, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            fail(connection, BREAKER_GONE, strerror(errno));
            return;
        }
        connection->written += (size_t)n;
    }
    bool waits = connection->written < output->length;
    if (!waits) {
        buffer_reset(output, OUTPUT_KEEP);
        connection->written = 0;
    }
    watch(connection, UV_READABLE | (waits ? UV_WRITABLE : 0));
}

static void connected(struct memcached_connection *connection) {
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(connection->descriptor, SOL_SOCKET, SO_ERROR, &error, &length) != 0)
        error = errno;
    if (error != 0) {
        fail(connection, BREAKER_GONE, strerror(error));
        return;
    }
    connection->state = OPEN;
    push(connection);
}

static void on_event(uv_poll_t *poll, int status, int events) {
    struct memcached_connection *connection = poll->data;
    if (connection->state == CONNECTING) {
        connected(connection);
        return;
    }
    /* An error (EPOLLERR, which libuv tells once as UV_EBADF) is what the next read says, behind what came
     * before it. */
    if (status < 0 || events & UV_READABLE)
        receive(connection);
    if (status < 0 && connection->state == OPEN)
        peer_left(connection, "the connection is broken");
    else if (events & UV_WRITABLE && connection->state == OPEN)
        push(connection);
}

static int connect_descriptor(const struct server_address *address) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un local;
    } to = {.local = {.sun_family = AF_UNIX}};
    socklen_t length = sizeof(to.local);
    if (address->port == 0)
        memcpy(to.local.sun_path, address->host, strlen(address->host) + 1);
    else if (uv_ip4_addr(address->host, address->port, &to.v4) == 0)
        length = sizeof(to.v4);
    else if (uv_ip6_addr(address->host, address->port, &to.v6) == 0)
        length = sizeof(to.v6);
    int descriptor = socket(to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return -1;
    int on = 1;
    if (address->port != 0)
        (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(descriptor, &to.any, length) == 0 || errno == EINPROGRESS)
        return descriptor;
    int error = errno;
    close(descriptor);
    errno = error;
    return -1;
}

static bool connect_to(struct memcached_connection *connection) {
    uv_poll_t *poll = malloc(sizeof(*poll));
    int descriptor = poll ? connect_descriptor(connection->options.address) : -1;
    if (descriptor < 0 || uv_poll_init(connection->options.loop, poll, descriptor) != 0) {
        const char *why = !poll ? "no memory for the connection" : strerror(errno);
        if (descriptor >= 0)
            close(descriptor);
        free(poll);
        fail(connection, BREAKER_GONE, why);
        return false;
    }
    poll->data = connection;
    uv_unref((uv_handle_t *)poll);
    connection->poll = poll;
    connection->descriptor = descriptor;
    connection->state = CONNECTING;
    watch(connection, UV_WRITABLE);
    return true;
}

static void on_barrier_ended(struct memcached_command *command, enum memcached_outcome outcome) {
    struct memcached_connection *connection =
        (struct memcached_connection *)((char *)command - offsetof(struct memcached_connection, barrier));
    (void)outcome;
    connection->barrier_sent = false;
}

static void append_barrier(struct memcached_connection *connection) {
    size_t before = connection->output.length;
    if (!connection->wrote || connection->barrier_sent)
        return;
    APPEND_LITERAL(&connection->output, "version\r\n");
    if (connection->output.length == before) {
        connection->output.failed = false; /* the next turn has one */
        return;
    }
    connection->barrier = (struct memcached_command){.verb = MEMCACHED_BARRIER, .ended = on_barrier_ended};
    connection->barrier_sent = true;
    connection->wrote = false;
    TAILQ_INSERT_TAIL(&connection->sent, &connection->barrier, links);
}

/* The end of a turn. */
static void flush(void *user) {
    struct memcached_connection *connection = user;
    end_all(&connection->refused);
    if (TAILQ_EMPTY(&connection->sent))
        return;
    append_barrier(connection);
    if (connection->state == CLOSED && !connect_to(connection))
        return;
    if (connection->state == OPEN)
        push(connection);
}

/* Answers that lie in the socket already count: a turn of this loop may have been long. */
static void on_deadline(uv_timer_t *timer) {
    struct memcached_connection *connection = timer->data;
    if (connection->state == OPEN)
        receive(connection);
    if (connection->state == CLOSED || TAILQ_EMPTY(&connection->sent))
        return;
    if (uv_now(connection->options.loop) >= due_ms(connection))
        fail(connection, BREAKER_WRONG,
             connection->state == CONNECTING ? "it takes no connection in time" : "no answer in time");
    else
        watch_time(connection);
}

/* ---- sending ---- */

/* Behind what was appended since `before`; without memory for it the command is refused. */
static void enqueue(struct memcached_connection *connection, struct memcached_command *command,
                    size_t before) {
    turn_at_end(connection->options.turn, &connection->flush);
    if (connection->output.failed) {
        connection->output.length = before;
        connection->output.failed = false;
        TAILQ_INSERT_TAIL(&connection->refused, command, links);
        return;
    }
    if (TAILQ_EMPTY(&connection->sent)) {
        /* The loop's time is that of the turn's beginning: after a long turn the deadline would be past. */
        uv_update_time(connection->options.loop);
        note_progress(connection);
        watch_time(connection);
    }
    TAILQ_INSERT_TAIL(&connection->sent, command, links);
}

void memcached_send_get(struct memcached_connection *connection, struct memcached_command *command) {
    size_t before = connection->output.length;
    command->next = 0;
    command->lost = false;
    memcached_append_get(&connection->output, command->verb, command->names, connection->options.name_length,
                         command->n);
    enqueue(connection, command, before);
}

void memcached_send_delete(struct memcached_connection *connection, struct memcached_command *command,
                           const char *name) {
    size_t before = connection->output.length;
    command->verb = MEMCACHED_DELETE;
    memcached_append_delete(&connection->output, (struct bytes){name, connection->options.name_length});
    connection->wrote = true;
    enqueue(connection, command, before);
}

void memcached_send_touch(struct memcached_connection *connection, struct memcached_command *command,
                          const char *name, uint64_t ttl_ms) {
    size_t before = connection->output.length;
    command->verb = MEMCACHED_TOUCH;
    memcached_append_touch(&connection->output, (struct bytes){name, connection->options.name_length},
                           ttl_ms);
    connection->wrote = true;
    enqueue(connection, command, before);
}

void memcached_send_write(struct memcached_connection *connection, struct memcached_command *command,
                          const char *name, struct bytes head, struct bytes body, uint64_t ttl_ms,
                          uint64_t cas) {
    size_t before = connection->output.length;
    memcached_append_write(&connection->output, command->verb,
                           (struct bytes){name, connection->options.name_length}, head, body, ttl_ms, cas);
    connection->wrote = true;
    enqueue(connection, command, before);
}

void memcached_send_stats(struct memcached_connection *connection, struct memcached_command *command) {
    size_t before = connection->output.length;
    command->verb = MEMCACHED_STATS;
    APPEND_LITERAL(&connection->output, "stats\r\n");
    enqueue(connection, command, before);
}

/* ---- set-up ---- */

struct memcached_connection *memcached_connection_create(const struct memcached_connection_options *options) {
    struct memcached_connection *connection = calloc(1, sizeof(*connection));
    uv_timer_t *deadline = malloc(sizeof(*deadline));
    if (!connection || !deadline) {
        free(connection);
        free(deadline);
        return NULL;
    }
    connection->options = *options;
    connection->descriptor = -1;
    connection->deadline = deadline;
    connection->flush = (struct turn_task){.run = flush, .user = connection};
    TAILQ_INIT(&connection->sent);
    TAILQ_INIT(&connection->refused);
    buffer_init(&connection->output, OUTPUT_MAX);
    INVARIANT(uv_timer_init(options->loop, deadline) == 0);
    deadline->data = connection;
    uv_unref((uv_handle_t *)deadline);
    return connection;
}

void memcached_connection_destroy(struct memcached_connection **connection) {
    if (!*connection)
        return;
    disconnect(*connection);
    turn_forget(&(*connection)->flush);
    end_all(&(*connection)->sent);
    end_all(&(*connection)->refused);
    uv_close((uv_handle_t *)(*connection)->deadline, turn_free_handle);
    buffer_fini(&(*connection)->output);
    free(*connection);
    *connection = NULL;
}
