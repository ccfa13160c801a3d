/* The master: makes what is shared, forks the workers and watches them. It serves nothing, so it has nothing
 * to crash on. */
#ifndef INFERONCE_PROCESS_MASTER_H
#define INFERONCE_PROCESS_MASTER_H

#include "inferonce/base/settings.h"
#include "inferonce/base/shared.h"
#include "inferonce/process/handover.h"
#include "inferonce/process/listener.h"

/* All borrowed for good. */
struct master_options {
    const struct settings *settings;
    struct shared *shared;
    struct listener *listener;
    size_t n_arguments;
    char *const *arguments; /* main's, with which it is executed anew */
    const struct handover *handover;
    bool same_mapping; /* as the workers in the handover have */
};

/* Runs until SIGTERM, SIGINT or SIGQUIT: the listener is closed and workers drain, a second signal ends them
 * at once. SIGHUP: the program is executed anew, in place, if its configuration is right
 * (process/reload). Other signals that would end a process are ignored, USR1, USR2 and ALRM with a line in
 * the log. "started" is logged when the first worker serves; when none does, it ends. A worker that dies is
 * replaced: at once, or, when it did not live for a second, after a pause that doubles from 100 ms to 10 s.
 * One whose heartbeat has stopped for 30 s, in which the master itself was not stopped, is killed first,
 * unless a debugger holds it. A single worker that is told to end (SIGTERM) drains when its successor serves.
 * Forks; each child ends in here. Returns the exit status: 1 when no worker could serve, or when requests
 * were left unanswered as it stopped (the line `stopped` says how many, as `unfinished`). */
int master_run(const struct master_options *options);

/* How many workers these settings ask for: WORKERS, or one per CPU that this process may use: by its affinity
 * and by the quota of its control group. */
unsigned master_workers(const struct settings *settings);

#endif
