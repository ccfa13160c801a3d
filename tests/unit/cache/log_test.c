#include <unistd.h>

#include "cache/flight.h"
#include "world.h"

/* Answers that come bit by bit, and those who read them as they come. */

static const struct engine_answer END = {
    .status = ENGINE_OK, .storable = true, .lifetime_ms = UINT64_MAX, .duration_us = 2000000};

static const struct engine_answer CUT = {.status = ENGINE_BAD_ANSWER, .detail = "cut off"};

static void check_end(const struct asked *asked, const char *pieces, const char *body) {
    CU_ASSERT_EQUAL(asked->answers, 1);
    CU_ASSERT_EQUAL(asked->result, CACHE_MISS);
    CU_ASSERT_STRING_EQUAL(asked->pieces, pieces);
    CU_ASSERT_STRING_EQUAL(asked->body, body);
    CU_ASSERT(asked->request.read <= strlen(asked->body));
}

static void test_readers_at_offsets(void) {
    world_setup(NULL);
    struct asked *first = world_read(0, "a", NULL);
    struct asked *whole = world_ask(0, "a", NULL);
    world_model_appends(0, "one ");
    world_model_appends(0, "two ");
    CU_ASSERT_STRING_EQUAL(first->pieces, "|one |two ");
    struct asked *late = world_read(0, "a", NULL);
    CU_ASSERT_STRING_EQUAL(late->pieces, "|one two "); /* at once */
    world_model_appends(0, "three");
    CU_ASSERT_EQUAL(whole->answers, 0);
    world_model_answer(0, &END);
    check_end(first, "|one |two |three", "one two three");
    check_end(late, "|one two |three", "one two three");
    check_end(whole, "", "one two three");
    CU_ASSERT_EQUAL(world_counted(STAT_inferences), 1);
    CU_ASSERT_EQUAL(world_counted(STAT_stores), 1);
    struct asked *hit = world_read(0, "a", NULL);
    CU_ASSERT_EQUAL(hit->result, CACHE_HIT);
    CU_ASSERT_STRING_EQUAL(hit->body, "one two three");
    CU_ASSERT_EQUAL(hit->inference_us, 0);
    world_teardown();
}

/* One append and the end: what a model that does not stream looks like to who would read it so. */
static void test_an_answer_that_comes_at_once(void) {
    world_setup(NULL);
    struct asked *reader = world_read(0, "a", NULL);
    world_model_answers(0, "whole");
    check_end(reader, "", "whole");
    CU_ASSERT_EQUAL(reader->request.read, 0);
    world_teardown();
}

/* The other worker has it when the entry is there. */
static void test_another_worker_reads(void) {
    world_setup(NULL);
    struct asked *leader = world_read(0, "a", NULL);
    struct asked *follower = world_read(1, "a", NULL);
    world_model_appends(0, "one ");
    world_model_appends(0, "two");
    world_turn();
    CU_ASSERT_EQUAL(follower->answers, 0);
    world_model_answer(0, &END);
    world_turn();
    check_end(leader, "|one |two", "one two");
    check_end(follower, "", "one two");
    world_teardown();
}

static void test_readers_leave(void) {
    world_setup(NULL);
    struct asked *leader = world_read(0, "a", NULL);
    world_model_appends(0, "one ");
    cache_forget(world.workers[0].cache, &leader->request);
    world_model_appends(0, "two ");
    struct asked *late = world_read(0, "a", NULL);
    world_model_appends(0, "three");
    world_model_answer(0, &END);
    CU_ASSERT_STRING_EQUAL(leader->pieces, "|one ");
    CU_ASSERT_EQUAL(leader->answers, 0);
    check_end(late, "|one two |three", "one two three");
    world_teardown();
}

static void test_cut_off(void) {
    world_setup(NULL);
    struct asked *reader = world_read(0, "a", NULL);
    struct asked *whole = world_ask(0, "a", NULL);
    world_model_appends(0, "one ");
    world_model_answer(0, &CUT);
    CU_ASSERT_EQUAL(reader->result, CACHE_FAILED);
    CU_ASSERT_EQUAL(whole->result, CACHE_FAILED);
    CU_ASSERT_STRING_EQUAL(reader->pieces, "|one ");
    CU_ASSERT_EQUAL(world_counted(STAT_stores), 0);
    CU_ASSERT_EQUAL(world_ask(0, "a", NULL)->answers, 0); /* an inference of its own */
    CU_ASSERT_EQUAL(world.workers[0].n_running, 1);
    world_model_answers(0, "A");
    world_teardown();
}

/* An outcome that would start a request over fails one that has a part of the answer already. */
static void test_no_start_over_behind_a_part(void) {
    const struct engine_answer ASKER_FAILED = {
        .status = ENGINE_TIMEOUT, .detail = "no time left", .asker_only = true};
    world_setup(NULL);
    struct asked *reader = world_read(0, "a", NULL);
    struct asked *whole = world_ask(0, "a", NULL);
    world_model_appends(0, "one ");
    world_model_answer(0, &ASKER_FAILED);
    world_turn();
    CU_ASSERT_EQUAL(reader->result, CACHE_FAILED);
    CU_ASSERT_EQUAL(whole->answers, 0);
    world_model_answers(0, "A");
    CU_ASSERT_STRING_EQUAL(whole->body, "A");
    world_teardown();
}

static void keep_little(struct settings *settings) {
    settings->cache_max_entry_kb = 0;
}

/* A reader that keeps up gets the whole answer; none of it is kept in memory. */
static void test_too_large_to_be_kept(void) {
    world_setup(keep_little);
    struct asked *reader = world_read(0, "a", NULL);
    struct asked *whole = world_ask(0, "a", NULL);
    world_model_appends(0, "one ");
    CU_ASSERT_EQUAL(whole->result, CACHE_FAILED);
    CU_ASSERT_EQUAL(whole->failure, ENGINE_BAD_ANSWER);
    struct asked *late = world_read(0, "a", NULL); /* cannot have the beginning */
    CU_ASSERT_STRING_EQUAL(late->pieces, "");
    world_model_appends(0, "two");
    world_model_answer(0, &END);
    CU_ASSERT_EQUAL(reader->result, CACHE_MISS);
    CU_ASSERT_STRING_EQUAL(reader->pieces, "|one |two");
    CU_ASSERT_EQUAL(world_counted(STAT_stores), 0);
    CU_ASSERT_EQUAL(world_counted(STAT_rejected_entries), 1);
    CU_ASSERT_EQUAL(late->answers, 0);
    world_turn();
    while (world.workers[0].n_running > 0)
        world_model_answers(0, "");
    world_turn();
    CU_ASSERT_EQUAL(late->answers, 1);
    world_teardown();
}

static const struct unit_case CASES[] = {
    {"readers at offsets of their own", test_readers_at_offsets},
    {"an answer that comes at once", test_an_answer_that_comes_at_once},
    {"another worker reads", test_another_worker_reads},
    {"readers leave", test_readers_leave},
    {"an answer that is cut off", test_cut_off},
    {"who has a part does not start over", test_no_start_over_behind_a_part},
    {"an answer that is too large to be kept", test_too_large_to_be_kept},
};

int main(int argc, char *argv[]) {
    alarm(120);
    return unit_main(argc, argv, "log", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
