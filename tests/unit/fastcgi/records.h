/* FastCGI records as a web server writes them, byte by byte from the specification, and its view of an
 * answer. */
#ifndef INFERONCE_TESTS_RECORDS_H
#define INFERONCE_TESTS_RECORDS_H

#include "inferonce/base/buffer.h"

enum {
    BEGIN = 1,
    ABORT = 2,
    END = 3,
    PARAMS = 4,
    STDIN = 5,
    STDOUT = 6,
    DATA = 8,
    GET_VALUES = 9,
    GET_VALUES_RESULT = 10,
    UNKNOWN_TYPE = 11
};

enum { RESPONDER = 1, AUTHORIZER = 2 };
enum { CLOSE = 0, KEEP = 1 };
enum { COMPLETE = 0, CANT_MPX_CONN = 1, UNKNOWN_ROLE = 3 };

static inline void put_record(struct buffer *to, int type, int id, struct bytes content, size_t padding) {
    static const char PADDING[255];
    const char header[8] = {1,
                            (char)type,
                            (char)(id >> 8),
                            (char)(id & 0xff),
                            (char)(content.length >> 8),
                            (char)(content.length & 0xff),
                            (char)padding,
                            0};
    buffer_append(to, header, sizeof(header));
    buffer_append_bytes(to, content);
    buffer_append(to, PADDING, padding);
}

static inline void put_empty(struct buffer *to, int type, int id) {
    put_record(to, type, id, (struct bytes){NULL, 0}, 0);
}

static inline void put_begin(struct buffer *to, int id, int role, int flags) {
    const char body[8] = {0, (char)role, (char)flags};
    put_record(to, BEGIN, id, (struct bytes){body, sizeof(body)}, 0);
}

/* Lengths below 128 take one byte, others four. */
static inline void put_length(struct buffer *to, size_t length) {
    const char four[4] = {(char)(0x80 | length >> 24), (char)(length >> 16 & 0xff),
                          (char)(length >> 8 & 0xff), (char)(length & 0xff)};
    if (length < 128)
        buffer_append_char(to, (char)length);
    else
        buffer_append(to, four, sizeof(four));
}

static inline void put_pair(struct buffer *to, struct bytes name, struct bytes value) {
    put_length(to, name.length);
    put_length(to, value.length);
    buffer_append_bytes(to, name);
    buffer_append_bytes(to, value);
}

static inline void put_pair_text(struct buffer *to, const char *name, const char *value) {
    put_pair(to, bytes_of(name), bytes_of(value));
}

static inline void put_params(struct buffer *to, int id, const char *name, const char *value) {
    struct buffer pairs;
    buffer_init(&pairs, 65535);
    put_pair_text(&pairs, name, value);
    put_record(to, PARAMS, id, buffer_bytes(&pairs), 3);
    put_empty(to, PARAMS, id);
    buffer_fini(&pairs);
}

/* A body in records of at most `part` bytes, and its end. */
static inline void put_body(struct buffer *to, int id, struct bytes body, size_t part) {
    while (body.length > 0) {
        size_t n = body.length < part ? body.length : part;
        put_record(to, STDIN, id, (struct bytes){body.data, n}, n % 8);
        body.data += n;
        body.length -= n;
    }
    put_empty(to, STDIN, id);
}

static inline void put_request(struct buffer *to, int id, int flags, const char *path, struct bytes body) {
    put_begin(to, id, RESPONDER, flags);
    put_params(to, id, "PATH", path);
    put_body(to, id, body, 65535);
}

/* One record at the front of `bytes`; false when it is not all there. */
struct seen_record {
    int type;
    int id;
    struct bytes content;
    size_t size;
};

static inline bool see_record(struct bytes bytes, struct seen_record *record) {
    const unsigned char *at = (const unsigned char *)bytes.data;
    if (bytes.length < 8)
        return false;
    record->type = at[1];
    record->id = at[2] << 8 | at[3];
    record->content = (struct bytes){bytes.data + 8, (size_t)at[4] << 8 | at[5]};
    record->size = 8 + record->content.length + at[6];
    return at[0] == 1 && bytes.length >= record->size;
}

#endif
