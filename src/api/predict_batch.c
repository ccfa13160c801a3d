/* Answers a request of several texts, each by the cache. */
#include "api/predict_batch.h"

#include <stdlib.h>

#include "api/answer.h"
#include "inferonce/cache/text_key.h"

/* One different text. */
struct item {
    struct cache_request request;
    struct prediction *prediction;
    bool answered;
    bool text_needed;
    bool has_place; /* in the batch's window: it infers, or is about to */
    STAILQ_ENTRY(item) held_links;
    enum cache_result result;
    struct cache_status status;
    bool stored_answer;
    uint64_t age_s;
    uint64_t inference_us; /* 0: none ran */
    size_t result_at;      /* in `fragments`: its element of "results" */
    size_t result_length;
    size_t tag_at; /* in `fragments`: what of it the entity tag covers */
    size_t tag_length;
    struct blob
        *blob; /* owned: a large result, which belongs into the element at `tag_at`; NULL: it is there */
};

struct predict_batch {
    size_t n_texts;
    size_t n_items;
    size_t unanswered;
    size_t unread; /* items whose text is still needed */
    bool large;    /* a result lies in a blob */
    size_t n_inferring;
    STAILQ_HEAD(held_items, item) held; /* that did not hit, and for which there was no place yet */
    bool feeding;
    uint32_t *item_of; /* for each text the item that answers it */
    struct item *items;
    struct buffer fragments;
    unsigned retry_after_s; /* the largest of its items'; 0: none has one */
};

static void batch_destroy(struct predict_batch *batch) {
    if (!batch)
        return;
    for (size_t i = 0; i < batch->n_items; i++)
        blob_unref(batch->items[i].blob);
    buffer_fini(&batch->fragments);
    free(batch->item_of);
    free(batch->items);
    free(batch);
}

static struct predict_batch *batch_create(size_t n_texts) {
    struct predict_batch *batch = calloc(1, sizeof(*batch));
    if (!batch)
        return NULL;
    batch->n_texts = n_texts;
    STAILQ_INIT(&batch->held);
    buffer_init(&batch->fragments, RESPONSE_BODY_MAX);
    batch->item_of = calloc(n_texts, sizeof(*batch->item_of));
    batch->items = calloc(n_texts, sizeof(*batch->items));
    if (batch->item_of && batch->items)
        return batch;
    batch_destroy(batch);
    return NULL;
}

/* ---- equal texts ---- */

/* Fills `items` with the different keys and `item_of` with who answers whom, by a table of the keys seen so
 * far. */
static bool fill_items(struct prediction *prediction, const struct bytes *texts, const struct key *keys) {
    struct predict_batch *batch = prediction->batch;
    size_t size = 1;
    while (size < 2 * batch->n_texts)
        size *= 2;
    uint32_t *table = calloc(size, sizeof(*table)); /* 1 + index of the item */
    if (!table)
        return false;
    struct cache_request common = {.done = NULL};
    prediction_fill(prediction, &common);
    for (size_t i = 0; i < batch->n_texts; i++) {
        struct item *item = &batch->items[batch->n_items];
        item->request = common;
        prediction_fill_text(prediction, texts[i], &keys[i], &item->request);
        size_t place = key_hash(&item->request.key) & (size - 1);
        while (table[place] != 0 &&
               !key_equal(&batch->items[table[place] - 1].request.key, &item->request.key))
            place = (place + 1) & (size - 1);
        if (table[place] == 0)
            table[place] = (uint32_t)++batch->n_items;
        batch->item_of[i] = table[place] - 1;
    }
    free(table);
    return true;
}

/* ---- the answer ---- */

static bool came_from_cache(const struct item *item) {
    return item->result == CACHE_HIT || item->result == CACHE_STALE;
}

/* Sums the items up as one answer: X-Cache, Cache-Status, Age. */
static enum x_cache summarize(const struct predict_batch *batch, struct cache_answer *whole,
                              size_t *n_cached) {
    const struct item *first = &batch->items[0];
    enum x_cache x_cache = X_CACHE_HIT;
    *whole = (struct cache_answer){
        .result = first->result,
        .status = {.hit = true, .has_ttl = true, .ttl_s = INT64_MAX, .stored = true, .collapsed = true}};
    for (size_t i = 0; i < batch->n_items; i++) {
        const struct item *item = &batch->items[i];
        const struct cache_answer alone = {.result = item->result, .status = item->status};
        enum x_cache its = answer_x_cache(&alone);
        x_cache = i == 0 || x_cache == its ? its : X_CACHE_PARTIAL;
        if (came_from_cache(item)) {
            if (item->status.ttl_s < whole->status.ttl_s)
                whole->status.ttl_s = item->status.ttl_s;
            if (item->age_s > whole->age_s)
                whole->age_s = item->age_s;
            whole->stored_answer = true;
            continue;
        }
        whole->status.hit = false;
        if (whole->status.forward == FORWARD_NONE)
            whole->status.forward = item->status.forward;
        whole->status.stored = whole->status.stored && item->status.stored;
        whole->status.collapsed = whole->status.collapsed && item->status.collapsed;
        if (item->inference_us > 0)
            whole->inferred = true;
        if (item->inference_us > whole->inference_us)
            whole->inference_us = item->inference_us;
    }
    if (whole->status.hit)
        whole->status.stored = whole->status.collapsed = false;
    else
        whole->status.has_ttl = false;
    *n_cached = 0;
    for (size_t i = 0; i < batch->n_texts; i++)
        *n_cached += batch->items[batch->item_of[i]].stored_answer;
    return x_cache;
}

static struct bytes fragment(const struct predict_batch *batch, size_t from, size_t to) {
    return (struct bytes){batch->fragments.data + from, to - from};
}

static void append_tail(struct buffer *body, size_t n_cached) {
    buffer_append_text(body, "],\"cached\":");
    buffer_append_number(body, n_cached);
    buffer_append_char(body, '}');
}

/* Each text's element, in the order of the texts. */
static void write_body(const struct predict_batch *batch, size_t n_cached, struct buffer *body) {
    buffer_append_text(body, "{\"results\":[");
    for (size_t i = 0; i < batch->n_texts; i++) {
        const struct item *item = &batch->items[batch->item_of[i]];
        if (i > 0)
            buffer_append_char(body, ',');
        buffer_append(body, batch->fragments.data + item->result_at, item->result_length);
    }
    append_tail(body, n_cached);
}

/* The same as pieces, so that a large result of many equal texts is not copied for each of them: up to four
 * for a text, and one at each end. NULL: no memory. */
static struct piece *make_pieces(const struct predict_batch *batch, size_t n_cached, struct buffer *tail,
                                 size_t *n) {
    struct piece *pieces = reallocarray(NULL, 4 * batch->n_texts + 2, sizeof(*pieces));
    *n = 0;
    append_tail(tail, n_cached);
    if (!pieces)
        return NULL;
    pieces[(*n)++] = (struct piece){.bytes = LITERAL("{\"results\":[")};
    for (size_t i = 0; i < batch->n_texts; i++) {
        const struct item *item = &batch->items[batch->item_of[i]];
        size_t end = item->result_at + item->result_length;
        size_t gap = item->blob ? item->tag_at : end;
        if (i > 0)
            pieces[(*n)++] = (struct piece){.bytes = LITERAL(",")};
        pieces[(*n)++] = (struct piece){.bytes = fragment(batch, item->result_at, gap)};
        if (!item->blob)
            continue;
        pieces[(*n)++] = (struct piece){item->blob->bytes, item->blob};
        pieces[(*n)++] = (struct piece){.bytes = fragment(batch, gap, end)};
    }
    pieces[(*n)++] = (struct piece){.bytes = buffer_bytes(tail)};
    return pieces;
}

static bool start_response(struct prediction *prediction) {
    struct predict_batch *batch = prediction->batch;
    struct response *response = &prediction->exchange->response;
    if (prediction->exchange->request.method != METHOD_QUERY) {
        response_start(response, 200, "application/json");
        return false;
    }
    struct bytes *parts = calloc(batch->n_texts, sizeof(*parts));
    if (!parts) {
        response_start(response, 200, "application/json");
        return false;
    }
    for (size_t i = 0; i < batch->n_texts; i++) {
        const struct item *item = &batch->items[batch->item_of[i]];
        parts[i] =
            item->blob ? item->blob->bytes : fragment(batch, item->tag_at, item->tag_at + item->tag_length);
    }
    bool unmodified = prediction_not_modified(prediction, parts, batch->n_texts);
    free(parts);
    return unmodified;
}

static bool nothing_is_cached(const struct predict_batch *batch) {
    for (size_t i = 0; i < batch->n_items; i++)
        if (batch->items[i].result != CACHE_UNSATISFIABLE)
            return false;
    return true;
}

static void send_answer(struct prediction *prediction) {
    struct predict_batch *batch = prediction->batch;
    struct response *response = &prediction->exchange->response;
    uint64_t took_us = clock_monotonic_us(prediction->api->context->clock) - prediction->began_us;
    struct cache_answer whole;
    size_t n_cached;
    enum x_cache x_cache = summarize(batch, &whole, &n_cached);
    bool unmodified = false;
    struct piece *pieces = NULL;
    size_t n = 1;
    if (nothing_is_cached(batch)) {
        problem_respond(response, PROBLEM_ONLY_IF_CACHED, 0, NULL, NULL);
    } else {
        unmodified = start_response(prediction);
        if (batch->large)
            pieces = make_pieces(batch, n_cached, &response->body, &n);
        else
            write_body(batch, n_cached, &response->body);
        response->body.failed = response->body.failed || batch->fragments.failed || (batch->large && !pieces);
    }
    answer_headers(response, &whole, x_cache, NULL, took_us);
    prediction_took(prediction, x_cache, response->status >= 400, NULL, took_us);
    if (batch->retry_after_s > 0)
        response_header_number(response, "Retry-After", batch->retry_after_s);
    const struct piece body = {.bytes = buffer_bytes(&response->body)};
    prediction->batch = NULL;
    prediction_send(prediction, pieces ? pieces : &body, unmodified ? 0 : n);
    free(pieces);
    batch_destroy(batch);
}

static void append_result(struct buffer *fragments, struct item *item, const struct cache_answer *answer) {
    buffer_append_text(fragments, "{\"result\":");
    item->tag_at = fragments->length;
    item->tag_length = item->blob ? 0 : answer->body.length;
    if (!item->blob)
        buffer_append_bytes(fragments, answer->body);
    buffer_append_text(fragments, answer->stored_answer ? ",\"cached\":true" : ",\"cached\":false");
    if (answer->inferred) {
        buffer_append_text(fragments, ",\"inference_time_ms\":");
        buffer_append_number(fragments, answer->inference_us / 1000);
    }
    buffer_append_char(fragments, '}');
}

static void append_error(struct predict_batch *batch, struct item *item, struct answer_problem told) {
    struct buffer *fragments = &batch->fragments;
    if (told.retry_after_s > batch->retry_after_s)
        batch->retry_after_s = told.retry_after_s;
    buffer_append_text(fragments, "{\"error\":");
    item->tag_at = fragments->length;
    problem_append(fragments, told.problem, told.status, told.detail, NULL);
    item->tag_length = fragments->length - item->tag_at;
    buffer_append_char(fragments, '}');
}

/* Takes what is to be sent of an answer. */
static void take_answer(struct item *item, const struct cache_answer *answer) {
    struct predict_batch *batch = item->prediction->batch;
    struct buffer *fragments = &batch->fragments;
    bool large = answer->body.length >= BLOB_LEAST;
    if (large)
        item->blob =
            answer->blob ? blob_ref(answer->blob) : blobs_hold(item->prediction->api->blobs, answer->body);
    batch->large = batch->large || item->blob;
    item->result_at = fragments->length;
    if (answer->result == CACHE_FAILED || answer->result == CACHE_UNSATISFIABLE) {
        append_error(batch, item, answer_problem(answer));
    } else if (large && !item->blob) {
        stats_count(item->prediction->api->context->stats, STAT_refused_answers);
        append_error(batch, item,
                     (struct answer_problem){.problem = PROBLEM_OVERLOADED,
                                             .retry_after_s = 1,
                                             .detail = "too much is waiting for clients to read it"});
    } else {
        append_result(fragments, item, answer);
    }
    item->result_length = fragments->length - item->result_at;
}

/* With the last text that an inference has, or does not need, all of them go. */
static void needs_no_text(struct item *item) {
    struct predict_batch *batch = item->prediction->batch;
    if (item->text_needed && --batch->unread == 0 && batch->unanswered > 0)
        prediction_forget_body(item->prediction);
    item->text_needed = false;
}

static void copied(struct cache_request *request) {
    needs_no_text(request->user);
}

static void feed(struct prediction *prediction);

static void answered(struct cache_request *request, const struct cache_answer *answer) {
    struct item *item = request->user;
    struct prediction *prediction = item->prediction;
    struct predict_batch *batch = prediction->batch;
    item->answered = true;
    batch->n_inferring -= item->has_place;
    item->result = answer->result;
    item->status = answer->status;
    item->stored_answer = answer->stored_answer;
    item->age_s = answer->age_s;
    item->inference_us = answer->inferred ? answer->inference_us : 0;
    take_answer(item, answer);
    batch->unanswered--;
    needs_no_text(item);
    feed(prediction);
}

/* ---- asking ---- */

/* A batch takes no more of the engine's queue at once than leaves room for others, and itself is never
 * refused for being larger than the queue. What hits takes nothing of it. */
static size_t window_of(const struct settings *settings) {
    return settings->inference_concurrency + settings->inference_queue / 8;
}

static bool take_place(struct item *item) {
    struct predict_batch *batch = item->prediction->batch;
    if (batch->n_inferring >= window_of(item->prediction->api->context->settings))
        return false;
    batch->n_inferring++;
    item->has_place = true;
    return true;
}

/* cache_hold. One that was asked again has its place. */
static bool hold(struct cache_request *request) {
    struct item *item = request->user;
    struct predict_batch *batch = item->prediction->batch;
    if (item->has_place || take_place(item))
        return false;
    STAILQ_INSERT_TAIL(&batch->held, item, held_links);
    return true;
}

/* Asks again for those that were held while there is room; sends the answer when all are answered. */
static void feed(struct prediction *prediction) {
    struct predict_batch *batch = prediction->batch;
    if (batch->feeding) /* an item was answered at once: the loop below goes on */
        return;
    batch->feeding = true;
    struct item *item;
    while ((item = STAILQ_FIRST(&batch->held)) != NULL && take_place(item)) {
        STAILQ_REMOVE_HEAD(&batch->held, held_links);
        cache_ask(prediction->api->cache, &item->request);
    }
    batch->feeding = false;
    if (batch->unanswered == 0)
        send_answer(prediction);
}

/* All are looked up at once. What is answered at once does not end the batch before the last was asked. */
static void ask_all(struct prediction *prediction) {
    struct predict_batch *batch = prediction->batch;
    batch->feeding = true;
    for (size_t i = 0; i < batch->n_items; i++)
        cache_ask(prediction->api->cache, &batch->items[i].request);
    batch->feeding = false;
    feed(prediction);
}

static bool answer_empty_text(struct prediction *prediction, const struct bytes *texts, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (texts[i].length > 0)
            continue;
        char pointer[32];
        snprintf(pointer, sizeof(pointer), "#/texts/%zu", i);
        problem_respond(&prediction->exchange->response, PROBLEM_BAD_SHAPE, 0,
                        "the text is nothing but white space", pointer);
        const struct piece body = {.bytes = buffer_bytes(&prediction->exchange->response.body)};
        prediction_send(prediction, &body, 1);
        return true;
    }
    return false;
}

void predict_batch_ask(struct prediction *prediction, const struct bytes *texts, const struct key *keys,
                       size_t n) {
    if (answer_empty_text(prediction, texts, n))
        return;
    struct predict_batch *batch = prediction->batch = batch_create(n);
    if (!batch || !fill_items(prediction, texts, keys)) {
        prediction->batch = NULL;
        batch_destroy(batch);
        prediction_problem(prediction, PROBLEM_INTERNAL, "no memory for the texts");
        return;
    }
    batch->unanswered = batch->n_items;
    batch->unread = batch->n_items;
    for (size_t i = 0; i < batch->n_items; i++) {
        struct item *item = &batch->items[i];
        item->prediction = prediction;
        item->text_needed = true;
        item->request.copied = copied;
        item->request.hold = hold;
        item->request.done = answered;
        item->request.user = item;
    }
    ask_all(prediction);
}

void predict_batch_abandoned(struct prediction *prediction) {
    struct predict_batch *batch = prediction->batch;
    for (size_t i = 0; i < batch->n_items; i++)
        if (!batch->items[i].answered)
            cache_forget(prediction->api->cache, &batch->items[i].request);
    prediction->batch = NULL;
    batch_destroy(batch);
}
