/* Counts the file descriptors that a worker needs beside its clients' connections, and checks that there are
 * enough. */
#ifndef INFERONCE_BASE_DESCRIPTORS_H
#define INFERONCE_BASE_DESCRIPTORS_H

#include <stdbool.h>
#include <stdint.h>

#include "inferonce/base/error.h"
#include "inferonce/base/settings.h"

/* Connections of clients that there must be room for. */
#define DESCRIPTORS_FOR_CLIENTS_LEAST 16

/* Those that connections of clients must leave free: for the loop, the log, cache servers, the eventfds of
 * `workers` workers, and with ENGINE=http a connection for each of INFERENCE_CONCURRENCY inferences. */
uint64_t descriptors_reserved(const struct settings *settings, unsigned workers);

/* Raises the soft limit (RLIMIT_NOFILE) as far as is useful and allowed. False: it is still too low for these
 * settings; error says how many it takes. */
bool descriptors_suffice(const struct settings *settings, unsigned workers, struct error *error) MUST_CHECK;

#endif
