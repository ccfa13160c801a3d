/* An inference for one request alone: no-store. It neither leads nor follows a flight, and nothing of it is
 * stored; when the client leaves it is cancelled, for nobody else could use its answer. */
#ifndef INFERONCE_CACHE_SOLO_H
#define INFERONCE_CACHE_SOLO_H

#include "cache/deadlines.h"
#include "cache/texts.h"

struct solos {
    struct engine *engine;
    struct texts_limit *limit;
    struct stats *stats;
    struct deadlines *deadlines;
    LIST_HEAD(solo_list, solo) list;
    size_t count;
};

void solos_init(struct solos *solos, struct engine *engine, struct texts_limit *limit, struct stats *stats,
                struct deadlines *deadlines);

/* Cancels what is under way, without answers. */
void solos_fini(struct solos *solos);

/* Sends the text of a request, which is in `deadlines`, to the engine. The request is answered at once only
 * when there is no memory, or too much waits already. */
void solos_infer(struct solos *solos, struct cache_request *request);

/* Takes the request out of `deadlines`, and drops the inference: the client has left, or is answered by the
 * caller. */
void solos_cancel(struct solos *solos, struct cache_request *request);

#endif
