/* The frame scanner: finds where one complete FastCGI request ends, before libfcgi sees a byte of it.
 *
 * libfcgi reads a request by blocking until it is there and trusts what it reads (a GET_VALUES record that
 * names one variable four times overruns a buffer, a record of another request id loses the body, a 2 GB
 * parameter length asserts). The scanner therefore walks the records, wants BEGIN_REQUEST, PARAMS up to its
 * empty record and STDIN up to its empty record, holds every size against a limit, checks the lengths inside
 * PARAMS, and writes to `out` that one request and nothing else, in as few records as it fits and without
 * padding. Management records and records of other ids never get there.
 *
 * Record layout and types: FastCGI Specification 1.0, sections 3.3 and 8. */
#ifndef INFERONCE_FASTCGI_FRAME_H
#define INFERONCE_FASTCGI_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inferonce/base/buffer.h"

/* The most bytes of one record; nginx's default for large_client_header_buffers is 4 x 8 KB. */
#define FRAME_PARAMS_MAX 65535

/* The largest record: header, content, padding. A caller's input buffer needs room for one. */
#define FRAME_RECORD_MAX (8 + 65535 + 255)

/* The most that one frame_scan says by itself. A server asks once, if at all. */
#define FRAME_REPLY_MAX 4096

/* Told to a server that asks (GET_VALUES), as FCGI_MAX_CONNS and FCGI_MAX_REQS: what the usual limit of
 * descriptors allows. */
#define FRAME_CONNECTIONS_TOLD "1024"

enum frame_status {
    FRAME_INCOMPLETE, /* all that was given is consumed as far as possible; more bytes are needed */
    FRAME_REQUEST,    /* `out` holds one complete request; bytes behind it stay with the caller */
    /* A complete request whose body passed body_max: `out` holds it with an empty body. Answer 413. */
    FRAME_TOO_LARGE,
    /* A complete request whose parameters passed FRAME_PARAMS_MAX: `out` holds it with neither parameters nor
     * a body. Answer 431. */
    FRAME_PARAMS_TOO_LARGE,
    /* Only when `asks` is set. The body passes body_max with the next record: `out` holds the request with
     * the body so far, and frame_decide says what becomes of the rest. */
    FRAME_LARGE,
    /* The next piece of such a body is `part`; with `complete` set it is empty, and the body has ended. */
    FRAME_PART,
    /* A request ends here without an answer: ABORT_REQUEST, or BEGIN_REQUEST for a role other than responder.
     * Its END_REQUEST is in `reply`, `keep` is its, the scanner is ready for the next one. */
    FRAME_ENDED,
    /* Not FastCGI, over a limit that no honest server passes, or no memory: close the connection. */
    FRAME_INVALID
};

struct frame_scanner {
    size_t body_max; /* the most bytes of STDIN that are kept */
    bool asks;       /* bodies over it are FRAME_LARGE */
    uint16_t id;     /* of the request being collected or answered; 0: none */
    bool keep;       /* FCGI_KEEP_CONN */
    bool params_ended;
    bool complete;        /* frame_scan has returned the request; frame_next was not called yet */
    bool overflow;        /* body_max was passed: STDIN is counted and dropped */
    bool parts;           /* STDIN goes out in parts */
    bool params_overflow; /* FRAME_PARAMS_MAX was passed: PARAMS and STDIN are dropped */
    size_t record_at;     /* where in `out` the record begins that content is still added to */
    size_t params_length;
    size_t body_length; /* of STDIN, what was dropped included */
    struct bytes part;  /* FRAME_PART: borrowed from the bytes that were scanned */
    /* The records of one request, for libfcgi. May be reset as soon as libfcgi has read them. */
    struct buffer out;
    /* Records that the scanner answers itself (GET_VALUES_RESULT, UNKNOWN_TYPE, END_REQUEST): to be taken and
     * sent before anything else. Its cap bounds what a peer can make us say. */
    struct buffer reply;
};

void frame_init(struct frame_scanner *scanner, size_t body_max);
void frame_fini(struct frame_scanner *scanner);

/* Scans `bytes`; `*consumed` says how many of them are done with. Called again with what is left and more
 * behind it. Partial records are not consumed.
 *
 * Between a complete request and frame_next the only record taken is an ABORT_REQUEST for it that comes next:
 * it makes FRAME_ENDED. All else waits, as FRAME_INCOMPLETE. */
enum frame_status frame_scan(struct frame_scanner *scanner, struct bytes bytes, size_t *consumed);

/* After FRAME_LARGE, before anything else is scanned: the rest of the body comes in parts, or it is dropped
 * like all of the body (`out` must still be as it was), which makes FRAME_TOO_LARGE. */
void frame_decide(struct frame_scanner *scanner, bool parts);

/* The request was answered or given up: ready for the next one. `keep` stays readable. */
void frame_next(struct frame_scanner *scanner);

#endif
