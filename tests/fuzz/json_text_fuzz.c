/* Any bytes as an inference server's answer, with jansson as the second opinion on what is JSON and how many
 * items or members it has. */
#include <stdint.h>

#include "engine/upstream/json_text.h"
#include "json_opinion.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_walk(struct bytes text, const json_t *theirs) {
    struct json_walk walk;
    struct bytes name, value;
    size_t n = 0;
    if (json_is_array(theirs))
        INVARIANT(json_count(text, &n) && n == json_array_size(theirs));
    INVARIANT(json_walk_object(text, &walk) == json_is_object(theirs));
    if (json_is_object(theirs)) {
        while (json_next_member(&walk, &name, &value))
            n++;
        INVARIANT(n == json_object_size(theirs));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes text = {(const char *)data, size};
    json_error_t error;
    json_t *theirs = opinion_of(text, &error);
    enum json_text_status status = json_text_check(text, 0);
    INVARIANT(status != JSON_TEXT_NO_MEMORY);
    INVARIANT(opinion_agrees(status == JSON_TEXT_VALID, text, theirs, &error));
    if (status == JSON_TEXT_VALID && theirs)
        check_walk(text, theirs);
    json_decref(theirs);
    return 0;
}
