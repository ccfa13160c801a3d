/* POST /cache/import: takes the lines of an export (transfer_line.h) into the memory store.
 *
 * A body of any length, in parts: one line is looked at after the other, some tens in a turn, and the next
 * part is asked for when all before it are done. A line that is wrong is counted and left out. */
#ifndef INFERONCE_API_CACHE_IMPORT_H
#define INFERONCE_API_CACHE_IMPORT_H

#include "inferonce/api/api.h"

void cache_import(struct exchange *exchange, struct bytes parameter, void *context);

#endif
