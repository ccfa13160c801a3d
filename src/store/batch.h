/* A turn's looks, asked for together: each item once, in as few batches as hold them. */
#ifndef INFERONCE_STORE_BATCH_H
#define INFERONCE_STORE_BATCH_H

#include "inferonce/store/store.h"

#define BATCH_LOOKS 128
#define BATCH_GETS  (2 * BATCH_LOOKS)

struct store_batches;

/* Borrows both. Returns owned; NULL: no memory. */
struct store_batches *store_batches_create(struct store *store, const struct context *context);

/* Forgets all looks without calling them back; the store has been closed and answers nothing more. NULL is
 * accepted. */
void store_batches_destroy(struct store_batches **batches);

#endif
