/* Resolves a cache server's name in a thread, without holding up the loop.
 * Private to the stores on servers.
 *
 * getaddrinfo waits for name servers, for many seconds when they are silent; so it runs in a thread of its
 * own, which answers through a socket; nothing waits for the thread's end. (libuv has threads for it too, but
 * a process cannot end before they do.) A name leads to one address; of several, the first that takes
 * connections. The last one known stays when the name cannot be looked up any more: a name server that is
 * away does not take the cache servers with it. */
#ifndef INFERONCE_STORE_REMOTE_RESOLVER_H
#define INFERONCE_STORE_REMOTE_RESOLVER_H

#include <uv.h>

#include "inferonce/base/server_address.h"

/* How long a worker's start waits for names at most. */
#define RESOLVER_START_MS 1000

/* A look-up has ended. Called from the loop. */
typedef void (*resolver_found)(void *user);

struct resolver {
    struct server_address address; /* as the settings have it */
    struct server_address numeric; /* to connect to, when it is known */
    bool known;
    bool literal;    /* there is nothing to look up */
    bool fresh;      /* a look-up has ended that no refresh has asked about yet */
    int answer;      /* of the look-up under way; -1: there is none */
    uv_poll_t *poll; /* on it; freed by its close callback */
    uv_loop_t *loop;
    resolver_found found;
    void *user;
};

/* Looks up nothing yet. A number and a Unix socket are known at once. */
void resolver_init(struct resolver *resolver, uv_loop_t *loop, const struct server_address *address,
                   resolver_found found, void *user);

/* `found` is not called any more. */
void resolver_fini(struct resolver *resolver);

/* True: what is known is as fresh as can be, because a look-up has ended since the last call that returned
 * true, or there is nothing to look up, or it could not be begun. False: one is under way, which this has
 * begun if need be, and `found` will be called. */
bool resolver_refresh(struct resolver *resolver) MUST_CHECK;

static inline bool resolver_is_busy(const struct resolver *resolver) {
    return resolver->answer >= 0;
}

/* Blocks until the look-up under way has ended, `ms` at most; then `found` is not called for it. For set-up.
 */
void resolver_await(struct resolver *resolver, uint64_t ms);

#endif
