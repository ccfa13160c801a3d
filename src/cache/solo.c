/* Infers for one request alone. */
#include "cache/solo.h"

#include <stdlib.h>

struct solo {
    struct solos *solos;
    LIST_ENTRY(solo) links;
    struct cache_request *request;
    struct texts texts;
    struct engine_job job;
};

void solos_init(struct solos *solos, struct engine *engine, struct texts_limit *limit, struct stats *stats,
                struct deadlines *deadlines) {
    *solos = (struct solos){.engine = engine, .limit = limit, .stats = stats, .deadlines = deadlines};
}

static void end(struct solo *solo) {
    struct solos *solos = solo->solos;
    LIST_REMOVE(solo, links);
    solos->count--;
    stats_subtract(solos->stats, STAT_parked, 1);
    stats_count(solos->stats, STAT_bypasses);
    deadlines_remove(solos->deadlines, solo->request);
    solo->request->solo = NULL;
    solo->request->phase = CACHE_IDLE;
    texts_release(solos->limit, &solo->texts);
    free(solo);
}

void solos_fini(struct solos *solos) {
    struct solo *solo;
    while ((solo = LIST_FIRST(&solos->list)) != NULL) {
        engine_cancel(solos->engine, &solo->job);
        end(solo);
    }
}

static void inferred(struct engine_job *job, const struct engine_answer *result) {
    struct solo *solo = job->user;
    struct cache_request *request = solo->request;
    struct cache_answer answer = {.result = result->status == ENGINE_OK ? CACHE_BYPASS : CACHE_FAILED,
                                  .body = result->body,
                                  .status = {.forward = request->forward},
                                  .inferred = result->status == ENGINE_OK || result->duration_us > 0,
                                  .inference_us = result->duration_us,
                                  .failure = result};
    end(solo);
    request->done(request, &answer);
}

static void refuse(struct solos *solos, struct cache_request *request) {
    const struct engine_answer failure = {
        .status = ENGINE_SHORT, .detail = "no memory for another inference", .retry_after_s = 1};
    struct cache_answer answer = {
        .result = CACHE_FAILED, .status = {.forward = request->forward}, .failure = &failure};
    stats_count(solos->stats, STAT_bypasses);
    deadlines_remove(solos->deadlines, request);
    request->phase = CACHE_IDLE;
    request->done(request, &answer);
}

void solos_infer(struct solos *solos, struct cache_request *request) {
    struct solo *solo = calloc(1, sizeof(*solo));
    if (!solo || !texts_keep(solos->limit, &solo->texts, &solo->job, request, NULL)) {
        free(solo);
        refuse(solos, request);
        return;
    }
    solo->solos = solos;
    solo->request = request;
    solo->job.client = request->client;
    solo->job.arrived_us = request->arrived_us;
    solo->job.done = inferred;
    solo->job.user = solo;
    LIST_INSERT_HEAD(&solos->list, solo, links);
    solos->count++;
    request->solo = solo;
    request->phase = CACHE_SOLO;
    stats_count(solos->stats, STAT_parked);
    texts_copied(request);
    struct engine_job *job = &solo->job;
    engine_infer(solos->engine, &job, 1);
}

void solos_cancel(struct solos *solos, struct cache_request *request) {
    engine_cancel(solos->engine, &request->solo->job);
    end(request->solo);
}
