/* The sockets of the connections to the model's server.
 *
 * Each is closed with a reset (SO_LINGER), so that a connection for each exchange leaves no port in
 * TIME_WAIT.
 *
 * Where HTTP/1.1 connections are used again (UPSTREAM_REUSE=all) an idle one must have nothing to read.
 * libcurl would use it all the same, and take what is there, be it a late 408 or an answer sent twice, for
 * the answer to the next request, and each later answer for that of the request before.
 *
 *   IDLE      libcurl does not wait for it: watched in a set of its own  -> OPEN, NUMBERED, DEAD, closed
 *   OPEN      libcurl waits for it                                       -> IDLE, NUMBERED, closed
 *   NUMBERED  HTTP/2, whose answers name their request: may have something to read  -> closed
 *   DEAD      had something to read: replaced by the end of a stream, which libcurl notices  -> closed */
#ifndef INFERONCE_ENGINE_UPSTREAM_SOCKETS_H
#define INFERONCE_ENGINE_UPSTREAM_SOCKETS_H

#include <curl/curl.h>
#include <stdbool.h>

#include "inferonce/base/error.h"

struct upstream_sockets;

/* watch_idle: HTTP/1.1 connections are used again. Returns owned; NULL: error tells why. */
struct upstream_sockets *upstream_sockets_create(bool watch_idle, struct error *error) MUST_CHECK;

/* All of them must be closed. Nulls the pointer. */
void upstream_sockets_destroy(struct upstream_sockets **sockets);

/* A socket for that address, not connected; -1: errno tells why. */
int upstream_sockets_open(struct upstream_sockets *sockets, const struct curl_sockaddr *address) MUST_CHECK;
void upstream_sockets_close(struct upstream_sockets *sockets, int descriptor);

/* libcurl waits for it, or does not any more. */
void upstream_sockets_busy(struct upstream_sockets *sockets, int descriptor);
void upstream_sockets_idle(struct upstream_sockets *sockets, int descriptor);

/* The connection turned out to be HTTP/2. */
void upstream_sockets_numbered(struct upstream_sockets *sockets, int descriptor);

/* To be called right before libcurl may start a transfer: idle sockets that have something to read become
 * DEAD. Does not block. */
void upstream_sockets_check(struct upstream_sockets *sockets);

/* Whether `error_number` is the system's way to say that this process can have no socket. */
bool upstream_sockets_lack(int error_number);

/* Whether one could be had now; asked when libcurl failed without a word why (a name that could not be looked
 * up). */
bool upstream_sockets_are_short(void);

#endif
