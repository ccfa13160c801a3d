/* A model behind the engine: a table of functions, one per kind of model, so that a backend is one file
 * and its name in open.c. The engine admits, counts and queues; a backend only infers what it is given. */
#ifndef INFERONCE_ENGINE_BACKEND_H
#define INFERONCE_ENGINE_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "inferonce/engine/engine.h"

struct engine_backend {
    /* Borrows the context. Returns what the other functions get as `state`; NULL: error tells why. */
    void *(*open)(struct engine *engine, const struct context *context, struct error *error);

    /* Begins to infer jobs that were admitted together. An answer that comes bit by bit is given to
     * job->more, where that is not NULL. The array is borrowed for the call, the jobs until their end. Each
     * one's end is told by engine_finish, once, and never before this returned. */
    void (*start)(void *state, struct engine_job *const *jobs, size_t n);

    /* Forgets a job that was started and has not ended. */
    void (*cancel)(void *state, struct engine_job *job);

    /* Forgets all jobs and closes its handles; frees `state` when the loop has closed them. */
    void (*close)(void *state);

    /* How many jobs more it takes now; SIZE_MAX: any number. With 0, `*retry_after_s` says when to come back.
     */
    size_t (*room)(void *state, unsigned *retry_after_s);

    /* How long a job may take from the request's arrival, waiting included; NULL: as long as it takes. */
    uint64_t (*limit_ms)(const struct settings *settings);

    /* The longest that one inference can take, in microseconds, as far as the settings bound it. */
    uint64_t (*longest_us)(const struct settings *settings);

    /* Whether the files that the settings name are what they should be; NULL: they name none. */
    bool (*check)(const struct settings *settings, struct error *error);
};

/* VADER, after INFERENCE_DELAY_MS. */
extern const struct engine_backend engine_builtin;

/* An HTTP inference server at UPSTREAM_URL (upstream.c). */
extern const struct engine_backend engine_upstream;

/* As engine_create, with this backend. */
struct engine *engine_create_with(const struct engine_backend *backend, const struct context *context,
                                  struct error *error) MUST_CHECK;

/* A job has ended; `answer` is complete but for its duration, which the engine adds. Calls the job's `done`,
 * in which the engine may even be destroyed: `state` then lives on until the loop has closed the backend's
 * handles. */
void engine_finish(struct engine *engine, struct engine_job *job, struct engine_answer answer);

#endif
