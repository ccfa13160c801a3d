/* The workers of one master: starts them, notices who ended, hangs or asks to leave, and ends them. */
#include "process/crew.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inferonce/base/log.h"
#include "process/worker.h"

#define US_PER_MS UINT64_C(1000)

/* A worker that lived shorter than this is likely to die again. */
#define LIFE_GOOD_US     (1000 * US_PER_MS)
#define PAUSE_FIRST_US   (100 * US_PER_MS)
#define PAUSE_MOST_US    (10000 * US_PER_MS)
#define HEARTBEAT_MAX_US (30000 * US_PER_MS)
#define WATCH_MS         1000

/* A worker with another mapping shows no heartbeat here. Beyond its DRAIN_TIMEOUT it gets the 5 s that it
 * waits for a successor, and 2 s to end. */
#define FORMER_MARGIN_US (7000 * US_PER_MS)

/* The master looks once a second. After a gap of so much it was stopped itself, and so probably were the
 * workers. */
#define PAUSED_US (5000 * US_PER_MS)

/* For those that stood behind a hung worker to beat again: two of their beats, and two looks of ours. */
#define RECOVERY_US (4000 * US_PER_MS)

/* In which the first worker must be ready, and how often each one may fail before. */
#define START_MAX_US   (15000 * US_PER_MS)
#define START_FAILURES 2

#define OOM_SCORE_ADDED 200
#define OOM_SCORE_MOST  1000L

/* ---- one worker ---- */

/* When memory is short a worker goes before the master, which can replace it (proc(5)). */
static void offer_to_oom_killer(void) {
    int descriptor = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    char text[16] = "";
    if (descriptor < 0)
        return;
    if (read(descriptor, text, sizeof(text) - 1) > 0) {
        long raised = strtol(text, NULL, 10) + OOM_SCORE_ADDED;
        int length = snprintf(text, sizeof(text), "%ld", raised > OOM_SCORE_MOST ? OOM_SCORE_MOST : raised);
        if (pwrite(descriptor, text, (size_t)length, 0) != length)
            LOG(LOG_DEBUG, "oom_score_not_raised", LOG_TEXT("error", strerror(errno)));
    }
    close(descriptor);
}

/* In the child. Whoever kills the master must not leave workers behind that nobody watches. SIGCONT reaches a
 * worker that is stopped, too; it then sees that its master is gone (worker.h). */
static _Noreturn void be_worker(const struct crew *crew, unsigned index, unsigned slot, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGCONT);
    if (getppid() != parent)
        _exit(0);
    offer_to_oom_killer();
    close(crew->signals);
    log_set_role("worker", (int)index);
    const struct worker_options options = {.settings = crew->settings,
                                           .shared = crew->shared,
                                           .slot = slot,
                                           .number = index,
                                           .listener = crew->listener->descriptor,
                                           .master = parent};
    exit(worker_run(&options));
}

static struct shared_slot *slot_of(const struct crew *crew, const struct child *child) {
    return &crew->shared->slots[child->slot];
}

static void start(struct crew *crew, unsigned index) {
    struct post *post = &crew->posts[index];
    struct child *child = &post->children[post->serving];
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        be_worker(crew, index, child->slot, parent);
    child->started_us = clock_monotonic_us(&crew->clock);
    if (pid < 0) {
        snprintf(crew->failure, sizeof(crew->failure), "cannot fork: %s", strerror(errno));
        LOG(LOG_ERROR, "fork_failed", LOG_TEXT("error", strerror(errno)));
        post->failures++;
        post->start_at_us = child->started_us + (crew->served ? PAUSE_MOST_US : PAUSE_FIRST_US);
        return;
    }
    child->pid = pid;
    atomic_store(&slot_of(crew, child)->heartbeat_us, child->started_us);
    shared_slot_assign(crew->shared, child->slot, pid);
    LOG_ALWAYS(LOG_INFO, "worker_started", LOG_NUMBER("worker", index), LOG_NUMBER("child", pid));
}

static void log_death(struct crew *crew, unsigned index, pid_t pid, int status, bool expected) {
    enum log_level level = expected ? LOG_INFO : LOG_WARN;
    if (WIFSIGNALED(status)) {
        LOG_ALWAYS(level, "worker_killed", LOG_NUMBER("worker", index), LOG_NUMBER("child", pid),
                   LOG_NUMBER("signal", WTERMSIG(status)));
        snprintf(crew->failure, sizeof(crew->failure), "worker %u was killed by signal %d", index,
                 WTERMSIG(status));
    } else {
        LOG_ALWAYS(level, "worker_exited", LOG_NUMBER("worker", index), LOG_NUMBER("child", pid),
                   LOG_NUMBER("status", WEXITSTATUS(status)));
        snprintf(crew->failure, sizeof(crew->failure), "worker %u exited with status %d", index,
                 WEXITSTATUS(status));
    }
}

/* Requests that a worker which has ended did not answer: what it said as it drained, or, when it was killed
 * before it could drain, those that waited for an inference. */
static uint64_t count_unfinished(const struct crew *crew, const struct child *child) {
    if (atomic_load(&slot_of(crew, child)->draining))
        return atomic_load(&slot_of(crew, child)->unfinished);
    return atomic_load(&crew->shared->stats[child->slot].value[STAT_parked]);
}

/* One that lived for long is replaced at once; those that die young after longer and longer pauses. */
static void schedule(struct post *post, uint64_t started_us, uint64_t now_us) {
    static const struct breaker_limits LIMITS = {
        .failures = 1, .first_us = PAUSE_FIRST_US, .most_us = PAUSE_MOST_US};
    uint64_t wait_us = 0;
    post->deaths.limits = &LIMITS;
    if (now_us - started_us >= LIFE_GOOD_US)
        (void)breaker_succeeded(&post->deaths, now_us);
    else
        (void)breaker_failed(&post->deaths, BREAKER_GONE, true, now_us);
    (void)breaker_room(&post->deaths, now_us, &wait_us);
    post->start_at_us = now_us + wait_us;
}

static void buried(struct crew *crew, unsigned index, struct child *child, int status) {
    struct post *post = &crew->posts[index];
    bool serving = child == &post->children[post->serving];
    log_death(crew, index, child->pid, status, crew->stopping || !serving);
    if (crew->stopping)
        crew->unfinished += count_unfinished(crew, child);
    child->pid = 0;
    shared_slot_assign(crew->shared, child->slot, 0);
    /* Its leases are free now: those who wait for them must look. */
    shared_wake_all(crew->shared);
    post->failures++;
    if (serving && !crew->stopping)
        shared_count_restart(crew->shared);
    if (serving)
        schedule(post, child->started_us, clock_monotonic_us(&crew->clock));
}

/* Its slot is in the mapping that it had. */
static void bury_former(struct crew *crew, pid_t pid) {
    for (unsigned i = 0; i < crew->n_former; i++) {
        if (crew->former[i] != pid)
            continue;
        crew->former[i] = crew->former[--crew->n_former];
        LOG_ALWAYS(LOG_INFO, "former_worker_exited", LOG_NUMBER("child", pid));
        return;
    }
}

static void bury(struct crew *crew, pid_t pid, int status) {
    for (unsigned i = 0; i < crew->n; i++) {
        for (unsigned c = 0; c < 2; c++) {
            if (crew->posts[i].children[c].pid == pid) {
                buried(crew, i, &crew->posts[i].children[c], status);
                return;
            }
        }
    }
    bury_former(crew, pid);
}

void crew_bury(struct crew *crew) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (!crew->other_ended || !crew->other_ended(crew->user, pid, status))
            bury(crew, pid, status);
}

/* It has a successor that serves, or needs none. One that was not told to end is told. */
static void dismiss(struct crew *crew, const struct child *child) {
    if (child->pid == 0 || atomic_exchange(&slot_of(crew, child)->relieved, 1) != 0)
        return;
    if (!atomic_load(&slot_of(crew, child)->leaving))
        kill(child->pid, SIGTERM);
}

/* A worker that asks to leave serves on until its successor does: nobody is refused meanwhile. With both
 * slots of its place in use it has to wait for its predecessor's end, or for its own patience's. */
static void relieve(struct crew *crew, struct post *post) {
    struct child *child = &post->children[post->serving];
    struct child *other = &post->children[!post->serving];
    if (child->pid != 0 && other->pid == 0 && atomic_load(&slot_of(crew, child)->leaving)) {
        post->serving = !post->serving;
        post->start_at_us = 0;
    } else if (other->pid != 0 && child->pid != 0 && atomic_load(&slot_of(crew, child)->ready)) {
        dismiss(crew, other);
    }
}

static void tell_former(struct crew *crew, pid_t pid) {
    crew->former_until_us =
        clock_monotonic_us(&crew->clock) + crew->settings->drain_timeout_ms * US_PER_MS + FORMER_MARGIN_US;
    kill(pid, SIGTERM);
}

/* Workers that nobody succeeds: of a post that is not wanted any more, or with another mapping. */
static void dismiss_unwanted(struct crew *crew) {
    for (unsigned i = crew->wanted; i < crew->n; i++)
        for (unsigned c = 0; c < 2; c++)
            dismiss(crew, &crew->posts[i].children[c]);
    for (unsigned i = 0; i < crew->n_former && !crew->former_told; i++)
        tell_former(crew, crew->former[i]);
    crew->former_told = true;
}

static void kill_former(struct crew *crew) {
    if (crew->former_until_us == 0 || crew->looked_us < crew->former_until_us)
        return;
    for (unsigned i = 0; i < crew->n_former; i++) {
        LOG_ALWAYS(LOG_ERROR, "former_worker_hung", LOG_NUMBER("child", crew->former[i]));
        kill(crew->former[i], SIGKILL);
    }
    crew->former_until_us = 0;
}

/* ---- all of them ---- */

unsigned crew_count(const struct crew *crew) {
    unsigned alive = crew->n_former;
    for (unsigned i = 0; i < crew->n; i++)
        for (unsigned c = 0; c < 2; c++)
            alive += crew->posts[i].children[c].pid != 0;
    return alive;
}

void crew_signal(const struct crew *crew, int number) {
    for (unsigned i = 0; i < crew->n; i++) {
        for (unsigned c = 0; c < 2; c++) {
            const struct child *child = &crew->posts[i].children[c];
            if (child->pid == 0)
                continue;
            atomic_store(&slot_of(crew, child)->relieved, 1);
            kill(child->pid, number);
        }
    }
    for (unsigned i = 0; i < crew->n_former; i++)
        kill(crew->former[i], number);
}

void crew_replace(const struct crew *crew) {
    for (unsigned i = 0; i < crew->n; i++) {
        const struct post *post = &crew->posts[i];
        if (post->children[post->serving].pid != 0)
            kill(post->children[post->serving].pid, SIGTERM);
    }
}

/* One that cannot be remembered is not waited for. */
static void let_go(struct crew *crew, struct child *child) {
    if (child->pid == 0)
        return;
    if (crew->n_former < FORMER_MAX) {
        crew->former[crew->n_former++] = child->pid;
        tell_former(crew, child->pid);
    } else {
        kill(child->pid, SIGKILL);
    }
    child->pid = 0;
}

static void give_slots(struct crew *crew) {
    for (unsigned i = 0; i < crew->n; i++) {
        crew->posts[i].children[0].slot = crew->shared->claimed[i];
        crew->posts[i].children[1].slot = shared_other_slot(crew->shared->claimed[i]);
    }
}

void crew_renew(struct crew *crew) {
    for (unsigned i = 0; i < crew->n; i++) {
        for (unsigned c = 0; c < 2; c++)
            let_go(crew, &crew->posts[i].children[c]);
        crew->posts[i] = (struct post){.serving = 0};
    }
    give_slots(crew);
}

static void start_due(struct crew *crew) {
    uint64_t now_us = clock_monotonic_us(&crew->clock);
    for (unsigned i = 0; i < crew->wanted; i++) {
        struct post *post = &crew->posts[i];
        relieve(crew, post);
        if (post->children[post->serving].pid == 0 && post->start_at_us <= now_us)
            start(crew, i);
    }
    if (crew_serves(crew))
        dismiss_unwanted(crew);
}

/* The state in /proc/PID/stat (proc(5)): T stopped by a signal, t by a debugger; 0: not known. */
static char state_of(pid_t pid) {
    char path[32];
    char line[128] = ""; /* "PID (name) S ...": the name has at most 15 characters */
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return '\0';
    ssize_t length = read(descriptor, line, sizeof(line) - 1);
    close(descriptor);
    const char *name_end = length > 0 ? strrchr(line, ')') : NULL;
    return name_end && name_end[1] == ' ' ? name_end[2] : '\0';
}

/* Its last beat is too long ago, and so is the last time that the master itself was stopped. */
static bool is_hung(const struct crew *crew, const struct child *child, uint64_t now_us) {
    uint64_t beat_us = atomic_load(&slot_of(crew, child)->heartbeat_us);
    uint64_t since_us = beat_us > crew->watched_us ? beat_us : crew->watched_us;
    return child->pid != 0 && now_us >= since_us && now_us - since_us >= HEARTBEAT_MAX_US;
}

/* A worker whose loop stands still serves nobody, but holds its connections. Should it stand still within a
 * shard's lock, others stand still behind it, and go on as soon as it is dead: they are ended one at a time,
 * with a pause between, and first who was stopped, since that one waits for nobody. While somebody looks at
 * one in a debugger nobody is ended: the others may stand behind that one. */
static void kill_hung(struct crew *crew) {
    uint64_t now_us = crew->looked_us;
    const struct child *chosen = NULL;
    unsigned index = 0;
    if (now_us < crew->next_kill_us)
        return;
    for (unsigned i = 0; i < 2 * crew->n; i++) {
        const struct child *child = &crew->posts[i / 2].children[i % 2];
        char state = is_hung(crew, child, now_us) ? state_of(child->pid) : '\0';
        if (state == 't') {
            crew->watched_us = now_us;
            return;
        }
        if (state == '\0' || (chosen && state != 'T'))
            continue;
        chosen = child;
        index = i / 2;
    }
    if (!chosen)
        return;
    LOG_ALWAYS(LOG_ERROR, "worker_hung", LOG_NUMBER("worker", index), LOG_NUMBER("child", chosen->pid));
    kill(chosen->pid, SIGKILL);
    crew->next_kill_us = now_us + RECOVERY_US;
}

/* Milliseconds until there is something to do without a signal. */
int crew_patience_ms(const struct crew *crew) {
    uint64_t now_us = clock_monotonic_us(&crew->clock);
    uint64_t wait_us = WATCH_MS * US_PER_MS;
    for (unsigned i = 0; i < crew->wanted && !crew->stopping; i++) {
        const struct post *post = &crew->posts[i];
        uint64_t due_us = post->start_at_us > now_us ? post->start_at_us - now_us : 0;
        if (post->children[post->serving].pid == 0 && due_us < wait_us)
            wait_us = due_us;
    }
    return (int)((wait_us + US_PER_MS - 1) / US_PER_MS);
}

uint64_t crew_check(struct crew *crew) {
    uint64_t now_us = clock_monotonic_us(&crew->clock);
    uint64_t gap_us = now_us - crew->looked_us;
    crew->looked_us = now_us;
    if (gap_us < PAUSED_US)
        return 0;
    LOG_ALWAYS(LOG_WARN, "was_stopped", LOG_NUMBER("ms", gap_us / US_PER_MS));
    crew->watched_us = now_us;
    crew->began_us += gap_us;
    crew->former_until_us += crew->former_until_us > 0 ? gap_us : 0;
    return gap_us;
}

void crew_tend(struct crew *crew) {
    start_due(crew);
    kill_hung(crew);
    kill_former(crew);
}

bool crew_serves(struct crew *crew) {
    for (unsigned i = 0; i < crew->wanted && !crew->served; i++) {
        const struct child *child = &crew->posts[i].children[crew->posts[i].serving];
        crew->served = child->pid != 0 && atomic_load(&slot_of(crew, child)->ready) != 0;
    }
    return crew->served;
}

bool crew_cannot_start(const struct crew *crew, struct error *error) {
    bool all_failed = true;
    for (unsigned i = 0; i < crew->wanted; i++)
        all_failed = all_failed && crew->posts[i].failures >= START_FAILURES;
    if (all_failed)
        error_set(error, "no worker can start: %s", crew->failure);
    else if (crew->looked_us - crew->began_us >= START_MAX_US)
        error_set(error, "no worker was ready within %u s", (unsigned)(START_MAX_US / 1000 / US_PER_MS));
    else
        return false;
    return true;
}

void crew_init(struct crew *crew, const struct settings *settings, struct shared *shared,
               struct listener *listener, int signals) {
    *crew = (struct crew){.settings = settings,
                          .shared = shared,
                          .listener = listener,
                          .n = shared->workers,
                          .wanted = shared->workers,
                          .signals = signals};
    crew->began_us = crew->looked_us = clock_monotonic_us(&crew->clock);
    give_slots(crew);
}
