/* Waits for an inference of another worker or host. */
#include <stdlib.h>

#include "inferonce/cache/flight_parts.h"

/* How soon a leader that cannot wake us is looked for again: first and most. */
#define LOOK_FIRST_US UINT64_C(10000)
#define LOOK_MOST_US  UINT64_C(100000)

/* A follower gives up this much later than any lease it may have seen runs out. It has then seen it gone, and
 * led, if its owner died where nobody here can know; a store that counts in seconds keeps a lease up to two
 * longer than it was told. */
#define GIVE_UP_MARGIN_US UINT64_C(3000000)

#define TICK_MS 10

static void on_looked(struct store_look *look);

/* First the interest, then the look: a leader that ends in between wakes us. */
static void start_look(struct flight *flight) {
    struct flights *flights = flight->flights;
    struct store_look *look = &flight->look;
    flight->look_again = look->state == STORE_LOOK_ASKED;
    if (look->state != STORE_LOOK_IDLE)
        return;
    shared_interest_register(flights->shared, flights->slot, key_hash(&flight->key));
    look->gets[0] = (struct store_get){.kind = STORE_ENTRY, .key = flight->key.bytes};
    look->gets[1] = (struct store_get){.kind = STORE_LEASE, .key = flight->lease_key.bytes};
    look->n = 2;
    if (flight->owner_nonce != 0) {
        key_of_outcome(&flight->lease_key, flight->owner_nonce, &flight->outcome_key);
        look->gets[look->n++] = (struct store_get){.kind = STORE_OUTCOME, .key = flight->outcome_key.bytes};
        if (flights->liveness.told)
            look->gets[look->n++] =
                (struct store_get){.kind = STORE_OUTCOME, .key = flight->liveness_key.bytes};
    }
    look->done = on_looked;
    look->user = flight;
    store_look(flights->store, look);
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
    case OUTCOME_ASKER_FAILED:
        if (flight->owner_nonce == flight->passed)
            return false;
        flight->passed = flight->owner_nonce;
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

/* Whether the owner's item has been missing for long enough. One that is late is written again by then. */
static bool is_missed(struct flight *flight, const struct store_get *get) {
    uint64_t now_us = clock_monotonic_us(flight->flights->clock);
    if (get->status != STORE_MISSING)
        flight->missing_us = 0;
    else if (flight->missing_us == 0)
        flight->missing_us = now_us;
    return flight->missing_us != 0 && now_us - flight->missing_us >= LIVENESS_PATIENCE_US;
}

static bool is_dead(struct flight *flight, const struct lease_owner *owner,
                    const struct store_get *liveness) {
    if (shared_owner_is_dead(flight->flights->shared, owner->instance, owner->slot, owner->epoch))
        return true;
    return liveness && owner->nonce == flight->owner_nonce && is_missed(flight, liveness);
}

static void note_owner(struct flight *flight, const struct lease_owner *owner) {
    flight->owner_nonce = owner->nonce;
    flight->missing_us = 0;
    key_of_liveness(owner->instance, owner->slot, owner->epoch, &flight->liveness_key);
}

/* Nothing has come of it yet: is somebody still at it? `liveness` NULL: it was not asked for. */
static void saw_lease(struct flight *flight, const struct store_get *get, const struct store_get *liveness,
                      bool look_again) {
    struct flights *flights = flight->flights;
    struct lease_owner owner;
    if (get->status == STORE_ERROR) {
        flight_unfollow(flight);
        flight_lead_alone(flight);
        return;
    }
    bool named = get->status == STORE_OK && lease_owner_decode(get->value, &owner);
    if (!named || is_dead(flight, &owner, liveness)) {
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
    if (owner.nonce != flight->owner_nonce || look_again) {
        if (owner.nonce != flight->owner_nonce)
            note_owner(flight, &owner);
        start_look(flight);
        return;
    }
    uint64_t pause_us = LOOK_FIRST_US << (flight->looks < 8 ? flight->looks : 8);
    flight->looks++;
    flight->look_at_us =
        clock_monotonic_us(flights->clock) + (pause_us < LOOK_MOST_US ? pause_us : LOOK_MOST_US);
}

static void on_looked(struct store_look *look) {
    struct flight *flight = look->user;
    bool look_again = flight->look_again;
    flight->look_again = false;
    if (saw_entry(flight, &look->gets[0]) || (look->n > 2 && saw_outcome(flight, &look->gets[2])))
        return;
    saw_lease(flight, &look->gets[1], look->n > 3 ? &look->gets[3] : NULL, look_again);
}

void flights_woken(struct flights *flights, const uint64_t words[INTEREST_WORDS / 64]) {
    struct flight *flight;
    TAILQ_FOREACH(flight, &flights->following, links) {
        unsigned word = shared_interest_word(key_hash(&flight->key));
        if (words[word / 64] >> (word % 64) & 1)
            start_look(flight);
    }
}

/* ---- following ---- */

static void time_out(struct flight *flight) {
    const struct engine_answer failure = {.status = ENGINE_TIMEOUT,
                                          .detail = "another worker's inference took too long",
                                          .duration_us = flight->flights->longest_us};
    fail_as_followed(flight, &failure);
}

static void on_tick(uv_timer_t *timer) {
    struct flights *flights = timer->data;
    flight_due_end(flights);
    uint64_t now_us = clock_monotonic_us(flights->clock);
    struct flight *flight = TAILQ_FIRST(&flights->following);
    while (flight) {
        /* Answering can only end this flight and make others leave their waiters, which may end the next:
         * start over then. */
        if (now_us >= flight->deadline_us) {
            time_out(flight);
            flight = TAILQ_FIRST(&flights->following);
            continue;
        }
        if (!flight->owner_wakes_us && now_us >= flight->look_at_us)
            start_look(flight);
        flight = TAILQ_NEXT(flight, links);
    }
    if (TAILQ_EMPTY(&flights->following) && TAILQ_EMPTY(&flights->deadlines.requests))
        uv_timer_stop(timer);
}

void flight_start_timer(struct flights *flights) {
    if (!uv_is_active((uv_handle_t *)flights->timer))
        (void)uv_timer_start(flights->timer, on_tick, TICK_MS, TICK_MS);
}

void flight_follow(struct flight *flight) {
    struct flights *flights = flight->flights;
    flight->phase = FLIGHT_FOLLOWING;
    flight->owner_nonce = 0;
    flight->owner_wakes_us = false;
    flight->looks = 0;
    flight->look_at_us = 0;
    flight->deadline_us = clock_monotonic_us(flights->clock) + flights->longest_us + GIVE_UP_MARGIN_US;
    TAILQ_INSERT_HEAD(&flights->following, flight, links);
    flight_start_timer(flights);
    start_look(flight);
}

void flight_unfollow(struct flight *flight) {
    struct flights *flights = flight->flights;
    store_look_forget(flights->store, &flight->look);
    flight->look_again = false;
    TAILQ_REMOVE(&flights->following, flight, links);
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
}
