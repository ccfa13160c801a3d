/* A shard's leases and outcomes. */
#include "store/memory/small.h"

#include <string.h>

#include "store/memory/shard.h"

static uint32_t *chain_of(const struct memory_shard *shard, const uint8_t *key) {
    return &shard->small_index[memory_shard_hash(key) & (shard->context->geometry.small_buckets - 1)];
}

/* Takes the place that `link` names out of its chain and puts it with the free ones. */
static void release(const struct memory_shard *shard, uint32_t *link) {
    memory_shard_changing(shard);
    uint32_t number = *link;
    struct memory_small *small = &shard->smalls[number - 1];
    *link = small->next;
    small->next = shard->state->smalls.free;
    shard->state->smalls.free = number;
}

/* Goes through a chain, releasing what is over. Returns the link to the item; NULL: none (`key` NULL: scans
 * for none). */
static uint32_t *walk(const struct memory_shard *shard, uint32_t *link, enum store_kind kind,
                      const uint8_t *key, uint64_t now_us) {
    uint32_t steps = shard->context->geometry.smalls;
    while (*link != 0) {
        if (*link > shard->context->geometry.smalls || steps-- == 0) {
            memory_shard_wipe(shard);
            return NULL;
        }
        struct memory_small *small = &shard->smalls[*link - 1];
        if (now_us >= small->expires_us) {
            release(shard, link);
        } else if (key && small->kind == (uint8_t)kind && memcmp(small->key, key, STORE_KEY_LENGTH) == 0) {
            return link;
        } else {
            link = &small->next;
        }
    }
    return NULL;
}

/* Releases whatever is over. */
static void sweep(const struct memory_shard *shard, uint64_t now_us) {
    struct memory_smalls *smalls = &shard->state->smalls;
    for (uint32_t bucket = 0; bucket < shard->context->geometry.small_buckets; bucket++)
        walk(shard, &shard->small_index[bucket], STORE_LEASE, NULL, now_us);
    smalls->soonest_us = UINT64_MAX;
    for (uint32_t i = 0; i < smalls->touched && i < shard->context->geometry.smalls; i++)
        if (shard->smalls[i].expires_us > now_us && shard->smalls[i].expires_us < smalls->soonest_us)
            smalls->soonest_us = shard->smalls[i].expires_us;
}

/* A free place; NULL: none. */
static struct memory_small *allocate(const struct memory_shard *shard, uint64_t now_us) {
    struct memory_smalls *smalls = &shard->state->smalls;
    uint32_t places = shard->context->geometry.smalls;
    if (smalls->free == 0 && smalls->touched >= places && now_us >= smalls->soonest_us)
        sweep(shard, now_us);
    if (smalls->free > places)
        memory_shard_wipe(shard);
    if (smalls->free != 0) {
        struct memory_small *small = &shard->smalls[smalls->free - 1];
        smalls->free = small->next;
        return small;
    }
    return smalls->touched < places ? &shard->smalls[smalls->touched++] : NULL;
}

const struct memory_small *memory_small_find(const struct memory_shard *shard, enum store_kind kind,
                                             const uint8_t *key, uint64_t now_us) {
    uint32_t *link = walk(shard, chain_of(shard, key), kind, key, now_us);
    return link ? &shard->smalls[*link - 1] : NULL;
}

enum store_status memory_small_write(const struct memory_shard *shard, const struct store_item *item,
                                     bool only_if_missing, uint64_t expires_us, uint64_t now_us) {
    uint32_t *chain = chain_of(shard, item->key);
    uint32_t *link = walk(shard, chain, item->kind, item->key, now_us);
    if (link && only_if_missing)
        return STORE_EXISTS;
    memory_shard_changing(shard);
    struct memory_small *small = link ? &shard->smalls[*link - 1] : allocate(shard, now_us);
    if (!small)
        return STORE_ERROR;
    if (!link) {
        small->next = *chain;
        *chain = (uint32_t)(small - shard->smalls) + 1;
    }
    memcpy(small->key, item->key, STORE_KEY_LENGTH);
    small->kind = (uint8_t)item->kind;
    small->length = (uint8_t)item->value.length;
    small->expires_us = expires_us;
    if (item->value.length > 0)
        memcpy(small->value, item->value.data, item->value.length);
    struct memory_smalls *smalls = &shard->state->smalls;
    if (expires_us < smalls->soonest_us || smalls->soonest_us == 0)
        smalls->soonest_us = expires_us;
    return STORE_OK;
}

enum store_status memory_small_remove(const struct memory_shard *shard, enum store_kind kind,
                                      const uint8_t *key, uint64_t now_us) {
    uint32_t *link = walk(shard, chain_of(shard, key), kind, key, now_us);
    if (!link)
        return STORE_MISSING;
    release(shard, link);
    return STORE_OK;
}
