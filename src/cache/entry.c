/* Writes entries, and checks what a store returns. */
#include "inferonce/cache/entry.h"

#include "inferonce/base/little_endian.h"
#include "inferonce/cache/crc32c.h"

#define HEADER_VERSION 1

enum {
    AT_MAGIC = 0,
    AT_VERSION = 4,
    AT_NAMESPACE_LENGTH = 6,
    AT_MODEL_NAME_LENGTH = 7,
    AT_MODEL_VERSION_LENGTH = 8,
    AT_ZERO = 9,
    AT_CHECKSUM = 12,
    AT_KEY = 16,
    AT_CREATED = 48,
    AT_FRESH_UNTIL = 56,
    AT_STALE_WHILE_REVALIDATE_UNTIL = 64,
    AT_STALE_IF_ERROR_UNTIL = 72,
    AT_GENERATION = 80,
    AT_INFERENCE = 88,
    AT_BODY_LENGTH = 96,
};

static const char MAGIC[4] = {'I', 'O', 'E', '1'};
static const char ZERO[3] = {0};

static uint32_t checksum_of(const char *value, size_t length) {
    const size_t behind = AT_CHECKSUM + sizeof(uint32_t);
    return crc32c(crc32c(0, value, AT_CHECKSUM), value + behind, length - behind);
}

static struct bytes cut_name(struct bytes name) {
    return (struct bytes){name.data, name.length < ENTRY_NAME_MAX ? name.length : ENTRY_NAME_MAX};
}

static char *put_bytes(char *at, struct bytes bytes) {
    if (bytes.length > 0)
        memcpy(at, bytes.data, bytes.length);
    return at + bytes.length;
}

size_t entry_length(const struct entry *entry) {
    return ENTRY_HEADER_LENGTH + cut_name(entry->cache_namespace).length +
           cut_name(entry->model_name).length + cut_name(entry->model_version).length + entry->body.length;
}

size_t entry_begin(const struct entry *entry, struct buffer *buffer) {
    struct bytes names[] = {cut_name(entry->cache_namespace), cut_name(entry->model_name),
                            cut_name(entry->model_version)};
    char *value = buffer_reserve(buffer, entry_length(entry));
    if (!value)
        return 0;
    char *at = value + ENTRY_HEADER_LENGTH;
    memset(value, 0, ENTRY_HEADER_LENGTH);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        value[AT_NAMESPACE_LENGTH + i] = (char)(uint8_t)names[i].length;
        at = put_bytes(at, names[i]);
    }
    size_t length = (size_t)(at - value);
    buffer->length += length;
    return length;
}

void entry_end(const struct entry *entry, size_t start, size_t body_at, struct buffer *buffer) {
    if (buffer->failed)
        return;
    char *value = buffer->data + start;
    size_t length = buffer->length - start;
    memcpy(value + AT_MAGIC, MAGIC, sizeof(MAGIC));
    store_u16(value + AT_VERSION, HEADER_VERSION);
    memcpy(value + AT_KEY, entry->key.bytes, KEY_LENGTH);
    store_u64(value + AT_CREATED, entry->created_us);
    store_u64(value + AT_FRESH_UNTIL, entry->fresh_until_us);
    store_u64(value + AT_STALE_WHILE_REVALIDATE_UNTIL, entry->stale_while_revalidate_until_us);
    store_u64(value + AT_STALE_IF_ERROR_UNTIL, entry->stale_if_error_until_us);
    store_u64(value + AT_GENERATION, entry->generation);
    store_u64(value + AT_INFERENCE, entry->inference_us);
    store_u64(value + AT_BODY_LENGTH, length - body_at);
    store_u32(value + AT_CHECKSUM, checksum_of(value, length));
}

void entry_append(const struct entry *entry, struct buffer *buffer) {
    size_t start = buffer->length;
    size_t body_at = entry_begin(entry, buffer);
    if (!buffer->failed)
        buffer_append_bytes(buffer, entry->body);
    entry_end(entry, start, body_at, buffer);
}

/* The lengths of the parts add up to the value's own, exactly. */
static bool lengths_fit(struct bytes value) {
    size_t names = (uint8_t)value.data[AT_NAMESPACE_LENGTH] +
                   (size_t)(uint8_t)value.data[AT_MODEL_NAME_LENGTH] +
                   (uint8_t)value.data[AT_MODEL_VERSION_LENGTH];
    size_t behind_header = value.length - ENTRY_HEADER_LENGTH;
    return names <= behind_header && load_u64(value.data + AT_BODY_LENGTH) == behind_header - names;
}

static bool is_intact(struct bytes value) {
    return value.length >= ENTRY_HEADER_LENGTH && memcmp(value.data + AT_MAGIC, MAGIC, sizeof(MAGIC)) == 0 &&
           load_u16(value.data + AT_VERSION) == HEADER_VERSION &&
           memcmp(value.data + AT_ZERO, ZERO, sizeof(ZERO)) == 0 && lengths_fit(value) &&
           load_u32(value.data + AT_CHECKSUM) == checksum_of(value.data, value.length);
}

static struct bytes take_bytes(const char **at, size_t length) {
    struct bytes bytes = {*at, length};
    *at += length;
    return bytes;
}

enum entry_check entry_read(struct bytes value, const struct key *key, uint64_t now_us, struct entry *entry) {
    if (!is_intact(value))
        return ENTRY_CORRUPT;
    if (memcmp(value.data + AT_KEY, key->bytes, KEY_LENGTH) != 0)
        return ENTRY_OTHER_KEY;
    uint64_t created_us = load_u64(value.data + AT_CREATED);
    if (created_us > now_us && created_us - now_us > ENTRY_CLOCK_SKEW_US)
        return ENTRY_FROM_FUTURE;

    const char *at = value.data + ENTRY_HEADER_LENGTH;
    entry->key = *key;
    entry->created_us = created_us;
    entry->fresh_until_us = load_u64(value.data + AT_FRESH_UNTIL);
    entry->stale_while_revalidate_until_us = load_u64(value.data + AT_STALE_WHILE_REVALIDATE_UNTIL);
    entry->stale_if_error_until_us = load_u64(value.data + AT_STALE_IF_ERROR_UNTIL);
    entry->generation = load_u64(value.data + AT_GENERATION);
    entry->inference_us = load_u64(value.data + AT_INFERENCE);
    entry->cache_namespace = take_bytes(&at, (uint8_t)value.data[AT_NAMESPACE_LENGTH]);
    entry->model_name = take_bytes(&at, (uint8_t)value.data[AT_MODEL_NAME_LENGTH]);
    entry->model_version = take_bytes(&at, (uint8_t)value.data[AT_MODEL_VERSION_LENGTH]);
    entry->body = take_bytes(&at, value.length - (size_t)(at - value.data));
    return ENTRY_GOOD;
}
