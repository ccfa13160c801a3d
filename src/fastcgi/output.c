/* Writes an answer's pieces as FastCGI records, from where they are, and keeps what the socket did not take.
 */
#include "fastcgi/output.h"

#include <errno.h>
#include <fastcgi.h>
#include <stdlib.h>
#include <sys/socket.h>

/* Content of a record that is not the last: the most that is a multiple of eight. */
#define CONTENT_MOST 65528u
#define RECORD_MOST  (FCGI_HEADER_LEN + CONTENT_MOST)

/* Parts and bytes that are handed to the kernel in one call. */
#define PARTS_MOST 64
#define BYTES_MOST (1024u * 1024)

#define FLATTENED_MOST (8u * 1024)

/* Records that belong to no answer are few and short (FRAME_REPLY_MAX); a peer that makes us say more without
 * reading is not waited for. */
#define SAID_MAX (8u * 1024)

/* Memory for copies that is kept for the next answer. */
#define COPIES_KEEP (4u * 1024)

void output_init(struct output *output, struct blobs *blobs) {
    *output = (struct output){.blobs = blobs};
    buffer_init(&output->before, SAID_MAX);
    buffer_init(&output->after, SAID_MAX);
    buffer_init(&output->copies, SIZE_MAX);
}

void output_reset(struct output *output) {
    for (size_t i = output->piece; output->kept && i < output->n; i++)
        blob_unref(output->kept[i].blob);
    free(output->kept);
    output->kept = NULL;
    output->pieces = NULL;
    output->n = output->piece = 0;
    output->piece_at = output->content_length = output->sent = 0;
    output->answering = false;
    buffer_reset(&output->before, SAID_MAX);
    buffer_reset(&output->after, SAID_MAX);
    buffer_reset(&output->copies, COPIES_KEEP);
}

void output_fini(struct output *output) {
    output_reset(output);
    buffer_fini(&output->before);
    buffer_fini(&output->after);
    buffer_fini(&output->copies);
}

/* ---- what is to be written ---- */

bool output_say(struct output *output, struct bytes records) {
    struct buffer *to = output->answering ? &output->after : &output->before;
    buffer_append_bytes(to, records);
    return !to->failed;
}

static void write_header(char *header, unsigned type, uint16_t id, size_t length) {
    header[0] = FCGI_VERSION_1;
    header[1] = (char)type;
    header[2] = (char)(id >> 8);
    header[3] = (char)(id & 0xff);
    header[4] = (char)(length >> 8);
    header[5] = (char)(length & 0xff);
    header[6] = header[7] = 0;
}

static void begin_answer(struct output *output, uint16_t id, const struct piece *pieces, size_t n) {
    INVARIANT(!output->answering);
    output->answering = true;
    output->id = id;
    output->pieces = pieces;
    output->n = n;
    for (size_t i = 0; i < n; i++)
        output->content_length += pieces[i].bytes.length;
}

void output_part(struct output *output, uint16_t id, struct bytes part) {
    output->part = (struct piece){.bytes = part};
    begin_answer(output, id, &output->part, 1);
}

/* The empty record that ends STDOUT, and END_REQUEST: complete, application status 0. */
bool output_answer(struct output *output, uint16_t id, const struct piece *pieces, size_t n) {
    char end[2 * FCGI_HEADER_LEN + sizeof(FCGI_EndRequestBody)] = {0};
    begin_answer(output, id, pieces, n);
    write_header(end, FCGI_STDOUT, id, 0);
    write_header(end + FCGI_HEADER_LEN, FCGI_END_REQUEST, id, sizeof(FCGI_EndRequestBody));
    return output_say(output, (struct bytes){end, sizeof(end)});
}

static uint64_t answer_length(const struct output *output) {
    uint64_t records = (output->content_length + CONTENT_MOST - 1) / CONTENT_MOST;
    return output->content_length + records * FCGI_HEADER_LEN;
}

static uint64_t whole_length(const struct output *output) {
    return output->before.length + answer_length(output) + output->after.length;
}

bool output_waits(const struct output *output) {
    return output->sent < whole_length(output);
}

/* ---- parts for the kernel ---- */

struct parts {
    struct iovec list[PARTS_MOST];
    size_t n;
    size_t bytes;
    char headers[PARTS_MOST][FCGI_HEADER_LEN];
};

static bool is_full(const struct parts *parts) {
    return parts->n == PARTS_MOST || parts->bytes >= BYTES_MOST;
}

static void add(struct parts *parts, const char *data, size_t length) {
    parts->list[parts->n++] = (struct iovec){(void *)(uintptr_t)data, length};
    parts->bytes += length;
}

/* The piece of the answer that is written next: (the rest of) a record's header, or of its content as much
 * as is in one piece. */
static size_t add_at(const struct output *output, uint64_t at, size_t *piece, uint64_t *piece_at,
                     struct parts *parts) {
    uint64_t content_at = at / RECORD_MOST * CONTENT_MOST;
    size_t offset = (size_t)(at % RECORD_MOST);
    uint64_t left = output->content_length - content_at;
    size_t length = left < CONTENT_MOST ? (size_t)left : CONTENT_MOST;
    if (offset < FCGI_HEADER_LEN) {
        char *header = parts->headers[parts->n];
        write_header(header, FCGI_STDOUT, output->id, length);
        add(parts, header + offset, FCGI_HEADER_LEN - offset);
        return FCGI_HEADER_LEN - offset;
    }
    offset -= FCGI_HEADER_LEN;
    content_at += offset;
    while (content_at >= *piece_at + output->pieces[*piece].bytes.length)
        *piece_at += output->pieces[(*piece)++].bytes.length;
    struct bytes bytes = output->pieces[*piece].bytes;
    size_t in_piece = (size_t)(content_at - *piece_at);
    size_t in_record = length - offset;
    size_t part = bytes.length - in_piece < in_record ? bytes.length - in_piece : in_record;
    add(parts, bytes.data + in_piece, part);
    return part;
}

static void collect(const struct output *output, struct parts *parts) {
    size_t piece = output->piece;
    uint64_t piece_at = output->piece_at;
    uint64_t answer = answer_length(output);
    uint64_t at = output->sent;
    parts->n = parts->bytes = 0;
    if (at < output->before.length) {
        add(parts, output->before.data + at, output->before.length - (size_t)at);
        at = output->before.length;
    }
    at -= output->before.length;
    while (at < answer && !is_full(parts))
        at += add_at(output, at, &piece, &piece_at, parts);
    if (at < answer || is_full(parts))
        return;
    at -= answer;
    if (at < output->after.length)
        add(parts, output->after.data + at, output->after.length - (size_t)at);
}

/* ---- what is left ---- */

/* Lets go of the pieces that are written. */
static void advance(struct output *output, size_t taken) {
    output->sent += taken;
    if (output->sent <= output->before.length)
        return;
    uint64_t at = output->sent - output->before.length;
    uint64_t in_record = at % RECORD_MOST;
    uint64_t content = at / RECORD_MOST * CONTENT_MOST;
    content += in_record > FCGI_HEADER_LEN ? in_record - FCGI_HEADER_LEN : 0;
    while (output->piece < output->n &&
           content >= output->piece_at + output->pieces[output->piece].bytes.length) {
        output->piece_at += output->pieces[output->piece].bytes.length;
        if (output->kept)
            blob_unref(output->kept[output->piece].blob);
        output->piece++;
    }
}

static bool keep_piece(struct output *output, const struct piece *piece, struct piece *kept) {
    struct bytes bytes = piece->bytes;
    *kept = (struct piece){bytes, piece->blob};
    if (piece->blob) {
        blob_ref(piece->blob);
        return true;
    }
    if (bytes.length >= BLOB_LEAST) {
        kept->blob = blobs_hold(output->blobs, bytes);
        if (kept->blob)
            kept->bytes = kept->blob->bytes;
        return kept->blob != NULL;
    }
    kept->bytes.data = output->copies.data + output->copies.length;
    buffer_append_bytes(&output->copies, bytes);
    return true;
}

/* Keeps what is left of borrowed pieces. False: no memory. */
static bool keep(struct output *output) {
    size_t n = output->n - output->piece;
    size_t length = 0;
    for (size_t i = output->piece; i < output->n; i++)
        if (!output->pieces[i].blob && output->pieces[i].bytes.length < BLOB_LEAST)
            length += output->pieces[i].bytes.length;
    if (length > 0 && !buffer_reserve(&output->copies, length))
        return false;
    struct piece *kept = reallocarray(NULL, n, sizeof(*kept));
    if (!kept)
        return false;
    size_t done = 0;
    while (done < n && keep_piece(output, &output->pieces[output->piece + done], &kept[done]))
        done++;
    output->kept = kept;
    output->pieces = kept;
    output->n = done;
    output->piece = 0;
    return done == n;
}

/* Short parts are handed over in one piece: the kernel takes longer to pick them up one by one. */
static ssize_t send_parts(int descriptor, struct parts *parts) {
    char whole[FLATTENED_MOST];
    if (parts->bytes > sizeof(whole)) {
        const struct msghdr message = {.msg_iov = parts->list, .msg_iovlen = parts->n};
        return sendmsg(descriptor, &message, MSG_NOSIGNAL);
    }
    char *to = whole;
    for (size_t i = 0; i < parts->n; i++) {
        memcpy(to, parts->list[i].iov_base, parts->list[i].iov_len);
        to += parts->list[i].iov_len;
    }
    return send(descriptor, whole, parts->bytes, MSG_NOSIGNAL);
}

enum output_status output_write(struct output *output, int descriptor, size_t *taken) {
    struct parts parts;
    collect(output, &parts);
    ssize_t n = send_parts(descriptor, &parts);
    *taken = n > 0 ? (size_t)n : 0;
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return OUTPUT_GONE;
    advance(output, *taken);
    if (!output_waits(output)) {
        output_reset(output);
        return OUTPUT_WRITTEN;
    }
    bool borrowed = output->piece < output->n && !output->kept && output->pieces != &output->part;
    if (borrowed && !keep(output))
        return OUTPUT_NO_MEMORY;
    return OUTPUT_WAITS;
}
