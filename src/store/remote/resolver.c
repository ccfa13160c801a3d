/* Looks up the name of a cache server in a thread. */
#include "store/remote/resolver.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "inferonce/base/error.h"
#include "inferonce/base/turn.h"

/* Addresses of one name that are tried. */
#define ADDRESSES_MAX 8

/* How long one of several addresses has to take a connection. */
#define CONNECT_MS 500

/* ---- in the thread: may block ---- */

/* Given to the thread, which frees it. */
struct question {
    struct server_address address;
    int answer;
};

static bool connects(int descriptor, const struct addrinfo *to) {
    int error = 0;
    socklen_t length = sizeof(error);
    if (connect(descriptor, to->ai_addr, to->ai_addrlen) == 0)
        return true;
    struct pollfd wait = {.fd = descriptor, .events = POLLOUT};
    return errno == EINPROGRESS && poll(&wait, 1, CONNECT_MS) == 1 &&
           getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

static bool takes_connections(const struct addrinfo *to) {
    int descriptor = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return false;
    bool connected = connects(descriptor, to);
    close(descriptor);
    return connected;
}

/* A name such as localhost often has an address that nobody listens on: the first one that takes a
 * connection. */
static const struct addrinfo *choose(const struct addrinfo *all) {
    unsigned tried = 0;
    for (const struct addrinfo *one = all; all->ai_next && one && tried < ADDRESSES_MAX;
         one = one->ai_next, tried++)
        if (takes_connections(one))
            return one;
    return all;
}

static bool find(const struct server_address *address, struct server_address *numeric) {
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *all = NULL;
    char port[8];
    snprintf(port, sizeof(port), "%u", address->port);
    if (getaddrinfo(address->host, port, &hints, &all) != 0)
        return false;
    const struct addrinfo *one = choose(all);
    *numeric = (struct server_address){.port = address->port};
    bool known = getnameinfo(one->ai_addr, one->ai_addrlen, numeric->host, sizeof(numeric->host), NULL, 0,
                             NI_NUMERICHOST) == 0;
    freeaddrinfo(all);
    return known;
}

/* The process may have closed its end meanwhile. */
static void *look_up(void *given) {
    struct question question = *(struct question *)given;
    struct server_address numeric;
    free(given);
    if (find(&question.address, &numeric))
        send(question.answer, &numeric, sizeof(numeric), MSG_NOSIGNAL);
    close(question.answer);
    return NULL;
}

/* Signals are the loop's thread's. */
static bool start_thread(struct question *question) {
    pthread_attr_t attributes;
    pthread_t thread;
    sigset_t all;
    sigset_t before;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, &attributes, look_up, question) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return started;
}

/* ---- in the loop ---- */

static void end(struct resolver *resolver) {
    if (resolver->poll) {
        uv_poll_stop(resolver->poll);
        uv_close((uv_handle_t *)resolver->poll, turn_free_handle);
    }
    if (resolver->answer >= 0)
        close(resolver->answer);
    resolver->poll = NULL;
    resolver->answer = -1;
}

/* False: there is no answer yet. */
static bool take_answer(struct resolver *resolver) {
    struct server_address numeric;
    ssize_t n = recv(resolver->answer, &numeric, sizeof(numeric), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n == (ssize_t)sizeof(numeric)) {
        resolver->numeric = numeric;
        resolver->known = true;
    }
    end(resolver);
    return true;
}

static void on_answered(uv_poll_t *poll, int status, int events) {
    struct resolver *resolver = poll->data;
    (void)status;
    (void)events;
    if (!take_answer(resolver))
        return;
    resolver->fresh = true;
    resolver->found(resolver->user);
}

static bool watch(struct resolver *resolver, int answer) {
    uv_poll_t *poll = malloc(sizeof(*poll));
    if (!poll || uv_poll_init(resolver->loop, poll, answer) != 0) {
        free(poll);
        return false;
    }
    poll->data = resolver;
    uv_unref((uv_handle_t *)poll);
    resolver->poll = poll;
    return uv_poll_start(poll, UV_READABLE | UV_DISCONNECT, on_answered) == 0;
}

static bool begin(struct resolver *resolver) {
    int ends[2];
    struct question *question = malloc(sizeof(*question));
    if (!question || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        free(question);
        return false;
    }
    *question = (struct question){.address = resolver->address, .answer = ends[1]};
    resolver->answer = ends[0];
    if (watch(resolver, ends[0]) && start_thread(question))
        return true;
    free(question);
    close(ends[1]);
    end(resolver);
    return false;
}

void resolver_init(struct resolver *resolver, uv_loop_t *loop, const struct server_address *address,
                   resolver_found found, void *user) {
    *resolver =
        (struct resolver){.address = *address, .answer = -1, .loop = loop, .found = found, .user = user};
    resolver->literal = resolver->known = server_address_is_literal(address, &resolver->numeric);
}

void resolver_fini(struct resolver *resolver) {
    end(resolver);
}

bool resolver_refresh(struct resolver *resolver) {
    bool fresh = resolver->literal || resolver->fresh;
    resolver->fresh = false;
    return fresh || (!resolver_is_busy(resolver) && !begin(resolver));
}

void resolver_await(struct resolver *resolver, uint64_t ms) {
    struct pollfd wait = {.fd = resolver->answer, .events = POLLIN};
    if (resolver_is_busy(resolver) && poll(&wait, 1, (int)ms) == 1)
        (void)!take_answer(resolver);
}
