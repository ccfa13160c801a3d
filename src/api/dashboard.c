/* Serves the dashboard, one page with its own policy. */
#include "api/dashboard.h"

#include "inferonce/http/router.h"

static const unsigned char PAGE[] = {
#include "dashboard.html.inc"
};

static const char POLICY[] = {
#include "dashboard.html.policy.inc"
};

void dashboard_get(struct exchange *exchange, struct bytes parameter, void *context) {
    (void)parameter;
    (void)context;
    const struct piece page = {.bytes = {(const char *)PAGE, sizeof(PAGE)}};
    struct response *response = &exchange->response;
    response_start(response, exchange->refused ? exchange->refused : 200, "text/html; charset=utf-8");
    if (exchange->refused == 401)
        response_header_text(response, "WWW-Authenticate", ROUTER_CHALLENGE);
    response_header(response, "Content-Security-Policy", (struct bytes){POLICY, sizeof(POLICY)});
    response_header_text(response, "Referrer-Policy", "no-referrer");
    response_header_text(response, "X-Content-Type-Options", "nosniff");
    exchange_send_pieces(exchange, &page, 1);
}
