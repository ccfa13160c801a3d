/* Real cache servers for tests: each on a Unix socket in a temporary directory or on a TCP port of 127.0.0.1,
 * ended by its pid. A server that cannot be started ends the test program. */
#ifndef INFERONCE_TESTS_CACHE_SERVER_H
#define INFERONCE_TESTS_CACHE_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct cache_server {
    char directory[80];
    char path[96];     /* of its socket */
    unsigned port;     /* 0: it has that socket */
    char address[104]; /* as MEMCACHED_SERVERS has it */
    pid_t pid;         /* 0: it does not run */
    bool redis;
    void (*answer)(int connection, const char *asked);
};

/* Whether servers started from now on listen on TCP. */
void cache_servers_on_tcp(bool on_tcp);

/* Makes the directory and starts it. */
void cache_server_start_memcached(struct cache_server *server);
void cache_server_start_redis(struct cache_server *server, const char *password);

/* One that is none: each piece that a client sends is given to `answer`, with question marks for NULs, in a
 * process of its connection. */
void cache_server_start_liar(struct cache_server *server, void (*answer)(int connection, const char *asked));

/* SIGKILL; whoever connects is refused: the socket's file stays. */
void cache_server_kill(struct cache_server *server);

/* Starts it again, empty, on the same socket. */
void cache_server_restart(struct cache_server *server);

/* SIGSTOP and SIGCONT. */
void cache_server_halt(struct cache_server *server);
void cache_server_continue(struct cache_server *server);

/* Sends a line in the server's own language and returns when it was answered. */
void cache_server_tell(struct cache_server *server, const char *line);

/* Kills it and removes its directory. */
void cache_server_end(struct cache_server *server);

#endif
