/* A small world for the tests of the cache: a host with two workers (host.h), and those who ask. */
#ifndef INFERONCE_TESTS_WORLD_H
#define INFERONCE_TESTS_WORLD_H

#include "host.h"
#include "unit.h"

#define WORLD_WORKERS 2
#define WORLD_ASKED   HOST_JOBS_MAX

/* One request and what became of it. */
struct asked {
    struct cache_request request;
    unsigned answers;
    enum cache_result result;
    struct cache_status status;
    char body[64];
    char pieces[64]; /* that came before the end, each behind a bar */
    uint64_t age_s;
    bool inferred;
    enum engine_status failure;
    int http_status;        /* of the failure */
    unsigned retry_after_s; /* of the failure */
    uint64_t inference_us;
    unsigned order; /* the how many-th answer of all, from 1 */
};

struct world {
    struct settings settings;
    struct clock clock;
    uv_loop_t loop;
    struct shared shared;
    struct host_worker workers[WORLD_WORKERS];
    struct asked asked[WORLD_ASKED];
    size_t n_asked;
    unsigned answered;
};

extern struct world world;

/* Settings are the defaults but for what `change` (may be NULL) does to them. */
void world_setup(void (*change)(struct settings *settings));
void world_teardown(void);

/* Asks worker `w` for a text in a namespace with a Cache-Control (either may be NULL); the answer, if there
 * is one, is there after the next turn. */
struct asked *world_ask_in(unsigned w, const char *cache_namespace, const char *text, const char *control);
struct asked *world_ask(unsigned w, const char *text, const char *control);

/* With a credential (NULL: none) that is not part of the key. */
struct asked *world_ask_as(unsigned w, const char *credential, const char *text);

/* Reads the answer as it comes. */
struct asked *world_read(unsigned w, const char *text, const char *control);

/* From a client, just now. */
struct asked *world_ask_from(unsigned w, uint64_t client, const char *text, const char *control);

/* One turn of all workers: look-ups, wakes, the loop's timers. */
void world_turn(void);

/* Turns and moves both clocks. */
void world_wait_ms(uint64_t ms);

/* The model answers the oldest inference of worker `w` with `body`, or fails it. */
void world_model_answers(unsigned w, const char *body);
void world_model_fails(unsigned w, enum engine_status status);
void world_model_answer(unsigned w, const struct engine_answer *answer);

/* A piece of the answer to the oldest inference of worker `w`. */
void world_model_appends(unsigned w, const char *piece);

/* Worker `w` is gone, with all it had in flight, and the master has noticed. */
void world_kill(unsigned w);

uint64_t world_counted(enum statistic statistic);

#endif
