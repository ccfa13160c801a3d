#include "inferonce/store/redis_connection.h"

#include <hiredis/adapters/libuv.h>
#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>

#include "inferonce/base/log.h"
#include "inferonce/store/resolver.h"

#define FIGURES_MS 1000

#define NOT_KNOWN "its name is not known"

/* What a late reply that lies in the socket already is given, since a turn of ours may have taken long. */
#define LATE_MS 2

struct redis_connection {
    uv_loop_t *loop;
    struct remote_options remote;
    redis_send_pending send_pending;
    void *user;
    struct redis_url url;
    struct resolver resolver; /* of the URL's address */
    char name[SERVER_NAME_MAX];
    uint64_t id;
    uint64_t timeout_ms;
    struct breaker breaker;
    bool probing;
    bool closing;
    struct redisAsyncContext *context;     /* NULL: there is none */
    struct redis_command *first, *last;    /* under way, in the order of their deadlines */
    uv_timer_t *deadline, *prober, *asker; /* freed by their close callbacks */
    bool late;                             /* the deadline has passed once; replies may be in the socket */
    bool known;
    unsigned figures_asked; /* replies that are to come */
    uint64_t items, memory_bytes, evictions;
};

/* ---- the connection itself ---- */

static void probe_later(struct redis_connection *connection);

static void lost(struct redis_connection *connection, const char *why) {
    struct redisAsyncContext *context = connection->context;
    connection->context = NULL;
    connection->known = false;
    connection->probing = false;
    if (!connection->closing) {
        if (breaker_trip(&connection->breaker, BREAKER_GONE, uv_now(connection->loop)))
            LOG(LOG_WARN, "cache_server_down", LOG_TEXT("server", connection->name), LOG_TEXT("error", why));
        probe_later(connection);
    }
    if (context)
        redisAsyncFree(context); /* calls back with NULL for everything under way */
}

static void disconnected(const struct redisAsyncContext *context, int status) {
    struct redis_connection *connection = context->data;
    if (connection->context != context)
        return;
    connection->context = NULL; /* hiredis frees it */
    lost(connection, status == REDIS_OK ? "the server closed the connection" : context->errstr);
}

static void connected(const struct redisAsyncContext *context, int status) {
    if (status != REDIS_OK)
        disconnected(context, status);
}

static void greeted(struct redisAsyncContext *context, void *answer, void *user) {
    const struct redisReply *reply = answer;
    struct redis_connection *connection = user;
    if (reply && reply->type == REDIS_REPLY_ERROR && connection->context == context)
        lost(connection, reply->str);
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
    const struct server_address *address = &connection->resolver.numeric;
    if (connection->context)
        return true;
    INVARIANT(connection->resolver.known); /* or hiredis would ask for it, in the loop */
    struct redisAsyncContext *context = address->port == 0 ? redisAsyncConnectUnix(address->host)
                                                           : redisAsyncConnect(address->host, address->port);
    if (!context)
        return false;
    context->data = connection;
    if (context->err || redisLibuvAttach(context, connection->loop) != REDIS_OK) {
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

static void unlist(struct redis_command *command) {
    struct redis_connection *connection = command->connection;
    if (command->previous)
        command->previous->next = command->next;
    else
        connection->first = command->next;
    if (command->next)
        command->next->previous = command->previous;
    else
        connection->last = command->previous;
}

static void overdue(uv_timer_t *timer);

/* Waits for the oldest command's deadline, if there is one. */
static void watch(struct redis_connection *connection) {
    uint64_t now_ms = uv_now(connection->loop);
    connection->late = false;
    if (!connection->first) {
        uv_timer_stop(connection->deadline);
        return;
    }
    uint64_t at_ms = connection->first->deadline_ms;
    uv_timer_start(connection->deadline, overdue, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

static void overdue(uv_timer_t *timer) {
    struct redis_connection *connection = timer->data;
    if (connection->first && uv_now(connection->loop) < connection->first->deadline_ms) {
        watch(connection);
    } else if (connection->first && !connection->late) {
        connection->late = true;
        uv_timer_start(timer, overdue, LATE_MS, 0);
    } else if (connection->first) {
        lost(connection, "no answer in time");
    }
}

static void answered(struct redisAsyncContext *context, void *answer, void *user) {
    struct redis_command *command = user;
    struct redis_connection *connection = command->connection;
    unlist(command);
    connection->late = false;
    if (connection->closing) {
        command->dropped(command);
        return;
    }
    if (!answer && connection->context == context) {
        connection->context = NULL; /* hiredis is about to free it */
        lost(connection, context->err ? context->errstr : "the connection was closed");
    }
    command->answered(command, answer);
}

bool redis_connection_send(struct redis_connection *connection, struct redis_command *command, int n,
                           const char *const words[], const size_t lengths[]) {
    if (!connect_to(connection)) {
        lost(connection, "cannot connect");
        return false;
    }
    command->connection = connection;
    /* The loop's time is that of the turn's beginning: after a long turn the deadline would be past already.
     */
    if (!connection->first)
        uv_update_time(connection->loop);
    command->deadline_ms = uv_now(connection->loop) + connection->timeout_ms;
    command->next = NULL;
    command->previous = connection->last;
    /* hiredis reads the words; that its parameter does not say so is an old slip. */
    union {
        const char *const *given;
        const char **taken;
    } argv = {.given = words};
    if (redisAsyncCommandArgv(connection->context, answered, command, n, argv.taken, lengths) != REDIS_OK)
        return false;
    if (connection->last)
        connection->last->next = command;
    else
        connection->first = command;
    connection->last = command;
    if (connection->first == command)
        watch(connection);
    return true;
}

void redis_connection_distrust(struct redis_connection *connection, const struct redisReply *reply) {
    if (reply)
        lost(connection, reply->type == REDIS_REPLY_ERROR ? reply->str : "not what was asked for");
}

/* ---- coming back ---- */

bool redis_connection_is_used(struct redis_connection *connection) {
    if (connection->breaker.open)
        return false;
    if (!pending_any(connection->remote.pendings) ||
        pending_count(connection->remote.pendings, connection->id) == 0)
        return true;
    breaker_hold(&connection->breaker, uv_now(connection->loop));
    probe_later(connection);
    return false;
}

/* There will be another one. */
static void probe_failed(struct redis_connection *connection) {
    connection->probing = false;
    if (connection->breaker.probe_at_ms <= uv_now(connection->loop)) /* otherwise it was lost, and knows */
        breaker_trip(&connection->breaker, BREAKER_GONE, uv_now(connection->loop));
    probe_later(connection);
}

/* One after the other; then it is used again. */
static void next_pending(struct redis_connection *connection, uint64_t after) {
    struct pending pending;
    if (pending_next(connection->remote.pendings, connection->id, after, &pending)) {
        if (!connection->send_pending(connection->user, &pending))
            redis_connection_pending_done(connection, pending.number, false);
        return;
    }
    connection->probing = false;
    connection->remote.returns(connection->remote.user);
    breaker_close(&connection->breaker, uv_now(connection->loop));
    LOG(LOG_INFO, "cache_server_up", LOG_TEXT("server", connection->name));
}

void redis_connection_pending_done(struct redis_connection *connection, uint64_t number, bool done) {
    if (done) {
        pending_done(connection->remote.pendings, number);
        next_pending(connection, number);
        return;
    }
    probe_failed(connection);
}

static void free_command(struct redis_command *command) {
    free(command);
}

static void probed(struct redis_command *command, const struct redisReply *reply) {
    struct redis_connection *connection = command->connection;
    free(command);
    if (reply && (reply->type == REDIS_REPLY_NIL || reply->type == REDIS_REPLY_STRING))
        next_pending(connection, 0);
    else
        redis_connection_distrust(connection, reply);
}

static void send_probe(struct redis_connection *connection) {
    struct redis_command *command = calloc(1, sizeof(*command));
    const char *const words[] = {"GET", "o"};
    const size_t lengths[] = {3, 1};
    if (!command) {
        lost(connection, "no memory for a command");
        return;
    }
    command->answered = probed;
    command->dropped = free_command;
    if (redis_connection_send(connection, command, 2, words, lengths))
        return;
    free(command);
    probe_failed(connection);
}

/* Where it is is looked up anew, since it may have moved: then the probe goes on as soon as that is known. */
static void probe(struct redis_connection *connection) {
    connection->probing = true;
    if (!resolver_refresh(&connection->resolver))
        return;
    if (connection->resolver.known)
        send_probe(connection);
    else
        lost(connection, NOT_KNOWN);
}

static void probe_due(uv_timer_t *timer) {
    probe(timer->data);
}

/* One that has taken longer than the set-up waits for is of use to the first probe. */
static void found(void *user) {
    struct redis_connection *connection = user;
    if (connection->probing)
        probe(connection);
}

static void probe_later(struct redis_connection *connection) {
    uint64_t now_ms = uv_now(connection->loop);
    if (connection->probing || !connection->breaker.open || connection->closing)
        return;
    uint64_t at_ms = connection->breaker.probe_at_ms;
    uv_timer_start(connection->prober, probe_due, at_ms > now_ms ? at_ms - now_ms : 0, 0);
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
    connection->known = true;
}

static void ask_figures(uv_timer_t *timer) {
    struct redis_connection *connection = timer->data;
    static const char *const WORDS[] = {"DBSIZE", "INFO"};
    static const redis_answered ANSWERED[] = {told_size, told_all};
    if (connection->figures_asked > 0 || !redis_connection_is_used(connection))
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
}

void redis_connection_figures(const struct redis_connection *connection, struct store_figures *figures) {
    uint64_t pending = pending_count(connection->remote.pendings, connection->id);
    bool known = connection->known;
    *figures = (struct store_figures){.size = known ? connection->items : UINT64_MAX,
                                      .max_size = UINT64_MAX,
                                      .memory_bytes = known ? connection->memory_bytes : UINT64_MAX,
                                      .evictions = known ? connection->evictions : UINT64_MAX,
                                      .n_servers = 1};
    struct store_server *server = &figures->servers[0];
    memcpy(server->name, connection->name, sizeof(server->name));
    server->up = !connection->breaker.open && pending == 0;
    server->pending = pending;
    server->items = figures->size;
    server->memory_bytes = figures->memory_bytes;
    server->evictions = figures->evictions;
    figures->degraded = !server->up;
}

uint64_t redis_connection_server(const struct redis_connection *connection) {
    return connection->id;
}

/* ---- set-up ---- */

static void free_timer(uv_handle_t *handle) {
    free(handle);
}

static uv_timer_t *make_timer(struct redis_connection *connection) {
    uv_timer_t *timer = malloc(sizeof(*timer));
    if (!timer)
        return NULL;
    INVARIANT(uv_timer_init(connection->loop, timer) == 0);
    timer->data = connection;
    uv_unref((uv_handle_t *)timer);
    return timer;
}

static void close_timer(uv_timer_t *timer) {
    if (timer)
        uv_close((uv_handle_t *)timer, free_timer);
}

struct redis_connection *redis_connection_create(const struct redis_connection_options *options,
                                                 struct error *error) {
    struct redis_connection *connection = calloc(1, sizeof(*connection));
    if (!connection) {
        error_set(error, "out of memory");
        return NULL;
    }
    connection->loop = options->loop;
    connection->remote = *options->remote;
    connection->send_pending = options->send_pending;
    connection->user = options->user;
    connection->timeout_ms = options->settings->store_timeout_ms;
    if (!redis_url_read(bytes_of(options->settings->redis_url), &connection->url)) {
        error_set(error, "REDIS_URL is no such URL");
        free(connection);
        return NULL;
    }
    const struct server_address *address = &connection->url.address;
    if (address->port == 0)
        snprintf(connection->name, sizeof(connection->name), "unix:%s", address->host);
    else
        snprintf(connection->name, sizeof(connection->name), "%s:%u", address->host, address->port);
    connection->id = pending_server(connection->name);
    resolver_init(&connection->resolver, connection->loop, address, found, connection);
    connection->deadline = make_timer(connection);
    connection->prober = make_timer(connection);
    connection->asker = make_timer(connection);
    if (!connection->deadline || !connection->prober || !connection->asker) {
        error_set(error, "out of memory");
        redis_connection_destroy(&connection);
        return NULL;
    }
    if (!resolver_refresh(&connection->resolver))
        resolver_await(&connection->resolver, RESOLVER_START_MS);
    if (!connection->resolver.known)
        lost(connection, NOT_KNOWN);
    uv_timer_start(connection->asker, ask_figures, 0, FIGURES_MS);
    return connection;
}

void redis_connection_destroy(struct redis_connection **connection) {
    if (!*connection)
        return;
    (*connection)->closing = true;
    if ((*connection)->context)
        lost(*connection, "");
    resolver_fini(&(*connection)->resolver);
    close_timer((*connection)->deadline);
    close_timer((*connection)->prober);
    close_timer((*connection)->asker);
    free(*connection);
    *connection = NULL;
}
