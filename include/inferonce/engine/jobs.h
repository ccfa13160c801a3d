/* A list of jobs in the order in which they came. A job is in one list at most. For the engine and its
 * backends. */
#ifndef INFERONCE_ENGINE_JOBS_H
#define INFERONCE_ENGINE_JOBS_H

#include <stddef.h>

#include "inferonce/engine/engine.h"

/* Zero-initialised: empty. */
struct engine_jobs {
    struct engine_job *first, *last;
    size_t n;
};

static inline void engine_jobs_append(struct engine_jobs *jobs, struct engine_job *job) {
    job->previous = jobs->last;
    job->next = NULL;
    *(jobs->last ? &jobs->last->next : &jobs->first) = job;
    jobs->last = job;
    jobs->n++;
}

/* `before`: in this list, or NULL: `job` becomes the first. */
static inline void engine_jobs_insert_after(struct engine_jobs *jobs, const struct engine_job *before,
                                            struct engine_job *job) {
    struct engine_job *next = before ? before->next : jobs->first;
    job->previous = next ? next->previous : jobs->last;
    job->next = next;
    *(job->previous ? &job->previous->next : &jobs->first) = job;
    *(next ? &next->previous : &jobs->last) = job;
    jobs->n++;
}

/* `job` must be in this list. */
static inline void engine_jobs_remove(struct engine_jobs *jobs, struct engine_job *job) {
    *(job->previous ? &job->previous->next : &jobs->first) = job->next;
    *(job->next ? &job->next->previous : &jobs->last) = job->previous;
    job->previous = job->next = NULL;
    jobs->n--;
}

#endif
