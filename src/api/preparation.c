/* Reads long bodies and makes their keys, in slices. */
#include "api/preparation.h"

#include <stdlib.h>

struct preparation {
    struct slice slice; /* first */
    struct preparation_request request;
    struct text_work *work; /* owned; NULL until the body was read */
    struct bytes *texts;    /* the body's, or `text` */
    size_t n;
    struct bytes text; /* the only one */
    struct key *keys;  /* owned */
};

bool preparation_is_needed(const struct exchange *exchange) {
    return exchange->request.body.length > SLICES_STRAIGHT_MAX;
}

static void destroy(struct preparation *preparation) {
    text_work_destroy(&preparation->work);
    free(preparation->keys);
    free(preparation);
}

static bool tell(struct preparation *preparation, enum body_status status) {
    struct prepared prepared = {.status = status};
    if (status == BODY_OK && preparation->work) {
        prepared.texts = preparation->texts;
        prepared.keys = preparation->keys;
        prepared.n = preparation->n;
    }
    preparation->request.done(preparation->request.user, &prepared);
    destroy(preparation);
    return true;
}

/* False: no memory. */
static bool begin_work(struct preparation *preparation) {
    const struct preparation_request *request = &preparation->request;
    struct body *body = request->body;
    preparation->n = body->texts ? body->n_texts : 1;
    preparation->keys = calloc(preparation->n, sizeof(*preparation->keys));
    if (!preparation->keys)
        return false;
    preparation->text = body->text;
    preparation->texts = body->texts ? body->texts : &preparation->text;
    struct text_work_request work = {.settings = request->api->context->settings,
                                     .context = request->context,
                                     .texts = preparation->texts,
                                     .keys = preparation->keys,
                                     .n = preparation->n,
                                     .storage = &request->exchange->scratch};
    work.context.parameters = body->parameters;
    preparation->work = text_work_create(&work);
    return preparation->work != NULL;
}

static bool go_on(struct slice *slice, size_t *budget) {
    struct preparation *preparation = (struct preparation *)(void *)slice;
    struct body *body = preparation->request.body;
    if (!preparation->work) {
        enum body_status status = body_go_on(body, budget);
        if (status == BODY_MORE)
            return false;
        bool has_texts = body->texts || body->text.data;
        if (status != BODY_OK || !has_texts)
            return tell(preparation, status);
        return begin_work(preparation) ? false : tell(preparation, BODY_NO_MEMORY);
    }
    switch (text_work_go_on(preparation->work, budget)) {
    case TEXT_WORK_MORE:
        return false;
    case TEXT_WORK_NO_MEMORY:
        return tell(preparation, BODY_NO_MEMORY);
    case TEXT_WORK_DONE:
        break;
    }
    return tell(preparation, BODY_OK);
}

struct preparation *preparation_begin(const struct preparation_request *request) {
    struct api *api = request->api;
    struct preparation *preparation = calloc(1, sizeof(*preparation));
    if (!preparation)
        return NULL;
    preparation->slice.go_on = go_on;
    preparation->request = *request;
    if (!body_begin(request->body, request->kind, request->exchange->request.body,
                    api->context->settings->max_batch)) {
        free(preparation);
        return NULL;
    }
    slices_add(api->slices, &preparation->slice);
    return preparation;
}

void preparation_forget(struct preparation **preparation) {
    if (!*preparation)
        return;
    slices_forget((*preparation)->request.api->slices, &(*preparation)->slice);
    destroy(*preparation);
    *preparation = NULL;
}
