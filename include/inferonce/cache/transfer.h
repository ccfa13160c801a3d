/* Moves a cache: shows the entries of a store, and takes entries of another one.
 *
 * Both are for stores that can walk (store.h). An entry is moved with its times, which are of the wall clock,
 * and judged anew where it arrives: by the purges and removals there, since it was inferred, and by what is
 * there already. */
#ifndef INFERONCE_CACHE_TRANSFER_H
#define INFERONCE_CACHE_TRANSFER_H

#include "inferonce/cache/entry.h"
#include "inferonce/store/store.h"

/* ---- export ---- */

struct export;

enum export_status {
    EXPORT_MORE,  /* the step is over */
    EXPORT_ALL,   /* it was the last one */
    EXPORT_FAILED /* there was no memory for something, which is missing */
};

struct export_options {
    const struct context *context; /* borrowed until the end, as all here */
    struct store *store;
    struct bytes cache_namespace; /* data NULL: all */

    /* An entry that can be seen now; borrowed for the call. */
    void (*found)(void *user, const struct entry *entry);

    /* Ends each step. The export may be ended in here; after ALL and FAILED it is to be. */
    void (*paused)(void *user, enum export_status status);
    void *user;
};

/* Returns owned; NULL: no memory. */
struct export *export_begin(const struct export_options *options) MUST_CHECK;

/* One step: some tens of microseconds, or a few large entries. `paused` is called at the end of this turn or
 * in a later one. */
void export_go_on(struct export *export);

/* Also in the middle of a step. Nulls the pointer; NULL: nothing. */
void export_end(struct export **export);

/* ---- import ---- */

enum import_result {
    IMPORT_STORED,
    IMPORT_KEPT,    /* the entry that is there is as new */
    IMPORT_PURGED,  /* its inference began before an invalidation of its key, of others that share the number
                       of  its removals, or of its namespace */
    IMPORT_EXPIRED, /* its time is over */
    IMPORT_FAILED   /* the store did not take it, or there was no memory */
};

/* Embedded by its owner; zero-initialised: idle. */
struct import {
    void *user;

    /* private */
    const struct context *context;
    struct store *store;
    void (*done)(struct import *import, enum import_result result);
    unsigned tries; /* to make the namespace's generation */
    struct key key, generation_key, removals_key, purge_key;
    struct store_look look;
    struct buffer value; /* the entry, until it is stored */
};

/* Takes an entry, which is copied. Its generation says nothing here. `done` is called at the end of this turn
 * or in a later one; the import is idle then. */
void import_begin(struct import *import, const struct context *context, struct store *store,
                  const struct entry *entry, void (*done)(struct import *import, enum import_result result));

/* `done` is not called; the import is idle. An idle one is accepted. */
void import_forget(struct import *import);

#endif
