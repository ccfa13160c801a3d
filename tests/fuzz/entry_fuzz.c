/* Any bytes given to entry_read as what a store returned. The first 32 are taken as the key that was asked
 * for. */
#include "inferonce/cache/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint64_t now_us = UINT64_C(1700000000000000);
    struct bytes value = {(const char *)data, size};
    struct key key = {{0}};
    if (size >= 16 + KEY_LENGTH)
        memcpy(key.bytes, data + 16, KEY_LENGTH);
    struct entry entry;
    if (entry_read(value, &key, now_us, &entry) != ENTRY_GOOD)
        return 0;

    /* A good entry is exactly the one that would be written. */
    struct buffer written;
    buffer_init(&written, size);
    entry_append(&entry, &written);
    INVARIANT(bytes_equal(buffer_bytes(&written), value));
    INVARIANT(entry.body.length <= size && key_equal(&entry.key, &key));
    buffer_fini(&written);
    return 0;
}
