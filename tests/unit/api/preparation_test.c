#include "api/preparation.h"

#include <stdlib.h>

#include "service.h"

#define LARGE 200000

/* {"text": ...} of `unit` again and again, with something before and behind; owned by the caller. */
static char *large_body(const char *before, const char *unit, const char *behind) {
    struct buffer body;
    buffer_init(&body, 2 * LARGE);
    buffer_append_text(&body, before);
    while (body.length < LARGE)
        buffer_append_text(&body, unit);
    buffer_append_text(&body, behind);
    buffer_append_char(&body, '\0');
    CU_ASSERT_FALSE_FATAL(body.failed);
    return body.data;
}

static char *large_text(const char *unit) {
    return large_body("{\"text\":\"", unit, "\"}");
}

static void large_allowed(struct settings *settings) {
    settings->cache_normalize = CACHE_NORMALIZE_LOWER;
}

/* Turns until it is answered or with the model; how many that took. */
static unsigned turns_until_ready(const struct sent *sent) {
    unsigned turns = 0;
    while (sent->answers == 0 && service.worker.n_running == 0 && turns < 1000) {
        service_turn();
        turns++;
    }
    CU_ASSERT(turns < 1000);
    return turns;
}

static const char *const UNITS[] = {"a",    "\u00E4\u00D6", "A\u0301\u0323", "\u4E2D",
                                    "a\\n", "\\u00c4",      "\\\"",          "\u03A3'"};

/* Requests that arrive meanwhile are answered meanwhile. */
static void test_hits_do_not_wait(void) {
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        char *body = large_text(UNITS[i]);
        service_setup(large_allowed);
        CU_ASSERT_EQUAL(service_predict(NULL, "{\"text\":\"small\"}")->status, 200);
        struct sent *large = service_ask("POST", "/predict", NULL, body);
        CU_ASSERT_EQUAL(large->answers, 0);
        CU_ASSERT_EQUAL(service.worker.n_running, 0); /* it is not read yet */
        struct sent *hit = service_ask("POST", "/predict", NULL, "{\"text\":\"small\"}");
        CU_ASSERT_STRING_EQUAL(service_header(hit, "X-Cache"), "HIT");
        CU_ASSERT_EQUAL(service.worker.n_running, 0);
        CU_ASSERT(turns_until_ready(large) > 1);
        CU_ASSERT_EQUAL_FATAL(service.worker.n_running, 1);
        service_model_answers("1");
        CU_ASSERT_EQUAL(large->status, 200);
        service_teardown();
        free(body);
    }
}

/* The text, its parameters and its key are what they are when all is done at once. */
static void test_same_results(void) {
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        char *body = large_body("{\"z\":[1,2],\"a\":\"b\\n\",\"text\":\" ", UNITS[i], " \"}");
        service_setup(large_allowed);
        struct sent *sent = service_send("POST", "/predict", NULL, body);
        turns_until_ready(sent);
        CU_ASSERT_EQUAL_FATAL(service.worker.n_running, 1);
        struct body read;
        struct buffer storage;
        struct key key;
        char hex[KEY_HEX_LENGTH + 1];
        body_init(&read);
        buffer_init(&storage, 4 * LARGE);
        CU_ASSERT_EQUAL_FATAL(body_read(&read, BODY_PREDICT, bytes_of(body), 1), BODY_OK);
        CU_ASSERT_FATAL(text_normalize(service.api.context->settings, &read.text, 1, &storage));
        const struct text_key_context context = {.cache_namespace = bytes_of("default"),
                                                 .route = bytes_of("/predict"),
                                                 .parameters = read.parameters};
        text_key(service.api.context->settings, &context, read.text, &key);
        key_to_hex(&key, hex);
        CU_ASSERT(bytes_equal(service.worker.running[0]->text, read.text));
        CU_ASSERT(bytes_equal(service.worker.running[0]->parameters, read.parameters));
        service_model_answers("1");
        CU_ASSERT_STRING_EQUAL(service_header(sent, "X-Cache-Key"), hex);
        struct sent *again = service_send("POST", "/predict", NULL, body);
        turns_until_ready(again);
        CU_ASSERT_STRING_EQUAL(service_header(again, "X-Cache"), "HIT");
        body_fini(&read);
        buffer_fini(&storage);
        service_teardown();
        free(body);
    }
}

static void test_many_texts(void) {
    char *body = large_body("{\"p\":1,\"texts\":[\"first\"",
                            ",\"\u00C4 text of some length, \\n and another one, and so on, and so on\"",
                            ",\"last\"]}");
    service_setup(large_allowed);
    service.settings.max_batch = 4096;
    struct sent *alone = service_predict(NULL, "{\"text\":\"last\",\"p\":1}");
    CU_ASSERT_EQUAL(alone->status, 200);
    struct sent *sent = service_send("POST", "/predict", NULL, body);
    CU_ASSERT(turns_until_ready(sent) > 1);
    CU_ASSERT_EQUAL(service.worker.n_running, 2); /* equal ones once, and one is known */
    service_model_answers("1");
    service_model_answers("2");
    CU_ASSERT_EQUAL_FATAL(sent->status, 200);
    CU_ASSERT_STRING_EQUAL(service_header(sent, "X-Cache"), "PARTIAL");
    service_teardown();
    free(body);
}

static void test_what_is_wrong(void) {
    static const struct {
        const char *before, *unit, *behind;
        int status;
        const char *type, *pointer;
    } ROWS[] = {
        {"{\"text\":\"", "a", "\"", 400, "bad-json", NULL},
        {"{\"text\":\"", "a", "\xff\"}", 400, "bad-json", NULL},
        {"{\"text\":\"", " ", "\"}", 422, "bad-shape", "#/text"},
        {"{\"texts\":[\"a\",\"", "\u3000", "\"]}", 422, "bad-shape", "#/texts/1"},
        {"{\"texts\":[\"", "a", "\",5]}", 422, "bad-shape", "#/texts/1"},
        {"{\"text\":", "1", "}", 422, "bad-shape", "#/text"},
        {"{\"p\":\"", "a", "\"}", 422, "bad-shape", NULL},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char *body = large_body(ROWS[i].before, ROWS[i].unit, ROWS[i].behind);
        service_setup(large_allowed);
        struct sent *sent = service_send("POST", "/predict", NULL, body);
        turns_until_ready(sent);
        service_check_problem(sent, ROWS[i].status, ROWS[i].type, ROWS[i].pointer);
        service_teardown();
        free(body);
    }
}

/* Once in each of its turns: nothing is left behind, and others are served. */
static void test_client_leaves(void) {
    static const char *const PATHS[] = {"/predict", "/cache/purge"};
    for (size_t i = 0; i < sizeof(PATHS) / sizeof(PATHS[0]); i++) {
        char *body = large_body("{\"p\":1,\"texts\":[\"", "\u00C4\\n", "\",\"b\"]}");
        bool over = false;
        for (unsigned turns = 0; !over; turns++) {
            service_setup(large_allowed);
            struct sent *sent = service_send("POST", PATHS[i], NULL, body);
            for (unsigned turn = 0; turn < turns; turn++)
                service_turn();
            over = sent->answers > 0 || service.worker.n_running > 0;
            if (sent->answers == 0)
                service_leave(sent);
            service_model_echoes();
            CU_ASSERT_EQUAL(service_predict(NULL, "{\"text\":\"small\"}")->status, 200);
            service_teardown();
        }
        free(body);
    }
}

static void test_purges(void) {
    char *text = large_body("{\"p\":1,\"text\":\"", "\u00C4 ", "\"}");
    char *request = large_body("{\"request\":{\"text\":\"", "\u00C4 ", "\",\"p\":1}}");
    char *keys = large_body("{\"keys\":[\"ab\"", "             ", "]}");
    service_setup(large_allowed);
    struct sent *sent = service_send("POST", "/predict", NULL, text);
    turns_until_ready(sent);
    service_model_answers("1");
    CU_ASSERT_EQUAL(sent->status, 200);
    struct sent *other = service_send("POST", "/cache/purge", "HTTP_X_CACHE_NAMESPACE=other", text);
    CU_ASSERT(turns_until_ready(other) > 1);
    CU_ASSERT_STRING_EQUAL(other->body, "{\"deleted\":0}");
    struct sent *purge = service_send("POST", "/cache/purge", NULL, text);
    turns_until_ready(purge);
    CU_ASSERT_STRING_EQUAL(purge->body, "{\"deleted\":1}");
    struct sent *again = service_administer("POST", "/cache/purge", NULL, request);
    CU_ASSERT_STRING_EQUAL(again->body, "{\"deleted\":0}");
    service_check_problem(service_administer("POST", "/cache/purge", NULL, keys), 422, "bad-shape",
                          "#/keys/0");
    service_teardown();
    free(text);
    free(request);
    free(keys);
}

/* Parameters that are long are hashed once, not for each of the texts. */
static void test_keys_of_many_texts(void) {
    char *parameters = large_body("{\"p\":\"", "a", "\"}");
    service_setup(large_allowed);
    const struct text_key_context context = {.cache_namespace = bytes_of("default"),
                                             .route = bytes_of("/predict"),
                                             .parameters = bytes_of(parameters),
                                             .credential = bytes_of("Bearer x")};
    struct bytes texts[300];
    struct key keys[300];
    struct buffer storage;
    buffer_init(&storage, 1 << 20);
    for (size_t i = 0; i < 300; i++)
        texts[i] = i % 2 ? bytes_of("One Text") : bytes_of("\u00C4nother");
    const struct text_work_request request = {.settings = service.api.context->settings,
                                              .context = context,
                                              .texts = texts,
                                              .keys = keys,
                                              .n = 300,
                                              .storage = &storage};
    struct text_work *work = text_work_create(&request);
    enum text_work_status status = TEXT_WORK_MORE;
    size_t slices = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(work);
    for (; status == TEXT_WORK_MORE; slices++) {
        size_t budget = 100;
        status = text_work_go_on(work, &budget);
    }
    CU_ASSERT_EQUAL(status, TEXT_WORK_DONE);
    CU_ASSERT(slices < 3 * LARGE / 400 + 300);
    for (size_t i = 0; i < 300; i++) {
        struct key expected;
        text_key(service.api.context->settings, &context,
                 i % 2 ? bytes_of("one text") : bytes_of("\u00E4nother"), &expected);
        CU_ASSERT(key_equal(&keys[i], &expected));
    }
    text_work_destroy(&work);
    buffer_fini(&storage);
    service_teardown();
    free(parameters);
}

static const struct unit_case CASES[] = {
    {"hits do not wait for a long text", test_hits_do_not_wait},
    {"the same as at once", test_same_results},
    {"many texts", test_many_texts},
    {"what is wrong with a long body", test_what_is_wrong},
    {"a client leaves", test_client_leaves},
    {"purges", test_purges},
    {"keys of many texts", test_keys_of_many_texts},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "preparation", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
