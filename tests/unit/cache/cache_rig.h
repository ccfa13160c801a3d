/* Steps and checks that the tests of cache.h share; the host is in world.h. */
#ifndef INFERONCE_TESTS_CACHE_RIG_H
#define INFERONCE_TESTS_CACHE_RIG_H

#include "world.h"

#define CHECK_ANSWER(asked_, result_, body_)          \
    do {                                              \
        const struct asked *checked = (asked_);       \
        CU_ASSERT_EQUAL(checked->answers, 1);         \
        CU_ASSERT_EQUAL(checked->result, result_);    \
        CU_ASSERT_STRING_EQUAL(checked->body, body_); \
    } while (0)

static inline size_t running(unsigned w) {
    return world.workers[w].n_running;
}

/* Has worker `w` infer and store a text. */
static inline void store_text(unsigned w, const char *text, const char *body) {
    struct asked *asked = world_ask(w, text, NULL);
    world_model_answers(w, body);
    CHECK_ANSWER(asked, CACHE_MISS, body);
}

#endif
