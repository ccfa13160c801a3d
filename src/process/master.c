/* The master: its signals and its loop. */
#include "inferonce/process/master.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "inferonce/base/cgroup.h"
#include "inferonce/base/log.h"
#include "inferonce/base/shared_guard.h"
#include "inferonce/process/mapping.h"
#include "inferonce/process/signals.h"
#include "inferonce/process/title.h"
#include "process/crew.h"
#include "process/notify.h"
#include "process/reload.h"

#define US_PER_MS UINT64_C(1000)

/* Beyond the workers' own DRAIN_TIMEOUT, before they are killed. */
#define DRAIN_MARGIN_US (2000 * US_PER_MS)

struct master {
    struct crew crew;
    struct reload reload;
    struct notify notify;
    bool adopted;     /* from the image before */
    int signals;      /* signalfd */
    bool started;     /* and said so */
    bool failed;      /* to start */
    bool socket_lost; /* and said so */
    uint64_t kill_at_us;
};

unsigned master_workers(const struct settings *settings) {
    if (settings->workers > 0)
        return (unsigned)settings->workers;
    cpu_set_t allowed;
    int cpus = sched_getaffinity(0, sizeof(allowed), &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
    struct cgroup_limits limits;
    cgroup_read("", &limits);
    if (limits.cpus < (uint64_t)cpus)
        cpus = (int)limits.cpus;
    return cpus < 1 ? 1 : cpus > WORKERS_MAX ? WORKERS_MAX : (unsigned)cpus;
}

/* Clears the slots that dead pools on the same CACHE_PATH left behind. Their leases are free now; who waits
 * here for one looks again by itself. */
static void reap_pools(struct master *master) {
    unsigned reaped = shared_reap(master->crew.shared);
    if (reaped > 0)
        LOG(LOG_WARN, "pool_vanished", LOG_NUMBER("workers", reaped));
}

static uint64_t now_us(const struct master *master) {
    return clock_monotonic_us(&master->crew.clock);
}

static void stop_crew(struct master *master, int number) {
    notify_stopping();
    master->crew.stopping = true;
    master->kill_at_us =
        now_us(master) + master->crew.settings->drain_timeout_ms * US_PER_MS + DRAIN_MARGIN_US;
    listener_refuse(master->crew.listener);
    crew_signal(&master->crew, number);
    listener_close(master->crew.listener);
}

static void stop(struct master *master, int number) {
    if (master->crew.stopping) {
        LOG_ALWAYS(LOG_WARN, "stopping_at_once", LOG_NUMBER("signal", number));
        crew_signal(&master->crew, SIGKILL);
        return;
    }
    LOG_ALWAYS(LOG_INFO, "stopping", LOG_NUMBER("signal", number));
    stop_crew(master, SIGTERM);
}

static void take_signal(struct master *master, int number) {
    switch (number) {
    case SIGCHLD:
        crew_bury(&master->crew);
        break;
    case SIGTERM:
    case SIGINT:
    case SIGQUIT:
        stop(master, number);
        break;
    case SIGHUP:
        reload_want(&master->reload);
        break;
    default:
        LOG_ALWAYS(LOG_INFO, "signal_ignored", LOG_NUMBER("signal", number),
                   LOG_TEXT("name", strsignal(number)));
    }
}

static void read_signals(struct master *master) {
    struct signalfd_siginfo info;
    while (read(master->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
        take_signal(master, (int)info.ssi_signo);
}

static void reload_failed(const struct crew *crew, const char *why) {
    shared_count_reload(crew->shared, false);
    LOG_ALWAYS(LOG_ERROR, "reload_failed", LOG_TEXT("error", why));
    notify_not_reloaded(why);
}

/* Until a worker has served: "started" means that there is somebody to connect to. */
static void check_start(struct master *master) {
    struct crew *crew = &master->crew;
    struct error error;
    if (crew_serves(crew)) {
        master->started = true;
        crew->unsucceeded = false;
        if (master->adopted)
            shared_count_reload(crew->shared, true);
        notify_ready(crew->wanted);
        LOG_ALWAYS(LOG_INFO, master->adopted ? "reloaded" : "started",
                   LOG_TEXT("listen", crew->listener->text), LOG_NUMBER("workers", crew->wanted),
                   LOG_TEXT("version", INFERONCE_VERSION));
    } else if (!crew_cannot_start(crew, &error)) {
        return;
    } else if (master->adopted) { /* the old workers serve on */
        if (!crew->unsucceeded)
            reload_failed(crew, error.text);
        crew->unsucceeded = true;
    } else {
        LOG_ALWAYS(LOG_ERROR, "cannot_start", LOG_TEXT("error", error.text));
        master->failed = true;
        stop_crew(master, SIGKILL);
    }
}

/* The file of CACHE_PATH was cut short while it was in use: what it held is lost, and nothing else. Workers
 * go on in memory of their own until their successors serve. */
static void check_mapping(struct master *master) {
    struct crew *crew = &master->crew;
    struct error error;
    if (!shared_guard_is_lost(crew->shared))
        return;
    LOG_ALWAYS(LOG_ERROR, "shared_memory_lost",
               LOG_TEXT("reason",
                        "the file of CACHE_PATH or STATE_DIR was cut short while it was in use, or "
                        "its disk fails; the entries in memory are gone"));
    if (mapping_make_anew(crew->shared, crew->settings, crew->listener, &error)) {
        crew_renew(crew);
    } else {
        LOG_ALWAYS(LOG_ERROR, "cannot_go_on", LOG_TEXT("error", error.text));
        master->failed = true;
        stop_crew(master, SIGTERM);
    }
}

/* Workers that were forked before serve a socket that nobody can reach: each has a successor, as when it is
 * told to end. */
static void check_socket(struct master *master) {
    struct crew *crew = &master->crew;
    struct error error;
    bool lost = listener_is_gone(crew->listener);
    if (lost && listener_make_anew(crew->listener, crew->settings, &error)) {
        LOG_ALWAYS(LOG_WARN, "socket_made_anew", LOG_TEXT("listen", crew->listener->text));
        crew_replace(crew);
        lost = false;
    } else if (lost && !master->socket_lost) {
        LOG_ALWAYS(LOG_ERROR, "socket_lost", LOG_TEXT("error", error.text));
    }
    master->socket_lost = lost;
}

static void watch(struct master *master) {
    struct crew *crew = &master->crew;
    while (!crew->stopping || crew_count(crew) > 0) {
        /* Workers that were stopped together with the master need that time, too, to drain. */
        master->kill_at_us += crew_check(crew);
        if (!crew->stopping) {
            check_mapping(master);
            check_socket(master);
            crew_tend(crew);
            reload_tend(&master->reload, crew);
            reap_pools(master);
        } else if (now_us(master) >= master->kill_at_us) {
            crew_signal(crew, SIGKILL);
        }
        struct pollfd watched[] = {{.fd = master->signals, .events = POLLIN},
                                   {.fd = crew->shared->master_descriptor, .events = POLLIN}};
        notify_beat(&master->notify, now_us(master));
        poll(watched, sizeof(watched) / sizeof(watched[0]),
             notify_patience_ms(&master->notify, now_us(master), crew_patience_ms(crew)));
        shared_heard(crew->shared);
        read_signals(master);
        if (!master->started && !crew->stopping)
            check_start(master);
    }
}

static void log_summary(const struct master *master) {
    const struct shared *shared = master->crew.shared;
    LOG_ALWAYS(LOG_INFO, "stopped", LOG_NUMBER("requests", shared_stat(shared, STAT_requests)),
               LOG_NUMBER("hits", shared_stat(shared, STAT_hits)),
               LOG_NUMBER("misses", shared_stat(shared, STAT_misses)),
               LOG_NUMBER("inferences", shared_stat(shared, STAT_inferences)),
               LOG_NUMBER("inference_seconds_saved", shared_stat(shared, STAT_inference_us_saved) / 1000000),
               LOG_NUMBER("unfinished", master->crew.unfinished));
}

static bool on_other_ended(void *user, pid_t pid, int status) {
    struct master *master = user;
    return reload_ended(&master->reload, &master->crew, pid, status);
}

int master_run(const struct master_options *options) {
    struct master master = {.adopted = options->handover->given};
    log_set_role("master", -1);
    title_set("inferonce: master");
    master.signals = signals_open();
    if (master.signals < 0) {
        LOG(LOG_ERROR, "no_signals", LOG_TEXT("error", strerror(errno)));
        return 1;
    }
    crew_init(&master.crew, options->settings, options->shared, options->listener, master.signals);
    master.crew.other_ended = on_other_ended;
    master.crew.user = &master;
    reload_init(&master.reload, options->n_arguments, options->arguments);
    notify_init(&master.notify);
    if (master.adopted) {
        crew_adopt(&master.crew, options->handover, options->same_mapping, master_workers(options->settings));
        crew_bury(&master.crew); /* who ended as the program was executed */
    }
    watch(&master);
    if (!master.failed)
        log_summary(&master);
    close(master.signals);
    return master.failed || master.crew.unfinished > 0 ? 1 : 0;
}
