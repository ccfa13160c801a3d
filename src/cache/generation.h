/* Generations: what makes an invalidation of everything O(1).
 *
 * Every namespace has a generation, a number in the store, and there is one more that counts in all of them.
 * An entry carries the sum of both that its inference began under, and is visible only while that is still
 * the sum: equal, not greater. A purge raises its namespace's; the other is raised when a cache server is
 * found to have forgotten purges, of which nobody can tell which. Numbers are microseconds since 1970, and
 * only rise, so that one made anew after the old was lost (evicted, restarted) is greater than any before: a
 * lost generation means misses, never entries come back to life. */
#ifndef INFERONCE_CACHE_GENERATION_H
#define INFERONCE_CACHE_GENERATION_H

#include "inferonce/cache/key.h"
#include "inferonce/store/store.h"

#define GENERATION_LENGTH 8

/* The number as it is stored, little-endian. */
void generation_encode(uint64_t generation, char value[GENERATION_LENGTH]);

/* 0 when `value` is not one. */
uint64_t generation_decode(struct bytes value);

/* A look at an entry and what it is judged by: its gets, in this order. */
enum { GENERATION_OF_ALL, GENERATION_OF_NAMESPACE, GENERATION_ENTRY, GENERATION_GETS };

_Static_assert(GENERATION_GETS <= STORE_LOOK_MAX, "one look");

/* Has `look`, which is idle, ask for them. Borrows both keys, as the look does. */
void generation_look(struct store_look *look, const struct key *generation, const struct key *entry);

/* The same without an entry. */
void generation_look_alone(struct store_look *look, const struct key *generation);

/* Reads the generation out of such a look. STORE_OK: `generation` is the sum, and `epoch` the last
 * invalidation that the look has seen, of the namespace or of the entry. STORE_MISSING: the namespace has
 * none. STORE_ERROR: it is not known. Both are 0 but for STORE_OK. */
enum store_status generation_read(const struct store_look *look, uint64_t *generation, uint64_t *epoch);

/* Makes a namespace's generation if there is none. One that exists lasts as long as a new one (store.h). */
void generation_make(struct store *store, const struct key *generation, uint64_t now_us);

/* The namespaces whose generations this worker renewed lately. */
#define RENEWALS 256

struct generation_renewals {
    uint64_t every_us; /* a quarter of what a new one lasts at least; 0: none needs it */
    struct {
        uint64_t group;
        uint64_t at_us; /* monotonic; 0: nothing */
    } places[RENEWALS];
};

/* For servers, which keep generations for a time only. */
void generation_renewals_init(struct generation_renewals *renewals, const struct settings *settings);

/* An entry of this namespace is stored, at `now_us` (monotonic): whether its generation is due to be made to
 * last; it is then taken for renewed. */
bool generation_is_due(struct generation_renewals *renewals, const struct key *generation, uint64_t now_us);

#endif
