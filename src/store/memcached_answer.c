#include "inferonce/store/memcached_answer.h"

#include <stdint.h>
#include <stdlib.h>

/* No value is longer; what claims to be is none, and gets no memory. */
#define VALUE_MAX (UINT64_C(1) << 30)
#define BLOCK_MAX (VALUE_MAX + 65536)

/* For a length just below 2^64 libmemcached, which adds the two bytes of the line's end to it, writes in
 * front of the memory. malloc wants its blocks aligned to as much. */
#define IN_FRONT 16

/* ---- memory ---- */

static void *behind_front(char *block) {
    return block ? block + IN_FRONT : NULL;
}

static void *give(const memcached_st *handle, size_t size, void *context) {
    (void)handle;
    (void)context;
    return behind_front(size <= BLOCK_MAX ? malloc(IN_FRONT + size) : NULL);
}

static void *give_zeros(const memcached_st *handle, size_t n, size_t size, void *context) {
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        return NULL;
    char *memory = give(handle, bytes, context);
    return memory ? memset(memory, 0, bytes) : NULL;
}

/* A key that ran over a result has said that the result is of the heap. */
static void take(const memcached_st *handle, void *memory, void *context) {
    uintptr_t at = (uintptr_t)memory;
    uintptr_t answers = (uintptr_t)context;
    (void)handle;
    if (memory && (at < answers || at >= answers + sizeof(struct memcached_answers)))
        free((char *)memory - IN_FRONT);
}

static void *resize(const memcached_st *handle, void *memory, size_t size, void *context) {
    if (!memory)
        return give(handle, size, context);
    if (size > BLOCK_MAX)
        return NULL;
    return behind_front(realloc((char *)memory - IN_FRONT, IN_FRONT + size));
}

/* ---- answers ---- */

/* Has memory for a value from the start: libmemcached does not allocate any for a length that it takes for 0.
 */
static bool init(struct memcached_answer *answer, memcached_st *handle) {
    return memcached_result_create(handle, &answer->result) &&
           memcached_success(memcached_result_set_value(&answer->result, "", 1));
}

bool memcached_answers_init(struct memcached_answers *answers, memcached_st *handle) {
    bool made =
        memcached_success(memcached_set_memory_allocators(handle, give, take, resize, give_zeros, answers));
    made = init(&answers->value, handle) && made;
    return init(&answers->end, handle) && made;
}

void memcached_answers_fini(struct memcached_answers *answers) {
    memcached_result_free(&answers->value.result);
    memcached_result_free(&answers->end.result);
}

/* Whether a key has run over what is behind it, which is then put right. */
static bool was_overrun(struct memcached_answer *answer, memcached_st *handle, bool fetched) {
    memcached_result_st *result = &answer->result;
    bool overrun = result->options.is_allocated || result->key_length >= MEMCACHED_MAX_KEY;
    if (result->options.is_allocated && !fetched)
        memcached_result_create(handle, result); /* libmemcached has freed it, and with it the value */
    result->options.is_allocated = false;
    return overrun;
}

/* A result that counts nothing yet makes libmemcached call whatever ends the answer "not found", a server's
 * ERROR too (memcached_fetch_result, at its end): it is told that there was one, and hands the line's own
 * status through. What the last line left is cleared, since some lines count as a value without having one:
 * it would be the last one's. */
memcached_return_t memcached_answer_next(struct memcached_answer *answer, memcached_st *handle) {
    memcached_return_t status = MEMCACHED_FAILURE;
    memcached_result_reset(&answer->result);
    answer->result.count = 1;
    bool fetched = memcached_fetch_result(handle, &answer->result, &status) != NULL;
    if (was_overrun(answer, handle, fetched))
        return MEMCACHED_PROTOCOL_ERROR;
    if (fetched)
        return memcached_result_length(&answer->result) <= VALUE_MAX ? MEMCACHED_SUCCESS
                                                                     : MEMCACHED_PROTOCOL_ERROR;
    /* It speaks of an end, too, when it could not read what came. */
    return status == MEMCACHED_END && memcached_last_error(handle) != MEMCACHED_SUCCESS
               ? memcached_last_error(handle)
               : status;
}
