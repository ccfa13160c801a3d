/* Takes the lines of an export into the memory store. */
#include "api/cache_import.h"

#include <stdlib.h>

#include "api/pace.h"
#include "api/slices.h"
#include "api/transfer_line.h"
#include "inferonce/base/log.h"
#include "inferonce/cache/transfer.h"

/* Entries that are with the store at once: those of a beat. */
#define RUNNING_MAX 32

/* A slice's steps for an entry beside reading its line: hashes, a look and a put. */
#define STEPS_FOR_ENTRY 400

/* Beside the body: names, times, and members that are for people. */
#define LINE_OVERHEAD 8192

#define PROGRESS_US UINT64_C(5000000)

enum { RESULTS = IMPORT_FAILED + 1 };

/* An import under way.
 *
 *   READING (a slice)  -> WAITING for entries that are with the store, then the next beat -> READING
 *                      -> WAITING for the next part of the body, then the next beat       -> READING
 *                      -> over */
struct errand {
    struct slice slice; /* first */
    struct paced beat;
    struct api *api;
    struct exchange *exchange;
    struct transfer_line line;
    bool reading;        /* a line was begun */
    struct buffer input; /* what there is of the body and not done with begins at `at` */
    size_t at;
    size_t searched; /* up to here there is no line's end */
    bool skips;      /* the line at hand is too long: up to its end */
    bool ended;      /* there is no further part */
    bool waits;      /* for the entries that are with the store */
    unsigned running;
    struct import imports[RUNNING_MAX];
    bool busy[RUNNING_MAX];
    uint64_t lines;
    uint64_t results[RESULTS];
    uint64_t invalid;
    uint64_t first_invalid; /* its number, from 1; 0: none */
    const char *detail;     /* of that one */
    uint64_t announced;     /* by the last line; UINT64_MAX: there was none */
    uint64_t told_us;       /* the log, last */
};

/* ---- the log ---- */

static void log_import(const struct errand *errand, const char *event, enum log_level level) {
    char remote[REQUEST_REMOTE_MAX];
    request_remote(&errand->exchange->request, remote);
    LOG(level, event, LOG_TEXT("remote", remote), LOG_NUMBER("lines", errand->lines),
        LOG_NUMBER("stored", errand->results[IMPORT_STORED]),
        LOG_NUMBER("kept", errand->results[IMPORT_KEPT]),
        LOG_NUMBER("purged", errand->results[IMPORT_PURGED]),
        LOG_NUMBER("expired", errand->results[IMPORT_EXPIRED]), LOG_NUMBER("invalid", errand->invalid),
        LOG_NUMBER("failed", errand->results[IMPORT_FAILED]));
}

static void log_progress(struct errand *errand) {
    uint64_t now_us = clock_monotonic_us(errand->api->context->clock);
    if (now_us - errand->told_us < PROGRESS_US)
        return;
    errand->told_us = now_us;
    log_import(errand, "importing", LOG_INFO);
}

/* ---- life ---- */

static void errand_end(struct errand *errand) {
    slices_forget(errand->api->slices, &errand->slice);
    pace_forget(errand->api->pace, &errand->beat);
    for (unsigned i = 0; i < RUNNING_MAX; i++)
        import_forget(&errand->imports[i]);
    transfer_line_fini(&errand->line);
    buffer_fini(&errand->input);
    free(errand);
}

static void on_abandoned(struct exchange *exchange) {
    struct errand *errand = exchange->state;
    log_import(errand, "import_cut", LOG_WARN);
    errand_end(errand);
}

/* Whether nothing got lost on the way: the last line was there, and tells how many were before it. */
static bool is_complete(const struct errand *errand) {
    return errand->announced == errand->lines && errand->invalid == 0;
}

static void finish(struct errand *errand) {
    static const char *const NAMES[RESULTS] = {[IMPORT_STORED] = "stored",
                                               [IMPORT_KEPT] = "kept",
                                               [IMPORT_PURGED] = "purged",
                                               [IMPORT_EXPIRED] = "expired",
                                               [IMPORT_FAILED] = "failed"};
    struct exchange *exchange = errand->exchange;
    struct buffer *body = &exchange->response.body;
    log_import(errand, "imported", is_complete(errand) ? LOG_INFO : LOG_WARN);
    response_start(&exchange->response, 200, "application/json");
    buffer_append_text(body, "{\"lines\":");
    buffer_append_number(body, errand->lines);
    for (unsigned i = 0; i < RESULTS; i++)
        buffer_append_format(body, ",\"%s\":%llu", NAMES[i], (unsigned long long)errand->results[i]);
    buffer_append_format(body, ",\"invalid\":%llu,\"complete\":%s", (unsigned long long)errand->invalid,
                         is_complete(errand) ? "true" : "false");
    if (errand->first_invalid > 0)
        buffer_append_format(body, ",\"first_invalid\":{\"line\":%llu,\"detail\":\"%s\"}",
                             (unsigned long long)errand->first_invalid, errand->detail);
    buffer_append_char(body, '}');
    errand_end(errand);
    exchange_send(exchange);
}

/* ---- entries ---- */

static void note_invalid(struct errand *errand, const char *detail) {
    if (errand->invalid++ > 0)
        return;
    errand->first_invalid = errand->lines;
    errand->detail = detail;
}

static void on_imported(struct import *import, enum import_result result) {
    struct errand *errand = import->user;
    errand->busy[import - errand->imports] = false;
    errand->running--;
    errand->results[result]++;
    if (result == IMPORT_STORED)
        stats_count(errand->api->context->stats, STAT_imported_entries);
    if (!errand->waits || errand->running > 0)
        return;
    errand->waits = false;
    pace_add(errand->api->pace, &errand->beat);
}

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* An entry is kept for as long as this instance keeps its own, at most. */
static void limit_times(const struct settings *settings, struct entry *entry) {
    uint64_t fresh_ms = settings->cache_ttl_ms > settings->cache_ttl_max_ms ? settings->cache_ttl_ms
                                                                            : settings->cache_ttl_max_ms;
    entry->fresh_until_us = smaller(entry->fresh_until_us, entry->created_us + fresh_ms * 1000);
    entry->stale_while_revalidate_until_us =
        smaller(entry->stale_while_revalidate_until_us,
                entry->fresh_until_us + settings->cache_stale_while_revalidate_ms * 1000);
    entry->stale_if_error_until_us = smaller(
        entry->stale_if_error_until_us, entry->fresh_until_us + settings->cache_stale_if_error_ms * 1000);
}

static void begin_entry(struct errand *errand, struct entry *entry) {
    const struct context *context = errand->api->context;
    unsigned place = 0;
    if (entry->body.length > context->settings->cache_max_entry_kb * 1024) {
        note_invalid(errand, "the body is longer than CACHE_MAX_ENTRY_KB");
        return;
    }
    while (errand->busy[place])
        place++;
    errand->busy[place] = true;
    errand->running++;
    errand->imports[place].user = errand;
    limit_times(context->settings, entry);
    import_begin(&errand->imports[place], context, errand->api->store, entry, on_imported);
}

static void end_line(struct errand *errand, enum transfer_line_status status) {
    errand->reading = false;
    if (status == TRANSFER_END) {
        errand->announced = errand->line.entries;
        return;
    }
    errand->lines++;
    if (status == TRANSFER_ENTRY)
        begin_entry(errand, &errand->line.entry);
    else
        note_invalid(errand, errand->line.detail);
}

/* ---- lines ---- */

static size_t line_max(const struct errand *errand) {
    return errand->api->context->settings->cache_max_entry_kb * 1024 + LINE_OVERHEAD;
}

/* The next line, without its end; empty where it was left out, being too long. False: it is not all here. */
static bool take_line(struct errand *errand, struct bytes *text) {
    const struct buffer *input = &errand->input;
    const char *end = NULL;
    if (input->length > errand->searched)
        end = memchr(input->data + errand->searched, '\n', input->length - errand->searched);
    errand->searched = end ? (size_t)(end - input->data) : input->length;
    if (!errand->skips && errand->searched - errand->at > line_max(errand)) {
        errand->lines++;
        note_invalid(errand, "the line is longer than an entry can be");
        errand->skips = true;
    }
    if (errand->skips)
        errand->at = errand->searched;
    if (!end && (!errand->ended || errand->at == input->length))
        return false;
    *text = (struct bytes){input->data + errand->at, errand->searched - errand->at};
    errand->skips = false;
    errand->at = errand->searched = errand->searched + (end != NULL);
    return true;
}

static bool is_blank(struct bytes line) {
    size_t length = 0;
    while (length < line.length && memchr(" \t\r", line.data[length], 3))
        length++;
    return length == line.length;
}

/* Begins the next line that has something to read. False: there is none now. */
static bool begin_line(struct errand *errand) {
    struct bytes text;
    while (take_line(errand, &text)) {
        if (is_blank(text))
            continue;
        transfer_line_begin(&errand->line, text);
        errand->reading = true;
        return true;
    }
    return false;
}

/* All that is here was looked at. True: the slice is over. */
static bool end_part(struct errand *errand) {
    if (errand->running > 0)
        errand->waits = true;
    else if (errand->ended)
        finish(errand);
    else
        exchange_read_on(errand->exchange);
    return true;
}

static bool go_on(struct slice *slice, size_t *budget) {
    struct errand *errand = (struct errand *)(void *)slice;
    uint64_t now_us = clock_wall_us(errand->api->context->clock);
    log_progress(errand);
    while (*budget > 0) {
        if (errand->running == RUNNING_MAX) {
            errand->waits = true;
            return true;
        }
        if (!errand->reading && !begin_line(errand))
            return end_part(errand);
        enum transfer_line_status status = transfer_line_go_on(&errand->line, now_us, budget);
        if (status == TRANSFER_MORE)
            return false;
        end_line(errand, status);
        *budget -= smaller(*budget, STEPS_FOR_ENTRY);
    }
    return false;
}

static void on_beat(void *user) {
    struct errand *errand = user;
    slices_add(errand->api->slices, &errand->slice);
}

/* ---- the body ---- */

static void take_part(struct errand *errand, struct bytes part) {
    buffer_consume(&errand->input, errand->at);
    errand->searched -= errand->at;
    errand->at = 0;
    buffer_append_bytes(&errand->input, part);
    pace_add(errand->api->pace, &errand->beat);
}

static void on_part(struct exchange *exchange, struct bytes part, bool last) {
    struct errand *errand = exchange->state;
    errand->ended = last;
    take_part(errand, part);
    if (!errand->input.failed)
        return;
    log_import(errand, "import_cut", LOG_WARN);
    errand_end(errand);
    exchange_problem(exchange, PROBLEM_INTERNAL, "no memory for the next part of the body", NULL);
}

void cache_import(struct exchange *exchange, struct bytes parameter, void *context) {
    struct api *api = context;
    (void)parameter;
    if (!store_can_walk(api->store)) {
        exchange_problem(exchange, PROBLEM_NOT_THIS_STORE, NULL, NULL);
        return;
    }
    struct errand *errand = calloc(1, sizeof(*errand));
    if (!errand) {
        exchange_problem(exchange, PROBLEM_INTERNAL, "no memory for the request", NULL);
        return;
    }
    errand->slice.go_on = go_on;
    errand->beat = (struct paced){.run = on_beat, .user = errand};
    errand->api = api;
    errand->exchange = exchange;
    errand->ended = !exchange->request.body_goes_on;
    errand->announced = UINT64_MAX;
    errand->told_us = clock_monotonic_us(api->context->clock);
    transfer_line_init(&errand->line);
    buffer_init(&errand->input, SIZE_MAX);
    exchange->state = errand;
    exchange->abandoned = on_abandoned;
    exchange->part = on_part;
    on_part(exchange, exchange->request.body, errand->ended);
}
