/* The file that outlives a restart although the cache itself is on servers: the invalidations that a server
 * could not be told yet, and which purges each server has had. A small file, mapped by all workers of a host.
 *
 *   8 bytes  magic "instate1"
 *   8 bytes  its size, this header included
 *   8 bytes  the version of its layout
 *   the rest struct pendings (store/remote/pending.h)
 *
 * A process that opens the file while no other has it open is the first: it makes the file's lock anew, and a
 * file that is not whole (cut short, another layout, an interrupted set-up) from the beginning. The others
 * share a whole file, and no other. An open-file-description lock tells, which workers inherit.
 *
 * What a file that begins anew may have held is not known, and is made up for as by state_is_unknown: the
 * file was there and is not whole, or there is none although this host's mapping is older than this process.
 * Only a host that begins with neither has nothing to make up for.
 *
 * A process that is killed loses nothing: what was written is in the kernel's page cache. A machine that
 * stops may lose the last second. */
#ifndef INFERONCE_STORE_STATE_H
#define INFERONCE_STORE_STATE_H

#include "inferonce/base/shared.h"

struct pendings;

/* Opens or makes the file, and fills in shared->state. For the master, before it forks, when shared->first is
 * known; blocks for as long as another master is in here. False: error tells why; shared->state is NULL, and
 * nothing was changed that is not ours. */
bool state_open(struct shared *shared, const char *path, struct error *error) MUST_CHECK;

/* The invalidations that this host's cache servers have still to be told: in the file, else in the mapping's
 * region, so that all workers see them. NULL: the region is none. */
struct pendings *state_pendings(const struct shared *shared);

/* There is no such file, or it was lost, and nothing of a former run is known: whatever the servers have from
 * before now is invalidated, once, before they are used. The mapping's region is set up. */
void state_is_unknown(const struct shared *shared);

/* Unmaps and closes. The file stays. */
void state_close(struct shared *shared);

#endif
