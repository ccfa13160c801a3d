/* Lays the memory store's region out, and sets it up. */
#include "store/memory/region.h"

#include <string.h>

#include "store/memory/lock.h"
#include "store/memory/log.h"
#include "store/memory/mix.h"
#include "store/memory/part.h"

#define MAGIC          UINT64_C(0x3379726f6d656d69) /* "imemory3" in a little-endian dump */
#define LAYOUT_VERSION 3
#define LINE           64

/* Bytes that the cache puts around a result: its header, and three names of at most 255 bytes. */
#define ENTRY_OVERHEAD 2048

/* The bytes of a small result with all that is around it. */
#define ENTRY_USUAL 300

/* A log holds so many of the largest entries, if there are several logs: what does not fit behind the last
 * one before the log's end is lost, a quarter of it at most and an eighth on the average. */
#define LARGEST_IN_LOG 4

/* A log is larger than its share of the memory by this, so that the headers of one record of the greatest
 * size do not count against it: 64 MB hold 64 entries of 1024 KB. */
#define LOG_SLACK 4096

/* A log is addressed by 32 bits in units of 8 bytes. */
#define LOG_MAX (UINT64_C(32) << 30)

/* The same whatever the settings: a file must not be made anew because the number of workers or the length of
 * their queues has changed. Who finds no room for a lease infers without one. */
#define LEASES_MAX (UINT64_C(1) << 15)

static uint64_t smaller(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

struct memory_layout memory_layout_of(const struct settings *settings, unsigned workers) {
    uint64_t parts = settings->cache_scope == CACHE_SCOPE_WORKER ? workers : 1;
    uint64_t memory_bytes = settings->cache_memory_mb << 20;
    uint64_t max_size = settings->cache_max_size ? settings->cache_max_size : memory_bytes / ENTRY_USUAL;
    return (struct memory_layout){
        .max_size = max_size,
        .memory_bytes = memory_bytes,
        .entry_max_bytes = (settings->cache_max_entry_kb << 10) + ENTRY_OVERHEAD,
        .leases_max = LEASES_MAX,
        .parts = (unsigned)smaller(parts, max_size),
    };
}

/* ---- geometry ---- */

static size_t up_to(size_t size, size_t multiple) {
    return (size + multiple - 1) / multiple * multiple;
}

static uint32_t power_of_two_from(uint64_t n) {
    uint32_t power = 16;
    while (power < n && power < UINT32_C(1) << 31)
        power *= 2;
    return power;
}

static void choose_logs(const struct memory_layout *layout, struct memory_geometry *geometry) {
    uint64_t memory = layout->memory_bytes / layout->parts;
    uint64_t largest = memory_log_size(layout->entry_max_bytes);
    geometry->shards = MEMORY_SHARDS;
    while (geometry->shards > 1 && memory / geometry->shards + LOG_SLACK < LARGEST_IN_LOG * largest)
        geometry->shards /= 2;
    geometry->log_bytes = smaller(memory / geometry->shards / LINE * LINE + LOG_SLACK, LOG_MAX - LINE);
}

/* Entries and leases fall on the shards by chance. Chains take up what an index is too small for; leases
 * cannot be chained beyond their table, so that has half as much again and a little more. */
static void choose_tables(const struct memory_layout *layout, struct memory_geometry *geometry) {
    uint64_t shards = (uint64_t)layout->parts * geometry->shards;
    uint64_t entries = smaller(layout->max_size / shards + 1, geometry->log_bytes / memory_log_size(0));
    uint64_t smalls = layout->leases_max / shards + 1;
    geometry->buckets = power_of_two_from(entries + entries / 2);
    geometry->smalls = (uint32_t)(smalls + smalls / 2 + 16);
    geometry->small_buckets = power_of_two_from(geometry->smalls);
}

void memory_geometry_of(const struct memory_layout *layout, struct memory_geometry *geometry) {
    geometry->parts = layout->parts;
    geometry->max_size = layout->max_size;
    choose_logs(layout, geometry);
    choose_tables(layout, geometry);
    geometry->index_at = up_to(sizeof(struct memory_shard_state), LINE);
    geometry->small_index_at = up_to(geometry->index_at + geometry->buckets * sizeof(uint32_t), LINE);
    geometry->smalls_at = up_to(geometry->small_index_at + geometry->small_buckets * sizeof(uint32_t), LINE);
    geometry->log_at = up_to(geometry->smalls_at + geometry->smalls * sizeof(struct memory_small), LINE);
    /* An odd number of lines apart, or the locks of all shards would fall on a few sets of the processor's
     * cache. */
    geometry->shard_bytes = up_to(geometry->log_at + geometry->log_bytes, LINE);
    if (geometry->shard_bytes / LINE % 2 == 0)
        geometry->shard_bytes += LINE;
    geometry->shards_at = up_to(sizeof(struct memory_part_state), LINE);
    geometry->part_bytes = geometry->shards_at + geometry->shards * geometry->shard_bytes;
    geometry->parts_at = up_to(sizeof(struct memory_region), LINE);
    geometry->region_bytes = geometry->parts_at + geometry->parts * geometry->part_bytes;
}

size_t memory_region_bytes(const struct memory_layout *layout) {
    struct memory_geometry geometry;
    memory_geometry_of(layout, &geometry);
    return geometry.region_bytes;
}

uint64_t memory_region_tag(const struct memory_layout *layout) {
    uint64_t words[] = {
        LAYOUT_VERSION,
        sizeof(struct memory_region),
        sizeof(struct memory_part_state),
        sizeof(struct memory_shard_state),
        sizeof(struct memory_small),
        memory_log_size(0),
        layout->max_size,
        layout->memory_bytes,
        layout->entry_max_bytes,
        layout->leases_max,
        layout->parts,
    };
    uint64_t tag = MEMORY_MIX_START;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        tag = memory_mix(tag, words[i]);
    return tag;
}

/* ---- set-up ---- */

static bool rebuild_shard(const struct memory_shard *shard, uint64_t live_max) {
    struct memory_shard_state *state = shard->state;
    struct memory_extent found = {state->head, state->used, state->live};
    bool unfinished = atomic_load(&state->changing) != 0;
    uint64_t last_sequence = 0;
    memory_shard_clear(shard);
    memset(&state->tombstones, 0, sizeof(state->tombstones));
    bool sound = !unfinished && memory_log_rebuild(shard, &found, live_max, &last_sequence);
    if (!sound)
        memory_shard_clear(shard);
    else if (last_sequence > atomic_load(&shard->part->sequence))
        atomic_store(&shard->part->sequence, last_sequence);
    return sound;
}

/* Returns how many shards were wiped. */
static size_t rebuild_part(const struct memory_context *context, unsigned part) {
    size_t wiped = 0;
    uint64_t room = memory_part_max(context, part);
    atomic_store(&memory_part_at(context, part)->sequence, 0);
    for (unsigned i = 0; i < context->geometry.shards; i++) {
        struct memory_shard shard = memory_shard_at(context, part, i);
        INVARIANT(memory_shard_lock(&shard)); /* it was made just now */
        if (!rebuild_shard(&shard, room))
            wiped++;
        room -= shard.state->live;
        memory_shard_unlock(&shard);
    }
    return wiped;
}

size_t memory_region_setup(void *region, const struct memory_layout *layout, bool fresh,
                           const struct clock *clock) {
    struct memory_context context = {.region = region, .clock = clock};
    size_t wiped = 0;
    memory_geometry_of(layout, &context.geometry);
    context.region->magic = MAGIC;
    context.region->layout = *layout;
    if (!fresh)
        memory_generations_setup(&context.region->generations);
    pendings_setup(&context.region->pendings, fresh);
    for (unsigned part = 0; part < context.geometry.parts; part++) {
        memory_lock_init(&memory_part_at(&context, part)->writer);
        for (unsigned i = 0; i < context.geometry.shards; i++)
            memory_lock_init(&memory_shard_at(&context, part, i).state->lock);
        if (!fresh)
            wiped += rebuild_part(&context, part);
    }
    return wiped;
}

bool memory_region_attach(struct memory_context *context, void *region, size_t bytes) {
    context->region = region;
    if (!region || bytes < sizeof(struct memory_region) || context->region->magic != MAGIC)
        return false;
    const struct memory_layout *layout = &context->region->layout;
    if (layout->parts == 0 || layout->parts > WORKERS_MAX || layout->max_size < layout->parts)
        return false;
    memory_geometry_of(layout, &context->geometry);
    return context->geometry.region_bytes <= bytes;
}
