/* One memcached server through libmemcached, which is synchronous; here it is bounded. Private to the
 * memcached store.
 *
 * libmemcached's timeout counts per read, so that a server which sends a byte at a time could hold a worker
 * for minutes. A budget therefore bounds all that happens within one turn of the loop, whatever the number of
 * reads and servers: when it is used up a timer's signal sets the timeout of every handle, which
 * libmemcached reads again before each wait, to zero.
 *
 * A server that used the budget up must not make the others of that turn look as if they did not answer: they
 * share a small reserve, of which each next one gets half of what is left. */
#ifndef INFERONCE_STORE_MEMCACHED_SERVER_H
#define INFERONCE_STORE_MEMCACHED_SERVER_H

#include <signal.h>
#include <time.h>

#include "inferonce/store/breaker.h"
#include "inferonce/store/item.h"
#include "inferonce/store/memcached_answer.h"
#include "inferonce/store/resolver.h"

/* Keys of one request; a request for 64 costs much more than two for 32. */
#define MEMCACHED_CHUNK 32

struct memcached_budget {
    struct memcached_server *servers; /* borrowed */
    unsigned n;
    timer_t timer;
    uint64_t turn_ms; /* uv_now of the turn that `left_us` is of */
    uint64_t left_us;
    uint64_t reserve_us;
    uint64_t most_us;
    uint64_t began_us;
    uint64_t granted_us; /* since then */
    volatile sig_atomic_t running;
};

/* False: error tells why. */
bool memcached_budget_init(struct memcached_budget *budget, struct memcached_server *servers, unsigned n,
                           uint64_t timeout_ms, struct error *error) MUST_CHECK;
void memcached_budget_fini(struct memcached_budget *budget);

/* Around whatever talks to servers. `now_ms` is uv_now: the same for all of a turn. */
void memcached_budget_begin(struct memcached_budget *budget, uint64_t now_ms);
void memcached_budget_end(struct memcached_budget *budget);

enum memcached_outcome {
    MEMCACHED_DONE,
    MEMCACHED_NOTHING,  /* there is no such item; of a fetch: that was the last */
    MEMCACHED_CONFLICT, /* it is there already, or was changed meanwhile */
    MEMCACHED_TOO_BIG,
    MEMCACHED_FULL,  /* it has no memory for the item; what it has can be had */
    MEMCACHED_BROKEN /* no answer in time, garbage, or a get answered by an error: the connection is closed,
                        the breaker open */
};

struct memcached_server {
    struct resolver resolver;   /* its address is the settings', and decides which keys are the server's */
    char name[SERVER_NAME_MAX]; /* that address */
    uint64_t id;                /* pending_server(name) */
    struct breaker breaker;
    struct memcached_budget *budget; /* borrowed */
    bool connected;
    memcached_st handle; /* embedded: a signal may write to it at any time */
    struct memcached_answers answers;
    uint64_t now_ms; /* of the turn; for the breaker */

    /* The request under way. */
    char names[MEMCACHED_CHUNK][ITEM_NAME_LENGTH];
    size_t asks[MEMCACHED_CHUNK]; /* what each name was asked for: the caller's number */
    unsigned n;
    unsigned next; /* answers come in the order of the names */
};

/* Connects when it is used. The address of a name is not looked up yet, and must be known for all that
 * follows. `found` as in resolver.h. */
void memcached_server_init(struct memcached_server *server, uv_loop_t *loop,
                           const struct server_address *address, resolver_found found, void *user);
void memcached_server_fini(struct memcached_server *server);

/* It cannot be used: opens the breaker. */
void memcached_server_give_up(struct memcached_server *server, const char *why);

/* Sends the request for names[0..n). */
enum memcached_outcome memcached_server_ask(struct memcached_server *server, bool with_cas);

/* The next value; `*at` is its place in `names`. The value is borrowed until the next call. */
enum memcached_outcome memcached_server_fetch(struct memcached_server *server, unsigned *at,
                                              struct bytes *value);

/* One item with its cas number. The value is borrowed until the next call. */
enum memcached_outcome memcached_server_get(struct memcached_server *server, const char *name,
                                            struct bytes *value, uint64_t *cas);

/* What a write does when the item is there. */
enum memcached_write { MEMCACHED_SET, MEMCACHED_ADD, MEMCACHED_CAS };

/* The item stays for `ttl_ms` and up to two seconds longer; 0: for good. */
enum memcached_outcome memcached_server_write(struct memcached_server *server, enum memcached_write how,
                                              const char *name, struct bytes value, uint64_t cas,
                                              uint64_t ttl_ms);
enum memcached_outcome memcached_server_delete(struct memcached_server *server, const char *name);

#endif
