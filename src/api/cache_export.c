/* Streams the entries of the memory store, one a line. */
#include "api/cache_export.h"

#include <stdlib.h>

#include "api/pace.h"
#include "inferonce/base/log.h"
#include "inferonce/cache/policy.h"
#include "inferonce/cache/transfer.h"

/* An export under way.
 *
 *   head sent -> STEPPING, at the next beat: the store shows some entries -> a part is sent -> STEPPING ...
 *                                                                         -> the last line -> over */
struct errand {
    struct api *api;
    struct exchange *exchange;
    struct export *export;
    struct buffer lines;
    struct paced step;
    bool ended; /* the last line is sent */
    uint64_t entries;
};

static void log_export(const struct errand *errand, bool complete) {
    char remote[REQUEST_REMOTE_MAX];
    request_remote(&errand->exchange->request, remote);
    LOG(complete ? LOG_INFO : LOG_WARN, complete ? "exported" : "export_cut", LOG_TEXT("remote", remote),
        LOG_NUMBER("entries", errand->entries));
}

static void errand_end(struct errand *errand) {
    pace_forget(errand->api->pace, &errand->step);
    export_end(&errand->export);
    buffer_fini(&errand->lines);
    free(errand);
}

static void on_abandoned(struct exchange *exchange) {
    struct errand *errand = exchange->state;
    if (!exchange->head)
        log_export(errand, errand->ended);
    errand_end(errand);
}

/* ---- lines ---- */

static void append_time(struct buffer *lines, const char *name, uint64_t us) {
    buffer_append_text(lines, name);
    buffer_append_number(lines, us);
}

/* A line break can only stand between two tokens, where a space says the same. */
static void append_body(struct buffer *lines, struct bytes body) {
    size_t start = lines->length;
    buffer_append_text(lines, ",\"body\":");
    buffer_append_bytes(lines, body);
    if (lines->failed || (!memchr(body.data, '\n', body.length) && !memchr(body.data, '\r', body.length)))
        return;
    for (char *at = lines->data + start; at < lines->data + lines->length; at++)
        if (*at == '\n' || *at == '\r')
            *at = ' ';
}

static void on_found(void *user, const struct entry *entry) {
    struct errand *errand = user;
    struct buffer *lines = &errand->lines;
    uint64_t now_us = clock_wall_us(errand->api->context->clock);
    char hex[KEY_HEX_LENGTH + 1];
    key_to_hex(&entry->key, hex);
    buffer_append_text(lines, "{\"key\":\"");
    buffer_append_text(lines, hex);
    buffer_append_text(lines, "\",\"namespace\":");
    buffer_append_json(lines, entry->cache_namespace);
    buffer_append_text(lines, ",\"model\":{\"name\":");
    buffer_append_json(lines, entry->model_name);
    buffer_append_text(lines, ",\"version\":");
    buffer_append_json(lines, entry->model_version);
    append_time(lines, "},\"age\":", entry_age_us(entry, now_us) / 1000000);
    buffer_append_format(lines, ",\"ttl\":%lld", (long long)policy_ttl_s(entry, now_us));
    append_time(lines, ",\"created_us\":", entry->created_us);
    append_time(lines, ",\"fresh_until_us\":", entry->fresh_until_us);
    append_time(lines, ",\"stale_while_revalidate_until_us\":", entry->stale_while_revalidate_until_us);
    append_time(lines, ",\"stale_if_error_until_us\":", entry->stale_if_error_until_us);
    append_time(lines, ",\"inference_us\":", entry->inference_us);
    append_body(lines, entry->body);
    buffer_append_text(lines, "}\n");
    errand->entries++;
    stats_count(errand->api->context->stats, STAT_exported_entries);
}

/* ---- steps ---- */

static void fail(struct errand *errand) {
    struct exchange *exchange = errand->exchange;
    log_export(errand, false);
    errand_end(errand);
    exchange_end(exchange); /* without the last line, which is how a reader knows */
}

/* The reader's pace is the export's: the next step comes when it has taken these lines. */
static void on_paused(void *user, enum export_status status) {
    struct errand *errand = user;
    if (status == EXPORT_ALL) {
        errand->ended = true;
        buffer_append_format(&errand->lines, "{\"end\":true,\"entries\":%llu}\n",
                             (unsigned long long)errand->entries);
    }
    if (status == EXPORT_FAILED || errand->lines.failed)
        fail(errand);
    else if (errand->lines.length == 0)
        pace_add(errand->api->pace, &errand->step);
    else
        exchange_send_part(errand->exchange, buffer_bytes(&errand->lines));
}

static void on_step(void *user) {
    struct errand *errand = user;
    export_go_on(errand->export);
}

static void on_written(struct exchange *exchange) {
    struct errand *errand = exchange->state;
    if (errand->ended) {
        log_export(errand, true);
        errand_end(errand);
        exchange_end(exchange);
        return;
    }
    buffer_reset(&errand->lines, SIZE_MAX);
    pace_add(errand->api->pace, &errand->step);
}

static bool begin(struct errand *errand, struct bytes cache_namespace) {
    const struct export_options options = {.context = errand->api->context,
                                           .store = errand->api->store,
                                           .cache_namespace = cache_namespace,
                                           .found = on_found,
                                           .paused = on_paused,
                                           .user = errand};
    buffer_init(&errand->lines, SIZE_MAX);
    errand->step = (struct paced){.run = on_step, .user = errand};
    errand->export = export_begin(&options);
    return errand->export != NULL;
}

void cache_export(struct exchange *exchange, struct bytes parameter, void *context) {
    struct api *api = context;
    struct bytes cache_namespace = {NULL, 0};
    (void)parameter;
    if (exchange->request.cache_namespace.data && !api_namespace(api, exchange, &cache_namespace))
        return;
    if (!store_can_walk(api->store)) {
        exchange_problem(exchange, PROBLEM_NOT_THIS_STORE, NULL, NULL);
        return;
    }
    struct errand *errand = calloc(1, sizeof(*errand));
    if (errand)
        *errand = (struct errand){.api = api, .exchange = exchange};
    if (!errand || !begin(errand, cache_namespace)) {
        free(errand);
        exchange_problem(exchange, PROBLEM_INTERNAL, "no memory for the request", NULL);
        return;
    }
    exchange->state = errand;
    exchange->abandoned = on_abandoned;
    exchange->written = on_written;
    response_start(&exchange->response, 200, "application/x-ndjson");
    exchange_stream(exchange);
}
