/* A memcached server's answer to a get, line by line, through libmemcached, which believes what a server says
 * of lengths. Private to the memcached store.
 *
 * A server that lies must cost an error, not the worker. What can be had out of libmemcached 1.1.4 for that
 * is had here: a key that is longer than a key may be, and a value whose announced length is none, do no
 * harm. What cannot: of a server that answers `VERSION` without a number, libmemcached dies, and the worker
 * with it. */
#ifndef INFERONCE_STORE_MEMCACHED_ANSWER_H
#define INFERONCE_STORE_MEMCACHED_ANSWER_H

#include <libmemcached/memcached.h>

#include "inferonce/base/buffer.h"

/* More than the longest line that libmemcached reads. */
#define MEMCACHED_LINE_MAX 512

struct memcached_answer {
    memcached_result_st result;
    char overrun[MEMCACHED_LINE_MAX]; /* what is written here belongs to a key that does not end in time */
};

/* Two, since the value has to outlive the reading of the answer's end. */
struct memcached_answers {
    struct memcached_answer value;
    struct memcached_answer end;
};

/* `answers` is borrowed by the handle, which has just been created. False: no memory; fini all the same. */
bool memcached_answers_init(struct memcached_answers *answers, memcached_st *handle) MUST_CHECK;

/* Before the handle is freed. */
void memcached_answers_fini(struct memcached_answers *answers);

/* The next line of the answer. MEMCACHED_SUCCESS: a value, until the next call with this `answer`;
 * MEMCACHED_END: that was all; anything else: neither, and the connection is of no more use. */
memcached_return_t memcached_answer_next(struct memcached_answer *answer, memcached_st *handle) MUST_CHECK;

static inline struct bytes memcached_answer_key(const struct memcached_answer *answer) {
    return (struct bytes){memcached_result_key_value(&answer->result),
                          memcached_result_key_length(&answer->result)};
}

static inline struct bytes memcached_answer_value(const struct memcached_answer *answer) {
    return (struct bytes){memcached_result_value(&answer->result), memcached_result_length(&answer->result)};
}

#endif
