/* Workers that one image of the program hands on to the next. */
#include <signal.h>

#include "process/crew.h"

/* ---- from the image before ---- */

/* The post of a worker of the image before, and which of its two children it is. NULL: it has none. */
static struct child *place_of(struct crew *crew, const struct handover_child *inherited) {
    struct post *post = &crew->posts[inherited->index];
    if (inherited->index >= crew->n)
        return NULL;
    for (unsigned c = 0; c < 2; c++)
        if (post->children[c].slot == inherited->slot && post->children[c].pid == 0) {
            post->serving = !c; /* its successor is to be started */
            return &post->children[c];
        }
    return NULL;
}

void crew_adopt(struct crew *crew, const struct handover *handover, bool same_mapping, unsigned wanted) {
    crew->wanted = wanted < crew->n ? wanted : crew->n;
    for (unsigned i = 0; i < handover->n_children; i++) {
        const struct handover_child *inherited = &handover->children[i];
        struct child *child = same_mapping ? place_of(crew, inherited) : NULL;
        if (child) {
            child->pid = inherited->pid;
            child->started_us = inherited->started_us;
        } else if (crew->n_former < FORMER_MAX) {
            crew->former[crew->n_former++] = inherited->pid;
        }
    }
    for (unsigned i = 0; i < handover->n_former && crew->n_former < FORMER_MAX; i++)
        crew->former[crew->n_former++] = handover->former[i];
}

/* ---- to the next ---- */

static bool is_settled(const struct crew *crew) {
    bool settled = crew->n_former == 0;
    for (unsigned i = 0; i < crew->n; i++) {
        const struct post *post = &crew->posts[i];
        bool serves = post->children[post->serving].pid != 0;
        settled = settled && post->children[!post->serving].pid == 0 && serves == (i < crew->wanted);
    }
    return settled;
}

bool crew_may_reload(struct crew *crew) {
    return is_settled(crew) || (crew->unsucceeded && !crew_serves(crew));
}

void crew_end_unready(struct crew *crew) {
    for (unsigned i = 0; crew->unsucceeded && i < crew->n; i++) {
        struct child *child = &crew->posts[i].children[crew->posts[i].serving];
        if (child->pid == 0 || atomic_load(&crew->shared->slots[child->slot].ready))
            continue;
        kill(child->pid, SIGKILL);
        child->pid = 0;
        shared_slot_assign(crew->shared, child->slot, 0);
    }
}
