#include "cache/flights.h"
#include "cache/texts.h"

#include <unistd.h>

#include "late.h"
#include "world.h"

/* Flights behind a store that answers late or fails, and many of them. What they do with a good store that
 * answers at once is in cache_test.c and cache_workers_test.c, what leases do in lease_test.c. */

static size_t running(unsigned w) {
    return world.workers[w].n_running;
}

static void check_answer(const struct asked *asked, enum cache_result result, const char *body) {
    CU_ASSERT_EQUAL(asked->answers, 1);
    CU_ASSERT_EQUAL(asked->result, result);
    CU_ASSERT_STRING_EQUAL(asked->body, body);
}

/* Everything that can happen at worker `w` without time passing: the late store answers, the model too. */
static void settle(unsigned w) {
    do {
        late_answer_all();
        world_turn();
        while (running(w) > 0)
            world_model_answers(w, "A");
    } while (late.n > 0);
}

/* Until the late store is asked for `verb` of `kind`; that one is not answered yet. */
static void settle_until(enum late_verb verb, enum store_kind kind) {
    for (unsigned i = 0; i < 100; i++) {
        if (late_verb() == verb && late_kind() == kind)
            return;
        if (late.n > 0)
            late_answer();
        else if (running(0) > 0)
            world_model_answers(0, "A");
        world_turn();
    }
    CU_FAIL_FATAL("the store was never asked for that");
}

/* ---- a late store ---- */

static void test_late_store(void) {
    world_setup(NULL);
    late_begin(&world.workers[0]);
    struct asked *miss = world_ask(0, "a", NULL);
    settle_until(LATE_ADD, STORE_LEASE);
    settle_until(LATE_PUT, STORE_ENTRY);
    CU_ASSERT_EQUAL(miss->answers, 0); /* `stored` is known when the store has said so */
    late_answer();
    check_answer(miss, CACHE_MISS, "A");
    CU_ASSERT(miss->status.stored);
    settle_until(LATE_REMOVE, STORE_LEASE);
    late_answer_all();
    struct asked *hit = world_ask(0, "a", NULL);
    late_answer_all();
    check_answer(hit, CACHE_HIT, "A");
    CU_ASSERT_EQUAL(cache_busy(world.workers[0].cache), 0);
    late_end();
    world_teardown();
}

/* A request that arrives while a flight waits for the store joins it, in every state. */
static void test_joins_at_each_step(void) {
    static const struct {
        enum late_verb verb;
        enum store_kind kind;
    } STEPS[] = {{LATE_ADD, STORE_LEASE}, {LATE_GET, STORE_ENTRY}, {LATE_PUT, STORE_ENTRY}};
    for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
        world_setup(NULL);
        late_begin(&world.workers[0]);
        struct asked *first = world_ask(0, "a", NULL);
        settle_until(STEPS[i].verb, STEPS[i].kind);
        CU_ASSERT_EQUAL(late.n, 1);
        struct asked *second = world_ask(0, "a", NULL);
        late_answer_at(1);
        CU_ASSERT_EQUAL(second->answers, 0);
        settle(0);
        check_answer(first, CACHE_MISS, "A");
        check_answer(second, CACHE_MISS, "A");
        CU_ASSERT_EQUAL(second->status.collapsed, STEPS[i].verb != LATE_GET || i > 0);
        CU_ASSERT_EQUAL(world_counted(STAT_inferences), 1);
        late_end();
        world_teardown();
    }
}

static void tolerating(struct settings *settings) {
    settings->cache_ttl_ms = 2000;
    settings->cache_stale_if_error_ms = 100000;
}

/* One request for a text that is stored and stale; the model fails or not. */
static struct asked *ask_behind_late_store(void) {
    world_setup(tolerating);
    struct asked *before = world_ask(0, "a", NULL);
    world_model_answers(0, "old");
    check_answer(before, CACHE_MISS, "old");
    world_wait_ms(3000);
    late_begin(&world.workers[0]);
    return world_ask(0, "a", NULL);
}

/* Does the next thing that is to be done; false when there is nothing. */
static bool step(bool model_fails) {
    if (late.n > 0)
        late_answer();
    else if (running(0) > 0 && model_fails)
        world_model_fails(0, ENGINE_REFUSED);
    else if (running(0) > 0)
        world_model_answers(0, "new");
    else
        return false;
    world_turn();
    return true;
}

/* The client leaves before each step in turn. It hears nothing, and nothing of it stays in the way of others:
 * not a lease either. */
static void test_leaves_at_each_step(void) {
    for (unsigned model_fails = 0; model_fails < 2; model_fails++) {
        bool over = false;
        unsigned steps;
        for (steps = 0; !over; steps++) {
            struct asked *asked = ask_behind_late_store();
            for (unsigned i = 0; i < steps; i++)
                step(model_fails);
            over = asked->answers > 0;
            cache_forget(world.workers[0].cache, &asked->request);
            CU_ASSERT_EQUAL(world_counted(STAT_parked), 0);
            while (step(model_fails))
                continue;
            CU_ASSERT_EQUAL(asked->answers, over ? 1 : 0);
            CU_ASSERT_EQUAL(cache_busy(world.workers[0].cache), 0);
            late_end();
            struct asked *next = world_ask(1, "a", "no-cache");
            CU_ASSERT_EQUAL(running(1), 1);
            world_model_answers(1, "next");
            check_answer(next, CACHE_BYPASS, "next");
            world_teardown();
        }
        CU_ASSERT(steps >= 5); /* look-up, lease, another look, inference, and what follows it */
    }
}

/* Everything ends before each step in turn. */
static void test_ends_at_each_step(void) {
    for (unsigned model_fails = 0; model_fails < 2; model_fails++) {
        bool over = false;
        for (unsigned steps = 0; !over; steps++) {
            struct asked *asked = ask_behind_late_store();
            for (unsigned i = 0; i < steps; i++)
                step(model_fails);
            over = asked->answers > 0;
            late_end();
            cache_destroy(&world.workers[0].cache);
            CU_ASSERT_EQUAL(asked->answers, over ? 1 : 0);
            shared_slot_assign(&world.shared, world.shared.claimed[0], 0); /* clears its gauges */
            world_teardown();
        }
    }
}

/* The same while it follows worker 1. */
static void test_ends_while_following(void) {
    for (unsigned steps = 0; steps < 10; steps++) {
        world_setup(NULL);
        world_ask(1, "a", NULL);
        late_begin(&world.workers[0]);
        struct asked *follows = world_ask(0, "a", NULL);
        for (unsigned i = 0; i < steps; i++)
            step(false);
        CU_ASSERT_EQUAL(follows->answers, 0);
        late_end();
        cache_destroy(&world.workers[0].cache);
        shared_slot_assign(&world.shared, world.shared.claimed[0], 0);
        world_model_answers(1, "A");
        world_teardown();
    }
}

/* A late store or an early wake: a follower hears of the end in whichever order they come. */
static void test_follows_with_late_store(void) {
    for (unsigned steps = 0; steps < 8; steps++) {
        world_setup(NULL);
        world_ask(1, "a", NULL);
        late_begin(&world.workers[0]);
        struct asked *follows = world_ask(0, "a", NULL);
        for (unsigned i = 0; i < steps; i++)
            step(false);
        world_model_answers(1, "A");
        world_turn();
        while (step(false))
            continue;
        check_answer(follows, steps == 0 ? CACHE_HIT : CACHE_MISS, "A");
        CU_ASSERT_EQUAL(world_counted(STAT_inferences), 1);
        late_end();
        world_teardown();
    }
}

/* ---- a store that fails ---- */

/* The store fails at each step in turn: the request is answered as if there were no cache. */
static void test_store_fails_at_each_step(void) {
    bool over = false;
    unsigned steps;
    for (steps = 0; !over; steps++) {
        world_setup(NULL);
        late_begin(&world.workers[0]);
        struct asked *asked = world_ask(0, "a", NULL);
        for (unsigned i = 0; i < steps; i++)
            step(false);
        over = asked->answers > 0;
        if (late.n > 0)
            late_refuse(STORE_ERROR);
        world_turn();
        while (step(false))
            continue;
        check_answer(asked, CACHE_MISS, "new");
        CU_ASSERT_EQUAL(world_counted(STAT_inferences), 1);
        struct asked *next = world_ask(0, "a", NULL);
        while (step(false))
            continue;
        CU_ASSERT_EQUAL(next->answers, 1);
        CU_ASSERT_EQUAL(next->result, asked->status.stored ? CACHE_HIT : CACHE_MISS);
        late_end();
        world_teardown();
    }
    CU_ASSERT(steps >= 5);
}

/* The same while it follows worker 1: it goes on by itself, or hears of the end in another way. */
static void test_store_fails_while_following(void) {
    for (unsigned steps = 0; steps < 8; steps++) {
        world_setup(NULL);
        world_ask(1, "a", NULL);
        late_begin(&world.workers[0]);
        struct asked *follows = world_ask(0, "a", NULL);
        for (unsigned i = 0; i < steps; i++)
            step(false);
        if (late.n > 0)
            late_refuse(STORE_ERROR);
        world_turn();
        while (step(false))
            continue;
        world_model_answers(1, "new");
        world_turn();
        while (step(false))
            continue;
        check_answer(follows, CACHE_MISS, "new");
        late_end();
        world_teardown();
    }
}

/* A result that was not stored is not shared: each follower has its own inference. */
static void test_refused_entry(void) {
    static const struct {
        enum store_status status;
        uint64_t rejected;
    } ROWS[] = {{STORE_TOO_LARGE, 1}, {STORE_REFUSED, 0}, {STORE_ERROR, 0}};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        world_setup(NULL);
        late_begin(&world.workers[0]);
        struct asked *leads = world_ask(0, "a", NULL);
        while (running(0) == 0 && step(false))
            continue;
        struct asked *follows = world_ask(1, "a", NULL);
        CU_ASSERT_EQUAL(running(1), 0);
        world_model_answers(0, "mine");
        CU_ASSERT_EQUAL(late_verb(), LATE_PUT);
        late_refuse(ROWS[i].status);
        check_answer(leads, CACHE_MISS, "mine");
        CU_ASSERT(!leads->status.stored);
        CU_ASSERT_EQUAL(world_counted(STAT_rejected_entries), ROWS[i].rejected);
        CU_ASSERT_EQUAL(world_counted(STAT_stores), 0);
        late_answer_all();
        late_end();
        world_turn();
        CU_ASSERT_EQUAL(running(1), 1);
        world_model_answers(1, "yours");
        check_answer(follows, CACHE_MISS, "yours");
        world_teardown();
    }
}

/* ---- many ---- */

/* More than one look at the store holds, and two flights for one key, from before and after a purge, which
 * one look cannot ask for at once. */
static void test_many_followers(void) {
    static char texts[150][8];
    struct asked *asked[150];
    world_setup(NULL);
    for (size_t i = 0; i < 150; i++) {
        snprintf(texts[i], sizeof(texts[i]), "t%zu", i);
        world_ask(0, texts[i], NULL);
        asked[i] = world_ask(1, texts[i], NULL);
    }
    CU_ASSERT_EQUAL(running(1), 0);
    late_begin(&world.workers[1]);
    CU_ASSERT_EQUAL(flights_tombstone_ms(&world.settings),
                    (engine_longest_us(&world.settings) + 10000000) / 1000);
    for (size_t i = 0; i < 150; i++) {
        char body[8];
        struct bytes text = world.workers[0].running[0]->text;
        snprintf(body, sizeof(body), "%.*s", (int)text.length, text.data);
        world_model_answers(0, body);
        uv_run(&world.loop, UV_RUN_NOWAIT); /* the engine's queue moves on */
    }
    world_turn();
    for (size_t looks = 0; late.n > 0; looks++) {
        CU_ASSERT_EQUAL(late_verb(), LATE_GET); /* each finds its own entry, and nobody tries for a lease */
        CU_ASSERT(looks < 150 / 50);
        late_answer();
    }
    late_end();
    for (size_t i = 0; i < 150; i++) {
        check_answer(asked[i], CACHE_MISS, texts[i]);
        CU_ASSERT(asked[i]->status.collapsed);
    }
    world_teardown();
}

static void purged(void *user, enum cache_admin_status status, const struct entry *entry, uint64_t count) {
    (void)entry;
    (void)count;
    CU_ASSERT_EQUAL(status, CACHE_ADMIN_OK);
    ++*(unsigned *)user;
}

static void test_two_flights_of_one_key(void) {
    unsigned purges = 0;
    world_setup(NULL);
    world_ask(0, "a", NULL);
    struct asked *before = world_ask(1, "a", NULL);
    world_wait_ms(1);
    cache_purge(world.workers[0].cache, bytes_of("default"), purged, &purges);
    for (unsigned i = 0; i < 1000 && purges == 0; i++)
        world_turn();
    CU_ASSERT_EQUAL(purges, 1);
    world_ask(0, "a", NULL);
    struct asked *after = world_ask(1, "a", NULL);
    CU_ASSERT_EQUAL(running(0), 2);
    CU_ASSERT_EQUAL(running(1), 0);
    late_begin(&world.workers[1]);
    shared_wake_all(&world.shared); /* both look, one after the other */
    do {
        world_turn();
        late_answer_all();
    } while (late.n > 0);
    late_end();
    world_model_answers(0, "old");
    world_turn();
    check_answer(before, CACHE_MISS, "old"); /* it asked before the purge */
    CU_ASSERT_EQUAL(after->answers, 0);
    world_model_answers(0, "new");
    world_turn();
    check_answer(after, CACHE_MISS, "new");
    world_teardown();
}

/* Four requests wait for one inference; each subset of them leaves. */
static void test_waiters_leave(void) {
    for (unsigned subset = 0; subset < 16; subset++) {
        struct asked *asked[4];
        world_setup(NULL);
        for (size_t i = 0; i < 4; i++)
            asked[i] = world_ask(0, "a", NULL);
        for (size_t i = 4; i-- > 0;)
            if (subset >> i & 1)
                cache_forget(world.workers[0].cache, &asked[i]->request);
        struct asked *joins = world_ask(0, "a", NULL);
        CU_ASSERT_EQUAL(running(0), 1);
        world_model_answers(0, "A");
        for (size_t i = 0; i < 4; i++)
            CU_ASSERT_EQUAL(asked[i]->answers, subset >> i & 1 ? 0 : 1);
        check_answer(joins, CACHE_MISS, "A");
        CU_ASSERT_EQUAL(world_counted(STAT_misses), 5); /* those that left did not hit either */
        world_teardown();
    }
}

/* A failure is told to those who followed elsewhere as it was told here. */
static void test_failure_in_full(void) {
    static const struct engine_answer FAILURES[] = {
        {.status = ENGINE_REJECTED, .http_status = 422, .detail = "no"},
        {.status = ENGINE_OVERLOAD, .retry_after_s = 70000, .detail = "no"},
        {.status = ENGINE_TIMEOUT, .detail = "no"},
    };
    for (size_t i = 0; i < sizeof(FAILURES) / sizeof(FAILURES[0]); i++) {
        world_setup(NULL);
        struct asked *asked[] = {world_ask(0, "a", NULL), world_ask(1, "a", NULL)};
        world_wait_ms(5000);
        world_model_answer(0, &FAILURES[i]);
        world_turn();
        for (size_t j = 0; j < 2; j++) {
            check_answer(asked[j], CACHE_FAILED, "");
            CU_ASSERT_EQUAL(asked[j]->failure, FAILURES[i].status);
            CU_ASSERT_EQUAL(asked[j]->http_status, FAILURES[i].http_status);
            CU_ASSERT_EQUAL(asked[j]->retry_after_s, FAILURES[i].retry_after_s);
            CU_ASSERT_EQUAL(asked[j]->inference_us, 5000000);
            CU_ASSERT_EQUAL(asked[j]->status.collapsed, j == 1);
        }
        world_teardown();
    }
}

static void revalidating(struct settings *settings) {
    settings->cache_ttl_ms = 1000;
    settings->cache_stale_while_revalidate_ms = 100000;
    settings->inference_concurrency = 1;
}

/* A refresh that waits in the queue has somebody to run for even when all who joined it have left. */
static void test_refresh_stays(void) {
    world_setup(revalidating);
    world_ask(0, "a", NULL);
    world_model_answers(0, "old");
    world_wait_ms(2000);
    struct asked *before = world_ask(0, "b", NULL);
    check_answer(world_ask(0, "a", NULL), CACHE_STALE, "old");
    struct asked *joins = world_ask(0, "a", "no-cache");
    CU_ASSERT_EQUAL(world_counted(STAT_queue), 1);
    cache_forget(world.workers[0].cache, &joins->request);
    CU_ASSERT_EQUAL(world_counted(STAT_queue), 1);
    world_model_answers(0, "B");
    check_answer(before, CACHE_MISS, "B");
    world_turn();
    world_model_answers(0, "new");
    check_answer(world_ask(0, "a", NULL), CACHE_HIT, "new");
    world_teardown();
}

/* A client's memory is the client's again once it has left; the inference goes on. */
static void test_texts_are_copies(void) {
    char lent[] = "text{\"k\":1}credentialparentstate";
    world_setup(NULL);
    struct asked *asked = world_ask_in(0, NULL, "a", NULL);
    asked->request.text = (struct bytes){lent, 4};
    asked->request.parameters = (struct bytes){lent + 4, 7};
    asked->request.authorization = (struct bytes){lent + 11, 10};
    asked->request.traceparent = (struct bytes){lent + 21, 6};
    asked->request.tracestate = (struct bytes){lent + 27, 5};
    world_turn();
    cache_forget(world.workers[0].cache, &asked->request);
    memset(lent, '#', sizeof(lent));
    CU_ASSERT_EQUAL_FATAL(running(0), 1);
    const struct engine_job *job = world.workers[0].running[0];
    CU_ASSERT(bytes_equal(job->text, bytes_of("text")));
    CU_ASSERT(bytes_equal(job->parameters, bytes_of("{\"k\":1}")));
    CU_ASSERT(bytes_equal(job->authorization, bytes_of("credential")));
    CU_ASSERT(bytes_equal(job->traceparent, bytes_of("parent")));
    CU_ASSERT(bytes_equal(job->tracestate, bytes_of("state")));
    world_model_answers(0, "A");
    world_teardown();
}

/* A flight that has ended holds none of the bytes that flights may hold. */
static void test_bytes_are_given_back(void) {
    enum { LARGE = 4 << 20 };
    char *text = calloc(LARGE, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    world_setup(NULL);
    for (uint64_t sum = 0; sum <= TEXTS_BYTES_MAX; sum += LARGE) {
        struct asked *asked = world_ask_in(0, NULL, "a", "no-cache");
        asked->request.text = (struct bytes){text, LARGE};
        world_turn();
        world_model_answers(0, "A");
        check_answer(asked, CACHE_BYPASS, "A");
    }
    world_teardown();
    free(text);
}

/* no-store stands outside the flights, and ends with them. */
static void test_solos_end_with_the_cache(void) {
    world_setup(NULL);
    struct asked *asked = world_ask(0, "a", "no-store");
    CU_ASSERT_EQUAL(running(0), 1);
    CU_ASSERT_EQUAL(cache_busy(world.workers[0].cache), 1);
    cache_destroy(&world.workers[0].cache);
    CU_ASSERT_EQUAL(running(0), 0);
    CU_ASSERT_EQUAL(asked->answers, 0);
    world_teardown();
}

static unsigned n_copied;

static void count_copied(struct cache_request *request) {
    CU_ASSERT_EQUAL(request->text.length, 0);
    n_copied++;
}

/* Texts that wait are bounded. The length alone decides, before a byte is copied. */
static void test_too_many_bytes(void) {
    world_setup(NULL);
    struct asked *asked = world_ask_in(0, NULL, "a", NULL);
    asked->request.text.length = TEXTS_BYTES_MAX;
    world_turn();
    check_answer(asked, CACHE_FAILED, "");
    CU_ASSERT_EQUAL(asked->failure, ENGINE_OVERLOAD);
    CU_ASSERT_EQUAL(world_counted(STAT_misses), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_refused_texts), 1);
    CU_ASSERT_EQUAL(running(0), 0);
    struct asked *next = world_ask(0, "a", NULL);
    CU_ASSERT_NOT_EQUAL(world_counted(STAT_parked_bytes), 0);
    world_model_answers(0, "A");
    check_answer(next, CACHE_MISS, "A");
    CU_ASSERT_EQUAL(world_counted(STAT_parked_bytes), 0);
    world_teardown();
}

/* A waiting request needs its text no more, whether it leads or not: `copied` is called, and the inference
 * has a copy. */
static void test_text_is_given_back(void) {
    static const char *const CONTROLS[] = {NULL, "no-cache"};
    for (size_t i = 0; i < sizeof(CONTROLS) / sizeof(CONTROLS[0]); i++) {
        char text[] = "a text";
        struct asked *asked[2];
        world_setup(NULL);
        for (size_t j = 0; j < 2; j++) {
            asked[j] = world_ask_in(0, NULL, "a", CONTROLS[i]);
            asked[j]->request.text = bytes_of(text);
            asked[j]->request.copied = count_copied;
        }
        n_copied = 0;
        world_turn();
        CU_ASSERT_EQUAL(n_copied, 2);
        CU_ASSERT_EQUAL(world_counted(STAT_parked), 2);
        memset(text, '#', sizeof(text) - 1);
        CU_ASSERT(bytes_equal(world.workers[0].running[0]->text, bytes_of("a text")));
        world_model_answers(0, "A");
        check_answer(asked[0], i == 0 ? CACHE_MISS : CACHE_BYPASS, "A");
        check_answer(asked[1], i == 0 ? CACHE_MISS : CACHE_BYPASS, "A");
        world_teardown();
    }
}

/* A long text is not copied: the flight takes over the buffer that it alone lies in. */
static void test_long_text_is_taken(void) {
    enum { LENGTH = 100000 };
    static const size_t OTHERS[] = {0, 1};
    for (size_t i = 0; i < 2; i++) {
        struct buffer storage;
        buffer_init(&storage, LENGTH + 1);
        char *text = buffer_reserve(&storage, LENGTH + 1);
        CU_ASSERT_PTR_NOT_NULL_FATAL(text);
        memset(text, 'x', LENGTH + 1);
        storage.length = LENGTH + OTHERS[i];
        world_setup(NULL);
        struct asked *asked = world_ask_in(0, NULL, "a", NULL);
        asked->request.text = (struct bytes){text, LENGTH};
        asked->request.storage = &storage;
        world_turn();
        struct bytes job = world.workers[0].running[0]->text;
        CU_ASSERT_EQUAL(job.length, LENGTH);
        CU_ASSERT_EQUAL(job.data == text, i == 0); /* not when something else lies there, too */
        CU_ASSERT_EQUAL(storage.length, i == 0 ? 0 : LENGTH + 1);
        CU_ASSERT(world_counted(STAT_parked_bytes) >= LENGTH);
        world_model_answers(0, "A");
        check_answer(asked, CACHE_MISS, "A");
        CU_ASSERT_EQUAL(world_counted(STAT_parked_bytes), 0);
        buffer_fini(&storage);
        world_teardown();
    }
}

static const struct unit_case CASES[] = {
    {"a late store", test_late_store},
    {"others join at each step", test_joins_at_each_step},
    {"a client leaves at each step", test_leaves_at_each_step},
    {"everything ends at each step", test_ends_at_each_step},
    {"everything ends while it follows", test_ends_while_following},
    {"following with a late store", test_follows_with_late_store},
    {"the store fails at each step", test_store_fails_at_each_step},
    {"the store fails while it follows", test_store_fails_while_following},
    {"an entry that the store refuses", test_refused_entry},
    {"many followers", test_many_followers},
    {"two flights of one key", test_two_flights_of_one_key},
    {"those who wait leave", test_waiters_leave},
    {"a failure is told in full", test_failure_in_full},
    {"a refresh stays", test_refresh_stays},
    {"texts are copies", test_texts_are_copies},
    {"bytes are given back", test_bytes_are_given_back},
    {"no-store ends with the cache", test_solos_end_with_the_cache},
    {"too many bytes of texts", test_too_many_bytes},
    {"who waits needs no text", test_text_is_given_back},
    {"a long text is taken over", test_long_text_is_taken},
};

int main(int argc, char *argv[]) {
    alarm(120); /* a worker caught in a circle is a failure, not a wait */
    return unit_main(argc, argv, "flight", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
