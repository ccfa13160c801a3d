/* Any bytes as a request's body, with jansson as the second opinion on what is JSON and what it means; and
 * read in slices, which changes nothing. */
#include <stdlib.h>

#include "api/body.h"
#include "json_opinion.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_canonical(struct bytes json) {
    struct canonical canonical;
    struct buffer once, twice;
    canonical_init(&canonical, OPINION_DEPTH_MAX, SIZE_MAX);
    buffer_init(&once, json.length);
    buffer_init(&twice, json.length);
    json_error_t error;
    json_t *theirs = opinion_of(json, &error);
    bool good = canonical_append(&canonical, json, &once) == CANONICAL_OK;
    INVARIANT(opinion_agrees(good, json, theirs, &error));
    if (good) {
        INVARIANT(canonical_append(&canonical, buffer_bytes(&once), &twice) == CANONICAL_OK);
        INVARIANT(bytes_equal(buffer_bytes(&once), buffer_bytes(&twice)));
        if (theirs) {
            json_t *ours = opinion_of(buffer_bytes(&once), &error);
            INVARIANT(ours && json_equal(ours, theirs));
            json_decref(ours);
        }
    }
    json_decref(theirs);
    canonical_fini(&canonical);
    buffer_fini(&once);
    buffer_fini(&twice);
}

static size_t sum_of(const struct bytes *strings, size_t n) {
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < strings[i].length; j++)
            sum += (unsigned char)strings[i].data[j];
    return sum;
}

static bool are_equal(const struct bytes *a, const struct bytes *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!bytes_equal(a[i], b[i]))
            return false;
    return true;
}

static bool texts_are_equal(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Slices as large as the bytes say, or of one step each; `whole` was read in one go. */
static void check_slices(struct bytes json, enum body_kind kind, enum body_status expected,
                         const struct body *whole) {
    struct body body;
    enum body_status status = BODY_MORE;
    body_init(&body);
    INVARIANT(body_begin(&body, kind, json, 4));
    for (size_t i = 0; status == BODY_MORE; i++) {
        size_t budget = json.length % 2 ? 1 : (size_t)(unsigned char)json.data[i % json.length] % 8 + 1;
        status = body_go_on(&body, &budget);
        INVARIANT(status != BODY_MORE || budget == 0);
    }
    INVARIANT(status == expected && texts_are_equal(body.detail, whole->detail));
    INVARIANT(strcmp(body.pointer, whole->pointer) == 0);
    INVARIANT(are_equal(&body.text, &whole->text, 1) && are_equal(&body.parameters, &whole->parameters, 1) &&
              are_equal(&body.cache_namespace, &whole->cache_namespace, 1));
    INVARIANT(body.n_texts == whole->n_texts && are_equal(body.texts, whole->texts, whole->n_texts));
    INVARIANT(body.n_keys == whole->n_keys && are_equal(body.keys, whole->keys, whole->n_keys));
    body_fini(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes json = {(const char *)data, size};
    if (size > 0)
        check_canonical(json);
    struct body body;
    body_init(&body);
    for (int purge = 0; purge < 2; purge++) {
        enum body_status status =
            purge ? body_read(&body, BODY_PURGE, json, 4) : body_read(&body, BODY_PREDICT, json, 4);
        INVARIANT((status == BODY_OK) == !body.detail);
        int given = (body.text.data != NULL) + (body.texts != NULL) + (body.keys != NULL) +
                    (body.cache_namespace.data != NULL);
        INVARIANT(given == (status == BODY_OK ? 1 : 0));
        INVARIANT(body.n_texts <= 4 && body.n_keys <= 4);
        /* Touches every byte that is handed out, for the address sanitizer. */
        volatile size_t sum = sum_of(body.texts, body.n_texts) + sum_of(body.keys, body.n_keys) +
                              sum_of(&body.text, 1) + sum_of(&body.cache_namespace, 1) +
                              sum_of(&body.parameters, 1);
        (void)sum;
        if (size > 0)
            check_slices(json, purge ? BODY_PURGE : BODY_PREDICT, status, &body);
    }
    body_fini(&body);
    return 0;
}
