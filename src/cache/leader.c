/* Takes the lease, infers, stores, and tells those that follow. */
#include "cache/flight.h"

/* How long an outcome stays: followers of this host are woken at once, those of others look every 100 ms. */
#define OUTCOME_MS 3000

/* The most jobs handed to the engine in one call. */
#define HANDOVER_MAX 256

static void report(struct flight *flight, enum flight_report what) {
    flight->flights->report(flight, what, NULL);
}

static void report_answered(struct flight *flight, const struct entry *entry, struct bytes body,
                            bool stored) {
    const struct flight_result result = {.entry = entry, .body = body, .stored = stored};
    flight->flights->report(flight, FLIGHT_ANSWERED, &result);
}

/* ---- the end of the lease ---- */

/* The flight is gone by then: the entry's place in the table tells the callback which word to wake. */
static void on_given_back(void *user, enum store_status status) {
    const struct flight_release *release = user;
    struct flights *flights = release->flights;
    (void)status; /* a lease that could not be removed runs out */
    shared_wake(flights->context->shared, (uint64_t)(release - flights->releases));
}

/* They are woken when the lease is gone, and with it all written before, so that they do not look too early.
 */
void leader_give_back(struct flight *flight) {
    struct flights *flights = flight->flights;
    struct flight_release *release = &flights->releases[shared_interest_word(key_hash(&flight->key))];
    if (flight->generation == 0)
        return;
    /* A lease that has run out may be somebody else's by now. */
    bool held =
        flight->lease == LEASE_HELD && clock_monotonic_us(flights->context->clock) < flight->lease_until_us;
    flight_end_lease(flight);
    if (held)
        store_remove(flights->store, STORE_LEASE, flight->lease_key.bytes, 0, 0, on_given_back, release);
    else
        on_given_back(release, STORE_OK);
}

static void leave_outcome(struct flight *flight, enum outcome_kind kind) {
    if (flight->lease != LEASE_HELD)
        return;
    const struct outcome outcome = {.kind = kind, .failure = flight->failure, .refusal = flight->refusal};
    char value[STORE_SMALL_MAX];
    struct key key;
    key_of_outcome(&flight->lease_key, flight->nonce, &key);
    struct store_item item = {.kind = STORE_OUTCOME,
                              .key = key.bytes,
                              .value = outcome_encode(&outcome, value),
                              .ttl_ms = OUTCOME_MS};
    store_put(flight->flights->store, &item, NULL, NULL);
}

/* ---- the entry ---- */

static uint64_t lifetime_ms(const struct flight *flight, const struct engine_answer *answer) {
    return answer->lifetime_ms < flight->ttl_ms ? answer->lifetime_ms : flight->ttl_ms;
}

/* Whether the answer may be kept, by what the model said and by our own limit. */
static bool may_store(struct flight *flight, const struct engine_answer *answer) {
    const struct context *context = flight->flights->context;
    if (flight->generation == 0 || !answer->storable || lifetime_ms(flight, answer) == 0)
        return false;
    size_t length = flight->log.length > 0 ? flight->log.length : answer->body.length;
    if (!flight->log.dropped && length <= context->settings->cache_max_entry_kb * 1024)
        return true;
    stats_count(context->stats, STAT_rejected_entries);
    return false;
}

/* Without MODEL_NAME the URL stands for it in keys. Its query, which may hold a credential, is neither
 * stored nor shown. */
static struct bytes model_name(const struct settings *settings) {
    struct bytes name = bytes_of(settings->model_name);
    if (!settings_name_model(settings))
        name.length = strcspn(settings->model_name, "?");
    return name;
}

static struct entry entry_of(const struct flight *flight) {
    const struct settings *settings = flight->flights->context->settings;
    return (struct entry){.key = flight->key,
                          .generation = flight->generation,
                          .cache_namespace = flight->texts.cache_namespace,
                          .model_name = model_name(settings),
                          .model_version = bytes_of(settings->model_version)};
}

/* `body`: what is there of it, for the first allocation; `body_max`: the most that is kept. */
static void begin_log(struct flight *flight, struct bytes body, size_t body_max) {
    struct flight_log *log = &flight->log;
    struct entry entry = entry_of(flight);
    entry.body = body;
    buffer_init(&log->entry, entry_length(&entry) - body.length + body_max);
    log->body_at = entry_begin(&entry, &log->entry);
}

/* How long the entry is worth keeping. */
static uint64_t kept_ms(const struct flight *flight, const struct engine_answer *answer) {
    const struct settings *settings = flight->flights->context->settings;
    uint64_t stale_ms = settings->cache_stale_while_revalidate_ms;
    if (settings->cache_stale_if_error_ms > stale_ms)
        stale_ms = settings->cache_stale_if_error_ms;
    return lifetime_ms(flight, answer) + stale_ms;
}

static void end_log(struct flight *flight, const struct engine_answer *answer) {
    const struct settings *settings = flight->flights->context->settings;
    struct entry entry = entry_of(flight);
    entry.created_us = clock_wall_us(flight->flights->context->clock);
    entry.inference_us = answer->duration_us / (answer->texts > 0 ? answer->texts : 1);
    entry.fresh_until_us = entry.created_us + lifetime_ms(flight, answer) * 1000;
    entry.stale_while_revalidate_until_us =
        entry.fresh_until_us + settings->cache_stale_while_revalidate_ms * 1000;
    entry.stale_if_error_until_us = entry.fresh_until_us + settings->cache_stale_if_error_ms * 1000;
    flight->kept_ms = kept_ms(flight, answer);
    flight->cost_us = entry.inference_us;
    entry_end(&entry, 0, flight->log.body_at, &flight->log.entry);
}

static struct bytes logged_body(const struct flight *flight) {
    const struct flight_log *log = &flight->log;
    return log->dropped ? (struct bytes){NULL, 0}
                        : (struct bytes){log->entry.data + log->body_at, log->length};
}

/* The generation, which judges the entry, must last at least as long as the entry. */
static void keep_generation(struct flight *flight) {
    struct flights *flights = flight->flights;
    const struct clock *clock = flights->context->clock;
    struct key generation;
    key_of_generation(flight->texts.cache_namespace, &generation);
    if (generation_is_due(&flights->renewals, &generation, clock_monotonic_us(clock)))
        generation_make(flights->store, &generation, clock_wall_us(clock));
}

/* A newer answer that cannot be kept must not leave the older one to be served again. */
static void drop_older(struct flight *flight) {
    if (flight->replaces && flight->generation != 0)
        store_remove(flight->flights->store, STORE_ENTRY, flight->key.bytes, flight->epoch, 0, NULL, NULL);
}

static void on_stored(void *user, enum store_status status) {
    struct flight *flight = user;
    struct stats *stats = flight->flights->context->stats;
    if (status == STORE_OK) {
        stats_count(stats, STAT_stores);
    } else {
        if (status == STORE_TOO_LARGE)
            stats_count(stats, STAT_rejected_entries);
        if (status == STORE_ERROR)
            drop_older(flight);
        leave_outcome(flight, OUTCOME_NOT_SHARED);
    }
    leader_give_back(flight);
    report_answered(flight, NULL, logged_body(flight), status == STORE_OK);
}

/* ---- inferring ---- */

static enum outcome_kind kind_of_failure(const struct flight *flight) {
    if (flight->refused)
        return OUTCOME_REFUSED;
    return flight->failure.asker_only ? OUTCOME_ASKER_FAILED : OUTCOME_FAILED;
}

static void fail(struct flight *flight, const struct engine_answer *answer) {
    flight_set_failure(flight, answer);
    flight->refused = outcome_is_refusal(answer);
    if (flight->refused) {
        flight->refuser = flight->nonce;
        key_of_refusal(&flight->lease_key, flight->refuser, flight->job.authorization, &flight->refusal);
    }
    if (answer->asker_only)
        flight->passed = flight->nonce;
    leave_outcome(flight, kind_of_failure(flight));
    leader_give_back(flight);
    report(flight, FLIGHT_FAILED);
}

static void on_more(struct engine_job *job, struct bytes piece) {
    struct flight *flight = job->user;
    if (flight->log.length == 0)
        begin_log(flight, piece, flight->flights->context->settings->cache_max_entry_kb * 1024);
    flight_append(flight, piece);
}

/* A request with `more` gets it with the end, too. */
static void log_whole(struct flight *flight, struct bytes body) {
    begin_log(flight, body, body.length);
    if (!flight->log.entry.failed)
        buffer_append_bytes(&flight->log.entry, body);
    flight->log.length = body.length;
}

static void store_log(struct flight *flight) {
    struct store_item item = {.kind = STORE_ENTRY,
                              .key = flight->key.bytes,
                              .value = buffer_bytes(&flight->log.entry),
                              .epoch = flight->epoch,
                              .cost_us = flight->cost_us,
                              .group = flight->group,
                              .ttl_ms = flight->kept_ms};
    flight_move(flight, FLIGHT_STORING);
    keep_generation(flight);
    store_put(flight->flights->store, &item, on_stored, flight);
}

/* An answer that may not be kept, or cannot. */
static void end_unkept(struct flight *flight, struct bytes body) {
    drop_older(flight);
    leave_outcome(flight, OUTCOME_NOT_SHARED);
    leader_give_back(flight);
    report_answered(flight, NULL, body, false);
}

/* ---- removals ---- */

/* The memory store's tombstones are not evicted. */
static bool tombstones_may_be_lost(const struct flight *flight) {
    return flight->flights->context->settings->cache_backend != CACHE_BACKEND_MEMORY;
}

/* UINT64_MAX: it is not known. */
static uint64_t removals_of(const struct store_get *get) {
    if (get->status == STORE_OK)
        return generation_decode(get->value);
    return get->status == STORE_MISSING ? 0 : UINT64_MAX;
}

static void on_checked(struct store_look *look) {
    struct flight *flight = look->user;
    uint64_t removals = removals_of(&look->gets[0]);
    if (removals == flight->removals && removals != UINT64_MAX)
        store_log(flight);
    else
        end_unkept(flight, logged_body(flight));
}

static void check(struct flight *flight) {
    struct store_look *look = &flight->look;
    flight_move(flight, FLIGHT_CHECKING);
    look->gets[0] = (struct store_get){.kind = STORE_GENERATION, .key = flight->removals_key.bytes};
    look->n = 1;
    look->done = on_checked;
    look->user = flight;
    store_look(flight->flights->store, look);
}

/* ---- the end of an inference ---- */

static void on_inferred(struct engine_job *job, const struct engine_answer *answer) {
    struct flight *flight = job->user;
    flight->inference_us = answer->duration_us;
    if (answer->status != ENGINE_OK) {
        fail(flight, answer);
        return;
    }
    bool whole = flight->log.length == 0; /* it came at once: copied only to be kept */
    bool store = may_store(flight, answer);
    if (whole && store)
        log_whole(flight, answer->body);
    if (store && !flight->log.entry.failed) {
        end_log(flight, answer);
        if (tombstones_may_be_lost(flight))
            check(flight);
        else
            store_log(flight);
        return;
    }
    end_unkept(flight, whole ? answer->body : logged_body(flight));
}

/* ---- the engine ---- */

static void make_ready(struct flight *flight) {
    struct flights *flights = flight->flights;
    flight_move(flight, FLIGHT_READY);
    /* The time of a leader that died is not this one's. */
    if (flight->attempt > 0)
        flight->job.arrived_us = 0;
    flight->job.done = on_inferred;
    flight->job.more = on_more;
    flight->job.user = flight;
    turn_at_end(flights->context->turn, &flights->hand_over);
}

void leader_hand_over(void *user) {
    struct flights *flights = user;
    struct flight_list *ready = &flights->in[FLIGHT_READY];
    struct engine_job *jobs[HANDOVER_MAX];
    struct flight *flight;
    size_t n = 0;
    while (n < HANDOVER_MAX && (flight = TAILQ_FIRST(ready)) != NULL) {
        flight_move(flight, FLIGHT_INFERRING);
        jobs[n++] = &flight->job;
    }
    if (!TAILQ_EMPTY(ready))
        turn_at_end(flights->context->turn, &flights->hand_over);
    if (n > 0)
        engine_infer(flights->engine, jobs, n);
}

/* Those who follow elsewhere find the lease gone, and one of them leads. */
static void desert(struct flight *flight) {
    leader_give_back(flight);
    report(flight, FLIGHT_DESERTED);
}

void leader_abandoned(struct flight *flight) {
    if (flight->state == FLIGHT_READY || engine_is_queued(&flight->job))
        desert(flight);
}

/* ---- the lease ---- */

static void on_looked_before_inferring(struct store_look *look) {
    struct flight *flight = look->user;
    uint64_t now_us = clock_wall_us(flight->flights->context->clock);
    const struct store_get *get = &look->gets[0];
    struct entry entry;
    if (TAILQ_EMPTY(&flight->waiters) && !flight->background) {
        desert(flight);
        return;
    }
    if (look->n > 1)
        flight->removals = removals_of(&look->gets[1]);
    if (get->status == STORE_OK && entry_read(get->value, &flight->key, now_us, &entry) == ENTRY_GOOD &&
        flight_accepts(flight, &entry, now_us)) {
        flight->followed = true;
        leader_give_back(flight);
        report_answered(flight, &entry, entry.body, true);
        return;
    }
    make_ready(flight);
}

static void on_leased(void *user, enum store_status status) {
    struct flight *flight = user;
    if (status != STORE_OK)
        flight_end_lease(flight);
    if (status == STORE_EXISTS) {
        report(flight, FLIGHT_TAKEN);
        return;
    }
    if (status == STORE_OK)
        flight->lease = LEASE_HELD;
    flight_move(flight, FLIGHT_LOOKING);
    flight_look_for_entry(flight, tombstones_may_be_lost(flight), on_looked_before_inferring);
}

/* Nonces are never 0. */
static uint64_t next_nonce(struct flights *flights) {
    return ++flights->nonces ? flights->nonces : ++flights->nonces;
}

void leader_begin(struct flight *flight) {
    struct flights *flights = flight->flights;
    const struct context *context = flights->context;
    if (flight->generation == 0 || flight->attempt >= LEADER_ATTEMPTS) {
        leader_begin_alone(flight);
        return;
    }
    flight_move(flight, FLIGHT_LEASING);
    flight->nonce = next_nonce(flights);
    if (flight->attempt == 0)
        key_of_lease(&flight->key, flight->epoch, flight->generation, &flight->lease_key);
    flight->lease_until_us = clock_monotonic_us(context->clock) + flights->longest_us;
    char value[STORE_SMALL_MAX];
    const struct lease_owner owner = {.instance = context->shared->instance,
                                      .slot = context->slot,
                                      .incarnation =
                                          atomic_load(&context->shared->slots[context->slot].incarnation),
                                      .nonce = flight->nonce};
    struct store_item item = {.kind = STORE_LEASE,
                              .key = flight->lease_key.bytes,
                              .value = lease_owner_encode(&owner, value),
                              .ttl_ms = flights->longest_us / 1000};
    liveness_begin(&flights->liveness);
    flight->lease = LEASE_ASKED;
    store_add(flights->store, &item, on_leased, flight);
}

void leader_begin_alone(struct flight *flight) {
    flight_end_lease(flight);
    make_ready(flight);
}
