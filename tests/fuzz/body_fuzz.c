/* Any bytes as a request's body, with jansson as the second opinion on what is JSON and what it means. */
#include <jansson.h>
#include <stdlib.h>

#include "inferonce/api/body.h"

/* Above what most inputs reach and below jansson's own, so that the two differ by it only for long inputs. */
#define DEPTH_MAX 1000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* jansson refuses two things that are JSON: a NUL in a member's name and numbers that do not fit its types.
 */
static bool beyond_jansson(const json_error_t *error) {
    enum json_error_code code = json_error_code(error);
    return code == json_error_null_byte_in_key || code == json_error_numeric_overflow;
}

/* A NUL byte is never JSON; jansson takes one behind a value for the end. */
static bool has_nul(struct bytes json) {
    return memchr(json.data, '\0', json.length) != NULL;
}

static void check_canonical(struct bytes json) {
    struct canonical canonical;
    struct buffer once, twice;
    canonical_init(&canonical, DEPTH_MAX, SIZE_MAX);
    buffer_init(&once, json.length);
    buffer_init(&twice, json.length);
    json_error_t error;
    const size_t flags = JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL;
    json_t *theirs = json_loadb(json.data, json.length, flags, &error);
    if (canonical_append(&canonical, json, &once) == CANONICAL_OK) {
        INVARIANT((theirs || beyond_jansson(&error)) && !has_nul(json));
        INVARIANT(canonical_append(&canonical, buffer_bytes(&once), &twice) == CANONICAL_OK);
        INVARIANT(bytes_equal(buffer_bytes(&once), buffer_bytes(&twice)));
        if (theirs) {
            json_t *ours = json_loadb(once.data, once.length, flags, &error);
            INVARIANT(ours && json_equal(ours, theirs));
            json_decref(ours);
        }
    } else
        INVARIANT(!theirs || has_nul(json) || json.length > DEPTH_MAX);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes json = {(const char *)data, size};
    if (size > 0)
        check_canonical(json);
    struct body body;
    body_init(&body);
    for (int purge = 0; purge < 2; purge++) {
        enum body_status status = purge ? body_read_purge(&body, json, 4) : body_read_predict(&body, json, 4);
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
    }
    body_fini(&body);
    return 0;
}
