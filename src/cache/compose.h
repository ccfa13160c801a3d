/* Unicode NFC (UAX #15) of a text that is handed over character by character: what cache/normalize is made
 * of. A wrapper of utf8proc, which knows the characters, but normalises whole arrays only.
 *
 * A starter is held back until the next one arrives, because marks between them may compose with it. A run of
 * marks may be as long as the text: no step that goes through it takes longer than its budget allows.
 *
 *   GATHERING  takes characters           -> ORDERING, COMPOSING  the run behind the starter is complete
 *   ORDERING   a long run, by class       -> COMPOSING
 *   COMPOSING  the run with its starter   -> EMITTING             something of it is left, or the text is over
 *                                         -> GATHERING            all of it composed
 *   EMITTING   the starter and the run    -> GATHERING, OVER */
#ifndef INFERONCE_CACHE_COMPOSE_H
#define INFERONCE_CACHE_COMPOSE_H

#include "inferonce/base/buffer.h"

enum flow {
    FLOW_POINT,
    FLOW_OVER,     /* the text has no more characters */
    FLOW_MORE,     /* the budget is spent: to be called again */
    FLOW_NO_MEMORY /* not to be called again */
};

/* The source of characters. `*budget` is lowered by what that cost, in bytes of the text or characters of
 * a run. */
typedef enum flow (*flow_source)(void *context, int32_t *point, size_t *budget);

/* The most characters that one becomes. */
#define COMPOSE_DECOMPOSED_MAX 4

struct points {
    int32_t *at; /* owned */
    size_t length;
    size_t capacity;
};

enum compose_phase { COMPOSE_GATHERING, COMPOSE_ORDERING, COMPOSE_COMPOSING, COMPOSE_EMITTING, COMPOSE_OVER };

struct compose {
    enum compose_phase phase;
    size_t most;
    int32_t starter; /* COMPOSE_NONE: none yet */
    int32_t behind;  /* the starter that ended the run; COMPOSE_NONE: the text's end did */
    int32_t waiting[COMPOSE_DECOMPOSED_MAX + 1]; /* characters that come before those of the source */
    unsigned n_waiting, next_waiting;
    struct points run;
    uint8_t last_class; /* of the run's last mark */
    bool unordered;
    bool emits_marks;      /* EMITTING: the starter is out */
    size_t at, kept;       /* of the run: where the phase is, and what of it stays */
    struct points ordered; /* ORDERING: where the marks go */
    size_t *next_of_class; /* ORDERING: owned */
};

#define COMPOSE_NONE (-1)

/* `most`: how many marks may come behind each other, as a rule. */
void compose_init(struct compose *compose, size_t most);
void compose_fini(struct compose *compose);

/* The next character of the normal form. */
enum flow compose_next(struct compose *compose, flow_source source, void *context, int32_t *point,
                       size_t *budget);

#endif
