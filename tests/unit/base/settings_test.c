#include "base/settings_table.h"
#include "inferonce/base/settings.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static struct settings settings;
static struct error error;
static enum settings_request request;
static struct settings_warnings warnings;

static char *const NO_ENVIRONMENT[] = {NULL};

/* The program's name and up to six flags. */
struct arguments {
    char *flags[8];
};

static bool load_with(char *const environment[], struct arguments arguments) {
    int n = 1;
    arguments.flags[0] = (char[]){"inferonce"};
    while (arguments.flags[n])
        n++;
    memset(&settings, 0x5a, sizeof(settings));
    error.text[0] = '\0';
    return settings_load(&settings, n, arguments.flags, environment, &request, &warnings, &error);
}

#define ARGUMENTS(...) ((struct arguments){{NULL, __VA_ARGS__}})
#define FLAG(text)     ((char[]){text})

static bool load_flag(const char *flag) {
    char copy[4096];
    snprintf(copy, sizeof(copy), "%s", flag);
    return load_with(NO_ENVIRONMENT, ARGUMENTS(copy));
}

static bool load_variable(const char *variable) {
    char copy[4096];
    snprintf(copy, sizeof(copy), "%s", variable);
    return load_with((char *const[]){copy, NULL}, ARGUMENTS(NULL));
}

/* A file in a directory of its own; `path` names it. */
static char directory[256];
static char path[300];

static void make_file(const char *content, size_t length) {
    CU_ASSERT_FATAL(unit_directory(directory, sizeof(directory), "settings"));
    snprintf(path, sizeof(path), "%s/a.conf", directory);
    FILE *file = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(content, 1, length, file), length);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static void remove_file(void) {
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(directory), 0);
}

static bool load_bytes(const char *content, size_t length) {
    make_file(content, length);
    bool loaded = load_with(NO_ENVIRONMENT, ARGUMENTS(FLAG("--config"), path));
    remove_file();
    return loaded;
}

static bool load_file(const char *content) {
    return load_bytes(content, strlen(content));
}

/* The error begins with the file's path and goes on with `rest`. */
static bool file_error_is(const char *rest) {
    size_t length = strlen(path);
    return strncmp(error.text, path, length) == 0 && strcmp(error.text + length, rest) == 0;
}

/* ---- where values come from ---- */

static void expect_defaults(void) {
    CU_ASSERT_STRING_EQUAL(settings.listen, "unix:/run/inferonce/inferonce.sock");
    CU_ASSERT_EQUAL(settings.listen_mode, 0660);
    CU_ASSERT_EQUAL(settings.workers, 0);
    CU_ASSERT_EQUAL(settings.drain_timeout_ms, 30000);
    CU_ASSERT_EQUAL(settings.cache_ttl_ms, 3600000);
    CU_ASSERT_EQUAL(settings.cache_ttl_max_ms, 86400000);
    CU_ASSERT_EQUAL(settings.cache_stale_while_revalidate_ms, 0);
    CU_ASSERT_EQUAL(settings.cache_max_size, 10000);
    CU_ASSERT_EQUAL(settings.cache_memory_mb, 64);
    CU_ASSERT_EQUAL(settings.cache_scope, CACHE_SCOPE_SHARED);
    CU_ASSERT_STRING_EQUAL(settings.cache_path, "");
    CU_ASSERT_STRING_EQUAL(settings.cache_namespace, "default");
    CU_ASSERT_EQUAL(settings.cache_normalize, CACHE_NORMALIZE_LOWER);
    CU_ASSERT_STRING_EQUAL(settings.model_name, "vader");
    CU_ASSERT_STRING_EQUAL(settings.model_version, "1");
    CU_ASSERT_EQUAL(settings.inference_concurrency, 64);
    CU_ASSERT_EQUAL(settings.max_batch, 256);
    CU_ASSERT_STRING_EQUAL(settings.admin_token, "");
    CU_ASSERT_EQUAL(settings.log_level, 2);
    CU_ASSERT_EQUAL(settings.log_format, 0);
}

static void test_defaults(void) {
    settings_defaults(&settings);
    expect_defaults();
    CU_ASSERT(load_with(NO_ENVIRONMENT, ARGUMENTS(NULL)));
    CU_ASSERT_EQUAL(request, SETTINGS_SERVE);
    expect_defaults();
}

static void test_precedence(void) {
    static const char FILE_CONTENT[] = "CACHE_TTL=1\nMAX_BATCH=1\nWORKERS=1\n";
    char *const environment[] = {FLAG("PATH=/bin"), FLAG("CACHE_TTL=2"), FLAG("MAX_BATCH=2"), FLAG("ODD"),
                                 NULL};
    make_file(FILE_CONTENT, strlen(FILE_CONTENT));
    CU_ASSERT(load_with(environment, ARGUMENTS(FLAG("--cache-ttl=3"), FLAG("--config"), path)));
    CU_ASSERT_EQUAL(settings.cache_ttl_ms, 3000);
    CU_ASSERT_EQUAL(settings.max_batch, 2);
    CU_ASSERT_EQUAL(settings.workers, 1);
    CU_ASSERT_EQUAL(settings.max_body_kb, 1024);
    remove_file();
}

static void test_flag_forms(void) {
    CU_ASSERT(load_with(NO_ENVIRONMENT, ARGUMENTS(FLAG("--cache-ttl"), FLAG("60"), FLAG("--workers=2"))));
    CU_ASSERT_EQUAL(settings.cache_ttl_ms, 60000);
    CU_ASSERT_EQUAL(settings.workers, 2);
    CU_ASSERT(load_with(NO_ENVIRONMENT, ARGUMENTS(FLAG("--workers=2"), FLAG("--workers=3"))));
    CU_ASSERT_EQUAL(settings.workers, 3);
    CU_ASSERT(load_flag("--admin-token=a=b"));
    CU_ASSERT_STRING_EQUAL(settings.admin_token, "a=b");
    CU_ASSERT(load_flag("--cache-path="));
    CU_ASSERT_STRING_EQUAL(settings.cache_path, "");
    CU_ASSERT_FALSE(load_flag("--cache-ttl"));
    CU_ASSERT_STRING_EQUAL(error.text, "--cache-ttl: needs a value");
    CU_ASSERT_FALSE(load_flag("--config"));
    CU_ASSERT_STRING_EQUAL(error.text, "--config: needs a value");
    CU_ASSERT_FALSE(load_flag("--help=yes"));
    CU_ASSERT_STRING_EQUAL(error.text, "--help: takes no value");
    static const char *const UNEXPECTED[] = {"60", "-x", "-hV", "--", "", "-"};
    for (size_t i = 0; i < sizeof(UNEXPECTED) / sizeof(UNEXPECTED[0]); i++) {
        CU_ASSERT_FALSE(load_flag(UNEXPECTED[i]));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "unexpected"));
    }
}

static void test_requests(void) {
    static const struct {
        const char *flag;
        enum settings_request request;
    } ROWS[] = {
        {"--help", SETTINGS_HELP},           {"-h", SETTINGS_HELP},
        {"--version", SETTINGS_VERSION},     {"-V", SETTINGS_VERSION},
        {"--print-sample", SETTINGS_SAMPLE}, {"--print-markdown", SETTINGS_MARKDOWN},
        {"--print-man", SETTINGS_MAN},
    };
    char *const broken[] = {FLAG("CACHE_TTL=abc"), NULL};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char flag[32];
        snprintf(flag, sizeof(flag), "%s", ROWS[i].flag);
        /* Somebody who asks for help may have wrong settings. */
        CU_ASSERT(load_with(broken, ARGUMENTS(flag)));
        CU_ASSERT_EQUAL(request, ROWS[i].request);
    }
    CU_ASSERT(load_with(NO_ENVIRONMENT, ARGUMENTS(FLAG("--print-config"), FLAG("--workers=5"))));
    CU_ASSERT_EQUAL(request, SETTINGS_PRINT_CONFIG);
    CU_ASSERT_EQUAL(settings.workers, 5);
    CU_ASSERT_FALSE(load_with(broken, ARGUMENTS(FLAG("--print-config"))));
}

static void test_failure_leaves_settings_alone(void) {
    struct settings before;
    memset(&before, 0x5a, sizeof(before));
    request = SETTINGS_VERSION;
    CU_ASSERT_FALSE(load_with(NO_ENVIRONMENT,
                              ARGUMENTS(FLAG("--workers=5"), FLAG("--print-config"), FLAG("--max-batch=x"))));
    CU_ASSERT_EQUAL(memcmp(&settings, &before, sizeof(before)), 0);
    CU_ASSERT_EQUAL(request, SETTINGS_VERSION);
}

/* ---- the file ---- */

static void test_file_syntax(void) {
    CU_ASSERT(
        load_file("# a comment = none\n"
                  "\n"
                  "   \t \r\n"
                  "  # indented\n"
                  "CACHE_TTL=60\r\n"
                  "  MAX_BATCH = 7 \n"
                  "MODEL_NAME=\"  two words \"\n"
                  "MODEL_VERSION=\"\"quoted\"\"\n"
                  "CACHE_PATH=/a/b # c\n"
                  "ADMIN_TOKEN=a=\"b\"\n"
                  "WORKERS=1\n"
                  "WORKERS=2"));
    CU_ASSERT_EQUAL(settings.cache_ttl_ms, 60000);
    CU_ASSERT_EQUAL(settings.max_batch, 7);
    CU_ASSERT_STRING_EQUAL(settings.model_name, "  two words ");
    CU_ASSERT_STRING_EQUAL(settings.model_version, "\"quoted\"");
    CU_ASSERT_STRING_EQUAL(settings.cache_path, "/a/b");
    CU_ASSERT_STRING_EQUAL(settings.admin_token, "a=\"b\"");
    CU_ASSERT_EQUAL(settings.workers, 2);
    CU_ASSERT(load_file(""));
    expect_defaults();
    CU_ASSERT(load_file("MODEL_NAME=\"\"\n"));
    CU_ASSERT_STRING_EQUAL(settings.model_name, "");
}

static void test_comments_and_quotes(void) {
    static const struct {
        const char *given;
        const char *value;
    } ROWS[] = {
        {"a  # one minute", "a"},
        {"a\t#", "a"},
        {"a #b # c", "a"},
        {"a#b", "a#b"},
        {"#a", "#a"},
        {" # a comment", ""},
        {" #", ""},
        {"'a b '", "a b "},
        {"  'a # b'  # c", "a # b"},
        {"\"a # b\"# c\"", "a # b\"# c"},
        {"\"a\" # \"b\"", "a"},
        {"\"it's\"", "it's"},
        {"'say \"x\"'", "say \"x\""},
        {"'it's'", "it's"},
        {"it's", "it's"},
        {"''", ""},
        {"''#", NULL},
        {"'a", NULL},
        {"'", NULL},
        {"'a\"", NULL},
        {"\"a\" b", NULL},
        {"'a # b", NULL},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char line[128];
        snprintf(line, sizeof(line), "MODEL_VERSION=%s\n", ROWS[i].given);
        bool loaded = load_file(line);
        CU_ASSERT_EQUAL(loaded, ROWS[i].value != NULL);
        if (loaded && ROWS[i].value)
            CU_ASSERT_STRING_EQUAL(settings.model_version, ROWS[i].value);
        if (loaded != (ROWS[i].value != NULL))
            printf("    %s", line);
        if (!ROWS[i].value)
            CU_ASSERT(file_error_is(":1: MODEL_VERSION: a quote that does not close"));
    }
    CU_ASSERT(load_file("CACHE_TTL=60  # one minute\nADMIN_TOKEN=0123456789abcdef#x # mine\n"));
    CU_ASSERT_EQUAL(settings.cache_ttl_ms, 60000);
    CU_ASSERT_STRING_EQUAL(settings.admin_token, "0123456789abcdef#x");
}

static void test_file_errors(void) {
    CU_ASSERT_FALSE(load_file("\n# x\nCACHE_TTL=abc\n"));
    CU_ASSERT(file_error_is(":3: CACHE_TTL=abc: expected seconds from 0.001 to 31536000"));
    CU_ASSERT_FALSE(load_file("WORKERS\n"));
    CU_ASSERT(file_error_is(":1: WORKERS: expected NAME=value"));
    CU_ASSERT_FALSE(load_file("=5\n"));
    CU_ASSERT(file_error_is(":1: : no such setting"));
    CU_ASSERT_FALSE(load_file("WORKERS=1\nCACHE_TLL=5\n"));
    CU_ASSERT(file_error_is(":2: CACHE_TLL: no such setting; did you mean CACHE_TTL?"));
    CU_ASSERT_FALSE(load_file("cache_ttl=5\n"));
    CU_ASSERT(file_error_is(":1: cache_ttl: no such setting; did you mean CACHE_TTL?"));
    CU_ASSERT_FALSE(load_file("MODEL_NAME=\"open\n"));
    CU_ASSERT(file_error_is(":1: MODEL_NAME: a quote that does not close"));
    CU_ASSERT_FALSE(load_file("MODEL_NAME=\"\n"));
    CU_ASSERT(file_error_is(":1: MODEL_NAME: a quote that does not close"));
    static const char NUL_INSIDE[] = "WORKERS=1\nMODEL_NAME=a\0b\n";
    CU_ASSERT_FALSE(load_bytes(NUL_INSIDE, sizeof(NUL_INSIDE) - 1));
    CU_ASSERT(file_error_is(":2: holds a NUL byte"));
    CU_ASSERT_FALSE(load_file("MODEL_NAME=a\tb\n"));
    CU_ASSERT(file_error_is(":1: MODEL_NAME=a?b: expected a text without control characters"));
    /* --help is a flag only. */
    CU_ASSERT_FALSE(load_file("HELP=1\n"));
    CU_ASSERT(file_error_is(":1: HELP: no such setting"));
}

static void test_file_that_cannot_be_read(void) {
    CU_ASSERT_FALSE(load_flag("--config=/no/such/a.conf"));
    CU_ASSERT_STRING_EQUAL(error.text, "/no/such/a.conf: cannot open: No such file or directory");
    CU_ASSERT_FALSE(load_flag("--config=/proc"));
    CU_ASSERT_STRING_EQUAL(error.text, "/proc: cannot read: Is a directory");
    CU_ASSERT_FALSE(load_flag("--config="));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "No such file"));
}

static void test_huge_file(void) {
    size_t size = 3 * 1024 * 1024;
    char *huge = malloc(size);
    CU_ASSERT_PTR_NOT_NULL_FATAL(huge);
    memset(huge, '\n', size);
    CU_ASSERT(load_bytes(huge, 1024 * 1024));
    CU_ASSERT_FALSE(load_bytes(huge, size));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "larger than 1048576 bytes"));
    free(huge);
}

/* ---- values ---- */

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

/* What goes into a request as it is: nothing that could end a line or a string. */
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

static void test_inference_server(void) {
    CU_ASSERT_FALSE(load_flag("--engine=http"));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "UPSTREAM_URL"));
    char *const http[] = {FLAG("ENGINE=http"), FLAG("UPSTREAM_URL=http://h/"), NULL};
    CU_ASSERT(load_with(http, ARGUMENTS(FLAG("--workers=5"))));
    CU_ASSERT_EQUAL(settings.engine, SETTINGS_ENGINE_HTTP);
    CU_ASSERT_EQUAL(settings.cache_normalize, CACHE_NORMALIZE_NFC);
    /* Given is given, if only as what is the default elsewhere. */
    CU_ASSERT(load_with(http, ARGUMENTS(FLAG("--cache-normalize=lower"))));
    CU_ASSERT_EQUAL(settings.cache_normalize, CACHE_NORMALIZE_LOWER);
    CU_ASSERT(load_flag("--engine=builtin"));
    CU_ASSERT_EQUAL(settings.cache_normalize, CACHE_NORMALIZE_LOWER);
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

/* ---- what depends on another setting ---- */

/* Exactly one warning, with these words in it. */
static void expect_warning(const char *first, const char *second) {
    CU_ASSERT_EQUAL_FATAL(warnings.n, 1);
    bool both = strstr(warnings.lines[0].text, first) && strstr(warnings.lines[0].text, second);
    CU_ASSERT(both);
    if (!both)
        printf("    %s\n", warnings.lines[0].text);
}

static void test_empty_variables(void) {
    static const char FILE_CONTENT[] = "CACHE_TTL=1\nWORKERS=3\n";
    char *const environment[] = {FLAG("CACHE_TTL="),       FLAG("MODEL_VERSION="),   FLAG("LISTEN="),
                                 FLAG("CACHE_NAMESPACE="), FLAG("ENGINE="),          FLAG("REDIS_URL="),
                                 FLAG("LISTEN_MODE="),     FLAG("CACHE_NORMALIZE="), NULL};
    CU_ASSERT_FATAL(load_with(environment, ARGUMENTS(NULL)));
    expect_defaults();
    CU_ASSERT_EQUAL(warnings.n, 0);
    make_file(FILE_CONTENT, strlen(FILE_CONTENT));
    CU_ASSERT(load_with(environment, ARGUMENTS(FLAG("--config"), path)));
    CU_ASSERT_EQUAL(settings.cache_ttl_ms, 3600000);
    CU_ASSERT_EQUAL(settings.workers, 3);
    remove_file();
    /* A flag is written on purpose. */
    CU_ASSERT_FALSE(load_flag("--cache-ttl="));
    char *const http[] = {FLAG("ENGINE=http"), FLAG("UPSTREAM_URL=http://h/"), FLAG("CACHE_NORMALIZE="),
                          NULL};
    CU_ASSERT_FATAL(load_with(http, ARGUMENTS(NULL)));
    CU_ASSERT_EQUAL(settings.cache_normalize, CACHE_NORMALIZE_NFC);
}

static void test_values_that_do_not_count(void) {
    static const struct {
        const char *wrong, *elsewhere, *expected; /* `elsewhere` it counts */
    } ROWS[] = {
        {"UPSTREAM_URL=ftp://h/", "ENGINE=http", "http://HOST"},
        {"UPSTREAM_BATCH=many", "ENGINE=http", "texts from 1"},
        {"UPSTREAM_TIMEOUT=1h", "ENGINE=http", "3600"},
        {"UPSTREAM_DIALECT=latin", "ENGINE=http", "plain|tei"},
        {"CACHE_SHARE_AUTHORIZED=maybe", "ENGINE=http", "off|on"},
        {"REDIS_URL=h:6379", "CACHE_BACKEND=redis", "redis://"},
        {"MEMCACHED_SERVERS=h", "CACHE_BACKEND=memcached", "HOST:PORT"},
        {"STORE_TIMEOUT_MS=0", "CACHE_BACKEND=memcached", "ms from 1"},
        {"STORE_TIMEOUT_MS=0", "CACHE_BACKEND=redis", "ms from 1"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        char wrong[64];
        char elsewhere[64];
        snprintf(wrong, sizeof(wrong), "%s", ROWS[i].wrong);
        snprintf(elsewhere, sizeof(elsewhere), "%s", ROWS[i].elsewhere);
        CU_ASSERT(load_with((char *const[]){wrong, NULL}, ARGUMENTS(NULL)));
        expect_warning(ROWS[i].expected, "ignored");
        CU_ASSERT_FALSE(
            load_with((char *const[]){wrong, elsewhere, NULL}, ARGUMENTS(FLAG("--upstream-url=http://h/"))));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, ROWS[i].expected));
    }
    CU_ASSERT(load_with((char *const[]){FLAG("LISTEN_MODE=0999"), FLAG("LISTEN=tcp:127.0.0.1:1"), NULL},
                        ARGUMENTS(NULL)));
    expect_warning("octal", "ignored");
    CU_ASSERT_FALSE(load_variable("LISTEN_MODE=0999"));
    CU_ASSERT(load_with((char *const[]){FLAG("INFERENCE_DELAY_MS=x"), FLAG("ENGINE=http"), NULL},
                        ARGUMENTS(FLAG("--upstream-url=http://h/"))));
    expect_warning("INFERENCE_DELAY_MS=x", "ENGINE=builtin");
    /* Also in a file, and what counts comes later. */
    CU_ASSERT(load_file("UPSTREAM_BATCH=x\n"));
    expect_warning(":1: UPSTREAM_BATCH=x", "ENGINE=http");
    CU_ASSERT_FALSE(load_file("UPSTREAM_BATCH=x\nUPSTREAM_URL=http://h/\nENGINE=http\n"));
    CU_ASSERT(file_error_is(":1: UPSTREAM_BATCH=x: expected a number of texts from 1 to 256"));
}

static void test_lifetimes(void) {
    CU_ASSERT_FALSE(load_with(NO_ENVIRONMENT, ARGUMENTS(FLAG("--cache-ttl=61"), FLAG("--cache-ttl-max=60"))));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "CACHE_TTL=61"));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "CACHE_TTL_MAX=60"));
    CU_ASSERT(load_with(NO_ENVIRONMENT, ARGUMENTS(FLAG("--cache-ttl=60"), FLAG("--cache-ttl-max=60"))));
    CU_ASSERT(load_flag("--cache-ttl=604800"));
    CU_ASSERT_EQUAL(settings.cache_ttl_max_ms, 604800000);
    CU_ASSERT(load_flag("--cache-ttl-max=100"));
    CU_ASSERT_EQUAL(settings.cache_ttl_ms, 100000);
    CU_ASSERT_FALSE(
        load_with((char *const[]){FLAG("CACHE_TTL_MAX=86400"), NULL}, ARGUMENTS(FLAG("--cache-ttl=86401"))));
    CU_ASSERT(load_with((char *const[]){FLAG("CACHE_TTL_MAX="), NULL}, ARGUMENTS(FLAG("--cache-ttl=86401"))));
}

static void test_surprises(void) {
    CU_ASSERT(load_with(NO_ENVIRONMENT, ARGUMENTS(NULL)));
    CU_ASSERT_EQUAL(warnings.n, 0);
    CU_ASSERT(load_flag("--upstream-url=http://h/"));
    expect_warning("UPSTREAM_URL", "ENGINE=http");
    CU_ASSERT(
        load_with(NO_ENVIRONMENT, ARGUMENTS(FLAG("--cache-scope=worker"), FLAG("--cache-path=/tmp/x"))));
    expect_warning("CACHE_SCOPE=worker", "CACHE_PATH");
    CU_ASSERT(load_flag("--cache-scope=worker"));
    CU_ASSERT_EQUAL(warnings.n, 0);
    CU_ASSERT(
        load_with(NO_ENVIRONMENT, ARGUMENTS(FLAG("--cache-memory-mb=2"), FLAG("--cache-max-entry-kb=2049"))));
    expect_warning("CACHE_MAX_ENTRY_KB=2049", "CACHE_MEMORY_MB=2");
    CU_ASSERT(
        load_with(NO_ENVIRONMENT, ARGUMENTS(FLAG("--cache-memory-mb=2"), FLAG("--cache-max-entry-kb=2048"))));
    CU_ASSERT_EQUAL(warnings.n, 0);
    CU_ASSERT(load_variable("ADMIN_TOKEN=geheim789012345"));
    expect_warning("ADMIN_TOKEN", "15 characters");
    CU_ASSERT_PTR_NULL(strstr(warnings.lines[0].text, "geheim"));
    CU_ASSERT(load_variable("ADMIN_TOKEN=geheim7890123456"));
    CU_ASSERT_EQUAL(warnings.n, 0);
}

static void test_variables_that_look_like_ours(void) {
    static const struct {
        const char *variable, *warning; /* NULL: none */
    } ROWS[] = {
        {"CACHE_TLL=5", "environment: CACHE_TLL: no such setting; did you mean CACHE_TTL?"},
        {"cache_ttl=5", "environment: cache_ttl: no such setting; did you mean CACHE_TTL?"},
        {"WORKER=5", "environment: WORKER: no such setting; did you mean WORKERS?"},
        {"LOGLEVEL=5", "environment: LOGLEVEL: no such setting; did you mean LOG_LEVEL?"},
        {"ADMINTOKEN=geheim", "environment: ADMINTOKEN: no such setting; did you mean ADMIN_TOKEN?"},
        {"CACHE_LIFETIME_OF_ALL=5", "environment: CACHE_LIFETIME_OF_ALL: no such setting"},
        {"UPSTREAM_NO_SUCH_THING=5", "environment: UPSTREAM_NO_SUCH_THING: no such setting"},
        {"INFERONCE_CACHE_TTL=5", "environment: INFERONCE_CACHE_TTL: no such setting"},
        {"PATH=/bin", NULL},
        {"LANG=C", NULL},
        {"LISTEN_FDS=1", NULL},
        {"LISTEN_PID=1", NULL},
        {"LISTEN_FDNAMES=x", NULL},
        {"LOGNAME=x", NULL},
        {"REDIS_PORT=tcp://10.0.0.1:6379", NULL}, /* of Kubernetes, for a service */
        {"CACHE_PORT=tcp://10.0.0.1:6379", NULL},
        {"INFERONCE_SERVICE_HOST=10.0.0.1", NULL},
        {"INFERONCE_PORT_9000_TCP_ADDR=10.0.0.1", NULL},
        {"HELP=1", NULL},
        {"CACHE_", NULL},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        CU_ASSERT(load_variable(ROWS[i].variable));
        CU_ASSERT_EQUAL(warnings.n, ROWS[i].warning != NULL);
        if (warnings.n > 0 && ROWS[i].warning)
            CU_ASSERT_STRING_EQUAL(warnings.lines[0].text, ROWS[i].warning);
        if (warnings.n != (ROWS[i].warning != NULL))
            printf("    %s\n", ROWS[i].variable);
    }
    char *many[40] = {NULL};
    char slip[] = "CACHE_TLL=1";
    for (size_t i = 0; i < 39; i++)
        many[i] = slip;
    CU_ASSERT(load_with(many, ARGUMENTS(NULL)));
    CU_ASSERT_EQUAL(warnings.n, SETTINGS_WARNINGS_MAX);
}

static void test_near_misses(void) {
    static const struct {
        const char *flag;
        const char *error;
    } ROWS[] = {
        {"--cache-tl=5", "--cache-tl: no such flag; did you mean --cache-ttl?"},
        {"--cache_ttl=5", "--cache_ttl: no such flag; did you mean --cache-ttl?"},
        {"--CACHE-TTL=5", "--CACHE-TTL: no such flag; did you mean --cache-ttl?"},
        {"--worker", "--worker: no such flag; did you mean --workers?"},
        {"--hlep", "--hlep: no such flag; did you mean --help?"},
        {"--halp", "--halp: no such flag; did you mean --help?"},
        {"--print-cnfig", "--print-cnfig: no such flag; did you mean --print-config?"},
        {"--banana=1", "--banana: no such flag (--help lists them)"},
        {"--=1", "--: no such flag (--help lists them)"},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        CU_ASSERT_FALSE(load_flag(ROWS[i].flag));
        CU_ASSERT_STRING_EQUAL(error.text, ROWS[i].error);
    }
    char flag[3000] = "--";
    memset(flag + 2, 'a', sizeof(flag) - 3);
    CU_ASSERT_FALSE(load_flag(flag));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "...: no such flag"));
}

/* ---- what is printed ---- */

static char printed[65536];

static FILE *open_print(void) {
    memset(printed, 0, sizeof(printed));
    FILE *stream = fmemopen(printed, sizeof(printed) - 1, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
    return stream;
}

static void print_config(void) {
    FILE *stream = open_print();
    settings_print_config(&settings, stream);
    fclose(stream);
}

static void test_print_config_is_read_back(void) {
    static const char *const TEXTS[] = {"",    " x",   " a b ",   "\"",           "\"x\"", "\"x",
                                        "x\"", "#a",   "a=b",     "\xc3\xa4 # c", " ",     "'",
                                        "'x'", "it's", "a\" # b", "a' # b",       "\" #",  "# a"};
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        char name[128];
        snprintf(name, sizeof(name), "--model-name=%s", TEXTS[i]);
        CU_ASSERT(
            load_with(NO_ENVIRONMENT, ARGUMENTS(name, FLAG("--cache-ttl=0.1"), FLAG("--drain-timeout=1.25"),
                                                FLAG("--listen-mode=7"), FLAG("--log-level=error"))));
        struct settings before = settings;
        print_config();
        CU_ASSERT(load_file(printed));
        CU_ASSERT_STRING_EQUAL(settings.model_name, TEXTS[i]);
        CU_ASSERT_EQUAL(settings.cache_ttl_ms, 100);
        CU_ASSERT_EQUAL(settings.drain_timeout_ms, before.drain_timeout_ms);
        CU_ASSERT_EQUAL(settings.listen_mode, 7);
        CU_ASSERT_EQUAL(settings.log_level, 0);
        CU_ASSERT_EQUAL(settings.cache_normalize, before.cache_normalize);
        CU_ASSERT_STRING_EQUAL(settings.listen, before.listen);
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "\nCACHE_TTL=0.1\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "\nLISTEN_MODE=0007\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "\nCACHE_NORMALIZE=lower\n"));
}

static void test_print_config_hides_secrets(void) {
    CU_ASSERT(load_flag("--admin-token=geheim"));
    print_config();
    CU_ASSERT_PTR_NULL(strstr(printed, "geheim"));
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "# ADMIN_TOKEN is set"));
    CU_ASSERT(load_file(printed));
}

static void test_password_of_a_url(void) {
    static const struct {
        const char *url, *line;
    } ROWS[] = {
        {"redis://h:6379/1", "\nREDIS_URL=redis://h:6379/1\n"},
        {"redis://:geheim@h:6379/1", "\n# REDIS_URL=redis://:***@h:6379/1\n"},
        {"redis://me:gehe%40im@h", "\n# REDIS_URL=redis://me:***@h\n"},
        {"unix://:geheim:x@/run/redis.sock", "\n# REDIS_URL=unix://:***@/run/redis.sock\n"},
    };
    char flag[128];
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        snprintf(flag, sizeof(flag), "--redis-url=%s", ROWS[i].url);
        CU_ASSERT(load_flag(flag));
        print_config();
        CU_ASSERT_PTR_NOT_NULL(strstr(printed, ROWS[i].line));
        CU_ASSERT_PTR_NULL(strstr(printed, "gehe"));
        CU_ASSERT(load_file(printed));
    }
}

static void test_credentials_of_the_model(void) {
    char *const http[] = {FLAG("ENGINE=http"), NULL};
    CU_ASSERT_FALSE(load_with(http, ARGUMENTS(FLAG("--upstream-url=http://me:geheim@h/x"))));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "=http://me:***@h/x: expected http://"));
    CU_ASSERT_PTR_NULL(strstr(error.text, "geheim"));
}

static void test_password_of_a_wrong_url(void) {
    static const struct {
        const char *url, *shown;
    } ROWS[] = {
        {"redis://:geheim@h:x", "=redis://:***@h:x: expected redis://"},
        {"redis://geheim@h", "=redis://***@h: expected redis://"},
        {"redis://me:geheim", "=redis://me:***: expected redis://"},
        {"redis://:1234", "=redis://:***: expected redis://"},
        {"redis://h:70000", "=redis://h:70000: expected redis://"},
        {"me:geheim@h", "=me:***@h: expected redis://"},
        {"geheim", "=***: expected redis://"},
        {"redis://:geh@eim/x@h:x", "=redis://:***@h:x: expected redis://"},
        {"rediss://:geheim@h", "=rediss://:***@h: TLS (rediss://) is not supported"},
    };
    char flag[128];
    char *const redis[] = {FLAG("CACHE_BACKEND=redis"), NULL};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        snprintf(flag, sizeof(flag), "--redis-url=%s", ROWS[i].url);
        CU_ASSERT_FALSE(load_with(redis, ARGUMENTS(flag)));
        CU_ASSERT_PTR_NOT_NULL(strstr(error.text, ROWS[i].shown));
        CU_ASSERT_PTR_NULL(strstr(error.text, "geh"));
        if (!strstr(error.text, ROWS[i].shown))
            printf("    %s\n", error.text);
    }
}

/* Without the # in front of its settings the sample is the defaults; with them it is nothing. */
static void test_sample_holds_the_defaults(void) {
    static char bare[sizeof(printed)];
    size_t length = 0;
    FILE *stream = open_print();
    settings_print_sample(stream);
    fclose(stream);
    CU_ASSERT(load_file(printed));
    expect_defaults();
    size_t rows = 0;
    for (const char *line = printed; *line; line = strchr(line, '\n') + 1) {
        size_t end = strcspn(line, "\n") + 1;
        if (line[0] != '#' || line[1] == ' ')
            continue;
        memcpy(bare + length, line + 1, end - 1);
        length += end - 1;
        rows++;
    }
    CU_ASSERT(rows > 20);
    CU_ASSERT(load_bytes(bare, length));
    expect_defaults();
}

static size_t longest_line(void) {
    size_t longest = 0;
    for (const char *line = printed; *line; line += strcspn(line, "\n") + 1)
        if (strcspn(line, "\n") > longest)
            longest = strcspn(line, "\n");
    return longest;
}

static void test_help(void) {
    FILE *stream = open_print();
    settings_print_help(stream);
    fclose(stream);
    CU_ASSERT(longest_line() <= 100);
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "\nCache:\n  --cache-backend=memory"));
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "--cache-stale-while-revalidate=SECONDS\n    "));
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "--config FILE"));
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "How long an entry is fresh [3600; 0.001 to 31536000 s]\n"));
}

static void test_markdown(void) {
    FILE *stream = open_print();
    settings_print_markdown(stream);
    fclose(stream);
    CU_ASSERT_EQUAL(strncmp(printed, "| setting | default | meaning |\n| --- | --- | --- |\n", 52), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "\n| `CACHE_TTL` | `3600` s | How long an entry is fresh |\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "\n| `CACHE_PATH` | empty | "));
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "(`logfmt\\|json`) |\n"));
}

/* Every setting, with its help and its default; what stands in a TRAPS row follows the setting it is of. */
static void test_man(void) {
    FILE *stream = open_print();
    settings_print_man(stream);
    fclose(stream);
    for (size_t i = 0; i < SETTING_ROWS_COUNT; i++) {
        char line[128];
        bool group = SETTING_ROWS[i].kind == SETTING_GROUP;
        snprintf(line, sizeof(line), group ? "\n.Ss %s\n" : "\n.It Ic %s Ns = Ns Ar ", SETTING_ROWS[i].name);
        CU_ASSERT_PTR_NOT_NULL(strstr(printed, line));
        CU_ASSERT_PTR_NOT_NULL(group ? printed : strstr(printed, SETTING_ROWS[i].help));
    }
    CU_ASSERT_PTR_NOT_NULL(strstr(printed,
                                  "\n.It Ic CACHE_TTL Ns = Ns Ar SECONDS\nHow long an entry is fresh.\n"
                                  "From 0.001 to 31536000 s.\nDefault:\n.Li 3600 .\n.It "));
    CU_ASSERT_PTR_NOT_NULL(strstr(printed, "\n.Li lower .\n.Pp\nThe model gets the text in its normal form"));
    CU_ASSERT_PTR_NULL(strstr(printed, "\n\n")); /* mdoc has no empty lines */
}

static const struct unit_case CASES[] = {
    {"defaults", test_defaults},
    {"flag beats environment beats file beats default", test_precedence},
    {"flags with = and without", test_flag_forms},
    {"what is asked for", test_requests},
    {"a failure leaves the settings alone", test_failure_leaves_settings_alone},
    {"the syntax of a file", test_file_syntax},
    {"comments and quotes", test_comments_and_quotes},
    {"errors name file and line", test_file_errors},
    {"a file that cannot be read", test_file_that_cannot_be_read},
    {"a huge file is refused", test_huge_file},
    {"seconds are decimal and exact", test_seconds},
    {"numbers keep to their limits", test_numbers},
    {"modes are octal", test_modes},
    {"choices, in any case", test_choices},
    {"texts are short, clean UTF-8", test_texts},
    {"a namespace has its own alphabet", test_namespace},
    {"an address is unix: or tcp:", test_addresses},
    {"the longest path of a socket", test_longest_socket_path},
    {"an empty variable is the default", test_empty_variables},
    {"a wrong value that does not count", test_values_that_do_not_count},
    {"CACHE_TTL and CACHE_TTL_MAX", test_lifetimes},
    {"what is probably not meant", test_surprises},
    {"variables that look like ours", test_variables_that_look_like_ours},
    {"addresses of inference servers", test_urls},
    {"names that go into requests", test_names_in_requests},
    {"an inference server changes what is needed, and a default", test_inference_server},
    {"near misses are pointed out", test_near_misses},
    {"--print-config is read back", test_print_config_is_read_back},
    {"--print-config hides secrets", test_print_config_hides_secrets},
    {"the password of a URL is hidden", test_password_of_a_url},
    {"the password of a wrong URL is hidden", test_password_of_a_wrong_url},
    {"credentials in the model's URL are hidden", test_credentials_of_the_model},
    {"the sample holds the defaults", test_sample_holds_the_defaults},
    {"--help is grouped and not too wide", test_help},
    {"the table for the README", test_markdown},
    {"the manual page", test_man},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "settings", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
