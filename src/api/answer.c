/* Turns an answer of the cache into header fields, a body or a problem. */
#include "api/answer.h"

#define FNV_PRIME UINT64_C(1099511628211)

static const struct {
    const char *text;
    enum histogram_name histogram;
} X_CACHES[] = {
    [X_CACHE_HIT] = {"HIT", HISTOGRAM_hit},
    [X_CACHE_STALE] = {"STALE", HISTOGRAM_stale},
    [X_CACHE_PARTIAL] = {"PARTIAL", HISTOGRAM_partial},
    [X_CACHE_MISS] = {"MISS", HISTOGRAM_miss},
    [X_CACHE_BYPASS] = {"BYPASS", HISTOGRAM_bypass},
};

const char *x_cache_text(enum x_cache x_cache) {
    return X_CACHES[x_cache].text;
}

enum histogram_name x_cache_histogram(enum x_cache x_cache) {
    return X_CACHES[x_cache].histogram;
}

enum x_cache answer_x_cache(const struct cache_answer *answer) {
    switch (answer->result) {
    case CACHE_HIT:
        return X_CACHE_HIT;
    case CACHE_STALE:
        return X_CACHE_STALE;
    case CACHE_MISS:
        return X_CACHE_MISS;
    case CACHE_BYPASS:
        return X_CACHE_BYPASS;
    case CACHE_FAILED:
    case CACHE_UNSATISFIABLE:
        break;
    }
    return answer->status.forward == FORWARD_REQUEST ? X_CACHE_BYPASS : X_CACHE_MISS;
}

/* Milliseconds with three decimals, as Server-Timing wants them. */
static void append_ms(struct buffer *buffer, uint64_t us) {
    buffer_append_number(buffer, us / 1000);
    unsigned rest = (unsigned)(us % 1000);
    const char decimals[4] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10),
                              (char)('0' + rest % 10)};
    buffer_append(buffer, decimals, sizeof(decimals));
}

static void append_hex_key(struct buffer *buffer, const struct key *key) {
    buffer_append_hex(buffer, key->bytes, KEY_LENGTH);
}

void answer_headers(struct response *response, const struct cache_answer *answer, enum x_cache x_cache,
                    const struct key *key, uint64_t took_us) {
    /* Written straight into the head: the hit path formats nothing twice. */
    struct buffer *head = &response->head;
    buffer_append_bytes(head, LITERAL("X-Cache: "));
    buffer_append_text(head, x_cache_text(x_cache));
    if (key) {
        buffer_append_bytes(head, LITERAL("\r\nX-Cache-Key: "));
        append_hex_key(head, key);
    }
    buffer_append_bytes(head, LITERAL("\r\nCache-Status: "));
    cache_status_append(&answer->status, head);
    if (answer->stored_answer) {
        buffer_append_bytes(head, LITERAL("\r\nAge: "));
        buffer_append_number(head, answer->age_s);
    }
    uint64_t cache_us = answer->inferred && took_us > answer->inference_us ? took_us - answer->inference_us
                        : answer->inferred                                 ? 0
                                                                           : took_us;
    buffer_append_bytes(head, LITERAL("\r\nServer-Timing: cache;dur="));
    append_ms(head, cache_us);
    if (answer->inferred) {
        buffer_append_bytes(head, LITERAL(", inference;dur="));
        append_ms(head, answer->inference_us);
    }
    buffer_append_bytes(head, LITERAL("\r\n"));
}

struct answer_problem answer_problem(const struct cache_answer *answer) {
    if (answer->result == CACHE_UNSATISFIABLE)
        return (struct answer_problem){.problem = PROBLEM_ONLY_IF_CACHED};
    const struct engine_answer *failure = answer->failure;
    struct answer_problem told = {.detail = failure->detail};
    switch (failure->status) {
    case ENGINE_TIMEOUT:
        told.problem = PROBLEM_TIMEOUT;
        break;
    case ENGINE_OVERLOAD:
        told.problem = failure->http_status == 429 ? PROBLEM_RATE_LIMITED : PROBLEM_OVERLOADED;
        told.retry_after_s = failure->retry_after_s > 0 ? failure->retry_after_s : 1;
        break;
    case ENGINE_DOWN:
        told.problem = PROBLEM_MODEL_DOWN;
        told.retry_after_s = failure->retry_after_s > 0 ? failure->retry_after_s : 1;
        break;
    case ENGINE_SHORT:
        told.problem = PROBLEM_SHORT;
        told.retry_after_s = failure->retry_after_s > 0 ? failure->retry_after_s : 1;
        break;
    case ENGINE_REJECTED:
        told.problem = PROBLEM_REJECTED;
        told.status = failure->http_status;
        break;
    case ENGINE_OK:
    case ENGINE_REFUSED:
    case ENGINE_BAD_ANSWER:
        told.problem = PROBLEM_UPSTREAM_FAILED;
        break;
    }
    return told;
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo): an entity tag has to differ when the result does, not to withstand an
 * attacker, who could only fool a client with an answer that it got from us. */
void answer_etag(const struct bytes *parts, size_t n, char etag[ANSWER_ETAG_LENGTH + 1]) {
    static const char digits[] = "0123456789abcdef";
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < n; i++) {
        /* The end of a part matters: 0xff, which is in no UTF-8, keeps [1,12] and [11,2] apart. */
        if (i > 0)
            hash = (hash ^ 0xff) * FNV_PRIME;
        for (size_t j = 0; j < parts[i].length; j++)
            hash = (hash ^ (unsigned char)parts[i].data[j]) * FNV_PRIME;
    }
    memcpy(etag, "W/\"", 3);
    for (unsigned i = 0; i < 16; i++)
        etag[3 + i] = digits[hash >> (60 - 4 * i) & 15];
    etag[19] = '"';
    etag[20] = '\0';
}
