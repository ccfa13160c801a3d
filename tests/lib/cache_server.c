#include "cache_server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

#define PATIENCE_S 20

static _Noreturn void give_up(const char *what) {
    fprintf(stderr, "cache server: %s: %s\n", what, strerror(errno));
    exit(2);
}

union address {
    struct sockaddr any;
    struct sockaddr_un path;
    struct sockaddr_in port;
};

static socklen_t address_of(const struct cache_server *server, union address *address) {
    memset(address, 0, sizeof(*address));
    if (server->port == 0) {
        address->path.sun_family = AF_UNIX;
        snprintf(address->path.sun_path, sizeof(address->path.sun_path), "%s", server->path);
        return sizeof(address->path);
    }
    address->port.sin_family = AF_INET;
    address->port.sin_port = htons((uint16_t)server->port);
    address->port.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return sizeof(address->port);
}

static int connect_to(const struct cache_server *server) {
    union address address;
    socklen_t length = address_of(server, &address);
    int descriptor = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        give_up("socket");
    if (connect(descriptor, &address.any, length) == 0)
        return descriptor;
    close(descriptor);
    return -1;
}

/* Outside the range that outgoing connections are given, so that nobody takes it between this and its use. */
static unsigned free_port(void) {
    for (unsigned tries = 0; tries < 1000; tries++) {
        struct cache_server server = {.port = 15000 + (unsigned)random() % 17000};
        union address address;
        socklen_t length = address_of(&server, &address);
        int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool is_free = descriptor >= 0 && bind(descriptor, &address.any, length) == 0;
        close(descriptor);
        if (is_free)
            return server.port;
    }
    give_up("no port is free");
}

/* Redis tells by a line that it is up, -LOADING or -NOAUTH counts too; memcached listens once it is. */
static void wait_until_it_listens(const struct cache_server *server) {
    time_t deadline = time(NULL) + PATIENCE_S;
    for (;;) {
        int descriptor = connect_to(server);
        if (descriptor >= 0) {
            close(descriptor);
            return;
        }
        if (time(NULL) > deadline || waitpid(server->pid, NULL, WNOHANG) == server->pid)
            give_up("it does not listen");
        poll(NULL, 0, 2);
    }
}

static char password_option[64];
static bool tcp;

/* In the server's process. */
static _Noreturn void lie(const struct cache_server *server) {
    union address address;
    socklen_t length = address_of(server, &address);
    int listener = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, &address.any, length) != 0 || listen(listener, 16) != 0)
        _exit(1);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        char asked[65536];
        ssize_t n;
        int connection = accept(listener, NULL, NULL);
        if (connection < 0 || fork() != 0) {
            close(connection);
            continue;
        }
        while ((n = read(connection, asked, sizeof(asked) - 1)) > 0) {
            asked[n] = '\0';
            for (char *byte = asked; byte < asked + n; byte++) /* so that it is one text */
                *byte = *byte == '\0' ? '?' : *byte;
            server->answer(connection, asked);
        }
        _exit(0);
    }
}

static _Noreturn void be_redis(const struct cache_server *server, const char *port) {
    const char *password = password_option[0] ? "--requirepass" : NULL;
    if (server->port != 0)
        execlp("redis-server", "redis-server", "--bind", "127.0.0.1", "--port", port, "--save", "",
               "--appendonly", "no", "--dir", server->directory, password, password_option, NULL);
    else
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket", server->path, "--save", "",
               "--appendonly", "no", "--dir", server->directory, password, password_option, NULL);
    _exit(127);
}

static _Noreturn void be_memcached(const struct cache_server *server, const char *port) {
    const char *user = geteuid() == 0 ? "-u" : NULL;
    if (server->port != 0)
        execlp("memcached", "memcached", "-l", "127.0.0.1", "-p", port, "-t", "1", "-m", "64", user, "root",
               NULL);
    else
        execlp("memcached", "memcached", "-s", server->path, "-t", "1", "-m", "64", user, "root", NULL);
    _exit(127);
}

static void start(struct cache_server *server) {
    char port[8];
    snprintf(port, sizeof(port), "%u", server->port);
    unlink(server->path);
    server->pid = fork();
    if (server->pid < 0)
        give_up("fork");
    if (server->pid == 0) {
        int null = open("/dev/null", O_RDWR);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        if (server->answer) {
            setpgid(0, 0);
            lie(server);
        }
        if (server->redis)
            be_redis(server, port);
        be_memcached(server, port);
    }
    wait_until_it_listens(server);
}

static void make(struct cache_server *server) {
    if (!unit_directory(server->directory, sizeof(server->directory), "server"))
        give_up("mkdtemp");
    snprintf(server->path, sizeof(server->path), "%s/socket", server->directory);
    server->port = tcp ? free_port() : 0;
    if (tcp)
        snprintf(server->address, sizeof(server->address), "127.0.0.1:%u", server->port);
    else
        snprintf(server->address, sizeof(server->address), "unix:%s", server->path);
    start(server);
}

void cache_servers_on_tcp(bool on_tcp) {
    tcp = on_tcp;
    srandom((unsigned)getpid() ^ (unsigned)time(NULL));
}

void cache_server_start_memcached(struct cache_server *server) {
    *server = (struct cache_server){.redis = false};
    make(server);
}

void cache_server_start_redis(struct cache_server *server, const char *password) {
    *server = (struct cache_server){.redis = true};
    snprintf(password_option, sizeof(password_option), "%s", password ? password : "");
    make(server);
}

void cache_server_start_liar(struct cache_server *server, void (*answer)(int connection, const char *asked)) {
    *server = (struct cache_server){.answer = answer};
    make(server);
}

void cache_server_kill(struct cache_server *server) {
    if (server->pid == 0)
        return;
    if (server->answer)
        kill(-server->pid, SIGKILL); /* with the processes of its connections */
    kill(server->pid, SIGKILL);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void cache_server_restart(struct cache_server *server) {
    cache_server_kill(server);
    start(server);
}

void cache_server_halt(struct cache_server *server) {
    int status;
    kill(server->pid, SIGSTOP);
    waitpid(server->pid, &status, WUNTRACED);
}

void cache_server_continue(struct cache_server *server) {
    kill(server->pid, SIGCONT);
}

void cache_server_tell(struct cache_server *server, const char *line) {
    char answer[256];
    int descriptor = connect_to(server);
    if (descriptor < 0)
        give_up("connect");
    struct pollfd wait = {.fd = descriptor, .events = POLLIN};
    if (write(descriptor, line, strlen(line)) != (ssize_t)strlen(line) ||
        poll(&wait, 1, PATIENCE_S * 1000) != 1 || read(descriptor, answer, sizeof(answer)) <= 0)
        give_up(line);
    close(descriptor);
}

void cache_server_end(struct cache_server *server) {
    cache_server_kill(server);
    unlink(server->path);
    rmdir(server->directory);
}
