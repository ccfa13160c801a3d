#include "inferonce/process/master.h"

#include <sched.h>
#include <sys/prctl.h>

#include "inferonce/base/cgroup.h"
#include "pool.h"

static int run_master(void) {
    static char name[] = "inferonce";
    static char *const arguments[] = {name, NULL};
    static const struct handover nothing;
    return master_run(&(struct master_options){.settings = &pool.settings,
                                               .shared = &pool.shared,
                                               .listener = &pool.listener,
                                               .n_arguments = 1,
                                               .arguments = arguments,
                                               .handover = &nothing});
}

static pid_t worker_pid(unsigned i) {
    return atomic_load(&pool_slot(i)->pid);
}

/* The workers are there, and told apart by their pids; they may not serve yet. */
static void start(unsigned workers, void (*change)(struct settings *settings)) {
    pool_setup(workers, change);
    pool_start(run_master);
    for (unsigned i = 0; i < workers; i++)
        POOL_WAIT(worker_pid(i) != 0);
}

static bool is_gone(pid_t pid) {
    return kill(pid, 0) != 0 && errno == ESRCH;
}

static void stop(void) {
    CU_ASSERT_EQUAL(kill(pool.process, SIGTERM), 0);
    pool_check_exit(0);
    pool_teardown();
}

/* ---- life ---- */

static void test_start_and_stop(void) {
    static const int SIGNALS[] = {SIGTERM, SIGINT, SIGQUIT};
    for (size_t i = 0; i < 3; i++) {
        start(3, NULL);
        pid_t pids[] = {worker_pid(0), worker_pid(1), worker_pid(2)};
        CU_ASSERT(pids[0] != pids[1] && pids[1] != pids[2] && pids[0] != pids[2]);
        CU_ASSERT_EQUAL(kill(pool.process, SIGNALS[i]), 0);
        pool_check_exit(0);
        for (unsigned w = 0; w < 3; w++) {
            CU_ASSERT(is_gone(pids[w]));
            CU_ASSERT_EQUAL(worker_pid(w), 0);
        }
        pool_teardown();
    }
}

static void test_killed_worker_is_replaced(void) {
    start(2, NULL);
    pid_t killed = worker_pid(0), other = worker_pid(1);
    uint64_t incarnation = atomic_load(&pool_slot(0)->incarnation);
    CU_ASSERT_EQUAL(kill(killed, SIGKILL), 0);
    POOL_WAIT(worker_pid(0) != killed && worker_pid(0) != 0);
    CU_ASSERT(atomic_load(&pool_slot(0)->incarnation) > incarnation); /* its leases are known to be dead */
    CU_ASSERT(is_gone(killed));
    CU_ASSERT_EQUAL(worker_pid(1), other);
    stop();
}

static bool serves(const struct shared_slot *slot) {
    return atomic_load(&slot->ready) && !atomic_load(&slot->draining);
}

/* Told to end by somebody else, a worker goes when its successor is ready: at every moment one serves. */
static void test_a_leaving_worker_has_a_successor(void) {
    start(1, NULL);
    POOL_WAIT(serves(pool_slot(0)));
    for (unsigned turn = 0; turn < 3; turn++) {
        unsigned slot = pool.shared.claimed[0];
        if (turn % 2)
            slot = shared_other_slot(slot);
        struct shared_slot *old = &pool.shared.slots[slot];
        struct shared_slot *successor = &pool.shared.slots[shared_other_slot(slot)];
        pid_t pid = atomic_load(&old->pid);
        CU_ASSERT_EQUAL(kill(pid, SIGTERM), 0);
        POOL_WAIT((serves(old) || serves(successor)) == false || is_gone(pid));
        CU_ASSERT(serves(successor));
        CU_ASSERT(is_gone(pid));
        POOL_WAIT(atomic_load(&old->pid) == 0);
    }
    stop();
}

static void test_all_leave_at_once(void) {
    start(3, NULL);
    pid_t pids[3];
    for (unsigned i = 0; i < 3; i++) {
        POOL_WAIT(serves(pool_slot(i)));
        pids[i] = worker_pid(i);
    }
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(kill(pids[i], SIGTERM), 0);
    for (unsigned i = 0; i < 3; i++) {
        POOL_WAIT(is_gone(pids[i]));
        CU_ASSERT(serves(&pool.shared.slots[shared_other_slot(pool.shared.claimed[i])]));
    }
    stop();
}

/* One that cannot start is tried again, at ever longer intervals: 100, 200, 400 ms. The others serve on. */
static void test_back_off(void) {
    pool_setup(2, NULL);
    int descriptor = pool.shared.wake_descriptors[pool.shared.claimed[0]];
    pool.shared.wake_descriptors[pool.shared.claimed[0]] = -1; /* it has nothing to be woken by */
    uint64_t incarnation = atomic_load(&pool_slot(0)->incarnation);
    uint64_t started_us = pool_now_us();
    pool_start(run_master);
    POOL_WAIT(worker_pid(1) != 0);
    pid_t other = worker_pid(1);
    POOL_WAIT(atomic_load(&pool_slot(0)->incarnation) >= incarnation + 4); /* raised by each death */
    CU_ASSERT(pool_now_us() - started_us >= 700000);
    CU_ASSERT_EQUAL(worker_pid(1), other);
    CU_ASSERT_EQUAL(kill(other, 0), 0);
    pool.shared.wake_descriptors[pool.shared.claimed[0]] = descriptor;
    uint64_t asked_us = pool_now_us();
    stop(); /* in the middle of a pause */
    CU_ASSERT(pool_now_us() - asked_us < POOL_PATIENCE_US / 2);
}

/* Neither of two can: the program ends, instead of holding a socket on which nobody answers. */
static void test_nobody_can_start(void) {
    int descriptors[2];
    pool_setup(2, NULL);
    for (unsigned i = 0; i < 2; i++) {
        descriptors[i] = pool.shared.wake_descriptors[pool.shared.claimed[i]];
        pool.shared.wake_descriptors[pool.shared.claimed[i]] = -1;
    }
    pool_start(run_master);
    pool_check_exit(1);
    CU_ASSERT_EQUAL(access(pool.listener.path, F_OK), -1);
    for (unsigned i = 0; i < 2; i++)
        pool.shared.wake_descriptors[pool.shared.claimed[i]] = descriptors[i];
    pool_teardown();
}

/* ---- workers that do not answer ---- */

static char state_of(pid_t pid) {
    char path[32], line[128] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    size_t length = fread(line, 1, sizeof(line) - 1, file);
    fclose(file);
    const char *name_end = strrchr(line, ')');
    CU_ASSERT_FATAL(length > 0 && name_end);
    return name_end[2];
}

/* As a loop that stands still looks from outside. A process that waits for a CPU stops when it gets it. */
static void freeze(unsigned i) {
    pid_t pid = worker_pid(i);
    CU_ASSERT_EQUAL(kill(pid, SIGSTOP), 0);
    POOL_WAIT(state_of(pid) == 'T');
}

/* As if it had not beaten for long. */
static void hang(unsigned i) {
    atomic_store(&pool_slot(i)->heartbeat_us, pool_now_us() - 31000000);
}

static void test_hung_worker_is_replaced(void) {
    start(2, NULL);
    pid_t hung = worker_pid(0), other = worker_pid(1);
    freeze(0);
    hang(0);
    POOL_WAIT(worker_pid(0) != hung && worker_pid(0) != 0);
    CU_ASSERT(is_gone(hung));
    CU_ASSERT_EQUAL(worker_pid(1), other);
    stop();
}

/* Worker 0 stands still because worker 1 was stopped while it held something. Whoever is not the cause goes
 * on once the cause is gone, and so is not to be ended with it. */
static void test_one_hung_worker_at_a_time(void) {
    start(2, NULL);
    pid_t behind = worker_pid(0), stopped = worker_pid(1);
    freeze(1);
    hang(1);
    POOL_WAIT((hang(0), worker_pid(1) != stopped));
    CU_ASSERT_EQUAL(worker_pid(0), behind);
    /* Unless it stands still for a reason of its own. */
    POOL_WAIT((hang(0), worker_pid(0) != behind));
    stop();
}

static void patient(struct settings *settings) {
    settings->drain_timeout_ms = 3600000;
}

static void test_second_signal(void) {
    start(2, patient);
    pid_t frozen = worker_pid(0), other = worker_pid(1);
    freeze(0);
    CU_ASSERT_EQUAL(kill(pool.process, SIGTERM), 0);
    POOL_WAIT(worker_pid(1) == 0); /* it drained */
    CU_ASSERT(is_gone(other));
    CU_ASSERT_EQUAL(worker_pid(0), frozen);
    CU_ASSERT_EQUAL(kill(pool.process, SIGINT), 0);
    pool_check_exit(0);
    CU_ASSERT(is_gone(frozen));
    pool_teardown();
}

static void impatient(struct settings *settings) {
    settings->drain_timeout_ms = 0;
}

/* Without a second signal it is ended a little after DRAIN_TIMEOUT. */
static void test_drain_timeout(void) {
    start(1, impatient);
    pid_t frozen = worker_pid(0);
    freeze(0);
    CU_ASSERT_EQUAL(kill(pool.process, SIGTERM), 0);
    pool_check_exit(0);
    CU_ASSERT(is_gone(frozen));
    pool_teardown();
}

/* A worker that ends while the master stops is not replaced. */
static void test_no_replacement_while_stopping(void) {
    start(2, patient);
    uint64_t incarnation = atomic_load(&pool_slot(1)->incarnation);
    freeze(0);
    CU_ASSERT_EQUAL(kill(pool.process, SIGTERM), 0);
    POOL_WAIT(worker_pid(1) == 0);
    CU_ASSERT_EQUAL(kill(worker_pid(0), SIGKILL), 0);
    pool_check_exit(0);
    CU_ASSERT_EQUAL(atomic_load(&pool_slot(1)->incarnation), incarnation + 1);
    pool_teardown();
}

/* ---- the master itself is killed ---- */

static void test_orphans_end(void) {
    int status = 0;
    CU_ASSERT_EQUAL(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); /* its workers become ours, to be reaped */
    start(1, NULL);
    pid_t orphan = worker_pid(0);
    CU_ASSERT_EQUAL(kill(pool.process, SIGKILL), 0);
    POOL_WAIT(pool_ended(pool.process, &status));
    POOL_WAIT(pool_ended(orphan, &status));
    CU_ASSERT(WIFEXITED(status));
    CU_ASSERT_EQUAL(WEXITSTATUS(status), 0); /* drained, not killed */
    pool_teardown();
}

/* ---- how many ---- */

static bool on_one_cpu_one(void) {
    struct settings settings;
    cpu_set_t allowed, one;
    settings_defaults(&settings);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        return false;
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
        if (CPU_ISSET(cpu, &allowed))
            CPU_SET(cpu, &one);
    struct cgroup_limits limits;
    cgroup_read("", &limits);
    uint64_t cpus = (uint64_t)CPU_COUNT(&allowed);
    return master_workers(&settings) == (limits.cpus < cpus ? limits.cpus : cpus) &&
           sched_setaffinity(0, sizeof(one), &one) == 0 && master_workers(&settings) == 1;
}

static void test_how_many(void) {
    struct settings settings;
    int status = 0;
    settings_defaults(&settings);
    settings.workers = 1;
    CU_ASSERT_EQUAL(master_workers(&settings), 1);
    settings.workers = WORKERS_MAX;
    CU_ASSERT_EQUAL(master_workers(&settings), WORKERS_MAX);
    pid_t child = fork();
    if (child == 0)
        _exit(on_one_cpu_one() ? 0 : 1);
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
}

static const struct unit_case CASES[] = {
    {"start and stop", test_start_and_stop},
    {"a killed worker is replaced", test_killed_worker_is_replaced},
    {"a leaving worker has a successor", test_a_leaving_worker_has_a_successor},
    {"all leave at once", test_all_leave_at_once},
    {"a worker that cannot start", test_back_off},
    {"nobody can start", test_nobody_can_start},
    {"a hung worker is replaced", test_hung_worker_is_replaced},
    {"hung workers are ended one at a time", test_one_hung_worker_at_a_time},
    {"a second signal ends it at once", test_second_signal},
    {"a worker that does not drain is killed", test_drain_timeout},
    {"nobody is replaced while it stops", test_no_replacement_while_stopping},
    {"without a master workers end", test_orphans_end},
    {"how many workers", test_how_many},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "master", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
