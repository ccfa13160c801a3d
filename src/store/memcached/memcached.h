/* The memcached store: entries on one or several memcached servers that any number of hosts share.
 *
 * An item lives on one server, chosen by ketama, so that a server lost takes 1/n of the keys with it. Of a
 * generation every server has a copy: a look-up reads the copies of those servers that it asks anyway and
 * takes the greatest; copies that are missing or behind are raised as soon as that is seen. A purge raises
 * all of them.
 *
 * Nothing here waits: what a loop turn asks goes out at its end, in one pipeline for each server.
 * libmemcached decides which server has a key, so that other clients of the same servers look there too; it
 * touches no socket. A server that failed is left alone until a probe finds it working; what it could not be
 * told is done before it is used again.
 *
 * Entries are put by the rule of epochs, with `add` where nothing was, else with `gets` and `cas`, so that it
 * holds among hosts too. */
#ifndef INFERONCE_STORE_MEMCACHED_MEMCACHED_H
#define INFERONCE_STORE_MEMCACHED_MEMCACHED_H

#include "store/remote/remote.h"

/* Returns owned; NULL: error tells why. That a server does not answer is no error. */
struct store *memcached_open(const struct context *context, const struct remote_options *remote,
                             struct error *error);

#endif
