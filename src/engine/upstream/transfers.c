/* Drives libcurl's multi interface from the worker's loop. */
#include "engine/upstream/transfers.h"

#include <stdlib.h>
#include <sys/queue.h>

#define AGAIN_MS 10
#define LATER_MS 5

struct transfers {
    CURLM *multi; /* NULL: closed */
    uv_loop_t *loop;
    uv_timer_t timer;
    struct upstream_sockets *sockets;
    transfer_ended ended;
    void *context;
    LIST_HEAD(watch_list, watch) watches;
    uv_timer_t pause; /* of those that begin later */
    CURL **later;
    size_t n_later, later_capacity;
    unsigned handles; /* not closed yet */
    transfers_closed closed;
};

/* A descriptor that libcurl wants to be told about. */
struct watch {
    uv_poll_t poll;
    struct transfers *transfers;
    LIST_ENTRY(watch) links;
    curl_socket_t descriptor;
    int events; /* of libuv */
};

/* ---- what has ended ---- */

/* The socket is known once libcurl has put the connection away, and only until the transfer is
 * removed. */
static void tell_numbered(struct transfers *transfers, CURL *easy) {
    long version = 0;
    curl_socket_t descriptor = CURL_SOCKET_BAD;
    if (curl_easy_getinfo(easy, CURLINFO_HTTP_VERSION, &version) == CURLE_OK &&
        version >= CURL_HTTP_VERSION_2_0 &&
        curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &descriptor) == CURLE_OK &&
        descriptor != CURL_SOCKET_BAD)
        upstream_sockets_numbered(transfers->sockets, descriptor);
}

static void tell_ended(struct transfers *transfers) {
    int left;
    CURLMsg *message;
    /* The callback may close everything. */
    while (transfers->multi && (message = curl_multi_info_read(transfers->multi, &left)) != NULL) {
        if (message->msg != CURLMSG_DONE)
            continue;
        CURL *easy = message->easy_handle;
        CURLcode result = message->data.result; /* the message goes with the handle */
        tell_numbered(transfers, easy);
        (void)curl_multi_remove_handle(transfers->multi, easy);
        transfers->ended(transfers->context, easy, result);
    }
}

static void on_timeout(uv_timer_t *timer);

static void act(struct transfers *transfers, curl_socket_t descriptor, int events) {
    int running;
    upstream_sockets_check(transfers->sockets);
    /* When memory was short libcurl has not said when to come back. What it could not go on with runs into
     * its timeout. */
    if (curl_multi_socket_action(transfers->multi, descriptor, events, &running) != CURLM_OK)
        (void)uv_timer_start(&transfers->timer, on_timeout, AGAIN_MS, 0);
    tell_ended(transfers);
}

/* ---- what libcurl waits for ---- */

static void on_readiness(uv_poll_t *poll, int status, int events) {
    struct watch *watch = poll->data;
    int flags = 0;
    /* The peer has reset the connection, and libuv has left off watching. There may be an answer in front of
     * the reset: libcurl shall read up to it. */
    if (status < 0)
        (void)uv_poll_start(&watch->poll, watch->events, on_readiness);
    /* A server that refuses a body before it has read all of it answers and resets. If that comes after the
     * loop has asked the kernel, there was room to write and nothing to read; libcurl would write, fail, and
     * drop the answer unread. Told of both, it reads first. (What comes between its reading and its writing,
     * microseconds, is lost: that is inside libcurl.) */
    if (status < 0 || events & UV_WRITABLE)
        events = watch->events;
    if (events & UV_READABLE)
        flags |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        flags |= CURL_CSELECT_OUT;
    act(watch->transfers, watch->descriptor, flags);
}

static void on_watch_closed(uv_handle_t *handle) {
    free(handle->data);
}

static void close_watch(struct watch *watch) {
    LIST_REMOVE(watch, links);
    uv_close((uv_handle_t *)&watch->poll, on_watch_closed);
}

static struct watch *make_watch(struct transfers *transfers, curl_socket_t descriptor) {
    struct watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return NULL;
    if (uv_poll_init(transfers->loop, &watch->poll, descriptor) != 0) {
        free(watch);
        return NULL;
    }
    watch->poll.data = watch;
    watch->transfers = transfers;
    watch->descriptor = descriptor;
    LIST_INSERT_HEAD(&transfers->watches, watch, links);
    return watch;
}

/* Never returns an error: libcurl would give up all transfers. One that cannot be watched runs into its
 * timeout. */
static int on_socket(CURL *easy, curl_socket_t descriptor, int what, void *context, void *known) {
    struct transfers *transfers = context;
    struct watch *watch = known;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            close_watch(watch); /* now, because libcurl goes on to close the descriptor */
        (void)curl_multi_assign(transfers->multi, descriptor, NULL);
        upstream_sockets_idle(transfers->sockets, descriptor);
        return 0;
    }
    upstream_sockets_busy(transfers->sockets, descriptor);
    if (!watch) {
        watch = make_watch(transfers, descriptor);
        if (!watch)
            return 0;
        (void)curl_multi_assign(transfers->multi, descriptor, watch);
    }
    watch->events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    (void)uv_poll_start(&watch->poll, watch->events, on_readiness);
    return 0;
}

static void on_timeout(uv_timer_t *timer) {
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long timeout_ms, void *context) {
    struct transfers *transfers = context;
    (void)multi;
    if (timeout_ms < 0)
        (void)uv_timer_stop(&transfers->timer);
    else
        (void)uv_timer_start(&transfers->timer, on_timeout, (uint64_t)timeout_ms, 0);
    return 0;
}

/* ---- the whole ---- */

struct transfers *transfers_create(uv_loop_t *loop, struct upstream_sockets *sockets, transfer_ended ended,
                                   void *context, struct error *error) {
    struct transfers *transfers = calloc(1, sizeof(*transfers));
    CURLM *multi = transfers ? curl_multi_init() : NULL;
    if (!multi) {
        error_set(error, "out of memory");
        free(transfers);
        return NULL;
    }
    transfers->multi = multi;
    transfers->loop = loop;
    transfers->sockets = sockets;
    transfers->ended = ended;
    transfers->context = context;
    (void)uv_timer_init(loop, &transfers->timer);
    (void)uv_timer_init(loop, &transfers->pause);
    transfers->timer.data = transfers->pause.data = transfers;
    transfers->handles = 2;
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, transfers);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERDATA, transfers);
    return transfers;
}

bool transfers_begin(struct transfers *transfers, CURL *easy) {
    /* libcurl reckons from now, the loop from the beginning of its turn. */
    uv_update_time(transfers->loop);
    return curl_multi_add_handle(transfers->multi, easy) == CURLM_OK;
}

/* In the order in which they came. Those for which memory is short come again. */
static void on_pause_over(uv_timer_t *pause) {
    struct transfers *transfers = pause->data;
    size_t left = 0;
    for (size_t i = 0; i < transfers->n_later; i++)
        if (!transfers_begin(transfers, transfers->later[i]))
            transfers->later[left++] = transfers->later[i];
    transfers->n_later = left;
    if (left > 0)
        (void)uv_timer_start(pause, on_pause_over, LATER_MS, 0);
}

bool transfers_begin_later(struct transfers *transfers, CURL *easy) {
    if (transfers->n_later == transfers->later_capacity) {
        size_t capacity = 2 * transfers->later_capacity + 16;
        CURL **more = reallocarray(transfers->later, capacity, sizeof(CURL *));
        if (!more)
            return false;
        transfers->later = more;
        transfers->later_capacity = capacity;
    }
    transfers->later[transfers->n_later++] = easy;
    if (!uv_is_active((uv_handle_t *)&transfers->pause))
        (void)uv_timer_start(&transfers->pause, on_pause_over, LATER_MS, 0);
    return true;
}

void transfers_abandon(struct transfers *transfers, CURL *easy) {
    size_t left = 0;
    for (size_t i = 0; i < transfers->n_later; i++)
        if (transfers->later[i] != easy)
            transfers->later[left++] = transfers->later[i];
    transfers->n_later = left;
    (void)curl_multi_remove_handle(transfers->multi, easy);
}

static void on_handle_closed(uv_handle_t *timer) {
    struct transfers *transfers = timer->data;
    if (--transfers->handles > 0)
        return;
    transfers_closed closed = transfers->closed;
    void *context = transfers->context;
    free(transfers->later);
    free(transfers);
    if (closed)
        closed(context);
}

void transfers_close(struct transfers **transfers, transfers_closed closed) {
    struct transfers *old = *transfers;
    old->closed = closed;
    *transfers = NULL;
    /* The loop must have left the descriptors before libcurl closes them. */
    while (!LIST_EMPTY(&old->watches))
        close_watch(LIST_FIRST(&old->watches));
    (void)curl_multi_setopt(old->multi, CURLMOPT_SOCKETFUNCTION, NULL);
    (void)curl_multi_setopt(old->multi, CURLMOPT_TIMERFUNCTION, NULL);
    (void)curl_multi_cleanup(old->multi);
    old->multi = NULL;
    old->n_later = 0;
    uv_close((uv_handle_t *)&old->timer, on_handle_closed);
    uv_close((uv_handle_t *)&old->pause, on_handle_closed);
}
