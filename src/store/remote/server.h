/* A cache server as memcached and Redis share it: where it is, whether it is used, what it has still to be
 * told. The backend brings the wire: how the server is probed and told.
 *
 *   USED       it is asked                                       -> AWAY      it failed
 *                                                                -> WAITING   something is to be told to it
 *   AWAY       nobody asks it until its pause is over            -> RESOLVING
 *   WAITING    as AWAY, without a pause and without a failure    -> RESOLVING
 *   RESOLVING  its name is looked up again, it may have moved    -> PROBING, AWAY
 *   PROBING    the backend asks what work would ask              -> TELLING, AWAY
 *   TELLING    pending invalidations, one after the other        -> USED, AWAY
 *
 * A failure is logged when the server was used, its return when it is used again. Callbacks may run before
 * the function that causes them returns. Nothing blocks but remote_server_find, which is for the set-up. */
#ifndef INFERONCE_STORE_REMOTE_SERVER_H
#define INFERONCE_STORE_REMOTE_SERVER_H

#include "inferonce/base/breaker.h"
#include "store/remote/remote.h"
#include "store/remote/resolver.h"

enum remote_server_state {
    REMOTE_USED,
    REMOTE_AWAY,
    REMOTE_WAITING,
    REMOTE_RESOLVING,
    REMOTE_PROBING,
    REMOTE_TELLING
};

struct remote_server;

struct remote_server_operations {
    bool restores; /* after a restart it may have entries from before, older than when it went */

    /* Does what work does, read and write, on items of its own. Then calls remote_server_probed, or
     * remote_server_failed. */
    void (*probe)(struct remote_server *server);

    /* Does a pending invalidation. Then calls remote_server_told, unless remote_server_failed was called. */
    void (*tell)(struct remote_server *server, const struct pending *pending);
};

/* Embedded by the backend's own struct. */
struct remote_server {
    const struct remote_server_operations *operations;
    struct remote_options remote;
    const struct context *context;
    enum remote_server_state state;
    struct resolver resolver;   /* its address is the settings', and decides which keys are the server's */
    char name[SERVER_NAME_MAX]; /* that address */
    uint64_t id;                /* pending_server(name) */
    struct breaker breaker;
    uint64_t longest_entry_us; /* from when an entry is stored to when no server has it any more */
    unsigned n_behind;         /* history.h */
    uint64_t had_purge;        /* the last purge that it was known to have when its probe began */
    struct pending telling;    /* what the server is told */
    uv_timer_t *prober;        /* freed by its close callback */
};

/* False: no memory; fini all the same. */
bool remote_server_init(struct remote_server *server, const struct remote_server_operations *operations,
                        const struct remote_options *remote, const struct context *context,
                        const struct server_address *address) MUST_CHECK;
void remote_server_fini(struct remote_server *server);

/* Waits for the names of `n` servers, RESOLVER_START_MS for all of them at most. A server whose address is
 * not known then is away. */
void remote_server_find(struct remote_server *const *servers, unsigned n);

/* Whether the server is used now. One that has to be told something first is not, and is seen to. */
bool remote_server_is_used(struct remote_server *server);

/* The server failed, in any state. `why` is borrowed. */
void remote_server_failed(struct remote_server *server, enum breaker_failure failure, const char *why);

/* The server did what work does; `last_purge` is what it has of STORE_LAST_PURGE, 0 when it has none. */
void remote_server_probed(struct remote_server *server, uint64_t last_purge);
void remote_server_told(struct remote_server *server, bool done);

/* The same of a server that is used: asked for once a second, with its figures. */
void remote_server_read(struct remote_server *server, uint64_t last_purge);

/* Fills in name, state and pending invalidations. */
void remote_server_figures(struct remote_server *server, struct store_server *figures);

#endif
