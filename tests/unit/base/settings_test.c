/* Sources of settings and which one wins, the syntax of a file, settings that depend on others. */
#include "settings_rig.h"

#include <stdlib.h>

/* ---- where values come from ---- */

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
        /* Help is given also to a user with wrong settings. */
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
    {"an empty variable is the default", test_empty_variables},
    {"a wrong value that does not count", test_values_that_do_not_count},
    {"CACHE_TTL and CACHE_TTL_MAX", test_lifetimes},
    {"what is probably not meant", test_surprises},
    {"variables that look like ours", test_variables_that_look_like_ours},
    {"an inference server changes what is needed, and a default", test_inference_server},
    {"near misses are pointed out", test_near_misses},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "settings", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
