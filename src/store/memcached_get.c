#include <stdlib.h>

#include "inferonce/base/little_endian.h"
#include "inferonce/store/memcached_parts.h"

#define SCRATCH_KEEP (UINT64_C(1) << 20)

/* One look-up of a batch: which server is asked for what, in chunks, all servers at the same time. */
struct lookup {
    struct memcached *memcached;
    struct store_get *gets;
    size_t n;
    size_t n_asks;
    size_t first[SERVERS_MAX]; /* + 1, index into asks; what is still to be asked of a server */
    size_t last[SERVERS_MAX];
    uint64_t now_us;
    bool failed;
};

static void add_ask(struct lookup *lookup, size_t get, unsigned server) {
    struct memcached *memcached = lookup->memcached;
    size_t at = lookup->n_asks++;
    bool used = memcached_is_used(memcached, &memcached->servers[server]);
    /* A server says nothing of what it does not have. */
    memcached->asks[at] = (struct memcached_ask){.get = get, .status = used ? STORE_MISSING : STORE_ERROR};
    if (!used) {
        lookup->failed = true;
        return;
    }
    if (lookup->first[server] == 0)
        lookup->first[server] = at + 1;
    else
        memcached->asks[lookup->last[server]].next = at + 1;
    lookup->last[server] = at;
}

/* Items first; then the copies of generations on each server that is asked for one of them, or on all when
 * there are only generations. */
static void plan(struct lookup *lookup) {
    struct memcached *memcached = lookup->memcached;
    bool asked[SERVERS_MAX] = {false};
    bool any = false;
    for (size_t i = 0; i < lookup->n; i++) {
        struct store_get *get = &lookup->gets[i];
        get->status = STORE_ERROR;
        get->epoch = 0;
        get->value = (struct bytes){NULL, 0};
        if (get->kind == STORE_GENERATION)
            continue;
        char name[ITEM_NAME_LENGTH];
        unsigned server = 0;
        if (memcached->n > 1) {
            item_name(get->kind, get->key, name);
            server = memcached_route(memcached, name);
        }
        asked[server] = any = true;
        add_ask(lookup, i, server);
    }
    for (size_t i = 0; i < lookup->n; i++)
        for (unsigned server = 0; lookup->gets[i].kind == STORE_GENERATION && server < memcached->n; server++)
            if (asked[server] || !any)
                add_ask(lookup, i, server);
}

/* ---- asking ---- */

/* What came before a server failed is not trusted, what was to come will not. */
static void give_up(struct lookup *lookup, unsigned number) {
    struct memcached *memcached = lookup->memcached;
    const struct memcached_server *server = &memcached->servers[number];
    for (unsigned i = 0; i < server->n; i++)
        memcached->asks[server->asks[i]].status = STORE_ERROR;
    for (size_t at = lookup->first[number]; at != 0; at = memcached->asks[at - 1].next)
        memcached->asks[at - 1].status = STORE_ERROR;
    lookup->first[number] = 0;
    lookup->failed = true;
}

/* The next chunk for one server; false: there is none, or the server failed. */
static bool ask(struct lookup *lookup, unsigned number) {
    struct memcached *memcached = lookup->memcached;
    struct memcached_server *server = &memcached->servers[number];
    server->n = 0;
    while (lookup->first[number] != 0 && server->n < memcached->chunk) {
        size_t at = lookup->first[number] - 1;
        const struct store_get *get = &lookup->gets[memcached->asks[at].get];
        item_name(get->kind, get->key, server->names[server->n]);
        server->asks[server->n++] = at;
        lookup->first[number] = memcached->asks[at].next;
    }
    if (server->n == 0)
        return false;
    if (memcached_server_ask(server, false) == MEMCACHED_DONE)
        return true;
    give_up(lookup, number);
    return false;
}

/* Values are put one behind the other. Where they are is said when that memory does not move any more. */
static void take(struct lookup *lookup, struct memcached_ask *ask_, struct bytes value) {
    struct store_get *get = &lookup->gets[ask_->get];
    struct buffer *scratch = &lookup->memcached->scratch;
    struct store_get told = {.kind = get->kind, .key = get->key};
    item_tell(&told, value, lookup->now_us);
    ask_->status = told.status;
    if (get->kind == STORE_GENERATION) {
        ask_->number = told.status == STORE_OK ? load_u64(value.data) : 0;
        return;
    }
    if (told.status == STORE_MISSING)
        stats_count(lookup->memcached->stats, STAT_rejected_entries);
    ask_->number = scratch->length;
    if (told.value.length > 0 && !buffer_reserve(scratch, told.value.length)) {
        ask_->status = STORE_ERROR;
        lookup->failed = true;
        return;
    }
    buffer_append_bytes(scratch, told.value);
    get->epoch = told.epoch;
    get->value.length = told.value.length;
}

static void fetch(struct lookup *lookup, unsigned number) {
    struct memcached *memcached = lookup->memcached;
    struct memcached_server *server = &memcached->servers[number];
    enum memcached_outcome outcome;
    unsigned at;
    struct bytes value;
    while ((outcome = memcached_server_fetch(server, &at, &value)) == MEMCACHED_DONE)
        take(lookup, &memcached->asks[server->asks[at]], value);
    if (outcome == MEMCACHED_BROKEN)
        give_up(lookup, number);
}

static void ask_all(struct lookup *lookup) {
    bool waiting = true;
    while (waiting) {
        bool asked[SERVERS_MAX];
        waiting = false;
        for (unsigned i = 0; i < lookup->memcached->n; i++)
            waiting = (asked[i] = ask(lookup, i)) || waiting;
        for (unsigned i = 0; i < lookup->memcached->n; i++)
            if (asked[i])
                fetch(lookup, i);
    }
}

/* ---- what came of it ---- */

static bool any_is_away(const struct memcached *memcached) {
    for (unsigned i = 0; i < memcached->n; i++)
        if (memcached->servers[i].breaker.open)
            return true;
    return false;
}

static void merge_copies(struct lookup *lookup, size_t at, size_t end) {
    struct memcached *memcached = lookup->memcached;
    struct store_get *get = &lookup->gets[memcached->asks[at].get];
    uint64_t greatest = 0;
    unsigned answers = 0;
    bool differ = false;
    for (size_t i = at; i < end; i++) {
        const struct memcached_ask *copy = &memcached->asks[i];
        if (copy->status == STORE_ERROR)
            continue;
        differ = differ || (answers > 0 && copy->number != greatest) || copy->number == 0;
        greatest = copy->number > greatest ? copy->number : greatest;
        answers++;
    }
    get->status = answers == 0 ? STORE_ERROR : greatest > 0 ? STORE_OK : STORE_MISSING;
    if (memcached->n > 1 && (answers == 0 || differ)) {
        char name[ITEM_NAME_LENGTH];
        item_name(STORE_GENERATION, get->key, name);
        get->status = memcached_generation_settle(memcached, name, &greatest);
        lookup->failed = lookup->failed || any_is_away(memcached); /* which were asked, too */
    }
    if (get->status != STORE_OK)
        return;
    char value[STORE_GENERATION_LENGTH];
    struct buffer *scratch = &memcached->scratch;
    store_u64(value, greatest);
    get->epoch = scratch->length; /* where it is, until the memory does not move any more */
    if (!buffer_reserve(scratch, sizeof(value))) {
        get->status = STORE_ERROR;
        return;
    }
    buffer_append(scratch, value, sizeof(value));
    get->value.length = sizeof(value);
}

static void merge(struct lookup *lookup) {
    struct memcached *memcached = lookup->memcached;
    for (size_t at = 0; at < lookup->n_asks;) {
        const struct memcached_ask *first = &memcached->asks[at];
        size_t end = at + 1;
        if (lookup->gets[first->get].kind == STORE_GENERATION) {
            while (end < lookup->n_asks && memcached->asks[end].get == first->get)
                end++;
            merge_copies(lookup, at, end);
        } else {
            lookup->gets[first->get].status = first->status;
            if (first->status != STORE_OK)
                lookup->gets[first->get].value.length = 0;
        }
        at = end;
    }
    /* From here on the scratch does not move. */
    for (size_t at = 0; at < lookup->n_asks; at++) {
        struct store_get *get = &lookup->gets[memcached->asks[at].get];
        if (get->kind != STORE_GENERATION && get->value.length > 0)
            get->value.data = memcached->scratch.data + memcached->asks[at].number;
    }
    for (size_t i = 0; i < lookup->n; i++) {
        struct store_get *get = &lookup->gets[i];
        if (get->kind != STORE_GENERATION || get->status != STORE_OK)
            continue;
        get->value.data = memcached->scratch.data + get->epoch;
        get->epoch = 0;
    }
}

static bool make_room(struct memcached *memcached, const struct store_get *gets, size_t n) {
    size_t wanted = n;
    for (size_t i = 0; i < n && memcached->n > 1; i++)
        wanted += gets[i].kind == STORE_GENERATION ? memcached->n - 1 : 0;
    if (wanted <= memcached->asks_capacity)
        return true;
    struct memcached_ask *asks = realloc(memcached->asks, wanted * sizeof(*asks));
    if (!asks)
        return false;
    memcached->asks = asks;
    memcached->asks_capacity = wanted;
    return true;
}

static void answer(struct memcached *memcached, struct store_get *gets, size_t n, store_got got, void *user) {
    /* Taken out while `got` runs, which may well begin the next batch. */
    struct buffer scratch = memcached->scratch;
    buffer_init(&memcached->scratch, scratch.cap);
    got(user, gets, n);
    buffer_fini(&memcached->scratch);
    buffer_reset(&scratch, SCRATCH_KEEP);
    memcached->scratch = scratch;
}

void memcached_get_many(struct store *store, struct store_get *gets, size_t n, store_got got, void *user) {
    struct memcached *memcached = memcached_of(store);
    struct lookup lookup = {.memcached = memcached, .gets = gets, .n = n};
    if (!make_room(memcached, gets, n)) {
        for (size_t i = 0; i < n; i++)
            gets[i] = (struct store_get){.kind = gets[i].kind, .key = gets[i].key, .status = STORE_ERROR};
        stats_count(memcached->stats, STAT_store_errors);
        got(user, gets, n);
        return;
    }
    lookup.now_us = clock_wall_us(memcached->clock);
    memcached_budget_begin(&memcached->budget, uv_now(memcached->loop));
    plan(&lookup);
    ask_all(&lookup);
    merge(&lookup);
    memcached_budget_end(&memcached->budget);
    if (lookup.failed) {
        stats_count(memcached->stats, STAT_store_errors);
        memcached_probe_later(memcached);
    }
    answer(memcached, gets, n, got, user);
}
