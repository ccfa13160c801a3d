/* The engine: where answers come from.
 *
 * The engine admits at most INFERENCE_CONCURRENCY inferences (texts, not calls) at once; INFERENCE_QUEUE more
 * wait, the clients in turns (queue.h). A client is an address (request_client): the web server's
 * REMOTE_ADDR, which is the only name that a client cannot choose freely; a namespace and a credential are a
 * field of the request. Beyond the queue's length the newest job of the client that holds more than its share
 * fails with ENGINE_OVERLOAD, be it the newcomer's own. A job whose time has passed while it waited fails
 * with ENGINE_TIMEOUT and is not begun. Statistics: inferences, inference_errors, in_flight, queue. */
#ifndef INFERONCE_ENGINE_ENGINE_H
#define INFERONCE_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "inferonce/base/buffer.h"
#include "inferonce/base/context.h"

/* How an inference ended. All but OK map to one HTTP status each (HTTP.md, Errors). */
enum engine_status {
    ENGINE_OK,
    ENGINE_REFUSED,  /* no connection, or an answer that is a failure of the model's server: 502 */
    ENGINE_TIMEOUT,  /* 504 */
    ENGINE_OVERLOAD, /* our queue is full, or the model said 503: 503 with Retry-After; or the model said 429:
                        that, with Retry-After */
    ENGINE_BAD_ANSWER, /* complete, but not what was expected: 502 */
    ENGINE_REJECTED,   /* the model refused this input or credential: its status is relayed */
    ENGINE_DOWN, /* the model was not asked, because it could not be reached lately: 503 with Retry-After */
    ENGINE_SHORT /* this process lacks descriptors or memory: 503 with Retry-After */
};

#define ENGINE_STATUS_LAST ENGINE_SHORT

struct engine_answer {
    enum engine_status status;
    struct bytes body; /* OK: the result, one JSON value, the bytes the model wrote; borrowed for the call */
    const char
        *detail;     /* not OK: one line for the client, never text of the request; borrowed for the call */
    int http_status; /* REJECTED: 400, 401, 402, 403, 413, 415 or 422; OVERLOAD: 429, or 0 for 503 */
    unsigned retry_after_s; /* OVERLOAD, DOWN, SHORT */
    bool asker_only; /* not OK: it is about who asked (whose time is over, or whose client has its share of
                        the queue), not about text or model: another request for the same may do better */
    bool storable;   /* OK: may be kept for others */
    uint64_t lifetime_ms; /* OK: the most that the model allows; UINT64_MAX: it did not say */
    size_t texts;         /* that went to the model in one call, and so took that long together; 0: one */
    uint64_t duration_us; /* from the start of the inference to its end; 0: it was never started */
};

struct engine_job;
typedef void (*engine_done)(struct engine_job *job, const struct engine_answer *answer);

/* A piece of the body of an answer that comes bit by bit; borrowed for the call, in which the job must not be
 * cancelled. The answer then has no body of its own. */
typedef void (*engine_more)(struct engine_job *job, struct bytes piece);

/* One inference. The caller owns it and keeps it, and the bytes it borrows, until `done` was called,
 * engine_cancel returned or the engine was destroyed. */
struct engine_job {
    struct bytes text; /* normalised UTF-8 */
    struct bytes
        parameters; /* further members of the request in canonical form, as a JSON object; length 0: none */
    struct bytes authorization; /* length 0: none */
    struct bytes traceparent;
    struct bytes tracestate;
    uint64_t client;     /* hash of who asks: has a share of the queue of its own */
    uint64_t arrived_us; /* monotonic: when the request came; 0: just now */
    engine_done done;    /* called exactly once, never before engine_infer returned; may call engine_infer and
                            engine_cancel */
    engine_more more;    /* NULL: the body is wanted whole, with `done` */
    void *user;

    /* private to the engine */
    TAILQ_ENTRY(engine_job) links;
    uint64_t started_us;
    uint64_t due_ms;        /* monotonic; before it the job must be over, the queue included */
    int reason;             /* of one that is turned away */
    unsigned retry_after_s; /* of one that is turned away */
    int phase;
    void *call; /* the backend's: what it travels in, and where */
    size_t place;
};

struct engine;

/* Whether an engine can be made of these settings, as far as the files say that they name: asked before
 * anything is started, because each worker makes its own and would fail again and again. Reads them; false:
 * error names setting and file. */
bool engine_check(const struct settings *settings, struct error *error) MUST_CHECK;

/* Borrows the context. Returns owned; NULL: error tells why. */
struct engine *engine_create(const struct context *context, struct error *error) MUST_CHECK;

/* Infers `n` jobs, which may travel to the model together. */
void engine_infer(struct engine *engine, struct engine_job *const *jobs, size_t n);

/* Drops a job whose `done` was not called yet; it will not be. */
void engine_cancel(struct engine *engine, struct engine_job *job);

/* Whether the inference has not begun: dropping the job then costs nothing. */
bool engine_is_queued(const struct engine_job *job);

/* Drops everything; closes its handles, for which the loop must be run once more. Nulls the pointer. */
void engine_destroy(struct engine **engine);

/* How long a job may take from its request's arrival, waiting included, in microseconds; UINT64_MAX: as long
 * as it takes. */
uint64_t engine_limit_us(const struct settings *settings);

/* The longest that a job can take from engine_infer to `done`, in microseconds, as far as the settings bound
 * it. */
uint64_t engine_longest_us(const struct settings *settings);

#endif
