#include "world.h"

#include "inferonce/engine/backend.h"
#include "inferonce/store/memory.h"

struct world world;

/* ---- the model ---- */

static void *model_open(struct engine *engine, const struct engine_options *options, struct error *error) {
    (void)options;
    (void)error;
    for (unsigned w = 0; w < WORLD_WORKERS; w++)
        if (!world.workers[w].engine)
            return &world.workers[w];
    (void)engine;
    return NULL;
}

static void model_start(void *state, struct engine_job *const *jobs, size_t n) {
    struct world_worker *worker = state;
    for (size_t i = 0; i < n; i++)
        worker->running[worker->n_running++] = jobs[i];
}

static void model_forget(struct world_worker *worker, const struct engine_job *job) {
    size_t at = 0;
    while (at < worker->n_running && worker->running[at] != job)
        at++;
    CU_ASSERT_FATAL(at < worker->n_running);
    worker->n_running--;
    memmove(&worker->running[at], &worker->running[at + 1],
            (worker->n_running - at) * sizeof(worker->running[0]));
}

static void model_cancel(void *state, struct engine_job *job) {
    model_forget(state, job);
}

static void model_close(void *state) {
    (void)state;
}

static size_t model_room(void *state, unsigned *retry_after_s) {
    (void)state;
    (void)retry_after_s;
    return SIZE_MAX;
}

static uint64_t model_longest_us(const struct settings *settings) {
    return settings->inference_delay_ms * 1000;
}

static const struct engine_backend MODEL = {.open = model_open,
                                            .start = model_start,
                                            .cancel = model_cancel,
                                            .close = model_close,
                                            .room = model_room,
                                            .longest_us = model_longest_us};

void world_model_answer(unsigned w, const struct engine_answer *answer) {
    struct world_worker *worker = &world.workers[w];
    CU_ASSERT_FATAL(worker->n_running > 0);
    struct engine_job *job = worker->running[0];
    model_forget(worker, job);
    engine_finish(worker->engine, job, *answer);
}

void world_model_answers(unsigned w, const char *body) {
    const struct engine_answer answer = {
        .status = ENGINE_OK, .body = bytes_of(body), .storable = true, .lifetime_ms = UINT64_MAX};
    world_model_answer(w, &answer);
}

void world_model_fails(unsigned w, enum engine_status status) {
    const struct engine_answer answer = {.status = status, .detail = "told to fail", .http_status = 400};
    world_model_answer(w, &answer);
}

/* ---- the world ---- */

static void setup_worker(unsigned w) {
    struct world_worker *worker = &world.workers[w];
    struct error error = {""};
    unsigned slot = world.shared.claimed[w];
    worker->stats = &world.shared.stats[slot];
    worker->store = store_open(&(struct store_options){.settings = &world.settings,
                                                       .shared = &world.shared,
                                                       .slot = slot,
                                                       .loop = &world.loop,
                                                       .clock = &world.clock,
                                                       .stats = worker->stats},
                               &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker->store);
    worker->engine = engine_create_with(
        &MODEL,
        &(struct engine_options){
            .settings = &world.settings, .loop = &world.loop, .clock = &world.clock, .stats = worker->stats},
        &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker->engine);
    worker->cache = cache_create(&(struct cache_options){.settings = &world.settings,
                                                         .store = worker->store,
                                                         .engine = worker->engine,
                                                         .shared = &world.shared,
                                                         .slot = slot,
                                                         .loop = &world.loop,
                                                         .clock = &world.clock,
                                                         .stats = worker->stats},
                                 &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(worker->cache);
}

void world_setup(void (*change)(struct settings *settings)) {
    struct error error = {""};
    memset(&world, 0, sizeof(world));
    settings_defaults(&world.settings);
    world.settings.inference_delay_ms = 1000;
    if (change)
        change(&world.settings);
    world.clock =
        (struct clock){.fake = true, .monotonic_us = 1000000000, .wall_us = UINT64_C(1700000000000000)};
    CU_ASSERT_FATAL(uv_loop_init(&world.loop) == 0);
    struct memory_layout layout = memory_layout_of(&world.settings, WORLD_WORKERS);
    CU_ASSERT_FATAL(shared_create(&world.shared, WORLD_WORKERS, NULL, memory_region_bytes(&layout),
                                  memory_region_tag(&layout), &error));
    memory_region_setup(world.shared.region, &layout, world.shared.fresh, &world.clock);
    shared_ready(&world.shared);
    for (unsigned w = 0; w < WORLD_WORKERS; w++) {
        shared_slot_assign(&world.shared, world.shared.claimed[w], 1000 + (pid_t)w);
        setup_worker(w);
    }
}

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void world_teardown(void) {
    for (unsigned w = 0; w < WORLD_WORKERS; w++) {
        cache_destroy(&world.workers[w].cache);
        engine_destroy(&world.workers[w].engine);
        store_close(&world.workers[w].store);
    }
    uv_walk(&world.loop, close_handle, NULL);
    uv_run(&world.loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&world.loop), 0);
    CU_ASSERT_EQUAL(world_counted(STAT_parked), 0);
    CU_ASSERT_EQUAL(world_counted(STAT_in_flight), 0);
    shared_destroy(&world.shared);
}

/* ---- asking ---- */

static void answered(struct cache_request *request, const struct cache_answer *answer) {
    struct asked *asked = request->user;
    asked->answers++;
    asked->order = ++world.answered;
    asked->result = answer->result;
    asked->status = answer->status;
    asked->age_s = answer->age_s;
    asked->inferred = answer->inferred;
    asked->inference_us = answer->inference_us;
    asked->failure = answer->result == CACHE_FAILED ? answer->failure->status : ENGINE_OK;
    asked->http_status = answer->result == CACHE_FAILED ? answer->failure->http_status : 0;
    asked->retry_after_s = answer->result == CACHE_FAILED ? answer->failure->retry_after_s : 0;
    CU_ASSERT_FATAL(answer->body.length < sizeof(asked->body));
    if (answer->body.length > 0)
        memcpy(asked->body, answer->body.data, answer->body.length);
    asked->body[answer->body.length] = '\0';
}

static struct asked *prepare(const char *cache_namespace, const char *text, const char *control) {
    CU_ASSERT_FATAL(world.n_asked < WORLD_ASKED);
    struct asked *asked = &world.asked[world.n_asked++];
    struct cache_request *request = &asked->request;
    struct bytes ns = bytes_of(cache_namespace ? cache_namespace : "default");
    const struct key_fields fields = {.cache_namespace = ns, .text = bytes_of(text)};
    memset(asked, 0, sizeof(*asked));
    key_of_entry(&fields, &request->key);
    key_of_generation(ns, &request->generation_key);
    request->cache_namespace = ns;
    request->text = bytes_of(text);
    request->ttl_ms = world.settings.cache_ttl_ms;
    cache_control_init(&request->control);
    if (control)
        cache_control_parse(&request->control, bytes_of(control));
    request->done = answered;
    request->user = asked;
    return asked;
}

struct asked *world_ask_in(unsigned w, const char *cache_namespace, const char *text, const char *control) {
    struct asked *asked = prepare(cache_namespace, text, control);
    cache_ask(world.workers[w].cache, &asked->request);
    return asked;
}

struct asked *world_ask(unsigned w, const char *text, const char *control) {
    struct asked *asked = world_ask_in(w, NULL, text, control);
    world_turn();
    return asked;
}

struct asked *world_ask_as(unsigned w, const char *credential, const char *text) {
    struct asked *asked = prepare(NULL, text, NULL);
    if (credential)
        asked->request.authorization = bytes_of(credential);
    cache_ask(world.workers[w].cache, &asked->request);
    world_turn();
    return asked;
}

void world_turn(void) {
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned w = 0; w < WORLD_WORKERS; w++) {
            if (!world.workers[w].cache)
                continue;
            uint64_t words[INTEREST_WORDS / 64];
            shared_wakes_take(&world.shared, world.shared.claimed[w], words);
            cache_woken(world.workers[w].cache, words);
            cache_turn(world.workers[w].cache);
        }
        uv_run(&world.loop, UV_RUN_NOWAIT);
    }
}

void world_wait_ms(uint64_t ms) {
    world.clock.monotonic_us += ms * 1000;
    world.clock.wall_us += ms * 1000;
    world_turn();
}

void world_kill(unsigned w) {
    cache_destroy(&world.workers[w].cache);
    engine_destroy(&world.workers[w].engine);
    shared_slot_assign(&world.shared, world.shared.claimed[w], 0);
    shared_wake_all(&world.shared);
}

uint64_t world_counted(enum statistic statistic) {
    return shared_stat(&world.shared, statistic);
}
