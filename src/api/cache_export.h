/* GET /cache/export: the entries of the memory store as JSON lines.
 *
 * A line has the members that transfer_line.h lists. The last one is {"end":true,"entries":N}: without it the
 * export was cut off. */
#ifndef INFERONCE_API_CACHE_EXPORT_H
#define INFERONCE_API_CACHE_EXPORT_H

#include "inferonce/api/api.h"

/* Exports the namespace that the request names, or all. */
void cache_export(struct exchange *exchange, struct bytes parameter, void *context);

#endif
