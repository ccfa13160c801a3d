#include "inferonce/process/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inferonce/base/log.h"
#include "unit.h"

static char directory[80];
static char path[108]; /* of a socket in it */
static struct settings settings;
static struct listener listener;
static struct error error;

static void begin(void) {
    settings_defaults(&settings);
    snprintf(path, sizeof(path), "%s/socket", directory);
    snprintf(settings.listen, sizeof(settings.listen), "unix:%s", path);
    error.text[0] = '\0';
}

static void check_refused(const char *why) {
    CU_ASSERT_FALSE(listener_open(&listener, &settings, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, why));
    if (!strstr(error.text, why))
        printf("    %s: %s\n", settings.listen, error.text);
    CU_ASSERT_EQUAL(listener.descriptor, -1);
    CU_ASSERT_EQUAL(listener.path[0], '\0');
}

static bool exists(void) {
    struct stat status;
    return lstat(path, &status) == 0;
}

static struct sockaddr_un address_of_path(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strlen(path) + 1);
    return address;
}

/* A socket of somebody else at the path; it listens when `backlog` is not negative. */
static int bind_another(int backlog) {
    struct sockaddr_un address = address_of_path();
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(descriptor, (const struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_FATAL(backlog < 0 || listen(descriptor, backlog) == 0);
    return descriptor;
}

/* 0, or why not. */
static int try_connect(void) {
    struct sockaddr_un address = address_of_path();
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int why = connect(descriptor, (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
    close(descriptor);
    return why;
}

/* ---- Unix sockets ---- */

static void test_unix(void) {
    static const mode_t MODES[] = {0660, 0600, 0666, 0777, 0};
    mode_t before = umask(077); /* the mode does not depend on it */
    for (size_t i = 0; i < sizeof(MODES) / sizeof(MODES[0]); i++) {
        struct stat status;
        begin();
        settings.listen_mode = MODES[i];
        CU_ASSERT_FATAL(listener_open(&listener, &settings, &error));
        CU_ASSERT_FALSE(listener.inherited);
        CU_ASSERT_STRING_EQUAL(listener.text, settings.listen);
        CU_ASSERT_STRING_EQUAL(listener.path, path);
        CU_ASSERT_EQUAL(fcntl(listener.descriptor, F_GETFD), FD_CLOEXEC);
        CU_ASSERT_EQUAL_FATAL(lstat(path, &status), 0);
        CU_ASSERT(S_ISSOCK(status.st_mode));
        CU_ASSERT_EQUAL(status.st_mode & 07777, MODES[i]);
        /* Its mode binds everybody but root. */
        CU_ASSERT_EQUAL(try_connect(), geteuid() == 0 || (MODES[i] & 0200) ? 0 : EACCES);
        int descriptor = listener.descriptor;
        listener_close(&listener);
        CU_ASSERT_EQUAL(fcntl(descriptor, F_GETFD), -1);
        CU_ASSERT_FALSE(exists());
        CU_ASSERT_EQUAL(listener.descriptor, -1);
        listener_close(&listener); /* there is nothing left to close */
    }
    CU_ASSERT_EQUAL(umask(before), 077);
}

/* Root may give the socket to everybody, others only to themselves. */
static void test_owner(void) {
    static const struct {
        const char *owner, *group;
        uid_t uid;
        gid_t gid;
    } ROWS[] = {
        {"4711", "4712", 4711, 4712}, {"", "4712", 0, 4712}, {"root", "", 0, 0}, {"root", "root", 0, 0}};
    bool root = geteuid() == 0;
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct stat status;
        begin();
        strcpy(settings.listen_owner, ROWS[i].owner);
        strcpy(settings.listen_group, ROWS[i].group);
        if (!root) {
            check_refused("only root may give");
            CU_ASSERT_FALSE(exists());
            continue;
        }
        CU_ASSERT_FATAL(listener_open(&listener, &settings, &error));
        CU_ASSERT_EQUAL_FATAL(lstat(path, &status), 0);
        CU_ASSERT_EQUAL(status.st_uid, ROWS[i].uid);
        CU_ASSERT_EQUAL(status.st_gid, ROWS[i].gid);
        CU_ASSERT_EQUAL(status.st_mode & 07777, 0660);
        CU_ASSERT_EQUAL(try_connect(), 0);
        listener_close(&listener);
    }
    begin();
    snprintf(settings.listen_owner, sizeof(settings.listen_owner), "%u", (unsigned)geteuid());
    snprintf(settings.listen_group, sizeof(settings.listen_group), "%u", (unsigned)getegid());
    CU_ASSERT_FATAL(listener_open(&listener, &settings, &error));
    listener_close(&listener);
}

static void test_owner_that_cannot_be(void) {
    begin();
    strcpy(settings.listen_owner, "no such user");
    check_refused("LISTEN_OWNER=no such user: no such user");
    begin();
    strcpy(settings.listen_group, "4294967295"); /* -1 leaves a group as it is */
    check_refused("LISTEN_GROUP=4294967295: no such group");
    CU_ASSERT_FALSE(exists());
}

static void test_dead_socket_is_replaced(void) {
    begin();
    close(bind_another(1));
    CU_ASSERT(exists());
    CU_ASSERT_EQUAL(try_connect(), ECONNREFUSED);
    CU_ASSERT_FATAL(listener_open(&listener, &settings, &error));
    CU_ASSERT_EQUAL(try_connect(), 0);
    listener_close(&listener);
}

static void test_live_socket_is_refused(void) {
    begin();
    int other = bind_another(8);
    check_refused("in use");
    CU_ASSERT_EQUAL(try_connect(), 0); /* and still there */
    close(other);
    unlink(path);
}

/* A connection of the wrong type is not refused, but impossible. */
static void test_live_socket_of_another_type_is_refused(void) {
    begin();
    struct sockaddr_un address = address_of_path();
    int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(other, (const struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_EQUAL(try_connect(), EPROTOTYPE);
    check_refused("in use");
    CU_ASSERT(exists());
    close(other);
    unlink(path);
}

/* A socket whose mode lets nobody else connect; root always may. */
static void test_live_socket_of_another_user_is_refused(void) {
    begin();
    int other = bind_another(8);
    CU_ASSERT_EQUAL(chmod(path, 0), 0);
    CU_ASSERT_EQUAL(chmod(directory, 0777), 0);
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        bool plain = geteuid() != 0 || setuid(4711) == 0;
        _exit(plain && try_connect() == EACCES && !listener_open(&listener, &settings, &error) &&
                      strstr(error.text, "in use")
                  ? 0
                  : 1);
    }
    int status = 0;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT_EQUAL(chmod(directory, 0700), 0);
    CU_ASSERT(exists());
    close(other);
    unlink(path);
}

static char lock_path[sizeof(path) + 8];

static bool lock_exists(void) {
    struct stat status;
    snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
    return lstat(lock_path, &status) == 0;
}

/* The other program has the lock and has not bound its socket yet, or has lost it. */
static void test_two_at_once(void) {
    int ready[2], life[2];
    char byte;
    begin();
    CU_ASSERT_EQUAL_FATAL(pipe(ready), 0);
    CU_ASSERT_EQUAL_FATAL(pipe(life), 0);
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0) {
        close(life[1]);
        bool opened = listener_open(&listener, &settings, &error);
        _exit(opened && unlink(path) == 0 && write(ready[1], "!", 1) == 1 && read(life[0], &byte, 1) == 0
                  ? 0
                  : 1);
    }
    close(life[0]);
    close(ready[1]);
    CU_ASSERT_EQUAL_FATAL(read(ready[0], &byte, 1), 1);
    CU_ASSERT(lock_exists());
    check_refused("in use");
    CU_ASSERT(lock_exists());
    close(life[1]);
    close(ready[0]);
    int status = 0;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
    /* It ended without giving the lock back; the kernel did. */
    CU_ASSERT(lock_exists());
    CU_ASSERT_FATAL(listener_open(&listener, &settings, &error));
    listener_close(&listener);
    CU_ASSERT_FALSE(lock_exists());
}

static void test_no_lock_file(void) {
    begin();
    CU_ASSERT_FALSE(lock_exists());
    int file = open(lock_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CU_ASSERT_EQUAL(write(file, "mine", 4), 4);
    close(file);
    check_refused("is not a lock file");
    CU_ASSERT(lock_exists());
    unlink(lock_path);
}

/* A process that is too busy to accept is not dead. */
static void test_full_backlog_is_refused(void) {
    int clients[64];
    size_t n = 0;
    struct sockaddr_un address;
    begin();
    int other = bind_another(0);
    address = address_of_path();
    for (int why = 0; n < 64 && why == 0; n++) {
        clients[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
        why = connect(clients[n], (const struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
        CU_ASSERT(why == 0 || why == EAGAIN);
    }
    CU_ASSERT(n < 64);
    check_refused("in use");
    CU_ASSERT(exists());
    while (n > 0)
        close(clients[--n]);
    close(other);
    unlink(path);
}

static void test_other_files_are_refused(void) {
    begin();
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CU_ASSERT_EQUAL(write(file, "mine", 4), 4);
    close(file);
    check_refused("not a socket");
    struct stat status;
    CU_ASSERT_EQUAL_FATAL(stat(path, &status), 0);
    CU_ASSERT_EQUAL(status.st_size, 4);
    unlink(path);
    CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
    check_refused("not a socket");
    rmdir(path);
    CU_ASSERT_EQUAL(symlink("/nowhere", path), 0);
    check_refused("not a socket");
    unlink(path);
}

static void test_paths_that_cannot_be(void) {
    begin();
    strcpy(settings.listen, "unix:");
    check_refused("1 to 107 bytes"); /* sun_path of unix(7) has 108, one for the end */
    strcpy(settings.listen, "unix:");
    memset(settings.listen + 5, 'a', 108);
    settings.listen[5 + 108] = '\0';
    check_refused("1 to 107 bytes");
    snprintf(settings.listen, sizeof(settings.listen), "unix:%s/none/socket", directory);
    check_refused("none/socket");
    check_refused("/none is missing: make it (mkdir -p");
}

static void test_longest_path(void) {
    begin();
    int length = snprintf(settings.listen, sizeof(settings.listen), "unix:%s/", directory);
    memset(settings.listen + length, 'a', (size_t)(5 + 107 - length));
    settings.listen[5 + 107] = '\0';
    CU_ASSERT_FATAL(listener_open(&listener, &settings, &error));
    CU_ASSERT_EQUAL(strlen(listener.path), 107);
    CU_ASSERT_EQUAL(access(settings.listen + 5, F_OK), 0);
    listener_close(&listener);
    CU_ASSERT_EQUAL(access(settings.listen + 5, F_OK), -1);
}

/* Somebody put another one in its place: a new master that took over, say. */
static void test_close_removes_its_own_only(void) {
    begin();
    CU_ASSERT_FATAL(listener_open(&listener, &settings, &error));
    unlink(path);
    int other = bind_another(1);
    listener_close(&listener);
    CU_ASSERT(exists());
    CU_ASSERT_EQUAL(try_connect(), 0);
    close(other);
    unlink(path);

    CU_ASSERT_FATAL(listener_open(&listener, &settings, &error));
    unlink(path);
    listener_close(&listener); /* nor is it an error when there is none */
    CU_ASSERT_EQUAL(listener.descriptor, -1);
}

/* ---- TCP ---- */

/* One that was free a moment ago. */
static unsigned free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(probe, (const struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(probe, (struct sockaddr *)&address, &length), 0);
    close(probe);
    return ntohs(address.sin_port);
}

static void test_tcp(void) {
    static const char *const HOSTS[] = {"127.0.0.1", "localhost", "0.0.0.0"};
    for (size_t i = 0; i < sizeof(HOSTS) / sizeof(HOSTS[0]); i++) {
        struct sockaddr_in bound;
        socklen_t length = sizeof(bound);
        unsigned port = free_port();
        begin();
        snprintf(settings.listen, sizeof(settings.listen), "tcp:%s:%u", HOSTS[i], port);
        CU_ASSERT_FATAL(listener_open(&listener, &settings, &error));
        CU_ASSERT_EQUAL(getsockname(listener.descriptor, (struct sockaddr *)&bound, &length), 0);
        CU_ASSERT_EQUAL(bound.sin_family, AF_INET);
        CU_ASSERT_EQUAL(ntohs(bound.sin_port), port);
        CU_ASSERT_EQUAL(bound.sin_addr.s_addr, i == 2 ? 0 : htonl(INADDR_LOOPBACK));
        CU_ASSERT_EQUAL(listener.path[0], '\0');
        struct listener taken = listener;
        check_refused("cannot bind"); /* it is in use now */
        listener_close(&taken);
    }
}

/* Without IPv6 on this machine it cannot be bound; it is understood all the same. */
static void test_tcp_v6(void) {
    struct sockaddr_in6 bound;
    socklen_t length = sizeof(bound);
    begin();
    snprintf(settings.listen, sizeof(settings.listen), "tcp:[::1]:%u", free_port());
    if (!listener_open(&listener, &settings, &error)) {
        CU_ASSERT(strstr(error.text, "cannot bind") || strstr(error.text, "no socket"));
        return;
    }
    CU_ASSERT_EQUAL(getsockname(listener.descriptor, (struct sockaddr *)&bound, &length), 0);
    CU_ASSERT(IN6_IS_ADDR_LOOPBACK(&bound.sin6_addr));
    listener_close(&listener);
}

static void test_addresses_that_cannot_be(void) {
    static const struct {
        const char *listen, *why;
    } ROWS[] = {
        {"", "expected unix:PATH or tcp:ADDRESS:PORT"},
        {"/run/x.sock", "expected unix:PATH or tcp:ADDRESS:PORT"},
        {"udp:127.0.0.1:9000", "expected unix:PATH or tcp:ADDRESS:PORT"},
        {"tcp:127.0.0.1", "with a port from 1 to 65535"},
        {"tcp::9000", "with a port from 1 to 65535"},
        {"tcp:127.0.0.1:", "with a port from 1 to 65535"},
        {"tcp:127.0.0.1:0", "with a port from 1 to 65535"},
        {"tcp:127.0.0.1:65536", "with a port from 1 to 65535"},
        {"tcp:127.0.0.1:90x", "with a port from 1 to 65535"},
        {"tcp:127.0.0.1:-1", "with a port from 1 to 65535"},
        {"tcp:127.0.0.256:9000", "must be an IPv4"},
        {"tcp:example.org:9000", "must be an IPv4"}, /* nothing is resolved */
        {"tcp:[127.0.0.1:9000", "must be an IPv4"},
        {"tcp:[]:9000", "must be an IPv4"},
        {"tcp:192.0.2.1:9000", "cannot bind"}, /* TEST-NET-1, RFC 5737: nobody's address */
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        begin();
        strcpy(settings.listen, ROWS[i].listen);
        check_refused(ROWS[i].why);
    }
}

/* ---- inherited ---- */

/* Runs `check` in a child of its own, whose descriptors and environment it may change. */
static void check_in_child(bool (*check)(int other)) {
    begin();
    int other = bind_another(8);
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0)
        _exit(check(other) ? 0 : 1);
    int status = 0;
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(other);
    unlink(path);
}

/* The one at the path is inherited; LISTEN names another. */
static void listen_elsewhere(void) {
    snprintf(settings.listen, sizeof(settings.listen), "unix:%s/own", directory);
}

static bool opens_its_own(void) {
    bool own = listener_open(&listener, &settings, &error) && !listener.inherited &&
               strcmp(listener.text, settings.listen) == 0;
    listener_close(&listener);
    return own;
}

static bool takes_descriptor_0(int other) {
    listen_elsewhere();
    return dup2(other, 0) == 0 && listener_open(&listener, &settings, &error) && listener.inherited &&
           listener.descriptor == 0 && strcmp(listener.text, "descriptor 0") == 0 &&
           listener.path[0] == '\0' && (listener_close(&listener), exists()); /* not its to remove */
}

/* inetd gives a connection, which is no listener. */
static bool passes_over_a_connection(int other) {
    int pair[2];
    (void)other;
    listen_elsewhere();
    return socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && dup2(pair[0], 0) == 0 && opens_its_own();
}

static bool given(int descriptor, const char *count, long pid) {
    char text[32];
    snprintf(text, sizeof(text), "%ld", pid);
    listen_elsewhere();
    return (descriptor == 3 || dup2(descriptor, 3) == 3) && setenv("LISTEN_FDS", count, 1) == 0 &&
           setenv("LISTEN_PID", text, 1) == 0;
}

static bool takes_systemd_s(int other) {
    return given(other, "1", getpid()) && listener_open(&listener, &settings, &error) && listener.inherited &&
           listener.descriptor == 3 && strcmp(listener.text, "descriptor 3") == 0 &&
           fcntl(3, F_GETFD) == FD_CLOEXEC;
}

/* The second one's clients would wait for ever. */
static bool refuses_several(int other) {
    return given(other, "2", getpid()) && !listener_open(&listener, &settings, &error) &&
           strstr(error.text, "LISTEN_FDS=2");
}

static bool passes_over_another_process_s(int other) {
    int ends[2];
    char line[512] = "";
    if (!given(other, "1", getppid()) || pipe2(ends, O_NONBLOCK) != 0)
        return false;
    log_setup(LOG_INFO, LOG_LOGFMT, ends[1]);
    return opens_its_own() && read(ends[0], line, sizeof(line) - 1) > 0 && strstr(line, "level=warn") &&
           strstr(line, "LISTEN_PID names another process");
}

static bool passes_over_none(int other) {
    return given(other, "0", getpid()) && opens_its_own();
}

static bool passes_over_nonsense(int other) {
    return given(other, "1x", getpid()) && opens_its_own();
}

static bool passes_over_a_file(int other) {
    (void)other;
    return given(open("/dev/null", O_RDONLY), "1", getpid()) && opens_its_own();
}

static void test_inherited(void) {
    check_in_child(takes_descriptor_0);
    check_in_child(passes_over_a_connection);
}

static void test_systemd(void) {
    check_in_child(takes_systemd_s);
    check_in_child(refuses_several);
    check_in_child(passes_over_another_process_s);
    check_in_child(passes_over_none);
    check_in_child(passes_over_nonsense);
    check_in_child(passes_over_a_file);
}

/* Nobody new is let in; who is in the queue has not connected in vain. */
static void test_refuses(void) {
    begin();
    CU_ASSERT_FATAL(listener_open(&listener, &settings, &error));
    CU_ASSERT_EQUAL(try_connect(), 0);
    listener_refuse(&listener);
    CU_ASSERT_EQUAL(try_connect(), ECONNREFUSED);
    int early = accept(listener.descriptor, NULL, NULL);
    CU_ASSERT(early >= 0);
    close(early);
    listener_close(&listener);
}

static const struct unit_case CASES[] = {
    {"a Unix socket", test_unix},
    {"it refuses before it is closed", test_refuses},
    {"the owner of a Unix socket", test_owner},
    {"an owner that cannot be", test_owner_that_cannot_be},
    {"a dead socket is replaced", test_dead_socket_is_replaced},
    {"a live socket is refused", test_live_socket_is_refused},
    {"a live socket of another type is refused", test_live_socket_of_another_type_is_refused},
    {"a live socket of another user is refused", test_live_socket_of_another_user_is_refused},
    {"two programs at once", test_two_at_once},
    {"what is no lock file is refused", test_no_lock_file},
    {"a full backlog is somebody", test_full_backlog_is_refused},
    {"what is no socket is refused", test_other_files_are_refused},
    {"paths that cannot be", test_paths_that_cannot_be},
    {"the longest path", test_longest_path},
    {"closing removes its own only", test_close_removes_its_own_only},
    {"TCP", test_tcp},
    {"TCP over IPv6", test_tcp_v6},
    {"addresses that cannot be", test_addresses_that_cannot_be},
    {"inherited on descriptor 0", test_inherited},
    {"inherited from systemd", test_systemd},
};

int main(int argc, char *argv[]) {
    /* Descriptors that this process inherited itself do not matter. */
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) != 0 || !unit_directory(directory, sizeof(directory), "listener"))
        return 2;
    unsetenv("LISTEN_FDS");
    int status = unit_main(argc, argv, "listener", CASES, sizeof(CASES) / sizeof(CASES[0]));
    return rmdir(directory) == 0 ? status : 2; /* nothing is left in it */
}
