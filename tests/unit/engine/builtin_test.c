/* The built-in model: its answers, its delay, and how it gives way to the loop. */
#include "inferonce/engine/engine.h"

#include "engine_rig.h"

static void test_builtin_answers(void) {
    set_up(4, 4, 0, NULL);
    bench.probes[0].job.text = bytes_of("the book was good");
    infer(0, 1);
    CU_ASSERT_EQUAL(bench.probes[0].answers, 0); /* never before engine_infer returned */
    CU_ASSERT_EQUAL(counted(STAT_in_flight), 1);
    CU_ASSERT_EQUAL(counted(STAT_inferences), 1);
    run();
    const struct probe *probe = &bench.probes[0];
    CU_ASSERT_EQUAL(probe->answers, 1);
    CU_ASSERT_EQUAL(probe->answer.status, ENGINE_OK);
    /* VADER's README has this text with 0.4404. */
    CU_ASSERT_STRING_EQUAL(probe->body,
                           "{\"sentiment\":\"positive\",\"confidence\":0.4404,\"compound\":0.4404}");
    CU_ASSERT_TRUE(probe->answer.storable);
    CU_ASSERT_EQUAL(probe->answer.lifetime_ms, UINT64_MAX);
    CU_ASSERT_EQUAL(counted(STAT_inferences), 1);
    CU_ASSERT_EQUAL(counted(STAT_inference_errors), 0);
    tear_down();
}

static void test_builtin_delays(void) {
    set_up(4, 4, 2, NULL);
    /* From several points within a millisecond; with a loop that is awake all the time, so that the timer's
     * own rounding is seen. How much later than the delay an answer comes is up to the machine. */
    for (unsigned round = 0; round < 5; round++) {
        uint64_t started_ns = uv_hrtime();
        infer(4 * round, 4);
        while (bench.answered < 4 * (round + 1))
            next_turn();
        CU_ASSERT(uv_hrtime() - started_ns >= 2 * 1000000);
    }
    for (unsigned i = 0; i < 20; i++)
        CU_ASSERT_EQUAL(bench.probes[i].place, i + 1);
    tear_down();
}

static void test_builtin_order(void) {
    set_up(3, JOBS_MOST, 1, NULL);
    infer(0, 100);
    infer(100, 100);
    run();
    for (unsigned i = 0; i < 200; i++)
        CU_ASSERT_EQUAL(bench.probes[i].place, i + 1);
    CU_ASSERT_EQUAL(counted(STAT_inferences), 200);
    tear_down();
}

static void test_builtin_cancels(void) {
    set_up(3, 10, 1, NULL);
    infer(0, 5);
    engine_cancel(bench.engine, &bench.probes[0].job); /* the first that is due: the timer is for the next */
    engine_cancel(bench.engine, &bench.probes[2].job);
    engine_cancel(bench.engine, &bench.probes[4].job); /* queued */
    run();
    CU_ASSERT_EQUAL(bench.probes[0].answers, 0);
    CU_ASSERT_EQUAL(bench.probes[1].answers, 1);
    CU_ASSERT_EQUAL(bench.probes[2].answers, 0);
    CU_ASSERT_EQUAL(bench.probes[3].answers, 1);
    CU_ASSERT_EQUAL(bench.probes[4].answers, 0);
    tear_down();
}

static void test_builtin_is_idle_after_a_cancel(void) {
    /* An hour's timer for nobody would keep the loop from ending: the test would not end either. */
    set_up(1, 0, 3600000, NULL);
    infer(0, 1);
    CU_ASSERT_NOT_EQUAL(uv_loop_alive(&bench.loop), 0);
    engine_cancel(bench.engine, &bench.probes[0].job);
    CU_ASSERT_EQUAL(uv_loop_alive(&bench.loop), 0);
    tear_down();
}

static void test_builtin_gives_way(void) {
    /* 32 KB of text are a turn's work: of five texts of that size one is answered a turn. */
    set_up(10, 0, 0, NULL);
    static char text[32768];
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < 5; i++)
        bench.probes[i].job.text = (struct bytes){text, sizeof(text)};
    infer(0, 5);
    for (unsigned turn = 1; turn <= 5; turn++) {
        next_turn();
        CU_ASSERT_EQUAL(bench.answered, turn);
    }
    tear_down();
}

/* A text that is one word of a megabyte is read twice, too, and in as many turns as any other. */
static void test_builtin_gives_way_within_a_word(void) {
    static char text[1 << 20];
    unsigned turns = 0;
    set_up(10, 0, 0, NULL);
    memset(text, 'x', sizeof(text));
    bench.probes[0].job.text = (struct bytes){text, sizeof(text)};
    infer(0, 1);
    while (bench.answered == 0 && turns < 1000) {
        next_turn();
        turns++;
    }
    CU_ASSERT(turns >= 2 * sizeof(text) / 65536 && turns < 1000);
    tear_down();
}

/* "good bad good ..." of this many bytes, at most a megabyte. */
static struct bytes long_text(size_t length) {
    static const char UNIT[] = "good bad good ";
    static char text[1 << 20];
    CU_ASSERT_FATAL(length <= sizeof(text));
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = UNIT[i % (sizeof(UNIT) - 1)];
    return (struct bytes){text, length};
}

static unsigned turns_until(const struct probe *probe) {
    unsigned turns = 0;
    for (; probe->answers == 0 && turns < 1000; turns++)
        next_turn();
    CU_ASSERT_EQUAL(probe->answers, 1);
    return turns;
}

/* Nor is one long text scored in one go; what comes of it is the same, and the job behind it is next. */
static void test_builtin_gives_way_within_a_text(void) {
    set_up(10, 0, 0, NULL);
    bench.probes[0].job.text = long_text(1 << 20);
    infer(0, 2);
    CU_ASSERT(turns_until(&bench.probes[0]) >= 32);
    CU_ASSERT_STRING_EQUAL(bench.probes[0].body,
                           "{\"sentiment\":\"positive\",\"confidence\":1,\"compound\":1}");
    CU_ASSERT(turns_until(&bench.probes[1]) <= 1);
    CU_ASSERT_STRING_EQUAL(bench.probes[1].body,
                           "{\"sentiment\":\"positive\",\"confidence\":0.4404,\"compound\":0.4404}");
    tear_down();
}

/* Cancelled half-way; the next one begins with its own text. */
static void test_builtin_cancels_within_a_text(void) {
    set_up(10, 0, 0, NULL);
    bench.probes[0].job.text = long_text(1 << 20);
    bench.probes[2].job.text = bytes_of("bad");
    infer(0, 3);
    for (unsigned turn = 0; turn < 5; turn++)
        next_turn();
    engine_cancel(bench.engine, &bench.probes[1].job); /* this one has not begun */
    engine_cancel(bench.engine, &bench.probes[0].job);
    CU_ASSERT(turns_until(&bench.probes[2]) <= 1);
    CU_ASSERT_STRING_EQUAL(bench.probes[2].body,
                           "{\"sentiment\":\"negative\",\"confidence\":0.5423,\"compound\":-0.5423}");
    CU_ASSERT_EQUAL(bench.answered, 1);
    infer(0, 1);
    next_turn();
    tear_down(); /* destroyed half-way */
    CU_ASSERT_EQUAL(bench.answered, 1);
}

static void infer_again(struct engine_job *job, const struct engine_answer *answer) {
    on_done(job, answer);
    engine_infer(bench.engine, &job, 1);
}

static void test_builtin_does_not_starve_the_loop(void) {
    /* Without a delay, each answer brings the next inference: uv_run still comes back. */
    set_up(1, 0, 0, NULL);
    bench.probes[0].job.done = infer_again;
    infer(0, 1);
    unsigned before = 0;
    for (unsigned turn = 0; turn < 10; turn++) {
        next_turn();
        CU_ASSERT(bench.answered > before); /* and each turn gets on */
        before = bench.answered;
    }
    tear_down();
}

static const struct unit_case CASES[] = {
    {"the built-in model answers, after engine_infer returned", test_builtin_answers},
    {"the built-in model takes its delay", test_builtin_delays},
    {"the built-in model answers in order", test_builtin_order},
    {"the built-in model forgets cancelled jobs", test_builtin_cancels},
    {"the built-in model leaves no timer behind", test_builtin_is_idle_after_a_cancel},
    {"the built-in model gives way after a turn's work", test_builtin_gives_way},
    {"the built-in model gives way within a word", test_builtin_gives_way_within_a_word},
    {"the built-in model does not starve the loop", test_builtin_does_not_starve_the_loop},
    {"the built-in model gives way within a text", test_builtin_gives_way_within_a_text},
    {"the built-in model cancels within a text", test_builtin_cancels_within_a_text},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "builtin", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
