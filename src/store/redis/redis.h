/* The Redis store: entries in one Redis database that any number of hosts share, through hiredis'
 * asynchronous interface. Nothing here blocks; names are looked up elsewhere (resolver.h).
 *
 * A batch is one MGET. The rule of epochs is kept by scripts, which Redis runs one at a time. Numbers in them
 * are exact below 2^53: microseconds since 1970 until the year 2255.
 *
 * A command that is not answered within STORE_TIMEOUT_MS, and everything behind it, has failed: the
 * connection is closed and the server left alone until a probe finds it answering (base/breaker.h); what it
 * could not be told is done before it is used again (pending.h). */
#ifndef INFERONCE_STORE_REDIS_REDIS_H
#define INFERONCE_STORE_REDIS_REDIS_H

#include "store/remote/remote.h"

/* Returns owned; NULL: error tells why. That the server does not answer is no error. */
struct store *redis_open(const struct context *context, const struct remote_options *remote,
                         struct error *error);

#endif
