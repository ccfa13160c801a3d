/* A backend: a table of functions behind the store (store.h).
 *
 * Every operation completes through its callback, exactly once, at once or later; `close` drops what is under
 * way without calling back. */
#ifndef INFERONCE_STORE_BACKEND_H
#define INFERONCE_STORE_BACKEND_H

#include "inferonce/store/store.h"

struct store_batches;

/* All of a batch is done. `gets` is the caller's array. */
typedef void (*store_got)(void *user, struct store_get *gets, size_t n);

struct store_operations {
    const char *name;
    void (*get_many)(struct store *store, struct store_get *gets, size_t n, store_got got, void *user);
    void (*put)(struct store *store, const struct store_item *item, store_done done, void *user);
    void (*add)(struct store *store, const struct store_item *item, store_done done, void *user);
    void (*remove)(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                   uint64_t tombstone_ms, store_done done, void *user);

    /* Finds elsewhere what is STORE_ERROR in a look, and calls its `done`, before this returns. NULL: there
     * is nothing else to ask. */
    void (*mend)(struct store *store, struct store_look *look);

    bool (*sweep)(struct store *store, uint64_t group, uint64_t epoch, uint64_t *cursor,
                  uint64_t *removed); /* or NULL */
    bool (*walk)(struct store *store, uint64_t *cursor, struct buffer *scratch, store_walked walked,
                 void *user); /* or NULL */
    void (*figures)(struct store *store, struct store_figures *figures);
    void (*close)(struct store *store);
};

/* The head of every backend's own struct. */
struct store {
    const struct store_operations *operations;
    struct store_batches *batches; /* owned; NULL: nobody looks through this one */
};

/* Asks a backend for `n` items in one round trip, at once. `gets` is borrowed until `got` was called, which
 * may be before this returns; the same key may not stand twice with one kind. */
static inline void store_get_many(struct store *store, struct store_get *gets, size_t n, store_got got,
                                  void *user) {
    store->operations->get_many(store, gets, n, got, user);
}

#endif
