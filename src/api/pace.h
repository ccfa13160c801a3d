/* Work that is not in a hurry: a little every millisecond or so, so that requests find the worker free in
 * between, whatever their number. */
#ifndef INFERONCE_API_PACE_H
#define INFERONCE_API_PACE_H

#include <stdbool.h>
#include <sys/queue.h>
#include <uv.h>

#include "inferonce/base/buffer.h"

/* Embedded in what the work is on. */
struct paced {
    void (*run)(void *user);
    void *user;

    /* private */
    bool waits;
    TAILQ_ENTRY(paced) links;
};

struct pace;

/* Returns owned; NULL: no memory. */
struct pace *pace_create(uv_loop_t *loop) MUST_CHECK;

/* When nobody waits. The loop must be run once more. Nulls the pointer; NULL: nothing. */
void pace_destroy(struct pace **pace);

/* Calls `run` once, at the next beat that is free: those who wait take turns, one a beat. */
void pace_add(struct pace *pace, struct paced *paced);
void pace_forget(struct pace *pace, struct paced *paced);

#endif
