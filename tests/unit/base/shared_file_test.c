/* The file of a shared mapping: it survives a restart; one that is useless is made anew, one of others is
 * refused. */
#include "shared_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "inferonce/base/log.h"
#include "inferonce/base/shared_file.h"

/* Leaves a file that was set up whole, with `mark` at the end of its region. */
static uint64_t leave_file(unsigned char mark) {
    struct shared shared;
    struct error error = {""};
    CU_ASSERT_FATAL(create(&shared, 2, &error));
    memset(shared.region, mark, REGION);
    shared_ready(&shared);
    uint64_t instance = shared.instance;
    shared_destroy(&shared);
    return instance;
}

static void test_file_is_made(void) {
    struct shared shared;
    struct error error = {""};
    struct stat status;
    make_directory();
    CU_ASSERT_FATAL(create(&shared, 2, &error));
    CU_ASSERT(shared.first && shared.fresh);
    CU_ASSERT_EQUAL(fstat(shared.descriptor, &status), 0);
    CU_ASSERT_EQUAL(status.st_mode & 07777, 0600);
    CU_ASSERT(status.st_size > REGION);
    CU_ASSERT(status.st_blocks * 512 >= status.st_size);
    CU_ASSERT_EQUAL(fcntl(shared.descriptor, F_GETFD), FD_CLOEXEC);
    shared_ready(&shared);
    shared_destroy(&shared);
    remove_directory();
}

static void test_file_survives_a_restart(void) {
    struct shared shared;
    struct error error = {""};
    make_directory();
    CU_ASSERT_FATAL(create(&shared, 2, &error));
    memset(shared.region, 'k', REGION);
    shared_ready(&shared);
    for (unsigned i = 0; i < 2; i++)
        shared_slot_assign(&shared, shared.claimed[i], 4711);
    uint64_t instance = shared.instance;
    uint64_t epochs[] = {shared.slots[0].incarnation, shared.slots[1].incarnation};
    stats_count(&shared.stats[shared.claimed[0]], STAT_hits);
    stats_count(&shared.stats[shared.claimed[1]], STAT_parked);
    shared_interest_register(&shared, shared.claimed[0], 7);
    shared_destroy(&shared);

    CU_ASSERT_FATAL(create(&shared, 1, &error));
    CU_ASSERT(shared.first && !shared.fresh);
    for (size_t i = 0; i < REGION; i++)
        CU_ASSERT_EQUAL_FATAL(((char *)shared.region)[i], 'k');
    CU_ASSERT_EQUAL(shared_stat(&shared, STAT_hits), 0);
    CU_ASSERT_EQUAL(shared_stat(&shared, STAT_parked), 0);
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        CU_ASSERT_EQUAL(shared.slots[slot].pid, 0);
    /* A lease of the last run is known to be of a dead owner, whether its slot has a new one or not. */
    CU_ASSERT(shared_owner_is_dead(&shared, instance, 0, epochs[0]));
    CU_ASSERT(shared_owner_is_dead(&shared, instance, 1, epochs[1]));
    shared_ready(&shared);
    shared_wake(&shared, 7);
    CU_ASSERT_FALSE(wait_for_wake(&shared, shared.claimed[0], 0));
    shared_destroy(&shared);
    remove_directory();
}

static void test_killed_during_set_up(void) {
    struct shared shared;
    struct error error = {""};
    make_directory();
    for (int previous = 0; previous < 2; previous++) {
        if (previous == 1)
            leave_file('k');
        pid_t child = fork();
        CU_ASSERT_FATAL(child >= 0);
        if (child == 0) {
            bool created = create(&shared, 2, &error);
            kill(getpid(), created ? SIGKILL : SIGTERM);
        }
        int status = 0;
        CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
        CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        CU_ASSERT_FATAL(create(&shared, 2, &error));
        CU_ASSERT(shared.first && shared.fresh);
        CU_ASSERT_EQUAL(((char *)shared.region)[REGION - 1], 0);
        shared_ready(&shared);
        shared_destroy(&shared);
    }
    remove_directory();
}

/* ---- a file that is not what it should be ---- */

static void overwrite(off_t at, const void *data, size_t length) {
    int descriptor = open(path, O_WRONLY | O_CREAT, 0600);
    CU_ASSERT_FATAL(descriptor >= 0);
    CU_ASSERT_EQUAL(pwrite(descriptor, data, length, at), (ssize_t)length);
    close(descriptor);
}

static void cut_to(off_t size) {
    CU_ASSERT_EQUAL(truncate(path, size), 0);
}

static void change_boot_id(void) {
    char head[4096];
    char boot_id[64] = "";
    FILE *boot = fopen("/proc/sys/kernel/random/boot_id", "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(boot);
    CU_ASSERT_FATAL(fscanf(boot, "%63s", boot_id) == 1);
    fclose(boot);
    FILE *file = fopen(path, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL_FATAL(fread(head, 1, sizeof(head), file), sizeof(head));
    fclose(file);
    const char *found = memmem(head, sizeof(head), boot_id, strlen(boot_id));
    CU_ASSERT_PTR_NOT_NULL_FATAL(found);
    overwrite(found - head, found[0] == '0' ? "1" : "0", 1);
}

/* Opens the file again, which must be found useless for the reason given, in one line of the log. */
static void expect_recreated(size_t region_bytes, uint64_t tag, const char *reason) {
    int ends[2];
    char line[4096];
    struct shared shared;
    struct error error = {""};
    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_NONBLOCK), 0);
    log_setup(LOG_INFO, LOG_LOGFMT, ends[1]);
    struct clock clock = {.fake = true};
    static uint64_t seconds;
    clock.monotonic_us = ++seconds * 1000000;
    log_set_clock(&clock);
    bool created = shared_create(&shared, 2, path, region_bytes, tag, &error);
    log_set_clock(NULL);
    log_setup(LOG_INFO, LOG_LOGFMT, STDERR_FILENO);
    CU_ASSERT_FATAL(created);
    CU_ASSERT(shared.first && shared.fresh);
    for (size_t i = 0; i < region_bytes; i++)
        CU_ASSERT_EQUAL_FATAL(((char *)shared.region)[i], 0);
    shared_ready(&shared);
    shared_destroy(&shared);
    ssize_t length = read(ends[0], line, sizeof(line) - 1);
    line[length > 0 ? length : 0] = '\0';
    CU_ASSERT_PTR_NOT_NULL(strstr(line, path));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, reason));
    CU_ASSERT_PTR_EQUAL(strchr(line, '\n'), strrchr(line, '\n'));
    close(ends[0]);
    close(ends[1]);
}

static void test_useless_files_are_recreated(void) {
    static char noise[300000];
    srandom(1);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)random();
    make_directory();
    struct stat whole;
    uint64_t instance = leave_file('k');
    CU_ASSERT_EQUAL(stat(path, &whole), 0);

    expect_recreated(REGION, TAG + 1, "other sizes");
    expect_recreated(REGION + 1, TAG + 1, "other sizes");
    expect_recreated(REGION, TAG, "other sizes");
    CU_ASSERT_NOT_EQUAL(leave_file('k'), instance);
    cut_to(whole.st_size - 1);
    expect_recreated(REGION, TAG, "cut short");
    leave_file('k');
    cut_to(whole.st_size + 1);
    expect_recreated(REGION, TAG, "grown");
    leave_file('k');
    cut_to(4096);
    expect_recreated(REGION, TAG, "cut short");
    leave_file('k');
    cut_to(8);
    expect_recreated(REGION, TAG, "cut short");
    leave_file('k');
    cut_to(0);
    CU_ASSERT_NOT_EQUAL(leave_file('k'), instance);
    overwrite(8, noise, 8);
    expect_recreated(REGION, TAG, "another version");
    leave_file('k');
    change_boot_id();
    expect_recreated(REGION, TAG, "before the machine was started");
    remove_directory();
}

/* Any byte of the fixed part may be wrong; no content of it may harm the process. */
static void test_noise_behind_the_header(void) {
    static char noise[100000];
    srandom(2);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)random();
    struct shared shared;
    struct error error = {""};
    make_directory();
    leave_file('k');
    overwrite(4096, noise, sizeof(noise));
    CU_ASSERT_FATAL(create(&shared, 2, &error));
    CU_ASSERT(shared.first && !shared.fresh);
    for (size_t i = 0; i < STATS_COUNT; i++)
        CU_ASSERT_EQUAL(shared_stat(&shared, (enum statistic)i), 0);
    CU_ASSERT(shared.slots[shared.claimed[0]].incarnation > 0);
    CU_ASSERT_EQUAL(shared.slots[20].pid, 0);
    shared_wake(&shared, 20);
    CU_ASSERT_FALSE(wait_for_wake(&shared, shared.claimed[0], 0));
    shared_ready(&shared);
    shared_destroy(&shared);
    remove_directory();
}

static void expect_refused(const char *reason) {
    struct shared shared;
    struct error error = {""};
    int next = dup(STDERR_FILENO);
    close(next);
    CU_ASSERT_FALSE(create(&shared, 2, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, path));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, reason));
    CU_ASSERT_EQUAL(shared.descriptor, -1);
    int again = dup(STDERR_FILENO);
    CU_ASSERT_EQUAL(again, next);
    close(again);
}

/* Refused by the check at start and when it is opened, and not a byte of it is changed. */
static void expect_left_alone(const char *content, size_t length) {
    static char found[300000];
    struct error error = {""};
    overwrite(0, content, length);
    cut_to((off_t)length);
    CU_ASSERT_FALSE(shared_file_check(path, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, path));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "something else"));
    expect_refused("something else");
    FILE *file = fopen(path, "re");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fread(found, 1, sizeof(found), file), length);
    CU_ASSERT_EQUAL(memcmp(found, content, length), 0);
    fclose(file);
}

static void test_files_of_others_are_left_alone(void) {
    static char noise[200000];
    srandom(3);
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (char)random();
    make_directory();
    expect_left_alone(noise, sizeof(noise));
    expect_left_alone("root:x:0:0:", 11);
    expect_left_alone("nfe", 3); /* not even a whole magic */
    expect_left_alone("\0", 1);
    cut_to(0);
    CU_ASSERT(shared_file_check(path, NULL));
    leave_file('k');
    CU_ASSERT(shared_file_check(path, NULL));
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT(shared_file_check(path, NULL));
    CU_ASSERT(shared_file_check("", NULL) && shared_file_check(NULL, NULL));
    remove_directory();
}

static void expect_no_file(const char *reason) {
    struct error error = {""};
    CU_ASSERT_FALSE(shared_file_check(path, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, reason));
}

static void test_no_regular_file(void) {
    make_directory();
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    expect_refused("Is a directory");
    expect_no_file("Is a directory");
    rmdir(path);
    CU_ASSERT_EQUAL(symlink("/dev/null", path), 0);
    expect_refused("symbolic link");
    expect_no_file("symbolic link");
    unlink(path);
    CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
    expect_refused("not a regular file");
    expect_no_file("not a regular file");
    unlink(path);
    char good[sizeof(path)];
    strcpy(good, path);
    strcat(path, "/below");
    expect_refused("No such file or directory");
    fclose(fopen(good, "we"));
    expect_refused("Not a directory");
    strcpy(path, good);
    remove_directory();
}

static void test_no_room_for_the_file(void) {
    struct shared shared;
    struct stat status;
    make_directory();
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        struct error error = {""};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){8192, 8192});
        _exit(!create(&shared, 2, &error) && strstr(error.text, "cannot reserve") ? 0 : 1);
    }
    CU_ASSERT_EQUAL(exit_code(child), 0);
    CU_ASSERT_EQUAL(stat(path, &status), 0);
    CU_ASSERT_EQUAL(status.st_size, 0);
    remove_directory();
}

static const struct unit_case CASES[] = {
    {"a file is made", test_file_is_made},
    {"a file survives a restart", test_file_survives_a_restart},
    {"a set-up that was killed is done anew", test_killed_during_set_up},
    {"useless files are recreated and the log says why", test_useless_files_are_recreated},
    {"noise behind the header does no harm", test_noise_behind_the_header},
    {"files of others are left alone", test_files_of_others_are_left_alone},
    {"what is no regular file is refused", test_no_regular_file},
    {"no room for the file", test_no_room_for_the_file},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "shared_file", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
