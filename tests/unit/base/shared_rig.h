/* A shared mapping and the path of its file, for tests, and the processes that use both. */
#ifndef INFERONCE_TESTS_SHARED_RIG_H
#define INFERONCE_TESTS_SHARED_RIG_H

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inferonce/base/shared.h"
#include "unit.h"

#define REGION   100000
#define TAG      UINT64_C(0x1234)
#define DEADLINE 20000 /* ms; only what has failed takes so long */

static char directory[256];
static char path[300];

static inline void make_directory(void) {
    CU_ASSERT_FATAL(unit_directory(directory, sizeof(directory), "shared"));
    snprintf(path, sizeof(path), "%s/cache", directory);
}

static inline void remove_directory(void) {
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(directory), 0);
}

static inline bool create(struct shared *shared, unsigned workers, struct error *error) {
    return shared_create(shared, workers, path, REGION, TAG, error);
}

static inline int exit_code(pid_t child) {
    int status = 0;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline bool wait_for_wake(const struct shared *shared, unsigned slot, int timeout_ms) {
    struct pollfd readable = {.fd = shared->wake_descriptors[slot], .events = POLLIN};
    return poll(&readable, 1, timeout_ms) == 1;
}

#endif
