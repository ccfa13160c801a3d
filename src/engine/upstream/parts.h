/* Private to the files of the HTTP backend, the lowest first: call.c (what is sent), trial.c
 * (batches that are too large), again.c (what is asked for again), answer.c (what came back), upstream.c (the
 * backend). */
#ifndef INFERONCE_ENGINE_UPSTREAM_PARTS_H
#define INFERONCE_ENGINE_UPSTREAM_PARTS_H

#include "engine/backend.h"
#include "engine/jobs.h"
#include "engine/upstream/dialect.h"
#include "engine/upstream/post.h"
#include "engine/upstream/transfers.h"
#include "inferonce/base/breaker.h"

#define UPSTREAM_BATCH_MOST 256 /* UPSTREAM_BATCH's highest */

#define UPSTREAM_ID_MAX 17

/* One POST. */
struct call {
    struct upstream *upstream;
    LIST_ENTRY(call) links; /* among those that run, or that are free */
    struct http_post post;
    struct engine_job **jobs; /* owned; in the order of their texts; NULL: cancelled or ended */
    size_t n, capacity;
    size_t wanted;          /* jobs that are not NULL */
    uint64_t due_ms;        /* when it times out */
    uint64_t reached_by_ms; /* or has no connection */
    bool running;
    bool probe;     /* it is the breaker's */
    uint64_t trial; /* the number of the trial that it is a part of; 0: none */
    char id[UPSTREAM_ID_MAX];
};

/* A call of several texts that the model refused, and whose parts are asked for again: when each part gets
 * its answers it was for its size. One at a time is watched. */
struct upstream_trial {
    uint64_t number; /* 0: none is watched */
    uint64_t numbers;
    size_t n_texts, n_parts; /* of the call; parts that have not ended */
    int status;
    bool told; /* it is said once */
};

LIST_HEAD(calls, call);

/* The answer when there is no memory to ask. */
extern const struct engine_answer UPSTREAM_NO_MEMORY;

struct upstream {
    struct engine *engine;
    const struct settings *settings;
    const struct dialect *dialect;
    const struct clock *clock;
    struct stats *stats;
    struct upstream_sockets *sockets;
    struct transfers *transfers; /* NULL: closed */
    struct trust *trust;
    struct breaker breaker;
    struct upstream_trial trial;
    bool told_not_storable; /* it is said once */
    struct calls running, free;
    size_t n_free;
    struct engine_jobs unstarted; /* that cannot be sent; are told so next turn */
    struct turn *turn;
    struct turn_task next_turn; /* tells them */
};

/* ---- call.c ---- */

uint64_t upstream_now_ms(const struct upstream *upstream);

/* A job that cannot be sent: it ends in the next turn. */
void upstream_leave_unstarted(struct upstream *upstream, struct engine_job *job);

/* Sends the jobs' texts in one call, which is part of that trial (0: none). What cannot be sent is left
 * unstarted. No job ends before this returned. */
void upstream_begin(struct upstream *upstream, struct engine_job *const *jobs, size_t n, uint64_t trial);

/* The question that the call asked. `texts` may be NULL. */
struct dialect_question upstream_question(const struct call *call, const struct bytes *texts);

/* Takes a call that has ended out of the list of running ones. */
void upstream_unlist(struct call *call);

/* Gives it back, with what it holds. */
void upstream_release(struct upstream *upstream, struct call *call);

/* Nobody waits for it any more. */
void upstream_abandon(struct call *call);

/* Abandons what runs and frees all calls. */
void upstream_destroy_calls(struct upstream *upstream);

/* The call's job at that place, if it is still wanted, ends; what it does then is `user`'s to know. False: it
 * closed everything, and the call's other jobs are gone. */
bool upstream_finish(struct call *call, size_t i, const struct engine_answer *answer) MUST_CHECK;

/* ---- trial.c ---- */

/* A call was refused and is about to be asked for again in `n_parts` parts. Returns the number of the trial
 * that they are; 0: it is not watched. */
uint64_t upstream_trial_begin(const struct call *call, const struct http_post_outcome *outcome,
                              size_t n_parts);

/* A call has ended; answered: each of its texts got a result. Tells of an UPSTREAM_BATCH that is too large.
 */
void upstream_trial_ended(struct upstream *upstream, uint64_t trial, bool answered);

/* ---- again.c ---- */

/* Whether the failure may be for the sake of one of several texts: all but what is said about the credential,
 * overload, and connections that failed. */
bool upstream_may_ask_again(const struct call *call, const struct http_post_outcome *outcome);

/* Asks for the texts that are still wanted again: in halves, one text alone; each in what is left of its
 * time. Those without any end with `answer`. A call of n texts leads to at most 2n - 1 calls, itself
 * included. */
void upstream_ask_again(struct call *call, const struct http_post_outcome *outcome,
                        const struct engine_answer *answer);

/* ---- answer.c ---- */

/* transfer_ended (transfers.h); the context is the struct upstream. */
void upstream_on_ended(void *context, CURL *easy, CURLcode result);

#endif
