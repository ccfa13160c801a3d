/* A Redis server through hiredis: its connection, the deadlines of commands, its figures. Private to the
 * Redis store. */
#ifndef INFERONCE_STORE_REDIS_CONNECTION_H
#define INFERONCE_STORE_REDIS_CONNECTION_H

#include <hiredis/hiredis.h>
#include <sys/queue.h>

#include "store/remote/server.h"

struct redis_connection;
struct redis_command;

/* `reply` is borrowed for the call; NULL: there is none and will be none. */
typedef void (*redis_answered)(struct redis_command *command, const struct redisReply *reply);

/* The head of a command under way; whoever sends one adds what it wants to know when it is answered. */
struct redis_command {
    struct redis_connection *connection;
    TAILQ_ENTRY(redis_command) links; /* in the order of their deadlines */
    uint64_t deadline_ms;
    redis_answered answered;                        /* frees it */
    void (*dropped)(struct redis_command *command); /* instead, when everything ends; frees it */
};

struct redis_connection_options {
    const struct context *context;
    const struct remote_options *remote;
    const struct remote_server_operations *operations; /* of `server` */
    void (*asks)(void *user); /* called when the server is asked for its figures, once a second */
    void *user;
};

/* Connects when it is used. Returns owned; NULL: error tells why. */
struct redis_connection *redis_connection_create(const struct redis_connection_options *options,
                                                 struct error *error);
void redis_connection_destroy(struct redis_connection **connection);

/* The server's state, and where its callbacks lead: redis_connection_user(server) is `user`. */
struct remote_server *redis_connection_server(struct redis_connection *connection);
void *redis_connection_user(struct remote_server *server);

/* Takes `command` and sends it: `answered` is called later, or, when this returns false, never. */
bool redis_connection_send(struct redis_connection *connection, struct redis_command *command, int n,
                           const char *const words[], const size_t lengths[]) MUST_CHECK;

/* The reply was none that a Redis in order gives to what was asked: READONLY after a failover, OOM, MISCONF,
 * LOADING, NOAUTH, a wrong type. Closes the connection; the server is away. NULL is accepted: the connection
 * was lost, and is. */
void redis_connection_distrust(struct redis_connection *connection, const struct redisReply *reply);

void redis_connection_figures(struct redis_connection *connection, struct store_figures *figures);

#endif
