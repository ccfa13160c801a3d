/* A turn of the worker's loop: from one wait for events to the next.
 *
 *   wait for events   callbacks read what arrived and ask for what they need
 *   timers, idle      tasks that an earlier turn left for this one ("in the next turn")
 *   end               tasks "at the end of this turn": what the turn has collected goes out together
 *   wait for events   the next turn; the loop does not wait while tasks are left for it
 *
 * A task that is scheduled while the end runs still belongs to this end. One thread; nothing blocks. */
#ifndef INFERONCE_BASE_TURN_H
#define INFERONCE_BASE_TURN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <uv.h>

#include "inferonce/base/error.h"

struct turn;
struct turn_task;

TAILQ_HEAD(turn_tasks, turn_task);

/* Embedded by its owner; zero-initialised but for `run` and `user`: not scheduled. */
struct turn_task {
    void (*run)(void *user);
    void *user;

    /* private */
    struct turn_tasks *list; /* NULL: it is not scheduled */
    TAILQ_ENTRY(turn_task) links;
};

/* Borrows the loop; does not keep it alive. Returns owned; NULL: error tells why. */
struct turn *turn_create(uv_loop_t *loop, struct error *error) MUST_CHECK;

/* Forgets all tasks. The loop must be run once more, to close the handles. Nulls the pointer; NULL is
 * accepted. */
void turn_destroy(struct turn **turn);

/* Counts from 1; the same in all callbacks of one turn. */
uint64_t turn_number(const struct turn *turn);

/* Schedules `task` once; while it is scheduled, in either list, this does nothing. `run` may schedule tasks,
 * its own too, and may free its own. */
void turn_at_end(struct turn *turn, struct turn_task *task);
void turn_in_next(struct turn *turn, struct turn_task *task);

/* The end of this turn, now: what the loop does before it waits. For tests, which do not wait. */
void turn_end(struct turn *turn);

/* Takes a task back; one that is not scheduled is accepted. */
void turn_forget(struct turn_task *task);

/* For uv_close, of a handle that is memory of its own and nothing else: frees it. */
void turn_free_handle(uv_handle_t *handle);

static inline bool turn_is_scheduled(const struct turn_task *task) {
    return task->list != NULL;
}

#endif
