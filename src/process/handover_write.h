/* Writes the state that the master hands to itself when it executes its program anew (reload.h): descriptors
 * and workers, as lines of text in a memory file that the new image inherits, so that images of different
 * versions understand each other. Unknown lines are passed over, that with the version among them.
 *
 *   inferonce-handover 1
 *   listener DESCRIPTOR INHERITED DEVICE INODE PATH      PATH is "-" where no socket file is ours
 *   listen LISTEN                                        the setting
 *   lock DESCRIPTOR PATH
 *   mapping DESCRIPTOR IS_FILE FIXED_BYTES REGION_BYTES REGION_TAG MASTER_EVENTFD
 *   place PLACE EVENTFD EVENTFD_OF_ITS_OTHER_SLOT
 *   child PID INDEX SLOT STARTED_US
 *   former PID */
#ifndef INFERONCE_PROCESS_HANDOVER_WRITE_H
#define INFERONCE_PROCESS_HANDOVER_WRITE_H

#include "inferonce/base/shared.h"
#include "inferonce/process/handover.h"
#include "process/crew.h"

/* Writes it into a memory file. Returns its descriptor, which survives the execution of a program; -1: error
 * tells why. */
int handover_write(const struct crew *crew, struct error *error);

/* Lets the descriptors that it names survive the execution of a program, or not. */
void handover_keep(const struct crew *crew, bool keep);

#endif
