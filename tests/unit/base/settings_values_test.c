/* The values that each kind of setting takes and refuses. */
#include "settings_rig.h"

static void test_seconds(void) {
    static const struct {
        const char *text;
        uint64_t ms; /* 0: refused */
    } ROWS[] = {
        {"60", 60000},
        {"0.1", 100},
        {"0.001", 1},
        {"1.25", 1250},
        {"0.07", 70},
        {"007.500", 7500},
        {"31536000", 31536000000},
        {"31536000.000", 31536000000},
        {"0", 0},
        {"0.000", 0},
        {"31536000.001", 0},
        {"31536001", 0},
        {"0.0001", 0},
        {"1.2345", 0},
        {"1.", 0},
        {".5", 0},
        {".", 0},
        {"", 0},
        {"-1", 0},
        {"+1", 0},
        {" 1", 0},
        {"1s", 0},
        {"1h", 0},
        {"1e3", 0},
        {"1,5", 0},
        {"1.5.5", 0},
        {"0x10", 0},
        {"nan", 0},
        {"inf", 0},
        {"18446744073709551.616", 0},
        {"18446744073709552", 0}, /* in milliseconds 2^64 + 384 */
        {"18446744073709551615", 0},
        {"18446744073709551616", 0},
        {"99999999999999999999999999999", 0},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char flag[128];
        snprintf(flag, sizeof(flag), "--cache-ttl=%s", ROWS[i].text);
        CU_ASSERT_EQUAL(load_flag(flag), ROWS[i].ms != 0);
        CU_ASSERT(ROWS[i].ms != 0 ? settings.cache_ttl_ms == ROWS[i].ms
                                  : strstr(error.text, ": expected seconds from 0.001 to 31536000") != NULL);
    }
    static const struct {
        const char *given, *seconds;
    } UNITS[] = {{"1h", "3600"},   {"90 min", "5400"}, {"2m", "120"}, {"1D", "86400"},
                 {"1w", "604800"}, {"1500ms", "1.5"},  {"60s", "60"}, {"5SEC", "5"}};
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        char flag[64];
        char expected[128];
        snprintf(flag, sizeof(flag), "--cache-ttl=%s", UNITS[i].given);
        snprintf(expected, sizeof(expected),
                 "%s: expected seconds from 0.001 to 31536000, without a unit: %s", flag, UNITS[i].seconds);
        CU_ASSERT_FALSE(load_flag(flag));
        CU_ASSERT_STRING_EQUAL(error.text, expected);
    }
    CU_ASSERT_FALSE(load_flag("--cache-ttl=99999999999999999999h"));
    CU_ASSERT_STRING_EQUAL(error.text,
                           "--cache-ttl=99999999999999999999h: expected seconds from 0.001 to 31536000");
    CU_ASSERT(load_flag("--drain-timeout=0"));
    CU_ASSERT_EQUAL(settings.drain_timeout_ms, 0);
}

static void test_numbers(void) {
    CU_ASSERT(load_flag("--workers=64"));
    CU_ASSERT_EQUAL(settings.workers, 64);
    CU_ASSERT(load_flag("--max-batch=1"));
    CU_ASSERT_EQUAL(settings.max_batch, 1);
    static const char *const WRONG[] = {"65",
                                        "-1",
                                        " 1",
                                        "1 ",
                                        "1.0",
                                        "1k",
                                        "0x1",
                                        "18446744073709551616",
                                        "18446744073709551617",
                                        "18446744073709551680",
                                        "one"};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        char variable[64];
        char expected[128];
        snprintf(variable, sizeof(variable), "WORKERS=%s", WRONG[i]);
        snprintf(expected, sizeof(expected), "environment: %s: expected a number of processes from 0 to 64",
                 variable);
        CU_ASSERT_FALSE(load_variable(variable));
        CU_ASSERT_STRING_EQUAL(error.text, expected);
    }
    CU_ASSERT_FALSE(load_flag("--max-batch=0"));
    CU_ASSERT_STRING_EQUAL(error.text, "--max-batch=0: expected a number of texts from 1 to 10000");
}

static void test_modes(void) {
    CU_ASSERT(load_flag("--listen-mode=600"));
    CU_ASSERT_EQUAL(settings.listen_mode, 0600);
    CU_ASSERT(load_flag("--listen-mode=0777"));
    CU_ASSERT_EQUAL(settings.listen_mode, 0777);
    CU_ASSERT(load_flag("--listen-mode=0"));
    CU_ASSERT_EQUAL(settings.listen_mode, 0);
    static const char *const WRONG[] = {
        "", "8", "0668", "1000", "-1", "0x1ff", "rw", "66 ", "2000000000000000000000660"};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        char flag[64];
        snprintf(flag, sizeof(flag), "--listen-mode=%s", WRONG[i]);
        CU_ASSERT_FALSE(load_flag(flag));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "expected an octal file mode from 0000 to 0777"));
    }
}

static void test_choices(void) {
    static const char *const NAMES[] = {"none", "nfc", "space", "lower"};
    for (int i = 0; i < 4; i++) {
        char flag[64];
        snprintf(flag, sizeof(flag), "--cache-normalize=%s", NAMES[i]);
        CU_ASSERT(load_flag(flag));
        CU_ASSERT_EQUAL(settings.cache_normalize, i);
    }
    CU_ASSERT(load_variable("LOG_LEVEL=WARN"));
    CU_ASSERT_EQUAL(settings.log_level, 1);
    CU_ASSERT(load_flag("--cache-normalize=Nfc"));
    CU_ASSERT_EQUAL(settings.cache_normalize, CACHE_NORMALIZE_NFC);
    static const char *const WRONG[] = {"", "low", "lowercase", "none|nfc", "nfc ", "|"};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        char flag[64];
        snprintf(flag, sizeof(flag), "--cache-normalize=%s", WRONG[i]);
        CU_ASSERT_FALSE(load_flag(flag));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "expected one of none|nfc|space|lower"));
    }
}

static void test_texts(void) {
    char flag[4096] = "--model-name=";
    size_t prefix = strlen(flag);
    memset(flag + prefix, 'x', SETTING_TEXT_MAX - 1);
    CU_ASSERT(load_flag(flag));
    CU_ASSERT_EQUAL(strlen(settings.model_name), SETTING_TEXT_MAX - 1);
    flag[prefix + SETTING_TEXT_MAX - 1] = 'x';
    CU_ASSERT_FALSE(load_flag(flag));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "xxx...: expected at most 1023 bytes"));
    CU_ASSERT(load_flag("--model-name=\xc3\xa4\xf0\x9f\x98\x80"));
    CU_ASSERT_FALSE(load_flag("--model-name=\xc3"));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "expected UTF-8"));
    CU_ASSERT_FALSE(load_variable("MODEL_NAME=a\nWORKERS=1"));
    CU_ASSERT_STRING_EQUAL(error.text,
                           "environment: MODEL_NAME=a?WORKERS=1: expected a text without control characters");
    CU_ASSERT_FALSE(load_variable("ADMIN_TOKEN=geheim\n"));
    CU_ASSERT_PTR_NULL(strstr(error.text, "geheim"));
}

static void test_namespace(void) {
    char flag[128] = "--cache-namespace=";
    size_t prefix = strlen(flag);
    memset(flag + prefix, 'x', 64);
    CU_ASSERT(load_flag(flag));
    flag[prefix + 64] = 'x';
    CU_ASSERT_FALSE(load_flag(flag));
    CU_ASSERT(load_flag("--cache-namespace=AZaz09._-"));
    CU_ASSERT_STRING_EQUAL(settings.cache_namespace, "AZaz09._-");
    static const char *const WRONG[] = {"", "a b", "a/b", "a:b", "\xc3\xa4", "a@", "[", "`", "{"};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        snprintf(flag + prefix, sizeof(flag) - prefix, "%s", WRONG[i]);
        CU_ASSERT_FALSE(load_flag(flag));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "expected 1 to 64 characters"));
    }
}

static void test_urls(void) {
    static const char *const RIGHT[] = {"",
                                        "http://h",
                                        "http://127.0.0.1:8080/v1/predict",
                                        "https://[::1]/a?b=c@d",
                                        "http://h/a@b",
                                        "http://a-b.c_d:1/",
                                        "http://h:65535?q",
                                        "http://[::1]:80",
                                        "http://b\xc3\xbc"
                                        "cher.example/",
                                        "http+unix:///run/model.sock",
                                        "http+unix:///run/model.sock:/predict"};
    static const char *const WRONG[] = {"h",
                                        "http:/h",
                                        "http://",
                                        "http:///path",
                                        "http://:80",
                                        "ftp://h/",
                                        "http://user:x@h/",
                                        "http+unix://run/model.sock",
                                        "http://h/ ",
                                        "http://h#",
                                        "http+unix:///",
                                        "HTTP://h/",
                                        "https://",
                                        "https://?",
                                        "http://h:",
                                        "http://h:0/",
                                        "http://h:65536/",
                                        "http://h:80a/",
                                        "http://h:80:80/",
                                        "http://[::1/",
                                        "http://[]/",
                                        "http://[::1]x/",
                                        "http://a,b/",
                                        "http://a\\b/",
                                        "http+unix://",
                                        "http+unix:///:/path"};
    char url[128];
    char *const http[] = {FLAG("ENGINE=http"), NULL};
    for (size_t i = 0; i < sizeof(RIGHT) / sizeof(RIGHT[0]); i++) {
        snprintf(url, sizeof(url), "--upstream-url=%s", RIGHT[i]);
        CU_ASSERT_EQUAL(load_with(http, ARGUMENTS(url)), RIGHT[i][0] != '\0');
        CU_ASSERT(load_flag(url));
        CU_ASSERT_STRING_EQUAL(settings.upstream_url, RIGHT[i]);
    }
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        snprintf(url, sizeof(url), "--upstream-url=%s", WRONG[i]);
        CU_ASSERT_FALSE(load_with(http, ARGUMENTS(url)));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "expected http://HOST"));
    }
    char longest[256] = "--upstream-url=http+unix:///";
    size_t prefix = strlen(longest);
    memset(longest + prefix, 'a', 106); /* sun_path of unix(7) has 108, one for the end */
    strcpy(longest + prefix + 106, ":/predict");
    CU_ASSERT(load_with(http, ARGUMENTS(longest)));
    strcpy(longest + prefix + 106, "a:/predict");
    CU_ASSERT_FALSE(load_with(http, ARGUMENTS(longest)));
}

/* These values go into a request unchanged: they hold nothing that could end a line or a string. */
static void test_names_in_requests(void) {
    static const struct {
        const char *flag, *expected; /* NULL: it is right */
    } ROWS[] = {
        {"--upstream-host=", NULL},
        {"--upstream-host=models.example", NULL},
        {"--upstream-host=models.example:8443", NULL},
        {"--upstream-host=[::1]:80", NULL},
        {"--upstream-host=a b", "expected HOST"},
        {"--upstream-host=a\r\nX: y", "control characters"},
        {"--upstream-host=a/b", "expected HOST"},
        {"--upstream-host=user@host", "expected HOST"},
        {"--upstream-host=:80", "expected HOST"},
        {"--upstream-host=h\xc3\xa9", "expected HOST"},
        {"--upstream-input-name=", NULL},
        {"--upstream-input-name=INPUT_1:0", NULL},
        {"--upstream-input-name=a.b/c-d", NULL},
        {"--upstream-input-name=a\"b", "expected at most 128"},
        {"--upstream-input-name=a\\b", "expected at most 128"},
        {"--upstream-input-name=a b", "expected at most 128"},
        {"--upstream-kserve-shape=n", NULL},
        {"--upstream-kserve-shape=n,1", NULL},
        {"--upstream-kserve-shape=1,n", "expected one of n|n,1"},
        {"--upstream-dialect=tei-rerank", NULL},
    };
    char *const http[] = {FLAG("ENGINE=http"), FLAG("UPSTREAM_URL=http://h/"), NULL};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char flag[128];
        snprintf(flag, sizeof(flag), "%s", ROWS[i].flag);
        CU_ASSERT_EQUAL(load_with(http, ARGUMENTS(flag)), ROWS[i].expected == NULL);
        CU_ASSERT(!ROWS[i].expected || strstr(error.text, ROWS[i].expected));
    }
}

static void test_addresses(void) {
    static const char *const RIGHT[] = {"unix:/a",        "unix:a.sock",     "tcp:127.0.0.1:9000",
                                        "tcp:[::1]:9000", "tcp:localhost:1", "tcp:0.0.0.0:65535"};
    static const char *const WRONG[] = {"",
                                        "/a",
                                        "unix:",
                                        "tcp:",
                                        "tcp:9000",
                                        "tcp::9000",
                                        "tcp:h:",
                                        "tcp:h:65536",
                                        "tcp:h:-1",
                                        "tcp:h:http",
                                        "udp:127.0.0.1:1",
                                        "UNIX:/a",
                                        "tcp:h:80",
                                        "tcp:127.0.0.1:0",
                                        "tcp:127.0.0.256:1",
                                        "tcp:127.0.0.1",
                                        "tcp:[]:1",
                                        "tcp:127.0.0.1:1,tcp:127.0.0.1:2",
                                        "tcp:unix:/a"};
    char flag[128];
    for (size_t i = 0; i < sizeof(RIGHT) / sizeof(RIGHT[0]); i++) {
        snprintf(flag, sizeof(flag), "--listen=%s", RIGHT[i]);
        CU_ASSERT(load_flag(flag));
        CU_ASSERT_STRING_EQUAL(settings.listen, RIGHT[i]);
    }
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        snprintf(flag, sizeof(flag), "--listen=%s", WRONG[i]);
        CU_ASSERT_FALSE(load_flag(flag));
        CU_ASSERT_PTR_NOT_NULL(
            strstr(error.text, "expected unix:PATH, of at most 107 bytes, or tcp:ADDRESS:PORT"));
    }
}

static void test_longest_socket_path(void) {
    char flag[256] = "--listen=unix:/";
    size_t prefix = strlen(flag);
    memset(flag + prefix, 'a', 106);
    CU_ASSERT(load_flag(flag));
    flag[prefix + 106] = 'a';
    CU_ASSERT_FALSE(load_flag(flag));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "at most 107 bytes"));
}

static const struct unit_case CASES[] = {
    {"seconds are decimal and exact", test_seconds},
    {"numbers keep to their limits", test_numbers},
    {"modes are octal", test_modes},
    {"choices, in any case", test_choices},
    {"texts are short, clean UTF-8", test_texts},
    {"a namespace has its own alphabet", test_namespace},
    {"an address is unix: or tcp:", test_addresses},
    {"the longest path of a socket", test_longest_socket_path},
    {"addresses of inference servers", test_urls},
    {"names that go into requests", test_names_in_requests},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "settings_values", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
