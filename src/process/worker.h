/* A worker: one process, one thread, one loop. */
#ifndef INFERONCE_PROCESS_WORKER_H
#define INFERONCE_PROCESS_WORKER_H

#include <sys/types.h>

#include "inferonce/base/settings.h"
#include "inferonce/base/shared.h"

struct worker_options {
    const struct settings *settings;
    struct shared *shared;
    unsigned slot;
    unsigned number; /* among its master's workers */
    int listener;    /* taken: closed when it drains */
    pid_t master;    /* the parent process, unless that has ended already */
};

/* Serves until SIGTERM or the end of its parent process. Then it asks the parent process for a successor
 * (`leaving` in its slot) and serves on until there is one (`relieved`), for 5 s or until the parent is gone
 * at most; then it drains: takes no new connections, answers what it has and has its peers end their
 * connections (fastcgi/connection.h), for at most DRAIN_TIMEOUT. Returns the process' exit status; the caller
 * exits with it. Called in the forked child, with all signals blocked. */
int worker_run(const struct worker_options *options);

#endif
