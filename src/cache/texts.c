/* Copies of what inferences need of their requests, within a worker's limit. */
#include "inferonce/cache/texts.h"

static struct bytes keep(struct buffer *to, struct bytes bytes) {
    const char *at = to->data + to->length;
    buffer_append_bytes(to, bytes);
    return bytes.length > 0 ? (struct bytes){at, bytes.length} : (struct bytes){NULL, 0};
}

bool texts_keep(struct texts_limit *limit, struct texts *texts, struct engine_job *job,
                const struct cache_request *request, const struct engine_job *other) {
    struct bytes text = other ? other->text : request->text;
    struct bytes parameters = other ? other->parameters : request->parameters;
    size_t length = text.length + parameters.length + request->authorization.length +
                    request->traceparent.length + request->tracestate.length +
                    request->cache_namespace.length;
    if (length > TEXTS_BYTES_MAX - limit->bytes) {
        stats_count(limit->stats, STAT_refused_texts);
        return false;
    }
    /* In one allocation, which then stays where it is. */
    buffer_init(&texts->bytes, length);
    if (length > 0 && !buffer_reserve(&texts->bytes, length))
        return false;
    job->text = keep(&texts->bytes, text);
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
    limit->bytes -= texts->bytes.length;
    stats_subtract(limit->stats, STAT_parked_bytes, texts->bytes.length);
    buffer_fini(&texts->bytes);
}

void texts_copied(struct cache_request *request) {
    cache_copied copied = request->copied;
    request->text = request->parameters = (struct bytes){NULL, 0};
    request->complete = NULL;
    request->copied = NULL;
    if (copied)
        copied(request);
}
