/* Inherits or makes the listening socket, and makes it anew when it was removed. */
#include "inferonce/process/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "inferonce/base/buffer.h"
#include "inferonce/base/log.h"
#include "process/environment.h"
#include "process/socket_owner.h"

/* The kernel cuts it to net.core.somaxconn. */
#define BACKLOG 4096

#define SYSTEMD_FIRST_DESCRIPTOR 3

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

static bool is_listening(int descriptor) {
    int accepts = 0;
    socklen_t length = sizeof(accepts);
    return getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &length) == 0 && accepts != 0;
}

/* Reads the variables by which systemd passes sockets (sd_listen_fds(3)). */
static bool read_systemd(bool *given, struct error *error) {
    uint64_t count, pid;
    *given = false;
    if (!environment_number("LISTEN_FDS", &count) || count < 1 || !environment_number("LISTEN_PID", &pid))
        return true;
    if (pid != (uint64_t)getpid()) {
        LOG_ALWAYS(LOG_WARN, "listen_fds_ignored",
                   LOG_TEXT("reason", "LISTEN_PID names another process; LISTEN is used"),
                   LOG_NUMBER("listen_pid", pid));
        return true;
    }
    if (count > 1) {
        error_set(error,
                  "LISTEN_FDS=%" PRIu64 ": one socket can be served; leave one ListenStream= to this service",
                  count);
        return false;
    }
    *given = is_listening(SYSTEMD_FIRST_DESCRIPTOR);
    return true;
}

/* Whether somebody has the socket at `address`. Only a refused connection says that nobody does: a full
 * backlog is somebody, and so is a socket of another type or one that we may not connect to. */
static bool is_alive(const union address *address, socklen_t length) {
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return true;
    bool alive = connect(probe, &address->any, length) == 0 || (errno != ECONNREFUSED && errno != ENOENT);
    close(probe);
    return alive;
}

/* Makes way for a socket at the path: removes a dead one, and nothing that is not a socket. */
static bool clear_path(const struct listener *listener, const char *path, const union address *address,
                       socklen_t length, struct error *error) {
    struct stat status;
    if (lstat(path, &status) != 0) {
        if (errno == ENOENT)
            return true;
        error_set_errno(error, errno, "LISTEN: %s", path);
        return false;
    }
    if (!S_ISSOCK(status.st_mode)) {
        error_set(error, "LISTEN: %s is there and is not a socket", path);
        return false;
    }
    if (is_alive(address, length)) {
        if (!socket_lock_knows(&listener->lock, &status)) {
            error_set(error, "LISTEN: %s is in use by a running process", path);
            return false;
        }
        LOG_ALWAYS(LOG_WARN, "socket_taken_over", LOG_TEXT("path", path));
    }
    if (unlink(path) != 0 && errno != ENOENT) {
        error_set_errno(error, errno, "LISTEN: cannot remove the dead socket %s", path);
        return false;
    }
    return true;
}

static bool bind_unix(struct listener *listener, const char *path, const struct settings *settings,
                      struct error *error) {
    union address address = {.local = {.sun_family = AF_UNIX}};
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof(address.local.sun_path)) {
        error_set(error, "LISTEN: a socket's path has 1 to %zu bytes", sizeof(address.local.sun_path) - 1);
        return false;
    }
    memcpy(address.local.sun_path, path, length);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (!socket_lock_is_there(&listener->lock)) {
        socket_lock_give(&listener->lock);
        if (!socket_lock_take(&listener->lock, path, error))
            return false;
    }
    if (!clear_path(listener, path, &address, size, error))
        return false;
    /* The socket is nobody's until its mode is set: with this umask no one else can connect in between. */
    mode_t old = umask(0177);
    int bound = bind(listener->descriptor, &address.any, size);
    int bind_errno = errno;
    umask(old);
    if (bound != 0) {
        error_set_errno(error, bind_errno, "LISTEN: cannot bind to %s", path);
        return false;
    }
    if (!socket_owner_set(path, settings, error)) {
        unlink(path);
        return false;
    }
    struct stat status;
    if (chmod(path, (mode_t)settings->listen_mode) != 0 || lstat(path, &status) != 0) {
        error_set_errno(error, errno, "LISTEN: cannot set the mode of %s", path);
        unlink(path);
        return false;
    }
    socket_lock_note(&listener->lock, &status);
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    memcpy(listener->path, path, length + 1);
    return true;
}

/* "127.0.0.1:9000", "[::1]:9000", "localhost:9000" */
static bool parse_tcp(const char *text, union address *address, socklen_t *size, struct error *error) {
    const char *colon = strrchr(text, ':');
    uint64_t port = 0;
    char host[64];
    size_t length = colon ? (size_t)(colon - text) : 0;
    if (length == 0 || length >= sizeof(host) || !bytes_to_number(bytes_of(colon + 1), &port) || port == 0 ||
        port > 65535) {
        error_set(error, "LISTEN: tcp:%s: expected tcp:ADDRESS:PORT with a port from 1 to 65535", text);
        return false;
    }
    bool bracketed = text[0] == '[' && text[length - 1] == ']';
    memcpy(host, text + bracketed, length - 2 * bracketed);
    host[length - 2 * bracketed] = '\0';
    memset(address, 0, sizeof(*address));
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons((uint16_t)port);
        *size = sizeof(address->v4);
        return true;
    }
    if (inet_pton(AF_INET6, host, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons((uint16_t)port);
        *size = sizeof(address->v6);
        return true;
    }
    error_set(error, "LISTEN: tcp:%s: the address must be an IPv4 or [IPv6] address or localhost", text);
    return false;
}

static bool bind_tcp(struct listener *listener, const union address *address, socklen_t size,
                     const char *text, struct error *error) {
    int on = 1;
    /* Restarts must not wait for old connections in TIME_WAIT; a port that somebody listens on is still
     * refused. */
    if (setsockopt(listener->descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(listener->descriptor, &address->any, size) != 0) {
        error_set_errno(error, errno, "LISTEN: cannot bind to tcp:%s", text);
        return false;
    }
    /* Accepted sockets inherit it: an answer in two writes must not wait for an acknowledgement. */
    if (setsockopt(listener->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0)
        return true;
    error_set_errno(error, errno, "LISTEN: cannot set up tcp:%s", text);
    return false;
}

/* If it is still the one that we made. */
static void remove_socket(struct listener *listener) {
    if (listener->path[0] && !listener_is_gone(listener))
        unlink(listener->path);
    listener->path[0] = '\0';
}

/* Makes what its text says. False: what was made is gone again, but for the lock. */
static bool make(struct listener *listener, const struct settings *settings, struct error *error) {
    const char *text = listener->text;
    bool local = strncmp(text, "unix:", 5) == 0;
    union address address;
    socklen_t size = 0;
    if (!local && strncmp(text, "tcp:", 4) != 0) {
        error_set(error, "LISTEN=%s: expected unix:PATH or tcp:ADDRESS:PORT", text);
        return false;
    }
    if (!local && !parse_tcp(text + 4, &address, &size, error))
        return false;
    listener->descriptor = socket(local ? AF_UNIX : address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener->descriptor < 0) {
        error_set_errno(error, errno, "LISTEN: no socket");
        return false;
    }
    bool bound = local ? bind_unix(listener, text + 5, settings, error)
                       : bind_tcp(listener, &address, size, text + 4, error);
    if (bound && listen(listener->descriptor, BACKLOG) == 0)
        return true;
    if (bound)
        error_set_errno(error, errno, "LISTEN: cannot listen on %s", text);
    remove_socket(listener);
    close(listener->descriptor);
    listener->descriptor = -1;
    return false;
}

bool listener_open(struct listener *listener, const struct settings *settings, struct error *error) {
    *listener = (struct listener){.descriptor = -1};
    bool given;
    if (is_listening(STDIN_FILENO)) {
        listener->descriptor = STDIN_FILENO;
        listener->inherited = true;
        listener->text = "descriptor 0";
        return true;
    }
    if (!read_systemd(&given, error))
        return false;
    if (given) {
        listener->descriptor = SYSTEMD_FIRST_DESCRIPTOR;
        listener->inherited = true;
        listener->text = "descriptor 3";
        return fcntl(SYSTEMD_FIRST_DESCRIPTOR, F_SETFD, FD_CLOEXEC) == 0;
    }
    listener->text = settings->listen;
    bool made = make(listener, settings, error);
    if (!made)
        listener_close(listener);
    return made;
}

bool listener_take(struct listener *listener, const struct listener *before, const char *listen_before,
                   const struct settings *settings, struct error *error) {
    *listener = *before;
    listener->text = listen_before;
    if (before->inherited || strcmp(listen_before, settings->listen) == 0)
        return true;
    struct listener anew = {.descriptor = -1, .text = settings->listen};
    if (!make(&anew, settings, error)) {
        listener_close(&anew);
        return false;
    }
    listener_close(listener);
    *listener = anew;
    return true;
}

static unsigned port_of(const union address *address) {
    return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port : address->v4.sin_port);
}

void listener_name(const struct listener *listener, char name[LISTENER_NAME_MAX]) {
    union address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof(address);
    bool known = getsockname(listener->descriptor, &address.any, &size) == 0;
    if (known && address.any.sa_family == AF_UNIX)
        snprintf(name, LISTENER_NAME_MAX, "%s",
                 address.local.sun_path[0] ? address.local.sun_path : "/run/inferonce/unnamed");
    else
        snprintf(name, LISTENER_NAME_MAX, "/run/inferonce/port-%u", known ? port_of(&address) : 0);
}

bool listener_is_gone(const struct listener *listener) {
    struct stat status;
    return listener->path[0] && (lstat(listener->path, &status) != 0 || status.st_dev != listener->device ||
                                 status.st_ino != listener->inode);
}

bool listener_make_anew(struct listener *listener, const struct settings *settings, struct error *error) {
    struct listener anew = {.descriptor = -1, .text = listener->text, .lock = listener->lock};
    bool made = make(&anew, settings, error);
    listener->lock = anew.lock; /* which may have been made anew, too */
    if (!made)
        return false;
    close(listener->descriptor);
    *listener = anew;
    return true;
}

void listener_refuse(const struct listener *listener) {
    if (listener->path[0])
        (void)shutdown(listener->descriptor, SHUT_RD);
}

void listener_close(struct listener *listener) {
    remove_socket(listener);
    socket_lock_give(&listener->lock);
    if (listener->descriptor >= 0)
        close(listener->descriptor);
    listener->descriptor = -1;
}
