/* Keys: SHA-256 over length-prefixed fields, nothing truncated, nothing concatenated without its length.
 *
 * A field is its length as 8 bytes, little-endian, and its bytes; a number is a field of 8 bytes,
 * little-endian. The first field names what the key is of ("entry", "generation", "lease", ...), so
 * that no two kinds can meet; the second is the number KEY_SCHEMA_VERSION. */
#ifndef INFERONCE_CACHE_KEY_H
#define INFERONCE_CACHE_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "inferonce/base/buffer.h"

#define KEY_LENGTH     32
#define KEY_HEX_LENGTH 64

/* Raised whenever the meaning of the fields changes: old entries are then never found. */
#define KEY_SCHEMA_VERSION 2

struct key {
    uint8_t bytes[KEY_LENGTH];
};

/* Fields of an entry's key, in this order. All borrowed; one of length 0 plays no part. */
struct key_fields {
    struct bytes cache_namespace;
    struct bytes route;   /* "/predict" */
    struct bytes engine;  /* "builtin", "http" */
    struct bytes dialect; /* of an inference server */
    struct bytes model_name;
    struct bytes model_version;
    struct bytes sharing;    /* "on": one credential may be served what another one got */
    struct bytes level;      /* "none", "nfc", "space", "lower" */
    struct bytes parameters; /* canonical form (api/canonical.h) */
    struct bytes credential; /* the Authorization field's value */
    struct bytes text;       /* normalised */
};

void key_of_entry(const struct key_fields *fields, struct key *key);

/* The same in pieces, for long fields, and for many entries whose first fields are the same. A copy of a
 * writer goes on from where that was. */
struct key_writer {
    _Alignas(8) unsigned char hash[128];
    size_t length;
    uint8_t
        bytes[512]; /* short fields are collected, because each update of the hash costs more than copying */
};

/* Writes the fields up to the level. Parameters, credential and text must follow: each is announced with its
 * length and then added, in as many pieces as it has. */
void key_writer_begin(struct key_writer *writer, const struct key_fields *fields);
void key_writer_field(struct key_writer *writer, size_t length);
void key_writer_add(struct key_writer *writer, struct bytes piece);
void key_writer_end(struct key_writer *writer, struct key *key);

/* The key of a namespace's generation item. */
void key_of_generation(struct bytes cache_namespace, struct key *key);

/* The key of the number that is raised when an entry like this one is removed (flight.h, transfer.h): one for
 * each 256th of a namespace's entries, of a kind that is usually missing (store_generation_is_rare). */
void key_of_removals(const struct key *generation, const struct key *entry, struct key *key);

/* The key of the number that is raised when a namespace is purged: the time, which its generation does not
 * tell, being a time also when it was made. Of the same kind. */
void key_of_purge(const struct key *generation, struct key *key);

/* The key of a flight's lease, from the entry's key, the flight's epoch and its generation, so that a request
 * from after a purge does not meet one from before. */
void key_of_lease(const struct key *entry, uint64_t epoch, uint64_t generation, struct key *key);

/* The key of the lease that a flight goes on to when the owner of `lease` died (cache/flight.h). `key` may be
 * `lease`. */
void key_of_next_lease(const struct key *lease, struct key *key);

/* The key of a flight's outcome, from the lease's key and the owner's nonce. */
void key_of_outcome(const struct key *lease, uint64_t nonce, struct key *key);

/* The key of a worker's liveness item, from its shared mapping's instance, its slot, and the
 * slot's incarnation. */
void key_of_liveness(uint64_t instance, uint32_t slot, uint64_t incarnation, struct key *key);

/* Tells a credential that the model refused to those who have the same, and nothing to anybody else: of the
 * lease and the nonce of the flight that was refused, and the Authorization field's value. */
void key_of_refusal(const struct key *lease, uint64_t nonce, struct bytes credential, struct key *key);

void key_to_hex(const struct key *key, char hex[KEY_HEX_LENGTH + 1]);

/* 64 hex digits of either case; false for anything else. */
bool key_from_hex(struct bytes hex, struct key *key) MUST_CHECK;

static inline bool key_equal(const struct key *a, const struct key *b) {
    return memcmp(a->bytes, b->bytes, KEY_LENGTH) == 0;
}

/* 64 bits of a key, for tables. */
static inline uint64_t key_hash(const struct key *key) {
    uint64_t hash;
    memcpy(&hash, key->bytes, sizeof(hash));
    return hash;
}

#endif
