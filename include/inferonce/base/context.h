/* The objects that every part of a worker uses: the worker owns them and hands them down in one piece.
 * A part copies or borrows it; it outlives them all. */
#ifndef INFERONCE_BASE_CONTEXT_H
#define INFERONCE_BASE_CONTEXT_H

#include <uv.h>

#include "inferonce/base/clock.h"
#include "inferonce/base/settings.h"
#include "inferonce/base/shared.h"
#include "inferonce/base/stats.h"
#include "inferonce/base/turn.h"

struct context {
    const struct settings *settings;
    struct shared *shared;
    unsigned slot; /* the worker's, in `shared` */
    uv_loop_t *loop;
    struct clock *clock; /* corrected by the store, where that is on servers */
    struct stats *stats; /* the worker's own */
    struct turn *turn;   /* the loop's */
};

#endif
