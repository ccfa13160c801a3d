/* Takes entries, generations and pending invalidations over from a region of other sizes. */
#include "inferonce/store/memory_adopt.h"

#include <stdlib.h>
#include <string.h>

#include "store/memory/lock.h"
#include "store/memory/log.h"
#include "store/memory/part.h"

/* The place of an entry in the former region. */
struct place {
    uint64_t sequence;
    uint64_t offset;
    unsigned part;
    unsigned shard;
};

struct places {
    struct place *place;
    size_t n, room;
};

static bool add(struct places *places, const struct place *place) {
    if (places->n == places->room) {
        size_t room = places->room == 0 ? 1024 : 2 * places->room;
        struct place *more = reallocarray(places->place, room, sizeof(*more));
        if (!more)
            return false;
        places->place = more;
        places->room = room;
    }
    places->place[places->n++] = *place;
    return true;
}

static bool find_all(const struct memory_context *former, struct places *places) {
    for (unsigned part = 0; part < former->geometry.parts; part++) {
        for (unsigned number = 0; number < former->geometry.shards; number++) {
            struct memory_shard shard = memory_shard_at(former, part, number);
            uint64_t offset = shard.state->head, left = shard.state->used;
            struct memory_record record;
            while (memory_log_next(&shard, &offset, &left, &record))
                if (!add(places, &(struct place){record.sequence, record.offset, part, number}))
                    return false;
        }
    }
    return true;
}

/* Each part counts for itself; entries of several are taken in turns. */
static int by_sequence(const void *a, const void *b) {
    uint64_t first = ((const struct place *)a)->sequence, second = ((const struct place *)b)->sequence;
    return (first > second) - (first < second);
}

/* Writes an entry as a put does, without `writer`: no other process has the region yet. The oldest entries
 * come first and make room for the newest. */
static void take_over(const struct memory_context *context, const struct memory_record *record,
                      uint64_t cost_us, unsigned part, uint64_t now_us) {
    struct memory_shard shard = memory_shard_of(context, part, record->key);
    const struct store_item item = {.kind = STORE_ENTRY,
                                    .key = record->key,
                                    .value = record->value,
                                    .epoch = record->epoch,
                                    .cost_us = cost_us,
                                    .group = record->group};
    if (record->expires_us <= now_us || !memory_log_fits(&context->geometry, record->value.length) ||
        (!memory_part_has_room(context, part) && !memory_part_make_room(context, part, now_us)) ||
        !memory_shard_lock(&shard))
        return;
    (void)memory_log_write(&shard, &item, record->expires_us, now_us);
    memory_shard_unlock(&shard);
}

static void take_over_all(const struct memory_context *context, const struct memory_context *former) {
    uint64_t now_us = clock_monotonic_us(context->clock);
    struct places places = {.n = 0};
    if (find_all(former, &places) && places.n > 0) {
        qsort(places.place, places.n, sizeof(*places.place), by_sequence);
        for (size_t i = 0; i < places.n; i++) {
            const struct place *place = &places.place[i];
            struct memory_shard shard = memory_shard_at(former, place->part, place->shard);
            struct memory_record record;
            if (!memory_log_at(&shard, place->offset, &record))
                continue;
            uint64_t cost_us =
                memory_worth_cost_us(&shard.part->usual, record.worth, memory_log_size(record.value.length));
            take_over(context, &record, cost_us, place->part % context->geometry.parts, now_us);
        }
    }
    free(places.place);
}

static uint64_t size_of(const struct memory_context *context) {
    uint64_t size = 0;
    for (unsigned part = 0; part < context->geometry.parts; part++)
        size += memory_part_size(context, part);
    return size;
}

uint64_t memory_adopt(void *region, size_t bytes, void *former_region, size_t former_bytes,
                      const struct clock *clock) {
    struct stats stats = {.value = {0}}; /* not counted: the settings evict here, not the traffic */
    /* Keeps the worth of the former entries, for when it counts. */
    struct memory_context context = {.by_cost = true, .clock = clock, .stats = &stats};
    struct memory_context former = {.clock = clock, .stats = &stats};
    if (!memory_region_attach(&context, region, bytes) ||
        !memory_region_attach(&former, former_region, former_bytes))
        return 0;
    struct memory_layout layout = former.region->layout;
    memory_region_setup(former_region, &layout, false, clock);
    memcpy(&context.region->generations, &former.region->generations, sizeof(context.region->generations));
    memcpy(&context.region->pendings, &former.region->pendings, sizeof(context.region->pendings));
    pendings_setup(&context.region->pendings, false);
    take_over_all(&context, &former);
    return size_of(&context);
}
