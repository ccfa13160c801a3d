/* Runs one piece of patient work a millisecond. */
#include "api/pace.h"

#include <stdlib.h>

#define BEAT_MS 1

struct pace {
    uv_timer_t timer; /* active while somebody waits */
    TAILQ_HEAD(waiting, paced) waiting;
};

static void on_beat(uv_timer_t *timer) {
    struct pace *pace = timer->data;
    struct paced *paced = TAILQ_FIRST(&pace->waiting);
    pace_forget(pace, paced);
    paced->run(paced->user);
}

struct pace *pace_create(uv_loop_t *loop) {
    struct pace *pace = calloc(1, sizeof(*pace));
    if (!pace)
        return NULL;
    INVARIANT(uv_timer_init(loop, &pace->timer) == 0);
    pace->timer.data = pace;
    TAILQ_INIT(&pace->waiting);
    return pace;
}

static void on_closed(uv_handle_t *handle) {
    free(handle->data);
}

void pace_destroy(struct pace **pace) {
    if (!*pace)
        return;
    INVARIANT(TAILQ_EMPTY(&(*pace)->waiting));
    uv_close((uv_handle_t *)&(*pace)->timer, on_closed);
    *pace = NULL;
}

void pace_add(struct pace *pace, struct paced *paced) {
    INVARIANT(!paced->waits);
    paced->waits = true;
    TAILQ_INSERT_TAIL(&pace->waiting, paced, links);
    if (!uv_is_active((uv_handle_t *)&pace->timer))
        uv_timer_start(&pace->timer, on_beat, BEAT_MS, BEAT_MS);
}

void pace_forget(struct pace *pace, struct paced *paced) {
    if (!paced->waits)
        return;
    paced->waits = false;
    TAILQ_REMOVE(&pace->waiting, paced, links);
    if (TAILQ_EMPTY(&pace->waiting))
        uv_timer_stop(&pace->timer);
}
