/* The options of a store on cache servers, beside those of every store. */
#ifndef INFERONCE_STORE_REMOTE_REMOTE_H
#define INFERONCE_STORE_REMOTE_REMOTE_H

#include "store/remote/pending.h"

struct remote_options {
    struct pendings *pendings; /* borrowed */
    /* A server that was not used is about to be used again. */
    void (*returns)(void *user);
    void *user;
};

#endif
