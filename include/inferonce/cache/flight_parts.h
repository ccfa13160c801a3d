/* What the files of the flights share, and nobody else: flight.c (who waits), flight_due.c (who has waited
 * for all its time), flight_lead.c (inferring), flight_follow.c (waiting for another worker or host). */
#ifndef INFERONCE_CACHE_FLIGHT_PARTS_H
#define INFERONCE_CACHE_FLIGHT_PARTS_H

#include "inferonce/cache/deadlines.h"
#include "inferonce/cache/flight.h"
#include "inferonce/cache/generation.h"
#include "inferonce/cache/liveness.h"
#include "inferonce/cache/solo.h"
#include "inferonce/cache/texts.h"

enum flight_phase { FLIGHT_LEASING, FLIGHT_LEADING, FLIGHT_STORING, FLIGHT_FAILING, FLIGHT_FOLLOWING };

#define FLIGHT_BUCKETS 4096

/* Of a failure's detail, which may be the model's own words, with its end mark. */
#define FLIGHT_DETAIL_MAX 513

/* How often a flight tries for a lease again because its owner died or it was gone, before it infers without
 * one. */
#define FLIGHT_ATTEMPTS 16

/* Owner of a lease, as it stands in the store. */
struct lease_owner {
    uint64_t instance; /* of the shared mapping: names the host, or the pool */
    uint64_t epoch;    /* of the slot */
    uint64_t nonce;    /* of the flight: names its outcome; never 0 */
    uint32_t slot;
};

struct flight {
    struct flights *flights;
    struct flight *next_in_bucket;
    TAILQ_ENTRY(flight) links; /* of those that follow, or that are to be handed to the engine */
    bool listed;               /* it is to be handed to the engine at the end of the turn */
    struct key key;
    uint64_t epoch;
    uint64_t generation;
    uint64_t group; /* of the entry: its namespace */
    enum flight_phase phase;
    struct cache_requests waiters;
    uint64_t ttl_ms;
    uint64_t deadline_us; /* monotonic: after it the flight follows no longer, however much time its waiters
                             have */

    struct texts texts; /* the job borrows from it */
    struct engine_job job;
    bool joinable;     /* it has not ended: who asks for the same joins it */
    bool background;   /* a refresh that nobody waits for */
    bool replaces;     /* an entry was there that a waiter refused, or that is past its lifetime */
    bool followed;     /* the body is another worker's: every waiter shared it */
    uint64_t began_us; /* wall */

    /* leading */
    struct key lease_key;
    unsigned attempt; /* how often the lease of another led nowhere */
    uint64_t nonce;
    bool lease_held;
    bool lease_asked; /* it counts in the worker's liveness: from when the lease is asked for to its end */
    uint64_t lease_until_us; /* monotonic: after it the lease may be another's */
    struct buffer encoded;   /* the entry on its way to the store; its body is what the waiters get */
    struct bytes body;       /* in `encoded` */
    uint64_t inference_us;
    struct engine_answer failure;
    char failure_detail[FLIGHT_DETAIL_MAX];

    /* of a credential that the model refused, in this flight or in one whose waiters began this one */
    bool refused;       /* this flight's failure is about that credential */
    uint64_t refuser;   /* the nonce of the flight that had it; 0: none */
    struct key refusal; /* key_of_refusal */

    /* of a failure that was about the request which led, in this flight or in one whose waiters began this
     * one */
    uint64_t passed; /* the nonce of the flight that had it; 0: none */

    /* following */
    uint64_t not_before_us;  /* wall: an entry older than this is not the one that is waited for */
    uint64_t owner_nonce;    /* 0: not known yet */
    bool owner_wakes_us;     /* it is a worker of our own master */
    unsigned looks;          /* how often it was looked for: spaces the looks out */
    uint64_t look_at_us;     /* monotonic: the next look at a leader that cannot wake us */
    bool look_again;         /* a wake came while a look was under way, which may have been too early */
    struct key outcome_key;  /* of owner_nonce */
    struct key liveness_key; /* of that owner */
    uint64_t missing_us;     /* monotonic: since when that is missing; 0: it is there, or was not asked for */

    /* FOLLOWING: entry, lease and, once its owner is known, outcome and liveness. Before inferring, and for a
     * stale answer after a failure: the entry. */
    struct store_look look;
};

TAILQ_HEAD(flight_list, flight);

/* One for each word of interest, so that the removal of a lease needs no memory of its own. */
struct flight_release {
    struct flights *flights;
};

struct flights {
    const struct settings *settings;
    struct store *store;
    struct engine *engine;
    struct shared *shared;
    unsigned slot;
    const struct clock *clock;
    struct stats *stats;
    uint64_t longest_us; /* from the start of a flight to its end */
    uint64_t nonces;     /* the last one given out */
    struct texts_limit texts_limit;
    struct blobs *blobs;
    size_t count;
    struct flight *buckets[FLIGHT_BUCKETS];
    struct flight_list following;
    struct flight_list leading; /* what is handed to the engine at the end of the turn */
    struct turn *turn;
    struct turn_task hand_over;
    struct generation_renewals renewals;
    struct liveness liveness;
    struct solos solos;
    struct deadlines deadlines; /* of all that wait, here or alone */
    uv_timer_t *timer; /* runs while something is followed or has a deadline; freed by its close callback */
    struct flight_release releases[INTEREST_WORDS];
};

/* ---- flight.c ---- */

/* Answers every waiter, from `entry` or, without one, with the flight's own body; the flight is gone when
 * this returns. */
void flight_answer_all(struct flight *flight, bool stored, const struct entry *entry);

/* Answers every waiter with the flight's failure, or with `stale` (may be NULL) who accepts that; the flight
 * is gone. Waiters whom the failure does not concern start over, in a new flight which the first of them
 * leads: those that gave another credential than the one that was refused, and, where only the request that
 * led had no more time or no place in the queue, those that have time and, for the queue, another client. */
void flight_fail_all(struct flight *flight, const struct entry *stale);

/* Moves a waiter into a flight of its own, which has failed with `failure`. It may be answered before this
 * returns; the flight that it was in may be gone. */
void flight_fail_one(struct cache_request *request, const struct engine_answer *failure);

/* Ends a flight that has no waiters, or whose waiters are never answered because everything ends. */
void flight_destroy(struct flight *flight);

/* Keeps a failure for the waiters: `detail` is copied. */
void flight_set_failure(struct flight *flight, const struct engine_answer *answer);

/* ---- flight_due.c ---- */

/* A request begins to wait; it has its time from its arrival. */
void flight_due_begin(struct flights *flights, struct cache_request *request);

/* Answers the requests whose time is over. Their inferences go on, for those that have time and for who asks
 * next, unless they have not begun and nobody else waits for them. */
void flight_due_end(struct flights *flights);

/* ---- flight_lead.c ---- */

/* Tries to become the leader. */
void flight_lease(struct flight *flight);

/* Leads without a lease: the store failed, or what the others infer may not be shared. */
void flight_lead_alone(struct flight *flight);

/* Whether `entry` is what the flight waits for: of its generation, not older than its waiters accept, and
 * fresh or made since it began. */
bool flight_accepts(const struct flight *flight, const struct entry *entry, uint64_t now_us);

/* FAILING: looks for a stale entry if one would do, then answers all. */
void flight_fail(struct flight *flight);

/* Hands the flights that came to lead in this turn to the engine, together. */
void flights_on_hand_over(void *user);

/* Takes a flight out of the list of those that are to be handed to the engine; false: the engine has it
 * already. */
bool flight_unlist_leading(struct flight *flight);

/* The last waiter of a flight that leads has left. The inference goes on, for the next who asks, unless it
 * has not begun. */
void flight_abandoned(struct flight *flight);

/* Whether a failure is about the credential of who asked, not about the text or the model: 401, 402, 403,
 * 429. */
bool flight_is_refusal(const struct engine_answer *failure);

/* The stored form of a lease's owner, in `value`. */
struct bytes lease_owner_encode(const struct lease_owner *owner, char value[STORE_SMALL_MAX]);
bool lease_owner_decode(struct bytes value, struct lease_owner *owner) MUST_CHECK;

/* What a flight that stored nothing leaves for those who follow it. */
enum flight_outcome {
    OUTCOME_NONE,
    OUTCOME_FAILED,
    OUTCOME_NOT_SHARED,
    OUTCOME_REFUSED,
    OUTCOME_ASKER_FAILED
};

/* OUTCOME_NONE: `value` is not an outcome. `failure->detail` is a literal. `refusal` is set with
 * OUTCOME_REFUSED: the failure is about that credential. OUTCOME_ASKER_FAILED: it is `asker_only`. */
enum flight_outcome flight_outcome_decode(struct bytes value, struct engine_answer *failure,
                                          struct key *refusal);

/* The lease, if it is held, is given back, and the followers are woken: they find the entry, the outcome, or
 * a lease to have. */
void flight_tell_followers(struct flight *flight);

/* The flight has no lease any more, and asks for none. */
void flight_end_lease(struct flight *flight);

/* ---- flight_follow.c ---- */

/* Somebody else has the lease: registers interest and looks. */
void flight_follow(struct flight *flight);

/* Makes the timer run, which stops when there is nothing to do for it. */
void flight_start_timer(struct flights *flights);

/* Leaves off following, whatever comes next. */
void flight_unfollow(struct flight *flight);

bool flight_following_setup(struct flights *flights, uv_loop_t *loop);
void flight_following_teardown(struct flights *flights);

#endif
