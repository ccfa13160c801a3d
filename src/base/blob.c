/* Large byte ranges that several owners share: a table of those that live, by their content. */
#include "inferonce/base/blob.h"

#include <stdlib.h>
#include <sys/random.h>

#include "inferonce/base/little_endian.h"

#define BUCKETS 1024

/* A blob is found again by this many places of eight bytes, at offsets that nobody outside
 * knows. */
#define SAMPLES 32

/* Blobs of one bucket that are compared byte by byte. When more collide, the bytes are held a second time. */
#define COMPARED_MOST 4

/* Freed memory of large blobs that is used again: what the system gives anew costs a page fault for every
 * 4 KB. */
#define SPARE_BYTES_MAX (UINT64_C(4) << 20)
#define SPARE_UNIT      (64u * 1024)

struct blobs {
    struct stats *stats;
    uint64_t seed;
    uint64_t bytes;
    size_t count;
    struct blob *spare;
    uint64_t spare_bytes;
    struct blob *buckets[BUCKETS];
};

struct blobs *blobs_create(struct stats *stats) {
    struct blobs *blobs = calloc(1, sizeof(*blobs));
    if (!blobs)
        return NULL;
    blobs->stats = stats;
    /* Without random numbers a client could make blobs collide, which costs memory and no more. */
    if (getrandom(&blobs->seed, sizeof(blobs->seed), GRND_NONBLOCK) < 0)
        blobs->seed = 0;
    return blobs;
}

void blobs_destroy(struct blobs **blobs) {
    if (!*blobs)
        return;
    INVARIANT((*blobs)->count == 0);
    while ((*blobs)->spare) {
        struct blob *blob = (*blobs)->spare;
        (*blobs)->spare = blob->next;
        free(blob);
    }
    free(*blobs);
    *blobs = NULL;
}

bool blobs_have_room(const struct blobs *blobs, uint64_t length) {
    return length <= BLOBS_BYTES_MAX - blobs->bytes;
}

/* ---- finding one again ---- */

static uint64_t mix(uint64_t x) {
    x ^= x >> 32;
    x *= UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 29;
}

static uint64_t hash_of(const struct blobs *blobs, struct bytes bytes) {
    uint64_t hash = mix(blobs->seed ^ bytes.length);
    uint64_t place = hash;
    if (bytes.length < sizeof(uint64_t))
        return hash;
    for (unsigned i = 0; i < SAMPLES; i++) {
        place = mix(place + i);
        hash = mix(hash ^ load_u64(bytes.data + place % (bytes.length - sizeof(uint64_t) + 1)));
    }
    return hash;
}

static struct blob **bucket_of(struct blobs *blobs, uint64_t hash) {
    return &blobs->buckets[hash % BUCKETS];
}

static struct blob *find(struct blobs *blobs, struct bytes bytes, uint64_t hash) {
    unsigned compared = 0;
    for (struct blob *blob = *bucket_of(blobs, hash); blob; blob = blob->next) {
        if (blob->hash != hash || blob->bytes.length != bytes.length)
            continue;
        if (bytes_equal(blob->bytes, bytes))
            return blob;
        if (++compared == COMPARED_MOST)
            return NULL;
    }
    return NULL;
}

/* ---- memory ---- */

static struct blob *take_spare(struct blobs *blobs, size_t length) {
    for (struct blob **link = &blobs->spare; *link; link = &(*link)->next) {
        struct blob *blob = *link;
        if (blob->capacity < length || blob->capacity / 2 > length)
            continue;
        *link = blob->next;
        blobs->spare_bytes -= blob->capacity;
        return blob;
    }
    return NULL;
}

static struct blob *allocate(struct blobs *blobs, size_t length) {
    struct blob *blob = take_spare(blobs, length);
    if (blob)
        return blob;
    size_t capacity = length < SPARE_UNIT ? length : (length + SPARE_UNIT - 1) / SPARE_UNIT * SPARE_UNIT;
    blob = malloc(sizeof(*blob) + capacity);
    if (blob)
        blob->capacity = capacity;
    return blob;
}

static void release(struct blobs *blobs, struct blob *blob) {
    if (blob->capacity < SPARE_UNIT || blob->capacity > SPARE_BYTES_MAX - blobs->spare_bytes) {
        free(blob);
        return;
    }
    blob->next = blobs->spare;
    blobs->spare = blob;
    blobs->spare_bytes += blob->capacity;
}

/* ---- references ---- */

struct blob *blobs_hold(struct blobs *blobs, struct bytes bytes) {
    uint64_t hash = hash_of(blobs, bytes);
    struct blob *blob = find(blobs, bytes, hash);
    if (blob)
        return blob_ref(blob);
    if (!blobs_have_room(blobs, bytes.length) || !(blob = allocate(blobs, bytes.length)))
        return NULL;
    char *to = (char *)(blob + 1);
    if (bytes.length > 0)
        memcpy(to, bytes.data, bytes.length);
    blob->bytes = (struct bytes){to, bytes.length};
    blob->blobs = blobs;
    blob->references = 1;
    blob->hash = hash;
    struct blob **bucket = bucket_of(blobs, hash);
    blob->next = *bucket;
    *bucket = blob;
    blobs->bytes += bytes.length;
    blobs->count++;
    stats_add(blobs->stats, STAT_held_bytes, bytes.length);
    return blob;
}

struct blob *blob_ref(struct blob *blob) {
    blob->references++;
    return blob;
}

void blob_unref(struct blob *blob) {
    if (!blob || --blob->references > 0)
        return;
    struct blobs *blobs = blob->blobs;
    struct blob **link = bucket_of(blobs, blob->hash);
    while (*link != blob)
        link = &(*link)->next;
    *link = blob->next;
    blobs->bytes -= blob->bytes.length;
    blobs->count--;
    stats_subtract(blobs->stats, STAT_held_bytes, blob->bytes.length);
    release(blobs, blob);
}
