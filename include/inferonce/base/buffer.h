/* Byte ranges and growing byte buffers with a cap from birth. */
#ifndef INFERONCE_BASE_BUFFER_H
#define INFERONCE_BASE_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "inferonce/base/error.h"

/* Borrowed bytes; not terminated. `data` may be NULL only when `length` is 0. */
struct bytes {
    const char *data;
    size_t length;
};

static inline struct bytes bytes_of(const char *text) {
    return (struct bytes){text, text ? strlen(text) : 0};
}

/* The bytes of a string literal, whose length the compiler knows. */
#define LITERAL(text) ((struct bytes){text, sizeof(text) - 1})

static inline bool bytes_equal(struct bytes a, struct bytes b) {
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

/* Compares with ASCII letters of either case equal, as HTTP field names, tokens and media types are compared.
 */
bool bytes_equal_ignoring_case(struct bytes a, struct bytes b);

/* Without the leading and trailing spaces and tabs (OWS of RFC 9110 section 5.6.3). */
struct bytes bytes_trim(struct bytes bytes);

/* FNV-1a: spreads names and addresses over places; no defence against who chooses them. */
uint64_t bytes_hash(struct bytes bytes);

/* Decimal digits only, at least one; false when there is anything else. Saturates at UINT64_MAX. */
bool bytes_to_number(struct bytes bytes, uint64_t *number) MUST_CHECK;

/* A growing buffer. It keeps its memory when it is reset, so that a pooled owner does not allocate per use.
 *
 * An append that would pass `cap`, or for which there is no memory, appends nothing and sets `failed`, which
 * stays set until the buffer is reset: a writer appends as often as it likes and looks once at the end. */
struct buffer {
    char *data; /* owned */
    size_t length;
    size_t capacity;
    size_t cap;
    bool failed;
};

void buffer_init(struct buffer *buffer, size_t cap);
void buffer_fini(struct buffer *buffer);

/* Empties it and clears `failed`. Memory above `keep` bytes is given back. */
void buffer_reset(struct buffer *buffer, size_t keep);

/* The slow way of buffer_reserve: more memory. */
char *buffer_grow(struct buffer *buffer, size_t more);

/* Makes room for `more` bytes behind `length`; returns where they go, or NULL (and sets `failed`). Who writes
 * there raises `length`. */
static inline char *buffer_reserve(struct buffer *buffer, size_t more) {
    if (buffer->data && more <= buffer->capacity - buffer->length)
        return buffer->data + buffer->length;
    return buffer_grow(buffer, more);
}

static inline void buffer_append(struct buffer *buffer, const void *data, size_t length) {
    if (length == 0)
        return;
    char *to = buffer_reserve(buffer, length);
    if (!to)
        return;
    memcpy(to, data, length);
    buffer->length += length;
}

static inline void buffer_append_bytes(struct buffer *buffer, struct bytes bytes) {
    buffer_append(buffer, bytes.data, bytes.length);
}

#define APPEND_LITERAL(buffer, text) buffer_append((buffer), (text), sizeof(text) - 1)

static inline void buffer_append_text(struct buffer *buffer, const char *text) {
    buffer_append(buffer, text, strlen(text));
}

static inline void buffer_append_char(struct buffer *buffer, char c) {
    buffer_append(buffer, &c, 1);
}

void buffer_append_number(struct buffer *buffer, uint64_t number);
void buffer_append_format(struct buffer *buffer, const char *format, ...) PRINTF_LIKE(2, 3);

/* A JSON string with its quotes. `bytes` is UTF-8 that was checked before; what would need an escape gets one
 * (RFC 8259). */
void buffer_append_json(struct buffer *buffer, struct bytes bytes);

/* Lower-case hex digits, two a byte. */
void buffer_append_hex(struct buffer *buffer, const uint8_t *data, size_t length);

/* Removes the first `length` bytes; what is behind them moves to the front. */
void buffer_consume(struct buffer *buffer, size_t length);

static inline struct bytes buffer_bytes(const struct buffer *buffer) {
    return (struct bytes){buffer->data, buffer->length};
}

#endif
