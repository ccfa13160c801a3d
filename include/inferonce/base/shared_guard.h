/* Keeps a process alive when its shared mapping loses pages: the file of CACHE_PATH, or the one in STATE_DIR,
 * was cut short while it was in use, or its disk fails.
 *
 * An access to such a page is a SIGBUS. Its handler puts memory of the process' own there, zeroed, and the
 * access is repeated. What a worker then finds is an empty store, which it need not share to serve. The
 * master notices, makes a mapping anew and has its workers replaced (process/master.c). */
#ifndef INFERONCE_BASE_SHARED_GUARD_H
#define INFERONCE_BASE_SHARED_GUARD_H

#include "inferonce/base/shared.h"

/* Guards this mapping, in this process and those that it forks, from now on. Any other SIGBUS is logged and
 * ends the process. */
void shared_guard_setup(const struct shared *shared);

/* Whether the mapping has lost something: an access of this process has failed, or its file is not whole.
 * Does not block. */
bool shared_guard_is_lost(const struct shared *shared);

/* Whether it is the file of its state (store/state.h). */
bool shared_guard_state_is_lost(const struct shared *shared);

#endif
