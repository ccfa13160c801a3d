/* Sets up the part that the handlers of all endpoints share. */
#include "inferonce/api/api.h"

#include "api/known_bodies.h"
#include "api/pace.h"
#include "api/prediction_pool.h"
#include "api/slices.h"

bool api_setup(struct api *api, struct error *error) {
    key_of_generation(bytes_of(api->context->settings->cache_namespace), &api->default_generation_key);
    api->predictions = prediction_pool_create();
    api->known_bodies = known_bodies_create();
    api->slices = slices_create(api->context->turn);
    api->pace = pace_create(api->context->loop);
    if (api->predictions && api->known_bodies && api->slices && api->pace)
        return true;
    error_set(error, "out of memory");
    api_teardown(api);
    return false;
}

void api_teardown(struct api *api) {
    pace_destroy(&api->pace);
    slices_destroy(&api->slices);
    known_bodies_destroy(&api->known_bodies);
    prediction_pool_destroy(&api->predictions);
}

unsigned api_workers(const struct api *api) {
    unsigned n = 0;
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        n += shared_slot_lives(api->context->shared, slot);
    return n;
}

uint64_t api_uptime_us(const struct api *api) {
    uint64_t now_us = clock_host_us(api->context->clock);
    uint64_t started_us = api->context->shared->started_us;
    return now_us > started_us ? now_us - started_us : 0; /* the clock may have been set back */
}

bool api_namespace_is_valid(struct bytes name) {
    if (name.length < 1 || name.length > API_NAMESPACE_MAX)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        char c = name.data[i];
        bool valid = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                     c == '_' || c == '-';
        if (!valid)
            return false;
    }
    return true;
}

bool api_namespace(struct api *api, struct exchange *exchange, struct bytes *cache_namespace) {
    *cache_namespace = exchange->request.cache_namespace;
    if (!cache_namespace->data) {
        *cache_namespace = bytes_of(api->context->settings->cache_namespace);
        return true;
    }
    if (api_namespace_is_valid(*cache_namespace))
        return true;
    exchange_problem(exchange, PROBLEM_BAD_REQUEST,
                     "X-Cache-Namespace must be 1 to 64 characters of A-Z a-z 0-9 . _ -", NULL);
    return false;
}

void api_generation_key(const struct api *api, struct bytes cache_namespace, struct key *key) {
    if (bytes_equal(cache_namespace, bytes_of(api->context->settings->cache_namespace)))
        *key = api->default_generation_key;
    else
        key_of_generation(cache_namespace, key);
}
