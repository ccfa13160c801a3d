/* GET /dashboard: one page that draws /cache/stats as it changes, compiled in from src/api/dashboard/.
 *
 * The page holds no figures, so it is also what a browser gets with a 401 or 403 (ROUTE_PAGE): it then asks
 * for the token itself. Its Content-Security-Policy admits its own style and script, by their hashes, and
 * requests to where it came from. */
#ifndef INFERONCE_API_DASHBOARD_H
#define INFERONCE_API_DASHBOARD_H

#include "inferonce/http/exchange.h"

void dashboard_get(struct exchange *exchange, struct bytes parameter, void *api);

#endif
