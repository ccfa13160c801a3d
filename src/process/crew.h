/* The workers of one master. Private to the folder; master.c has the signals and the loop. */
#ifndef INFERONCE_PROCESS_CREW_H
#define INFERONCE_PROCESS_CREW_H

#include <sys/types.h>

#include "inferonce/base/breaker.h"
#include "inferonce/base/clock.h"
#include "inferonce/base/settings.h"
#include "inferonce/base/shared.h"
#include "inferonce/process/handover.h"
#include "inferonce/process/listener.h"

struct child {
    pid_t pid; /* 0: none */
    unsigned slot;
    uint64_t started_us;
};

/* One of the n workers: the child that serves, and while that one's predecessor drains, both. */
struct post {
    struct child children[2];
    unsigned serving;      /* which of them serves, or is to be started */
    uint64_t start_at_us;  /* of one that is to be started */
    struct breaker deaths; /* of those that did not live for long */
    unsigned failures;     /* children that ended, or could not be made, since the beginning */
};

#define FORMER_MAX (2 * SLOTS_MAX)

struct crew {
    const struct settings *settings;
    struct shared *shared;
    struct listener *listener;
    struct clock clock;
    struct post posts[WORKERS_MAX];
    unsigned n;               /* posts */
    unsigned wanted;          /* of them; the others end when a worker of these serves */
    pid_t former[FORMER_MAX]; /* workers with a mapping that is ours no more; they end by themselves */
    unsigned n_former;
    bool former_told;         /* to end */
    uint64_t former_until_us; /* then they are killed */
    int signals;              /* the master's, which a worker closes */

    /* A child has ended. True: it was none of the crew's. May be NULL. */
    bool (*other_ended)(void *user, pid_t pid, int status);
    void *user;
    bool served;           /* a worker has been ready */
    bool unsucceeded;      /* workers of the image before serve on: none of this one can start */
    bool stopping;         /* nobody is replaced any more */
    uint64_t began_us;     /* moved by what the master was stopped for */
    uint64_t looked_us;    /* the last look */
    uint64_t watched_us;   /* the end of the last gap between looks: nobody hangs for longer */
    uint64_t next_kill_us; /* of a hung worker, at the earliest */
    uint64_t unfinished;   /* requests that workers left unanswered as the program stopped */
    char failure[160];     /* the last: why a child ended, or could not be made */
};

/* All is borrowed for good. Starts nobody yet. */
void crew_init(struct crew *crew, const struct settings *settings, struct shared *shared,
               struct listener *listener, int signals);

/* Workers of the image before this one, where `wanted` are wanted now: each has a successor started, and
 * drains when that serves; with another mapping, or a post that is not wanted any more, when some worker of
 * this image serves. */
void crew_adopt(struct crew *crew, const struct handover *handover, bool same_mapping, unsigned wanted);

/* Whether the workers can be handed over: each wanted post has one worker and there are no others, or the
 * last reload has failed and workers of the image before still serve. */
bool crew_may_reload(struct crew *crew);

/* Before they are handed over: after a failed reload, ends workers that never served, so that each post has
 * one worker to be handed over. */
void crew_end_unready(struct crew *crew);

/* Called at least once a second, first of all in a turn. Returns for how long the master was stopped, in
 * microseconds (SIGSTOP to its process group, a frozen container); mostly 0. Nobody is taken to hang for that
 * time. */
uint64_t crew_check(struct crew *crew);

/* Starts the workers that are due, and ends those that hang. */
void crew_tend(struct crew *crew);

/* Whether some worker was ready to serve at some time. */
bool crew_serves(struct crew *crew);

/* Whether no worker will serve: each one failed, or time is up. `error` tells why. */
bool crew_cannot_start(const struct crew *crew, struct error *error);

/* Reaps the children that have ended. */
void crew_bury(struct crew *crew);

unsigned crew_count(const struct crew *crew);

/* Sends the signal to all; their predecessors, too. They wait for no successor. */
void crew_signal(const struct crew *crew, int number);

/* Has every worker that serves replaced: each drains when its successor serves. */
void crew_replace(const struct crew *crew);

/* After the mapping was made anew: the workers, which have the old one, are told to end, and others are due.
 */
void crew_renew(struct crew *crew);

/* Milliseconds until crew_tend has something to do without a signal. */
int crew_patience_ms(const struct crew *crew);

#endif
