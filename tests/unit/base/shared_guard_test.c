/* Accesses to a mapping whose file was cut short. */
#include "inferonce/base/shared_guard.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#define REGION_BYTES (1 << 20)

static char path[] = "/tmp/shared-guard-XXXXXX";

static void begin(struct shared *shared) {
    struct error error = {""};
    snprintf(path, sizeof(path), "/tmp/shared-guard-XXXXXX");
    int descriptor = mkstemp(path);
    CU_ASSERT_FATAL(descriptor >= 0);
    close(descriptor);
    CU_ASSERT_TRUE_FATAL(shared_create(shared, 1, path, REGION_BYTES, 7, &error));
    shared_ready(shared);
    memset(shared->region, 'x', REGION_BYTES);
    shared_guard_setup(shared);
    CU_ASSERT_FALSE(shared_guard_is_lost(shared));
}

static void end(struct shared *shared) {
    shared_destroy(shared);
    unlink(path);
    signal(SIGBUS, SIG_DFL);
}

static void test_cut(void) {
    static const off_t SIZES[] = {0, 4096, REGION_BYTES / 2};
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        struct shared shared;
        begin(&shared);
        volatile char *region = shared.region;
        size_t before = (size_t)((char *)shared.region - (char *)shared.mapping);
        CU_ASSERT_EQUAL(truncate(path, SIZES[i]), 0);
        CU_ASSERT_TRUE(shared_guard_is_lost(&shared)); /* before anybody has touched it */
        for (size_t at = 0; at < REGION_BYTES; at += 4096) {
            bool there = (off_t)(before + at) < SIZES[i];
            CU_ASSERT_EQUAL(region[at], there ? 'x' : 0);
            region[at] = 'y';
            CU_ASSERT_EQUAL(region[at], 'y');
        }
        CU_ASSERT_TRUE(shared_guard_is_lost(&shared));
        end(&shared);
    }
}

/* Another process, forked before, has memory of its own there. */
static void test_forked(void) {
    struct shared shared;
    begin(&shared);
    volatile char *region = shared.region;
    CU_ASSERT_EQUAL(truncate(path, 0), 0);
    pid_t pid = fork();
    if (pid == 0) {
        region[0] = 'z';
        _exit(region[0] == 'z' && shared_guard_is_lost(&shared) ? 0 : 1);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT_EQUAL(region[0], 0);
    end(&shared);
}

/* Some other file's loss is none that can be made up for. */
static void test_elsewhere(void) {
    char other[] = "/tmp/shared-guard-other-XXXXXX";
    struct shared shared;
    begin(&shared);
    pid_t pid = fork();
    if (pid == 0) {
        int descriptor = mkstemp(other);
        unlink(other);
        if (ftruncate(descriptor, 4096) != 0)
            _exit(2);
        volatile char *place = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
        if (ftruncate(descriptor, 0) != 0 || close(STDERR_FILENO) != 0)
            _exit(2);
        place[0] = 'x';
        _exit(0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    end(&shared);
}

static const struct unit_case CASES[] = {
    {"the file is cut short", test_cut},
    {"a process that was forked before", test_forked},
    {"another file", test_elsewhere},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "shared_guard", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
