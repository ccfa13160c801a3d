/* libFuzzer: any answer of an inference server, read in every dialect. Results lie inside of the answer, or
 * of what was made of it. */
#include <stdint.h>

#include "engine/upstream/dialect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define TEXTS 3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct bytes texts[TEXTS] = {{"a", 1}, {"b", 1}, {"c", 1}};
    if (size < 1)
        return 0;
    const struct dialect *dialect = dialect_of((enum settings_dialect)(data[0] % 7));
    struct bytes answer = {(const char *)data + 1, size - 1};
    struct dialect_question question = {
        .texts = texts, .n = dialect->takes_batches ? 1 + data[0] / 7 % TEXTS : 1, .id = {"1", 1}};
    struct dialect_result results[TEXTS];
    struct buffer made;
    buffer_init(&made, 1 << 20);
    INVARIANT(dialect_decode(dialect, &question, answer, &made, results));
    for (size_t i = 0; i < question.n; i++) {
        size_t whole = results[i].made ? made.length : answer.length;
        INVARIANT(!results[i].good || (results[i].length > 0 && results[i].at <= whole &&
                                       results[i].length <= whole - results[i].at));
    }
    buffer_fini(&made);
    return 0;
}
