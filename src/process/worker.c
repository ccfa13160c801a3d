/* A worker: its parts, its loop, its end. */
#include "process/worker.h"

#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include "inferonce/api/api.h"
#include "inferonce/api/routes.h"
#include "inferonce/base/descriptors.h"
#include "inferonce/base/log.h"
#include "inferonce/process/signals.h"
#include "inferonce/process/title.h"

#define HEARTBEAT_MS 1000

/* How often a worker that leaves looks whether it may drain, or is done. */
#define LEAVE_CHECK_MS 20

/* It does not wait longer for its successor. */
#define SUCCESSOR_WAIT_US (5 * 1000 * 1000)

struct worker {
    const struct worker_options *options;
    struct clock clock;
    uv_loop_t loop;
    struct stats *stats;
    struct context context;
    struct blobs *blobs;
    struct store *store;
    struct engine *engine;
    struct cache *cache;
    struct api api;
    struct router router;
    struct exchange_pool *exchanges;
    struct fastcgi_server *server;
    struct turn *turn;
    uv_poll_t wakes;
    uv_timer_t heartbeat;
    uv_timer_t leave; /* active from SIGTERM on */
    uv_signal_t terminate;
    uv_signal_t orphaned;    /* SIGCONT, which the kernel sends when the master has died */
    uint64_t leave_until_us; /* for its successor, then for its requests */
};

static struct shared_slot *own_slot(const struct worker *worker) {
    return &worker->options->shared->slots[worker->options->slot];
}

/* Gives the memory of a burst of large requests back to the system. By default glibc raises this limit with
 * the first large block that is freed, and from then on keeps what such blocks took. */
#define LARGE_ALLOCATION (128 * 1024)

/* ---- what the loop calls ---- */

static void on_request(void *context, struct fastcgi_request *request) {
    struct worker *worker = context;
    struct exchange *exchange = exchange_begin(worker->exchanges, request);
    if (exchange)
        router_dispatch(&worker->router, exchange);
}

static void on_abandoned(void *context, struct fastcgi_request *request) {
    (void)context;
    exchange_abandon(request->user);
}

static bool on_large(void *context, const struct fastcgi_request *transport) {
    const struct worker *worker = context;
    struct request request;
    request_read(&request, transport);
    return router_takes_parts(&worker->router, &request);
}

static void on_part(void *context, struct fastcgi_request *request, struct bytes part, bool last) {
    (void)context;
    exchange_part(request->user, part, last);
}

static void on_written(void *context, struct fastcgi_request *request) {
    (void)context;
    exchange_written(request->user);
}

static void on_wake(uv_poll_t *poll, int status, int events) {
    struct worker *worker = poll->data;
    uint64_t words[INTEREST_WORDS / 64];
    (void)status;
    (void)events;
    shared_wakes_take(worker->options->shared, worker->options->slot, words);
    cache_woken(worker->cache, words);
}

/* ---- leaving: SIGTERM, or no master; a successor is asked for and waited for; drain; end ---- */

static bool is_over(const struct worker *worker) {
    return clock_monotonic_us(&worker->clock) >= worker->leave_until_us;
}

/* A master that is gone sends no successor, and nobody watches its workers. */
static bool is_alone(const struct worker *worker) {
    return getppid() != worker->options->master;
}

static void leave_within(struct worker *worker, uint64_t us) {
    worker->leave_until_us = clock_monotonic_us(&worker->clock) + us;
}

/* Returns how many requests are unfinished, and has the master know it, should this process be killed. */
static size_t drain(struct worker *worker) {
    fastcgi_server_drain(worker->server);
    size_t unfinished = fastcgi_server_busy(worker->server);
    atomic_store(&own_slot(worker)->unfinished, (uint32_t)unfinished);
    return unfinished;
}

static void check_end(struct worker *worker) {
    size_t unfinished = drain(worker);
    size_t inferences = cache_busy(worker->cache);
    if (fastcgi_server_is_empty(worker->server) && inferences == 0) {
        uv_stop(&worker->loop);
    } else if (is_over(worker)) {
        if (unfinished + inferences > 0)
            LOG_ALWAYS(LOG_WARN, "drain_timeout", LOG_NUMBER("unfinished", unfinished),
                       LOG_NUMBER("inferences", inferences));
        cache_give_up(worker->cache); /* goes out with the end of this turn, which is the last */
        uv_stop(&worker->loop);
    }
}

static void start_drain(struct worker *worker) {
    LOG(LOG_DEBUG, "worker_draining");
    title_set("inferonce: worker %u, draining", worker->options->number);
    worker->api.draining = true;
    fastcgi_server_stop_accepting(worker->server);
    /* Once nobody has it open, who connects is refused at once and can go elsewhere, instead of waiting in a
     * backlog for the end of the drain. */
    close(worker->options->listener);
    drain(worker);
    atomic_store(&own_slot(worker)->draining, 1);
    leave_within(worker, worker->options->settings->drain_timeout_ms * UINT64_C(1000));
}

static void on_leave_check(uv_timer_t *timer) {
    struct worker *worker = timer->data;
    if (worker->api.draining)
        check_end(worker);
    else if (is_alone(worker) || atomic_load(&own_slot(worker)->relieved) || is_over(worker))
        start_drain(worker);
}

static void leave(struct worker *worker) {
    if (uv_is_active((uv_handle_t *)&worker->leave))
        return;
    atomic_store(&own_slot(worker)->leaving, 1);
    shared_tell_master(worker->options->shared);
    leave_within(worker, SUCCESSOR_WAIT_US);
    uv_timer_start(&worker->leave, on_leave_check, LEAVE_CHECK_MS, LEAVE_CHECK_MS);
    on_leave_check(&worker->leave);
}

static void on_terminate(uv_signal_t *signal, int number) {
    (void)number;
    leave(signal->data);
}

static void leave_if_alone(struct worker *worker) {
    if (is_alone(worker))
        leave(worker);
}

static void on_orphaned(uv_signal_t *signal, int number) {
    (void)number;
    leave_if_alone(signal->data);
}

static void on_heartbeat(uv_timer_t *timer) {
    struct worker *worker = timer->data;
    atomic_store_explicit(&own_slot(worker)->heartbeat_us, clock_monotonic_us(&worker->clock),
                          memory_order_relaxed);
    leave_if_alone(worker);
}

/* ---- set-up, in the order of the folders ---- */

static bool setup_parts(struct worker *worker, struct error *error) {
    const struct worker_options *options = worker->options;
    const struct settings *settings = options->settings;
    worker->stats = &options->shared->stats[options->slot];
    log_set_stats(worker->stats);
    worker->turn = turn_create(&worker->loop, error);
    if (!worker->turn)
        return false;
    worker->blobs = blobs_create(worker->stats);
    if (!worker->blobs) {
        error_set(error, "out of memory");
        return false;
    }
    worker->context = (struct context){.settings = settings,
                                       .shared = options->shared,
                                       .slot = options->slot,
                                       .loop = &worker->loop,
                                       .clock = &worker->clock,
                                       .stats = worker->stats,
                                       .turn = worker->turn};
    worker->store = store_open(&worker->context, error);
    if (!worker->store)
        return false;
    worker->engine = engine_create(&worker->context, error);
    if (!worker->engine)
        return false;
    worker->cache = cache_create(&worker->context, worker->store, worker->engine, worker->blobs, error);
    if (!worker->cache)
        return false;
    worker->api = (struct api){
        .context = &worker->context, .cache = worker->cache, .store = worker->store, .blobs = worker->blobs};
    return api_setup(&worker->api, error);
}

static bool setup_server(struct worker *worker, struct error *error) {
    const struct worker_options *options = worker->options;
    worker->router = (struct router){.routes = API_ROUTES,
                                     .n = API_ROUTES_COUNT,
                                     .context = &worker->api,
                                     .admin_token = bytes_of(options->settings->admin_token)};
    worker->exchanges = exchange_pool_create(worker->stats);
    if (!worker->exchanges) {
        error_set(error, "out of memory");
        return false;
    }
    worker->server =
        fastcgi_server_create(&(struct fastcgi_options){.context = &worker->context,
                                                        .listener = options->listener,
                                                        .body_max = options->settings->max_body_kb * 1024,
                                                        .descriptors_reserved = descriptors_reserved(
                                                            options->settings, options->shared->workers),
                                                        .blobs = worker->blobs,
                                                        .handler = on_request,
                                                        .abandoned = on_abandoned,
                                                        .wants_parts = on_large,
                                                        .part = on_part,
                                                        .written = on_written,
                                                        .user = worker},
                              error);
    return worker->server != NULL;
}

static bool setup_handles(struct worker *worker, struct error *error) {
    int wake = worker->options->shared->wake_descriptors[worker->options->slot];
    bool made = uv_poll_init(&worker->loop, &worker->wakes, wake) == 0 &&
                uv_timer_init(&worker->loop, &worker->heartbeat) == 0 &&
                uv_timer_init(&worker->loop, &worker->leave) == 0 &&
                uv_signal_init(&worker->loop, &worker->terminate) == 0 &&
                uv_signal_init(&worker->loop, &worker->orphaned) == 0;
    worker->wakes.data = worker->heartbeat.data = worker->leave.data = worker->terminate.data =
        worker->orphaned.data = worker;
    made = made && uv_poll_start(&worker->wakes, UV_READABLE, on_wake) == 0 &&
           uv_timer_start(&worker->heartbeat, on_heartbeat, 0, HEARTBEAT_MS) == 0 &&
           uv_signal_start(&worker->terminate, on_terminate, SIGTERM) == 0 &&
           uv_signal_start(&worker->orphaned, on_orphaned, SIGCONT) == 0;
    if (!made)
        error_set(error, "the event loop could not be set up");
    return made;
}

static void on_walk(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void teardown(struct worker *worker) {
    if (worker->server)
        fastcgi_server_destroy(&worker->server);
    if (worker->api.cache)
        api_teardown(&worker->api);
    cache_destroy(&worker->cache);
    engine_destroy(&worker->engine);
    store_close(&worker->store);
    turn_destroy(&worker->turn);
    uv_walk(&worker->loop, on_walk, NULL);
    uv_run(&worker->loop, UV_RUN_DEFAULT);
    exchange_pool_destroy(&worker->exchanges);
    blobs_destroy(&worker->blobs);
    uv_loop_close(&worker->loop);
}

int worker_run(const struct worker_options *options) {
    struct worker worker = {.options = options};
    struct error error = {""};
    title_set("inferonce: worker %u", options->number);
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_ALLOCATION);
    if (uv_loop_init(&worker.loop) != 0) {
        LOG(LOG_ERROR, "worker_failed", LOG_TEXT("error", "no event loop"));
        return 1;
    }
    bool ready =
        setup_parts(&worker, &error) && setup_server(&worker, &error) && setup_handles(&worker, &error);
    if (ready) {
        signals_setup_worker(); /* after FCGX_Init, which sets handlers of its own */
        LOG(LOG_DEBUG, "worker_ready");
        atomic_store(&own_slot(&worker)->ready, 1);
        shared_tell_master(options->shared);
        uv_run(&worker.loop, UV_RUN_DEFAULT);
    } else {
        LOG(LOG_ERROR, "worker_failed", LOG_TEXT("error", error.text));
    }
    teardown(&worker);
    return ready ? 0 : 1;
}
