/* Walks over the entries of the memory store, bucket by bucket. */
#include "store/memory/walk.h"

#include <string.h>

#include "store/memory/log.h"

/* One call shows so many bytes, or all that is in so many buckets. An entry stays in its bucket
 * while it is moved through the log, so that none escapes. */
#define WALK_BYTES   (16u * 1024)
#define WALK_BUCKETS 16384

/* A copy in the scratch buffer: this, and the value behind it. */
struct copied {
    uint8_t key[STORE_KEY_LENGTH];
    uint64_t length;
};

/* Copies a bucket's entries behind each other. False: they do not fit, and nothing was added; `*wanted` is
 * the room that they take. Memory is not asked for under the lock. */
static bool copy_bucket(const struct memory_shard *shard, uint32_t bucket, uint64_t now_us,
                        struct buffer *scratch, size_t *wanted) {
    struct memory_chain chain = memory_log_bucket(shard, bucket);
    struct memory_record record;
    size_t start = scratch->length;
    *wanted = 0;
    while (memory_log_in_chain(shard, &chain, &record)) {
        const struct copied copied = {.length = record.value.length};
        if (record.expires_us <= now_us)
            continue;
        *wanted += sizeof(copied) + record.value.length;
        if (*wanted > scratch->capacity - start)
            continue;
        char *at = scratch->data + scratch->length;
        memcpy(at, &copied, sizeof(copied));
        memcpy(at + offsetof(struct copied, key), record.key, STORE_KEY_LENGTH);
        memcpy(at + sizeof(copied), record.value.data, record.value.length);
        scratch->length += sizeof(copied) + record.value.length;
    }
    if (*wanted <= scratch->capacity - start)
        return true;
    scratch->length = start;
    return false;
}

/* Copies from `*bucket` on until there is enough, or `end` is reached. Returns the room that the next bucket
 * takes when it alone is more than there is; 0: nothing is in the way. */
static size_t copy_buckets(const struct memory_shard *shard, uint32_t *bucket, uint32_t end, uint64_t now_us,
                           struct buffer *scratch) {
    for (; *bucket < end && scratch->length < WALK_BYTES; ++*bucket) {
        size_t wanted;
        if (!copy_bucket(shard, *bucket, now_us, scratch, &wanted))
            return scratch->length == 0 ? wanted : 0;
    }
    return 0;
}

static void show(const struct buffer *scratch, store_walked walked, void *user) {
    for (size_t at = 0; at < scratch->length;) {
        struct copied copied;
        memcpy(&copied, scratch->data + at, sizeof(copied));
        at += sizeof(copied);
        walked(user, copied.key, (struct bytes){scratch->data + at, copied.length});
        at += copied.length;
    }
}

bool memory_walk(const struct memory_context *context, uint64_t *cursor, struct buffer *scratch,
                 store_walked walked, void *user) {
    uint32_t bucket, end;
    struct memory_shard shard;
    if (!memory_shard_at_bucket(context, *cursor, WALK_BUCKETS, &shard, &bucket, &end))
        return false;
    uint32_t first = bucket;
    size_t wanted = 2 * WALK_BYTES;
    buffer_reset(scratch, SIZE_MAX);
    while (wanted > 0) {
        if (!buffer_reserve(scratch, wanted)) {
            stats_count(context->stats, STAT_store_errors);
            bucket++; /* for whose entries there is no memory */
            break;
        }
        if (!memory_shard_lock(&shard)) {
            bucket = end; /* nobody can read it either */
            break;
        }
        wanted = copy_buckets(&shard, &bucket, end, clock_monotonic_us(context->clock), scratch);
        memory_shard_unlock(&shard);
    }
    *cursor += bucket - first;
    show(scratch, walked, user);
    return *cursor < memory_buckets(context);
}
