/* The lock beside a Unix socket, and what it says of the socket. */
#include "inferonce/process/socket_lock.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static char directory[] = "/tmp/socket-lock-XXXXXX";
static char path[64];

static struct stat make_socket(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status = {.st_ino = 0};
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    unlink(path);
    CU_ASSERT_EQUAL_FATAL(bind(descriptor, (struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_EQUAL_FATAL(lstat(path, &status), 0);
    close(descriptor);
    return status;
}

static void begin(void) {
    snprintf(directory, sizeof(directory), "/tmp/socket-lock-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/socket", directory);
}

static void end(void) {
    char lock_path[sizeof(path) + 8];
    snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
    unlink(lock_path);
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(directory), 0);
}

/* A process takes the lock, notes its socket and is gone without giving it back. */
static struct stat leave_behind(void) {
    struct stat made = make_socket();
    pid_t pid = fork();
    if (pid == 0) {
        struct socket_lock lock = {.path = ""};
        struct error error;
        if (socket_lock_take(&lock, path, &error))
            socket_lock_note(&lock, &made);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    return made;
}

static void test_what_was_left(void) {
    struct socket_lock lock = {.path = ""};
    struct error error = {""};
    begin();
    struct stat left = leave_behind();
    CU_ASSERT_TRUE(socket_lock_take(&lock, path, &error));
    CU_ASSERT_TRUE(socket_lock_knows(&lock, &left));
    struct stat other = left;
    other.st_mtim.tv_nsec ^= 1; /* the same inode number, used again */
    CU_ASSERT_FALSE(socket_lock_knows(&lock, &other));
    other = left;
    other.st_ino++;
    CU_ASSERT_FALSE(socket_lock_knows(&lock, &other));
    socket_lock_give(&lock);
    CU_ASSERT_TRUE(socket_lock_take(&lock, path, &error)); /* nothing is left behind now */
    CU_ASSERT_FALSE(socket_lock_knows(&lock, &left));
    socket_lock_give(&lock);
    end();
}

static void test_it_was_removed(void) {
    struct socket_lock lock = {.path = ""};
    struct error error = {""};
    begin();
    CU_ASSERT_FALSE(socket_lock_is_there(&lock));
    CU_ASSERT_TRUE(socket_lock_take(&lock, path, &error));
    CU_ASSERT_TRUE(socket_lock_is_there(&lock));
    unlink(lock.path);
    CU_ASSERT_FALSE(socket_lock_is_there(&lock));
    struct socket_lock other = {.path = ""};
    CU_ASSERT_TRUE(socket_lock_take(&other, path, &error));
    socket_lock_give(&lock); /* the file is another's */
    CU_ASSERT_TRUE(socket_lock_is_there(&other));
    socket_lock_give(&other);
    end();
}

static void write_lock_file(const char *text) {
    char lock_path[sizeof(path) + 8];
    snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
    FILE *file = fopen(lock_path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

static void test_files_of_others(void) {
    static const struct {
        const char *text;
        bool ours;
    } ROWS[] = {{"", true},
                {"inferonce socket 1 2 3 4\n", true},
                {"inferonce socket", false},
                {"inferonce socket cut sh", true},
                {"root:x:0:0\n", false}};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct socket_lock lock = {.path = ""};
        struct error error = {""};
        begin();
        write_lock_file(ROWS[i].text);
        CU_ASSERT_EQUAL(socket_lock_take(&lock, path, &error), ROWS[i].ours);
        socket_lock_give(&lock);
        end();
    }
}

static const struct unit_case CASES[] = {
    {"what was left behind", test_what_was_left},
    {"the file was removed", test_it_was_removed},
    {"files of others", test_files_of_others},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "socket_lock", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
