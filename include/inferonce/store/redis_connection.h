/* The connection to a Redis server: commands, their deadlines, the breaker, what is pending, and the server's
 * figures. Private to the Redis store. */
#ifndef INFERONCE_STORE_REDIS_CONNECTION_H
#define INFERONCE_STORE_REDIS_CONNECTION_H

#include <hiredis/hiredis.h>

#include "inferonce/store/breaker.h"
#include "inferonce/store/item.h"
#include "inferonce/store/remote.h"

struct redis_connection;
struct redis_command;

/* `reply` is borrowed for the call; NULL: there is none and will be none. */
typedef void (*redis_answered)(struct redis_command *command, const struct redisReply *reply);

/* The head of a command under way; whoever sends one adds what it wants to know when it is answered. */
struct redis_command {
    struct redis_connection *connection;
    struct redis_command *next, *previous;
    uint64_t deadline_ms;
    redis_answered answered;                        /* frees it */
    void (*dropped)(struct redis_command *command); /* instead, when everything ends; frees it */
};

/* Sends a pending invalidation, whose end redis_connection_pending_done is told. False: it could not. */
typedef bool (*redis_send_pending)(void *user, const struct pending *pending);

struct redis_connection_options {
    const struct settings *settings;
    uv_loop_t *loop;
    const struct remote_options *remote;
    redis_send_pending send_pending;
    void *user;
};

/* Connects when it is used. Returns owned; NULL: error tells why. */
struct redis_connection *redis_connection_create(const struct redis_connection_options *options,
                                                 struct error *error);
void redis_connection_destroy(struct redis_connection **connection);

/* Whether the server is used now. One that has to be told something first is not, and is seen to. */
bool redis_connection_is_used(struct redis_connection *connection);

/* Takes `command` and sends it: `answered` is called later, or, when this returns false, never. */
bool redis_connection_send(struct redis_connection *connection, struct redis_command *command, int n,
                           const char *const words[], const size_t lengths[]) MUST_CHECK;

/* The reply was none that a Redis in order gives: closes the connection and opens the breaker. */
void redis_connection_distrust(struct redis_connection *connection, const struct redisReply *reply);

/* What send_pending sent was done, or was not. */
void redis_connection_pending_done(struct redis_connection *connection, uint64_t number, bool done);

/* Names the server in struct pending. */
uint64_t redis_connection_server(const struct redis_connection *connection);

void redis_connection_figures(const struct redis_connection *connection, struct store_figures *figures);

#endif
