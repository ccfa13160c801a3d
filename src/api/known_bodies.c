/* Remembers bodies that were hits, so that their texts need not be read again. */
#include "api/known_bodies.h"

#include <stdlib.h>

#include "inferonce/cache/crc32c.h"

/* One body each; of two that fall into the same the later one is known. */
#define BUCKETS 8192

/* The bytes of the body, the namespace and the credential follow. */
struct record {
    uint32_t hash;
    uint32_t body_length, namespace_length, credential_length;
    struct key key;
};

/* Records are written one behind the other, over the oldest. A position counts all bytes ever written; its
 * place is the remainder by the size of the ring, and it holds what was written there until the ring has come
 * round. */
struct known_bodies {
    uint64_t end;         /* position of the next record */
    uint64_t at[BUCKETS]; /* 1 + position; 0: none */
    _Alignas(struct record) char ring[KNOWN_BODIES_BYTES];
};

_Static_assert(sizeof(struct record) + KNOWN_BODY_MAX <= KNOWN_BODIES_BYTES, "one body fits");

struct known_bodies *known_bodies_create(void) {
    return calloc(1, sizeof(struct known_bodies));
}

void known_bodies_destroy(struct known_bodies **known) {
    free(*known);
    *known = NULL;
}

/* No secret and no guard: who makes two bodies meet makes them forget each other, nothing else. */
static uint32_t hash_of(const struct known_body *body) {
    uint32_t hash = crc32c(0, body->body.data, body->body.length);
    hash = crc32c(hash, body->cache_namespace.data, body->cache_namespace.length);
    return crc32c(hash, body->credential.data, body->credential.length);
}

static size_t length_of(const struct known_body *body) {
    return body->body.length + body->cache_namespace.length + body->credential.length;
}

static bool begins_with(const char **at, struct bytes bytes) {
    if (bytes.length > 0 && memcmp(*at, bytes.data, bytes.length) != 0)
        return false;
    *at += bytes.length;
    return true;
}

static bool is_same(const struct record *record, uint32_t hash, const struct known_body *body) {
    const char *at = (const char *)(record + 1);
    return record->hash == hash && record->body_length == body->body.length &&
           record->namespace_length == body->cache_namespace.length &&
           record->credential_length == body->credential.length && begins_with(&at, body->body) &&
           begins_with(&at, body->cache_namespace) && begins_with(&at, body->credential);
}

bool known_bodies_find(const struct known_bodies *known, const struct known_body *body, struct key *key) {
    if (length_of(body) > KNOWN_BODY_MAX)
        return false;
    uint32_t hash = hash_of(body);
    uint64_t at = known->at[hash % BUCKETS];
    if (at == 0 || known->end - (at - 1) > KNOWN_BODIES_BYTES)
        return false;
    const struct record *record = (const void *)(known->ring + (at - 1) % KNOWN_BODIES_BYTES);
    if (!is_same(record, hash, body))
        return false;
    *key = record->key;
    return true;
}

static void append(char **to, struct bytes bytes) {
    if (bytes.length > 0)
        memcpy(*to, bytes.data, bytes.length);
    *to += bytes.length;
}

/* The position of a new record, which is not divided by the end of the ring. */
static uint64_t make_room(struct known_bodies *known, size_t size) {
    uint64_t to_end = KNOWN_BODIES_BYTES - known->end % KNOWN_BODIES_BYTES;
    uint64_t position = known->end + (size > to_end ? to_end : 0);
    known->end = position + size;
    return position;
}

void known_bodies_remember(struct known_bodies *known, const struct known_body *body, const struct key *key) {
    size_t length = length_of(body), unit = _Alignof(struct record);
    if (length > KNOWN_BODY_MAX)
        return;
    uint64_t position = make_room(known, (sizeof(struct record) + length + unit - 1) / unit * unit);
    struct record *record = (void *)(known->ring + position % KNOWN_BODIES_BYTES);
    *record = (struct record){.hash = hash_of(body),
                              .body_length = (uint32_t)body->body.length,
                              .namespace_length = (uint32_t)body->cache_namespace.length,
                              .credential_length = (uint32_t)body->credential.length,
                              .key = *key};
    char *to = (char *)(record + 1);
    append(&to, body->body);
    append(&to, body->cache_namespace);
    append(&to, body->credential);
    known->at[record->hash % BUCKETS] = position + 1;
}
