/* A list of jobs in the order in which they came, with their number. A job is in one list at most. For the
 * engine and its backends. */
#ifndef INFERONCE_ENGINE_JOBS_H
#define INFERONCE_ENGINE_JOBS_H

#include <stddef.h>

#include "inferonce/engine/engine.h"

struct engine_jobs {
    TAILQ_HEAD(engine_job_list, engine_job) list;
    size_t n;
};

static inline void engine_jobs_init(struct engine_jobs *jobs) {
    TAILQ_INIT(&jobs->list);
    jobs->n = 0;
}

/* NULL: there is none. */
static inline struct engine_job *engine_jobs_first(const struct engine_jobs *jobs) {
    return TAILQ_FIRST(&jobs->list);
}

static inline void engine_jobs_append(struct engine_jobs *jobs, struct engine_job *job) {
    TAILQ_INSERT_TAIL(&jobs->list, job, links);
    jobs->n++;
}

/* `job` must be in this list. */
static inline void engine_jobs_remove(struct engine_jobs *jobs, struct engine_job *job) {
    TAILQ_REMOVE(&jobs->list, job, links);
    jobs->n--;
}

#endif
