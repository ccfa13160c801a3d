/* Texts as they were sent become normal forms and keys, in slices: what text_normalize and text_key do at
 * once (text_key.h). What all texts of a request have in common is hashed once. */
#ifndef INFERONCE_CACHE_TEXT_WORK_H
#define INFERONCE_CACHE_TEXT_WORK_H

#include "inferonce/cache/text_key.h"

enum text_work_status { TEXT_WORK_DONE, TEXT_WORK_MORE, TEXT_WORK_NO_MEMORY };

/* All borrowed until the work is destroyed. */
struct text_work_request {
    const struct settings *settings;
    struct text_key_context context;
    struct bytes *texts;    /* each replaced by its normal form */
    struct key *keys;       /* made of them */
    size_t n;               /* at least 1 */
    struct buffer *storage; /* the normal forms go behind what it holds */
};

struct text_work;

/* Copies the request. Returns owned; NULL: no memory. */
struct text_work *text_work_create(const struct text_work_request *request) MUST_CHECK;

/* MORE: `*budget`, which is lowered by what was done, about ten nanoseconds each, is spent. Not called again
 * after anything else. */
enum text_work_status text_work_go_on(struct text_work *work, size_t *budget) MUST_CHECK;

/* At any time. Nulls the pointer; NULL is accepted. */
void text_work_destroy(struct text_work **work);

#endif
