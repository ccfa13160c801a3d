/* The store: where entries live. A backend (backend.h) is a folder or a file and one row of STORES in open.c.
 *
 * Every operation completes through a callback, exactly once. Looks are collected and asked for together at
 * the end of the loop turn, each item once (batch.c). Writes are done at once (memory) or go out at the end
 * of the turn too, in the servers' pipelines, ahead of the looks. A failure is a result (STORE_ERROR),
 * counted in store_errors, never an abort. A server that says nothing for STORE_TIMEOUT_MS while something is
 * asked of it has failed.
 *
 * Four kinds of items, each with its own keys:
 *
 *   ENTRY       a result, in the format of cache/entry.h, which the store does not read
 *   LEASE       who infers a key right now; added by one caller only; expires
 *   OUTCOME     what became of a flight that stored nothing, for those who wait elsewhere; expires within
 *               seconds
 *   GENERATION  of a namespace, a number below 2^52: 8 bytes, little-endian. A `put` raises it, by 1 when it
 *               is not below already. Memory keeps it; servers keep it for store_generation_ms, which an
 *               `add` of one that exists begins anew. A lost one means misses, until a greater one is added
 *
 * Each entry has an epoch (microseconds since 1970): the time of the last invalidation that its inference had
 * seen when it began. A `put` is refused when what is there, an entry or the tombstone that `remove` leaves,
 * has a greater epoch: an answer that was in flight while its key was purged does not come back.
 *
 * Values of leases, outcomes and generations are at most STORE_SMALL_MAX bytes and do not count in the size.
 */
#ifndef INFERONCE_STORE_STORE_H
#define INFERONCE_STORE_STORE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "inferonce/base/buffer.h"
#include "inferonce/base/context.h"
#include "inferonce/base/server_address.h"

#define STORE_KEY_LENGTH        32 /* SHA-256 */
#define STORE_SMALL_MAX         48
#define STORE_GENERATION_LENGTH 8

#define SERVER_NAME_MAX (SERVER_HOST_MAX + sizeof("unix:65535"))

/* Generations that are no namespace's, under keys that no hash will have: one that counts in every namespace,
 * and the time of the last purge or removal that any host made (remote/history.h). */
extern const uint8_t STORE_ALL_NAMESPACES[STORE_KEY_LENGTH];
extern const uint8_t STORE_LAST_PURGE[STORE_KEY_LENGTH];

/* Whether a generation of this key is usually missing, since only rare events raise it: those two, and all
 * others whose keys end in eight zero bytes. */
static inline bool store_generation_is_rare(const uint8_t *key) {
    static const uint8_t ZERO[8] = {0};
    return memcmp(key + STORE_KEY_LENGTH - sizeof(ZERO), ZERO, sizeof(ZERO)) == 0;
}

enum store_kind { STORE_ENTRY, STORE_LEASE, STORE_OUTCOME, STORE_GENERATION };

enum store_status {
    STORE_OK,      /* get: found; put, add: written; remove: there was one */
    STORE_MISSING, /* get, remove: the backend answered and has no such item */
    STORE_EXPIRED, /* get of an ENTRY: there was one until its time was over; said by a backend that can tell
                    */
    STORE_TOMBSTONE, /* get of an ENTRY: removed at `epoch`, not long ago */
    STORE_EXISTS,    /* add: another caller was first */
    STORE_REFUSED,   /* put: something with a greater epoch is there */
    STORE_TOO_LARGE, /* put: the backend cannot take an item of this size; what the key had is gone */
    STORE_PENDING,   /* put of a GENERATION, remove of an ENTRY: a server could not be told. It is remembered,
                        and done before anything is served from that server again */
    STORE_ERROR      /* the backend did not answer in time, or answered garbage, or is full */
};

struct store_get {
    enum store_kind kind;
    const uint8_t *key;       /* STORE_KEY_LENGTH bytes */
    enum store_status status; /* out */
    uint64_t epoch;           /* out: of the entry or tombstone; 0 otherwise */
    struct bytes value;       /* out: borrowed until the callback returns */
};

/* The most items of one look: those that an entry is imported by. */
#define STORE_LOOK_MAX 5

struct store_look;
struct store_batch;

/* The look is done; `gets` has the results. It is idle again: it may be asked anew, or freed, in here. */
typedef void (*store_looked)(struct store_look *look);

enum store_look_state {
    STORE_LOOK_IDLE,
    STORE_LOOK_COLLECTED, /* waits for the end of the turn */
    STORE_LOOK_ASKED      /* the backend has been asked */
};

/* Some items that are answered together, all by the servers or, when one of them is away, by what
 * stands in for them: a namespace's generation and an entry that is judged by it are one look.
 *
 *   IDLE -> COLLECTED -> ASKED -> IDLE, and `done` is called
 *
 * Embedded by its owner; zero-initialised: idle. Its keys are borrowed until it is done or forgotten. */
struct store_look {
    struct store_get gets[STORE_LOOK_MAX];
    unsigned n;
    store_looked done;
    void *user;

    /* private but for reading `state` */
    enum store_look_state state;
    TAILQ_ENTRY(store_look) links; /* COLLECTED */
    struct store_batch *batch;     /* ASKED */
    size_t place;                  /* in the batch */
};

/* One put, add or remove is done. */
typedef void (*store_done)(void *user, enum store_status status);

struct store_item {
    enum store_kind kind;
    const uint8_t *key;
    struct bytes value; /* borrowed until the operation returned */
    uint64_t epoch;     /* ENTRY only */
    uint64_t cost_us;   /* ENTRY: of the inference that a hit saves; 0: not known */
    uint64_t group;     /* ENTRY: which entries are invalidated together (store_sweep) */
    uint64_t ttl_ms;    /* after it the item is as if removed; of a GENERATION it says nothing */
};

/* A server of the backend: what it said of itself last, at most a second or two ago; UINT64_MAX: nothing yet.
 */
struct store_server {
    char name[SERVER_NAME_MAX]; /* host:port or unix:path */
    bool up;                    /* it is used */
    uint64_t pending;           /* invalidations that it has still to be told */
    uint64_t items;
    uint64_t memory_bytes;
    uint64_t evictions;
};

/* The backend's own figures; UINT64_MAX where it has none. */
struct store_figures {
    uint64_t size;         /* entries */
    uint64_t max_size;     /* UINT64_MAX: none */
    uint64_t memory_bytes; /* that entries take up */
    uint64_t evictions;    /* by the servers; UINT64_MAX: those that this program counted */
    bool degraded;         /* a server is not used: the host's own memory stands in for it */
    unsigned n_servers;    /* 0: there are no servers */
    struct store_server servers[SERVERS_MAX];
};

struct store;

/* Opens the backend that CACHE_BACKEND names (open.c). Returns owned; NULL: error tells why. */
struct store *store_open(const struct context *context, struct error *error) MUST_CHECK;

/* Asks for what look->gets names, at the end of this turn. A look that is done in that end may be asked anew,
 * a few times; then it waits for the next turn, after the loop has seen to its sockets. The look is idle;
 * `done` is never called before this returns. */
void store_look(struct store *store, struct store_look *look);

/* How long a server keeps a generation at least: twice what the longest entry lasts, so that it need not be
 * renewed with every entry that is stored. */
uint64_t store_generation_ms(const struct settings *settings);

/* Takes a look back: `done` is not called. An idle one is accepted. */
void store_look_forget(struct store *store, struct store_look *look);

/* Writes an item over what is there, subject to the rule of epochs. STORE_OK, STORE_REFUSED, STORE_TOO_LARGE,
 * STORE_PENDING, STORE_ERROR. `done` may be NULL, here and below. */
void store_put(struct store *store, const struct store_item *item, store_done done, void *user);

/* Writes an item if there is none. STORE_OK, STORE_EXISTS, STORE_ERROR. Not for entries. */
void store_add(struct store *store, const struct store_item *item, store_done done, void *user);

/* Removes an item. STORE_OK, STORE_MISSING, STORE_PENDING, STORE_ERROR. For an ENTRY, for `tombstone_ms` from
 * now on a put with an epoch below `epoch` is refused, whether or not there was an entry; 0 for the other
 * kinds. */
void store_remove(struct store *store, enum store_kind kind, const uint8_t *key, uint64_t epoch,
                  uint64_t tombstone_ms, store_done done, void *user);

/* Gives back the room of entries of `group` whose epoch is below `epoch`, which are invisible since their
 * generation was raised. Each call does a small part: `*cursor` starts at 0 and says where the
 * next one goes on; `*removed` is raised by what was removed. False: that was the last part. A backend that
 * cannot sweep (its server evicts what nobody asks for) sets `*removed` to UINT64_MAX. */
bool store_sweep(struct store *store, uint64_t group, uint64_t epoch, uint64_t *cursor, uint64_t *removed);

/* An entry as it is stored; borrowed for the call. */
typedef void (*store_walked)(void *user, const uint8_t *key, struct bytes value);

/* Whether the backend can tell what it holds: the memory can, servers cannot. */
bool store_can_walk(const struct store *store);

/* Shows the entries that are there, a few in each call; none is marked as hit. `*cursor` starts at 0 and says
 * where the next call goes on. An entry that is there from the first call to the last is shown once; one that
 * comes or goes meanwhile, once or not at all; of a store with parts, once for each part that has it.
 * `scratch`, which holds the copies, must be able to grow to twice the largest entry; it has failed when
 * there was no room for some entries, which are left out and counted in store_errors. False: that was the
 * last call. */
bool store_walk(struct store *store, uint64_t *cursor, struct buffer *scratch, store_walked walked,
                void *user) MUST_CHECK;

/* The backend's name, as CACHE_BACKEND has it. */
const char *store_name(const struct store *store);

/* At once, from what the backend knows now. */
void store_figures(struct store *store, struct store_figures *figures);

/* Drops what is under way (its callbacks are not called) and frees. Nulls the pointer. */
void store_close(struct store **store);

#endif
