/* GET /openapi.json: the description of the whole interface (OpenAPI 3.1), compiled in from
 * src/api/openapi.json. */
#ifndef INFERONCE_API_OPENAPI_H
#define INFERONCE_API_OPENAPI_H

#include "inferonce/http/exchange.h"

void openapi_get(struct exchange *exchange, struct bytes parameter, void *api);

#endif
