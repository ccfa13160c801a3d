/* Runs tasks at the end of a loop turn and in the next one. */
#include "inferonce/base/turn.h"

#include <stdlib.h>

struct turn {
    uv_prepare_t before_wait; /* first: the handle's memory is the turn's */
    uv_idle_t awake;          /* active while tasks wait for the next turn: the loop does not wait then */
    unsigned open_handles;
    uint64_t number;
    struct turn_tasks at_end;
    struct turn_tasks next;
    struct turn_tasks due; /* what was `next` in the turn before */
};

static void schedule(struct turn_tasks *list, struct turn_task *task) {
    if (task->list)
        return;
    task->list = list;
    TAILQ_INSERT_TAIL(list, task, links);
}

void turn_forget(struct turn_task *task) {
    if (!task->list)
        return;
    TAILQ_REMOVE(task->list, task, links);
    task->list = NULL;
}

static void run_first(struct turn_tasks *list) {
    struct turn_task *task = TAILQ_FIRST(list);
    turn_forget(task);
    task->run(task->user);
}

static void on_awake(uv_idle_t *awake) {
    struct turn *turn = awake->data;
    while (!TAILQ_EMPTY(&turn->due))
        run_first(&turn->due);
    if (TAILQ_EMPTY(&turn->next))
        uv_idle_stop(awake);
}

void turn_end(struct turn *turn) {
    while (!TAILQ_EMPTY(&turn->at_end))
        run_first(&turn->at_end);
    turn->number++;
    for (struct turn_task *task = TAILQ_FIRST(&turn->next); task; task = TAILQ_NEXT(task, links))
        task->list = &turn->due;
    TAILQ_CONCAT(&turn->due, &turn->next, links);
}

static void on_before_wait(uv_prepare_t *prepare) {
    turn_end(prepare->data);
}

static void forget_all(struct turn_tasks *list) {
    while (!TAILQ_EMPTY(list))
        turn_forget(TAILQ_FIRST(list));
}

static void on_closed(uv_handle_t *handle) {
    struct turn *turn = handle->data;
    if (--turn->open_handles == 0)
        free(turn);
}

struct turn *turn_create(uv_loop_t *loop, struct error *error) {
    struct turn *turn = calloc(1, sizeof(*turn));
    if (!turn) {
        error_set(error, "out of memory");
        return NULL;
    }
    TAILQ_INIT(&turn->at_end);
    TAILQ_INIT(&turn->next);
    TAILQ_INIT(&turn->due);
    turn->number = 1;
    turn->open_handles = 2;
    turn->before_wait.data = turn->awake.data = turn;
    INVARIANT(uv_prepare_init(loop, &turn->before_wait) == 0 && uv_idle_init(loop, &turn->awake) == 0);
    INVARIANT(uv_prepare_start(&turn->before_wait, on_before_wait) == 0);
    uv_unref((uv_handle_t *)&turn->before_wait);
    return turn;
}

void turn_destroy(struct turn **turn) {
    if (!*turn)
        return;
    forget_all(&(*turn)->at_end);
    forget_all(&(*turn)->next);
    forget_all(&(*turn)->due);
    uv_close((uv_handle_t *)&(*turn)->before_wait, on_closed);
    uv_close((uv_handle_t *)&(*turn)->awake, on_closed);
    *turn = NULL;
}

uint64_t turn_number(const struct turn *turn) {
    return turn->number;
}

void turn_at_end(struct turn *turn, struct turn_task *task) {
    schedule(&turn->at_end, task);
}

void turn_in_next(struct turn *turn, struct turn_task *task) {
    if (!task->list)
        INVARIANT(uv_idle_start(&turn->awake, on_awake) == 0);
    schedule(&turn->next, task);
}

void turn_free_handle(uv_handle_t *handle) {
    free(handle);
}
