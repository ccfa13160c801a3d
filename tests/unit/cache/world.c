#include "world.h"

struct world world;

static const struct host HOST = {
    .settings = &world.settings, .clock = &world.clock, .loop = &world.loop, .shared = &world.shared};

void world_setup(void (*change)(struct settings *settings)) {
    memset(&world, 0, sizeof(world));
    settings_defaults(&world.settings);
    world.settings.inference_delay_ms = 1000;
    if (change)
        change(&world.settings);
    host_setup(&HOST, world.workers, WORLD_WORKERS);
}

void world_teardown(void) {
    host_teardown(&HOST, world.workers, WORLD_WORKERS);
}

/* ---- the model ---- */

void world_model_answer(unsigned w, const struct engine_answer *answer) {
    host_model_answer(&world.workers[w], answer);
    turn_end(world.workers[w].turn);
}

void world_model_answers(unsigned w, const char *body) {
    host_model_answers(&world.workers[w], body);
    turn_end(world.workers[w].turn);
}

void world_model_fails(unsigned w, enum engine_status status) {
    const struct engine_answer answer = {.status = status, .detail = "told to fail", .http_status = 400};
    world_model_answer(w, &answer);
}

void world_model_appends(unsigned w, const char *piece) {
    host_model_appends(&world.workers[w], piece);
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

static void on_more(struct cache_request *request, struct bytes piece) {
    struct asked *asked = request->user;
    size_t length = strlen(asked->pieces);
    CU_ASSERT_EQUAL(asked->answers, 0);
    CU_ASSERT_FATAL(length + 1 + piece.length < sizeof(asked->pieces));
    asked->pieces[length] = '|';
    memcpy(asked->pieces + length + 1, piece.data, piece.length);
}

struct asked *world_read(unsigned w, const char *text, const char *control) {
    struct asked *asked = prepare(NULL, text, control);
    asked->request.more = on_more;
    cache_ask(world.workers[w].cache, &asked->request);
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

struct asked *world_ask_from(unsigned w, uint64_t client, const char *text, const char *control) {
    struct asked *asked = prepare(NULL, text, control);
    asked->request.client = client;
    asked->request.arrived_us = clock_monotonic_us(&world.clock);
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
            turn_end(world.workers[w].turn);
        }
        uv_run(&world.loop, UV_RUN_NOWAIT);
    }
}

void world_wait_ms(uint64_t ms) {
    host_wait_ms(&HOST, ms);
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
