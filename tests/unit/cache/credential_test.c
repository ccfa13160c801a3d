#include <stdio.h>
#include <unistd.h>

#include "cache/flights.h"
#include "late.h"
#include "world.h"

/* CACHE_SHARE_AUTHORIZED=on: requests with different credentials share a flight. What the model says of one
 * credential is not said to the others. */

static size_t running(unsigned w) {
    return world.workers[w].n_running;
}

static void check_answer(const struct asked *asked, enum cache_result result, const char *body) {
    CU_ASSERT_EQUAL(asked->answers, 1);
    CU_ASSERT_EQUAL(asked->result, result);
    CU_ASSERT_STRING_EQUAL(asked->body, body);
}

static void check_refused(const struct asked *asked, int http_status) {
    check_answer(asked, CACHE_FAILED, "");
    CU_ASSERT_EQUAL(asked->failure, ENGINE_REJECTED);
    CU_ASSERT_EQUAL(asked->http_status, http_status);
}

/* One inference runs, of all workers, at `w`, with this credential. */
static void check_runs(unsigned w, const char *credential) {
    CU_ASSERT_EQUAL_FATAL(running(w), 1);
    CU_ASSERT_EQUAL(running(1 - w), 0);
    CU_ASSERT(bytes_equal(world.workers[w].running[0]->authorization, bytes_of(credential)));
    CU_ASSERT(bytes_equal(world.workers[w].running[0]->text, bytes_of("a"))); /* which who waits has not */
}

static void refuse(unsigned w, int http_status) {
    world_model_answer(
        w, &(struct engine_answer){.status = ENGINE_REJECTED, .http_status = http_status, .detail = "no"});
}

static void test_refused_in_one_worker(void) {
    world_setup(NULL);
    struct asked *first = world_ask_as(0, "one", "a");
    struct asked *same = world_ask_as(0, "one", "a");
    struct asked *second = world_ask_as(0, "two", "a");
    struct asked *none = world_ask_as(0, NULL, "a");
    struct asked *second_too = world_ask_as(0, "two", "a");
    check_runs(0, "one");
    refuse(0, 401);
    check_refused(first, 401);
    check_refused(same, 401);
    CU_ASSERT(same->status.collapsed && !first->status.collapsed);
    check_runs(0, "two"); /* at once: nothing else has to happen in the loop */
    CU_ASSERT_EQUAL(second->answers + none->answers + second_too->answers, 0);
    refuse(0, 403);
    check_refused(second, 403);
    check_refused(second_too, 403);
    CU_ASSERT(second_too->status.collapsed && !second->status.collapsed);
    check_runs(0, "");
    world_model_answers(0, "A");
    check_answer(none, CACHE_MISS, "A");
    CU_ASSERT(none->status.stored);
    check_answer(world_ask_as(0, "one", "a"), CACHE_HIT, "A");
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), 3);
    CU_ASSERT_EQUAL(world_counted(STAT_misses), 5);
    world_teardown();
}

static void test_a_good_one_serves_the_rest(void) {
    world_setup(NULL);
    struct asked *bad = world_ask_as(0, "bad", "a");
    struct asked *good = world_ask_as(0, "good", "a");
    struct asked *worse = world_ask_as(0, "worse", "a");
    struct asked *elsewhere = world_ask_as(1, "bad", "a");
    struct asked *elsewhere_too = world_ask_as(1, "worse", "a");
    refuse(0, 401);
    world_turn();
    check_refused(bad, 401);
    check_refused(elsewhere, 401);
    check_runs(0, "good");
    world_model_answers(0, "A");
    world_turn();
    check_answer(good, CACHE_MISS, "A");
    check_answer(worse, CACHE_MISS, "A");
    check_answer(elsewhere_too, CACHE_MISS, "A");
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), 2);
    world_teardown();
}

/* Nobody with another credential is in the leader's worker: one of the others' leads. */
static void test_goes_on_in_another_worker(void) {
    world_setup(NULL);
    struct asked *bad = world_ask_as(0, "bad", "a");
    struct asked *good = world_ask_as(1, "good", "a");
    struct asked *good_too = world_ask_as(1, "good", "a");
    check_runs(0, "bad");
    refuse(0, 403);
    world_turn();
    check_refused(bad, 403);
    CU_ASSERT_EQUAL(good->answers, 0);
    check_runs(1, "good");
    world_model_answers(1, "A");
    check_answer(good, CACHE_MISS, "A");
    check_answer(good_too, CACHE_MISS, "A");
    world_teardown();
}

/* One credential's exhausted quota does not count against another. */
static void test_used_up(void) {
    static const struct engine_answer REFUSALS[] = {
        {.status = ENGINE_REJECTED, .http_status = 402, .detail = "no"},
        {.status = ENGINE_OVERLOAD, .http_status = 429, .retry_after_s = 7, .detail = "no"},
    };
    for (size_t i = 0; i < sizeof(REFUSALS) / sizeof(REFUSALS[0]); i++) {
        world_setup(NULL);
        struct asked *poor = world_ask_as(0, "poor", "a");
        struct asked *rich = world_ask_as(0, "rich", "a");
        struct asked *elsewhere = world_ask_as(1, "poor", "a");
        struct asked *elsewhere_too = world_ask_as(1, "rich", "a");
        world_model_answer(0, &REFUSALS[i]);
        world_turn();
        check_answer(poor, CACHE_FAILED, "");
        check_answer(elsewhere, CACHE_FAILED, "");
        CU_ASSERT_EQUAL(poor->failure, REFUSALS[i].status);
        CU_ASSERT_EQUAL(poor->http_status, REFUSALS[i].http_status);
        CU_ASSERT_EQUAL(elsewhere->failure, REFUSALS[i].status);
        CU_ASSERT_EQUAL(elsewhere->http_status, REFUSALS[i].http_status);
        CU_ASSERT_EQUAL(rich->answers + elsewhere_too->answers, 0);
        check_runs(0, "rich");
        world_model_answers(0, "A");
        world_turn();
        check_answer(rich, CACHE_MISS, "A");
        check_answer(elsewhere_too, CACHE_MISS, "A");
        CU_ASSERT_EQUAL(world_counted(STAT_inferences), 2);
        world_teardown();
    }
}

/* The model's server is overloaded, whoever asks. */
static void test_overload_is_everybodys(void) {
    world_setup(NULL);
    struct asked *asked[] = {world_ask_as(0, "one", "a"), world_ask_as(0, "two", "a"),
                             world_ask_as(1, "three", "a")};
    world_model_answer(
        0, &(struct engine_answer){.status = ENGINE_OVERLOAD, .retry_after_s = 7, .detail = "no"});
    world_turn();
    for (size_t k = 0; k < sizeof(asked) / sizeof(asked[0]); k++)
        CU_ASSERT(asked[k]->answers == 1 && asked[k]->failure == ENGINE_OVERLOAD);
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), 1);
    world_teardown();
}

/* A refusal of the text holds for every credential. */
static void test_rejected_text(void) {
    static const int STATUSES[] = {400, 413, 415, 422};
    for (size_t i = 0; i < sizeof(STATUSES) / sizeof(STATUSES[0]); i++) {
        world_setup(NULL);
        struct asked *asked[] = {world_ask_as(0, "one", "a"), world_ask_as(0, "two", "a"),
                                 world_ask_as(1, "three", "a")};
        refuse(0, STATUSES[i]);
        world_turn();
        for (size_t k = 0; k < sizeof(asked) / sizeof(asked[0]); k++)
            check_refused(asked[k], STATUSES[i]);
        CU_ASSERT_EQUAL(world_counted(STAT_inferences), 1);
        world_teardown();
    }
}

/* More than a flight tries leases that lead nowhere: each of these led somewhere. */
#define CREDENTIALS 40

static void test_each_credential_once(void) {
    char credentials[CREDENTIALS][16];
    struct asked *asked[2 * CREDENTIALS];
    world_setup(NULL);
    for (unsigned i = 0; i < CREDENTIALS; i++) {
        snprintf(credentials[i], sizeof(credentials[i]), "number %u", i);
        asked[2 * i] = world_ask_as(i % 2, credentials[i], "a");
        asked[2 * i + 1] = world_ask_as(1 - i % 2, credentials[i], "a");
    }
    for (unsigned i = 0; i < CREDENTIALS; i++) {
        CU_ASSERT_EQUAL_FATAL(running(0) + running(1), 1);
        refuse(running(0) == 1 ? 0 : 1, 401);
        world_turn();
    }
    CU_ASSERT_EQUAL(running(0) + running(1), 0);
    for (size_t i = 0; i < 2 * CREDENTIALS; i++)
        check_refused(asked[i], 401);
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), CREDENTIALS);
    world_teardown();
}

/* The leader has gone; its credential is still the refused one. */
static void test_leader_has_left(void) {
    world_setup(NULL);
    struct asked *bad = world_ask_as(0, "bad", "a");
    struct asked *good = world_ask_as(0, "good", "a");
    cache_forget(world.workers[0].cache, &bad->request);
    refuse(0, 401);
    CU_ASSERT_EQUAL(good->answers, 0);
    check_runs(0, "good");
    world_model_answers(0, "A");
    check_answer(good, CACHE_MISS, "A");
    CU_ASSERT_EQUAL(bad->answers, 0);
    world_teardown();
}

/* Not even then is it told what another one was. */
static void test_no_memory_to_start_over(void) {
    world_setup(NULL);
    struct asked *bad = world_ask_as(0, "bad", "a");
    struct asked *good = world_ask_as(0, "good", "a");
    unit_allocations_count_start();
    unit_allocations_fail(1, false);
    refuse(0, 401);
    unit_allocations_heal();
    check_refused(bad, 401);
    if (unit_allocations_count() > 0) { /* no sanitizer has the allocator */
        check_answer(good, CACHE_FAILED, "");
        CU_ASSERT_EQUAL(good->failure, ENGINE_OVERLOAD);
    } else {
        world_model_answers(0, "A");
    }
    world_teardown();
}

/* The leader's store answers late, and each step of it meets a follower that does not. */
static void test_late_store(void) {
    world_setup(NULL);
    late_begin(&world.workers[0]);
    struct asked *bad = world_ask_as(0, "bad", "a");
    for (unsigned i = 0; i < 100 && running(0) == 0; i++) {
        late_answer();
        world_turn();
    }
    struct asked *elsewhere[] = {world_ask_as(1, "bad", "a"), world_ask_as(1, "good", "a")};
    struct asked *good = world_ask_as(0, "good", "a");
    late_answer_all(); /* its look-up */
    refuse(0, 401);
    for (unsigned i = 0; i < 100 && good->answers == 0; i++) {
        world_turn();
        if (late.n > 0)
            late_answer();
        for (unsigned w = 0; w < WORLD_WORKERS; w++)
            if (running(w) > 0) {
                check_runs(w, "good");
                world_model_answers(w, "A");
            }
    }
    world_turn();
    check_refused(bad, 401);
    check_refused(elsewhere[0], 401);
    check_answer(good, CACHE_MISS, "A");
    check_answer(elsewhere[1], CACHE_MISS, "A");
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), 2);
    late_end();
    world_teardown();
}

static const struct unit_case CASES[] = {
    {"refused in one worker", test_refused_in_one_worker},
    {"a good one serves the rest", test_a_good_one_serves_the_rest},
    {"another worker goes on", test_goes_on_in_another_worker},
    {"402 and 429 are the credential's", test_used_up},
    {"503 is everybody's", test_overload_is_everybodys},
    {"a text that is refused", test_rejected_text},
    {"each credential costs one inference", test_each_credential_once},
    {"the leader has left", test_leader_has_left},
    {"a late store", test_late_store},
    {"no memory to start over", test_no_memory_to_start_over},
};

int main(int argc, char *argv[]) {
    alarm(120); /* a worker caught in a circle is a failure, not a wait */
    return unit_main(argc, argv, "credential", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
