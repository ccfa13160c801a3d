/* libcurl's transfers in a libuv loop (curl_multi_socket_action): libcurl says what to wait for, the loop
 * waits. Names are looked up in libcurl's own threads, so nothing here blocks. */
#ifndef INFERONCE_ENGINE_UPSTREAM_TRANSFERS_H
#define INFERONCE_ENGINE_UPSTREAM_TRANSFERS_H

#include <curl/curl.h>
#include <stdbool.h>
#include <uv.h>

#include "engine/upstream/sockets.h"
#include "inferonce/base/error.h"

struct transfers;

/* A transfer is over and out of the loop. May begin and abandon others, and close everything. */
typedef void (*transfer_ended)(void *context, CURL *easy, CURLcode result);

/* Owned by the caller, until transfers_close; NULL: error tells why. `sockets` is borrowed until then: those
 * that the transfers' handles open and close. */
struct transfers *transfers_create(uv_loop_t *loop, struct upstream_sockets *sockets, transfer_ended ended,
                                   void *context, struct error *error) MUST_CHECK;

/* The handle is borrowed until it has ended or was abandoned; it never ends before this returned. False: no
 * memory. */
bool transfers_begin(struct transfers *transfers, CURL *easy) MUST_CHECK;

/* As transfers_begin, but a moment later: for one that may succeed then. */
bool transfers_begin_later(struct transfers *transfers, CURL *easy) MUST_CHECK;

/* Forgets a transfer that has not ended; its connection is closed. Not from a callback of libcurl. */
void transfers_abandon(struct transfers *transfers, CURL *easy);

/* The handles are closed; the last thing that is heard of them. */
typedef void (*transfers_closed)(void *context);

/* Closes all connections. No transfer may be under way. Nulls the pointer; the memory is freed once the loop
 * has run, and `closed`, which may be NULL, is called. */
void transfers_close(struct transfers **transfers, transfers_closed closed);

#endif
