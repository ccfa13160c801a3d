#include <stdlib.h>

#include "inferonce/cache/flight_parts.h"

#define LOOK_FLIGHTS 64
#define LOOK_GETS    3 /* entry, lease, outcome */

/* How soon a leader that cannot wake us is looked for again: first and most. */
#define LOOK_FIRST_US UINT64_C(10000)
#define LOOK_MOST_US  UINT64_C(100000)

/* A follower gives up this much later than any lease it may have seen runs out. It has then seen it gone, and
 * led, if its owner died where nobody here can know; a store that counts in seconds keeps a lease up to two
 * longer than it was told. */
#define GIVE_UP_MARGIN_US UINT64_C(3000000)

#define TICK_MS 10

/* One look at the store for up to LOOK_FLIGHTS flights. */
struct look {
    struct flights *flights;
    struct look *next_free, *next_made;
    size_t n_flights, n_gets;
    struct flight *flight[LOOK_FLIGHTS]; /* NULL: ended meanwhile */
    size_t gets_at[LOOK_FLIGHTS];
    struct store_get gets[LOOK_FLIGHTS * LOOK_GETS];
    struct key keys[LOOK_FLIGHTS * LOOK_GETS];
};

static void want_look(struct flight *flight) {
    if (!flight->look_wanted)
        flight->flights->looks_wanted++;
    flight->look_wanted = true;
}

static void unwant_look(struct flight *flight) {
    if (flight->look_wanted)
        flight->flights->looks_wanted--;
    flight->look_wanted = false;
}

static struct look *look_take(struct flights *flights) {
    struct look *look = flights->free_looks;
    if (look) {
        flights->free_looks = look->next_free;
    } else {
        look = malloc(sizeof(*look));
        if (!look)
            return NULL;
        look->next_made = flights->looks;
        flights->looks = look;
    }
    look->flights = flights;
    look->n_flights = 0;
    look->n_gets = 0;
    return look;
}

static void look_release(struct look *look) {
    look->next_free = look->flights->free_looks;
    look->flights->free_looks = look;
}

static void add_get(struct look *look, enum store_kind kind, const struct key *key) {
    look->keys[look->n_gets] = *key;
    look->gets[look->n_gets] = (struct store_get){.kind = kind, .key = look->keys[look->n_gets].bytes};
    look->n_gets++;
}

static void look_add(struct look *look, struct flight *flight) {
    size_t place = look->n_flights++;
    look->flight[place] = flight;
    look->gets_at[place] = look->n_gets;
    flight->look = look;
    flight->look_place = place;
    add_get(look, STORE_ENTRY, &flight->key);
    add_get(look, STORE_LEASE, &flight->lease_key);
    if (flight->owner_nonce != 0) {
        struct key outcome;
        key_of_outcome(&flight->lease_key, flight->owner_nonce, &outcome);
        add_get(look, STORE_OUTCOME, &outcome);
    }
}

/* Two flights of one key (from before and after a purge) would ask for the same entry: a batch names a key
 * once. */
static bool look_has_key(const struct look *look, const struct key *key) {
    for (size_t i = 0; i < look->n_flights; i++)
        if (key_equal(&look->flight[i]->key, key))
            return true;
    return false;
}

/* ---- what a look found ---- */

static bool saw_entry(struct flight *flight, const struct store_get *get) {
    uint64_t now_us = clock_wall_us(flight->flights->clock);
    struct entry entry;
    if (get->status != STORE_OK || entry_read(get->value, &flight->key, now_us, &entry) != ENTRY_GOOD ||
        !flight_accepts(flight, &entry, now_us))
        return false;
    flight_unfollow(flight);
    flight->phase = FLIGHT_STORING;
    flight->followed = true;
    flight_answer_all(flight, true, &entry);
    return true;
}

static void fail_as_followed(struct flight *flight, const struct engine_answer *failure) {
    flight_unfollow(flight);
    flight->followed = true;
    flight_set_failure(flight, failure);
    flight_fail(flight);
}

static bool saw_outcome(struct flight *flight, const struct store_get *get) {
    struct engine_answer failure;
    struct key refusal;
    if (get->status != STORE_OK)
        return false;
    switch (flight_outcome_decode(get->value, &failure, &refusal)) {
    case OUTCOME_REFUSED:
        /* Nothing new: its lease is about to go. */
        if (flight->owner_nonce == flight->refuser)
            return false;
        flight->refused = true;
        flight->refuser = flight->owner_nonce;
        flight->refusal = refusal;
        fail_as_followed(flight, &failure);
        return true;
    case OUTCOME_FAILED:
        fail_as_followed(flight, &failure);
        return true;
    case OUTCOME_NOT_SHARED:
        flight_unfollow(flight);
        flight_lead_alone(flight);
        return true;
    case OUTCOME_NONE:
        break;
    }
    return false;
}

/* Nothing has come of it yet: is somebody still at it? */
static void saw_lease(struct flight *flight, const struct store_get *get) {
    struct flights *flights = flight->flights;
    struct lease_owner owner;
    if (get->status == STORE_ERROR) {
        flight_unfollow(flight);
        flight_lead_alone(flight);
        return;
    }
    bool named = get->status == STORE_OK && lease_owner_decode(get->value, &owner);
    if (!named || shared_owner_is_dead(flights->shared, owner.instance, owner.slot, owner.epoch)) {
        flight_unfollow(flight);
        /* Counted whatever the reason, or a store that lies could send us round in a circle. A lease that is
         * gone can be had; one that is there and leads nowhere is passed over. */
        flight->attempt++;
        if (get->status == STORE_OK)
            key_of_next_lease(&flight->lease_key, &flight->lease_key);
        flight_lease(flight);
        return;
    }
    flight->owner_wakes_us = owner.instance == flights->shared->instance && owner.slot < SLOTS_MAX &&
                             flights->shared->wake_descriptors[owner.slot] >= 0;
    /* Its outcome may have been written before its name was known to us. */
    if (owner.nonce != flight->owner_nonce) {
        flight->owner_nonce = owner.nonce;
        want_look(flight);
        return;
    }
    uint64_t pause_us = LOOK_FIRST_US << (flight->looks < 8 ? flight->looks : 8);
    flight->looks++;
    flight->look_at_us =
        clock_monotonic_us(flights->clock) + (pause_us < LOOK_MOST_US ? pause_us : LOOK_MOST_US);
}

static void looked(void *user, struct store_get *gets, size_t n) {
    struct look *look = user;
    struct flights *flights = look->flights;
    for (size_t i = 0; i < look->n_flights; i++) {
        struct flight *flight = look->flight[i];
        if (!flight)
            continue;
        const struct store_get *get = &gets[look->gets_at[i]];
        bool asked_outcome = look->gets_at[i] + 2 < n && get[2].kind == STORE_OUTCOME;
        flight->look = NULL;
        if (saw_entry(flight, &get[0]) || (asked_outcome && saw_outcome(flight, &get[2])))
            continue;
        saw_lease(flight, &get[1]);
    }
    look_release(look);
    flights_flush(flights);
}

/* ---- looking ---- */

bool flight_look_at_wanted(struct flights *flights) {
    struct look *look = NULL;
    if (flights->looks_wanted == 0)
        return false;
    for (struct flight *flight = flights->first_following; flight; flight = flight->next_following) {
        if (!flight->look_wanted || flight->look)
            continue;
        if (!look && !(look = look_take(flights)))
            return false; /* no memory now: the timer comes back to them */
        if (look->n_flights == LOOK_FLIGHTS || look_has_key(look, &flight->key))
            continue;
        /* First the interest, then the look: a leader that ends in between wakes us. */
        shared_interest_register(flights->shared, flights->slot, key_hash(&flight->key));
        unwant_look(flight);
        look_add(look, flight);
    }
    if (!look)
        return false; /* each of them waits for a look that is under way */
    store_get_many(flights->store, look->gets, look->n_gets, looked, look);
    return true;
}

void flights_woken(struct flights *flights, const uint64_t words[INTEREST_WORDS / 64]) {
    for (struct flight *flight = flights->first_following; flight; flight = flight->next_following) {
        unsigned word = shared_interest_word(key_hash(&flight->key));
        if (words[word / 64] >> (word % 64) & 1)
            want_look(flight);
    }
    flights_flush(flights);
}

/* ---- following ---- */

static void time_out(struct flight *flight) {
    const struct engine_answer failure = {.status = ENGINE_TIMEOUT,
                                          .detail = "another worker's inference took too long",
                                          .duration_us = flight->flights->longest_us};
    fail_as_followed(flight, &failure);
}

static void tick(uv_timer_t *timer) {
    struct flights *flights = timer->data;
    uint64_t now_us = clock_monotonic_us(flights->clock);
    struct flight *flight = flights->first_following;
    while (flight) {
        /* Answering can only end this flight and make others leave their waiters, which may end the next:
         * start over then. */
        if (now_us >= flight->deadline_us) {
            time_out(flight);
            flight = flights->first_following;
            continue;
        }
        if (!flight->owner_wakes_us && now_us >= flight->look_at_us)
            want_look(flight);
        flight = flight->next_following;
    }
    flights_flush(flights);
}

void flight_follow(struct flight *flight) {
    struct flights *flights = flight->flights;
    flight->phase = FLIGHT_FOLLOWING;
    flight->owner_nonce = 0;
    flight->owner_wakes_us = false;
    flight->looks = 0;
    flight->look_at_us = 0;
    flight->look = NULL;
    want_look(flight);
    flight->deadline_us = clock_monotonic_us(flights->clock) + flights->longest_us + GIVE_UP_MARGIN_US;
    flight->previous_following = NULL;
    flight->next_following = flights->first_following;
    if (flights->first_following)
        flights->first_following->previous_following = flight;
    else
        uv_timer_start(flights->timer, tick, TICK_MS, TICK_MS);
    flights->first_following = flight;
}

void flight_unfollow(struct flight *flight) {
    struct flights *flights = flight->flights;
    if (flight->look)
        flight->look->flight[flight->look_place] = NULL;
    flight->look = NULL;
    unwant_look(flight);
    if (flight->previous_following)
        flight->previous_following->next_following = flight->next_following;
    else
        flights->first_following = flight->next_following;
    if (flight->next_following)
        flight->next_following->previous_following = flight->previous_following;
    if (!flights->first_following)
        uv_timer_stop(flights->timer);
    flight->phase = FLIGHT_LEASING;
}

bool flight_following_setup(struct flights *flights, uv_loop_t *loop) {
    flights->timer = malloc(sizeof(*flights->timer));
    if (!flights->timer)
        return false;
    INVARIANT(uv_timer_init(loop, flights->timer) == 0);
    flights->timer->data = flights;
    return true;
}

static void free_timer(uv_handle_t *handle) {
    free(handle);
}

void flight_following_teardown(struct flights *flights) {
    uv_close((uv_handle_t *)flights->timer, free_timer);
    while (flights->looks) {
        struct look *look = flights->looks;
        flights->looks = look->next_made;
        free(look);
    }
}
