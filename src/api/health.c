/* Says whether the process is alive and ready. */
#include "api/health.h"

#include "inferonce/api/api.h"

static void say(struct exchange *exchange, const char *json) {
    response_start(&exchange->response, 200, "application/json");
    exchange->no_store = true;
    buffer_append_text(&exchange->response.body, json);
    exchange_send(exchange);
}

void health_alive(struct exchange *exchange, struct bytes parameter, void *context) {
    (void)parameter;
    (void)context;
    say(exchange, "{\"status\":\"ok\"}");
}

void health_ready(struct exchange *exchange, struct bytes parameter, void *context) {
    struct api *api = context;
    struct store_figures figures;
    (void)parameter;
    if (api->draining) {
        problem_respond(&exchange->response, PROBLEM_DRAINING, 0, NULL, NULL);
        response_header_number(&exchange->response, "Retry-After", 1);
        exchange_send(exchange);
        return;
    }
    store_figures(api->store, &figures);
    /* A server of either kind that is lost leaves requests that can be answered. */
    bool model_lost = shared_stat(api->context->shared, STAT_model_unreachable) > 0;
    say(exchange, figures.degraded || model_lost ? "{\"status\":\"degraded\"}" : "{\"status\":\"ok\"}");
}
