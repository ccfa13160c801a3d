#include "api/predict_batch.h"

#include "service.h"

static void check_fields(const struct sent *sent, const char *x_cache, const char *cache_status,
                         const char *age) {
    CU_ASSERT_EQUAL(sent->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "X-Cache"), x_cache);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Cache-Status"), cache_status);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Age"), age);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "X-Cache-Key"), ""); /* which one would it be? */
}

/* ---- hits and misses ---- */

static void test_misses_then_hits(void) {
    service_setup(NULL);
    struct sent *misses = service_ask("POST", "/predict", NULL, "{\"texts\":[\"a\",\"b\"]}");
    CU_ASSERT_EQUAL(service.worker.n_running, 2);
    service_wait_ms(1250);
    service_model_answers("1");
    CU_ASSERT_EQUAL(misses->answers, 0); /* it is sent when the last one is there */
    service_wait_ms(250);
    service_model_answers("2");
    check_fields(misses, "MISS", "inferonce; fwd=miss; stored", "");
    CU_ASSERT_STRING_EQUAL(service_header(misses, "Server-Timing"),
                           "cache;dur=0.000, inference;dur=1500.000");
    CU_ASSERT_STRING_EQUAL(misses->body,
                           "{\"results\":[{\"result\":1,\"cached\":false,\"inference_time_ms\":1250},"
                           "{\"result\":2,\"cached\":false,\"inference_time_ms\":1500}],\"cached\":0}");
    service_wait_ms(10000);
    struct sent *hits = service_ask("POST", "/predict", NULL, "{\"texts\":[\"b\",\"a\"]}");
    check_fields(hits, "HIT", "inferonce; hit; ttl=50", "10"); /* of the oldest: what may be said of all */
    CU_ASSERT_STRING_EQUAL(service_header(hits, "Server-Timing"), "cache;dur=0.000");
    CU_ASSERT_STRING_EQUAL(hits->body,
                           "{\"results\":[{\"result\":2,\"cached\":true},"
                           "{\"result\":1,\"cached\":true}],\"cached\":2}");
    service_teardown();
}

static void test_only_the_misses_are_inferred(void) {
    service_setup(NULL);
    service_predict(NULL, "{\"text\":\"old\"}");
    service_wait_ms(4000);
    service_predict(NULL, "{\"text\":\"newer\"}");
    service_wait_ms(3000);
    struct sent *partial =
        service_ask("POST", "/predict", NULL, "{\"texts\":[\"newer\",\"new\",\"old\",\"NEW\"]}");
    CU_ASSERT_EQUAL_FATAL(service.worker.n_running, 1);
    CU_ASSERT(bytes_equal(service.worker.running[0]->text, bytes_of("new")));
    service_model_echoes();
    check_fields(partial, "PARTIAL", "inferonce; fwd=miss; stored", "7");
    CU_ASSERT_STRING_EQUAL(
        partial->body,
        "{\"results\":[{\"result\":{\"echo\":\"newer\"},\"cached\":true},"
        "{\"result\":{\"echo\":\"new\"},\"cached\":false,\"inference_time_ms\":0},"
        "{\"result\":{\"echo\":\"old\"},\"cached\":true},"
        "{\"result\":{\"echo\":\"new\"},\"cached\":false,\"inference_time_ms\":0}],\"cached\":2}");
    service_teardown();
}

static void test_equal_texts_are_inferred_once(void) {
    service_setup(NULL);
    struct sent *sent =
        service_ask("POST", "/predict", NULL, "{\"texts\":[\"a\",\"b\",\" A\",\"\\u0061\",\"B \"]}");
    CU_ASSERT_EQUAL(service.worker.n_running, 2);
    service_model_echoes();
    json_t *json = service_json(sent);
    const char *const expected[] = {"a", "b", "a", "a", "b"};
    CU_ASSERT_EQUAL_FATAL(json_array_size(json_object_get(json, "results")), 5);
    for (size_t i = 0; i < 5; i++) {
        json_t *item = json_array_get(json_object_get(json, "results"), i);
        json_t *result = json_object_get(item, "result");
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(result, "echo")), expected[i]);
    }
    json_decref(json);
    CU_ASSERT_EQUAL(service_counted(STAT_misses), 2);
    struct sent *hits = service_predict(NULL, "{\"texts\":[\"a\",\"A\",\"b\"]}");
    CU_ASSERT_PTR_NOT_NULL(strstr(hits->body, "],\"cached\":3}")); /* texts, not different ones */
    service_teardown();
}

static void make_body(char body[256 * 8 + 32]) {
    size_t size = 256 * 8 + 32, length = 0;
    length += (size_t)snprintf(body, size, "{\"texts\":[");
    for (unsigned i = 0; i < 256; i++)
        length += (size_t)snprintf(body + length, size - length, "%s\"t%u\"", i > 0 ? "," : "", i);
    snprintf(body + length, size - length, "]}");
}

/* More than are looked up at once, more than the model takes at once. */
static void test_as_many_as_allowed(void) {
    char body[256 * 8 + 32];
    service_setup(NULL);
    make_body(body);
    struct sent *sent = service_predict(NULL, body);
    CU_ASSERT_EQUAL(service_counted(STAT_inferences), 256);
    json_t *json = service_json(sent);
    for (size_t i = 0; i < 256; i++) {
        char expected[8];
        snprintf(expected, sizeof(expected), "t%zu", i);
        json_t *item = json_array_get(json_object_get(json, "results"), i);
        json_t *result = json_object_get(item, "result");
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(result, "echo")), expected);
    }
    json_decref(json);
    check_fields(service_predict(NULL, body), "HIT", "inferonce; hit; ttl=60", "0");
    service_teardown();
}

static void test_directives_hold_for_each(void) {
    service_setup(NULL);
    service_predict(NULL, "{\"text\":\"a\"}");
    check_fields(service_predict("HTTP_CACHE_CONTROL=no-cache", "{\"texts\":[\"a\",\"b\"]}"), "BYPASS",
                 "inferonce; fwd=request; stored", "");
    check_fields(service_predict("HTTP_CACHE_CONTROL=no-store", "{\"texts\":[\"a\",\"c\"]}"), "BYPASS",
                 "inferonce; fwd=request", "");
    check_fields(service_predict("HTTP_CACHE_CONTROL=max-age=0", "{\"texts\":[\"a\",\"c\"]}"), "PARTIAL",
                 "inferonce; fwd=request; stored", "");
    service_teardown();
}

static void revalidating(struct settings *settings) {
    settings->cache_stale_while_revalidate_ms = 100000;
}

static void test_stale_ones(void) {
    service_setup(revalidating);
    service_predict(NULL, "{\"text\":\"a\"}");
    service_wait_ms(50000);
    service_predict(NULL, "{\"text\":\"b\"}");
    service_wait_ms(15500);
    struct sent *mixed = service_ask("POST", "/predict", NULL, "{\"texts\":[\"a\",\"b\"]}");
    check_fields(mixed, "PARTIAL", "inferonce; hit; ttl=-6", "65");
    CU_ASSERT_PTR_NOT_NULL(strstr(mixed->body, "\"cached\":2}"));
    service_model_echoes();
    service_teardown();
}

static void test_it_shares_flights(void) {
    service_setup(NULL);
    struct sent *single = service_ask("POST", "/predict", NULL, "{\"text\":\"a\"}");
    struct sent *batch = service_ask("POST", "/predict", NULL, "{\"texts\":[\"b\",\"a\"]}");
    struct sent *late = service_ask("POST", "/predict", NULL, "{\"text\":\"b\"}");
    CU_ASSERT_EQUAL(service.worker.n_running, 2);
    service_model_echoes();
    CU_ASSERT_EQUAL(single->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(late, "Cache-Status"), "inferonce; fwd=miss; stored; collapsed");
    check_fields(batch, "MISS", "inferonce; fwd=miss; stored", ""); /* one of its texts it inferred itself */
    service_teardown();
}

/* ---- errors in their places ---- */

static void test_one_fails(void) {
    service_setup(NULL);
    service_predict(NULL, "{\"text\":\"a\"}");
    struct sent *sent = service_ask("POST", "/predict", NULL, "{\"texts\":[\"x\",\"a\",\"b\",\"x\"]}");
    service_model_fails(ENGINE_REJECTED, 422, 0);
    service_model_echoes();
    CU_ASSERT_EQUAL(sent->status, 200);
    json_t *json = service_json(sent), *results = json_object_get(json, "results");
    for (size_t i = 0; i < 4; i += 3) {
        json_t *error = json_object_get(json_array_get(results, i), "error");
        CU_ASSERT_EQUAL(json_integer_value(json_object_get(error, "status")), 422);
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(error, "type")),
                               "urn:inferonce:problem:rejected");
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(error, "detail")), "told to fail");
    }
    CU_ASSERT(json_is_true(json_object_get(json_array_get(results, 1), "cached")));
    CU_ASSERT(json_is_false(json_object_get(json_array_get(results, 2), "cached")));
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(json, "cached")), 1);
    json_decref(json);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Cache-Status"), "inferonce; fwd=miss"); /* not all of it */
    struct sent *again = service_predict(NULL, "{\"texts\":[\"x\"]}");
    CU_ASSERT_STRING_EQUAL(service_header(again, "X-Cache"), "MISS"); /* errors are not stored */
    service_teardown();
}

/* A client has the fields of the whole alone. */
static void test_the_largest_retry_after(void) {
    static const struct {
        unsigned first_s, second_s;
        int first_status;
        const char *expected;
    } ROWS[] = {{7, 30, 429, "30"}, {30, 7, 429, "30"}, {30, 7, 0, "30"}, {9, 9, 429, "9"}};
    service_setup(NULL);
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct sent *sent = service_ask("POST", "/predict", NULL, "{\"texts\":[\"x\",\"y\",\"z\"]}");
        service_model_fails(ENGINE_OVERLOAD, ROWS[i].first_status, ROWS[i].first_s);
        service_model_fails(ENGINE_OVERLOAD, 429, ROWS[i].second_s);
        service_model_fails(ENGINE_REJECTED, 422, 0);
        CU_ASSERT_EQUAL(sent->status, 200);
        CU_ASSERT_STRING_EQUAL(service_header(sent, "Retry-After"), ROWS[i].expected);
    }
    struct sent *sent = service_ask("POST", "/predict", NULL, "{\"texts\":[\"x\"]}");
    service_model_fails(ENGINE_REJECTED, 422, 0);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "Retry-After"), "");
    service_teardown();
}

static void one_at_a_time(struct settings *settings) {
    settings->inference_concurrency = 1;
    settings->inference_queue = 0;
}

static void test_overload(void) {
    service_setup(one_at_a_time);
    service_ask("POST", "/predict", NULL, "{\"text\":\"another's\"}"); /* has the only place */
    struct sent *sent = service_ask("POST", "/predict", NULL, "{\"texts\":[\"a\",\"b\"]}");
    service_turn();
    CU_ASSERT_EQUAL(sent->status, 200);
    json_t *json = service_json(sent);
    json_t *second = json_array_get(json_object_get(json, "results"), 1);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(json_object_get(second, "error"), "status")), 503);
    json_decref(json);
    service_model_answers("1");
    service_teardown();
}

/* Larger than all places and the queue together: it takes them one after the other. */
static void test_larger_than_the_queue(void) {
    service_setup(one_at_a_time);
    struct sent *sent = service_ask("POST", "/predict", NULL, "{\"texts\":[\"a\",\"b\",\"c\",\"a\",\"d\"]}");
    for (unsigned i = 0; i < 4; i++) {
        CU_ASSERT_EQUAL(sent->answers, 0);
        CU_ASSERT_EQUAL(service.worker.n_running, 1);
        service_model_answers("1");
        service_turn();
    }
    CU_ASSERT_EQUAL(sent->status, 200);
    CU_ASSERT_PTR_NULL(strstr(sent->body, "error"));
    CU_ASSERT_EQUAL(service_counted(STAT_inferences), 4);
    service_teardown();
}

/* Hits take nothing of the queue: they do not wait for inferences. */
static void test_hits_beyond_the_queue(void) {
    char body[256 * 8 + 32];
    service_setup(one_at_a_time);
    make_body(body);
    service_predict(NULL, body);
    struct sent *hits = service_ask("POST", "/predict", NULL, body);
    CU_ASSERT_EQUAL(hits->answers, 1); /* in one turn */
    check_fields(hits, "HIT", "inferonce; hit; ttl=60", "0");

    uint64_t before = service_counted(STAT_hits);
    struct sent *partial =
        service_ask("POST", "/predict", NULL, "{\"texts\":[\"new\",\"newer\",\"newest\",\"t1\",\"t2\"]}");
    CU_ASSERT_EQUAL(service_counted(STAT_hits) - before, 2);
    CU_ASSERT_EQUAL(service_counted(STAT_inferences), 257);
    service_model_echoes();
    check_fields(partial, "PARTIAL", "inferonce; fwd=miss; stored", "0");
    CU_ASSERT_EQUAL(service_counted(STAT_inferences), 259);
    CU_ASSERT_EQUAL(service_counted(STAT_hits) - before, 2);
    CU_ASSERT_EQUAL(service_counted(STAT_misses), 259);
    service_teardown();
}

/* Texts that are not looked up wait for their places, too; their client leaves some of them there. */
static void test_alone_beyond_the_queue(void) {
    static const char BODY[] = "{\"texts\":[\"a\",\"b\",\"c\"]}";
    service_setup(one_at_a_time);
    struct sent *sent = service_ask("POST", "/predict", "HTTP_CACHE_CONTROL=no-store", BODY);
    CU_ASSERT_EQUAL(service.worker.n_running, 1);
    CU_ASSERT_EQUAL(service_counted(STAT_inferences), 1);
    service_model_echoes();
    check_fields(sent, "BYPASS", "inferonce; fwd=request", "");
    struct sent *leaves = service_ask("POST", "/predict", "HTTP_CACHE_CONTROL=no-store", BODY);
    service_model_answers("1");
    service_turn();
    CU_ASSERT_EQUAL(service_counted(STAT_inferences), 5);
    service_leave(leaves);
    CU_ASSERT_EQUAL(service.worker.n_running, 0);
    CU_ASSERT_EQUAL(service_counted(STAT_parked), 0);
    service_teardown();
}

static void test_only_if_cached(void) {
    service_setup(NULL);
    service_predict(NULL, "{\"text\":\"a\"}");
    struct sent *some = service_predict("HTTP_CACHE_CONTROL=only-if-cached", "{\"texts\":[\"a\",\"b\"]}");
    CU_ASSERT_EQUAL(some->status, 200);
    json_t *json = service_json(some);
    json_t *second = json_array_get(json_object_get(json, "results"), 1);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(json_object_get(second, "error"), "type")),
                           "urn:inferonce:problem:only-if-cached");
    json_decref(json);
    CU_ASSERT_EQUAL(service_predict("HTTP_CACHE_CONTROL=only-if-cached", "{\"texts\":[\"b\",\"a\"]}")->status,
                    200);
    struct sent *none = service_predict("HTTP_CACHE_CONTROL=only-if-cached", "{\"texts\":[\"c\",\"b\"]}");
    service_check_problem(none, 504, "only-if-cached", NULL);
    CU_ASSERT_EQUAL(service_counted(STAT_inferences), 1);
    service_teardown();
}

/* ---- QUERY ---- */

static void test_query(void) {
    char match[128];
    service_setup(NULL);
    struct sent *misses = service_ask("QUERY", "/predict", NULL, "{\"texts\":[\"a\",\"b\"]}");
    service_wait_ms(10);
    service_model_echoes();
    snprintf(match, sizeof(match), "HTTP_IF_NONE_MATCH=%s", service_header(misses, "ETag"));
    struct sent *hits = service_ask("QUERY", "/predict", NULL, "{\"texts\":[\"a\",\"b\"]}");
    CU_ASSERT_STRING_EQUAL(service_header(hits, "ETag"), service_header(misses, "ETag"));
    struct sent *matching = service_ask("QUERY", "/predict", match, "{\"texts\":[\"a\",\"b\"]}");
    CU_ASSERT_EQUAL(matching->status, 304);
    CU_ASSERT_STRING_EQUAL(service_header(matching, "X-Cache"), "HIT");
    CU_ASSERT_EQUAL(service_ask("QUERY", "/predict", match, "{\"texts\":[\"b\",\"a\"]}")->status, 200);
    CU_ASSERT_STRING_EQUAL(
        service_header(service_ask("POST", "/predict", match, "{\"texts\":[\"a\"]}"), "ETag"), "");
    service_teardown();
}

/* A QUERY for two texts, of which the model says this and that; an answer of NULL is a failure. */
static struct sent *query_two(const char *first, const char *second) {
    struct sent *sent =
        service_ask("QUERY", "/predict", "HTTP_CACHE_CONTROL=no-cache", "{\"texts\":[\"a\",\"b\"]}");
    if (first)
        service_model_answers(first);
    else
        service_model_fails(ENGINE_TIMEOUT, 0, 0);
    if (second)
        service_model_answers(second);
    else
        service_model_fails(ENGINE_REFUSED, 0, 0);
    CU_ASSERT_EQUAL(sent->status, 200);
    return sent;
}

/* Other results, results cut in another place, other failures: all are told apart. */
static void test_etag_covers_all_results(void) {
    static const char *const RESULTS[][2] = {{"1", "12"},  {"11", "2"}, {"1", "13"}, {"2", "12"},
                                             {NULL, "12"}, {"1", NULL}, {NULL, NULL}};
    enum { N = sizeof(RESULTS) / sizeof(RESULTS[0]) };
    struct sent *sent[N];
    service_setup(NULL);
    for (size_t i = 0; i < N; i++) {
        sent[i] = query_two(RESULTS[i][0], RESULTS[i][1]);
        for (size_t j = 0; j < i; j++)
            CU_ASSERT_STRING_NOT_EQUAL(service_header(sent[i], "ETag"), service_header(sent[j], "ETag"));
    }
    CU_ASSERT_STRING_EQUAL(service_header(query_two("1", NULL), "ETag"), service_header(sent[5], "ETag"));
    service_teardown();
}

/* ---- clients that leave ---- */

static void test_client_leaves(void) {
    service_setup(NULL);
    service_leave(service_send("POST", "/predict", NULL, "{\"texts\":[\"a\",\"b\"]}"));
    service_turn();
    CU_ASSERT_EQUAL(service.worker.n_running, 0);

    service_leave(service_ask("POST", "/predict", NULL, "{\"texts\":[\"a\",\"b\"]}"));
    CU_ASSERT_EQUAL(service.worker.n_running, 2); /* they go on and are stored */
    service_model_echoes();

    struct sent *partly = service_ask("POST", "/predict", NULL, "{\"texts\":[\"a\",\"c\",\"d\"]}");
    service_model_answers("1");
    service_leave(partly);
    service_model_answers("2");
    CU_ASSERT_STRING_EQUAL(
        service_header(service_predict(NULL, "{\"texts\":[\"a\",\"b\",\"c\",\"d\"]}"), "X-Cache"), "HIT");

    service_leave(
        service_ask("POST", "/predict", "HTTP_CACHE_CONTROL=no-store", "{\"texts\":[\"a\",\"e\"]}"));
    CU_ASSERT_EQUAL(service.worker.n_running, 0);
    service_teardown();
}

static void test_parameters_go_with_each(void) {
    service_setup(NULL);
    struct sent *sent = service_ask("POST", "/predict", NULL, "{\"texts\":[\"a\",\"b\"],\"k\": 1.0}");
    for (size_t i = 0; i < service.worker.n_running; i++)
        CU_ASSERT(bytes_equal(service.worker.running[i]->parameters, bytes_of("{\"k\":1.0}")));
    service_model_echoes();
    CU_ASSERT_EQUAL(sent->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(service_predict(NULL, "{\"text\":\"a\",\"k\":1.0}"), "X-Cache"),
                           "HIT");
    CU_ASSERT_STRING_EQUAL(service_header(service_predict(NULL, "{\"text\":\"a\"}"), "X-Cache"), "MISS");
    service_teardown();
}

/* ---- large results ---- */

/* A JSON string of `length` bytes, quotes included. */
static char *large_result(char c, size_t length) {
    char *result = malloc(length + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(result);
    memset(result, c, length);
    result[0] = result[length - 1] = '"';
    result[length] = '\0';
    return result;
}

/* Each text has its result, large or not, and a large one is held once however often it is asked for. */
static void test_large_results(void) {
    enum { LENGTH = 100000 };
    char *large = large_result('x', LENGTH);
    char *other = large_result('y', LENGTH);
    char *expected;
    service_setup(NULL);
    struct sent *first = service_ask("POST", "/predict", NULL, "{\"texts\":[\"a\",\"b\",\"a\",\"c\",\"a\"]}");
    service_model_answers(large);
    struct sent *second = service_ask("POST", "/predict", NULL, "{\"texts\":[\"c\",\"a\"]}");
    CU_ASSERT_EQUAL(first->answers + second->answers, 0);
    CU_ASSERT_EQUAL(service_counted(STAT_held_bytes), LENGTH); /* by both */
    service_model_answers("2");
    service_model_answers(other);
    CU_ASSERT(asprintf(&expected,
                       "{\"results\":[{\"result\":%s,\"cached\":false,\"inference_time_ms\":0},"
                       "{\"result\":2,\"cached\":false,\"inference_time_ms\":0},"
                       "{\"result\":%s,\"cached\":false,\"inference_time_ms\":0},"
                       "{\"result\":%s,\"cached\":false,\"inference_time_ms\":0},"
                       "{\"result\":%s,\"cached\":false,\"inference_time_ms\":0}],\"cached\":0}",
                       large, large, other, large) > 0);
    CU_ASSERT_STRING_EQUAL(first->body, expected);
    free(expected);
    CU_ASSERT(asprintf(&expected,
                       "{\"results\":[{\"result\":%s,\"cached\":false,\"inference_time_ms\":0},"
                       "{\"result\":%s,\"cached\":true}],\"cached\":1}",
                       other, large) > 0);
    CU_ASSERT_STRING_EQUAL(second->body, expected);
    free(expected);
    CU_ASSERT_EQUAL(service_counted(STAT_held_bytes), 0);
    struct sent *tagged = service_predict("HTTP_X=1", "{\"texts\":[\"a\",\"a\"]}");
    CU_ASSERT_PTR_NOT_NULL(strstr(tagged->body, "],\"cached\":2}"));
    free(large);
    free(other);
    service_teardown();
}

/* A client that leaves releases the answers that were held for it. */
static void test_client_leaves_large_results(void) {
    char *large = large_result('x', 50000);
    service_setup(NULL);
    struct sent *sent = service_ask("POST", "/predict", NULL, "{\"texts\":[\"a\",\"b\"]}");
    service_model_answers(large);
    CU_ASSERT_NOT_EQUAL(service_counted(STAT_held_bytes), 0);
    service_leave(sent);
    CU_ASSERT_EQUAL(service_counted(STAT_held_bytes), 0);
    service_model_echoes();
    free(large);
    service_teardown();
}

/* When no more bytes may be held, a large result is an error in its place; small ones are answered. */
static void test_no_room_for_large_results(void) {
    enum { LARGE = 8 << 20, FIT = BLOBS_BYTES_MAX / LARGE };
    struct blob *held[FIT];
    service_setup(NULL);
    for (size_t i = 0; i < FIT; i++) {
        char *bytes = large_result((char)('a' + i), LARGE);
        held[i] = blobs_hold(service.blobs, (struct bytes){bytes, LARGE});
        CU_ASSERT_PTR_NOT_NULL_FATAL(held[i]);
        free(bytes);
    }
    char *large = large_result('x', 50000);
    struct sent *sent = service_ask("POST", "/predict", NULL, "{\"texts\":[\"a\",\"b\"]}");
    service_model_answers(large);
    service_model_answers("2");
    json_t *json = service_json(sent);
    json_t *results = json_object_get(json, "results");
    json_t *error = json_object_get(json_array_get(results, 0), "error");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(error, "status")), 503);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(json_array_get(results, 1), "result")), 2);
    CU_ASSERT_EQUAL(service_counted(STAT_refused_answers), 1);
    json_decref(json);
    free(large);
    for (size_t i = 0; i < FIT; i++)
        blob_unref(held[i]);
    service_teardown();
}

static const struct unit_case CASES[] = {
    {"misses, then hits", test_misses_then_hits},
    {"only the misses are inferred", test_only_the_misses_are_inferred},
    {"equal texts are inferred once", test_equal_texts_are_inferred_once},
    {"as many as are allowed", test_as_many_as_allowed},
    {"directives hold for each text", test_directives_hold_for_each},
    {"some are stale", test_stale_ones},
    {"it shares flights with other requests", test_it_shares_flights},
    {"one fails, in its place", test_one_fails},
    {"the largest Retry-After", test_the_largest_retry_after},
    {"overload of a part", test_overload},
    {"larger than the queue", test_larger_than_the_queue},
    {"hits beyond the queue", test_hits_beyond_the_queue},
    {"alone beyond the queue", test_alone_beyond_the_queue},
    {"only-if-cached", test_only_if_cached},
    {"QUERY is conditional", test_query},
    {"the entity tag covers all results", test_etag_covers_all_results},
    {"a client leaves", test_client_leaves},
    {"parameters go with each text", test_parameters_go_with_each},
    {"large results are held once", test_large_results},
    {"a client leaves large results", test_client_leaves_large_results},
    {"no room for large results", test_no_room_for_large_results},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "predict_batch", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
