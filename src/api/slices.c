/* Takes turns among requests that need more than one turn of the loop. */
#include "inferonce/api/slices.h"

#include <stdlib.h>

/* What is done in a turn, and the most of it for one request, in steps of 10 to 30 nanoseconds. */
#define TURN_STEPS  16384
#define SHARE_STEPS 4096

struct slices {
    TAILQ_HEAD(queue, slice) queue;
    uv_idle_t turn; /* while somebody is in the queue; gives way to the loop's other work between turns */
};

static void on_turn(uv_idle_t *turn) {
    struct slices *slices = turn->data;
    size_t left = TURN_STEPS;
    while (left > 0 && !TAILQ_EMPTY(&slices->queue)) {
        struct slice *slice = TAILQ_FIRST(&slices->queue);
        size_t share = left < SHARE_STEPS ? left : SHARE_STEPS;
        left -= share;
        TAILQ_REMOVE(&slices->queue, slice, links);
        slice->queued = false;
        size_t unused = share;
        if (!slice->go_on(slice, &unused)) {
            TAILQ_INSERT_TAIL(&slices->queue, slice, links);
            slice->queued = true;
        }
    }
    if (TAILQ_EMPTY(&slices->queue))
        (void)uv_idle_stop(turn);
}

struct slices *slices_create(uv_loop_t *loop) {
    struct slices *slices = calloc(1, sizeof(*slices));
    if (!slices)
        return NULL;
    TAILQ_INIT(&slices->queue);
    (void)uv_idle_init(loop, &slices->turn);
    slices->turn.data = slices;
    return slices;
}

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

void slices_destroy(struct slices **slices) {
    if (!*slices)
        return;
    INVARIANT(TAILQ_EMPTY(&(*slices)->queue));
    uv_close((uv_handle_t *)&(*slices)->turn, on_closed);
    *slices = NULL;
}

void slices_add(struct slices *slices, struct slice *slice) {
    TAILQ_INSERT_TAIL(&slices->queue, slice, links);
    slice->queued = true;
    (void)uv_idle_start(&slices->turn, on_turn);
}

void slices_forget(struct slices *slices, struct slice *slice) {
    if (!slice->queued)
        return;
    TAILQ_REMOVE(&slices->queue, slice, links);
    slice->queued = false;
    if (TAILQ_EMPTY(&slices->queue))
        (void)uv_idle_stop(&slices->turn);
}
