/* A pool of one test: settings, shared mapping, a listening socket in a directory of its own, and the process
 * in which what is tested runs. Waiting is for a condition, and bounded. */
#ifndef INFERONCE_TESTS_POOL_H
#define INFERONCE_TESTS_POOL_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "inferonce/base/clock.h"
#include "inferonce/base/log.h"
#include "inferonce/process/listener.h"
#include "inferonce/process/master.h"
#include "inferonce/store/memory.h"
#include "unit.h"

#define POOL_PATIENCE_US UINT64_C(20000000)

static struct {
    char directory[80];
    struct settings settings;
    struct shared shared;
    struct listener listener;
    pid_t process; /* the master's, or the worker's */
} pool;

static inline uint64_t pool_now_us(void) {
    static const struct clock system_clock = {.fake = false};
    return clock_monotonic_us(&system_clock);
}

static inline void pool_nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
}

/* Until `condition` holds; a failed assertion when it never does. It is not asked again once it held. */
#define POOL_WAIT(condition)                                              \
    do {                                                                  \
        uint64_t patient_until_us = pool_now_us() + POOL_PATIENCE_US;     \
        bool held;                                                        \
        while (!(held = (condition)) && pool_now_us() < patient_until_us) \
            pool_nap();                                                   \
        CU_ASSERT_FATAL(held);                                            \
    } while (0)

static inline struct shared_slot *pool_slot(unsigned i) {
    return &pool.shared.slots[pool.shared.claimed[i]];
}

/* Everything but the process. `change` may be NULL. */
static inline void pool_setup(unsigned workers, void (*change)(struct settings *settings)) {
    static const struct clock system_clock = {.fake = false};
    struct error error = {""};
    memset(&pool, 0, sizeof(pool));
    CU_ASSERT_FATAL(unit_directory(pool.directory, sizeof(pool.directory), "pool"));
    settings_defaults(&pool.settings);
    pool.settings.workers = workers;
    snprintf(pool.settings.listen, sizeof(pool.settings.listen), "unix:%s/socket", pool.directory);
    if (change)
        change(&pool.settings);
    CU_ASSERT_FATAL(listener_open(&pool.listener, &pool.settings, &error));
    struct memory_layout layout = memory_layout_of(&pool.settings, workers);
    CU_ASSERT_FATAL(shared_create(&pool.shared, workers, NULL, memory_region_bytes(&layout),
                                  memory_region_tag(&layout), &error));
    memory_region_setup(pool.shared.region, &layout, true, &system_clock);
    shared_ready(&pool.shared);
}

/* Runs `body` in a child, which ends with what it returns. */
static inline void pool_start(int (*body)(void)) {
    fflush(NULL);
    pool.process = fork();
    CU_ASSERT_FATAL(pool.process >= 0);
    if (pool.process > 0)
        return;
    log_setup(LOG_ERROR, LOG_LOGFMT,
              open("/dev/null", O_WRONLY | O_CLOEXEC)); /* what is done here is on purpose */
    exit(body());
}

/* Whether the process has ended; it is reaped then, and `status` is that of waitpid. */
static inline bool pool_ended(pid_t process, int *status) {
    return waitpid(process, status, WNOHANG) == process;
}

/* Waits for the end of the process, which shall be an exit with this status. */
static inline void pool_check_exit(int expected) {
    int status = 0;
    POOL_WAIT(pool_ended(pool.process, &status));
    CU_ASSERT(WIFEXITED(status));
    CU_ASSERT_EQUAL(WEXITSTATUS(status), expected);
}

static inline void pool_teardown(void) {
    listener_close(&pool.listener);
    shared_destroy(&pool.shared);
    CU_ASSERT_EQUAL(rmdir(pool.directory), 0);
}

#endif
