/* A store that answers when it is told to, as one behind a network does: what is asked of it waits in line.
 * It stands in front of a real store, which does the work in the end; one store at a time. */
#ifndef INFERONCE_TESTS_LATE_H
#define INFERONCE_TESTS_LATE_H

#include <stdlib.h>

#include "host.h"
#include "store/backend.h"
#include "unit.h"

#define LATE_MAX 256

enum late_verb { LATE_NOTHING, LATE_GET, LATE_PUT, LATE_ADD, LATE_REMOVE };

struct late_operation {
    enum late_verb verb;
    enum store_kind kind; /* of the first of many */
    struct store_get *gets;
    size_t n;
    store_got got;
    store_done done;
    void *user;
    struct store_item item; /* its key and value are in `key` and `value` */
    uint8_t key[STORE_KEY_LENGTH];
    char *value; /* owned */
    uint64_t epoch, tombstone_ms;
    enum store_status status; /* what the real store said */
    bool withheld;            /* a part of what was asked for is an error */
    enum store_kind kind_withheld;
};

static struct {
    struct store *store;
    struct turn *turn;
    const struct store_operations *real;
    struct late_operation line[LATE_MAX];
    size_t n;
} late;

static struct late_operation *late_queue(enum late_verb verb, enum store_kind kind, void *user) {
    CU_ASSERT_FATAL(late.n < LATE_MAX);
    struct late_operation *operation = &late.line[late.n++];
    *operation = (struct late_operation){.verb = verb, .kind = kind, .user = user};
    return operation;
}

static void late_get_many(struct store *store, struct store_get *gets, size_t n, store_got got, void *user) {
    struct late_operation *operation = late_queue(LATE_GET, gets[0].kind, user);
    (void)store;
    for (size_t i = 0; i < n; i++) /* by contract no key stands twice with one kind */
        for (size_t j = 0; j < i; j++)
            CU_ASSERT(gets[i].kind != gets[j].kind ||
                      memcmp(gets[i].key, gets[j].key, STORE_KEY_LENGTH) != 0);
    operation->gets = gets;
    operation->n = n;
    operation->got = got;
}

/* The item's value is borrowed for the call only. */
static void late_write(enum late_verb verb, const struct store_item *item, store_done done, void *user) {
    struct late_operation *operation = late_queue(verb, item->kind, user);
    operation->done = done;
    operation->item = *item;
    memcpy(operation->key, item->key, STORE_KEY_LENGTH);
    operation->value = malloc(item->value.length + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(operation->value);
    memcpy(operation->value, item->value.data, item->value.length);
    operation->item.value.data = operation->value;
}

static void late_put(struct store *store, const struct store_item *item, store_done done, void *user) {
    (void)store;
    late_write(LATE_PUT, item, done, user);
}

static void late_add(struct store *store, const struct store_item *item, store_done done, void *user) {
    (void)store;
    late_write(LATE_ADD, item, done, user);
}

static void late_remove(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                        uint64_t tombstone_ms, store_done done, void *user) {
    struct late_operation *operation = late_queue(LATE_REMOVE, kind, user);
    (void)store;
    operation->done = done;
    operation->epoch = epoch;
    operation->tombstone_ms = tombstone_ms;
    memcpy(operation->key, key, STORE_KEY_LENGTH);
}

/* At once, as these are by contract. */
static bool late_sweep(struct store *store, uint64_t group, uint64_t epoch, uint64_t *cursor,
                       uint64_t *removed) {
    const struct store_operations *own = store->operations;
    store->operations = late.real;
    bool more = store_sweep(store, group, epoch, cursor, removed);
    store->operations = own;
    return more;
}

static void late_figures(struct store *store, struct store_figures *figures) {
    const struct store_operations *own = store->operations;
    store->operations = late.real;
    store_figures(store, figures);
    store->operations = own;
}

static const struct store_operations LATE_OPERATIONS = {.name = "late",
                                                        .get_many = late_get_many,
                                                        .put = late_put,
                                                        .add = late_add,
                                                        .remove = late_remove,
                                                        .sweep = late_sweep,
                                                        .figures = late_figures};

/* From now on the worker's store answers late. */
static inline void late_begin(const struct host_worker *worker) {
    late.store = worker->store;
    late.turn = worker->turn;
    late.real = late.store->operations;
    late.n = 0;
    late.store->operations = &LATE_OPERATIONS;
}

/* It answers at once again; what waits in line is dropped, as store_close does. */
static inline void late_end(void) {
    for (size_t i = 0; i < late.n; i++)
        free(late.line[i].value);
    late.n = 0;
    late.store->operations = late.real;
}

/* The first operation in line. */
static inline enum late_verb late_verb(void) {
    return late.n > 0 ? late.line[0].verb : LATE_NOTHING;
}

static inline enum store_kind late_kind(void) {
    return late.line[0].kind;
}

static struct late_operation late_take(size_t at) {
    CU_ASSERT_FATAL(at < late.n);
    struct late_operation operation = late.line[at];
    late.n--;
    memmove(&late.line[at], &late.line[at + 1], (late.n - at) * sizeof(late.line[0]));
    return operation;
}

/* Operations that the callbacks start go to the end of the line. */
static void late_got(void *user, struct store_get *gets, size_t n) {
    struct late_operation *operation = user;
    for (size_t i = 0; i < n; i++)
        if (operation->withheld && gets[i].kind == operation->kind_withheld)
            gets[i].status = STORE_ERROR;
    late.store->operations = &LATE_OPERATIONS;
    operation->got(operation->user, gets, n);
}

static void late_done(void *user, enum store_status status) {
    struct late_operation *operation = user;
    operation->status = status;
}

/* The one at `at` in line is done by the real store and answered. */
static inline void late_answer_at(size_t at) {
    struct late_operation operation = late_take(at);
    late.store->operations = late.real;
    operation.item.key = operation.key;
    switch (operation.verb) {
    case LATE_GET:
        store_get_many(late.store, operation.gets, operation.n, late_got, &operation);
        break;
    case LATE_PUT:
        store_put(late.store, &operation.item, late_done, &operation);
        break;
    case LATE_ADD:
        store_add(late.store, &operation.item, late_done, &operation);
        break;
    case LATE_REMOVE:
        store_remove(late.store, operation.kind, operation.key, operation.epoch, operation.tombstone_ms,
                     late_done, &operation);
        break;
    case LATE_NOTHING:
        break;
    }
    late.store->operations = &LATE_OPERATIONS;
    free(operation.value);
    if (operation.done)
        operation.done(operation.user, operation.status);
    turn_end(late.turn); /* what that made them look for is in line */
}

static inline void late_answer(void) {
    late_answer_at(0);
}

/* The first in line is answered, but for the items of one kind: as when one of several servers is away. */
static inline void late_answer_without(enum store_kind kind) {
    late.line[0].withheld = true;
    late.line[0].kind_withheld = kind;
    late_answer();
}

/* The first in line is not done; this is what its caller gets to hear. */
static inline void late_refuse(enum store_status status) {
    struct late_operation operation = late_take(0);
    free(operation.value);
    for (size_t i = 0; i < operation.n; i++)
        operation.gets[i].status = status;
    if (operation.done)
        operation.done(operation.user, status);
    else
        operation.got(operation.user, operation.gets, operation.n);
    turn_end(late.turn);
}

static inline void late_answer_all(void) {
    while (late.n > 0)
        late_answer();
}

#endif
