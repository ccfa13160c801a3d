/* Waits for an inference of another worker or host. */
#include "cache/flight.h"

/* How soon a leader that cannot wake us is looked for again: first and most. */
#define LOOK_FIRST_US UINT64_C(10000)
#define LOOK_MOST_US  UINT64_C(100000)

/* A follower gives up this much later than any lease it may have seen runs out. It has then seen it gone, and
 * led, if its owner died where nobody here can know; a store that counts in seconds keeps a lease up to two
 * longer than it was told. */
#define GIVE_UP_MARGIN_US UINT64_C(3000000)

static void on_looked(struct store_look *look);

static void report(struct flight *flight, enum flight_report what) {
    flight->flights->report(flight, what, NULL);
}

/* First the interest, then the look: a leader that ends in between wakes us. */
static void start_look(struct flight *flight) {
    struct flights *flights = flight->flights;
    struct store_look *look = &flight->look;
    flight->look_again = look->state == STORE_LOOK_ASKED;
    if (look->state != STORE_LOOK_IDLE)
        return;
    shared_interest_register(flights->context->shared, flights->context->slot, key_hash(&flight->key));
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
    uint64_t now_us = clock_wall_us(flight->flights->context->clock);
    struct entry entry;
    if (get->status != STORE_OK || entry_read(get->value, &flight->key, now_us, &entry) != ENTRY_GOOD ||
        !flight_accepts(flight, &entry, now_us))
        return false;
    flight->followed = true;
    const struct flight_result result = {.entry = &entry, .stored = true};
    flight->flights->report(flight, FLIGHT_ANSWERED, &result);
    return true;
}

static void fail_as_followed(struct flight *flight, const struct engine_answer *failure) {
    flight->followed = true;
    flight_set_failure(flight, failure);
    report(flight, FLIGHT_FAILED);
}

static bool saw_outcome(struct flight *flight, const struct store_get *get) {
    if (get->status != STORE_OK)
        return false;
    const struct outcome outcome = outcome_decode(get->value);
    switch (outcome.kind) {
    case OUTCOME_REFUSED:
        /* Nothing new: its lease is about to go. */
        if (flight->owner_nonce == flight->refuser)
            return false;
        flight->refused = true;
        flight->refuser = flight->owner_nonce;
        flight->refusal = outcome.refusal;
        break;
    case OUTCOME_ASKER_FAILED:
        if (flight->owner_nonce == flight->passed)
            return false;
        flight->passed = flight->owner_nonce;
        break;
    case OUTCOME_FAILED:
        break;
    case OUTCOME_NOT_SHARED:
        report(flight, FLIGHT_ALONE);
        return true;
    case OUTCOME_NONE:
        return false;
    }
    fail_as_followed(flight, &outcome.failure);
    return true;
}

/* Whether the owner's item has been missing for long enough. One that is late is written again by then. */
static bool is_missed(struct flight *flight, const struct store_get *get) {
    uint64_t now_us = clock_monotonic_us(flight->flights->context->clock);
    if (get->status != STORE_MISSING)
        flight->missing_us = 0;
    else if (flight->missing_us == 0)
        flight->missing_us = now_us;
    return flight->missing_us != 0 && now_us - flight->missing_us >= LIVENESS_PATIENCE_US;
}

static bool is_dead(struct flight *flight, const struct lease_owner *owner,
                    const struct store_get *liveness) {
    if (shared_owner_is_dead(flight->flights->context->shared, owner->instance, owner->slot,
                             owner->incarnation))
        return true;
    return liveness && owner->nonce == flight->owner_nonce && is_missed(flight, liveness);
}

static void note_owner(struct flight *flight, const struct lease_owner *owner) {
    flight->owner_nonce = owner->nonce;
    flight->missing_us = 0;
    key_of_liveness(owner->instance, owner->slot, owner->incarnation, &flight->liveness_key);
}

/* Nothing has come of it yet: is somebody still at it? `liveness` NULL: it was not asked for. */
static void saw_lease(struct flight *flight, const struct store_get *get, const struct store_get *liveness,
                      bool look_again) {
    struct flights *flights = flight->flights;
    struct lease_owner owner;
    if (get->status == STORE_ERROR) {
        report(flight, FLIGHT_ALONE);
        return;
    }
    bool named = get->status == STORE_OK && lease_owner_decode(get->value, &owner);
    if (!named || is_dead(flight, &owner, liveness)) {
        /* Counted whatever the reason, or a store that lies could send us round in a circle. A lease that is
         * gone can be had; one that is there and leads nowhere is passed over. */
        flight->attempt++;
        if (get->status == STORE_OK)
            key_of_next_lease(&flight->lease_key, &flight->lease_key);
        report(flight, FLIGHT_ORPHANED);
        return;
    }
    flight->owner_wakes_us = owner.instance == flights->context->shared->instance && owner.slot < SLOTS_MAX &&
                             flights->context->shared->wake_descriptors[owner.slot] >= 0;
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
        clock_monotonic_us(flights->context->clock) + (pause_us < LOOK_MOST_US ? pause_us : LOOK_MOST_US);
}

static void on_looked(struct store_look *look) {
    struct flight *flight = look->user;
    bool look_again = flight->look_again;
    flight->look_again = false;
    if (saw_entry(flight, &look->gets[0]) || (look->n > 2 && saw_outcome(flight, &look->gets[2])))
        return;
    saw_lease(flight, &look->gets[1], look->n > 3 ? &look->gets[3] : NULL, look_again);
}

void followers_woken(struct flights *flights, const uint64_t words[INTEREST_WORDS / 64]) {
    struct flight *flight;
    TAILQ_FOREACH(flight, &flights->in[FLIGHT_FOLLOWING], links) {
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

/* Answering one flight may end others: the first is looked for anew each time. */
static void time_out_overdue(struct flights *flights, uint64_t now_us) {
    struct flight *flight = TAILQ_FIRST(&flights->in[FLIGHT_FOLLOWING]);
    while (flight)
        if (now_us >= flight->deadline_us) {
            time_out(flight);
            flight = TAILQ_FIRST(&flights->in[FLIGHT_FOLLOWING]);
        } else {
            flight = TAILQ_NEXT(flight, links);
        }
}

void followers_tick(struct flights *flights, uint64_t now_us) {
    struct flight *flight;
    time_out_overdue(flights, now_us);
    TAILQ_FOREACH(flight, &flights->in[FLIGHT_FOLLOWING], links)
    if (!flight->owner_wakes_us && now_us >= flight->look_at_us)
        start_look(flight);
}

void follower_begin(struct flight *flight) {
    struct flights *flights = flight->flights;
    flight_move(flight, FLIGHT_FOLLOWING);
    flight->owner_nonce = 0;
    flight->owner_wakes_us = false;
    flight->look_again = false;
    flight->looks = 0;
    flight->look_at_us = 0;
    flight->deadline_us =
        clock_monotonic_us(flights->context->clock) + flights->longest_us + GIVE_UP_MARGIN_US;
    flights_start_timer(flights);
    start_look(flight);
}
