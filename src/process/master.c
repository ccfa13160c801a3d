#include "inferonce/process/master.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inferonce/base/clock.h"
#include "inferonce/base/log.h"
#include "inferonce/process/worker.h"

#define US_PER_MS UINT64_C(1000)

/* A worker that lived shorter than this is likely to die again. */
#define LIFE_GOOD_US     (1000 * US_PER_MS)
#define PAUSE_FIRST_US   (100 * US_PER_MS)
#define PAUSE_MOST_US    (10000 * US_PER_MS)
#define HEARTBEAT_MAX_US (30000 * US_PER_MS)
#define WATCH_MS         1000

/* For those that stood behind a hung worker to beat again: two of their beats, and two looks of ours. */
#define RECOVERY_US (4000 * US_PER_MS)

/* Beyond the workers' own DRAIN_TIMEOUT, before they are killed. */
#define DRAIN_MARGIN_US (2000 * US_PER_MS)

struct child {
    pid_t pid; /* 0: none */
    unsigned slot;
    uint64_t started_us;
};

/* One of the n workers: the child that serves, and while that one's predecessor drains, both. */
struct post {
    struct child children[2];
    unsigned serving;     /* which of them serves, or is to be started */
    uint64_t start_at_us; /* of one that is to be started */
    uint64_t pause_us;    /* before the next one */
};

struct master {
    const struct settings *settings;
    struct shared *shared;
    struct listener *listener;
    struct clock clock;
    struct post posts[WORKERS_MAX];
    unsigned n;
    int signals; /* signalfd */
    bool stopping;
    uint64_t kill_at_us;
    uint64_t next_kill_us; /* of a hung worker, at the earliest */
    uint64_t unfinished;   /* requests that workers left unanswered as the program stopped */
};

unsigned master_workers(const struct settings *settings) {
    if (settings->workers > 0)
        return (unsigned)settings->workers;
    cpu_set_t allowed;
    int cpus = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    return cpus < 1 ? 1 : cpus > WORKERS_MAX ? WORKERS_MAX : (unsigned)cpus;
}

/* ---- one worker ---- */

/* In the child. Whoever kills the master must not leave workers behind that nobody watches. */
static _Noreturn void be_worker(const struct master *master, unsigned index, unsigned slot, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(0);
    close(master->signals);
    log_set_role("worker", (int)index);
    const struct worker_options options = {.settings = master->settings,
                                           .shared = master->shared,
                                           .slot = slot,
                                           .listener = master->listener->descriptor};
    exit(worker_run(&options));
}

static struct shared_slot *slot_of(const struct master *master, const struct child *child) {
    return &master->shared->slots[child->slot];
}

static void start(struct master *master, unsigned index) {
    struct post *post = &master->posts[index];
    struct child *child = &post->children[post->serving];
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        be_worker(master, index, child->slot, parent);
    child->started_us = clock_monotonic_us(&master->clock);
    if (pid < 0) {
        LOG(LOG_ERROR, "fork_failed", LOG_NUMBER("errno", errno));
        post->start_at_us = child->started_us + PAUSE_MOST_US;
        return;
    }
    child->pid = pid;
    atomic_store(&slot_of(master, child)->heartbeat_us, child->started_us);
    shared_slot_assign(master->shared, child->slot, pid);
    LOG_ALWAYS(LOG_INFO, "worker_started", LOG_NUMBER("worker", index), LOG_NUMBER("child", pid));
}

static void log_death(unsigned index, pid_t pid, int status, bool expected) {
    enum log_level level = expected ? LOG_INFO : LOG_WARN;
    if (WIFSIGNALED(status))
        LOG_ALWAYS(level, "worker_killed", LOG_NUMBER("worker", index), LOG_NUMBER("child", pid),
                   LOG_NUMBER("signal", WTERMSIG(status)));
    else
        LOG_ALWAYS(level, "worker_exited", LOG_NUMBER("worker", index), LOG_NUMBER("child", pid),
                   LOG_NUMBER("status", WEXITSTATUS(status)));
}

/* Requests that a worker which has ended did not answer: what it said as it drained, or, when it was killed
 * before it could drain, those that waited for an inference. */
static uint64_t count_unfinished(const struct master *master, const struct child *child) {
    if (atomic_load(&slot_of(master, child)->draining))
        return atomic_load(&slot_of(master, child)->unfinished);
    return atomic_load(&master->shared->stats[child->slot].value[STAT_parked]);
}

static void schedule(struct post *post, uint64_t started_us, uint64_t now_us) {
    if (now_us - started_us >= LIFE_GOOD_US)
        post->pause_us = 0;
    else
        post->pause_us = post->pause_us == 0 ? PAUSE_FIRST_US : 2 * post->pause_us;
    if (post->pause_us > PAUSE_MOST_US)
        post->pause_us = PAUSE_MOST_US;
    post->start_at_us = now_us + post->pause_us;
}

static void buried(struct master *master, unsigned index, struct child *child, int status) {
    struct post *post = &master->posts[index];
    bool serving = child == &post->children[post->serving];
    log_death(index, child->pid, status, master->stopping || !serving);
    if (master->stopping)
        master->unfinished += count_unfinished(master, child);
    child->pid = 0;
    shared_slot_assign(master->shared, child->slot, 0);
    /* Its leases are free now: those who wait for them must look. */
    shared_wake_all(master->shared);
    if (serving)
        schedule(post, child->started_us, clock_monotonic_us(&master->clock));
}

static void bury(struct master *master) {
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (unsigned i = 0; i < master->n; i++)
            for (unsigned c = 0; c < 2; c++)
                if (master->posts[i].children[c].pid == pid)
                    buried(master, i, &master->posts[i].children[c], status);
}

/* A worker that asks to leave serves on until its successor does: nobody is refused meanwhile. With both
 * slots of its place in use it has to wait for its predecessor's end, or for its own patience's. */
static void relieve(struct master *master, struct post *post) {
    struct child *child = &post->children[post->serving];
    struct child *other = &post->children[!post->serving];
    if (child->pid != 0 && other->pid == 0 && atomic_load(&slot_of(master, child)->leaving)) {
        post->serving = !post->serving;
        post->start_at_us = 0;
    } else if (other->pid != 0 && child->pid != 0 && atomic_load(&slot_of(master, child)->ready)) {
        atomic_store(&slot_of(master, other)->relieved, 1);
    }
}

/* ---- all of them ---- */

static unsigned count_alive(const struct master *master) {
    unsigned alive = 0;
    for (unsigned i = 0; i < master->n; i++)
        for (unsigned c = 0; c < 2; c++)
            alive += master->posts[i].children[c].pid != 0;
    return alive;
}

static void signal_all(const struct master *master, int number) {
    for (unsigned i = 0; i < master->n; i++) {
        for (unsigned c = 0; c < 2; c++) {
            const struct child *child = &master->posts[i].children[c];
            if (child->pid == 0)
                continue;
            atomic_store(&slot_of(master, child)->relieved, 1);
            kill(child->pid, number);
        }
    }
}

static void start_due(struct master *master) {
    uint64_t now_us = clock_monotonic_us(&master->clock);
    for (unsigned i = 0; i < master->n; i++) {
        struct post *post = &master->posts[i];
        relieve(master, post);
        if (post->children[post->serving].pid == 0 && post->start_at_us <= now_us)
            start(master, i);
    }
}

static bool is_hung(const struct master *master, const struct child *child, uint64_t now_us) {
    uint64_t beat_us = atomic_load(&slot_of(master, child)->heartbeat_us);
    return child->pid != 0 && now_us >= beat_us && now_us - beat_us >= HEARTBEAT_MAX_US;
}

/* By a signal or a debugger (proc(5), the state in /proc/PID/stat). */
static bool is_stopped(pid_t pid) {
    char path[32];
    char line[128] = ""; /* "PID (name) S ...": the name has at most 15 characters */
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return false;
    ssize_t length = read(descriptor, line, sizeof(line) - 1);
    close(descriptor);
    const char *name_end = length > 0 ? strrchr(line, ')') : NULL;
    return name_end && name_end[1] == ' ' && (name_end[2] == 'T' || name_end[2] == 't');
}

/* A worker whose loop stands still serves nobody, but holds its connections. Should it stand still within a
 * shard's lock, others stand still behind it, and go on as soon as it is dead: they are ended one at a time,
 * with a pause between, and first who was stopped, since that one waits for nobody. */
static void kill_hung(struct master *master) {
    uint64_t now_us = clock_monotonic_us(&master->clock);
    const struct child *chosen = NULL;
    unsigned index = 0;
    if (now_us < master->next_kill_us)
        return;
    for (unsigned i = 0; i < 2 * master->n; i++) {
        const struct child *child = &master->posts[i / 2].children[i % 2];
        if (!is_hung(master, child, now_us) || (chosen && !is_stopped(child->pid)))
            continue;
        chosen = child;
        index = i / 2;
    }
    if (!chosen)
        return;
    LOG_ALWAYS(LOG_ERROR, "worker_hung", LOG_NUMBER("worker", index), LOG_NUMBER("child", chosen->pid));
    kill(chosen->pid, SIGKILL);
    master->next_kill_us = now_us + RECOVERY_US;
}

/* What other pools on the same CACHE_PATH left behind. Their leases are free now; who waits here for one
 * looks again by itself. */
static void reap_pools(struct master *master) {
    unsigned reaped = shared_reap(master->shared);
    if (reaped > 0)
        LOG(LOG_WARN, "pool_vanished", LOG_NUMBER("workers", reaped));
}

static void stop(struct master *master, int number) {
    if (master->stopping) {
        LOG_ALWAYS(LOG_WARN, "stopping_at_once", LOG_NUMBER("signal", number));
        signal_all(master, SIGKILL);
        return;
    }
    LOG_ALWAYS(LOG_INFO, "stopping", LOG_NUMBER("signal", number));
    master->stopping = true;
    master->kill_at_us =
        clock_monotonic_us(&master->clock) + master->settings->drain_timeout_ms * US_PER_MS + DRAIN_MARGIN_US;
    listener_refuse(master->listener);
    signal_all(master, SIGTERM);
    listener_close(master->listener);
}

static void read_signals(struct master *master) {
    struct signalfd_siginfo info;
    while (read(master->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        int number = (int)info.ssi_signo;
        if (number == SIGCHLD)
            bury(master);
        else
            stop(master, number);
    }
}

/* Milliseconds until there is something to do without a signal. */
static int patience_ms(const struct master *master) {
    uint64_t now_us = clock_monotonic_us(&master->clock);
    uint64_t wait_us = WATCH_MS * US_PER_MS;
    for (unsigned i = 0; i < master->n && !master->stopping; i++) {
        const struct post *post = &master->posts[i];
        uint64_t due_us = post->start_at_us > now_us ? post->start_at_us - now_us : 0;
        if (post->children[post->serving].pid == 0 && due_us < wait_us)
            wait_us = due_us;
    }
    return (int)((wait_us + US_PER_MS - 1) / US_PER_MS);
}

static bool setup_signals(struct master *master) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return false;
    signal(SIGPIPE, SIG_IGN);
    master->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return master->signals >= 0;
}

static void watch(struct master *master) {
    struct pollfd watched[] = {{.fd = master->signals, .events = POLLIN},
                               {.fd = master->shared->master_descriptor, .events = POLLIN}};
    while (!master->stopping || count_alive(master) > 0) {
        if (!master->stopping) {
            start_due(master);
            kill_hung(master);
            reap_pools(master);
        } else if (clock_monotonic_us(&master->clock) >= master->kill_at_us) {
            signal_all(master, SIGKILL);
        }
        poll(watched, sizeof(watched) / sizeof(watched[0]), patience_ms(master));
        shared_heard(master->shared);
        read_signals(master);
    }
}

static void log_summary(const struct master *master) {
    const struct shared *shared = master->shared;
    LOG_ALWAYS(LOG_INFO, "stopped", LOG_NUMBER("requests", shared_stat(shared, STAT_requests)),
               LOG_NUMBER("hits", shared_stat(shared, STAT_hits)),
               LOG_NUMBER("misses", shared_stat(shared, STAT_misses)),
               LOG_NUMBER("inferences", shared_stat(shared, STAT_inferences)),
               LOG_NUMBER("inference_seconds_saved", shared_stat(shared, STAT_inference_us_saved) / 1000000),
               LOG_NUMBER("unfinished", master->unfinished));
}

int master_run(const struct settings *settings, struct shared *shared, struct listener *listener) {
    struct master master = {
        .settings = settings, .shared = shared, .listener = listener, .n = shared->workers};
    log_set_role("master", -1);
    if (!setup_signals(&master)) {
        LOG(LOG_ERROR, "no_signals", LOG_NUMBER("errno", errno));
        return 1;
    }
    for (unsigned i = 0; i < master.n; i++) {
        master.posts[i].children[0].slot = shared->claimed[i];
        master.posts[i].children[1].slot = shared_other_slot(shared->claimed[i]);
    }
    LOG_ALWAYS(LOG_INFO, "started", LOG_TEXT("listen", listener->text), LOG_NUMBER("workers", master.n),
               LOG_TEXT("version", INFERONCE_VERSION));
    watch(&master);
    log_summary(&master);
    close(master.signals);
    return master.unfinished == 0 ? 0 : 1;
}
