/* Turns of a real loop: what runs when, and how often. */
#include <stdio.h>
#include <string.h>

#include "inferonce/base/turn.h"
#include "unit.h"

static struct {
    uv_loop_t loop;
    struct turn *turn;
    uv_async_t event; /* what the loop waits for */
    char log[64];
} rig;

static char names[][2] = {"1", "2", "a"};

static struct turn_task first, second, again;

static void note(const char *what) {
    size_t length = strlen(rig.log);
    snprintf(rig.log + length, sizeof(rig.log) - length, "%s", what);
}

static void note_task(void *user) {
    note(user);
}

static void note_and_schedule_second(void *user) {
    note(user);
    turn_at_end(rig.turn, &second);
}

static void note_and_go_on(void *user) {
    note(user);
    turn_in_next(rig.turn, &again);
}

static void schedule_both(uv_async_t *event) {
    (void)event;
    note("e");
    turn_in_next(rig.turn, &second);
    turn_at_end(rig.turn, &first);
    turn_at_end(rig.turn, &first);
}

static void rig_open(uv_async_cb on_event) {
    struct error error = {""};
    memset(&rig, 0, sizeof(rig));
    first = (struct turn_task){.run = note_task, .user = names[0]};
    second = (struct turn_task){.run = note_task, .user = names[1]};
    again = (struct turn_task){.run = note_and_go_on, .user = names[2]};
    uv_loop_init(&rig.loop);
    rig.turn = turn_create(&rig.loop, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rig.turn);
    uv_async_init(&rig.loop, &rig.event, on_event);
}

static void rig_close(void) {
    uv_close((uv_handle_t *)&rig.event, NULL);
    turn_destroy(&rig.turn);
    uv_run(&rig.loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&rig.loop), 0);
}

/* The end is that of the turn in which the event came; the next turn begins after another look at events. */
static void test_end_comes_before_next(void) {
    rig_open(schedule_both);
    uv_async_send(&rig.event);
    uv_run(&rig.loop, UV_RUN_ONCE);
    CU_ASSERT_STRING_EQUAL(rig.log, "e");
    uv_run(&rig.loop, UV_RUN_NOWAIT);
    CU_ASSERT_STRING_EQUAL(rig.log, "e1");
    uv_run(&rig.loop, UV_RUN_NOWAIT);
    CU_ASSERT_STRING_EQUAL(rig.log, "e12");
    rig_close();
}

static void test_the_loop_does_not_wait_for_the_next_turn(void) {
    rig_open(schedule_both);
    turn_in_next(rig.turn, &second);
    uv_run(&rig.loop, UV_RUN_NOWAIT); /* ends this turn */
    uv_run(&rig.loop, UV_RUN_ONCE);   /* would wait for ever, had the loop to wait for an event */
    CU_ASSERT_STRING_EQUAL(rig.log, "2");
    rig_close();
}

static void test_a_task_of_the_end_belongs_to_that_end(void) {
    rig_open(schedule_both);
    first.run = note_and_schedule_second;
    turn_at_end(rig.turn, &first);
    uint64_t before = turn_number(rig.turn);
    uv_run(&rig.loop, UV_RUN_NOWAIT);
    CU_ASSERT_STRING_EQUAL(rig.log, "12");
    CU_ASSERT_EQUAL(turn_number(rig.turn), before + 1);
    rig_close();
}

/* Or a task that schedules itself would never let the loop look at its events. */
static void test_a_task_that_goes_on_runs_once_a_turn(void) {
    rig_open(schedule_both);
    turn_in_next(rig.turn, &again);
    uv_run(&rig.loop, UV_RUN_NOWAIT);
    for (unsigned i = 0; i < 3; i++)
        uv_run(&rig.loop, UV_RUN_NOWAIT);
    CU_ASSERT_STRING_EQUAL(rig.log, "aaa");
    rig_close();
}

static void test_forgotten(void) {
    rig_open(schedule_both);
    turn_at_end(rig.turn, &first);
    turn_in_next(rig.turn, &second);
    turn_forget(&first);
    turn_forget(&second);
    turn_forget(&second);
    for (unsigned i = 0; i < 3; i++)
        uv_run(&rig.loop, UV_RUN_NOWAIT);
    CU_ASSERT_STRING_EQUAL(rig.log, "");
    turn_at_end(rig.turn, &first); /* is forgotten with the turn */
    rig_close();
    CU_ASSERT_STRING_EQUAL(rig.log, "");
    CU_ASSERT_PTR_NULL(first.list);
}

static const struct unit_case CASES[] = {
    {"the end of a turn comes before the next", test_end_comes_before_next},
    {"the loop does not wait for the next turn", test_the_loop_does_not_wait_for_the_next_turn},
    {"a task that the end schedules belongs to that end", test_a_task_of_the_end_belongs_to_that_end},
    {"a task that goes on runs once a turn", test_a_task_that_goes_on_runs_once_a_turn},
    {"forgotten tasks", test_forgotten},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "turn", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
