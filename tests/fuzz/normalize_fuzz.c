/* Any bytes: what is UTF-8 is normalised at every level, and its normal form is UTF-8 and a fixed point, and
 * the same however small the slices are in which it is made. */
#include "cache/normalize.h"
#include "inferonce/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Slices as large as the bytes of the text say, or of one step each. */
static void append_in_slices(enum cache_normalize level, struct bytes text, bool smallest,
                             struct buffer *out) {
    struct normalizer normalizer;
    enum normalize_status status = NORMALIZE_MORE;
    normalizer_begin(&normalizer, level, text, out);
    for (size_t i = 0; status == NORMALIZE_MORE; i++) {
        size_t given = smallest ? 1 : (size_t)(uint8_t)text.data[i % text.length] % 16 + 1;
        size_t budget = given;
        status = normalizer_go_on(&normalizer, &budget);
        INVARIANT(budget < given || status == NORMALIZE_DONE);
    }
    INVARIANT(status == NORMALIZE_DONE);
    normalizer_fini(&normalizer);
}

static void check_slices(enum cache_normalize level, struct bytes text, struct bytes expected) {
    struct buffer out;
    buffer_init(&out, 16 * text.length + 16);
    append_in_slices(level, text, text.length % 2 == 0, &out);
    INVARIANT(bytes_equal(buffer_bytes(&out), expected));
    buffer_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct bytes text = {(const char *)data, size};
    if (!utf8_is_valid(text))
        return 0;
    for (int level = CACHE_NORMALIZE_NONE; level <= CACHE_NORMALIZE_LOWER; level++) {
        struct buffer once, twice;
        buffer_init(&once, 16 * size + 16);
        buffer_init(&twice, 16 * size + 16);
        INVARIANT(normalize_append((enum cache_normalize)level, text, &once));
        INVARIANT(utf8_is_valid(buffer_bytes(&once)));
        INVARIANT(normalize_append((enum cache_normalize)level, buffer_bytes(&once), &twice));
        INVARIANT(bytes_equal(buffer_bytes(&once), buffer_bytes(&twice)));
        check_slices((enum cache_normalize)level, text, buffer_bytes(&once));
        buffer_fini(&once);
        buffer_fini(&twice);
    }
    return 0;
}
