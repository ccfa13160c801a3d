/* Certificates to trust beside the system's: UPSTREAM_CA_FILE. */
#ifndef INFERONCE_ENGINE_UPSTREAM_TRUST_H
#define INFERONCE_ENGINE_UPSTREAM_TRUST_H

#include <curl/curl.h>
#include <stdbool.h>

#include "inferonce/base/error.h"

struct trust; /* what was read of a file */

/* Reads a PEM file, which must hold a certificate. Returns owned; NULL: error tells why. */
struct trust *trust_load(const char *path, struct error *error) MUST_CHECK;
void trust_free(struct trust **trust);

/* Makes the transfer trust them too. `trust` is borrowed as long as the handle makes connections. False: this
 * libcurl does TLS without OpenSSL. */
bool trust_apply(struct trust *trust, CURL *easy) MUST_CHECK;

#endif
