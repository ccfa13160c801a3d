#include "inferonce/cache/cache.h"
#include "late.h"
#include "store/batch.h"
#include "world.h"

/* From being asked to the flight: how requests are collected and looked up, by a store that answers late, in
 * part, or forgets. */

static struct cache *cache(void) {
    return world.workers[0].cache;
}

static size_t running(void) {
    return world.workers[0].n_running;
}

static void check_answer(const struct asked *asked, enum cache_result result, const char *body) {
    CU_ASSERT_EQUAL(asked->answers, 1);
    CU_ASSERT_EQUAL(asked->result, result);
    CU_ASSERT_STRING_EQUAL(asked->body, body);
    CU_ASSERT_EQUAL(asked->request.phase, CACHE_IDLE);
}

static struct asked *ask(const char *text) {
    return world_ask_in(0, NULL, text, NULL);
}

/* The model answers everything with "A". */
static void infer_all(void) {
    while (running() > 0) {
        world_model_answers(0, "A");
        world_turn();
    }
}

/* ---- collecting ---- */

/* Each subset of four requests leaves before the turn. */
static void test_leaving_the_collection(void) {
    static const char *const TEXTS[] = {"a", "b", "c", "d"};
    for (unsigned subset = 0; subset < 16; subset++) {
        struct asked *asked[4];
        world_setup(NULL);
        for (size_t i = 0; i < 4; i++)
            asked[i] = ask(TEXTS[i]);
        for (size_t i = 0; i < 4; i++)
            if (subset >> i & 1)
                cache_forget(cache(), &asked[i]->request);
        CU_ASSERT_EQUAL(cache_busy(cache()), 4 - (size_t)__builtin_popcount(subset));
        world_turn();
        infer_all();
        for (size_t i = 0; i < 4; i++)
            CU_ASSERT_EQUAL(asked[i]->answers, subset >> i & 1 ? 0 : 1);
        CU_ASSERT_EQUAL(cache_busy(cache()), 0);
        world_teardown();
    }
}

/* In the order in which they came, however many turns and batches it takes. */
static void test_order(void) {
    static char texts[300][8];
    struct asked *asked[300];
    world_setup(NULL);
    for (size_t i = 0; i < 300; i++) {
        snprintf(texts[i], sizeof(texts[i]), "t%zu", i);
        world_ask(0, texts[i], NULL);
        infer_all();
    }
    for (size_t i = 0; i < 300; i++)
        asked[i] = ask(texts[i]);
    turn_end(world.workers[0].turn);
    for (size_t i = 0; i < 300; i++) {
        check_answer(asked[i], CACHE_HIT, "A");
        CU_ASSERT_EQUAL(asked[i]->order, 300 + i + 1);
    }
    world_teardown();
}

static unsigned n_busy;

static void ask_next(struct cache_request *request, const struct cache_answer *answer) {
    (void)answer;
    ((struct asked *)request->user)->answers++;
    if (++n_busy < 50)
        ask("a")->request.done = ask_next;
}

/* A connection that asks as soon as it is answered does not keep the loop from its other work. */
static void test_asking_while_answered(void) {
    world_setup(NULL);
    world_ask(0, "a", NULL);
    infer_all();
    n_busy = 0;
    ask("a")->request.done = ask_next;
    turn_end(world.workers[0].turn);
    CU_ASSERT(n_busy > 0 && n_busy < 10);
    CU_ASSERT_EQUAL(cache_busy(cache()), 1);
    while (n_busy < 50)
        world_turn();
    CU_ASSERT_EQUAL(cache_busy(cache()), 0);
    world_teardown();
}

static struct asked *to_leave;

static void make_leave(struct cache_request *request, const struct cache_answer *answer) {
    (void)answer;
    ((struct asked *)request->user)->answers++;
    cache_forget(cache(), &to_leave->request);
}

/* An answer makes another one leave that was looked up with it, or that is still collected. */
static void test_leaving_while_answered(void) {
    struct asked *asked[2 * BATCH_LOOKS];
    for (size_t leaving = 1; leaving < 2 * BATCH_LOOKS; leaving += BATCH_LOOKS / 2) {
        world_setup(NULL);
        world_ask(0, "a", NULL);
        infer_all();
        for (size_t i = 0; i < 2 * BATCH_LOOKS; i++)
            asked[i] = ask("a");
        asked[0]->request.done = make_leave;
        to_leave = asked[leaving];
        world_turn();
        for (size_t i = 0; i < 2 * BATCH_LOOKS; i++)
            CU_ASSERT_EQUAL(asked[i]->answers, i == leaving ? 0 : 1);
        world_teardown();
    }
}

/* ---- what the store says ---- */

static void test_late_look_up(void) {
    world_setup(NULL);
    world_ask(0, "other", NULL);
    infer_all();
    late_begin(&world.workers[0]);
    struct asked *asked = ask("a");
    CU_ASSERT_EQUAL(cache_busy(cache()), 1); /* collected */
    turn_end(world.workers[0].turn);
    CU_ASSERT_EQUAL(cache_busy(cache()), 1); /* with the store */
    late_answer();
    CU_ASSERT_EQUAL(cache_busy(cache()), 1); /* in a flight */
    late_answer();                           /* of the lease */
    late_answer();                           /* of the look before the inference */
    late_end();
    world_turn();
    infer_all();
    check_answer(asked, CACHE_MISS, "A");
    CU_ASSERT_EQUAL(cache_busy(cache()), 0);
    world_teardown();
}

/* When the generation is not known, nothing can be known to be current, and nothing is stored. When the entry
 * is not known, it is as if there were none. */
static void test_half_an_answer(void) {
    static const struct {
        enum store_kind withheld;
        bool stored;
    } ROWS[] = {{STORE_GENERATION, false}, {STORE_ENTRY, true}};
    for (size_t i = 0; i < 2; i++) {
        world_setup(NULL);
        world_ask(0, "a", NULL);
        infer_all();
        late_begin(&world.workers[0]);
        struct asked *asked = ask("a");
        turn_end(world.workers[0].turn);
        late_answer_without(ROWS[i].withheld);
        for (unsigned n = 0; n < 10 && running() == 0; n++) {
            /* The look before the inference finds an entry stored meanwhile. */
            if (late.n > 0)
                late_answer_without(STORE_ENTRY);
            world_turn();
        }
        CU_ASSERT_EQUAL_FATAL(running(), 1);
        late_end();
        world_model_answers(0, "B");
        check_answer(asked, CACHE_MISS, "B");
        CU_ASSERT_EQUAL(asked->status.stored, ROWS[i].stored);
        check_answer(world_ask(0, "a", NULL), CACHE_HIT, ROWS[i].stored ? "B" : "A");
        world_teardown();
    }
}

/* It says that it has written a generation and does not have it afterwards. */
static void test_store_forgets(void) {
    unsigned written = 0;
    world_setup(NULL);
    late_begin(&world.workers[0]);
    struct asked *asked = ask("a");
    for (unsigned n = 0; n < 100 && running() == 0; n++) {
        turn_end(world.workers[0].turn);
        if (late_verb() == LATE_ADD) {
            CU_ASSERT_EQUAL(late_kind(), STORE_GENERATION);
            written++;
            late_refuse(STORE_OK);
        } else if (late.n > 0) {
            late_answer();
        }
        world_turn();
    }
    CU_ASSERT_EQUAL_FATAL(running(), 1);
    CU_ASSERT(written >= 1 && written <= 10);
    late_end();
    world_model_answers(0, "A");
    check_answer(asked, CACHE_MISS, "A");
    CU_ASSERT_FALSE(asked->status.stored);
    world_teardown();
}

/* ---- no memory ---- */

/* Not even to look anything up: it is inferred, but not where the request forbids that. */
static void test_no_memory_to_look_up(void) {
    world_setup(NULL);
    struct asked *asked = ask("a");
    struct asked *cached = world_ask_in(0, NULL, "a", "only-if-cached");
    unit_allocations_count_start();
    unit_allocations_fail(1, true); /* the batch */
    turn_end(world.workers[0].turn);
    unit_allocations_heal();
    bool failed = unit_allocations_count() > 0; /* no sanitizer has the allocator */
    world_turn();
    check_answer(cached, CACHE_UNSATISFIABLE, "");
    CU_ASSERT_EQUAL(running(), 1);
    infer_all();
    check_answer(asked, CACHE_MISS, "A");
    CU_ASSERT_EQUAL(asked->status.stored, !failed);
    CU_ASSERT_EQUAL(world_counted(STAT_store_errors), failed ? 2 : 0);
    world_teardown();
}

static void test_no_memory_to_begin(void) {
    world_setup(NULL);
    struct error error = {""};
    unit_allocations_count_start();
    struct cache *other = cache_create(&world.workers[0].context, world.workers[0].store,
                                       world.workers[0].engine, NULL, &error);
    unsigned allocations = (unsigned)unit_allocations_count();
    CU_ASSERT_PTR_NOT_NULL(other);
    cache_destroy(&other);
    CU_ASSERT_PTR_NULL(other);
    for (unsigned n = 1; n <= 2 * allocations; n++) {
        error.text[0] = '\0';
        unit_allocations_fail(1 + (n - 1) / 2, n % 2 == 0);
        other = cache_create(&world.workers[0].context, world.workers[0].store, world.workers[0].engine, NULL,
                             &error);
        unit_allocations_heal();
        CU_ASSERT_PTR_NULL(other);
        CU_ASSERT(error.text[0] != '\0');
        cache_destroy(&other);
    }
    world_teardown();
}

static const struct unit_case CASES[] = {
    {"leaving the collection", test_leaving_the_collection},
    {"the order of answers", test_order},
    {"asking while being answered", test_asking_while_answered},
    {"leaving while another is answered", test_leaving_while_answered},
    {"a late look-up", test_late_look_up},
    {"half an answer", test_half_an_answer},
    {"a store that forgets generations", test_store_forgets},
    {"no memory to look up with", test_no_memory_to_look_up},
    {"no memory to begin with", test_no_memory_to_begin},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "lookup", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
