/* A worker: one process, one thread, one loop. */
#ifndef INFERONCE_PROCESS_WORKER_H
#define INFERONCE_PROCESS_WORKER_H

#include "inferonce/base/settings.h"
#include "inferonce/base/shared.h"

struct worker_options {
    const struct settings *settings;
    struct shared *shared;
    unsigned slot;
    int listener; /* taken: closed when it drains */
};

/* Serves until SIGTERM, then drains: takes no new connections, answers what it has, for at most
 * DRAIN_TIMEOUT. Returns the process' exit status; the caller exits with it. Called in the forked child, with
 * all signals blocked. */
int worker_run(const struct worker_options *options);

#endif
