#include "inferonce/store/memory_generation.h"

#include <string.h>

#include "inferonce/store/memory_lock.h"
#include "inferonce/store/memory_mix.h"

#define SETS (MEMORY_GENERATIONS / MEMORY_GENERATION_WAYS)

/* A writer needs some ten nanoseconds; a reader that saw it at work this often asks the lock whether it is
 * still alive. */
#define LOOKS_MAX 200

_Static_assert(sizeof(struct memory_generation) == 64, "a cache line");
_Static_assert((SETS & (SETS - 1)) == 0, "a set is chosen by a mask");
_Static_assert(STORE_KEY_LENGTH == 4 * sizeof(uint64_t), "a key is four words");

struct words {
    uint64_t word[4];
};

enum look { LOOK_OTHER, LOOK_FOUND, LOOK_UNSETTLED };

static struct words words_of(const uint8_t *key) {
    struct words words;
    memcpy(words.word, key, sizeof(words.word));
    return words;
}

static struct memory_generation *set_of(struct memory_generations *generations, const struct words *key) {
    return &generations->places[(key->word[1] & (SETS - 1)) * MEMORY_GENERATION_WAYS];
}

static uint64_t load(const _Atomic uint64_t *word) {
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void store(_Atomic uint64_t *word, uint64_t value) {
    atomic_store_explicit(word, value, memory_order_relaxed);
}

static bool holds(const struct memory_generation *place, const struct words *key) {
    return load(&place->key[0]) == key->word[0] && load(&place->key[1]) == key->word[1] &&
           load(&place->key[2]) == key->word[2] && load(&place->key[3]) == key->word[3] &&
           load(&place->written) != 0;
}

static enum look look_at(const struct memory_generation *place, const struct words *key, uint64_t *value) {
    uint32_t version = atomic_load_explicit(&place->version, memory_order_acquire);
    bool found = holds(place, key);
    uint64_t seen = load(&place->value);
    atomic_thread_fence(memory_order_acquire);
    if ((version & 1) || atomic_load_explicit(&place->version, memory_order_relaxed) != version)
        return LOOK_UNSETTLED;
    if (!found)
        return LOOK_OTHER;
    *value = seen;
    return LOOK_FOUND;
}

static enum look look_for(struct memory_generation *set, const struct words *key, uint64_t *value) {
    enum look look = LOOK_OTHER;
    for (unsigned way = 0; way < MEMORY_GENERATION_WAYS; way++) {
        enum look here = look_at(&set[way], key, value);
        if (here == LOOK_FOUND) {
            /* Only once: a write per read would take the line from every other worker's cache. */
            if (!atomic_load_explicit(&set[way].used, memory_order_relaxed))
                atomic_store_explicit(&set[way].used, 1, memory_order_relaxed);
            return here;
        }
        if (here == LOOK_UNSETTLED)
            look = here;
    }
    return look;
}

/* ---- writing, under the lock ---- */

static uint64_t check_of(const struct memory_generation *place) {
    uint64_t mixed = memory_mix(MEMORY_MIX_START, load(&place->value));
    mixed = memory_mix(mixed, load(&place->written));
    for (unsigned i = 0; i < 4; i++)
        mixed = memory_mix(mixed, load(&place->key[i]));
    return mixed;
}

/* `written` 0 empties the place. */
static void write_place(struct memory_generation *place, const struct words *key, uint64_t value,
                        uint64_t written) {
    uint32_t version = atomic_load_explicit(&place->version, memory_order_relaxed) | 1;
    atomic_store_explicit(&place->version, version, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (unsigned i = 0; i < 4; i++)
        store(&place->key[i], key->word[i]);
    store(&place->value, value);
    store(&place->written, written);
    store(&place->check, written ? check_of(place) : 0);
    atomic_store_explicit(&place->used, 0, memory_order_relaxed);
    atomic_store_explicit(&place->version, version + 1, memory_order_release);
}

static void empty(struct memory_generation *place) {
    write_place(place, &(struct words){{0}}, 0, 0);
}

/* A killed writer left at most one place unfinished. Its namespace starts anew. */
static bool lock(struct memory_generations *generations) {
    enum memory_lock_outcome outcome = memory_lock_take(&generations->lock);
    if (outcome == MEMORY_LOCK_BROKEN)
        return false;
    if (outcome == MEMORY_LOCKED_AFTER_DEATH) {
        for (unsigned i = 0; i < MEMORY_GENERATIONS; i++)
            if (atomic_load_explicit(&generations->places[i].version, memory_order_relaxed) & 1)
                empty(&generations->places[i]);
        memory_lock_recovered(&generations->lock);
    }
    return true;
}

static struct memory_generation *find(struct memory_generation *set, const struct words *key) {
    for (unsigned way = 0; way < MEMORY_GENERATION_WAYS; way++)
        if (holds(&set[way], key))
            return &set[way];
    return NULL;
}

/* An empty place, else the one to give up. */
static struct memory_generation *place_in(struct memory_generation *set) {
    struct memory_generation *oldest = NULL;
    for (unsigned way = 0; way < MEMORY_GENERATION_WAYS; way++) {
        if (load(&set[way].written) == 0)
            return &set[way];
        bool used = atomic_exchange_explicit(&set[way].used, 0, memory_order_relaxed) != 0;
        if (!used && (!oldest || load(&set[way].written) < load(&oldest->written)))
            oldest = &set[way];
    }
    return oldest ? oldest : &set[0];
}

static void write_under_lock(struct memory_generations *generations, struct memory_generation *place,
                             const struct words *key, uint64_t value) {
    write_place(place, key, value, ++generations->writes);
}

enum store_status memory_generation_get(struct memory_generations *generations, const uint8_t *key,
                                        uint64_t *value) {
    struct words words = words_of(key);
    struct memory_generation *set = set_of(generations, &words);
    enum look look = LOOK_UNSETTLED;
    for (unsigned looks = 0; look == LOOK_UNSETTLED && looks < LOOKS_MAX; looks++)
        look = look_for(set, &words, value);
    if (look == LOOK_UNSETTLED) {
        if (!lock(generations))
            return STORE_ERROR;
        look = look_for(set, &words, value);
        memory_lock_give(&generations->lock);
    }
    return look == LOOK_FOUND ? STORE_OK : STORE_MISSING;
}

enum store_status memory_generation_put(struct memory_generations *generations, const uint8_t *key,
                                        uint64_t value) {
    struct words words = words_of(key);
    struct memory_generation *set = set_of(generations, &words);
    if (!lock(generations))
        return STORE_ERROR;
    struct memory_generation *place = find(set, &words);
    /* Two purges within a microsecond, or after the clock went back, are two all the same. */
    if (place && load(&place->value) >= value)
        value = load(&place->value) + 1;
    write_under_lock(generations, place ? place : place_in(set), &words, value);
    memory_lock_give(&generations->lock);
    return STORE_OK;
}

enum store_status memory_generation_add(struct memory_generations *generations, const uint8_t *key,
                                        uint64_t value) {
    struct words words = words_of(key);
    struct memory_generation *set = set_of(generations, &words);
    if (!lock(generations))
        return STORE_ERROR;
    bool exists = find(set, &words) != NULL;
    if (!exists)
        write_under_lock(generations, place_in(set), &words, value);
    memory_lock_give(&generations->lock);
    return exists ? STORE_EXISTS : STORE_OK;
}

enum store_status memory_generation_remove(struct memory_generations *generations, const uint8_t *key) {
    struct words words = words_of(key);
    if (!lock(generations))
        return STORE_ERROR;
    struct memory_generation *place = find(set_of(generations, &words), &words);
    if (place)
        empty(place);
    memory_lock_give(&generations->lock);
    return place ? STORE_OK : STORE_MISSING;
}

void memory_generations_setup(struct memory_generations *generations, bool fresh) {
    memory_lock_init(&generations->lock);
    generations->writes = 0;
    for (unsigned i = 0; !fresh && i < MEMORY_GENERATIONS; i++) {
        struct memory_generation *place = &generations->places[i];
        uint64_t written = load(&place->written);
        bool unfinished = atomic_load_explicit(&place->version, memory_order_relaxed) & 1;
        if (unfinished || written == 0 || load(&place->check) != check_of(place))
            empty(place);
        else if (written > generations->writes)
            generations->writes = written;
    }
}
