/* A Redis server through hiredis, on the worker's loop. */
#include "store/redis/connection.h"

#include <hiredis/adapters/libuv.h>
#include <hiredis/async.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "store/remote/skew.h"

#define FIGURES_MS 1000

/* Time for a late reply that lies in the socket already: a turn of this loop may have taken long. */
#define LATE_MS 2

TAILQ_HEAD(redis_commands, redis_command);

struct redis_connection {
    struct remote_server server; /* first: its callbacks get back to the connection */
    void (*asks)(void *user);
    void *user;
    struct redis_url url;
    uint64_t timeout_ms;
    bool closing;
    struct redisAsyncContext *context; /* NULL: there is none */
    struct redis_commands commands;    /* under way */
    uv_timer_t *deadline, *asker;      /* freed by their close callbacks */
    bool late;                         /* the deadline has passed once; replies may be in the socket */
    bool known;
    unsigned figures_asked; /* replies that are to come */
    uint64_t items, memory_bytes, evictions;
};

static uv_loop_t *loop_of(const struct redis_connection *connection) {
    return connection->server.context->loop;
}

/* ---- the connection itself ---- */

static void lost(struct redis_connection *connection, enum breaker_failure failure, const char *why) {
    struct redisAsyncContext *context = connection->context;
    connection->context = NULL;
    connection->known = false;
    if (!connection->closing)
        remote_server_failed(&connection->server, failure, why);
    if (context)
        redisAsyncFree(context); /* calls back with NULL for everything under way */
}

static void disconnected(const struct redisAsyncContext *context, int status) {
    struct redis_connection *connection = context->data;
    if (connection->context != context)
        return;
    connection->context = NULL; /* hiredis frees it */
    lost(connection, BREAKER_GONE, status == REDIS_OK ? "the server closed the connection" : context->errstr);
}

static void connected(const struct redisAsyncContext *context, int status) {
    if (status != REDIS_OK)
        disconnected(context, status);
}

static void greeted(struct redisAsyncContext *context, void *answer, void *user) {
    const struct redisReply *reply = answer;
    struct redis_connection *connection = user;
    if (reply && reply->type == REDIS_REPLY_ERROR && connection->context == context)
        lost(connection, BREAKER_WRONG, reply->str);
}

/* AUTH and SELECT go ahead of everything else; only a refusal is of interest. */
static void greet(struct redis_connection *connection, struct redisAsyncContext *context) {
    const struct redis_url *url = &connection->url;
    if (url->user[0])
        redisAsyncCommand(context, greeted, connection, "AUTH %s %s", url->user, url->password);
    else if (url->password[0])
        redisAsyncCommand(context, greeted, connection, "AUTH %s", url->password);
    if (url->database > 0)
        redisAsyncCommand(context, greeted, connection, "SELECT %u", url->database);
}

static bool connect_to(struct redis_connection *connection) {
    const struct server_address *address = &connection->server.resolver.numeric;
    if (connection->context)
        return true;
    INVARIANT(connection->server.resolver.known); /* or hiredis would ask for it, in the loop */
    struct redisAsyncContext *context = address->port == 0 ? redisAsyncConnectUnix(address->host)
                                                           : redisAsyncConnect(address->host, address->port);
    if (!context)
        return false;
    context->data = connection;
    if (context->err || redisLibuvAttach(context, loop_of(connection)) != REDIS_OK) {
        redisAsyncFree(context);
        return false;
    }
    uv_unref((uv_handle_t *)&((redisLibuvEvents *)context->ev.data)->handle);
    connection->context = context;
    redisAsyncSetConnectCallback(context, connected);
    redisAsyncSetDisconnectCallback(context, disconnected);
    greet(connection, context);
    return connection->context != NULL;
}

/* ---- commands ---- */

static void on_overdue(uv_timer_t *timer);

/* Waits for the oldest command's deadline, if there is one. */
static void watch(struct redis_connection *connection) {
    uint64_t now_ms = uv_now(loop_of(connection));
    connection->late = false;
    const struct redis_command *first = TAILQ_FIRST(&connection->commands);
    if (!first) {
        uv_timer_stop(connection->deadline);
        return;
    }
    uint64_t at_ms = first->deadline_ms;
    uv_timer_start(connection->deadline, on_overdue, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

/* A connection that was refused looks like one that is slow: hiredis is not told when libuv gives a socket
 * with an error up. */
static void lost_late(struct redis_connection *connection) {
    int error = 0;
    socklen_t length = sizeof(error);
    if (connection->context &&
        getsockopt(connection->context->c.fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0)
        lost(connection, BREAKER_GONE, strerror(error));
    else
        lost(connection, BREAKER_WRONG, "no answer in time");
}

static void on_overdue(uv_timer_t *timer) {
    struct redis_connection *connection = timer->data;
    const struct redis_command *first = TAILQ_FIRST(&connection->commands);
    if (first && uv_now(loop_of(connection)) < first->deadline_ms) {
        watch(connection);
    } else if (first && !connection->late) {
        connection->late = true;
        uv_timer_start(timer, on_overdue, LATE_MS, 0);
    } else if (first) {
        lost_late(connection);
    }
}

static void answered(struct redisAsyncContext *context, void *answer, void *user) {
    struct redis_command *command = user;
    struct redis_connection *connection = command->connection;
    TAILQ_REMOVE(&connection->commands, command, links);
    connection->late = false;
    if (connection->closing) {
        command->dropped(command);
        return;
    }
    if (!answer && connection->context == context) {
        connection->context = NULL; /* hiredis is about to free it */
        lost(connection, BREAKER_GONE, context->err ? context->errstr : "the connection was closed");
    }
    command->answered(command, answer);
}

bool redis_connection_send(struct redis_connection *connection, struct redis_command *command, int n,
                           const char *const words[], const size_t lengths[]) {
    if (!connect_to(connection)) {
        lost(connection, BREAKER_GONE, "cannot connect");
        return false;
    }
    command->connection = connection;
    /* The loop's time is that of the turn's beginning: after a long turn the deadline would be past already.
     */
    bool first = TAILQ_EMPTY(&connection->commands);
    if (first)
        uv_update_time(loop_of(connection));
    command->deadline_ms = uv_now(loop_of(connection)) + connection->timeout_ms;
    /* hiredis reads the words; that its parameter does not say so is an old slip. */
    union {
        const char *const *given;
        const char **taken;
    } argv = {.given = words};
    if (redisAsyncCommandArgv(connection->context, answered, command, n, argv.taken, lengths) != REDIS_OK)
        return false;
    TAILQ_INSERT_TAIL(&connection->commands, command, links);
    if (first)
        watch(connection);
    return true;
}

void redis_connection_distrust(struct redis_connection *connection, const struct redisReply *reply) {
    if (reply && connection->context)
        lost(connection, BREAKER_WRONG,
             reply->type == REDIS_REPLY_ERROR ? reply->str : "not what was asked for");
}

/* ---- figures ---- */

static uint64_t figure(struct bytes text, const char *name) {
    uint64_t value;
    const char *line = memmem(text.data, text.length, name, strlen(name));
    if (!line)
        return UINT64_MAX;
    const char *at = line + strlen(name);
    const char *end = memchr(at, '\r', text.length - (size_t)(at - text.data));
    return end && bytes_to_number((struct bytes){at, (size_t)(end - at)}, &value) ? value : UINT64_MAX;
}

static void told_size(struct redis_command *command, const struct redisReply *reply) {
    struct redis_connection *connection = command->connection;
    free(command);
    connection->figures_asked--;
    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer >= 0)
        connection->items = (uint64_t)reply->integer;
}

static void told_all(struct redis_command *command, const struct redisReply *reply) {
    struct redis_connection *connection = command->connection;
    free(command);
    connection->figures_asked--;
    if (!reply || reply->type != REDIS_REPLY_STRING)
        return;
    struct bytes text = {reply->str, (size_t)reply->len};
    connection->memory_bytes = figure(text, "\r\nused_memory:");
    connection->evictions = figure(text, "\r\nevicted_keys:");
    uint64_t server_us = figure(text, "\r\nserver_time_usec:");
    if (server_us != UINT64_MAX)
        skew_learn(connection->server.context, connection->server.name, server_us);
    connection->known = true;
}

static void free_command(struct redis_command *command) {
    free(command);
}

static void on_ask_figures(uv_timer_t *timer) {
    struct redis_connection *connection = timer->data;
    static const char *const WORDS[] = {"DBSIZE", "INFO"};
    static const redis_answered ANSWERED[] = {told_size, told_all};
    if (connection->figures_asked > 0 || !remote_server_is_used(&connection->server))
        return;
    for (unsigned i = 0; i < 2; i++) {
        size_t length = strlen(WORDS[i]);
        struct redis_command *command = calloc(1, sizeof(*command));
        if (!command)
            return;
        command->answered = ANSWERED[i];
        command->dropped = free_command;
        if (!redis_connection_send(connection, command, 1, &WORDS[i], &length)) {
            free(command);
            return;
        }
        connection->figures_asked++;
    }
    connection->asks(connection->user);
}

void redis_connection_figures(struct redis_connection *connection, struct store_figures *figures) {
    bool known = connection->known;
    *figures = (struct store_figures){.size = known ? connection->items : UINT64_MAX,
                                      .max_size = UINT64_MAX,
                                      .memory_bytes = known ? connection->memory_bytes : UINT64_MAX,
                                      .evictions = known ? connection->evictions : UINT64_MAX,
                                      .n_servers = 1};
    struct store_server *server = &figures->servers[0];
    remote_server_figures(&connection->server, server);
    server->items = figures->size;
    server->memory_bytes = figures->memory_bytes;
    server->evictions = figures->evictions;
    figures->degraded = !server->up;
}

struct remote_server *redis_connection_server(struct redis_connection *connection) {
    return &connection->server;
}

void *redis_connection_user(struct remote_server *server) {
    return ((struct redis_connection *)server)->user; /* its first member */
}

/* ---- set-up ---- */

static uv_timer_t *make_timer(struct redis_connection *connection) {
    uv_timer_t *timer = malloc(sizeof(*timer));
    if (!timer)
        return NULL;
    INVARIANT(uv_timer_init(loop_of(connection), timer) == 0);
    timer->data = connection;
    uv_unref((uv_handle_t *)timer);
    return timer;
}

static void close_timer(uv_timer_t *timer) {
    if (timer)
        uv_close((uv_handle_t *)timer, turn_free_handle);
}

struct redis_connection *redis_connection_create(const struct redis_connection_options *options,
                                                 struct error *error) {
    struct redis_connection *connection = calloc(1, sizeof(*connection));
    if (!connection) {
        error_set(error, "out of memory");
        return NULL;
    }
    connection->user = options->user;
    connection->asks = options->asks;
    connection->timeout_ms = options->context->settings->store_timeout_ms;
    TAILQ_INIT(&connection->commands);
    if (!redis_url_read(bytes_of(options->context->settings->redis_url), &connection->url)) {
        error_set(error, "REDIS_URL is no such URL");
        free(connection);
        return NULL;
    }
    bool made = remote_server_init(&connection->server, options->operations, options->remote,
                                   options->context, &connection->url.address);
    connection->deadline = make_timer(connection);
    connection->asker = make_timer(connection);
    if (!made || !connection->deadline || !connection->asker) {
        error_set(error, "out of memory");
        redis_connection_destroy(&connection);
        return NULL;
    }
    struct remote_server *servers[] = {&connection->server};
    remote_server_find(servers, 1);
    uv_timer_start(connection->asker, on_ask_figures, 0, FIGURES_MS);
    return connection;
}

void redis_connection_destroy(struct redis_connection **connection) {
    if (!*connection)
        return;
    (*connection)->closing = true;
    lost(*connection, BREAKER_GONE, "");
    remote_server_fini(&(*connection)->server);
    close_timer((*connection)->deadline);
    close_timer((*connection)->asker);
    free(*connection);
    *connection = NULL;
}
