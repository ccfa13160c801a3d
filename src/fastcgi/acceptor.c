/* Accepts connections, as many as this worker's share. */
#include "fastcgi/acceptor.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "inferonce/base/log.h"

/* Connections taken in one turn of the loop; those that are open are to be served too. */
#define ACCEPT_BURST 16

/* Long enough for another worker to wake up and take the connection, too short for a client to notice. */
#define YIELD_MS 2
#define SHORT_MS 100

/* A worker beats about once a second; one that has not for longer is hung or gone, and nothing is left to it.
 */
#define HEARTBEAT_MAX_US (5 * 1000 * 1000)

enum phase { LISTENING, YIELDING, SHORT, STOPPED };

struct acceptor {
    struct acceptor_options options;
    enum phase phase;
    uv_poll_t poll;
    uv_timer_t pause;
    unsigned handles; /* not closed yet */
    uint32_t connections;
    uint32_t connections_max;
};

/* The descriptors that the rest of the worker may need (cache servers, inference servers, the loop's own) are
 * left alone. */
static uint32_t connections_allowed(uint64_t reserved) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1;
    uint64_t descriptors = limit.rlim_cur > INT32_MAX ? INT32_MAX : limit.rlim_cur;
    uint64_t reserve = descriptors / 4 < 1024 ? descriptors / 4 : 1024;
    if (reserve < reserved)
        reserve = reserved;
    return descriptors > reserve ? (uint32_t)(descriptors - reserve) : 1;
}

static bool lives(const struct shared_slot *slot, uint64_t now_us) {
    if (atomic_load_explicit(&slot->pid, memory_order_relaxed) == 0 ||
        atomic_load_explicit(&slot->draining, memory_order_relaxed) != 0)
        return false;
    uint64_t beat_us = atomic_load_explicit(&slot->heartbeat_us, memory_order_relaxed);
    return beat_us >= now_us || now_us - beat_us < HEARTBEAT_MAX_US;
}

/* Whether this worker has more than its share of the connections that this listener brings: over 9/8 of the
 * mean. Workers of other pools, which have a listener of their own, do not count. With equal counts nobody
 * has more, so somebody always accepts; with few connections a single one more counts, with many a handful
 * does not. */
static bool above_mean(const struct acceptor *acceptor) {
    const struct shared *shared = acceptor->options.context->shared;
    if (!shared)
        return false;
    uint64_t now_us = clock_monotonic_us(acceptor->options.context->clock);
    uint64_t sum = acceptor->connections;
    uint64_t workers = 1;
    for (unsigned i = 0; i < SLOTS_MAX; i++) {
        if (i == acceptor->options.context->slot || !shared_slot_is_ours(shared, i) ||
            !lives(&shared->slots[i], now_us))
            continue;
        sum += atomic_load_explicit(&shared->slots[i].connections, memory_order_relaxed);
        workers++;
    }
    return 8 * workers * acceptor->connections > 9 * sum;
}

static void publish(const struct acceptor *acceptor) {
    const struct shared *shared = acceptor->options.context->shared;
    if (shared)
        atomic_store_explicit(&shared->slots[acceptor->options.context->slot].connections,
                              acceptor->connections, memory_order_relaxed);
}

static void on_readable(uv_poll_t *poll, int status, int events);
static void on_pause_over(uv_timer_t *timer);

/* Polling a descriptor and starting a timer, both set up before, cannot fail. */
static void listen_again(struct acceptor *acceptor) {
    acceptor->phase = LISTENING;
    INVARIANT(uv_timer_stop(&acceptor->pause) == 0);
    INVARIANT(uv_poll_start(&acceptor->poll, UV_READABLE, on_readable) == 0);
}

static void pause_for(struct acceptor *acceptor, enum phase phase, uint64_t ms) {
    acceptor->phase = phase;
    INVARIANT(uv_poll_stop(&acceptor->poll) == 0);
    INVARIANT(uv_timer_start(&acceptor->pause, on_pause_over, ms, 0) == 0);
}

static void refuse(struct acceptor *acceptor, int reason) {
    stats_count(acceptor->options.context->stats, STAT_connections_refused);
    LOG(LOG_WARN, "accept_put_off", LOG_TEXT("reason", strerror(reason)),
        LOG_NUMBER("connections", acceptor->connections));
    pause_for(acceptor, SHORT, SHORT_MS);
    acceptor->options.short_of_room(acceptor->options.user);
}

/* Takes one connection. False: there is none, or none can be taken now. */
static bool take(struct acceptor *acceptor) {
    if (acceptor->connections >= acceptor->connections_max) {
        refuse(acceptor, EMFILE);
        return false;
    }
    int descriptor;
    do
        descriptor = accept4(acceptor->options.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (descriptor < 0 && (errno == EINTR || errno == ECONNABORTED));
    if (descriptor < 0) {
        if (errno != EAGAIN)
            refuse(acceptor, errno);
        return false;
    }
    acceptor->connections++;
    publish(acceptor);
    acceptor->options.accepted(acceptor->options.user, descriptor);
    return true;
}

static void on_readable(uv_poll_t *poll, int status, int events) {
    struct acceptor *acceptor = poll->data;
    (void)events;
    if (status < 0) {
        refuse(acceptor, -status);
        return;
    }
    for (unsigned i = 0; i < ACCEPT_BURST && acceptor->phase == LISTENING; i++) {
        /* Whether another one waits is not known now. */
        if (i > 0 && acceptor->connections >= acceptor->connections_max)
            return;
        if (above_mean(acceptor)) {
            pause_for(acceptor, YIELDING, YIELD_MS);
            return;
        }
        if (!take(acceptor))
            return;
    }
}

static void on_pause_over(uv_timer_t *timer) {
    struct acceptor *acceptor = timer->data;
    bool yielded = acceptor->phase == YIELDING;
    listen_again(acceptor);
    if (yielded)
        take(acceptor);
}

static bool set_up_handles(struct acceptor *acceptor, struct error *error) {
    int failure = uv_poll_init(acceptor->options.context->loop, &acceptor->poll, acceptor->options.listener);
    if (failure) {
        error_set(error, "the listening socket cannot be watched: %s", uv_strerror(failure));
        return false;
    }
    INVARIANT(uv_timer_init(acceptor->options.context->loop, &acceptor->pause) == 0);
    acceptor->poll.data = acceptor;
    acceptor->pause.data = acceptor;
    acceptor->handles = 2;
    return true;
}

struct acceptor *acceptor_create(const struct acceptor_options *options, struct error *error) {
    struct acceptor *acceptor = calloc(1, sizeof(*acceptor));
    if (!acceptor) {
        error_set(error, "out of memory");
        return NULL;
    }
    acceptor->options = *options;
    acceptor->connections_max = connections_allowed(options->descriptors_reserved);
    if (!set_up_handles(acceptor, error)) {
        free(acceptor);
        return NULL;
    }
    /* Accepted connections inherit it: the end of a long answer must not wait for an acknowledgement. On a
     * Unix socket it fails, and is not needed. */
    (void)setsockopt(options->listener, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    publish(acceptor);
    listen_again(acceptor);
    return acceptor;
}

void acceptor_closed(struct acceptor *acceptor) {
    INVARIANT(acceptor->connections > 0);
    acceptor->connections--;
    publish(acceptor);
    if (acceptor->phase == SHORT || (acceptor->phase == YIELDING && !above_mean(acceptor)))
        listen_again(acceptor);
}

bool acceptor_is_short(const struct acceptor *acceptor) {
    return acceptor->phase == SHORT;
}

static void on_closed(uv_handle_t *handle) {
    struct acceptor *acceptor = handle->data;
    if (--acceptor->handles == 0)
        free(acceptor);
}

void acceptor_stop(struct acceptor *acceptor) {
    if (acceptor->phase == STOPPED)
        return;
    while (take(acceptor))
        continue;
    acceptor->phase = STOPPED;
    INVARIANT(uv_timer_stop(&acceptor->pause) == 0);
    /* Not only stopped: a handle that is closed later would then take the descriptor's next owner out of the
     * loop. */
    uv_close((uv_handle_t *)&acceptor->poll, on_closed);
}

void acceptor_destroy(struct acceptor **acceptor) {
    if (!*acceptor)
        return;
    if ((*acceptor)->phase != STOPPED)
        uv_close((uv_handle_t *)&(*acceptor)->poll, on_closed);
    (*acceptor)->phase = STOPPED;
    uv_close((uv_handle_t *)&(*acceptor)->pause, on_closed);
    *acceptor = NULL;
}
