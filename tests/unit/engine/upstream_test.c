/* The backend alone, in one loop with a server of a few lines. What servers do wrong is tried in
 * tests/e2e/test_upstream.py; here are cancelling, destroying and memory that is not there. */
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/backend.h"
#include "unit.h"

#define JOBS_MOST 64

struct probe {
    struct engine_job job;
    unsigned answers;
    struct engine_answer answer;
    char body[64];
};

/* One that answers each request, or none, on as many connections as come. It allocates before the tests begin
 * to fail allocations. */
struct server {
    uv_tcp_t listener;
    uv_tcp_t connections[JOBS_MOST];
    uv_write_t writes[JOBS_MOST];
    char input[JOBS_MOST][4096];
    size_t lengths[JOBS_MOST];
    size_t n;
    unsigned requests;
    const char *answer;                            /* NULL: it does not answer */
    const char *(*answer_to)(const char *request); /* in place of `answer` */
};

struct bench {
    struct settings settings;
    struct clock clock;
    struct stats stats;
    uv_loop_t loop;
    uv_timer_t patience;
    struct turn *turn;
    struct context context;
    struct engine *engine;
    struct server server;
    struct probe probes[JOBS_MOST];
    unsigned answered;
    unsigned cancel_on_answer; /* index + 1 of a probe */
    bool destroy_on_answer;
};

static struct bench bench;

/* ---- the server ---- */

static void on_written(uv_write_t *write, int status) {
    (void)write, (void)status;
}

static void give_input(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
    size_t i = (size_t)((uv_tcp_t *)handle - bench.server.connections);
    (void)suggested;
    *buf = uv_buf_init(bench.server.input[i] + bench.server.lengths[i],
                       (unsigned)(sizeof(bench.server.input[i]) - 1 - bench.server.lengths[i]));
}

/* A request is complete when its body's last brace is there; texts have none. */
static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    size_t i = (size_t)((uv_tcp_t *)stream - bench.server.connections);
    (void)buf;
    if (n <= 0) {
        if (n < 0)
            uv_close((uv_handle_t *)stream, NULL);
        return;
    }
    bench.server.lengths[i] += (size_t)n;
    if (bench.server.input[i][bench.server.lengths[i] - 1] != '}')
        return;
    bench.server.input[i][bench.server.lengths[i]] = '\0';
    bench.server.lengths[i] = 0;
    bench.server.requests++;
    uv_stop(stream->loop);
    const char *answer =
        bench.server.answer_to ? bench.server.answer_to(bench.server.input[i]) : bench.server.answer;
    if (!answer)
        return;
    uv_buf_t out = uv_buf_init((char *)(uintptr_t)answer, (unsigned)strlen(answer));
    (void)uv_write(&bench.server.writes[i], stream, &out, 1, on_written);
}

static void on_connection(uv_stream_t *listener, int status) {
    CU_ASSERT_FATAL(status == 0 && bench.server.n < JOBS_MOST);
    uv_tcp_t *connection = &bench.server.connections[bench.server.n++];
    (void)uv_tcp_init(listener->loop, connection);
    CU_ASSERT_EQUAL_FATAL(uv_accept(listener, (uv_stream_t *)connection), 0);
    (void)uv_read_start((uv_stream_t *)connection, give_input, on_input);
}

static int serve(void) {
    struct sockaddr_in address;
    int length = sizeof(address);
    CU_ASSERT_EQUAL(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    CU_ASSERT_EQUAL(uv_tcp_init(&bench.loop, &bench.server.listener), 0);
    CU_ASSERT_EQUAL(uv_tcp_bind(&bench.server.listener, (const struct sockaddr *)&address, 0), 0);
    CU_ASSERT_EQUAL_FATAL(uv_listen((uv_stream_t *)&bench.server.listener, 64, on_connection), 0);
    CU_ASSERT_EQUAL(uv_tcp_getsockname(&bench.server.listener, (struct sockaddr *)&address, &length), 0);
    return ntohs(address.sin_port);
}

/* ---- what libcurl sees ---- */

/* While it is set libcurl does not see that a kept connection has ended: as when that happens right after it
 * has looked. */
static bool blind;

int poll(struct pollfd *descriptors, nfds_t n, int timeout_ms) {
    static int (*original)(struct pollfd *, nfds_t, int);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "poll");
    if (blind && n == 1 && timeout_ms == 0 && !(descriptors->events & POLLOUT))
        return 0;
    return original(descriptors, n, timeout_ms);
}

/* ---- the engine ---- */

static void on_done(struct engine_job *job, const struct engine_answer *answer) {
    struct probe *probe = job->user;
    unit_allocations_heal(); /* what fails shall be what is tested */
    probe->answers++;
    probe->answer = *answer;
    CU_ASSERT_FATAL(answer->body.length < sizeof(probe->body));
    if (answer->body.length > 0)
        memcpy(probe->body, answer->body.data, answer->body.length);
    bench.answered++;
    uv_stop(&bench.loop); /* somebody may wait for this */
    if (bench.cancel_on_answer > 0) {
        unsigned other = bench.cancel_on_answer - 1;
        bench.cancel_on_answer = 0;
        engine_cancel(bench.engine, &bench.probes[other].job);
    }
    if (bench.destroy_on_answer) {
        bench.destroy_on_answer = false;
        engine_destroy(&bench.engine);
    }
}

static void set_up(int dialect, const char *answer) {
    memset(&bench, 0, sizeof(bench));
    settings_defaults(&bench.settings);
    bench.settings.engine = SETTINGS_ENGINE_HTTP;
    bench.settings.upstream_dialect = dialect;
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&bench.loop), 0);
    CU_ASSERT_EQUAL(uv_timer_init(&bench.loop, &bench.patience), 0);
    bench.server.answer = answer;
    snprintf(bench.settings.upstream_url, sizeof(bench.settings.upstream_url), "http://127.0.0.1:%d/",
             serve());
    for (unsigned i = 0; i < JOBS_MOST; i++) {
        bench.probes[i].job.text = bytes_of("a text");
        bench.probes[i].job.done = on_done;
        bench.probes[i].job.user = &bench.probes[i];
    }
    struct error error = {""};
    bench.turn = turn_create(&bench.loop, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bench.turn);
    bench.context = (struct context){.settings = &bench.settings,
                                     .loop = &bench.loop,
                                     .clock = &bench.clock,
                                     .stats = &bench.stats,
                                     .turn = bench.turn};
    bench.engine = engine_create(&bench.context, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bench.engine);
}

static void ignore_readiness(uv_poll_t *poll, int status, int events) {
    (void)poll, (void)status, (void)events;
}

/* libuv aborts when it has no memory for another descriptor: it shall know of high ones before memory is
 * short. */
static void make_loop_large(void) {
    uv_poll_t poll;
    int low = eventfd(0, EFD_CLOEXEC);
    int high = fcntl(low, F_DUPFD_CLOEXEC, 500);
    CU_ASSERT_FATAL(low >= 0 && high >= 0);
    CU_ASSERT_EQUAL(uv_poll_init(&bench.loop, &poll, high), 0);
    CU_ASSERT_EQUAL(uv_poll_start(&poll, UV_READABLE, ignore_readiness), 0);
    uv_close((uv_handle_t *)&poll, NULL);
    (void)uv_run(&bench.loop, UV_RUN_NOWAIT);
    close(high);
    close(low);
}

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void tear_down(void) {
    unit_allocations_heal();
    engine_destroy(&bench.engine);
    turn_destroy(&bench.turn);
    uv_close((uv_handle_t *)&bench.patience, NULL);
    (void)uv_run(&bench.loop, UV_RUN_NOWAIT); /* what the engine had closes by itself */
    uv_walk(&bench.loop, close_handle, NULL);
    (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&bench.loop), 0);
    CU_ASSERT_EQUAL(stats_sum(&bench.stats, 1, STAT_in_flight), 0);
    CU_ASSERT_EQUAL(stats_sum(&bench.stats, 1, STAT_queue), 0);
}

static void infer(unsigned n) {
    struct engine_job *jobs[JOBS_MOST] = {NULL};
    for (unsigned i = 0; i < n; i++)
        jobs[i] = &bench.probes[i].job;
    engine_infer(bench.engine, jobs, n);
    for (unsigned i = 0; i < n; i++)
        CU_ASSERT_EQUAL(bench.probes[i].answers, 0);
}

static void lose_patience(uv_timer_t *timer) {
    uv_stop(timer->loop);
}

/* Runs the loop until it is true; fails after ten seconds. */
static void run_until(bool (*condition)(unsigned n), unsigned n) {
    (void)uv_timer_start(&bench.patience, lose_patience, 10000, 0);
    while (!condition(n) && uv_is_active((uv_handle_t *)&bench.patience))
        (void)uv_run(&bench.loop, UV_RUN_DEFAULT);
    CU_ASSERT(condition(n));
    (void)uv_timer_stop(&bench.patience);
}

static bool have_answers(unsigned n) {
    return bench.answered >= n;
}

static bool have_requests(unsigned n) {
    return bench.server.requests >= n;
}

#define HTTP(length, body) "HTTP/1.1 200 OK\r\nContent-Length: " length "\r\n\r\n" body
#define THREE                                                                                       \
    HTTP("94",                                                                                      \
         "{\"data\":[{\"index\":0,\"embedding\":[0]},{\"index\":1,\"embedding\":[1]},{\"index\":2," \
         "\"embedding\":[2]}]}")

static void test_answers(void) {
    set_up(SETTINGS_DIALECT_PLAIN, HTTP("7", "{\"a\":1}"));
    infer(5);
    run_until(have_answers, 5);
    for (unsigned i = 0; i < 5; i++) {
        CU_ASSERT_EQUAL(bench.probes[i].answers, 1);
        CU_ASSERT_EQUAL(bench.probes[i].answer.status, ENGINE_OK);
        CU_ASSERT_STRING_EQUAL(bench.probes[i].body, "{\"a\":1}");
        CU_ASSERT(bench.probes[i].answer.storable);
        CU_ASSERT_EQUAL(bench.probes[i].answer.lifetime_ms, UINT64_MAX);
    }
    CU_ASSERT_EQUAL(bench.server.requests, 5);
    tear_down();
}

static void test_together(void) {
    set_up(SETTINGS_DIALECT_OPENAI, THREE);
    infer(3);
    run_until(have_answers, 3);
    CU_ASSERT_EQUAL(bench.server.requests, 1);
    CU_ASSERT_STRING_EQUAL(bench.probes[2].body, "{\"embedding\":[2]}");
    tear_down();
}

static void test_not_together(void) {
    set_up(SETTINGS_DIALECT_OPENAI, THREE);
    bench.probes[1].job.parameters = bytes_of("{\"user\":1}");
    bench.probes[2].job.authorization = bytes_of("Bearer x");
    infer(4);
    run_until(have_answers, 4);
    CU_ASSERT_EQUAL(bench.server.requests, 3);
    CU_ASSERT_STRING_EQUAL(bench.probes[0].body, "{\"embedding\":[0]}");
    CU_ASSERT_STRING_EQUAL(bench.probes[3].body, "{\"embedding\":[1]}");
    tear_down();
}

static void test_cancel(void) {
    set_up(SETTINGS_DIALECT_OPENAI, NULL);
    infer(3);
    run_until(have_requests, 1);
    for (unsigned i = 0; i < 3; i++)
        engine_cancel(bench.engine, &bench.probes[i].job);
    CU_ASSERT_EQUAL(stats_sum(&bench.stats, 1, STAT_in_flight), 0);
    /* The handle is as good as new. */
    bench.server.answer = THREE;
    infer(1);
    run_until(have_answers, 1);
    CU_ASSERT_EQUAL(bench.probes[0].answer.status, ENGINE_OK);
    CU_ASSERT_EQUAL(bench.probes[1].answers + bench.probes[2].answers, 0);
    tear_down();
}

static void test_cancel_one_of_several(void) {
    set_up(SETTINGS_DIALECT_OPENAI, THREE);
    infer(3);
    engine_cancel(bench.engine, &bench.probes[1].job);
    bench.cancel_on_answer = 3;
    run_until(have_answers, 1);
    CU_ASSERT_STRING_EQUAL(bench.probes[0].body, "{\"embedding\":[0]}");
    CU_ASSERT_EQUAL(bench.probes[1].answers + bench.probes[2].answers, 0);
    tear_down();
}

/* ---- several texts, of which one is bad ---- */

#define ERROR(status) "HTTP/1.1 " status " Error\r\nContent-Length: 2\r\n\r\n{}"
#define ALONE         HTTP("38", "{\"data\":[{\"index\":0,\"embedding\":[7]}]}")

static bool is_of_several(const char *request) {
    return strstr(request, "\"input\":[") != NULL;
}

static const char *refuse_bad(const char *request) {
    if (strstr(request, "bad"))
        return ERROR("413");
    return is_of_several(request) ? THREE : ALONE;
}

static const char *refuse_several(const char *request) {
    return is_of_several(request) ? ERROR("500") : ALONE;
}

/* It does not hear what was said about a text that nobody waits for any more. */
static void test_the_companion_has_left(void) {
    set_up(SETTINGS_DIALECT_OPENAI, NULL);
    bench.server.answer_to = refuse_bad;
    bench.probes[0].job.text = bytes_of("bad");
    infer(2);
    engine_cancel(bench.engine, &bench.probes[0].job);
    run_until(have_answers, 1);
    CU_ASSERT_EQUAL(bench.probes[0].answers, 0);
    CU_ASSERT_EQUAL(bench.probes[1].answer.status, ENGINE_OK);
    CU_ASSERT_STRING_EQUAL(bench.probes[1].body, "{\"embedding\":[7]}");
    CU_ASSERT_EQUAL(bench.server.requests, 2);
    tear_down();
}

static void test_asked_again(void) {
    set_up(SETTINGS_DIALECT_OPENAI, NULL);
    bench.server.answer_to = refuse_several;
    infer(5);
    run_until(have_answers, 5);
    for (unsigned i = 0; i < 5; i++)
        CU_ASSERT_EQUAL(bench.probes[i].answer.status, ENGINE_OK);
    CU_ASSERT_EQUAL(bench.server.requests, 9);
    CU_ASSERT_EQUAL(stats_sum(&bench.stats, 1, STAT_upstream_retries), 8);
    CU_ASSERT_EQUAL(stats_sum(&bench.stats, 1, STAT_inferences), 5);
    tear_down();
}

/* A repeated request can be cancelled, as the first one can. */
static void test_cancel_what_is_asked_again(void) {
    set_up(SETTINGS_DIALECT_OPENAI, NULL);
    bench.server.answer_to = refuse_several;
    infer(4);
    run_until(have_requests, 2);
    for (unsigned i = 0; i < 3; i++)
        engine_cancel(bench.engine, &bench.probes[i].job);
    run_until(have_answers, 1);
    CU_ASSERT_EQUAL(bench.probes[3].answer.status, ENGINE_OK);
    CU_ASSERT_EQUAL(bench.probes[0].answers + bench.probes[1].answers + bench.probes[2].answers, 0);
    tear_down();
}

static const char *leave_one_out(const char *request) {
    return is_of_several(request) ? ALONE : NULL;
}

/* The results that there are end their jobs, and one of these ends may be the end of everything. */
static void test_destroy_before_asking_again(void) {
    set_up(SETTINGS_DIALECT_OPENAI, NULL);
    bench.server.answer_to = leave_one_out;
    infer(3);
    bench.destroy_on_answer = true;
    run_until(have_answers, 1);
    CU_ASSERT_EQUAL(bench.answered, 1);
    CU_ASSERT_EQUAL(bench.server.requests, 1);
    tear_down();
}

static void test_destroy_while_several_end(void) {
    set_up(SETTINGS_DIALECT_OPENAI, THREE);
    infer(3);
    bench.destroy_on_answer = true;
    run_until(have_answers, 1);
    CU_ASSERT_EQUAL(bench.answered, 1);
    tear_down();
}

/* No time is left for what failed when its time was over. */
static void test_no_time_to_ask_again(void) {
    set_up(SETTINGS_DIALECT_OPENAI, ERROR("500"));
    bench.clock.fake = true;
    bench.clock.monotonic_us = 1000000;
    infer(3);
    bench.clock.monotonic_us += (bench.settings.upstream_timeout_ms + 1) * 1000;
    run_until(have_answers, 3);
    for (unsigned i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(bench.probes[i].answer.status, ENGINE_REFUSED);
    CU_ASSERT_EQUAL(bench.server.requests, 1);
    tear_down();
}

/* A kept connection that is reset before a byte was sent costs nobody an answer. */
static void test_sent_again_when_nothing_was_sent(void) {
    set_up(SETTINGS_DIALECT_PLAIN, HTTP("1", "1"));
    bench.settings.upstream_reuse =
        UPSTREAM_REUSE_ALL; /* the sockets do not know: idle ones are not watched */
    for (unsigned i = 0; i < 3; i++) {
        struct engine_job *job = &bench.probes[i].job;
        blind = i == 2;
        engine_infer(bench.engine, &job, 1);
        run_until(have_answers, i + 1);
        CU_ASSERT_EQUAL(bench.probes[i].answer.status, ENGINE_OK);
        if (i == 1)
            CU_ASSERT_EQUAL(uv_tcp_close_reset(&bench.server.connections[0], NULL), 0);
    }
    blind = false;
    CU_ASSERT_EQUAL(bench.server.requests, 3);
    CU_ASSERT_EQUAL(bench.server.n, 2);
    tear_down();
}

static void test_destroy_under_way(void) {
    set_up(SETTINGS_DIALECT_PLAIN, NULL);
    infer(3);
    run_until(have_requests, 3);
    tear_down();
    CU_ASSERT_EQUAL(bench.answered, 0);
}

static void test_destroy_while_answering(void) {
    set_up(SETTINGS_DIALECT_PLAIN, HTTP("1", "1"));
    infer(3);
    bench.destroy_on_answer = true;
    run_until(have_answers, 1);
    CU_ASSERT_EQUAL(bench.answered, 1);
    tear_down();
}

static void test_reserved_parameter(void) {
    set_up(SETTINGS_DIALECT_OPENAI, THREE);
    bench.probes[0].job.parameters = bytes_of("{\"model\":\"x\"}");
    bench.probes[1].job.parameters = bytes_of("{\"input\":\"x\"}");
    infer(3);
    engine_cancel(bench.engine, &bench.probes[1].job);
    run_until(have_answers, 2);
    CU_ASSERT_EQUAL(bench.probes[0].answer.status, ENGINE_REJECTED);
    CU_ASSERT_EQUAL(bench.probes[0].answer.http_status, 422);
    CU_ASSERT_EQUAL(bench.probes[1].answers, 0);
    CU_ASSERT_EQUAL(bench.probes[2].answer.status, ENGINE_OK);
    CU_ASSERT_EQUAL(bench.server.requests, 1);
    tear_down();
}

/* Each allocation fails in turn: every job ends once, with the answer or an error. */
static void check_memory_runs_out(const char *(*answer_to)(const char *request)) {
    for (unsigned n = 1; n <= 120; n++) {
        set_up(SETTINGS_DIALECT_OPENAI, THREE);
        bench.server.answer_to = answer_to;
        bench.settings.upstream_timeout_ms = 200; /* a descriptor that cannot be watched */
        make_loop_large();
        unit_allocations_fail(n, true);
        infer(3);
        run_until(have_answers, 3);
        for (unsigned i = 0; i < 3; i++) {
            CU_ASSERT_EQUAL(bench.probes[i].answers, 1);
            if (bench.probes[i].answer.status == ENGINE_OK)
                CU_ASSERT(strncmp(bench.probes[i].body, "{\"embedding\":[", 14) == 0)
        }
        tear_down();
    }
}

static void test_memory_runs_out(void) {
    check_memory_runs_out(NULL);
}

static void test_memory_runs_out_for_asking_again(void) {
    check_memory_runs_out(refuse_several);
}

static void test_longest(void) {
    struct settings settings;
    settings_defaults(&settings);
    settings.engine = SETTINGS_ENGINE_HTTP;
    settings.upstream_timeout_ms = 10000;
    settings.inference_concurrency = 10;
    settings.inference_queue = 25;
    /* The time in the queue counts: the last of it has no more than the first. */
    CU_ASSERT(engine_longest_us(&settings) >= UINT64_C(10000000));
    CU_ASSERT(engine_longest_us(&settings) < UINT64_C(11000000));
}

static void test_a_certificate_file_that_is_none(void) {
    struct settings settings;
    struct clock clock = {.fake = false};
    struct stats stats = {0};
    struct error error = {""};
    uv_loop_t loop;
    settings_defaults(&settings);
    settings.engine = SETTINGS_ENGINE_HTTP;
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&loop), 0);
    struct turn *turn = turn_create(&loop, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(turn);
    const struct context context = {
        .settings = &settings, .loop = &loop, .clock = &clock, .stats = &stats, .turn = turn};
    static const char *const PATHS[] = {"/nowhere/at/all.pem", "/dev/null", "/proc/self/status"};
    for (size_t i = 0; i < sizeof(PATHS) / sizeof(PATHS[0]); i++) {
        snprintf(settings.upstream_ca_file, sizeof(settings.upstream_ca_file), "%s", PATHS[i]);
        for (unsigned asked = 0; asked < 2; asked++) {
            error.text[0] = '\0';
            CU_ASSERT(asked == 0 ? !engine_check(&settings, &error) : !engine_create(&context, &error));
            CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "UPSTREAM_CA_FILE"));
            CU_ASSERT_PTR_NOT_NULL(strstr(error.text, PATHS[i]));
        }
    }
    settings.engine = SETTINGS_ENGINE_BUILTIN; /* which has no use for it */
    CU_ASSERT(engine_check(&settings, &error));
    turn_destroy(&turn);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&loop), 0);
}

static const struct unit_case CASES[] = {
    {"each text is asked for", test_answers},
    {"texts travel together", test_together},
    {"other parameters and credentials travel alone", test_not_together},
    {"cancelling", test_cancel},
    {"cancelling one of several", test_cancel_one_of_several},
    {"the text that was refused has been cancelled", test_the_companion_has_left},
    {"texts that were refused together are asked for again", test_asked_again},
    {"cancelling what is asked for again", test_cancel_what_is_asked_again},
    {"destroyed before anything is asked for again", test_destroy_before_asking_again},
    {"destroyed by the first of several answers of one call", test_destroy_while_several_end},
    {"no time to ask again", test_no_time_to_ask_again},
    {"sent again when nothing was sent", test_sent_again_when_nothing_was_sent},
    {"destroyed while calls are under way", test_destroy_under_way},
    {"destroyed by one of several answers", test_destroy_while_answering},
    {"a parameter that the dialect gives itself", test_reserved_parameter},
    {"each allocation fails in turn", test_memory_runs_out},
    {"each allocation fails in turn, and all is asked for again", test_memory_runs_out_for_asking_again},
    {"how long a job can take", test_longest},
    {"a certificate file that is none", test_a_certificate_file_that_is_none},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "upstream", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
