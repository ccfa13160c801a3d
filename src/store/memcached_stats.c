#include "inferonce/store/memcached_stats.h"

#include <stdio.h>
#include <stdlib.h>

#include "inferonce/store/memcached_server.h"

#define ASK_MS 1000

/* The answer to `stats` has some 3 KB. */
#define ANSWER_MAX 32768

/* One connection. It outlives what it belongs to until its handle is closed and its requests are done.
 *
 *   CONNECTING                              -> READY
 *   READY      nothing is under way         -> ASKED (once a second)
 *   ASKED      the answer is being read     -> READY
 *   any: CLOSED (failed, or took longer than a second); the next second makes a new one */
enum phase { CONNECTING, READY, ASKED, CLOSED };

struct connection {
    struct asked *asked; /* NULL: nobody cares any more */
    enum phase phase;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } socket;
    uv_connect_t connect;
    uv_write_t write;
    struct buffer answer;
};

/* A server and what it said. */
struct asked {
    struct memcached_stats *stats;
    const struct memcached_server *server;
    struct connection *connection;
    bool known;
    uint64_t items, bytes, evictions;
};

struct memcached_stats {
    uv_loop_t *loop;
    uv_timer_t *timer; /* freed by its close callback */
    unsigned n;
    struct asked asked[];
};

/* ---- a connection ---- */

static void release(uv_handle_t *handle) {
    struct connection *connection = handle->data;
    buffer_fini(&connection->answer);
    free(connection);
}

static void hang_up(struct connection *connection) {
    if (connection->asked) {
        connection->asked->connection = NULL;
        connection->asked->known = false;
    }
    connection->asked = NULL;
    if (!uv_is_closing(&connection->socket.handle))
        uv_close(&connection->socket.handle, release);
    connection->phase = CLOSED;
}

static uint64_t figure(struct bytes answer, const char *name) {
    uint64_t value;
    const char *line = memmem(answer.data, answer.length, name, strlen(name));
    if (!line)
        return UINT64_MAX;
    const char *at = line + strlen(name);
    size_t left = answer.length - (size_t)(at - answer.data);
    const char *end = memchr(at, '\r', left);
    return end && bytes_to_number((struct bytes){at, (size_t)(end - at)}, &value) ? value : UINT64_MAX;
}

static void understand(struct connection *connection) {
    static const char END[] = "END\r\n";
    struct asked *asked = connection->asked;
    struct bytes answer = buffer_bytes(&connection->answer);
    size_t length = strlen(END);
    if (answer.length < length || memcmp(answer.data + answer.length - length, END, length) != 0)
        return;
    asked->items = figure(answer, "STAT curr_items ");
    asked->bytes = figure(answer, "STAT bytes ");
    asked->evictions = figure(answer, "STAT evictions ");
    asked->known = true;
    buffer_reset(&connection->answer, ANSWER_MAX);
    connection->phase = READY;
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer) {
    struct connection *connection = handle->data;
    (void)suggested;
    char *room = buffer_reserve(&connection->answer, 4096);
    *buffer = uv_buf_init(room, room ? 4096 : 0);
}

static void received(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer) {
    struct connection *connection = stream->data;
    (void)buffer;
    if (connection->phase == CLOSED || n == 0)
        return;
    if (n < 0) {
        hang_up(connection);
        return;
    }
    connection->answer.length += (size_t)n;
    if (connection->phase == ASKED)
        understand(connection);
    else
        hang_up(connection); /* it talks without being asked */
}

static void written(uv_write_t *request, int status) {
    struct connection *connection = request->data;
    if (status != 0 && connection->phase != CLOSED)
        hang_up(connection);
}

static void ask(struct connection *connection) {
    static char question[] = "stats\r\n";
    uv_buf_t buffer = uv_buf_init(question, sizeof(question) - 1);
    connection->phase = ASKED;
    connection->write.data = connection;
    if (uv_write(&connection->write, &connection->socket.stream, &buffer, 1, written) != 0)
        hang_up(connection);
}

static void connected(uv_connect_t *request, int status) {
    struct connection *connection = request->data;
    if (connection->phase == CLOSED)
        return;
    if (status != 0 || uv_read_start(&connection->socket.stream, allocate, received) != 0)
        hang_up(connection);
    else
        ask(connection);
}

static int connect_tcp(struct connection *connection, const struct server_address *address) {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } to;
    if (uv_ip4_addr(address->host, address->port, &to.v4) != 0 &&
        uv_ip6_addr(address->host, address->port, &to.v6) != 0)
        return UV_EINVAL;
    return uv_tcp_connect(&connection->connect, &connection->socket.tcp, &to.any, connected);
}

static void start(struct asked *asked) {
    const struct resolver *resolver = &asked->server->resolver;
    const struct server_address *address = &resolver->numeric;
    uv_loop_t *loop = asked->stats->loop;
    struct connection *connection = resolver->known ? calloc(1, sizeof(*connection)) : NULL;
    if (!connection)
        return; /* the next second may have more */
    connection->asked = asked;
    connection->connect.data = connection;
    connection->phase = CONNECTING;
    buffer_init(&connection->answer, ANSWER_MAX);
    asked->connection = connection;
    if (address->port == 0) {
        INVARIANT(uv_pipe_init(loop, &connection->socket.pipe, 0) == 0);
        connection->socket.handle.data = connection;
        uv_unref(&connection->socket.handle);
        uv_pipe_connect(&connection->connect, &connection->socket.pipe, address->host, connected);
    } else {
        INVARIANT(uv_tcp_init(loop, &connection->socket.tcp) == 0);
        connection->socket.handle.data = connection;
        uv_unref(&connection->socket.handle);
        if (connect_tcp(connection, address) != 0)
            hang_up(connection);
    }
}

/* ---- all of them ---- */

static void tick(uv_timer_t *timer) {
    struct memcached_stats *stats = timer->data;
    for (unsigned i = 0; i < stats->n; i++) {
        struct asked *asked = &stats->asked[i];
        if (asked->connection && asked->connection->phase == READY)
            ask(asked->connection);
        else if (asked->connection)
            hang_up(asked->connection); /* it had a second */
        else
            start(asked);
    }
}

struct memcached_stats *memcached_stats_create(uv_loop_t *loop, const struct memcached_server *servers,
                                               unsigned n) {
    struct memcached_stats *stats = calloc(1, sizeof(*stats) + n * sizeof(stats->asked[0]));
    uv_timer_t *timer = malloc(sizeof(*timer));
    if (!stats || !timer) {
        free(stats);
        free(timer);
        return NULL;
    }
    stats->loop = loop;
    stats->timer = timer;
    stats->n = n;
    for (unsigned i = 0; i < n; i++)
        stats->asked[i] = (struct asked){.stats = stats, .server = &servers[i]};
    INVARIANT(uv_timer_init(loop, timer) == 0);
    timer->data = stats;
    uv_timer_start(timer, tick, 0, ASK_MS);
    uv_unref((uv_handle_t *)timer);
    return stats;
}

static void free_timer(uv_handle_t *handle) {
    free(handle);
}

void memcached_stats_destroy(struct memcached_stats **stats) {
    if (!*stats)
        return;
    for (unsigned i = 0; i < (*stats)->n; i++)
        if ((*stats)->asked[i].connection)
            hang_up((*stats)->asked[i].connection);
    uv_close((uv_handle_t *)(*stats)->timer, free_timer);
    free(*stats);
    *stats = NULL;
}

void memcached_stats_tell(const struct memcached_stats *stats, unsigned server,
                          struct store_server *figures) {
    const struct asked *asked = &stats->asked[server];
    figures->items = asked->known ? asked->items : UINT64_MAX;
    figures->memory_bytes = asked->known ? asked->bytes : UINT64_MAX;
    figures->evictions = asked->known ? asked->evictions : UINT64_MAX;
}
