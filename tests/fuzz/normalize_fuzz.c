/* Any bytes: what is UTF-8 is normalised at every level, and its normal form is UTF-8 and a fixed point. */
#include "inferonce/base/utf8.h"
#include "inferonce/cache/normalize.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
        buffer_fini(&once);
        buffer_fini(&twice);
    }
    return 0;
}
