/* The models that exist, by ENGINE, and what the settings say of them. */
#include "engine/backend.h"

static const struct engine_backend *backend_of(const struct settings *settings) {
    return settings->engine == SETTINGS_ENGINE_HTTP ? &engine_upstream : &engine_builtin;
}

bool engine_check(const struct settings *settings, struct error *error) {
    const struct engine_backend *backend = backend_of(settings);
    return !backend->check || backend->check(settings, error);
}

struct engine *engine_create(const struct context *context, struct error *error) {
    return engine_create_with(backend_of(context->settings), context, error);
}

uint64_t engine_limit_us(const struct settings *settings) {
    const struct engine_backend *backend = backend_of(settings);
    return backend->limit_ms ? backend->limit_ms(settings) * 1000 : UINT64_MAX;
}

uint64_t engine_longest_us(const struct settings *settings) {
    if (backend_of(settings)->limit_ms)
        return backend_of(settings)->longest_us(settings);
    /* The last job in a full queue waits while all before it have gone through the places. The limits of the
     * settings keep this far from an overflow. */
    uint64_t places = settings->inference_concurrency;
    uint64_t rounds = 1 + (settings->inference_queue + places - 1) / places;
    return rounds * backend_of(settings)->longest_us(settings);
}
