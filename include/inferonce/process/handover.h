/* The state that a master inherits from itself when it executes its program anew. */
#ifndef INFERONCE_PROCESS_HANDOVER_H
#define INFERONCE_PROCESS_HANDOVER_H

#include "inferonce/base/shared.h"
#include "inferonce/process/listener.h"

/* Names the descriptor of the memory file in the environment. */
#define HANDOVER_VARIABLE "INFERONCE_HANDOVER"

struct handover_child {
    pid_t pid;
    unsigned index; /* of its post */
    unsigned slot;
    uint64_t started_us;
};

struct handover {
    bool given;                    /* false: the program was started, and nothing is inherited */
    struct listener listener;      /* without its text; with descriptor -1 the handover cannot be read */
    char listen[SETTING_TEXT_MAX]; /* LISTEN, by which it was made */
    struct shared_handles mapping;
    struct handover_child children[SLOTS_MAX];
    unsigned n_children;
    pid_t former[2 * SLOTS_MAX];
    unsigned n_former;
};

/* Reads what the environment names, and takes that variable out of it. */
void handover_read(struct handover *handover);

#endif
