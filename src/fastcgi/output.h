/* The output queue of a connection: records that belong to no answer, and one answer.
 *
 * An answer is a list of pieces. The records around them are made while they are written, so that a piece is
 * never copied on its way to a socket that takes it. What the socket does not take is kept: pieces that lie
 * in blobs by a reference, others in a blob or, when they are short, in a copy. */
#ifndef INFERONCE_FASTCGI_OUTPUT_H
#define INFERONCE_FASTCGI_OUTPUT_H

#include "inferonce/base/blob.h"

struct output {
    /* private */
    struct blobs *blobs;
    struct buffer before; /* records that go before the answer */
    struct buffer after;  /* those behind it: the end of its stream, its end, others */
    bool answering;
    uint16_t id;                /* of the request that is answered */
    const struct piece *pieces; /* borrowed, or `kept` */
    size_t n;
    size_t piece;            /* the first one that is not written to its end */
    uint64_t piece_at;       /* where in the answer it begins */
    uint64_t content_length; /* of the answer */
    uint64_t sent;           /* of everything, records included */
    struct piece part;       /* the only piece, of an answer that goes out in parts */
    struct piece *kept;      /* owned */
    struct buffer copies;    /* of short pieces */
};

enum output_status {
    OUTPUT_WRITTEN, /* all of it */
    OUTPUT_WAITS,   /* the socket took as much as it does now; what is left is kept */
    OUTPUT_GONE,    /* the peer is */
    OUTPUT_NO_MEMORY
};

/* `blobs` is borrowed. */
void output_init(struct output *output, struct blobs *blobs);
void output_fini(struct output *output);

/* Forgets what is not written. */
void output_reset(struct output *output);

/* Adds records, behind what is there. Copied. False: no memory, or too many. */
bool output_say(struct output *output, struct bytes records) MUST_CHECK;

/* Adds an answer to request `id`, with its end; there is none yet. The pieces are borrowed until output_write
 * has returned. False: no memory. */
bool output_answer(struct output *output, uint16_t id, const struct piece *pieces, size_t n) MUST_CHECK;

/* Adds a part of such an answer, without an end; there is none yet. The bytes are borrowed until they are
 * written or the output is reset. */
void output_part(struct output *output, uint16_t id, struct bytes part);

/* Writes what the socket takes, about 1 MB at most in one call. `*taken` says how many bytes it took. */
enum output_status output_write(struct output *output, int descriptor, size_t *taken) MUST_CHECK;

bool output_waits(const struct output *output);

#endif
