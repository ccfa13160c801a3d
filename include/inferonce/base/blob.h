/* Large pieces of answers, held once however many answers they are part of.
 *
 * A body is shared by all that send it: the items of a batch, and connections whose readers take their time.
 * What is held is found again by its bytes, so that hits of one entry share it, too, although each look-up of
 * the store returns a copy of its own. */
#ifndef INFERONCE_BASE_BLOB_H
#define INFERONCE_BASE_BLOB_H

#include "inferonce/base/buffer.h"
#include "inferonce/base/stats.h"

/* Shorter bytes are copied by their owner: sharing would cost more than it saves. */
#define BLOB_LEAST (16u * 1024)

/* The most bytes that one worker holds in blobs. */
#define BLOBS_BYTES_MAX (UINT64_C(128) << 20)

struct blobs;

/* Immutable bytes with a count of references. */
struct blob {
    struct bytes bytes;

    /* private */
    struct blobs *blobs;
    size_t references;
    size_t capacity;
    uint64_t hash;
    struct blob *next; /* in its bucket, or among the spare ones */
};

/* Part of an answer. */
struct piece {
    struct bytes bytes;
    struct blob *blob; /* that the bytes lie in; NULL: they are borrowed for the call */
};

/* A worker's. `stats` is borrowed: held_bytes. Returns owned; NULL: no memory. */
struct blobs *blobs_create(struct stats *stats) MUST_CHECK;

/* When no reference is left. Nulls the pointer. */
void blobs_destroy(struct blobs **blobs);

/* Whether `length` more bytes may be held. */
bool blobs_have_room(const struct blobs *blobs, uint64_t length);

/* A reference to a blob of these bytes: to one that lives, or else to a copy. NULL: no memory, or no room. */
struct blob *blobs_hold(struct blobs *blobs, struct bytes bytes) MUST_CHECK;

struct blob *blob_ref(struct blob *blob);

/* NULL is nothing to do. With the last reference the bytes are gone. */
void blob_unref(struct blob *blob);

#endif
