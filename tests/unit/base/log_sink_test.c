#include "base/log_sink.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "unit.h"

#define LINE "a line that somebody should read\n"

/* The pair that a test writes into and reads from; both ends wait, as a shell's do. */
static int ends[2];

static void close_ends(void) {
    log_sink_open(STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
}

static bool write_line(void) {
    return log_sink_write(LINE, strlen(LINE));
}

/* Whole lines until one is not taken; a sink that waits does not return. */
static size_t fill(void) {
    size_t lines = 0;
    while (lines < 1000000 && write_line())
        lines++;
    CU_ASSERT(lines < 1000000);
    return lines;
}

/* Reads for as long as something is there; returns the lines, all of which must be whole. */
static size_t drain(void) {
    static char text[1 << 22];
    size_t length = 0, lines = 0;
    int flags = fcntl(ends[0], F_GETFL);
    fcntl(ends[0], F_SETFL, flags | O_NONBLOCK);
    for (ssize_t got; (got = read(ends[0], text + length, sizeof(text) - 1 - length)) > 0;)
        length += (size_t)got;
    fcntl(ends[0], F_SETFL, flags);
    text[length] = '\0';
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;)
        lines += strcmp(line, "a line that somebody should read") == 0;
    return lines;
}

static void check_full_and_read_again(void) {
    int flags = fcntl(ends[1], F_GETFL);
    log_sink_open(ends[1]);
    size_t lines = fill();
    CU_ASSERT_FALSE(write_line());
    /* Another process that shares the description finds its flags unchanged. */
    CU_ASSERT_EQUAL(fcntl(ends[1], F_GETFL), flags);
    CU_ASSERT(lines > 0);
    CU_ASSERT_EQUAL(drain(), lines);
    CU_ASSERT(write_line());
    CU_ASSERT_EQUAL(drain(), 1);
    close_ends();
}

static void test_pipe(void) {
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    check_full_and_read_again();
}

static void test_sockets(void) {
    static const int TYPES[] = {SOCK_STREAM, SOCK_SEQPACKET};
    for (size_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, TYPES[i], 0, ends), 0);
        log_sink_open(ends[1]);
        fill();
        CU_ASSERT_FALSE(write_line());
        CU_ASSERT(drain() > 0);
        CU_ASSERT(write_line());
        CU_ASSERT_EQUAL(drain(), 1);
        close_ends();
    }
}

/* One that is stopped, as by Ctrl-S. */
static void test_terminal(void) {
    ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
    CU_ASSERT_FATAL(ends[0] >= 0 && grantpt(ends[0]) == 0 && unlockpt(ends[0]) == 0);
    ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
    CU_ASSERT_FATAL(ends[1] >= 0);
    struct termios raw;
    CU_ASSERT_EQUAL(tcgetattr(ends[1], &raw), 0);
    cfmakeraw(&raw);
    CU_ASSERT_EQUAL(tcsetattr(ends[1], TCSANOW, &raw), 0);
    log_sink_open(ends[1]);
    fill();
    drain();
    CU_ASSERT_EQUAL(tcflow(ends[1], TCOOFF), 0);
    CU_ASSERT_FALSE(write_line());
    CU_ASSERT_EQUAL(tcflow(ends[1], TCOON), 0);
    CU_ASSERT(write_line());
    close_ends();
}

/* A pipe that belongs to another user cannot be opened again. The child ends with 0 when it did not wait. */
static void test_pipe_of_another_user(void) {
    int status = 1;
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        bool away = geteuid() == 0 ? setresuid(65534, 65534, 65534) == 0 : fchmod(ends[1], 0) == 0;
        alarm(20);
        log_sink_open(ends[1]);
        size_t lines = fill();
        bool full = lines > 0 && !write_line();
        _exit(away && full && drain() == lines && write_line() ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
    close_ends();
}

/* A disk that takes a part of a line: what comes next does not continue it. */
static void test_torn_line(void) {
    char name[] = "/tmp/log_sink_test.XXXXXX";
    char text[256] = "";
    struct rlimit before;
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    ends[1] = mkostemp(name, O_APPEND);
    ends[0] = open(name, O_RDONLY);
    CU_ASSERT_FATAL(ends[0] >= 0 && ends[1] >= 0);
    log_sink_open(ends[1]);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){strlen(LINE) + 6, before.rlim_max});
    CU_ASSERT(write_line());
    CU_ASSERT_FALSE(write_line());
    CU_ASSERT_FALSE(write_line());
    setrlimit(RLIMIT_FSIZE, &before);
    CU_ASSERT(write_line());
    CU_ASSERT(read(ends[0], text, sizeof(text) - 1) > 0);
    CU_ASSERT_STRING_EQUAL(text, LINE "a line\n" LINE);
    signal(SIGXFSZ, handler);
    unlink(name);
    close_ends();
}

static void test_nobody_there(void) {
    void (*handler)(int) = signal(SIGPIPE, SIG_IGN);
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    log_sink_open(ends[1]);
    close(ends[0]);
    CU_ASSERT_FALSE(write_line());
    signal(SIGPIPE, handler);
    log_sink_open(STDERR_FILENO);
    close(ends[1]);
    log_sink_open(ends[1]);
    CU_ASSERT_FALSE(write_line()); /* closed */
    log_sink_open(STDERR_FILENO);
}

static const struct unit_case CASES[] = {
    {"a full pipe", test_pipe},
    {"full sockets", test_sockets},
    {"a terminal that is stopped", test_terminal},
    {"a full pipe of another user", test_pipe_of_another_user},
    {"a line that was taken in part", test_torn_line},
    {"nobody reads any more", test_nobody_there},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "log_sink", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
