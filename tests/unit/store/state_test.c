#include "inferonce/store/state.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory_rig.h"
#include "store/remote/pending.h"
#include "unit.h"

static char directory[] = "/tmp/inferonce-state-XXXXXX";
static char path[64];

static struct shared open_as(bool first, const char *at, bool wanted) {
    struct error error = {""};
    struct shared shared = {.state_descriptor = -1, .first = first};
    CU_ASSERT_EQUAL(state_open(&shared, at, &error), wanted);
    CU_ASSERT_EQUAL(shared.state != NULL, wanted);
    CU_ASSERT_EQUAL(error.text[0] == '\0', wanted);
    return shared;
}

/* By the first process of a host. */
static struct shared open_at(const char *at, bool wanted) {
    return open_as(true, at, wanted);
}

static void write_file(const char *text, size_t length) {
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CU_ASSERT_EQUAL_FATAL(write(descriptor, text, length), (ssize_t)length);
    close(descriptor);
}

static off_t size_of_file(void) {
    struct stat status;
    CU_ASSERT_EQUAL_FATAL(stat(path, &status), 0);
    return status.st_size;
}

static void add(struct shared *shared, uint8_t n) {
    struct pending pending = {.server = 7, .kind = STORE_GENERATION, .epoch = n};
    pending.key[0] = n;
    CU_ASSERT(pending_add(shared->state, &pending));
}

static void test_survives(void) {
    struct shared shared = open_at(path, true);
    CU_ASSERT_EQUAL(pending_count(shared.state, 7), 0);
    add(&shared, 1);
    pending_server_has_purge(shared.state, 7, 1234);
    state_close(&shared);
    CU_ASSERT_PTR_NULL(shared.state);
    shared = open_at(path, true);
    CU_ASSERT_EQUAL(pending_count(shared.state, 7), 1);
    CU_ASSERT_EQUAL(pending_server_purge(shared.state, 7), 1234);
    CU_ASSERT_EQUAL(pending_last_purge(shared.state), 1234);
    state_close(&shared);
    unlink(path);
}

static void test_shared_by_masters(void) {
    struct shared one = open_at(path, true);
    add(&one, 1);
    struct shared two = open_at(path, true);
    add(&two, 2); /* its lock was not made anew under the first one's feet */
    CU_ASSERT_EQUAL(pending_count(one.state, 7), 2);
    state_close(&one);
    CU_ASSERT_EQUAL(pending_count(two.state, 7), 2);
    state_close(&two);
    unlink(path);
}

static bool is_unknown(const struct shared *shared) {
    static const uint64_t SERVERS[] = {9};
    bool known = pending_count(shared->state, 9) == 0;
    CU_ASSERT(pending_assume_all(shared->state, SERVERS, 1, 1000));
    return known && pending_count(shared->state, 9) == 1;
}

/* Opens the file, which is to begin anew, closes it, and opens it as it is then. */
static void expect_anew(const char *row, bool first, bool unknown) {
    unit_row(row);
    struct shared shared = open_as(first, path, true);
    off_t size = size_of_file();
    CU_ASSERT_EQUAL(pending_count(shared.state, 7), 0);
    CU_ASSERT_EQUAL(is_unknown(&shared), unknown);
    add(&shared, 1);
    state_close(&shared);
    shared = open_as(first, path, true);
    CU_ASSERT_EQUAL(size_of_file(), size);
    CU_ASSERT_EQUAL(pending_count(shared.state, 7), 1);
    CU_ASSERT_FALSE(is_unknown(&shared)); /* it was told once */
    state_close(&shared);
}

static void write_word(off_t at, uint64_t word) {
    int descriptor = open(path, O_RDWR);
    CU_ASSERT_EQUAL(pwrite(descriptor, &word, sizeof(word), at), sizeof(word));
    close(descriptor);
}

/* A lock is in the file as a process left it that was killed, or a machine that stopped. */
static void test_a_lock_that_was_held(void) {
    struct shared shared = open_at(path, true);
    off_t lock = (char *)&((struct pendings *)shared.state)->lock - (char *)shared.state_mapping;
    state_close(&shared);
    for (size_t i = 0; i < sizeof(pthread_mutex_t); i += sizeof(uint64_t))
        write_word(lock + (off_t)i, UINT64_MAX);
    shared = open_at(path, true);
    add(&shared, 1);
    CU_ASSERT_EQUAL(pending_count(shared.state, 7), 1);
    state_close(&shared);
    unlink(path);
}

/* Only a host that begins and never had a file knows what the file held: nothing. */
static void test_files_that_begin_anew(void) {
    expect_anew("there is none, on a host that begins", true, false);
    CU_ASSERT_EQUAL(truncate(path, size_of_file() / 2), 0);
    expect_anew("cut short", true, true);
    write_word(8, 1);
    expect_anew("of another size", true, true);
    write_word(16, 1000);
    expect_anew("of another layout", true, true);
    CU_ASSERT_EQUAL(truncate(path, 8), 0);
    expect_anew("its set-up was interrupted", true, true);
    write_file("", 0);
    expect_anew("emptied", true, true);
    unlink(path);
    expect_anew("there is none, on a host whose mapping is older", false, true);
    unlink(path);
}

/* Another process has the file: what is not whole is not shared, and not made anew under its feet. */
static void test_not_shared_unless_whole(void) {
    struct shared one = open_at(path, true);
    off_t size = size_of_file();
    write_word(16, 1000);
    (void)open_as(false, path, false);
    CU_ASSERT_EQUAL(size_of_file(), size);
    CU_ASSERT_EQUAL(truncate(path, size / 2), 0);
    (void)open_as(false, path, false);
    CU_ASSERT_EQUAL(size_of_file(), size / 2);
    state_close(&one);
    struct shared two = open_as(false, path, true);
    CU_ASSERT_EQUAL(size_of_file(), size);
    state_close(&two);
    unlink(path);
}

static void test_what_is_not_touched(void) {
    static const char LETTER[] = "a letter";
    write_file(LETTER, sizeof(LETTER));
    (void)open_at(path, false);
    CU_ASSERT_EQUAL(size_of_file(), sizeof(LETTER));
    unlink(path);
    (void)open_at("/nowhere/at/all", false);
    (void)open_at(directory, false);
    CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
    (void)open_at(path, false);
    unlink(path);
    CU_ASSERT_EQUAL(symlink("/dev/null", path), 0);
    (void)open_at(path, false);
    unlink(path);
}

/* A full disk: nothing is left half done. */
static void test_no_room_for_the_file(void) {
    int status;
    pid_t child = fork();
    if (child == 0) {
        struct error error = {""};
        struct shared shared = {.state_descriptor = -1, .first = true};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){4096, 4096});
        _exit(!state_open(&shared, path, &error) && strstr(error.text, "cannot reserve") ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CU_ASSERT_EQUAL(size_of_file(), 0);
    unlink(path);
}

static void test_nothing_is_known(void) {
    static const uint64_t SERVERS[] = {7, 8};
    struct shared shared = open_at(path, true);
    CU_ASSERT(pending_assume_all(shared.state, SERVERS, 2, 1000));
    CU_ASSERT_EQUAL(pending_count(shared.state, 7), 0);
    state_is_unknown(&shared);
    CU_ASSERT(pending_assume_all(shared.state, SERVERS, 2, 1000));
    CU_ASSERT(pending_assume_all(shared.state, SERVERS, 2, 2000)); /* once */
    for (unsigned i = 0; i < 2; i++) {
        struct pending pending;
        CU_ASSERT(pending_next(shared.state, SERVERS[i], 0, &pending));
        CU_ASSERT_EQUAL(pending.kind, STORE_GENERATION);
        CU_ASSERT_EQUAL(pending.epoch, 1000);
        CU_ASSERT_EQUAL(memcmp(pending.key, STORE_ALL_NAMESPACES, STORE_KEY_LENGTH), 0);
        CU_ASSERT_EQUAL(pending_count(shared.state, SERVERS[i]), 1);
    }
    state_close(&shared);
    unlink(path);
}

/* In the memory store's region. */
static void test_without_a_file(void) {
    static const uint64_t SERVERS[] = {7};
    struct memory_rig rig;
    memory_rig_init(&rig);
    memory_rig_open(&rig, 1);
    struct pendings *pendings = state_pendings(&rig.shared);
    CU_ASSERT_PTR_NOT_NULL_FATAL(pendings);
    state_is_unknown(&rig.shared);
    CU_ASSERT(pending_assume_all(pendings, SERVERS, 1, 1000));
    CU_ASSERT_EQUAL(pending_count(pendings, 7), 1);
    memory_rig_close(&rig);
}

static void test_without_anything(void) {
    const struct shared none = {.state_descriptor = -1};
    CU_ASSERT_PTR_NULL(state_pendings(&none));
    state_is_unknown(&none);
}

static const struct unit_case CASES[] = {
    {"survives", test_survives},
    {"several masters share it", test_shared_by_masters},
    {"a lock that was held", test_a_lock_that_was_held},
    {"files that begin anew", test_files_that_begin_anew},
    {"what is not whole is not shared", test_not_shared_unless_whole},
    {"what is not touched", test_what_is_not_touched},
    {"no room for the file", test_no_room_for_the_file},
    {"nothing is known of a former run", test_nothing_is_known},
    {"without a file", test_without_a_file},
    {"without anything", test_without_anything},
};

int main(int argc, char *argv[]) {
    if (!mkdtemp(directory))
        return 1;
    snprintf(path, sizeof(path), "%s/file", directory);
    int failed = unit_main(argc, argv, "state", CASES, sizeof(CASES) / sizeof(CASES[0]));
    rmdir(directory);
    return failed;
}
