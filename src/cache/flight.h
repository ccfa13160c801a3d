/* One flight: its state, who waits in it, and how they are answered. What the files of the flights share, and
 * nobody else, the lowest first: flight.c, leader.c (takes the lease and infers), follower.c (waits for
 * another worker or host), flights.c (what the cache calls, and what becomes of what leader and follower
 * report). Leader and follower know the flight and not each other. */
#ifndef INFERONCE_CACHE_FLIGHT_H
#define INFERONCE_CACHE_FLIGHT_H

#include "cache/deadlines.h"
#include "cache/generation.h"
#include "cache/lease.h"
#include "cache/liveness.h"
#include "cache/solo.h"
#include "cache/texts.h"

/* flight.c has the table: what each waits for, and where it may go. */
enum flight_state {
    FLIGHT_NEW,
    FLIGHT_LEASING,
    FLIGHT_LOOKING,
    FLIGHT_READY,
    FLIGHT_INFERRING,
    FLIGHT_CHECKING,
    FLIGHT_STORING,
    FLIGHT_FOLLOWING,
    FLIGHT_FAILING,
    FLIGHT_ANSWERING,
    FLIGHT_ENDED
};

/* Those that a flight can be found in. */
#define FLIGHT_STATES FLIGHT_ENDED

#define FLIGHT_BUCKETS 4096

/* Bytes of a failure's detail, which may be the model's own words, with its end mark. */
#define FLIGHT_DETAIL_MAX 513

/* NONE -> ASKED (the worker's liveness counts it) -> HELD -> NONE */
enum flight_lease { LEASE_NONE, LEASE_ASKED, LEASE_HELD };

/* The answer as it comes: the entry in the making, whose body grows. Readers are at offsets of their own
 * (cache_request.read). */
struct flight_log {
    struct buffer entry;
    size_t body_at; /* in it */
    size_t length;  /* of the body so far, kept or not */
    bool dropped;   /* it grew beyond what may be kept: nobody can begin to read it any more */
};

struct flight {
    struct flights *flights;
    LIST_ENTRY(flight) bucket_links;
    TAILQ_ENTRY(flight) links; /* among those of its state */
    enum flight_state state;
    struct key key;
    uint64_t epoch;
    uint64_t generation;
    uint64_t group; /* of the entry: its namespace */
    struct cache_requests waiters;
    uint64_t ttl_ms;
    struct texts texts; /* the job borrows from it */
    struct engine_job job;
    bool background;   /* a refresh that nobody waits for */
    bool replaces;     /* an entry was there that a waiter refused, or that is past its lifetime */
    bool followed;     /* the body is another worker's: every waiter shared it */
    uint64_t began_us; /* wall */
    struct flight_log log;
    struct engine_answer failure;
    char failure_detail[FLIGHT_DETAIL_MAX];

    /* of the leader */
    enum flight_lease lease;
    struct key lease_key;
    unsigned attempt; /* how often the lease of another led nowhere */
    uint64_t nonce;
    uint64_t lease_until_us; /* monotonic: after it the lease may be another's */
    uint64_t kept_ms;        /* how long the entry is worth keeping */
    uint64_t cost_us;        /* of its inference */
    uint64_t inference_us;

    /* A server may evict a tombstone, and the removal that left it would be lost. So each removal raises a
     * number, too, and who stores looks whether it is still what it was before the inference: an answer that
     * would have to ask is not kept. */
    struct key removals_key;
    uint64_t removals; /* before the inference; UINT64_MAX: not known */

    /* of a credential that the model refused, in this flight or in one whose waiters began this one */
    bool refused;       /* this flight's failure is about that credential */
    uint64_t refuser;   /* the nonce of the flight that had it; 0: none */
    struct key refusal; /* key_of_refusal */

    /* of a failure that was about the request which led, in this flight or in one whose waiters began this
     * one */
    uint64_t passed; /* the nonce of the flight that had it; 0: none */

    /* of the follower */
    uint64_t deadline_us;    /* monotonic: it follows no longer, however much time its waiters have */
    uint64_t not_before_us;  /* wall: an entry older than this is not the one that is waited for */
    uint64_t owner_nonce;    /* 0: not known yet */
    bool owner_wakes_us;     /* it is a worker of our own master */
    unsigned looks;          /* how often it was looked for: spaces the looks out */
    uint64_t look_at_us;     /* monotonic: the next look at a leader that cannot wake us */
    bool look_again;         /* a wake came while a look was under way, which may have been too early */
    struct key outcome_key;  /* of owner_nonce */
    struct key liveness_key; /* of that owner */
    uint64_t missing_us;     /* monotonic: since when that is missing; 0: it is there, or was not asked for */

    /* LOOKING: the entry, and the number of removals. CHECKING: that number. FAILING: the entry. FOLLOWING:
     * entry, lease and, once its owner is known, outcome and liveness.
     */
    struct store_look look;
};

LIST_HEAD(flight_bucket, flight);
TAILQ_HEAD(flight_list, flight);

/* The reports of leader and follower. */
enum flight_report {
    FLIGHT_TAKEN,    /* leader: somebody else has the lease */
    FLIGHT_ORPHANED, /* follower: the lease's owner is dead, or the lease is gone */
    FLIGHT_ALONE,    /* follower: the store failed, or what the leader got may not be shared */
    FLIGHT_ANSWERED, /* either: there is an entry, or `body` */
    FLIGHT_FAILED,   /* either: `failure` is set */
    FLIGHT_DESERTED  /* leader: nobody waits any more, and nothing was begun */
};

/* With ANSWERED. */
struct flight_result {
    const struct entry *entry; /* NULL: the flight's own inference, whose body is: */
    struct bytes body;
    bool stored;
};

/* One for each word of interest, so that the removal of a lease needs no memory of its own. */
struct flight_release {
    struct flights *flights;
};

struct flights {
    const struct context *context;
    struct store *store;
    struct engine *engine;
    uint64_t longest_us; /* from the start of a flight to its end */
    uint64_t nonces;     /* the last one given out */
    struct texts_limit texts_limit;
    struct blobs *blobs;
    size_t count;
    struct flight_bucket buckets[FLIGHT_BUCKETS];
    struct flight_list in[FLIGHT_STATES]; /* by state */
    struct turn_task hand_over;           /* scheduled while one is READY */
    struct generation_renewals renewals;
    struct liveness liveness;
    struct solos solos;
    struct deadlines deadlines; /* of all that wait, here or alone */
    uv_timer_t *timer; /* runs while something is followed or has a deadline; freed by its close callback */
    uv_timer_cb on_tick;
    struct flight_release releases[INTEREST_WORDS];

    /* flights.c: what becomes of the flight, which may be gone when this returns. `result` is NULL but with
     * ANSWERED. */
    void (*report)(struct flight *flight, enum flight_report what, const struct flight_result *result);
};

/* ---- flight.c ---- */

/* The flight that a request for this can join; NULL: there is none. */
struct flight *flight_find(struct flights *flights, const struct key *key, uint64_t epoch,
                           uint64_t generation);

/* A new one, without texts and waiters. NULL: no memory. */
struct flight *flight_create(struct flights *flights, const struct cache_request *request, uint64_t epoch,
                             uint64_t generation);

/* The only place where the state changes. Aborts on a move that the table does not have. */
void flight_move(struct flight *flight, enum flight_state state);

/* Ends a flight that has no waiters, or whose waiters are never answered because everything ends. */
void flight_destroy(struct flight *flight);

/* In any state: the whole cache ends. */
void flight_drop(struct flight *flight);

/* A request begins to wait in it: what has come so far is given to it at once, if it reads as it comes. */
void flight_park(struct flight *flight, struct cache_request *request);
void flight_unpark(struct cache_request *request);

/* The next waiter, which waits no longer; NULL: there is none. */
struct cache_request *flight_next_waiter(struct flight *flight);

/* More of the answer has come: it is kept, as far as it may be, and given to those who read as it comes.
 * Beyond that those who do not are answered with a failure. */
void flight_append(struct flight *flight, struct bytes piece);

/* A request that went forward is answered with a failure, which may be a flight's or nobody's. */
void flight_answer_failure(struct flights *flights, struct cache_request *request,
                           const struct engine_answer *failure);

/* Statistics of a request that went forward, however it ended. */
void flight_count_forwarded(struct flights *flights, const struct cache_request *request);

/* Answers every waiter; the flight is gone when this returns. */
void flight_answer_all(struct flight *flight, const struct flight_result *result);

/* Keeps a failure for the waiters: `detail` is copied. */
void flight_set_failure(struct flight *flight, const struct engine_answer *answer);

/* Asks the store for the flight's entry, and for the number of removals, if `number`. */
void flight_look_for_entry(struct flight *flight, bool number, store_looked looked);

/* Whether `entry` is what the flight waits for: of its generation, not older than its waiters accept, and
 * fresh or made since it began. */
bool flight_accepts(const struct flight *flight, const struct entry *entry, uint64_t now_us);

/* The flight has no lease any more, and asks for none. */
void flight_end_lease(struct flight *flight);

/* Makes the timer run, which stops when there is nothing to do for it. */
void flights_start_timer(struct flights *flights);

/* ---- leader.c ---- */

/* How often a flight tries for a lease again because its owner died or it was gone, before it infers without
 * one. */
#define LEADER_ATTEMPTS 16

/* Tries to become the leader; leads without a lease where there can be none. */
void leader_begin(struct flight *flight);
void leader_begin_alone(struct flight *flight);

/* flights.hand_over: gives the flights that are READY to the engine, together. */
void leader_hand_over(void *flights);

/* The lease, if it is held, is given back, and the followers are woken: they find the entry, the outcome, or
 * a lease to have. */
void leader_give_back(struct flight *flight);

/* The last waiter of a flight that is READY or INFERRING has left. The inference goes on, for the next who
 * asks, unless it has not begun. */
void leader_abandoned(struct flight *flight);

/* ---- follower.c ---- */

/* Somebody else has the lease: registers interest and looks. */
void follower_begin(struct flight *flight);

/* Looks again at what was followed in these words. */
void followers_woken(struct flights *flights, const uint64_t words[INTEREST_WORDS / 64]);

/* Every tick: looks again where it is time to, and gives up where it is. */
void followers_tick(struct flights *flights, uint64_t now_us);

#endif
