/* GET /healthz: the process answers. GET /readyz: it can serve; 503 while it drains. Open to everybody, and
 * say nothing more. */
#ifndef INFERONCE_API_HEALTH_H
#define INFERONCE_API_HEALTH_H

#include "inferonce/http/exchange.h"

void health_alive(struct exchange *exchange, struct bytes parameter, void *api);
void health_ready(struct exchange *exchange, struct bytes parameter, void *api);

#endif
