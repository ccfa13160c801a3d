/* Hands complete requests to libfcgi, and answers out of it. */
#include "fastcgi/responder.h"

#include <fcgiapp.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "fastcgi/oslayer.h"

/* Kept between requests. */
#define BODY_KEEP (16 * 1024)

/* The most that the spare buffer keeps. Fresh memory costs a page fault for every 4 KB. */
#define SPARE_MAX (2 * 1024 * 1024)

struct responder {
    FCGX_Request fcgx;
    struct oslayer_channel channel;
    int number; /* the channel's */
    struct buffer body;
    struct buffer *spare;
};

struct responder *responder_create(struct buffer *spare) {
    struct responder *responder = calloc(1, sizeof(*responder));
    if (!responder)
        return NULL;
    responder->number = oslayer_open(&responder->channel);
    if (responder->number < 0 || FCGX_InitRequest(&responder->fcgx, -1, 0) != 0) {
        if (responder->number >= 0)
            oslayer_close(responder->number);
        free(responder);
        return NULL;
    }
    buffer_init(&responder->body, INT_MAX);
    responder->spare = spare;
    return responder;
}

void responder_destroy(struct responder **responder) {
    if (!*responder)
        return;
    responder_drop(*responder);
    oslayer_close((*responder)->number);
    buffer_fini(&(*responder)->body);
    free(*responder);
    *responder = NULL;
}

static void swap_with_spare(struct responder *responder) {
    struct buffer body = responder->body;
    responder->body = *responder->spare;
    *responder->spare = body;
}

static void empty_body(struct responder *responder, size_t keep) {
    buffer_reset(&responder->body, SPARE_MAX);
    if (responder->body.capacity > BODY_KEEP && responder->body.capacity > responder->spare->capacity)
        swap_with_spare(responder);
    buffer_reset(&responder->body, keep);
}

/* Reads STDIN behind its last byte: what was counted must be all, and its end must be there. */
static bool read_body(struct responder *responder, size_t length) {
    if (length > responder->body.capacity && length <= responder->spare->capacity)
        swap_with_spare(responder);
    if (length > 0) {
        char *to = buffer_reserve(&responder->body, length);
        if (!to || FCGX_GetStr(to, (int)length, responder->fcgx.in) != (int)length)
            return false;
        responder->body.length = length;
    }
    return FCGX_GetChar(responder->fcgx.in) == EOF && FCGX_GetError(responder->fcgx.in) == 0;
}

bool responder_take(struct responder *responder, struct bytes records, size_t body_length) {
    responder->channel.input = records;
    /* FCGX_Accept_r closes what it has unless told to keep it, and reads from `ipcFd` when that is not
     * negative. */
    responder->fcgx.ipcFd = responder->number;
    responder->fcgx.keepConnection = 1;
    bool taken = FCGX_Accept_r(&responder->fcgx) == 0 && read_body(responder, body_length);
    responder->channel.input = (struct bytes){NULL, 0};
    if (!taken)
        responder_drop(responder);
    return taken;
}

char *const *responder_params(const struct responder *responder) {
    return responder->fcgx.envp;
}

struct bytes responder_body(const struct responder *responder) {
    return buffer_bytes(&responder->body);
}

void responder_forget_body(struct responder *responder) {
    FCGX_FreeStream(&responder->fcgx.in);
    FCGX_FreeStream(&responder->fcgx.out);
    FCGX_FreeStream(&responder->fcgx.err);
    empty_body(responder, 0);
}

void responder_drop(struct responder *responder) {
    FCGX_Free(&responder->fcgx, 0);
    empty_body(responder, BODY_KEEP);
}
