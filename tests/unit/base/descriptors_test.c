#include "inferonce/base/descriptors.h"

#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

/* In a child, because a hard limit cannot be raised again. Returns whether it suffices, and the soft limit
 * afterwards. */
static bool suffices(const struct settings *settings, rlim_t soft, rlim_t hard, rlim_t *after,
                     struct error *error) {
    struct told {
        bool suffice;
        rlim_t after;
        struct error error;
    } told = {.suffice = false};
    int ends[2];
    int status;
    CU_ASSERT_EQUAL_FATAL(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
        bool set = setrlimit(RLIMIT_NOFILE, &limit) == 0;
        told.suffice = descriptors_suffice(settings, 2, &told.error);
        set = set && getrlimit(RLIMIT_NOFILE, &limit) == 0;
        told.after = limit.rlim_cur;
        _exit(set && write(ends[1], &told, sizeof(told)) == (ssize_t)sizeof(told) ? 0 : 1);
    }
    CU_ASSERT_EQUAL(waitpid(child, &status, 0), child);
    CU_ASSERT_EQUAL(status, 0);
    CU_ASSERT_EQUAL(read(ends[0], &told, sizeof(told)), (ssize_t)sizeof(told));
    close(ends[0]);
    close(ends[1]);
    *after = told.after;
    *error = told.error;
    return told.suffice;
}

static void test_inferences_count_with_a_server(void) {
    struct settings settings;
    settings_defaults(&settings);
    settings.inference_concurrency = 500;
    uint64_t builtin = descriptors_reserved(&settings, 2);
    CU_ASSERT_TRUE(builtin < 128);
    CU_ASSERT_EQUAL(descriptors_reserved(&settings, 10), builtin + 2 * 8);
    settings.engine = SETTINGS_ENGINE_HTTP;
    CU_ASSERT_EQUAL(descriptors_reserved(&settings, 2), builtin + 500);
}

static void test_the_limit_is_raised(void) {
    struct settings settings;
    struct error error;
    rlim_t after;
    settings_defaults(&settings);
    CU_ASSERT_TRUE(suffices(&settings, 128, 512, &after, &error));
    CU_ASSERT_EQUAL(after, 512);
}

static void test_too_low_for_the_settings(void) {
    struct settings settings;
    struct error error;
    rlim_t after;
    settings_defaults(&settings);
    settings.inference_concurrency = 400;
    CU_ASSERT_TRUE(suffices(&settings, 256, 256, &after, &error));
    settings.engine = SETTINGS_ENGINE_HTTP;
    uint64_t needed = descriptors_reserved(&settings, 2) + DESCRIPTORS_FOR_CLIENTS_LEAST;
    CU_ASSERT_TRUE(suffices(&settings, needed, needed, &after, &error));
    CU_ASSERT_FALSE(suffices(&settings, 64, needed - 1, &after, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "INFERENCE_CONCURRENCY"));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "LimitNOFILE"));
    settings.engine = SETTINGS_ENGINE_BUILTIN;
    CU_ASSERT_FALSE(suffices(&settings, 12, 12, &after, &error));
    CU_ASSERT_PTR_NULL(strstr(error.text, "INFERENCE_CONCURRENCY"));
}

static const struct unit_case CASES[] = {
    {"each inference takes one, with an inference server", test_inferences_count_with_a_server},
    {"the soft limit is raised", test_the_limit_is_raised},
    {"a limit too low for the settings", test_too_low_for_the_settings},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "descriptors", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
