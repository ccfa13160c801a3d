/* Serves the description of the interface. */
#include "api/openapi.h"

static const char DOCUMENT[] = {
#include "openapi.json.inc"
};

void openapi_get(struct exchange *exchange, struct bytes parameter, void *context) {
    (void)parameter;
    (void)context;
    const struct piece document = {.bytes = {DOCUMENT, sizeof(DOCUMENT)}};
    response_start(&exchange->response, 200, "application/json");
    exchange_send_pieces(exchange, &document, 1);
}
