#include "inferonce/base/error.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static void test_message(void) {
    struct error error = {""};
    error_set(&error, "port %d of %s", 80, "host");
    CU_ASSERT_STRING_EQUAL(error.text, "port 80 of host");
}

static void test_reason(void) {
    struct error error = {""};
    error_set_errno(&error, ENOENT, "%s: cannot open", "a.conf");
    CU_ASSERT_STRING_EQUAL(error.text, "a.conf: cannot open: No such file or directory");
    error_set_errno(&error, 987654, "x");
    CU_ASSERT_STRING_EQUAL(error.text, "x: error 987654");
}

static void test_long_message_is_cut_and_keeps_the_reason(void) {
    char text[2000];
    memset(text, 'a', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    struct error error = {""};
    error_set(&error, "%s", text);
    CU_ASSERT_EQUAL(strlen(error.text), sizeof(error.text) - 1);
    error_set_errno(&error, EACCES, "%s", text);
    CU_ASSERT_EQUAL(strlen(error.text), sizeof(error.text) - 1);
    const char *colon = strchr(error.text, ':');
    CU_ASSERT_PTR_NOT_NULL_FATAL(colon);
    CU_ASSERT_STRING_EQUAL(colon, ": Permission denied");
}

static void test_no_error_wanted(void) {
    error_set(NULL, "%s", "nobody listens");
    error_set_errno(NULL, EPERM, "%s", "nobody listens");
    CU_PASS("neither crashed");
}

static void test_broken_invariant_aborts_and_says_where(void) {
    int ends[2];
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        INVARIANT(1 + 1 == 2);
        INVARIANT(1 + 1 == 3);
        _exit(0);
    }
    close(ends[1]);
    char text[512];
    ssize_t length = read(ends[0], text, sizeof(text) - 1);
    CU_ASSERT_FATAL(length > 0);
    text[length] = '\0';
    close(ends[0]);
    int status = 0;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "error_test.c"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "1 + 1 == 3"));
}

static const struct unit_case CASES[] = {
    {"a message is formatted", test_message},
    {"the reason of an errno follows the message", test_reason},
    {"a long message is cut and keeps the reason", test_long_message_is_cut_and_keeps_the_reason},
    {"a caller may want no error", test_no_error_wanted},
    {"a broken invariant aborts and says where", test_broken_invariant_aborts_and_says_where},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "error", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
