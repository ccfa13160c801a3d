/* A reload: the master executes its own program anew, in place. The new image has the same process id, reads
 * the settings anew, and inherits listener, shared mapping and workers (handover.h). It starts workers of its
 * own and lets the old ones drain when those are ready.
 *
 *   IDLE      -> CHECKING  SIGHUP: a child of the program that is now at the path checks the configuration
 *   CHECKING  -> IDLE      it is wrong, or the check takes too long: nothing has changed
 *             -> gone      it is right: the program is executed
 *             -> IDLE      it cannot be executed; the master stops; or a worker has died: another check follows
 *
 * A SIGHUP while workers of a former reload still drain waits until they are gone. When the former reload has
 * failed, since no new worker could start, the old workers serve on and the next SIGHUP counts at once. */
#ifndef INFERONCE_PROCESS_RELOAD_H
#define INFERONCE_PROCESS_RELOAD_H

#include "process/crew.h"

struct reload {
    const char *program; /* NULL: it cannot be found any more */
    size_t n_arguments;
    char *const *arguments; /* NULL behind the last */
    bool wanted;
    pid_t checker; /* 0: IDLE */
    int words;     /* CHECKING: a pipe with what it says on standard error */
    uint64_t check_until_us;
};

/* `arguments` are main's, borrowed for good. */
void reload_init(struct reload *reload, size_t n_arguments, char *const *arguments);

/* SIGHUP. */
void reload_want(struct reload *reload);

/* Called in each turn of the master's loop: begins a check, and ends one that takes too long. */
void reload_tend(struct reload *reload, struct crew *crew);

/* A child that is none of the crew's has ended. True: it was the checker. Does not return when the program
 * was executed. */
bool reload_ended(struct reload *reload, struct crew *crew, pid_t pid, int status);

#endif
