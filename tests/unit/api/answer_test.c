#include "api/answer.h"

#include "unit.h"

static void test_x_cache(void) {
    static const struct {
        enum cache_result result;
        enum cache_forward forward;
        const char *expected;
    } ROWS[] = {
        {CACHE_HIT, FORWARD_NONE, "HIT"},
        {CACHE_STALE, FORWARD_NONE, "STALE"},
        {CACHE_MISS, FORWARD_MISS, "MISS"},
        {CACHE_MISS, FORWARD_STALE, "MISS"},
        {CACHE_BYPASS, FORWARD_REQUEST, "BYPASS"},
        {CACHE_FAILED, FORWARD_MISS, "MISS"},
        {CACHE_FAILED, FORWARD_STALE, "MISS"},
        {CACHE_FAILED, FORWARD_REQUEST, "BYPASS"},
        {CACHE_UNSATISFIABLE, FORWARD_MISS, "MISS"},
        {CACHE_UNSATISFIABLE, FORWARD_REQUEST, "BYPASS"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct cache_answer answer = {.result = ROWS[i].result, .status.forward = ROWS[i].forward};
        CU_ASSERT_STRING_EQUAL(x_cache_text(answer_x_cache(&answer)), ROWS[i].expected);
    }
}

/* ---- fields ---- */

static void check_fields(const struct cache_answer *answer, const struct key *key, uint64_t took_us,
                         const char *expected) {
    struct response response;
    response_init(&response);
    answer_headers(&response, answer, X_CACHE_PARTIAL, key, took_us);
    buffer_append_char(&response.head, '\0');
    CU_ASSERT_STRING_EQUAL(response.head.data, expected);
    response_fini(&response);
}

static void test_fields_of_a_hit(void) {
    const struct cache_answer hit = {.result = CACHE_HIT,
                                     .stored_answer = true,
                                     .age_s = 18,
                                     .status = {.hit = true, .has_ttl = true, .ttl_s = 42}};
    check_fields(&hit, NULL, 1234567,
                 "X-Cache: PARTIAL\r\nCache-Status: inferonce; hit; ttl=42\r\nAge: 18\r\n"
                 "Server-Timing: cache;dur=1234.567\r\n");
}

static void test_fields_of_a_miss(void) {
    struct key key = {{0xab, 0x01}};
    const struct cache_answer miss = {.result = CACHE_MISS,
                                      .status = {.forward = FORWARD_MISS, .stored = true},
                                      .inferred = true,
                                      .inference_us = 5000040};
    check_fields(&miss, &key, 5001043,
                 "X-Cache: PARTIAL\r\nX-Cache-Key: "
                 "ab01000000000000000000000000000000000000000000000000000000000000\r\n"
                 "Cache-Status: inferonce; fwd=miss; stored\r\n"
                 "Server-Timing: cache;dur=1.003, inference;dur=5000.040\r\n");
}

/* A request that joined late waited for less than the inference took: its own time is 0, not negative.
 */
static void test_fields_of_a_latecomer(void) {
    const struct cache_answer joined = {.result = CACHE_MISS,
                                        .status = {.forward = FORWARD_MISS, .collapsed = true},
                                        .inferred = true,
                                        .inference_us = 5000000};
    check_fields(&joined, NULL, 100,
                 "X-Cache: PARTIAL\r\nCache-Status: inferonce; fwd=miss; collapsed\r\n"
                 "Server-Timing: cache;dur=0.000, inference;dur=5000.000\r\n");
}

/* ---- failures ---- */

static void test_problems(void) {
    static const struct {
        enum engine_status status;
        int http_status;
        unsigned retry_after_s;
        int expected;
        unsigned expected_retry_after_s;
    } ROWS[] = {
        {ENGINE_REFUSED, 0, 0, 502, 0},    {ENGINE_BAD_ANSWER, 0, 9, 502, 0},
        {ENGINE_TIMEOUT, 0, 0, 504, 0},    {ENGINE_OVERLOAD, 0, 7, 503, 7},
        {ENGINE_OVERLOAD, 0, 0, 503, 1},   {ENGINE_DOWN, 0, 8, 503, 8},
        {ENGINE_SHORT, 0, 0, 503, 1},      {ENGINE_REJECTED, 400, 0, 400, 0},
        {ENGINE_REJECTED, 422, 0, 422, 0}, {ENGINE_OVERLOAD, 429, 7, 429, 7},
        {ENGINE_REJECTED, 402, 0, 402, 0},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        const struct engine_answer failure = {.status = ROWS[i].status,
                                              .detail = "why",
                                              .http_status = ROWS[i].http_status,
                                              .retry_after_s = ROWS[i].retry_after_s};
        const struct cache_answer answer = {.result = CACHE_FAILED, .failure = &failure};
        struct answer_problem told = answer_problem(&answer);
        CU_ASSERT_EQUAL(told.status != 0 ? told.status : problem_status(told.problem), ROWS[i].expected);
        CU_ASSERT_EQUAL(told.retry_after_s, ROWS[i].expected_retry_after_s);
        CU_ASSERT_STRING_EQUAL(told.detail, "why");
    }
    const struct cache_answer unsatisfiable = {.result = CACHE_UNSATISFIABLE};
    CU_ASSERT_EQUAL(answer_problem(&unsatisfiable).problem, PROBLEM_ONLY_IF_CACHED);
}

/* ---- entity tags ---- */

static void check_etag(const char *a, const char *b, const char *expected) {
    const struct bytes parts[] = {bytes_of(a), bytes_of(b)};
    char etag[ANSWER_ETAG_LENGTH + 1];
    answer_etag(parts, b ? 2 : 1, etag);
    CU_ASSERT_STRING_EQUAL(etag, expected);
}

/* The tag of one part is FNV-1a; these are its authors' test vectors (draft-eastlake-fnv). */
static void test_etag_of_one(void) {
    check_etag("", NULL, "W/\"cbf29ce484222325\"");
    check_etag("a", NULL, "W/\"af63dc4c8601ec8c\"");
    check_etag("foobar", NULL, "W/\"85944171f73967e8\"");
}

static void test_etag_of_several(void) {
    static const struct {
        const char *a, *b;
    } ROWS[] = {{"1", "12"}, {"11", "2"}, {"112", ""}, {"", "112"}, {"12", "1"}};
    char etags[5][ANSWER_ETAG_LENGTH + 1];
    for (size_t i = 0; i < 5; i++) {
        const struct bytes parts[] = {bytes_of(ROWS[i].a), bytes_of(ROWS[i].b)};
        answer_etag(parts, 2, etags[i]);
        for (size_t j = 0; j < i; j++)
            CU_ASSERT_STRING_NOT_EQUAL(etags[i], etags[j]);
    }
}

static const struct unit_case CASES[] = {
    {"X-Cache", test_x_cache},
    {"the fields of a hit", test_fields_of_a_hit},
    {"the fields of a miss", test_fields_of_a_miss},
    {"the fields of one that joined late", test_fields_of_a_latecomer},
    {"how failures are told", test_problems},
    {"the entity tag of one result", test_etag_of_one},
    {"the entity tag of several", test_etag_of_several},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "answer", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
