/* Requests to the cache and its answers: shared by cache/cache (which looks up) and cache/flight
 * (which waits). */
#ifndef INFERONCE_CACHE_REQUEST_H
#define INFERONCE_CACHE_REQUEST_H

#include <sys/queue.h>

#include "inferonce/base/blob.h"
#include "inferonce/cache/entry.h"
#include "inferonce/engine/engine.h"
#include "inferonce/http/cache_control.h"
#include "inferonce/http/cache_status.h"
#include "inferonce/store/store.h"

enum cache_result {
    CACHE_HIT,
    CACHE_STALE,
    CACHE_MISS,
    CACHE_BYPASS,
    CACHE_FAILED,       /* `failure` says how */
    CACHE_UNSATISFIABLE /* only-if-cached, and nothing usable is stored */
};

struct cache_answer {
    enum cache_result result;
    struct bytes body;  /* HIT to BYPASS: the result's JSON; borrowed for the call */
    struct blob *blob;  /* that the body lies in, where others share it; NULL: in none */
    bool stored_answer; /* the body comes from an entry: there is an age */
    uint64_t age_s;
    struct cache_status status;
    bool inferred;                       /* an inference ran for it, its own or a shared one */
    uint64_t inference_us;               /* how long that took */
    const struct engine_answer *failure; /* FAILED */
};

struct cache_request;
TAILQ_HEAD(cache_requests, cache_request);
struct flight;
struct solo;

/* Called exactly once for a request, unless cache_forget was. The request may be reused or freed in it. */
typedef void (*cache_done)(struct cache_request *request, const struct cache_answer *answer);

/* HELD: its caller took it back (cache_hold). */
enum cache_phase { CACHE_IDLE, CACHE_LOOKING, CACHE_HELD, CACHE_WAITING, CACHE_SOLO };

/* Text and parameters are not needed any more: an inference has a copy of its own, or somebody else's is
 * waited for. Called before `done`, at most once. */
typedef void (*cache_copied)(struct cache_request *request);

/* A piece of an answer that is inferred, in order; borrowed for the call, in which the cache must not be
 * called. What was given this way is the beginning of `body`, request->read bytes, if there is one at the
 * end.
 */
typedef void (*cache_more)(struct cache_request *request, struct bytes piece);

/* Nothing usable is stored, and an inference, the request's own or another's, would be waited for; or the
 * text of a request that has none is needed to refresh what is stored. True: not now; the cache is done with
 * the request, which may be asked again later, or in here. A request without a text must be taken back. */
typedef bool (*cache_hold)(struct cache_request *request);

/* The caller owns it and keeps it, with all it borrows, until `done`; text and parameters until `copied`. The
 * texts of a request that goes on to infer are copied then: the caller may go away before the inference does.
 */
struct cache_request {
    struct key key;
    struct key generation_key; /* of its namespace */
    struct bytes cache_namespace;
    struct cache_control control;
    uint64_t ttl_ms;   /* the lifetime of what this request stores */
    struct bytes text; /* normalised; data NULL: it is known to have been a hit, and not read yet (hold) */
    /* The text lies in it, and nothing else: an inference may take it over instead of copying, and leaves an
     * empty one. NULL: it lies elsewhere. */
    struct buffer *storage;
    struct bytes parameters;
    cache_copied copied; /* may be NULL */
    cache_hold hold;     /* may be NULL */
    cache_more more;     /* NULL: the answer is wanted whole, at its end */
    struct bytes authorization;
    struct bytes traceparent;
    struct bytes tracestate;
    uint64_t client; /* as in struct engine_job, and so below */
    uint64_t arrived_us;
    cache_done done;
    void *user;

    /* private */
    enum cache_phase phase;
    enum cache_forward forward; /* why it did not hit */
    bool had_expired;           /* a look found its entry past its time, and removed it */
    uint64_t asked_us;          /* wall clock */
    unsigned generation_tries;
    uint64_t due_us;      /* monotonic: when it waits no longer; UINT64_MAX: it has no end */
    unsigned starts_over; /* how often another's end made it begin anew */
    TAILQ_ENTRY(cache_request) due_links;
    size_t read;                      /* bytes given to `more` */
    bool collapsed;                   /* it joined a flight that was there */
    struct store_look look;           /* generation_look */
    TAILQ_ENTRY(cache_request) links; /* in its flight */
    struct flight *flight;
    struct solo *solo;
};

/* Counts the hit and answers the request with the entry. */
void cache_answer_entry(struct stats *stats, struct cache_request *request, const struct entry *entry,
                        bool stale, uint64_t now_us);

#endif
