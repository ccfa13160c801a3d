/* The memcached store: its servers, which of them has a key, how they come back, what they say of themselves.
 */
#include "store/memcached/memcached.h"

#include <stdlib.h>

#include "store/memcached/parts.h"
#include "store/remote/skew.h"

#define FIGURES_MS 1000

#define PROBE_TTL_MS 1000

static const struct store_operations OPERATIONS;

/* ---- places ---- */

/* The continuum of libketama, as other clients of the same servers have it: by the names that the settings
 * have, wherever they lead, so that all hosts agree. */
static bool make_ring(struct memcached *memcached) {
    if (memcached->n == 1)
        return true;
    if (!memcached_create(&memcached->ring))
        return false;
    memcached->has_ring = true;
    bool made = true;
    for (unsigned i = 0; i < memcached->n && made; i++) {
        const struct server_address *address = &memcached->servers[i].remote.resolver.address;
        made = memcached_success(address->port == 0
                                     ? memcached_server_add_unix_socket(&memcached->ring, address->host)
                                     : memcached_server_add(&memcached->ring, address->host, address->port));
    }
    /* Behind the servers: before them each one added would lay out the whole ring again. */
    return made &&
           memcached_success(memcached_behavior_set(&memcached->ring, MEMCACHED_BEHAVIOR_KETAMA_WEIGHTED, 1));
}

/* ---- coming back ---- */

static struct memcached_server *server_of(struct remote_server *remote) {
    return (struct memcached_server *)remote; /* its first member */
}

/* The server of a command that lies in it, at `offset`. */
static struct memcached_server *server_with(struct memcached_command *command, size_t offset) {
    return (struct memcached_server *)(void *)((char *)command - offset);
}

static void on_failed(void *user, enum breaker_failure failure, const char *why) {
    struct memcached_server *server = user;
    remote_server_failed(&server->remote, failure, why);
    server->known = false;
}

/* ---- the time of the last purge ---- */

static uint64_t number_read(const struct purge_read *read) {
    return memcached_number_of(&read->found, &read->value);
}

/* The probe and the figures may read at the same time: a probe begins while figures are awaited when the
 * server has to be told something. */
static void read_last_purge(struct memcached_server *server, struct purge_read *read, memcached_ended ended) {
    buffer_reset(&read->value, STORE_SMALL_MAX);
    read->found = (struct memcached_found){.found = false};
    read->command = (struct memcached_command){.verb = MEMCACHED_GET,
                                               .ended = ended,
                                               .names = server->purge_name,
                                               .n = 1,
                                               .found = &read->found,
                                               .values = &read->value};
    memcached_send_get(server->connection, &read->command);
}

/* ---- the probe ---- */

/* The answer to the read stands before that to the write; a server without room for the item is used. */
static void on_probe_ended(struct memcached_command *command, enum memcached_outcome outcome) {
    struct memcached_server *server = server_with(command, offsetof(struct memcached_server, probe_set));
    if (server->memcached->closing || server->remote.state != REMOTE_PROBING)
        return; /* the connection failed, and with it the probe */
    if (outcome == MEMCACHED_DONE || outcome == MEMCACHED_FULL)
        remote_server_probed(&server->remote, number_read(&server->probe_purge));
    else
        remote_server_failed(&server->remote, BREAKER_WRONG, "it does not take an item");
}

static void on_probe_read(struct memcached_command *command, enum memcached_outcome outcome) {
    (void)command;
    (void)outcome;
}

static void probe(struct remote_server *remote) {
    struct memcached_server *server = server_of(remote);
    read_last_purge(server, &server->probe_purge, on_probe_read);
    server->probe_set = (struct memcached_command){.verb = MEMCACHED_SET, .ended = on_probe_ended};
    memcached_send_write(server->connection, &server->probe_set, server->probe_name, (struct bytes){NULL, 0},
                         LITERAL("probe"), PROBE_TTL_MS, 0);
}

static void tell(struct remote_server *remote, const struct pending *pending) {
    struct memcached_server *server = server_of(remote);
    if (pending->kind == STORE_GENERATION)
        memcached_tell_purge(server, pending);
    else
        memcached_tell_removal(server, pending);
}

static const struct remote_server_operations REMOTE = {.probe = probe, .tell = tell};

/* ---- figures ---- */

/* "STAT name number" */
static void on_figure(struct memcached_command *command, struct bytes line) {
    struct memcached_server *server =
        server_with(command, offsetof(struct memcached_server, figures_command));
    const struct {
        struct bytes name;
        uint64_t *figure;
    } WANTED[] = {{LITERAL("STAT curr_items "), &server->items_read},
                  {LITERAL("STAT bytes "), &server->bytes_read},
                  {LITERAL("STAT evictions "), &server->evictions_read},
                  {LITERAL("STAT time "), &server->time_read}};
    for (unsigned i = 0; i < sizeof(WANTED) / sizeof(WANTED[0]); i++) {
        size_t length = WANTED[i].name.length;
        struct bytes number = {line.data + length, line.length > length ? line.length - length : 0};
        if (line.length > length && memcmp(line.data, WANTED[i].name.data, length) == 0 &&
            !bytes_to_number(number, WANTED[i].figure))
            *WANTED[i].figure = UINT64_MAX;
    }
}

static void on_purge_read(struct memcached_command *command, enum memcached_outcome outcome) {
    struct memcached_server *server = server_with(command, offsetof(struct memcached_server, figures_purge));
    if (outcome == MEMCACHED_DONE && !server->memcached->closing)
        remote_server_read(&server->remote, number_read(&server->figures_purge));
}

/* The servers' clocks may differ, too: all hosts go by the first that is used. */
static bool tells_time(const struct memcached_server *server) {
    const struct memcached_server *first = server->memcached->servers;
    while (first < server && first->remote.state != REMOTE_USED)
        first++;
    return first == server && server->time_read != UINT64_MAX;
}

static void on_figures_ended(struct memcached_command *command, enum memcached_outcome outcome) {
    struct memcached_server *server =
        server_with(command, offsetof(struct memcached_server, figures_command));
    server->asking = false;
    server->known = outcome == MEMCACHED_DONE;
    server->items = server->items_read;
    server->bytes = server->bytes_read;
    server->evictions = server->evictions_read;
    if (tells_time(server))
        skew_learn(server->remote.context, server->remote.name, server->time_read * 1000000 + 500000);
}

static void on_ask_figures(uv_timer_t *timer) {
    struct memcached *memcached = timer->data;
    for (unsigned i = 0; i < memcached->n; i++) {
        struct memcached_server *server = &memcached->servers[i];
        if (server->asking || !remote_server_is_used(&server->remote))
            continue;
        server->asking = true;
        server->items_read = server->bytes_read = server->evictions_read = server->time_read = UINT64_MAX;
        server->figures_command = (struct memcached_command){.ended = on_figures_ended, .stat = on_figure};
        read_last_purge(server, &server->figures_purge, on_purge_read);
        memcached_send_stats(server->connection, &server->figures_command);
    }
}

static void add_up(uint64_t *sum, uint64_t figure) {
    if (figure != UINT64_MAX)
        *sum = *sum == UINT64_MAX ? figure : *sum + figure;
}

static void figures(struct store *store, struct store_figures *figures_) {
    struct memcached *memcached = memcached_of(store);
    *figures_ = (struct store_figures){.size = UINT64_MAX,
                                       .max_size = UINT64_MAX,
                                       .memory_bytes = UINT64_MAX,
                                       .evictions = UINT64_MAX,
                                       .n_servers = memcached->n};
    for (unsigned i = 0; i < memcached->n; i++) {
        struct store_server *told = &figures_->servers[i];
        const struct memcached_server *server = &memcached->servers[i];
        remote_server_figures(&memcached->servers[i].remote, told);
        if (server->known) {
            told->items = server->items;
            told->memory_bytes = server->bytes;
            told->evictions = server->evictions;
        }
        figures_->degraded = figures_->degraded || !told->up;
        add_up(&figures_->size, told->items);
        add_up(&figures_->memory_bytes, told->memory_bytes);
        add_up(&figures_->evictions, told->evictions);
    }
}

/* ---- set-up ---- */

static void close_memcached(struct store *store) {
    struct memcached *memcached = memcached_of(store);
    memcached->closing = true;
    for (unsigned i = 0; i < memcached->n; i++) {
        memcached_connection_destroy(&memcached->servers[i].connection);
        remote_server_fini(&memcached->servers[i].remote);
        buffer_fini(&memcached->servers[i].figures_purge.value);
        buffer_fini(&memcached->servers[i].probe_purge.value);
    }
    memcached_free_lookups(memcached);
    if (memcached->has_ring)
        memcached_free(&memcached->ring);
    if (memcached->asker)
        uv_close((uv_handle_t *)memcached->asker, turn_free_handle);
    free(memcached);
}

static bool add_server(struct memcached *memcached, const struct context *context,
                       const struct server_address *address) {
    struct memcached_server *server = &memcached->servers[memcached->n++];
    server->memcached = memcached;
    static const uint8_t PROBE[STORE_KEY_LENGTH] = {0};
    memcached_name(memcached, STORE_OUTCOME, PROBE, server->probe_name);
    memcached_name(memcached, STORE_GENERATION, STORE_LAST_PURGE, server->purge_name);
    buffer_init(&server->figures_purge.value, STORE_SMALL_MAX);
    buffer_init(&server->probe_purge.value, STORE_SMALL_MAX);
    if (!remote_server_init(&server->remote, &REMOTE, &memcached->remote, context, address))
        return false;
    server->connection = memcached_connection_create(
        &(struct memcached_connection_options){.loop = context->loop,
                                               .turn = context->turn,
                                               .address = &server->remote.resolver.numeric,
                                               .name_length = memcached->names.length,
                                               .timeout_ms = context->settings->store_timeout_ms,
                                               .failed = on_failed,
                                               .user = server});
    return server->connection != NULL;
}

static bool add_servers(struct memcached *memcached, const struct context *context, struct error *error) {
    struct bytes list = bytes_of(context->settings->memcached_servers);
    struct server_address address;
    while (list.length > 0) {
        if (memcached->n == SERVERS_MAX || !server_address_next(&list, &address)) {
            error_set(error, "MEMCACHED_SERVERS is no list of at most %d servers", SERVERS_MAX);
            return false;
        }
        if (!add_server(memcached, context, &address)) {
            error_set(error, "out of memory");
            return false;
        }
    }
    if (memcached->n == 0 || !make_ring(memcached)) {
        error_set(error, "libmemcached does not take the list of MEMCACHED_SERVERS");
        return false;
    }
    return true;
}

static bool start_asking(struct memcached *memcached, uv_loop_t *loop) {
    memcached->asker = malloc(sizeof(*memcached->asker));
    if (!memcached->asker)
        return false;
    INVARIANT(uv_timer_init(loop, memcached->asker) == 0);
    memcached->asker->data = memcached;
    uv_timer_start(memcached->asker, on_ask_figures, 0, FIGURES_MS);
    uv_unref((uv_handle_t *)memcached->asker);
    return true;
}

struct store *memcached_open(const struct context *context, const struct remote_options *remote,
                             struct error *error) {
    struct memcached *memcached = calloc(1, sizeof(*memcached));
    struct remote_server *servers[SERVERS_MAX];
    if (!memcached) {
        error_set(error, "out of memory");
        return NULL;
    }
    memcached->store.operations = &OPERATIONS;
    memcached->clock = context->clock;
    memcached->stats = context->stats;
    memcached->remote = *remote;
    item_names_init(&memcached->names, context->settings->cache_key_prefix);
    memcached->generation_ms = store_generation_ms(context->settings);
    TAILQ_INIT(&memcached->free_lookups);
    if (!add_servers(memcached, context, error)) {
        close_memcached(&memcached->store);
        return NULL;
    }
    if (!start_asking(memcached, context->loop)) {
        error_set(error, "out of memory");
        close_memcached(&memcached->store);
        return NULL;
    }
    for (unsigned i = 0; i < memcached->n; i++)
        servers[i] = &memcached->servers[i].remote;
    remote_server_find(servers, memcached->n);
    return &memcached->store;
}

static const struct store_operations OPERATIONS = {
    .name = "memcached",
    .get_many = memcached_get_many,
    .put = memcached_put,
    .add = memcached_add_item,
    .remove = memcached_remove,
    .figures = figures,
    .close = close_memcached,
};
