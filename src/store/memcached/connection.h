/* One memcached server's connection on the worker's loop: commands out in one pipeline a turn, answers in,
 * each matched to its command.
 *
 * Commands are answered in the order in which they were sent (protocol.txt). What is sent in a turn goes out
 * together at its end; behind writes goes a barrier, whose answer no other command has, so that a stray line
 * is noticed before anything else is asked. Whatever is not the answer to the command at the head, a value of
 * a key that was not asked for, a length without its line end, closes the connection and fails all commands:
 * what became of writes is unknown then.
 *
 * A server is late when it has said nothing for STORE_TIMEOUT_MS while a command waits; a server that is
 * answering is not, unless one line or value takes ten times as long.
 *
 *   CLOSED      nothing is connected      -> CONNECTING  a turn ends in which a command was sent
 *   CONNECTING  the kernel connects       -> OPEN, CLOSED (failed)
 *   OPEN        bytes go both ways        -> CLOSED (failed, or the peer left; without a command no failure)
 */
#ifndef INFERONCE_STORE_MEMCACHED_CONNECTION_H
#define INFERONCE_STORE_MEMCACHED_CONNECTION_H

#include <uv.h>

#include "inferonce/base/breaker.h"
#include "inferonce/base/server_address.h"
#include "inferonce/base/turn.h"
#include "store/memcached/command.h"

struct memcached_connection;

struct memcached_connection_options {
    uv_loop_t *loop;
    struct turn *turn;
    const struct server_address *address; /* numeric; borrowed, read when it connects */
    size_t name_length;
    uint64_t timeout_ms;
    /* The connection failed, or could not be made. Called before the commands end. `why` is a literal or
     * strerror's. */
    void (*failed)(void *user, enum breaker_failure failure, const char *why);
    void *user;
};

/* Connects when a command is sent. Returns owned; NULL: no memory. */
struct memcached_connection *memcached_connection_create(const struct memcached_connection_options *options);

/* Drops what is under way: `ended` is called with MEMCACHED_BROKEN, and `failed` is not. Its handles close
 * with the loop's next run. Nulls the pointer; NULL is accepted. */
void memcached_connection_destroy(struct memcached_connection **connection);

/* Each takes `command`, which ends later, in every case. */
void memcached_send_get(struct memcached_connection *connection, struct memcached_command *command);
void memcached_send_delete(struct memcached_connection *connection, struct memcached_command *command,
                           const char *name);
void memcached_send_touch(struct memcached_connection *connection, struct memcached_command *command,
                          const char *name, uint64_t ttl_ms);
void memcached_send_write(struct memcached_connection *connection, struct memcached_command *command,
                          const char *name, struct bytes head, struct bytes body, uint64_t ttl_ms,
                          uint64_t cas);
void memcached_send_stats(struct memcached_connection *connection, struct memcached_command *command);

#endif
