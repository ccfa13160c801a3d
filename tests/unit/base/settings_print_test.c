/* Settings as they are printed: --print-config, --help, the sample, the tables of the documentation. */
#include "settings_rig.h"

#include "base/settings_table.h"

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

/* Every setting has its help and its default; the text of a TRAPS row follows the setting of the row. */
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
    return unit_main(argc, argv, "settings_print", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
