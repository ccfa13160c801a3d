/* The file that outlives a restart although the cache itself is on servers: the invalidations that a server
 * could not be told yet, and which purges each server has had. A small file, mapped by all workers of a host.
 *
 *   8 bytes  magic "instate1"
 *   8 bytes  its size, this header included, which is also the version of its layout
 *   the rest struct pendings (store/remote/pending.h)
 *
 * Who opens it while nobody else has it open makes its lock anew; the others share it. That is told by an
 * open-file-description lock, which workers inherit. A process that is killed loses nothing: what was written
 * is in the kernel's page cache. A machine that stops may lose the last second. */
#ifndef INFERONCE_STORE_STATE_H
#define INFERONCE_STORE_STATE_H

#include "inferonce/base/shared.h"

/* Opens or makes the file, and fills in shared->state. For the master, before it forks; blocks for as long as
 * another master is in here. False: error tells why; shared->state is NULL, and nothing was changed that is
 * not ours. */
bool state_open(struct shared *shared, const char *path, struct error *error) MUST_CHECK;

/* There is no such file, or it was lost, and nothing of a former run is known: whatever the servers have from
 * before now is invalidated, once, before they are used. The mapping's region is set up. */
void state_is_unknown(const struct shared *shared);

/* Unmaps and closes. The file stays. */
void state_close(struct shared *shared);

#endif
