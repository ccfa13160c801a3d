/* Finds the records of one request in a stream of bytes. */
#include "fastcgi/frame.h"

#include <fastcgi.h>

#define CONTENT_MAX FCGI_MAX_LENGTH

/* Kept between requests, so that a usual request finds its memory already there. */
#define OUT_KEEP (16 * 1024)

struct record {
    uint8_t type;
    uint16_t id;
    struct bytes content;
    size_t size; /* with header and padding */
};

static uint16_t read_16(const char *at) {
    return (uint16_t)((unsigned)(unsigned char)at[0] << 8 | (unsigned char)at[1]);
}

static void write_16(char *at, size_t value) {
    at[0] = (char)(value >> 8 & 0xff);
    at[1] = (char)(value & 0xff);
}

static void append_header(struct buffer *buffer, uint8_t type, uint16_t id, size_t length) {
    char header[FCGI_HEADER_LEN] = {FCGI_VERSION_1, (char)type};
    write_16(header + 2, id);
    write_16(header + 4, length);
    buffer_append(buffer, header, sizeof(header));
}

/* Bytes that `out` needs for a request at its limits: BEGIN_REQUEST, PARAMS and STDIN with one header per
 * record and one for each end. */
static size_t out_cap(size_t body_max) {
    size_t headers = FCGI_HEADER_LEN * (5 + body_max / CONTENT_MAX + 1);
    return headers + sizeof(FCGI_BeginRequestBody) + FRAME_PARAMS_MAX + body_max;
}

void frame_init(struct frame_scanner *scanner, size_t body_max) {
    *scanner = (struct frame_scanner){.body_max = body_max};
    buffer_init(&scanner->out, out_cap(body_max));
    buffer_init(&scanner->reply, FRAME_REPLY_MAX);
}

void frame_fini(struct frame_scanner *scanner) {
    buffer_fini(&scanner->out);
    buffer_fini(&scanner->reply);
}

void frame_next(struct frame_scanner *scanner) {
    scanner->id = 0;
    scanner->params_ended = false;
    scanner->complete = false;
    scanner->overflow = false;
    scanner->parts = false;
    scanner->params_overflow = false;
    scanner->record_at = 0;
    scanner->params_length = 0;
    scanner->body_length = 0;
    scanner->part = (struct bytes){NULL, 0};
    buffer_reset(&scanner->out, OUT_KEEP);
}

/* Reads a length of a name-value pair (specification section 3.4) from the front of `bytes`. */
static bool take_length(struct bytes *bytes, size_t *length) {
    const unsigned char *at = (const unsigned char *)bytes->data;
    size_t size = bytes->length > 0 && at[0] & 0x80 ? 4 : 1;
    if (bytes->length < size)
        return false;
    *length =
        size == 1 ? at[0] : (size_t)(at[0] & 0x7f) << 24 | (size_t)at[1] << 16 | (size_t)at[2] << 8 | at[3];
    bytes->data += size;
    bytes->length -= size;
    return true;
}

/* Takes one name-value pair from the front of `bytes`. A NUL would cut the string that libfcgi makes of it.
 */
static bool take_pair(struct bytes *bytes, struct bytes *name) {
    size_t name_length;
    size_t value_length;
    if (!take_length(bytes, &name_length) || !take_length(bytes, &value_length))
        return false;
    if (name_length + value_length > bytes->length || memchr(bytes->data, 0, name_length + value_length))
        return false;
    *name = (struct bytes){bytes->data, name_length};
    bytes->data += name_length + value_length;
    bytes->length -= name_length + value_length;
    return true;
}

static bool pairs_are_sound(struct bytes bytes) {
    struct bytes name;
    while (bytes.length > 0)
        if (!take_pair(&bytes, &name))
            return false;
    return true;
}

static enum frame_status replied(const struct frame_scanner *scanner, enum frame_status status) {
    return scanner->reply.failed ? FRAME_INVALID : status;
}

static enum frame_status reply_end(struct frame_scanner *scanner, uint16_t id, uint8_t protocol_status,
                                   enum frame_status status) {
    FCGI_EndRequestBody body = {.protocolStatus = protocol_status};
    append_header(&scanner->reply, FCGI_END_REQUEST, id, sizeof(body));
    buffer_append(&scanner->reply, &body, sizeof(body));
    return replied(scanner, status);
}

/* Answers each variable that the specification knows at most once, however often it was named. */
static enum frame_status reply_values(struct frame_scanner *scanner, struct bytes asked) {
    static const struct {
        const char *name;
        const char *value;
    } VALUES[] = {{FCGI_MAX_CONNS, FRAME_CONNECTIONS_TOLD},
                  {FCGI_MAX_REQS, FRAME_CONNECTIONS_TOLD},
                  {FCGI_MPXS_CONNS, "0"}};
    enum { VALUES_COUNT = sizeof(VALUES) / sizeof(VALUES[0]) };
    bool wanted[VALUES_COUNT] = {false};
    struct bytes name;
    while (asked.length > 0) {
        if (!take_pair(&asked, &name))
            return FRAME_INVALID;
        for (size_t i = 0; i < VALUES_COUNT; i++)
            wanted[i] = wanted[i] || bytes_equal(name, bytes_of(VALUES[i].name));
    }
    size_t header_at = scanner->reply.length;
    append_header(&scanner->reply, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID, 0);
    size_t content_at = scanner->reply.length;
    for (size_t i = 0; i < VALUES_COUNT; i++) {
        if (!wanted[i])
            continue;
        buffer_append_char(&scanner->reply, (char)strlen(VALUES[i].name));
        buffer_append_char(&scanner->reply, (char)strlen(VALUES[i].value));
        buffer_append_text(&scanner->reply, VALUES[i].name);
        buffer_append_text(&scanner->reply, VALUES[i].value);
    }
    if (scanner->reply.failed)
        return FRAME_INVALID;
    write_16(scanner->reply.data + header_at + 4, scanner->reply.length - content_at);
    return FRAME_INCOMPLETE;
}

static enum frame_status take_management(struct frame_scanner *scanner, const struct record *record) {
    if (record->type == FCGI_GET_VALUES)
        return reply_values(scanner, record->content);
    FCGI_UnknownTypeBody body = {.type = record->type};
    append_header(&scanner->reply, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID, sizeof(body));
    buffer_append(&scanner->reply, &body, sizeof(body));
    return replied(scanner, FRAME_INCOMPLETE);
}

static enum frame_status take_begin(struct frame_scanner *scanner, const struct record *record) {
    if (record->id == FCGI_NULL_REQUEST_ID || record->id == scanner->id ||
        record->content.length != sizeof(FCGI_BeginRequestBody))
        return FRAME_INVALID;
    if (scanner->id != 0)
        return reply_end(scanner, record->id, FCGI_CANT_MPX_CONN, FRAME_INCOMPLETE);
    scanner->keep = record->content.data[2] & FCGI_KEEP_CONN;
    if (read_16(record->content.data) != FCGI_RESPONDER)
        return reply_end(scanner, record->id, FCGI_UNKNOWN_ROLE, FRAME_ENDED);
    scanner->id = record->id;
    append_header(&scanner->out, FCGI_BEGIN_REQUEST, record->id, record->content.length);
    buffer_append_bytes(&scanner->out, record->content);
    scanner->record_at = scanner->out.length;
    append_header(&scanner->out, FCGI_PARAMS, record->id, 0);
    return scanner->out.failed ? FRAME_INVALID : FRAME_INCOMPLETE;
}

static size_t open_record_length(const struct frame_scanner *scanner) {
    return scanner->out.length - scanner->record_at - FCGI_HEADER_LEN;
}

static void open_record(struct frame_scanner *scanner, uint8_t type) {
    scanner->record_at = scanner->out.length;
    append_header(&scanner->out, type, scanner->id, 0);
}

/* Writes the length into the open record's header; it becomes the stream's end if nothing was added to it,
 * else the end is a record of its own. */
static bool end_stream(struct frame_scanner *scanner, uint8_t type) {
    size_t length = open_record_length(scanner);
    if (length > 0) {
        write_16(scanner->out.data + scanner->record_at + 4, length);
        open_record(scanner, type);
    }
    return !scanner->out.failed;
}

/* Forgets the parameters: what remains is the header of the open record, which ends the stream if nothing is
 * added to it. Whose body it is that follows is not known then, so nobody wants it. */
static void drop_params(struct frame_scanner *scanner) {
    scanner->params_overflow = scanner->overflow = true;
    scanner->params_length = 0;
    scanner->out.length = scanner->record_at + FCGI_HEADER_LEN;
}

static enum frame_status take_params(struct frame_scanner *scanner, struct bytes content) {
    if (scanner->params_ended)
        return FRAME_INVALID;
    if (content.length > 0 && scanner->params_overflow)
        return FRAME_INCOMPLETE;
    if (content.length > 0) {
        scanner->params_length += content.length;
        if (scanner->params_length > FRAME_PARAMS_MAX) {
            drop_params(scanner);
            return FRAME_INCOMPLETE;
        }
        buffer_append_bytes(&scanner->out, content);
        return scanner->out.failed ? FRAME_INVALID : FRAME_INCOMPLETE;
    }
    const char *pairs = scanner->out.data + scanner->record_at + FCGI_HEADER_LEN;
    if (!pairs_are_sound((struct bytes){pairs, scanner->params_length}) || !end_stream(scanner, FCGI_PARAMS))
        return FRAME_INVALID;
    scanner->params_ended = true;
    open_record(scanner, FCGI_STDIN);
    return scanner->out.failed ? FRAME_INVALID : FRAME_INCOMPLETE;
}

/* Fills the open record before it opens another: a peer that sends a byte a record does not make us keep
 * nine. */
static bool append_body(struct frame_scanner *scanner, struct bytes content) {
    while (content.length > 0 && !scanner->out.failed) {
        size_t room = CONTENT_MAX - open_record_length(scanner);
        size_t part = content.length < room ? content.length : room;
        buffer_append(&scanner->out, content.data, part);
        content.data += part;
        content.length -= part;
        if (content.length > 0) {
            write_16(scanner->out.data + scanner->record_at + 4, CONTENT_MAX);
            open_record(scanner, FCGI_STDIN);
        }
    }
    return !scanner->out.failed;
}

/* Forgets the body: what remains is an empty STDIN record behind PARAMS, of which all lengths are known. */
static void drop_body(struct frame_scanner *scanner) {
    size_t params_end = scanner->params_length > 0 ? FCGI_HEADER_LEN : 0;
    scanner->overflow = true;
    scanner->record_at = FCGI_HEADER_LEN + sizeof(FCGI_BeginRequestBody) + FCGI_HEADER_LEN +
                         scanner->params_length + params_end;
    scanner->out.length = scanner->record_at + FCGI_HEADER_LEN;
    write_16(scanner->out.data + scanner->record_at + 4, 0);
}

void frame_decide(struct frame_scanner *scanner, bool parts) {
    scanner->parts = parts;
    if (!parts)
        drop_body(scanner);
}

static enum frame_status take_part(struct frame_scanner *scanner, struct bytes content) {
    scanner->complete = content.length == 0;
    scanner->body_length += content.length;
    scanner->part = content;
    return FRAME_PART;
}

static enum frame_status take_stdin(struct frame_scanner *scanner, struct bytes content) {
    if (!scanner->params_ended)
        return FRAME_INVALID;
    if (scanner->parts)
        return take_part(scanner, content);
    if (content.length == 0) {
        if (!end_stream(scanner, FCGI_STDIN))
            return FRAME_INVALID;
        scanner->complete = true;
        return scanner->params_overflow ? FRAME_PARAMS_TOO_LARGE
               : scanner->overflow      ? FRAME_TOO_LARGE
                                        : FRAME_REQUEST;
    }
    scanner->body_length += content.length;
    if (scanner->overflow)
        return FRAME_INCOMPLETE;
    if (scanner->body_length > scanner->body_max) {
        drop_body(scanner);
        return FRAME_INCOMPLETE;
    }
    return append_body(scanner, content) ? FRAME_INCOMPLETE : FRAME_INVALID;
}

static enum frame_status take_abort(struct frame_scanner *scanner) {
    uint16_t id = scanner->id;
    frame_next(scanner);
    return reply_end(scanner, id, FCGI_REQUEST_COMPLETE, FRAME_ENDED);
}

static enum frame_status take_record(struct frame_scanner *scanner, const struct record *record) {
    if (record->type == FCGI_BEGIN_REQUEST)
        return take_begin(scanner, record);
    if (record->id == FCGI_NULL_REQUEST_ID)
        return take_management(scanner, record);
    if (record->id != scanner->id)
        return FRAME_INCOMPLETE; /* of a request that is over or was refused: ignored (section 3.3) */
    switch (record->type) {
    case FCGI_ABORT_REQUEST:
        return take_abort(scanner);
    case FCGI_PARAMS:
        return take_params(scanner, record->content);
    case FCGI_STDIN:
        return take_stdin(scanner, record->content);
    default:
        return FRAME_INVALID;
    }
}

/* Whether somebody has to decide what becomes of the body before this record is taken. */
static bool is_question(const struct frame_scanner *scanner, const struct record *record) {
    return scanner->asks && record->type == FCGI_STDIN && record->id == scanner->id &&
           scanner->params_ended && !scanner->overflow && !scanner->parts &&
           scanner->body_length + record->content.length > scanner->body_max;
}

/* Finds the record at the front of `bytes`; false when it is not all there. */
static bool find_record(struct bytes bytes, struct record *record) {
    if (bytes.length < FCGI_HEADER_LEN)
        return false;
    size_t length = read_16(bytes.data + 4);
    size_t padding = (unsigned char)bytes.data[6];
    record->type = (uint8_t)bytes.data[1];
    record->id = read_16(bytes.data + 2);
    record->content = (struct bytes){bytes.data + FCGI_HEADER_LEN, length};
    record->size = FCGI_HEADER_LEN + length + padding;
    return bytes.length >= record->size;
}

enum frame_status frame_scan(struct frame_scanner *scanner, struct bytes bytes, size_t *consumed) {
    enum frame_status status = FRAME_INCOMPLETE;
    size_t used = 0;
    while (status == FRAME_INCOMPLETE && used < bytes.length) {
        struct record record;
        struct bytes rest = {bytes.data + used, bytes.length - used};
        if (rest.data[0] != FCGI_VERSION_1) {
            status = FRAME_INVALID;
            break;
        }
        if (!find_record(rest, &record))
            break;
        if (scanner->complete && (record.type != FCGI_ABORT_REQUEST || record.id != scanner->id))
            break;
        if (is_question(scanner, &record)) {
            status = end_stream(scanner, FCGI_STDIN) ? FRAME_LARGE : FRAME_INVALID;
            break;
        }
        used += record.size;
        status = take_record(scanner, &record);
    }
    *consumed = used;
    return status;
}
