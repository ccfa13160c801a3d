/* Takes the lease, infers, stores, and tells those that follow. */
#include "inferonce/base/little_endian.h"
#include "inferonce/cache/flight_parts.h"
#include "inferonce/cache/policy.h"

/* How long an outcome stays: followers of this host are woken at once, those of others look every 100 ms. */
#define OUTCOME_MS 3000

/* The most jobs handed to the engine in one call. */
#define HANDOVER_MAX 256

/* ---- what is written into leases and outcomes: small, little-endian, fixed ---- */

enum { OWNER_INSTANCE = 0, OWNER_EPOCH = 8, OWNER_NONCE = 16, OWNER_SLOT = 24, OWNER_LENGTH = 28 };

enum {
    OUTCOME_KIND = 0,
    OUTCOME_STATUS = 1,
    OUTCOME_HTTP_STATUS = 2,
    OUTCOME_RETRY_AFTER = 4,
    OUTCOME_DURATION = 8,
    OUTCOME_LENGTH = 16,
    OUTCOME_REFUSAL = 16, /* of OUTCOME_REFUSED alone */
    OUTCOME_REFUSED_LENGTH = OUTCOME_REFUSAL + KEY_LENGTH
};

_Static_assert(OUTCOME_REFUSED_LENGTH <= STORE_SMALL_MAX, "a refusal is a small item");

struct bytes lease_owner_encode(const struct lease_owner *owner, char value[STORE_SMALL_MAX]) {
    store_u64(value + OWNER_INSTANCE, owner->instance);
    store_u64(value + OWNER_EPOCH, owner->epoch);
    store_u64(value + OWNER_NONCE, owner->nonce);
    store_u32(value + OWNER_SLOT, owner->slot);
    return (struct bytes){value, OWNER_LENGTH};
}

bool lease_owner_decode(struct bytes value, struct lease_owner *owner) {
    if (value.length != OWNER_LENGTH)
        return false;
    owner->instance = load_u64(value.data + OWNER_INSTANCE);
    owner->epoch = load_u64(value.data + OWNER_EPOCH);
    owner->nonce = load_u64(value.data + OWNER_NONCE);
    owner->slot = load_u32(value.data + OWNER_SLOT);
    return owner->nonce != 0;
}

static struct bytes outcome_encode(enum flight_outcome outcome, const struct flight *flight,
                                   char value[STORE_SMALL_MAX]) {
    const struct engine_answer *failure = &flight->failure;
    value[OUTCOME_KIND] = (char)outcome;
    value[OUTCOME_STATUS] = (char)failure->status;
    store_u16(value + OUTCOME_HTTP_STATUS, (uint16_t)failure->http_status);
    store_u32(value + OUTCOME_RETRY_AFTER, failure->retry_after_s);
    store_u64(value + OUTCOME_DURATION, failure->duration_us);
    if (outcome != OUTCOME_REFUSED)
        return (struct bytes){value, OUTCOME_LENGTH};
    memcpy(value + OUTCOME_REFUSAL, flight->refusal.bytes, KEY_LENGTH);
    return (struct bytes){value, OUTCOME_REFUSED_LENGTH};
}

bool flight_is_refusal(const struct engine_answer *failure) {
    return (failure->status == ENGINE_REJECTED &&
            (failure->http_status == 401 || failure->http_status == 402 || failure->http_status == 403)) ||
           (failure->status == ENGINE_OVERLOAD && failure->http_status == 429);
}

enum flight_outcome flight_outcome_decode(struct bytes value, struct engine_answer *failure,
                                          struct key *refusal) {
    if (value.length != OUTCOME_LENGTH && value.length != OUTCOME_REFUSED_LENGTH)
        return OUTCOME_NONE;
    unsigned status = (unsigned char)value.data[OUTCOME_STATUS];
    *failure = (struct engine_answer){.status = (enum engine_status)status,
                                      .http_status = load_u16(value.data + OUTCOME_HTTP_STATUS),
                                      .retry_after_s = load_u32(value.data + OUTCOME_RETRY_AFTER),
                                      .duration_us = load_u64(value.data + OUTCOME_DURATION),
                                      .detail = "the inference that this request waited for failed"};
    if (value.length == OUTCOME_REFUSED_LENGTH) {
        memcpy(refusal->bytes, value.data + OUTCOME_REFUSAL, KEY_LENGTH);
        return value.data[OUTCOME_KIND] == OUTCOME_REFUSED && flight_is_refusal(failure) ? OUTCOME_REFUSED
                                                                                         : OUTCOME_NONE;
    }
    if (value.data[OUTCOME_KIND] == OUTCOME_NOT_SHARED)
        return OUTCOME_NOT_SHARED;
    if (status == ENGINE_OK || status > ENGINE_STATUS_LAST)
        return OUTCOME_NONE;
    failure->asker_only = value.data[OUTCOME_KIND] == OUTCOME_ASKER_FAILED;
    if (failure->asker_only)
        return OUTCOME_ASKER_FAILED;
    return value.data[OUTCOME_KIND] == OUTCOME_FAILED ? OUTCOME_FAILED : OUTCOME_NONE;
}

/* ---- the lease ---- */

void flight_end_lease(struct flight *flight) {
    if (flight->lease_asked)
        liveness_end(&flight->flights->liveness);
    flight->lease_asked = flight->lease_held = false;
}

/* The flight is gone by then: the entry's place in the table tells the callback which word to wake. */
static void released(void *user, enum store_status status) {
    const struct flight_release *release = user;
    struct flights *flights = release->flights;
    (void)status; /* a lease that could not be removed runs out */
    shared_wake(flights->shared, (uint64_t)(release - flights->releases));
}

/* They are woken when the lease is gone, and with it all written before, so that they do not look too early.
 */
void flight_tell_followers(struct flight *flight) {
    struct flights *flights = flight->flights;
    struct flight_release *release = &flights->releases[shared_interest_word(key_hash(&flight->key))];
    if (flight->generation == 0)
        return;
    /* A lease that has run out may be somebody else's by now. */
    bool held = flight->lease_held && clock_monotonic_us(flights->clock) < flight->lease_until_us;
    flight_end_lease(flight);
    if (held)
        store_remove(flights->store, STORE_LEASE, flight->lease_key.bytes, 0, 0, released, release);
    else
        released(release, STORE_OK);
}

static void leave_outcome(struct flight *flight, enum flight_outcome outcome) {
    if (!flight->lease_held)
        return;
    char value[STORE_SMALL_MAX];
    struct key key;
    key_of_outcome(&flight->lease_key, flight->nonce, &key);
    struct store_item item = {.kind = STORE_OUTCOME,
                              .key = key.bytes,
                              .value = outcome_encode(outcome, flight, value),
                              .ttl_ms = OUTCOME_MS};
    store_put(flight->flights->store, &item, NULL, NULL);
}

/* ---- inferring ---- */

/* A newer answer that cannot be kept must not leave the older one to be served again. */
static void drop_older(struct flight *flight) {
    if (flight->replaces && flight->generation != 0)
        store_remove(flight->flights->store, STORE_ENTRY, flight->key.bytes, flight->epoch, 0, NULL, NULL);
}

static void stored(void *user, enum store_status status) {
    struct flight *flight = user;
    struct flights *flights = flight->flights;
    if (status == STORE_OK) {
        stats_count(flights->stats, STAT_stores);
    } else {
        if (status == STORE_TOO_LARGE)
            stats_count(flights->stats, STAT_rejected_entries);
        if (status == STORE_ERROR)
            drop_older(flight);
        leave_outcome(flight, OUTCOME_NOT_SHARED);
    }
    flight_tell_followers(flight);
    flight_answer_all(flight, status == STORE_OK, NULL);
}

static uint64_t lifetime_ms(const struct flight *flight, const struct engine_answer *answer) {
    return answer->lifetime_ms < flight->ttl_ms ? answer->lifetime_ms : flight->ttl_ms;
}

/* Whether the answer may be kept, by what the model said and by our own limit. */
static bool may_store(struct flight *flight, const struct engine_answer *answer) {
    struct flights *flights = flight->flights;
    if (flight->generation == 0 || !answer->storable || lifetime_ms(flight, answer) == 0)
        return false;
    if (answer->body.length <= flights->settings->cache_max_entry_kb * 1024)
        return true;
    stats_count(flights->stats, STAT_rejected_entries);
    return false;
}

/* Where no name is given the URL stands for it in keys. Its query, which may hold a credential, is neither
 * stored nor shown. */
static struct bytes model_name(const struct settings *settings) {
    struct bytes name = bytes_of(settings->model_name);
    if (strcmp(settings->model_name, settings->upstream_url) == 0)
        name.length = strcspn(settings->model_name, "?");
    return name;
}

static bool encode(struct flight *flight, const struct engine_answer *answer, uint64_t *ttl_ms) {
    const struct settings *settings = flight->flights->settings;
    uint64_t stale_ms = settings->cache_stale_while_revalidate_ms;
    if (settings->cache_stale_if_error_ms > stale_ms)
        stale_ms = settings->cache_stale_if_error_ms;
    uint64_t lifetime = lifetime_ms(flight, answer);
    struct entry entry = {.key = flight->key,
                          .created_us = clock_wall_us(flight->flights->clock),
                          .generation = flight->generation,
                          .inference_us = answer->duration_us / (answer->texts > 0 ? answer->texts : 1),
                          .cache_namespace = flight->texts.cache_namespace,
                          .model_name = model_name(settings),
                          .model_version = bytes_of(settings->model_version),
                          .body = answer->body};
    entry.fresh_until_us = entry.created_us + lifetime * 1000;
    entry.stale_while_revalidate_until_us =
        entry.fresh_until_us + settings->cache_stale_while_revalidate_ms * 1000;
    entry.stale_if_error_until_us = entry.fresh_until_us + settings->cache_stale_if_error_ms * 1000;
    buffer_init(&flight->encoded, entry_length(&entry));
    entry_append(&entry, &flight->encoded);
    *ttl_ms = lifetime + stale_ms;
    if (flight->encoded.failed)
        return false;
    flight->body = (struct bytes){flight->encoded.data + flight->encoded.length - answer->body.length,
                                  answer->body.length};
    return true;
}

/* What judges the entry lasts at least as long as the entry. */
static void keep_generation(struct flight *flight) {
    struct flights *flights = flight->flights;
    struct key generation;
    key_of_generation(flight->texts.cache_namespace, &generation);
    if (generation_is_due(&flights->renewals, &generation, clock_monotonic_us(flights->clock)))
        generation_make(flights->store, &generation, clock_wall_us(flights->clock));
}

static enum flight_outcome outcome_of(const struct flight *flight) {
    if (flight->refused)
        return OUTCOME_REFUSED;
    return flight->failure.asker_only ? OUTCOME_ASKER_FAILED : OUTCOME_FAILED;
}

static void failed(struct flight *flight, const struct engine_answer *answer) {
    flight_set_failure(flight, answer);
    flight->refused = flight_is_refusal(answer);
    if (flight->refused) {
        flight->refuser = flight->nonce;
        key_of_refusal(&flight->lease_key, flight->refuser, flight->job.authorization, &flight->refusal);
    }
    if (answer->asker_only)
        flight->passed = flight->nonce;
    leave_outcome(flight, outcome_of(flight));
    flight_tell_followers(flight);
    flight_fail(flight);
}

static void inferred(struct engine_job *job, const struct engine_answer *answer) {
    struct flight *flight = job->user;
    flight->inference_us = answer->duration_us;
    if (answer->status != ENGINE_OK) {
        failed(flight, answer);
        return;
    }
    flight->phase = FLIGHT_STORING;
    uint64_t ttl_ms;
    if (may_store(flight, answer) && encode(flight, answer, &ttl_ms)) {
        struct store_item item = {.kind = STORE_ENTRY,
                                  .key = flight->key.bytes,
                                  .value = buffer_bytes(&flight->encoded),
                                  .epoch = flight->epoch,
                                  .group = flight->group,
                                  .ttl_ms = ttl_ms};
        keep_generation(flight);
        store_put(flight->flights->store, &item, stored, flight);
        return;
    }
    flight->body = answer->body;
    drop_older(flight);
    leave_outcome(flight, OUTCOME_NOT_SHARED);
    flight_tell_followers(flight);
    flight_answer_all(flight, false, NULL);
}

static void lead(struct flight *flight) {
    struct flights *flights = flight->flights;
    flight->phase = FLIGHT_LEADING;
    /* The time of a leader that died is not this one's. */
    if (flight->attempt > 0)
        flight->job.arrived_us = 0;
    flight->job.done = inferred;
    flight->job.user = flight;
    flight->listed = true;
    TAILQ_INSERT_TAIL(&flights->leading, flight, links);
    turn_at_end(flights->turn, &flights->hand_over);
}

bool flight_unlist_leading(struct flight *flight) {
    if (!flight->listed)
        return false;
    TAILQ_REMOVE(&flight->flights->leading, flight, links);
    flight->listed = false;
    return true;
}

void flights_on_hand_over(void *user) {
    struct flights *flights = user;
    struct engine_job *jobs[HANDOVER_MAX];
    struct flight *flight;
    size_t n = 0;
    while (n < HANDOVER_MAX && (flight = TAILQ_FIRST(&flights->leading)) != NULL) {
        flight_unlist_leading(flight);
        jobs[n++] = &flight->job;
    }
    if (!TAILQ_EMPTY(&flights->leading))
        turn_at_end(flights->turn, &flights->hand_over);
    if (n > 0)
        engine_infer(flights->engine, jobs, n);
}

void flight_abandoned(struct flight *flight) {
    struct flights *flights = flight->flights;
    if (!flight_unlist_leading(flight)) {
        if (!engine_is_queued(&flight->job))
            return;
        engine_cancel(flights->engine, &flight->job);
    }
    /* Those who follow elsewhere find the lease gone, and one of them leads. */
    flight->phase = FLIGHT_FAILING;
    flight_tell_followers(flight);
    flight_destroy(flight);
}

/* ---- leading or following ---- */

bool flight_accepts(const struct flight *flight, const struct entry *entry, uint64_t now_us) {
    if (entry->generation != flight->generation || entry->created_us < flight->not_before_us)
        return false;
    return entry->fresh_until_us > now_us || entry->created_us >= flight->began_us;
}

/* Between our look-up, which missed, and our lease another flight may have ended: what it stored is ours too.
 */
static void on_looked_before_inferring(struct store_look *look) {
    struct flight *flight = look->user;
    struct flights *flights = flight->flights;
    uint64_t now_us = clock_wall_us(flights->clock);
    const struct store_get *get = &look->gets[0];
    struct entry entry;
    if (TAILQ_EMPTY(&flight->waiters) && !flight->background) {
        flight->phase = FLIGHT_FAILING;
        flight_tell_followers(flight);
        flight_destroy(flight);
        return;
    }
    if (get->status == STORE_OK && entry_read(get->value, &flight->key, now_us, &entry) == ENTRY_GOOD &&
        flight_accepts(flight, &entry, now_us)) {
        flight->phase = FLIGHT_STORING;
        flight->followed = true;
        flight_tell_followers(flight);
        flight_answer_all(flight, true, &entry);
        return;
    }
    lead(flight);
}

static void look_for_entry(struct flight *flight, store_looked looked) {
    flight->look.gets[0] = (struct store_get){.kind = STORE_ENTRY, .key = flight->key.bytes};
    flight->look.n = 1;
    flight->look.done = looked;
    flight->look.user = flight;
    store_look(flight->flights->store, &flight->look);
}

static void leased(void *user, enum store_status status) {
    struct flight *flight = user;
    if (status != STORE_OK)
        flight_end_lease(flight);
    if (status == STORE_EXISTS) {
        if (flight->background || TAILQ_EMPTY(&flight->waiters))
            flight_destroy(flight);
        else
            flight_follow(flight);
        return;
    }
    flight->lease_held = status == STORE_OK;
    look_for_entry(flight, on_looked_before_inferring);
}

void flight_lease(struct flight *flight) {
    struct flights *flights = flight->flights;
    if (flight->generation == 0 || flight->attempt >= FLIGHT_ATTEMPTS) {
        flight_lead_alone(flight);
        return;
    }
    flight->phase = FLIGHT_LEASING;
    flight->nonce = ++flights->nonces ? flights->nonces : ++flights->nonces;
    if (flight->attempt == 0)
        key_of_lease(&flight->key, flight->epoch, flight->generation, &flight->lease_key);
    flight->lease_until_us = clock_monotonic_us(flights->clock) + flights->longest_us;
    char value[STORE_SMALL_MAX];
    const struct lease_owner owner = {.instance = flights->shared->instance,
                                      .slot = flights->slot,
                                      .epoch = atomic_load(&flights->shared->slots[flights->slot].epoch),
                                      .nonce = flight->nonce};
    struct store_item item = {.kind = STORE_LEASE,
                              .key = flight->lease_key.bytes,
                              .value = lease_owner_encode(&owner, value),
                              .ttl_ms = flights->longest_us / 1000};
    liveness_begin(&flights->liveness);
    flight->lease_asked = true;
    store_add(flights->store, &item, leased, flight);
}

void flight_lead_alone(struct flight *flight) {
    flight_end_lease(flight);
    lead(flight);
}

/* ---- failing ---- */

static void on_looked_for_stale(struct store_look *look) {
    struct flight *flight = look->user;
    const struct store_get *get = &look->gets[0];
    uint64_t now_us = clock_wall_us(flight->flights->clock);
    struct entry entry;
    bool found = get->status == STORE_OK &&
                 entry_read(get->value, &flight->key, now_us, &entry) == ENTRY_GOOD &&
                 entry.generation == flight->generation;
    flight_fail_all(flight, found ? &entry : NULL);
}

void flight_fail(struct flight *flight) {
    struct flights *flights = flight->flights;
    flight->phase = FLIGHT_FAILING;
    flight->joinable = false;
    /* A model that refused the request has not failed (RFC 5861 section 4): whose credential is not good any
     * more is not served what it once was. */
    bool refused = flight->failure.status == ENGINE_REJECTED;
    bool wants_stale = false;
    const struct cache_request *request;
    TAILQ_FOREACH(request, &flight->waiters, links)
    wants_stale = wants_stale ||
                  policy_wants_stale_on_error(&request->control, flights->settings->cache_stale_if_error_ms);
    if (!wants_stale || refused || flight->generation == 0) {
        flight_fail_all(flight, NULL);
        return;
    }
    look_for_entry(flight, on_looked_for_stale);
}
