#include "api/slices.h"

#include "unit.h"

/* Work of so many steps, and in which turn it ended. */
struct work {
    struct slice slice; /* first */
    size_t left;
    size_t most_at_once;
    unsigned ended;
};

static uv_loop_t loop;
static struct turn *turns;
static struct slices *slices;
static unsigned turn;

static bool go_on(struct slice *slice, size_t *budget) {
    struct work *work = (struct work *)(void *)slice;
    size_t done = work->left < *budget ? work->left : *budget;
    CU_ASSERT_FALSE(slice->queued);
    CU_ASSERT(*budget > 0);
    work->most_at_once = done > work->most_at_once ? done : work->most_at_once;
    work->left -= done;
    *budget -= done;
    work->ended = work->left == 0 ? turn : 0;
    return work->left == 0;
}

static void begin(void) {
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&loop), 0);
    struct error error = {""};
    turns = turn_create(&loop, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(turns);
    slices = slices_create(turns);
    CU_ASSERT_PTR_NOT_NULL_FATAL(slices);
    turn = 0;
}

static void end(void) {
    slices_destroy(&slices);
    CU_ASSERT_PTR_NULL(slices);
    turn_destroy(&turns);
    uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
}

static void add(struct work *work, size_t steps) {
    *work = (struct work){.slice = {.go_on = go_on}, .left = steps};
    slices_add(slices, &work->slice);
}

static void run_turn(void) {
    turn++;
    turn_end(turns);
    uv_run(&loop, UV_RUN_NOWAIT);
}

static void test_takes_several_turns(void) {
    struct work work;
    begin();
    add(&work, 1000000);
    CU_ASSERT_EQUAL(work.left, 1000000); /* nothing is done before the next turn */
    run_turn();
    size_t in_a_turn = 1000000 - work.left;
    CU_ASSERT(in_a_turn > 0 && in_a_turn <= 16384);
    while (work.left > 0)
        run_turn();
    CU_ASSERT_EQUAL(work.ended, (1000000 + in_a_turn - 1) / in_a_turn);
    CU_ASSERT_EQUAL(uv_loop_alive(&loop), 0);
    end();
}

/* However many there are, a turn is no longer, and who has little to do is not kept by those who have much.
 */
static void test_takes_turns(void) {
    struct work large[20], small;
    begin();
    for (size_t i = 0; i < 20; i++)
        add(&large[i], 1000000);
    add(&small, 100);
    size_t before = 20 * 1000000;
    while (small.left > 0) {
        size_t left = 0;
        run_turn();
        for (size_t i = 0; i < 20; i++)
            left += large[i].left;
        CU_ASSERT(before - left <= 16384);
        before = left;
    }
    CU_ASSERT(small.ended <= 6);
    for (size_t i = 0; i < 20; i++)
        CU_ASSERT(large[i].left < 1000000 && large[i].left > 900000);
    for (size_t i = 0; i < 20; i++)
        slices_forget(slices, &large[i].slice);
    end();
}

static void test_forgotten(void) {
    struct work first, second;
    begin();
    add(&first, 1000000);
    add(&second, 10);
    run_turn();
    CU_ASSERT_EQUAL(second.ended, 1);
    slices_forget(slices, &first.slice);
    slices_forget(slices, &first.slice);
    size_t left = first.left;
    run_turn();
    CU_ASSERT_EQUAL(first.left, left);
    CU_ASSERT_EQUAL(uv_loop_alive(&loop), 0);
    end();
}

static const struct unit_case CASES[] = {
    {"long work takes several turns", test_takes_several_turns},
    {"all take turns", test_takes_turns},
    {"what is forgotten", test_forgotten},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "slices", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
