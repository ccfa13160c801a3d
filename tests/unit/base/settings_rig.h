/* Settings as a test gives them, by flags, the environment or a file, and the outcome of loading them. */
#ifndef INFERONCE_TESTS_SETTINGS_RIG_H
#define INFERONCE_TESTS_SETTINGS_RIG_H

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inferonce/base/settings.h"
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

static inline bool load_with(char *const environment[], struct arguments arguments) {
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

static inline bool load_flag(const char *flag) {
    char copy[4096];
    snprintf(copy, sizeof(copy), "%s", flag);
    return load_with(NO_ENVIRONMENT, ARGUMENTS(copy));
}

static inline bool load_variable(const char *variable) {
    char copy[4096];
    snprintf(copy, sizeof(copy), "%s", variable);
    return load_with((char *const[]){copy, NULL}, ARGUMENTS(NULL));
}

/* A file in a directory of its own; `path` names it. */
static char directory[256];
static char path[300];

static inline void make_file(const char *content, size_t length) {
    CU_ASSERT_FATAL(unit_directory(directory, sizeof(directory), "settings"));
    snprintf(path, sizeof(path), "%s/a.conf", directory);
    FILE *file = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fwrite(content, 1, length, file), length);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static inline void remove_file(void) {
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(directory), 0);
}

static inline bool load_bytes(const char *content, size_t length) {
    make_file(content, length);
    bool loaded = load_with(NO_ENVIRONMENT, ARGUMENTS(FLAG("--config"), path));
    remove_file();
    return loaded;
}

static inline bool load_file(const char *content) {
    return load_bytes(content, strlen(content));
}

/* The error begins with the file's path and goes on with `rest`. */
static inline bool file_error_is(const char *rest) {
    size_t length = strlen(path);
    return strncmp(error.text, path, length) == 0 && strcmp(error.text + length, rest) == 0;
}

static inline void expect_defaults(void) {
    CU_ASSERT_STRING_EQUAL(settings.listen, "unix:/run/inferonce/inferonce.sock");
    CU_ASSERT_EQUAL(settings.listen_mode, 0660);
    CU_ASSERT_EQUAL(settings.workers, 0);
    CU_ASSERT_EQUAL(settings.drain_timeout_ms, 30000);
    CU_ASSERT_EQUAL(settings.cache_ttl_ms, 3600000);
    CU_ASSERT_EQUAL(settings.cache_ttl_max_ms, 86400000);
    CU_ASSERT_EQUAL(settings.cache_stale_while_revalidate_ms, 0);
    CU_ASSERT_EQUAL(settings.cache_max_size, 0);
    CU_ASSERT_EQUAL(settings.cache_eviction, CACHE_EVICTION_COST);
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

#endif
