/* Decides what depends on more than one setting: defaults, contradictions, values that do not count. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/settings_loading.h"
#include "base/settings_names.h"

/* A shorter token can be guessed by somebody who has time. */
#define TOKEN_SHORT 16

static bool uses_http(const struct settings *settings) {
    return settings->engine == SETTINGS_ENGINE_HTTP;
}

static bool uses_builtin(const struct settings *settings) {
    return settings->engine == SETTINGS_ENGINE_BUILTIN;
}

static bool uses_memcached(const struct settings *settings) {
    return settings->cache_backend == CACHE_BACKEND_MEMCACHED;
}

static bool uses_redis(const struct settings *settings) {
    return settings->cache_backend == CACHE_BACKEND_REDIS;
}

static bool uses_servers(const struct settings *settings) {
    return settings->cache_backend != CACHE_BACKEND_MEMORY;
}

static bool uses_unix_socket(const struct settings *settings) {
    return strncmp(settings->listen, "unix:", 5) == 0;
}

/* The settings whose name begins so count only if... */
static const struct use {
    const char *prefix;
    bool (*counts)(const struct settings *settings);
    const char *condition;
} USES[SETTING_USES] = {
    {"UPSTREAM_", uses_http, "ENGINE=http"},
    {"CACHE_SHARE_AUTHORIZED", uses_http, "ENGINE=http"},
    {"INFERENCE_DELAY_MS", uses_builtin, "ENGINE=builtin"},
    {"MEMCACHED_", uses_memcached, "CACHE_BACKEND=memcached"},
    {"REDIS_", uses_redis, "CACHE_BACKEND=redis"},
    {"STORE_", uses_servers, "CACHE_BACKEND=memcached or redis"},
    {"LISTEN_", uses_unix_socket, "LISTEN=unix:..."},
};

/* The use that the row has; NULL when it always counts. */
static const struct use *use_of(const struct setting *row) {
    for (size_t i = 0; i < SETTING_USES; i++)
        if (strncmp(row->name, USES[i].prefix, strlen(USES[i].prefix)) == 0)
            return &USES[i];
    return NULL;
}

bool settings_apply(struct settings_loading *loading, const struct setting *row, struct bytes value,
                    const char *where, const char *name, struct error *error) {
    struct error expected = {""};
    struct error fault;
    struct shown shown;
    const struct use *use = use_of(row);
    if (setting_set(row, &loading->settings, value, &expected)) {
        loading->given[row - SETTING_ROWS] = true;
        return true;
    }
    error_set(&fault, "%s%s=%s: %s", where, name, settings_shown_value(row, value, &shown), expected.text);
    if (!use) {
        *error = fault;
        return false;
    }
    if (loading->faults[use - USES].text[0] == '\0')
        loading->faults[use - USES] = fault;
    return true;
}

void settings_warn(struct settings_warnings *warnings, const char *format, ...) {
    char text[sizeof(warnings->lines[0].text)];
    va_list arguments;
    if (warnings->n == SETTINGS_WARNINGS_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    error_set(&warnings->lines[warnings->n++], "%s", text);
}

/* A wrong value counts, or is told and has no effect. */
static bool judge_faults(struct settings_loading *loading, struct error *error) {
    for (size_t i = 0; i < SETTING_USES; i++) {
        const struct error *fault = &loading->faults[i];
        if (fault->text[0] == '\0')
            continue;
        if (USES[i].counts(&loading->settings)) {
            *error = *fault;
            return false;
        }
        settings_warn(loading->warnings, "%.400s; it is ignored, since it counts only with %s", fault->text,
                      USES[i].condition);
    }
    return true;
}

static bool is_given(const struct settings_loading *loading, const char *name) {
    return loading->given[setting_find(bytes_of(name)) - SETTING_ROWS];
}

/* The built-in model reads lower case; what another one makes of capitals is not known. */
static void choose_defaults(struct settings_loading *loading) {
    struct settings *settings = &loading->settings;
    if (!is_given(loading, "CACHE_NORMALIZE") && uses_http(settings))
        settings->cache_normalize = CACHE_NORMALIZE_NFC;
    /* Two servers are two models, unless somebody says that they are one. */
    if (!is_given(loading, "MODEL_NAME") && uses_http(settings) && settings->upstream_url[0] != '\0')
        memcpy(settings->model_name, settings->upstream_url, sizeof(settings->model_name));
    if (settings->cache_ttl_ms > settings->cache_ttl_max_ms) {
        if (!is_given(loading, "CACHE_TTL_MAX"))
            settings->cache_ttl_max_ms = settings->cache_ttl_ms;
        else if (!is_given(loading, "CACHE_TTL"))
            settings->cache_ttl_ms = settings->cache_ttl_max_ms;
    }
}

static bool find_contradictions(const struct settings *settings, struct error *error) {
    if (uses_http(settings) && settings->upstream_url[0] == '\0') {
        error_set(error, "ENGINE=http: needs UPSTREAM_URL, the address of the inference server");
        return false;
    }
    if (settings->cache_ttl_ms > settings->cache_ttl_max_ms) {
        char ttl[SETTING_TEXT_MAX];
        char most[SETTING_TEXT_MAX];
        setting_get(setting_find(LITERAL("CACHE_TTL")), settings, ttl);
        setting_get(setting_find(LITERAL("CACHE_TTL_MAX")), settings, most);
        error_set(error, "CACHE_TTL=%.32s: above CACHE_TTL_MAX=%.32s, the most that an entry may live", ttl,
                  most);
        return false;
    }
    return true;
}

static void find_surprises(const struct settings *settings, struct settings_warnings *warnings) {
    size_t token = strlen(settings->admin_token);
    if (!uses_http(settings) && settings->upstream_url[0] != '\0')
        settings_warn(warnings, "UPSTREAM_URL is set, but the built-in model answers: ENGINE=http asks it");
    if (uses_http(settings) && settings->upstream_batch > settings->inference_concurrency)
        settings_warn(warnings,
                      "UPSTREAM_BATCH=%" PRIu64 " is more than INFERENCE_CONCURRENCY=%" PRIu64
                      ", which counts texts: a request to the model has at most that many",
                      settings->upstream_batch, settings->inference_concurrency);
    if (settings->cache_scope == CACHE_SCOPE_WORKER && settings->cache_path[0] != '\0')
        settings_warn(warnings,
                      "CACHE_SCOPE=worker: what is kept in CACHE_PATH is shared neither by workers "
                      "nor by pools");
    if (settings->cache_max_entry_kb > settings->cache_memory_mb * 1024)
        settings_warn(warnings,
                      "CACHE_MAX_ENTRY_KB=%" PRIu64 " is more than CACHE_MEMORY_MB=%" PRIu64
                      " holds: such entries are not kept in this host's memory",
                      settings->cache_max_entry_kb, settings->cache_memory_mb);
    if (token > 0 && token < TOKEN_SHORT)
        settings_warn(
            warnings,
            "ADMIN_TOKEN has %zu characters and may be guessed: openssl rand -hex 16 makes a good one",
            token);
}

bool settings_settle(struct settings_loading *loading, struct error *error) {
    if (!judge_faults(loading, error))
        return false;
    choose_defaults(loading);
    if (!find_contradictions(&loading->settings, error))
        return false;
    find_surprises(&loading->settings, loading->warnings);
    return true;
}
