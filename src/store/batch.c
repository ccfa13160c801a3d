/* Collects the looks of a turn and asks the backend for them together. */
#include "store/batch.h"

#include <stdlib.h>

#include "store/backend.h"

/* Room for the table of keys to be at most half full. */
#define BATCH_TABLE (2 * BATCH_GETS)

/* How often a turn asks: for requests, for what their flights look for before they infer, and once more. */
#define ROUNDS_MAX 3

/* Below this many gets they are compared one by one: cheaper than clearing a table. */
#define LINEAR_MAX 8

TAILQ_HEAD(store_looks, store_look);

/* Fixed in size: a turn allocates nothing. Its keys are copies, because a look may be forgotten while the
 * backend is being asked. */
struct store_batch {
    struct store_batches *batches;
    SLIST_ENTRY(store_batch) free_links, made_links;
    size_t n_looks, n_gets;
    bool table_in_use;
    struct store_look *looks[BATCH_LOOKS];    /* NULL: forgotten */
    uint16_t at[BATCH_LOOKS][STORE_LOOK_MAX]; /* index into gets */
    struct store_get gets[BATCH_GETS];
    uint8_t keys[BATCH_GETS][STORE_KEY_LENGTH];
    uint16_t table[BATCH_TABLE]; /* 1 + index into gets, by key; a small batch does without */
};

struct store_batches {
    struct store *store;
    struct turn *turn;
    struct stats *stats;
    struct turn_task ask;
    struct store_looks collected;
    size_t n_collected;
    bool asking; /* the task runs, and sees to what is collected */
    SLIST_HEAD(free_batches, store_batch) free;
    SLIST_HEAD(made_batches, store_batch) made; /* all, also those that are in use */
};

/* ---- batches that are used again: with a store that answers at once there is only one ---- */

static struct store_batch *take(struct store_batches *batches) {
    struct store_batch *batch = SLIST_FIRST(&batches->free);
    if (batch) {
        SLIST_REMOVE_HEAD(&batches->free, free_links);
    } else {
        batch = malloc(sizeof(*batch));
        if (!batch)
            return NULL;
        batch->batches = batches;
        SLIST_INSERT_HEAD(&batches->made, batch, made_links);
    }
    batch->n_looks = 0;
    batch->n_gets = 0;
    batch->table_in_use = false;
    return batch;
}

static void give_back(struct store_batch *batch) {
    SLIST_INSERT_HEAD(&batch->batches->free, batch, free_links);
}

/* ---- each key once ---- */

static bool is_get(const struct store_batch *batch, size_t at, const struct store_get *wanted) {
    return batch->gets[at].kind == wanted->kind &&
           memcmp(batch->keys[at], wanted->key, STORE_KEY_LENGTH) == 0;
}

static uint16_t append_get(struct store_batch *batch, const struct store_get *wanted) {
    size_t at = batch->n_gets++;
    memcpy(batch->keys[at], wanted->key, STORE_KEY_LENGTH);
    batch->gets[at] = (struct store_get){.kind = wanted->kind, .key = batch->keys[at]};
    return (uint16_t)at;
}

/* The place in the table where the item is or would go. Keys are SHA-256: any eight bytes are a hash. */
static uint16_t *table_place(struct store_batch *batch, const struct store_get *wanted) {
    uint64_t hash;
    memcpy(&hash, wanted->key, sizeof(hash));
    size_t place = hash % BATCH_TABLE;
    while (batch->table[place] != 0 && !is_get(batch, batch->table[place] - 1u, wanted))
        place = (place + 1) % BATCH_TABLE;
    return &batch->table[place];
}

static void table_build(struct store_batch *batch) {
    memset(batch->table, 0, sizeof(batch->table));
    batch->table_in_use = true;
    for (size_t at = 0; at < batch->n_gets; at++)
        *table_place(batch, &batch->gets[at]) = (uint16_t)(at + 1);
}

/* The index of the get for an item, made if there is none yet. */
static uint16_t get_for(struct store_batch *batch, const struct store_get *wanted) {
    if (batch->n_gets < LINEAR_MAX) {
        for (size_t at = 0; at < batch->n_gets; at++)
            if (is_get(batch, at, wanted))
                return (uint16_t)at;
        return append_get(batch, wanted);
    }
    if (!batch->table_in_use)
        table_build(batch);
    uint16_t *place = table_place(batch, wanted);
    if (*place == 0)
        *place = (uint16_t)(append_get(batch, wanted) + 1);
    return (uint16_t)(*place - 1);
}

static bool has_room_for(const struct store_batch *batch, const struct store_look *look) {
    return batch->n_looks < BATCH_LOOKS && batch->n_gets + look->n <= BATCH_GETS;
}

static void add(struct store_batch *batch, struct store_look *look) {
    look->state = STORE_LOOK_ASKED;
    look->batch = batch;
    look->place = batch->n_looks++;
    batch->looks[look->place] = look;
    for (unsigned i = 0; i < look->n; i++)
        batch->at[look->place][i] = get_for(batch, &look->gets[i]);
}

/* ---- asking ---- */

static void uncollect(struct store_batches *batches, struct store_look *look) {
    TAILQ_REMOVE(&batches->collected, look, links);
    batches->n_collected--;
    look->state = STORE_LOOK_IDLE;
}

static void answer(struct store_batch *batch, size_t place) {
    struct store_look *look = batch->looks[place];
    struct store *store = batch->batches->store;
    bool failed = false;
    for (unsigned i = 0; i < look->n; i++) {
        const struct store_get *get = &batch->gets[batch->at[place][i]];
        look->gets[i].status = get->status;
        look->gets[i].epoch = get->epoch;
        look->gets[i].value = get->value;
        failed = failed || get->status == STORE_ERROR;
    }
    look->batch = NULL;
    look->state = STORE_LOOK_IDLE;
    if (failed && store->operations->mend)
        store->operations->mend(store, look);
    else
        look->done(look);
}

/* A look that is done may have others forgotten: they find their place here empty. */
static void on_got(void *user, struct store_get *gets, size_t n) {
    struct store_batch *batch = user;
    (void)gets;
    (void)n;
    for (size_t place = 0; place < batch->n_looks; place++)
        if (batch->looks[place])
            answer(batch, place);
    give_back(batch);
}

/* There is no memory to ask with. */
static void fail_all(struct store_batches *batches) {
    for (size_t todo = batches->n_collected; todo > 0 && batches->n_collected > 0; todo--) {
        struct store_look *look = TAILQ_FIRST(&batches->collected);
        uncollect(batches, look);
        stats_count(batches->stats, STAT_store_errors);
        for (unsigned i = 0; i < look->n; i++)
            look->gets[i] = (struct store_get){
                .kind = look->gets[i].kind, .key = look->gets[i].key, .status = STORE_ERROR};
        look->done(look);
    }
}

/* Moves up to `most` of the looks into one batch and asks. Returns how many; 0: no memory. */
static size_t ask_some(struct store_batches *batches, size_t most) {
    struct store_batch *batch = take(batches);
    struct store_look *look;
    size_t n = 0;
    if (!batch)
        return 0;
    while (n < most && (look = TAILQ_FIRST(&batches->collected)) != NULL && has_room_for(batch, look)) {
        uncollect(batches, look);
        add(batch, look);
        n++;
    }
    store_get_many(batches->store, batch->gets, batch->n_gets, on_got, batch);
    return n;
}

static void ask_all(struct store_batches *batches) {
    size_t todo = batches->n_collected;
    while (todo > 0 && batches->n_collected > 0) {
        size_t asked = ask_some(batches, todo);
        if (asked == 0) {
            fail_all(batches);
            return;
        }
        todo -= asked;
    }
}

/* Looks that are collected while answers go out are asked in the same turn: a store that answers at once has
 * a miss with the engine by its end. But not for ever: a connection that asks as soon as it is answered must
 * not keep the loop from its sockets. */
static void on_ask(void *user) {
    struct store_batches *batches = user;
    batches->asking = true;
    for (unsigned round = 0; round < ROUNDS_MAX && batches->n_collected > 0; round++)
        ask_all(batches);
    batches->asking = false;
    if (batches->n_collected > 0)
        turn_in_next(batches->turn, &batches->ask);
}

void store_look(struct store *store, struct store_look *look) {
    struct store_batches *batches = store->batches;
    INVARIANT(look->state == STORE_LOOK_IDLE && look->n > 0 && look->n <= STORE_LOOK_MAX);
    look->state = STORE_LOOK_COLLECTED;
    TAILQ_INSERT_TAIL(&batches->collected, look, links);
    batches->n_collected++;
    if (!batches->asking)
        turn_at_end(batches->turn, &batches->ask);
}

void store_look_forget(struct store *store, struct store_look *look) {
    if (look->state == STORE_LOOK_COLLECTED)
        uncollect(store->batches, look);
    else if (look->state == STORE_LOOK_ASKED)
        look->batch->looks[look->place] = NULL;
    look->batch = NULL;
    look->state = STORE_LOOK_IDLE;
}

/* ---- set-up ---- */

struct store_batches *store_batches_create(struct store *store, const struct context *context) {
    struct store_batches *batches = calloc(1, sizeof(*batches));
    if (!batches)
        return NULL;
    batches->store = store;
    batches->turn = context->turn;
    batches->stats = context->stats;
    batches->ask = (struct turn_task){.run = on_ask, .user = batches};
    TAILQ_INIT(&batches->collected);
    return batches;
}

void store_batches_destroy(struct store_batches **batches) {
    if (!*batches)
        return;
    turn_forget(&(*batches)->ask);
    while (!SLIST_EMPTY(&(*batches)->made)) {
        struct store_batch *batch = SLIST_FIRST(&(*batches)->made);
        SLIST_REMOVE_HEAD(&(*batches)->made, made_links);
        free(batch);
    }
    free(*batches);
    *batches = NULL;
}
