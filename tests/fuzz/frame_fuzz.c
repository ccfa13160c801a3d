/* Feeds bytes to the frame scanner, split as the bytes themselves say, and what it lets through to libfcgi,
 * which must take it: the scanner's promise is that libfcgi never meets what it cannot digest.
 *
 * tests/unit/fastcgi/frame_fuzz_test.c runs it over seeded mutations of real requests. */
#include <fcgiapp.h>
#include <stdlib.h>

#include "fastcgi/frame.h"
#include "fastcgi/responder.h"

#define FUZZ_BODY_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libfcgi must take what the scanner calls a request, with the body that it counted. */
static void pass_on(const struct frame_scanner *scanner, struct responder *responder, bool has_body) {
    size_t body_length = has_body ? scanner->body_length : 0;
    INVARIANT(responder_take(responder, buffer_bytes(&scanner->out), body_length));
    INVARIANT(body_length <= FUZZ_BODY_MAX && responder_body(responder).length == body_length);
    responder_drop(responder);
}

/* Scans until more bytes are needed. False: the connection would be closed. */
static bool scan_all(struct frame_scanner *scanner, struct responder *responder, bool parts,
                     struct bytes *bytes) {
    for (;;) {
        size_t consumed = 0;
        enum frame_status status = frame_scan(scanner, *bytes, &consumed);
        INVARIANT(consumed <= bytes->length);
        INVARIANT(scanner->reply.length <= FRAME_REPLY_MAX);
        bytes->data += consumed;
        bytes->length -= consumed;
        buffer_reset(&scanner->reply, FRAME_REPLY_MAX);
        switch (status) {
        case FRAME_INCOMPLETE:
            INVARIANT(bytes->length < FRAME_RECORD_MAX);
            return true;
        case FRAME_INVALID:
            return false;
        case FRAME_ENDED:
            break;
        case FRAME_REQUEST:
        case FRAME_TOO_LARGE:
        case FRAME_PARAMS_TOO_LARGE:
            pass_on(scanner, responder, status == FRAME_REQUEST);
            frame_next(scanner);
            break;
        case FRAME_LARGE:
            INVARIANT(scanner->asks);
            pass_on(scanner, responder, true);
            frame_decide(scanner, parts);
            break;
        case FRAME_PART:
            INVARIANT(parts && scanner->complete == (scanner->part.length == 0));
            if (scanner->complete)
                frame_next(scanner);
        }
    }
}

/* The first byte says in how large pieces the others arrive, and what becomes of long bodies; each piece is
 * the caller's input buffer, copied so that a sanitizer sees a read past it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct frame_scanner scanner;
    struct buffer spare;
    if (size == 0)
        return 0;
    FCGX_Init();
    buffer_init(&spare, FUZZ_BODY_MAX);
    struct responder *responder = responder_create(&spare);
    INVARIANT(responder);
    frame_init(&scanner, FUZZ_BODY_MAX);
    scanner.asks = data[0] & 1;
    size_t piece = (size_t)data[0] + 1;
    size_t from = 1;
    size_t to = 1;
    bool open = true;
    while (open && to < size) {
        to += piece < size - to ? piece : size - to;
        char *input = malloc(to - from);
        INVARIANT(input);
        memcpy(input, data + from, to - from);
        struct bytes rest = {input, to - from};
        open = scan_all(&scanner, responder, data[0] & 2, &rest);
        from = to - rest.length;
        free(input);
    }
    frame_fini(&scanner);
    responder_destroy(&responder);
    buffer_fini(&spare);
    return 0;
}
