/* Opens and closes the sockets of libcurl's connections, and takes idle ones that have something to read away
 * from it. */
#include "engine/upstream/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define FOUND_MOST 64 /* in one look; those beyond are found in the next */

enum state { CLOSED, OPEN, IDLE, NUMBERED, DEAD };

struct upstream_sockets {
    int idle;              /* epoll; -1: idle ones are not watched */
    int ended;             /* a socket whose peer has gone */
    unsigned char *states; /* by descriptor */
    size_t n_states;
};

static bool set_up_watching(struct upstream_sockets *sockets) {
    int pair[2];
    sockets->idle = epoll_create1(EPOLL_CLOEXEC);
    if (sockets->idle < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return false;
    close(pair[1]);
    sockets->ended = pair[0];
    return true;
}

struct upstream_sockets *upstream_sockets_create(bool watch_idle, struct error *error) {
    struct upstream_sockets *sockets = calloc(1, sizeof(*sockets));
    if (!sockets) {
        error_set(error, "out of memory");
        return NULL;
    }
    sockets->idle = sockets->ended = -1;
    if (watch_idle && !set_up_watching(sockets)) {
        error_set_errno(error, errno, "the connections to the model cannot be watched");
        upstream_sockets_destroy(&sockets);
    }
    return sockets;
}

void upstream_sockets_destroy(struct upstream_sockets **sockets) {
    struct upstream_sockets *old = *sockets;
    if (!old)
        return;
    *sockets = NULL;
    if (old->idle >= 0)
        close(old->idle);
    if (old->ended >= 0)
        close(old->ended);
    free(old->states);
    free(old);
}

/* ---- one socket ---- */

static bool watches(const struct upstream_sockets *sockets) {
    return sockets->idle >= 0;
}

static enum state state_of(const struct upstream_sockets *sockets, int descriptor) {
    return (size_t)descriptor < sockets->n_states ? (enum state)sockets->states[descriptor] : CLOSED;
}

/* Room for the descriptor's state. */
static bool make_room(struct upstream_sockets *sockets, int descriptor) {
    size_t n = ((size_t)descriptor + 64) / 64 * 64;
    if (n <= sockets->n_states)
        return true;
    unsigned char *more = realloc(sockets->states, n);
    if (!more)
        return false;
    memset(more + sockets->n_states, CLOSED, n - sockets->n_states);
    sockets->states = more;
    sockets->n_states = n;
    return true;
}

static bool watch(struct upstream_sockets *sockets, int descriptor) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = descriptor};
    sockets->states[descriptor] = IDLE;
    return epoll_ctl(sockets->idle, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

/* libcurl sees that the stream has ended, or fails to write its first byte, and takes another connection. */
static void bury(struct upstream_sockets *sockets, int descriptor) {
    (void)dup3(sockets->ended, descriptor, O_CLOEXEC); /* which takes it out of the set */
    sockets->states[descriptor] = DEAD;
}

static void unwatch(struct upstream_sockets *sockets, int descriptor) {
    if (state_of(sockets, descriptor) == IDLE)
        (void)epoll_ctl(sockets->idle, EPOLL_CTL_DEL, descriptor, NULL);
}

int upstream_sockets_open(struct upstream_sockets *sockets, const struct curl_sockaddr *address) {
    static const struct linger AT_ONCE = {.l_onoff = 1, .l_linger = 0};
    int descriptor = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (descriptor < 0)
        return -1;
    (void)setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &AT_ONCE, sizeof(AT_ONCE));
    if (!watches(sockets))
        return descriptor;
    /* Watched from the start: libcurl does not tell of a socket on which it never had to wait. */
    if (!make_room(sockets, descriptor) || !watch(sockets, descriptor)) {
        upstream_sockets_close(sockets, descriptor);
        errno = ENOMEM;
        return -1;
    }
    return descriptor;
}

bool upstream_sockets_lack(int error_number) {
    return error_number == EMFILE || error_number == ENFILE || error_number == ENOBUFS ||
           error_number == ENOMEM;
}

bool upstream_sockets_are_short(void) {
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return upstream_sockets_lack(errno);
    close(descriptor);
    return false;
}

void upstream_sockets_close(struct upstream_sockets *sockets, int descriptor) {
    unwatch(sockets, descriptor);
    if (state_of(sockets, descriptor) != CLOSED)
        sockets->states[descriptor] = CLOSED;
    close(descriptor);
}

void upstream_sockets_busy(struct upstream_sockets *sockets, int descriptor) {
    if (state_of(sockets, descriptor) != IDLE)
        return;
    unwatch(sockets, descriptor);
    sockets->states[descriptor] = OPEN;
}

void upstream_sockets_idle(struct upstream_sockets *sockets, int descriptor) {
    if (state_of(sockets, descriptor) == OPEN && !watch(sockets, descriptor))
        bury(sockets, descriptor);
}

void upstream_sockets_numbered(struct upstream_sockets *sockets, int descriptor) {
    enum state state = state_of(sockets, descriptor);
    if (state != OPEN && state != IDLE)
        return;
    unwatch(sockets, descriptor);
    sockets->states[descriptor] = NUMBERED;
}

void upstream_sockets_check(struct upstream_sockets *sockets) {
    struct epoll_event found[FOUND_MOST];
    int n;
    if (!watches(sockets))
        return;
    do {
        n = epoll_wait(sockets->idle, found, FOUND_MOST, 0);
        for (int i = 0; i < n; i++)
            bury(sockets, found[i].data.fd);
    } while (n == FOUND_MOST);
}
