/* The engine's queue: clients in turns, each client's jobs in order. */
#include "engine/queue.h"

static struct queue_share *share_of(struct queue *queue, const struct engine_job *job) {
    return &queue->shares[job->client % QUEUE_SHARES];
}

void queue_init(struct queue *queue) {
    *queue = (struct queue){.n = 0};
    TAILQ_INIT(&queue->active);
    for (size_t i = 0; i < QUEUE_SHARES; i++)
        engine_jobs_init(&queue->shares[i].jobs);
}

static void insert_by_due(struct engine_jobs *jobs, struct engine_job *job) {
    struct engine_job *before = TAILQ_LAST(&jobs->list, engine_job_list);
    while (before && before->due_ms > job->due_ms)
        before = TAILQ_PREV(before, engine_job_list, links);
    if (before)
        TAILQ_INSERT_AFTER(&jobs->list, before, job, links);
    else
        TAILQ_INSERT_HEAD(&jobs->list, job, links);
    jobs->n++;
}

void queue_push(struct queue *queue, struct engine_job *job) {
    struct queue_share *share = share_of(queue, job);
    if (share->jobs.n == 0) {
        TAILQ_INSERT_TAIL(&queue->active, share, links);
        queue->n_active++;
    }
    insert_by_due(&share->jobs, job);
    queue->n++;
}

void queue_remove(struct queue *queue, struct engine_job *job) {
    struct queue_share *share = share_of(queue, job);
    engine_jobs_remove(&share->jobs, job);
    queue->n--;
    if (share->jobs.n > 0)
        return;
    TAILQ_REMOVE(&queue->active, share, links);
    queue->n_active--;
}

struct engine_job *queue_pop(struct queue *queue) {
    struct queue_share *share = TAILQ_FIRST(&queue->active);
    if (!share)
        return NULL;
    struct engine_job *job = engine_jobs_first(&share->jobs);
    queue_remove(queue, job);
    if (share->jobs.n > 0) {
        TAILQ_REMOVE(&queue->active, share, links);
        TAILQ_INSERT_TAIL(&queue->active, share, links);
    }
    return job;
}

struct engine_job *queue_displace(struct queue *queue, const struct engine_job *job, size_t most) {
    struct queue_share *own = share_of(queue, job), *heaviest = NULL;
    size_t clients = queue->n_active + (own->jobs.n == 0);
    size_t fair = most / clients > 0 ? most / clients : 1;
    if (own->jobs.n >= fair)
        return NULL;
    for (struct queue_share *share = TAILQ_FIRST(&queue->active); share; share = TAILQ_NEXT(share, links))
        if (!heaviest || share->jobs.n > heaviest->jobs.n)
            heaviest = share;
    if (!heaviest || heaviest->jobs.n <= fair)
        return NULL;
    struct engine_job *displaced = TAILQ_LAST(&heaviest->jobs.list, engine_job_list);
    queue_remove(queue, displaced);
    return displaced;
}

/* Each client's first job is due first. */
struct engine_job *queue_pop_overdue(struct queue *queue, uint64_t now_ms) {
    for (struct queue_share *share = TAILQ_FIRST(&queue->active); share; share = TAILQ_NEXT(share, links)) {
        struct engine_job *job = engine_jobs_first(&share->jobs);
        if (job->due_ms > now_ms)
            continue;
        queue_remove(queue, job);
        return job;
    }
    return NULL;
}
