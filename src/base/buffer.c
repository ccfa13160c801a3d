/* A growing piece of memory with a cap. */
#include "inferonce/base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "inferonce/base/eight_bytes.h"
#include "inferonce/base/json_string.h"
#include "inferonce/base/little_endian.h"

#define SMALLEST_CAPACITY 64

static const char HEX_DIGITS[16] = {'0', '1', '2', '3', '4', '5', '6', '7',
                                    '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};

static unsigned char lower(unsigned char c) {
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

bool bytes_equal_ignoring_case(struct bytes a, struct bytes b) {
    if (a.length != b.length)
        return false;
    for (size_t i = 0; i < a.length; i++)
        if (lower((unsigned char)a.data[i]) != lower((unsigned char)b.data[i]))
            return false;
    return true;
}

static bool is_space_or_tab(char c) {
    return c == ' ' || c == '\t';
}

struct bytes bytes_trim(struct bytes bytes) {
    while (bytes.length > 0 && is_space_or_tab(bytes.data[0])) {
        bytes.data++;
        bytes.length--;
    }
    while (bytes.length > 0 && is_space_or_tab(bytes.data[bytes.length - 1]))
        bytes.length--;
    return bytes;
}

uint64_t bytes_hash(struct bytes bytes) {
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes.length; i++)
        hash = (hash ^ (uint8_t)bytes.data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

bool bytes_to_number(struct bytes bytes, uint64_t *number) {
    if (bytes.length == 0)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.length; i++) {
        if (bytes.data[i] < '0' || bytes.data[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(bytes.data[i] - '0');
        value = value > (UINT64_MAX - digit) / 10 ? UINT64_MAX : value * 10 + digit;
    }
    *number = value;
    return true;
}

void buffer_init(struct buffer *buffer, size_t cap) {
    /* No object is larger than PTRDIFF_MAX; so a capacity and one more byte never overflow. */
    *buffer = (struct buffer){.cap = cap < PTRDIFF_MAX ? cap : PTRDIFF_MAX};
}

void buffer_fini(struct buffer *buffer) {
    free(buffer->data);
    *buffer = (struct buffer){.cap = buffer->cap};
}

/* One byte more than the capacity, for the terminator that vsnprintf writes behind the last character. */
static bool resize(struct buffer *buffer, size_t capacity) {
    char *data = realloc(buffer->data, capacity + 1);
    if (!data)
        return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

void buffer_reset(struct buffer *buffer, size_t keep) {
    buffer->length = 0;
    buffer->failed = false;
    if (buffer->capacity <= keep)
        return;
    if (keep > 0 && resize(buffer, keep))
        return;
    free(buffer->data);
    buffer->data = NULL;
    buffer->capacity = 0;
}

char *buffer_grow(struct buffer *buffer, size_t more) {
    if (more > buffer->cap - buffer->length) {
        buffer->failed = true;
        return NULL;
    }
    size_t needed = buffer->length + more;
    size_t capacity = buffer->capacity < SMALLEST_CAPACITY / 2 ? SMALLEST_CAPACITY : 2 * buffer->capacity;
    if (capacity < needed)
        capacity = needed;
    if (capacity > buffer->cap)
        capacity = buffer->cap;
    /* Doubling is only for speed: when memory is short, what is needed may still be had. */
    if (!resize(buffer, capacity) && !resize(buffer, needed)) {
        buffer->failed = true;
        return NULL;
    }
    return buffer->data + buffer->length;
}

void buffer_append_number(struct buffer *buffer, uint64_t number) {
    char digits[20]; /* of UINT64_MAX */
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    buffer_append(buffer, digits + at, sizeof(digits) - at);
}

void buffer_append_format(struct buffer *buffer, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_list again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length < 0) {
        buffer->failed = true;
    } else if ((size_t)length < sizeof(text)) {
        buffer_append(buffer, text, (size_t)length);
    } else {
        char *to = buffer_reserve(buffer, (size_t)length);
        if (to) {
            vsnprintf(to, (size_t)length + 1, format, again);
            buffer->length += (size_t)length;
        }
    }
    va_end(again);
}

/* How much longer a string gets by its escapes; at most five times its length, so the sum cannot overflow. */
static size_t json_growth(struct bytes bytes) {
    size_t growth = 0;
    for (size_t i = 0; i < bytes.length; i++) {
        char escape = json_escape_letter((unsigned char)bytes.data[i]);
        if (escape)
            growth += escape == 'u' ? 5 : 1;
    }
    return growth;
}

void buffer_append_json(struct buffer *buffer, struct bytes bytes) {
    if (bytes.length > PTRDIFF_MAX / 8) {
        buffer->failed = true;
        return;
    }
    size_t growth = json_growth(bytes);
    size_t length = bytes.length + growth + 2;
    char *to = buffer_reserve(buffer, length);
    if (!to)
        return;
    *to++ = '"';
    if (growth > 0) {
        for (size_t i = 0; i < bytes.length; i++)
            to = json_escape(to, (unsigned char)bytes.data[i]);
    } else if (bytes.length > 0) {
        memcpy(to, bytes.data, bytes.length);
        to += bytes.length;
    }
    *to = '"';
    buffer->length += length;
}

/* The digits of four bytes at once: each nibble in a byte of its own, then '0' added to all and what is
 * missing up to 'a' to those above 9. */
static uint64_t hex_of_four(const uint8_t *data) {
    uint64_t x =
        (uint64_t)data[0] | (uint64_t)data[1] << 16 | (uint64_t)data[2] << 32 | (uint64_t)data[3] << 48;
    uint64_t nibbles = (x >> 4 & UINT64_C(0x000f000f000f000f)) | (x & UINT64_C(0x000f000f000f000f)) << 8;
    uint64_t above_nine = (nibbles + EACH_BYTE(6)) >> 4 & EACH_BYTE(1);
    return nibbles + EACH_BYTE('0') + above_nine * ('a' - '0' - 10);
}

void buffer_append_hex(struct buffer *buffer, const uint8_t *data, size_t length) {
    if (length > PTRDIFF_MAX / 2) {
        buffer->failed = true;
        return;
    }
    char *to = buffer_reserve(buffer, 2 * length);
    if (!to)
        return;
    size_t i = 0;
    for (; i + 4 <= length; i += 4, to += 8)
        store_u64(to, hex_of_four(data + i));
    for (; i < length; i++) {
        *to++ = HEX_DIGITS[data[i] >> 4];
        *to++ = HEX_DIGITS[data[i] & 0xf];
    }
    buffer->length += 2 * length;
}

void buffer_consume(struct buffer *buffer, size_t length) {
    INVARIANT(length <= buffer->length);
    buffer->length -= length;
    if (length > 0 && buffer->length > 0)
        memmove(buffer->data, buffer->data + length, buffer->length);
}
