/* Look-ups on memcached servers: one batch is one pipeline for each server, and all servers are asked at the
 * same time. */
#include <stdlib.h>

#include "inferonce/base/little_endian.h"
#include "store/memcached/parts.h"

/* Keys of one command: a longer line is not cheaper for each key. */
#define KEYS_AT_ONCE 64

/* Bytes that the values of one look-up may take. */
#define VALUES_MAX  (UINT64_C(1) << 28)
#define VALUES_KEEP (UINT64_C(1) << 20)

#define FREE_LOOKUPS_MAX 16

/* A key that one server is asked for: an item, or that server's copy of a generation. */
struct ask {
    size_t get; /* index into the batch's gets */
    unsigned server;
    enum store_status status;
    uint64_t number; /* of a copy; 0: none */
};

/* Some of a server's asks, as one command. */
struct part {
    struct memcached_command command; /* first */
    struct memcached_lookup *lookup;
    size_t first; /* index into asks and found */
};

/* A copy that differs from the others is settled before the look-up ends. */
struct settling {
    struct memcached_lookup *lookup;
    size_t get;
};

struct memcached_lookup {
    TAILQ_ENTRY(memcached_lookup) links; /* among the free ones */
    struct memcached *memcached;
    struct store_get *gets;
    size_t n;
    store_got got;
    void *user;
    size_t running; /* commands and settlings under way, and 1 while they are begun */
    bool failed;
    struct buffer values;

    /* in `memory`, which is kept from batch to batch: */
    struct buffer memory;
    size_t n_asks, n_parts, n_settlings;
    struct ask *asks; /* by server */
    struct memcached_found *found;
    struct part *parts;
    struct settling *settlings;               /* one place for each generation */
    char (*numbers)[STORE_GENERATION_LENGTH]; /* of generations, by get */
    char *names;
};

/* ---- memory ---- */

static struct memcached_lookup *take_lookup(struct memcached *memcached) {
    struct memcached_lookup *lookup = TAILQ_FIRST(&memcached->free_lookups);
    if (lookup) {
        TAILQ_REMOVE(&memcached->free_lookups, lookup, links);
        memcached->n_free_lookups--;
        return lookup;
    }
    lookup = calloc(1, sizeof(*lookup));
    if (!lookup)
        return NULL;
    lookup->memcached = memcached;
    buffer_init(&lookup->values, VALUES_MAX);
    buffer_init(&lookup->memory, SIZE_MAX / 2);
    return lookup;
}

static void free_lookup(struct memcached_lookup *lookup) {
    buffer_fini(&lookup->values);
    buffer_fini(&lookup->memory);
    free(lookup);
}

static void release(struct memcached_lookup *lookup) {
    struct memcached *memcached = lookup->memcached;
    if (memcached->closing || memcached->n_free_lookups == FREE_LOOKUPS_MAX) {
        free_lookup(lookup);
        return;
    }
    buffer_reset(&lookup->values, VALUES_KEEP);
    buffer_reset(&lookup->memory, VALUES_KEEP);
    TAILQ_INSERT_HEAD(&memcached->free_lookups, lookup, links);
    memcached->n_free_lookups++;
}

void memcached_free_lookups(struct memcached *memcached) {
    struct memcached_lookup *lookup;
    while ((lookup = TAILQ_FIRST(&memcached->free_lookups)) != NULL) {
        TAILQ_REMOVE(&memcached->free_lookups, lookup, links);
        free_lookup(lookup);
    }
}

static size_t aligned(size_t bytes) {
    return (bytes + 15) & ~(size_t)15;
}

/* All arrays of the look-up in one piece of memory, zeroed. */
static bool make_room(struct memcached_lookup *lookup) {
    const struct memcached *memcached = lookup->memcached;
    size_t n_generations = 0;
    for (size_t i = 0; i < lookup->n; i++)
        n_generations += lookup->gets[i].kind == STORE_GENERATION;
    size_t n_asks = lookup->n - n_generations + n_generations * memcached->n;
    size_t n_parts = n_asks / KEYS_AT_ONCE + memcached->n;
    size_t sizes[] = {
        aligned(n_asks * sizeof(struct ask)),         aligned(n_asks * sizeof(struct memcached_found)),
        aligned(n_parts * sizeof(struct part)),       aligned(n_generations * sizeof(struct settling)),
        aligned(lookup->n * STORE_GENERATION_LENGTH), n_asks * memcached->names.length};
    char *places[6];
    size_t bytes = 0;
    for (unsigned i = 0; i < 6; i++)
        bytes += sizes[i];
    char *memory = buffer_reserve(&lookup->memory, bytes);
    if (!memory)
        return false;
    memset(memory, 0, bytes - sizes[5]); /* names are written before they are read */
    for (unsigned i = 0; i < 6; i++, memory += sizes[i - 1])
        places[i] = memory;
    lookup->asks = (struct ask *)(void *)places[0];
    lookup->found = (struct memcached_found *)(void *)places[1];
    lookup->parts = (struct part *)(void *)places[2];
    lookup->settlings = (struct settling *)(void *)places[3];
    lookup->numbers = (void *)places[4];
    lookup->names = places[5];
    return true;
}

/* ---- what came of it ---- */

static void finish(struct memcached_lookup *lookup) {
    struct memcached *memcached = lookup->memcached;
    if (lookup->failed)
        stats_count(memcached->stats, STAT_store_errors);
    if (!memcached->closing)
        lookup->got(lookup->user, lookup->gets, lookup->n);
    release(lookup);
}

static void step_ended(struct memcached_lookup *lookup, void (*next)(struct memcached_lookup *lookup)) {
    if (--lookup->running == 0)
        next(lookup);
}

static void set_generation(struct memcached_lookup *lookup, size_t get, enum store_status status,
                           uint64_t number) {
    lookup->gets[get].status = status;
    if (status != STORE_OK)
        return;
    store_u64(lookup->numbers[get], number);
    lookup->gets[get].value = (struct bytes){lookup->numbers[get], STORE_GENERATION_LENGTH};
}

static void on_settled(void *user, enum store_status status, uint64_t number, bool failed) {
    struct settling *settling = user;
    struct memcached_lookup *lookup = settling->lookup;
    lookup->failed = lookup->failed || failed;
    set_generation(lookup, settling->get, status, number);
    step_ended(lookup, finish);
}

static void settle(struct memcached_lookup *lookup, size_t get) {
    struct settling *settling = &lookup->settlings[lookup->n_settlings++];
    char name[ITEM_NAME_MAX];
    *settling = (struct settling){lookup, get};
    memcached_name(lookup->memcached, STORE_GENERATION, lookup->gets[get].key, name);
    lookup->running++;
    memcached_generation_settle(lookup->memcached, name, on_settled, settling);
}

/* The greatest of the copies that were read; all servers are asked when one is missing or behind. */
static void merge_copies(struct memcached_lookup *lookup, size_t get) {
    uint64_t greatest = 0;
    unsigned answers = 0;
    bool differ = false;
    for (size_t i = 0; i < lookup->n_asks; i++) {
        const struct ask *copy = &lookup->asks[i];
        if (copy->get != get || copy->status == STORE_ERROR)
            continue;
        differ = differ || (answers > 0 && copy->number != greatest) || copy->number == 0;
        greatest = copy->number > greatest ? copy->number : greatest;
        answers++;
    }
    /* One that is rare no server has, most of the time; one that has it judges its own entries by it. */
    bool nowhere = answers > 0 && greatest == 0 && store_generation_is_rare(lookup->gets[get].key);
    if (lookup->memcached->n > 1 && !nowhere && (answers == 0 || differ))
        settle(lookup, get);
    else
        set_generation(lookup, get,
                       answers == 0   ? STORE_ERROR
                       : greatest > 0 ? STORE_OK
                                      : STORE_MISSING,
                       greatest);
}

static void tell_item(struct memcached_lookup *lookup, const struct ask *ask,
                      const struct memcached_found *found, uint64_t now_us) {
    struct store_get *get = &lookup->gets[ask->get];
    get->status = ask->status;
    if (!found->found || ask->status == STORE_ERROR)
        return;
    item_tell(get, (struct bytes){lookup->values.data + found->at, found->length}, now_us);
    if (get->status == STORE_MISSING)
        stats_count(lookup->memcached->stats, STAT_rejected_entries);
}

static void merge(struct memcached_lookup *lookup) {
    uint64_t now_us = clock_wall_us(lookup->memcached->clock);
    lookup->running = 1;
    for (size_t i = 0; i < lookup->n_asks; i++) {
        struct ask *ask = &lookup->asks[i];
        const struct memcached_found *found = &lookup->found[i];
        if (lookup->gets[ask->get].kind != STORE_GENERATION)
            tell_item(lookup, ask, found, now_us);
        else
            ask->number = memcached_number_of(found, &lookup->values);
    }
    for (size_t i = 0; i < lookup->n; i++)
        if (lookup->gets[i].kind == STORE_GENERATION)
            merge_copies(lookup, i);
    step_ended(lookup, finish);
}

/* Values that came before the server failed are not trusted either. */
static void on_part_ended(struct memcached_command *command, enum memcached_outcome outcome) {
    struct part *part = (struct part *)command;
    struct memcached_lookup *lookup = part->lookup;
    for (unsigned i = 0; i < command->n; i++) {
        struct ask *ask = &lookup->asks[part->first + i];
        bool lost = command->lost && !lookup->found[part->first + i].found;
        ask->status = outcome != MEMCACHED_DONE || lost ? STORE_ERROR : STORE_MISSING;
    }
    lookup->failed = lookup->failed || outcome != MEMCACHED_DONE || command->lost;
    step_ended(lookup, merge);
}

/* ---- asking ---- */

static void add_ask(struct memcached_lookup *lookup, size_t get, unsigned server) {
    lookup->asks[lookup->n_asks++] = (struct ask){.get = get, .server = server, .status = STORE_ERROR};
}

/* Items first; then the copies of generations on each server that is asked for an item, or on all when there
 * are only generations. */
static void plan(struct memcached_lookup *lookup) {
    const struct memcached *memcached = lookup->memcached;
    bool asked[SERVERS_MAX] = {false};
    bool any = false;
    for (size_t i = 0; i < lookup->n; i++) {
        struct store_get *get = &lookup->gets[i];
        *get = (struct store_get){.kind = get->kind, .key = get->key, .status = STORE_ERROR};
        if (get->kind == STORE_GENERATION)
            continue;
        unsigned server = 0;
        if (memcached->n > 1) {
            char name[ITEM_NAME_MAX];
            memcached_name(memcached, get->kind, get->key, name);
            server = memcached_place(memcached, name);
        }
        asked[server] = any = true;
        add_ask(lookup, i, server);
    }
    for (size_t i = 0; i < lookup->n; i++)
        for (unsigned server = 0; lookup->gets[i].kind == STORE_GENERATION && server < memcached->n; server++)
            if (asked[server] || !any)
                add_ask(lookup, i, server);
}

static int by_server(const void *a, const void *b) {
    unsigned first = ((const struct ask *)a)->server;
    unsigned second = ((const struct ask *)b)->server;
    return (first > second) - (first < second);
}

/* Sends asks[first..end), all of one server. */
static void send_part(struct memcached_lookup *lookup, size_t first, size_t end) {
    struct memcached *memcached = lookup->memcached;
    struct memcached_server *server = &memcached->servers[lookup->asks[first].server];
    struct part *part = &lookup->parts[lookup->n_parts++];
    char *names = lookup->names + first * memcached->names.length;
    for (size_t i = first; i < end; i++) {
        const struct store_get *get = &lookup->gets[lookup->asks[i].get];
        memcached_name(memcached, get->kind, get->key, lookup->names + i * memcached->names.length);
    }
    *part = (struct part){.lookup = lookup,
                          .first = first,
                          .command = {.verb = MEMCACHED_GET,
                                      .ended = on_part_ended,
                                      .names = names,
                                      .n = (unsigned)(end - first),
                                      .found = &lookup->found[first],
                                      .values = &lookup->values}};
    lookup->running++;
    memcached_send_get(server->connection, &part->command);
}

static void send_all(struct memcached_lookup *lookup) {
    struct memcached *memcached = lookup->memcached;
    lookup->running = 1;
    for (size_t first = 0, end; first < lookup->n_asks; first = end) {
        unsigned server = lookup->asks[first].server;
        for (end = first;
             end < lookup->n_asks && end - first < KEYS_AT_ONCE && lookup->asks[end].server == server;)
            end++;
        if (remote_server_is_used(&memcached->servers[server].remote))
            send_part(lookup, first, end);
        else
            lookup->failed = true;
    }
    step_ended(lookup, merge);
}

void memcached_get_many(struct store *store, struct store_get *gets, size_t n, store_got got, void *user) {
    struct memcached *memcached = memcached_of(store);
    struct memcached_lookup *lookup = take_lookup(memcached);
    if (lookup) {
        lookup->gets = gets;
        lookup->n = n;
        lookup->got = got;
        lookup->user = user;
        lookup->failed = false;
        lookup->n_asks = lookup->n_parts = lookup->n_settlings = 0;
    }
    if (lookup && make_room(lookup)) {
        plan(lookup);
        if (memcached->n > 1)
            qsort(lookup->asks, lookup->n_asks, sizeof(*lookup->asks), by_server);
        send_all(lookup);
        return;
    }
    if (lookup)
        release(lookup);
    for (size_t i = 0; i < n; i++)
        gets[i] = (struct store_get){.kind = gets[i].kind, .key = gets[i].key, .status = STORE_ERROR};
    stats_count(memcached->stats, STAT_store_errors);
    got(user, gets, n);
}
