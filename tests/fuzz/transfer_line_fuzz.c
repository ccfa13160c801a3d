/* Reads bytes as a line of an export, in slices as long as the first byte says. What is taken for an entry
 * must be one: jansson has to find the same members in the line. */
#include <jansson.h>
#include <stdlib.h>

#include "api/transfer_line.h"
#include "inferonce/api/api.h"

#define NOW UINT64_C(1700000000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_number(const json_t *object, const char *name, uint64_t number) {
    const json_t *value = json_object_get(object, name);
    INVARIANT(!value || (uint64_t)json_integer_value(value) == number);
}

/* Numbers beyond jansson's integers are not compared. */
static void check_entry(const struct entry *entry, struct bytes text) {
    json_error_t error;
    char hex[KEY_HEX_LENGTH + 1];
    json_t *object = json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    INVARIANT(entry->fresh_until_us >= entry->created_us && entry->inference_us <= entry->created_us);
    INVARIANT(entry->created_us <= NOW + ENTRY_CLOCK_SKEW_US);
    INVARIANT(api_namespace_is_valid(entry->cache_namespace));
    INVARIANT(entry->body.data >= text.data &&
              entry->body.data + entry->body.length <= text.data + text.length);
    if (!object)
        return;
    key_to_hex(&entry->key, hex);
    const char *key = json_string_value(json_object_get(object, "key"));
    INVARIANT(key && strcasecmp(key, hex) == 0);
    check_number(object, "created_us", entry->created_us);
    check_number(object, "inference_us", entry->inference_us);
    json_t *body = json_loadb(entry->body.data, entry->body.length, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    INVARIANT(body && json_equal(body, json_object_get(object, "body")));
    json_decref(body);
    json_decref(object);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct transfer_line line;
    static bool ready;
    if (size == 0)
        return 0;
    if (!ready)
        transfer_line_init(&line);
    ready = true;
    char *text = malloc(size); /* one more than the line has, in a block of its own */
    INVARIANT(text);
    memcpy(text, data + 1, size - 1);
    struct bytes bytes = {text, size - 1};
    enum transfer_line_status status = TRANSFER_MORE;
    transfer_line_begin(&line, bytes);
    while (status == TRANSFER_MORE) {
        size_t budget = (size_t)data[0] + 1;
        status = transfer_line_go_on(&line, NOW, &budget);
    }
    if (status == TRANSFER_ENTRY)
        check_entry(&line.entry, bytes);
    INVARIANT(status != TRANSFER_BAD || line.detail);
    free(text);
    return 0;
}
