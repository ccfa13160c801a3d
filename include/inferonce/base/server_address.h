/* Addresses of cache servers, as settings have them. */
#ifndef INFERONCE_BASE_SERVER_ADDRESS_H
#define INFERONCE_BASE_SERVER_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "inferonce/base/buffer.h"

/* The most servers of one list. */
#define SERVERS_MAX 32

/* The longest host or path: that of a Unix socket (unix(7)). */
#define SERVER_HOST_MAX 107

struct server_address {
    char host[SERVER_HOST_MAX + 1]; /* or the path of a Unix socket; an IPv6 address has no brackets here */
    uint16_t port;                  /* 0: a Unix socket */
};

/* Takes the first of a comma-separated list of `HOST:PORT`, `[IPV6]:PORT` and `unix:PATH` off its front.
 * False, and the list is as it was: it does not begin with one. */
bool server_address_next(struct bytes *list, struct server_address *address) MUST_CHECK;

/* Whether nobody has to be asked where it is: the path of a Unix socket, or a number. `numeric` is then the
 * same in the usual notation; untouched otherwise. */
bool server_address_is_literal(const struct server_address *address,
                               struct server_address *numeric) MUST_CHECK;

#define REDIS_URL_PART_MAX 255

/* redis://[[user]:password@]host[:port][/database], unix://[[user]:password@]/path; percent-encoded octets
 * (RFC 3986) in user and password are decoded. */
struct redis_url {
    struct server_address address;
    char user[REDIS_URL_PART_MAX + 1]; /* empty: none */
    char password[REDIS_URL_PART_MAX + 1];
    unsigned database;
};

bool redis_url_read(struct bytes text, struct redis_url *url) MUST_CHECK;

#endif
