/* The shared mapping with the memory store in it, ready for workers. */
#ifndef INFERONCE_PROCESS_MAPPING_H
#define INFERONCE_PROCESS_MAPPING_H

#include "inferonce/base/settings.h"
#include "inferonce/base/shared.h"
#include "inferonce/process/handover.h"

/* Makes or opens it, and the file in STATE_DIR where there are cache servers, as the settings say, for
 * `workers` workers, and guards it (shared_guard.h). Blocks as shared_create does. False: error tells why;
 * nothing is left open. */
bool mapping_make(struct shared *shared, const struct settings *settings, const struct listener *listener,
                  unsigned workers, struct error *error) MUST_CHECK;

/* As mapping_make, from the image before (handover.h). `same`: it is the mapping that the old workers have;
 * else the settings or the version ask for other sizes or another place, and this one begins with what of the
 * old one's entries could be taken over. It is in memory alone, with a line in the log, when its file cannot
 * be made. */
bool mapping_take(struct shared *shared, const struct settings *settings, const struct listener *listener,
                  const struct handover *handover, unsigned workers, bool *same,
                  struct error *error) MUST_CHECK;

/* When the mapping has lost pages: makes another in its place, in a new file, or, when that cannot be, in
 * memory alone, with a line in the log. Counters go on from where they were; entries are gone. Processes that
 * were forked before keep the old one. False: not even memory can be had; `shared` is as it was. */
bool mapping_make_anew(struct shared *shared, const struct settings *settings,
                       const struct listener *listener, struct error *error) MUST_CHECK;

#endif
