/* Jobs that wait for a place, a fair share for each client.
 *
 * A client's jobs are taken in the order in which they are due, which is that of their requests' arrival, and
 * the clients in turns: whoever asks for 1,000 texts delays another client by one job each, not by 1,000.
 * Clients are told apart by a hash; two that share a place here share a turn. */
#ifndef INFERONCE_ENGINE_QUEUE_H
#define INFERONCE_ENGINE_QUEUE_H

#include <sys/queue.h>

#include "engine/jobs.h"

#define QUEUE_SHARES 1024

struct queue_share {
    struct engine_jobs jobs;
    TAILQ_ENTRY(queue_share) links; /* among those that have jobs, the next one to be served first */
};

struct queue {
    struct queue_share shares[QUEUE_SHARES];
    TAILQ_HEAD(queue_shares, queue_share) active;
    size_t n_active;
    size_t n; /* jobs */
};

void queue_init(struct queue *queue);
void queue_push(struct queue *queue, struct engine_job *job);
void queue_remove(struct queue *queue, struct engine_job *job);

/* Takes the first job of the client whose turn it is; NULL: the queue is empty. */
struct engine_job *queue_pop(struct queue *queue);

/* For a job that finds `most` jobs waiting: takes the last job of the client that has most, if that has more
 * than its share and the job's own client would not have. NULL: the job itself is the one too many. */
struct engine_job *queue_displace(struct queue *queue, const struct engine_job *job, size_t most);

/* Takes a job that was due at `now_ms` or before; NULL: there is none. */
struct engine_job *queue_pop_overdue(struct queue *queue, uint64_t now_ms);

#endif
