/* The memory store's table of numbers. */
#include "store/memory/generation.h"

#include <string.h>

#include "store/memory/mix.h"

#define NUMBER_BITS 52
#define NUMBER_MAX  ((UINT64_C(1) << NUMBER_BITS) - 1)

/* The two that are no namespace's share a place with no other. */
static size_t place_of_rare(const uint8_t *key) {
    enum { OF_ALL, OF_LAST_PURGE, OTHERS };
    uint64_t word;
    if (memcmp(key, STORE_ALL_NAMESPACES, STORE_KEY_LENGTH) == 0)
        return MEMORY_GENERATIONS + OF_ALL;
    if (memcmp(key, STORE_LAST_PURGE, STORE_KEY_LENGTH) == 0)
        return MEMORY_GENERATIONS + OF_LAST_PURGE;
    memcpy(&word, key, sizeof(word));
    return MEMORY_GENERATIONS + OTHERS + word % (MEMORY_RARE - OTHERS);
}

/* A key is a digest: this word of it is used for nothing else in the store. */
static size_t place_of(const uint8_t *key) {
    uint64_t word;
    if (store_generation_is_rare(key))
        return place_of_rare(key);
    memcpy(&word, key + 3 * sizeof(word), sizeof(word));
    return word % MEMORY_GENERATIONS;
}

static uint64_t word_of(size_t place, uint64_t number) {
    uint64_t mixed = memory_mix(memory_mix(MEMORY_MIX_START, place), number);
    return number | (mixed & ~NUMBER_MAX);
}

/* 0: the place is empty, or its content is none that was written there. */
static uint64_t number_in(size_t place, uint64_t word) {
    uint64_t number = word & NUMBER_MAX;
    return word_of(place, number) == word ? number : 0;
}

void memory_generations_setup(struct memory_generations *generations) {
    for (size_t place = 0; place < MEMORY_GENERATIONS + MEMORY_RARE; place++)
        if (number_in(place, atomic_load_explicit(&generations->places[place], memory_order_relaxed)) == 0)
            atomic_store_explicit(&generations->places[place], 0, memory_order_relaxed);
}

enum store_status memory_generation_get(const struct memory_generations *generations, const uint8_t *key,
                                        uint64_t *number) {
    size_t place = place_of(key);
    uint64_t found =
        number_in(place, atomic_load_explicit(&generations->places[place], memory_order_acquire));
    if (found == 0)
        return STORE_MISSING;
    *number = found;
    return STORE_OK;
}

/* Two purges within a microsecond, or after the clock went back, are two all the same. */
enum store_status memory_generation_put(struct memory_generations *generations, const uint8_t *key,
                                        uint64_t number) {
    size_t place = place_of(key);
    uint64_t word = atomic_load(&generations->places[place]);
    uint64_t raised;
    do {
        uint64_t found = number_in(place, word);
        raised = number > found ? number : found + 1;
        if (raised == 0 || raised > NUMBER_MAX)
            return STORE_ERROR;
    } while (!atomic_compare_exchange_weak(&generations->places[place], &word, word_of(place, raised)));
    return STORE_OK;
}

enum store_status memory_generation_add(struct memory_generations *generations, const uint8_t *key,
                                        uint64_t number) {
    size_t place = place_of(key);
    uint64_t word = atomic_load(&generations->places[place]);
    if (number == 0 || number > NUMBER_MAX)
        return STORE_ERROR;
    do {
        if (number_in(place, word) != 0)
            return STORE_EXISTS;
    } while (!atomic_compare_exchange_weak(&generations->places[place], &word, word_of(place, number)));
    return STORE_OK;
}

enum store_status memory_generation_remove(struct memory_generations *generations, const uint8_t *key) {
    size_t place = place_of(key);
    uint64_t word = atomic_exchange(&generations->places[place], 0);
    return number_in(place, word) != 0 ? STORE_OK : STORE_MISSING;
}
