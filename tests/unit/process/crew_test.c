#include "process/crew.h"

#include <sys/ptrace.h>

#include "pool.h"

/* A crew of two whose workers do nothing, at a time that the test sets. Nobody is started: what is tested is
 * who is ended. */
static struct crew crew;
static pid_t pids[2];

#define SECOND UINT64_C(1000000)

static void begin(void) {
    pool_setup(2, NULL);
    crew_init(&crew, &pool.settings, &pool.shared, &pool.listener, -1);
    crew.clock = (struct clock){.fake = true, .monotonic_us = 1000 * SECOND};
    crew.began_us = crew.looked_us = crew.clock.monotonic_us;
    for (unsigned i = 0; i < 2; i++) {
        pids[i] = fork();
        CU_ASSERT_FATAL(pids[i] >= 0);
        while (pids[i] == 0)
            pause();
        crew.posts[i].children[0].pid = pids[i];
        atomic_store(&pool_slot(i)->pid, pids[i]);
        atomic_store(&pool_slot(i)->heartbeat_us, crew.clock.monotonic_us);
    }
}

/* A dead child stays a zombie until it is reaped. */
static bool is_killed(unsigned i) {
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOHANG | WNOWAIT) == 0)
        return info.si_pid == pids[i] && info.si_code == CLD_KILLED; /* and not stopped in a debugger */
    return true;
}

static void end(void) {
    for (unsigned i = 0; i < 2; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    pool_teardown();
}

/* `seconds` pass while the master looks every second, or, with a step of more, as it is stopped itself. */
static void pass(unsigned seconds, unsigned step, void (*beat)(void)) {
    for (unsigned passed = 0; passed < seconds; passed += step) {
        crew.clock.monotonic_us += step * SECOND;
        if (beat)
            beat();
        crew_check(&crew);
        crew_tend(&crew);
    }
}

static void beat_of_1(void) {
    atomic_store(&pool_slot(1)->heartbeat_us, crew.clock.monotonic_us);
}

static void beat_of_both(void) {
    atomic_store(&pool_slot(0)->heartbeat_us, crew.clock.monotonic_us);
    beat_of_1();
}

static void test_who_hangs_is_ended(void) {
    begin();
    pass(29, 1, beat_of_1);
    CU_ASSERT_FALSE(is_killed(0));
    pass(1, 1, beat_of_1);
    POOL_WAIT(is_killed(0));
    pass(60, 1, beat_of_1);
    CU_ASSERT_FALSE(is_killed(1));
    end();
}

/* The whole group is stopped for longer than a worker may hang, again and again; after each pause the workers
 * have their time to beat. */
static void test_after_a_pause(void) {
    begin();
    for (unsigned round = 0; round < 3; round++) {
        pass(31, 31, NULL);
        pass(20, 1, NULL);
        CU_ASSERT_FALSE(is_killed(0) || is_killed(1));
    }
    pass(10, 1, beat_of_1);
    POOL_WAIT(is_killed(0)); /* one that does not */
    CU_ASSERT_FALSE(is_killed(1));
    end();
}

static void test_a_pause_is_told(void) {
    begin();
    crew.clock.monotonic_us += SECOND;
    CU_ASSERT_EQUAL(crew_check(&crew), 0);
    crew.clock.monotonic_us += 31 * SECOND;
    CU_ASSERT_EQUAL(crew_check(&crew), 31 * SECOND);
    CU_ASSERT_EQUAL(crew_check(&crew), 0);
    end();
}

static char state_of(pid_t pid) {
    char path[32], line[128] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT(fread(line, 1, sizeof(line) - 1, file) > 0);
    fclose(file);
    return strrchr(line, ')')[2];
}

/* The other one may stand behind it. */
static void test_in_a_debugger(void) {
    begin();
    CU_ASSERT_EQUAL_FATAL(ptrace(PTRACE_SEIZE, pids[0], 0, 0), 0);
    CU_ASSERT_EQUAL_FATAL(ptrace(PTRACE_INTERRUPT, pids[0], 0, 0), 0);
    POOL_WAIT(state_of(pids[0]) == 't');
    pass(120, 1, NULL);
    CU_ASSERT_FALSE(is_killed(0) || is_killed(1));
    /* It goes on: it has its time to beat. */
    CU_ASSERT_EQUAL(waitpid(pids[0], NULL, __WALL), pids[0]);
    CU_ASSERT_EQUAL(ptrace(PTRACE_DETACH, pids[0], 0, 0), 0);
    POOL_WAIT(state_of(pids[0]) == 'S');
    pass(29, 1, beat_of_1);
    CU_ASSERT_FALSE(is_killed(0));
    pass(2, 1, beat_of_1);
    POOL_WAIT(is_killed(0));
    end();
}

/* ---- workers with another mapping ---- */

/* One that does not end although it was told to. */
static void test_a_former_worker_hangs(void) {
    begin();
    pool.settings.drain_timeout_ms = 3000;
    int told[2];
    char byte;
    CU_ASSERT_EQUAL_FATAL(pipe(told), 0);
    pid_t former = fork();
    CU_ASSERT_FATAL(former >= 0);
    if (former == 0) {
        signal(SIGTERM, SIG_IGN);
        while (write(told[1], "!", 1) == 1)
            pause();
        _exit(1);
    }
    CU_ASSERT_EQUAL_FATAL(read(told[0], &byte, 1), 1);
    kill(pids[0], SIGKILL);
    waitpid(pids[0], NULL, 0);
    pids[0] = former;
    crew.posts[0].children[0].pid = pids[1];
    crew.former[crew.n_former++] = former;
    pass(20, 1, beat_of_both); /* nobody serves instead: it is needed */
    CU_ASSERT_FALSE(is_killed(0));
    atomic_store(&pool_slot(1)->ready, 1);
    pass(10, 1, beat_of_both); /* told in the first of them */
    pass(31, 31, beat_of_both);
    CU_ASSERT_FALSE(is_killed(0) || is_killed(1));
    pass(1, 1, beat_of_both);
    POOL_WAIT(is_killed(0));
    CU_ASSERT_FALSE(is_killed(1));
    close(told[0]);
    close(told[1]);
    end();
}

/* ---- start ---- */

static void test_nobody_is_ready_in_time(void) {
    struct error error = {""};
    begin();
    pass(14, 1, NULL);
    CU_ASSERT_FALSE(crew_serves(&crew) || crew_cannot_start(&crew, &error));
    pass(31, 31, NULL); /* the time in which the master was stopped does not count */
    CU_ASSERT_FALSE(crew_cannot_start(&crew, &error));
    pass(15, 1, NULL);
    CU_ASSERT(crew_cannot_start(&crew, &error));
    CU_ASSERT_STRING_EQUAL(error.text, "no worker was ready within 15 s");
    atomic_store(&pool_slot(1)->ready, 1);
    CU_ASSERT(crew_serves(&crew));
    end();
}

static void test_everybody_failed(void) {
    struct error error = {""};
    begin();
    crew.posts[0].failures = 5;
    crew.posts[1].failures = 1;
    CU_ASSERT_FALSE(crew_cannot_start(&crew, &error));
    crew.posts[1].failures = 2;
    strcpy(crew.failure, "worker 1 exited with status 1");
    CU_ASSERT(crew_cannot_start(&crew, &error));
    CU_ASSERT_STRING_EQUAL(error.text, "no worker can start: worker 1 exited with status 1");
    end();
}

/* A worker of the image before serves on; its successor hangs. */
static void test_who_is_handed_over(void) {
    begin();
    CU_ASSERT(crew_may_reload(&crew));
    struct child *successor = &crew.posts[0].children[1];
    crew.posts[0].serving = 1;
    *successor = (struct child){.pid = pids[1], .slot = shared_other_slot(crew.posts[0].children[0].slot)};
    crew.posts[1].children[0].pid = 0;
    shared_slot_assign(&pool.shared, successor->slot, pids[1]);
    CU_ASSERT_FALSE(crew_may_reload(&crew));
    crew_end_unready(&crew);
    CU_ASSERT_EQUAL(successor->pid, pids[1]);
    crew.unsucceeded = true;
    CU_ASSERT(crew_may_reload(&crew));
    crew_end_unready(&crew);
    POOL_WAIT(is_killed(1));
    CU_ASSERT_FALSE(is_killed(0));
    CU_ASSERT_EQUAL(successor->pid, 0);
    CU_ASSERT_EQUAL(crew.posts[0].children[0].pid, pids[0]);
    CU_ASSERT_FALSE(shared_slot_lives(&pool.shared, successor->slot));
    atomic_store(&pool_slot(0)->ready, 1);
    crew.posts[0].serving = 0;
    CU_ASSERT_FALSE(crew_may_reload(&crew)); /* one serves, and the other post has nobody */
    crew_end_unready(&crew);
    CU_ASSERT_FALSE(is_killed(0));
    end();
}

static const struct unit_case CASES[] = {
    {"a worker that hangs is ended", test_who_hangs_is_ended},
    {"nobody is ended for a pause of everything", test_after_a_pause},
    {"a pause is told", test_a_pause_is_told},
    {"nobody is ended while one is in a debugger", test_in_a_debugger},
    {"a former worker that hangs is ended", test_a_former_worker_hangs},
    {"one worker of each post is handed over", test_who_is_handed_over},
    {"nobody is ready in time", test_nobody_is_ready_in_time},
    {"everybody failed", test_everybody_failed},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "crew", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
