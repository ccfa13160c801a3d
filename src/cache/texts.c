/* Copies of what inferences need of their requests, within a worker's limit. */
#include "cache/texts.h"

/* From this length on a text is taken over: fresh memory for a copy costs a page fault for every 4 KB. A
 * shorter one is copied, and its buffer used again by the next request. */
#define TAKEN_LEAST (64u * 1024)

static struct bytes keep(struct buffer *to, struct bytes bytes) {
    const char *at = to->data + to->length;
    buffer_append_bytes(to, bytes);
    return bytes.length > 0 ? (struct bytes){at, bytes.length} : (struct bytes){NULL, 0};
}

/* Whether the request's text can be had without a copy. */
static bool can_take(const struct cache_request *request) {
    const struct buffer *storage = request->storage;
    return storage && request->text.length >= TAKEN_LEAST && storage->data == request->text.data &&
           storage->length == request->text.length;
}

bool texts_keep(struct texts_limit *limit, struct texts *texts, struct engine_job *job,
                const struct cache_request *request, const struct engine_job *other) {
    bool take = !other && can_take(request);
    struct bytes text = other ? other->text : request->text;
    struct bytes parameters = other ? other->parameters : request->parameters;
    size_t copied = (take ? 0 : text.length) + parameters.length + request->authorization.length +
                    request->traceparent.length + request->tracestate.length +
                    request->cache_namespace.length;
    size_t length = copied + (take ? text.length : 0);
    if (length > TEXTS_BYTES_MAX - limit->bytes) {
        stats_count(limit->stats, STAT_refused_texts);
        return false;
    }
    /* In one allocation, which then stays where it is. */
    buffer_init(&texts->bytes, copied);
    if (copied > 0 && !buffer_reserve(&texts->bytes, copied))
        return false;
    if (take) {
        texts->text = *request->storage;
        buffer_init(request->storage, request->storage->cap);
    }
    job->text = take ? text : keep(&texts->bytes, text);
    job->parameters = keep(&texts->bytes, parameters);
    job->authorization = keep(&texts->bytes, request->authorization);
    job->traceparent = keep(&texts->bytes, request->traceparent);
    job->tracestate = keep(&texts->bytes, request->tracestate);
    texts->cache_namespace = keep(&texts->bytes, request->cache_namespace);
    limit->bytes += length;
    stats_add(limit->stats, STAT_parked_bytes, length);
    return true;
}

void texts_release(struct texts_limit *limit, struct texts *texts) {
    size_t length = texts->bytes.length + texts->text.length;
    limit->bytes -= length;
    stats_subtract(limit->stats, STAT_parked_bytes, length);
    buffer_fini(&texts->bytes);
    buffer_fini(&texts->text);
}

void texts_copied(struct cache_request *request) {
    cache_copied copied = request->copied;
    request->text = request->parameters = (struct bytes){NULL, 0};
    request->storage = NULL;
    request->copied = NULL;
    if (copied)
        copied(request);
}
