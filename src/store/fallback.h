/* A store on cache servers, with this host's memory standing in for servers that are away.
 *
 *   look      the servers are asked; what they cannot say, because a server is away, is asked of the memory.
 *             When a namespace's generation is among that, the whole look is: its entry must be judged by the
 *             generation of the store it comes from
 *   put, add  the servers; if they are away, the memory
 *   a purge, a removal
 *             both. STORE_PENDING is passed on
 *
 * Other hosts' invalidations do not reach the memory. It is emptied whenever a server returns, before that
 * server is used, and when this is opened, so that what it holds was stored since a server went away, by this
 * host. */
#ifndef INFERONCE_STORE_FALLBACK_H
#define INFERONCE_STORE_FALLBACK_H

#include "store/remote/remote.h"

typedef struct store *(*remote_open)(const struct context *context, const struct remote_options *remote,
                                     struct error *error);

/* Returns owned; NULL: error tells why. */
struct store *fallback_open(const struct context *context, remote_open open, struct error *error);

#endif
