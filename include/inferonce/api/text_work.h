/* Texts as they were sent become normal forms and keys, in slices: what text_normalize and text_key do at
 * once (api/text_key.h). What is the same for all texts of a request is hashed once. */
#ifndef INFERONCE_API_TEXT_WORK_H
#define INFERONCE_API_TEXT_WORK_H

#include "inferonce/api/text_key.h"
#include "inferonce/cache/normalize.h"

enum text_work_status { TEXT_WORK_DONE, TEXT_WORK_MORE, TEXT_WORK_NO_MEMORY };

/* All borrowed until the work is done or given up. */
struct text_work {
    const struct api *api;
    struct text_key_context context;
    struct bytes *texts; /* each replaced by its normal form */
    struct key *keys;    /* made of them */
    size_t n;
    struct buffer *storage; /* the normal forms go behind what it holds */

    /* private */
    enum { TEXT_WORK_NORMALIZES, TEXT_WORK_PREPARES, TEXT_WORK_HASHES } phase;
    size_t at;         /* the text */
    size_t begun;      /* in `storage`: its normal form */
    size_t start;      /* and that of the first */
    struct bytes left; /* to be hashed, of the parameters or the text */
    struct normalizer normalizer;
    struct key_writer common, writer;
};

/* The public members are set. */
void text_work_begin(struct text_work *work);

/* MORE: `*budget`, which is lowered by what was done, about ten nanoseconds each, is spent. Not called again
 * after anything else. */
enum text_work_status text_work_go_on(struct text_work *work, size_t *budget) MUST_CHECK;

/* At any time after text_work_begin. */
void text_work_fini(struct text_work *work);

#endif
