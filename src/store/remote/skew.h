/* One time for all hosts: that of the cache servers.
 *
 * Times in entries mean the same on every host only if their clocks agree. A server says what time it has
 * together with its figures, once a second; where this host's clock is off by more than a server's counting
 * in seconds explains, the difference is added to it. */
#ifndef INFERONCE_STORE_REMOTE_SKEW_H
#define INFERONCE_STORE_REMOTE_SKEW_H

#include "inferonce/base/context.h"

/* Less, and a change by less, is not corrected: memcached counts in seconds. */
#define SKEW_LEAST_US INT64_C(2000000)

/* More is told in the log: something is wrong with a clock. */
#define SKEW_FAR_US INT64_C(60000000)

/* More is not believed. */
#define SKEW_MOST_US (INT64_C(86400) * 1000000)

/* A server says that it has this time: corrects the worker's clock, and keeps the difference in its line of
 * the scoreboard. */
void skew_learn(const struct context *context, const char *server, uint64_t server_us);

#endif
