/* The numbers that entries are judged by. */
#include "cache/generation.h"

#include "inferonce/base/little_endian.h"

void generation_encode(uint64_t generation, char value[GENERATION_LENGTH]) {
    store_u64(value, generation);
}

uint64_t generation_decode(struct bytes value) {
    return value.length == GENERATION_LENGTH ? load_u64(value.data) : 0;
}

/* ---- looking ---- */

void generation_look_alone(struct store_look *look, const struct key *generation) {
    look->gets[GENERATION_OF_ALL] = (struct store_get){.kind = STORE_GENERATION, .key = STORE_ALL_NAMESPACES};
    look->gets[GENERATION_OF_NAMESPACE] =
        (struct store_get){.kind = STORE_GENERATION, .key = generation->bytes};
    look->n = GENERATION_ENTRY;
}

void generation_look(struct store_look *look, const struct key *generation, const struct key *entry) {
    generation_look_alone(look, generation);
    look->gets[GENERATION_ENTRY] = (struct store_get){.kind = STORE_ENTRY, .key = entry->bytes};
    look->n = GENERATION_GETS;
}

/* 0: there is none. */
static uint64_t number_of(const struct store_get *get) {
    return get->status == STORE_OK ? generation_decode(get->value) : 0;
}

enum store_status generation_read(const struct store_look *look, uint64_t *generation, uint64_t *epoch) {
    const struct store_get *of_all = &look->gets[GENERATION_OF_ALL];
    const struct store_get *of_namespace = &look->gets[GENERATION_OF_NAMESPACE];
    uint64_t number = number_of(of_namespace);
    *generation = *epoch = 0;
    if (of_all->status == STORE_ERROR || of_namespace->status == STORE_ERROR)
        return STORE_ERROR;
    if (of_namespace->status == STORE_MISSING)
        return STORE_MISSING;
    if (number == 0)
        return STORE_ERROR; /* something else has its name */
    *generation = number + number_of(of_all);
    if (*generation == 0)
        return STORE_ERROR; /* a server's lie: 0 says that it is not known */
    uint64_t of_entry = look->n > GENERATION_ENTRY ? look->gets[GENERATION_ENTRY].epoch : 0;
    *epoch = of_entry > number ? of_entry : number;
    return STORE_OK;
}

void generation_make(struct store *store, const struct key *generation, uint64_t now_us) {
    char value[GENERATION_LENGTH];
    generation_encode(now_us, value);
    const struct store_item item = {
        .kind = STORE_GENERATION, .key = generation->bytes, .value = {value, sizeof(value)}};
    store_add(store, &item, NULL, NULL);
}

/* ---- renewing ---- */

void generation_renewals_init(struct generation_renewals *renewals, const struct settings *settings) {
    *renewals = (struct generation_renewals){.every_us = 0};
    if (settings->cache_backend != CACHE_BACKEND_MEMORY)
        renewals->every_us = store_generation_ms(settings) * 1000 / 4;
}

bool generation_is_due(struct generation_renewals *renewals, const struct key *generation, uint64_t now_us) {
    uint64_t group = key_hash(generation);
    uint64_t *at_us = &renewals->places[group % RENEWALS].at_us;
    uint64_t *renewed = &renewals->places[group % RENEWALS].group;
    if (renewals->every_us == 0 || (*renewed == group && *at_us != 0 && now_us - *at_us < renewals->every_us))
        return false;
    *renewed = group;
    *at_us = now_us;
    return true;
}
