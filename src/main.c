/* inferonce: flags, settings, set-up order, exit codes.
 *
 *   0  stopped as it was told to; or --help, --version, --print-... was done
 *   1  could not start, or could not go on; or requests were left unanswered as it stopped, after DRAIN_TIMEOUT
 *      or a second signal: the log line `stopped` says how many, as `unfinished`
 *   2  wrong settings: nothing was started */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inferonce/base/cgroup.h"
#include "inferonce/base/descriptors.h"
#include "inferonce/base/log.h"
#include "inferonce/base/settings.h"
#include "inferonce/base/shared_file.h"
#include "inferonce/engine/engine.h"
#include "inferonce/process/listener.h"
#include "inferonce/process/mapping.h"
#include "inferonce/process/master.h"
#include "inferonce/process/signals.h"
#include "inferonce/store/state.h"

enum exit_status { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_SETTINGS = 2 };

extern char **environ;

static int print(enum settings_request request, const struct settings *settings) {
    switch (request) {
    case SETTINGS_HELP:
        settings_print_help(stdout);
        break;
    case SETTINGS_VERSION:
        puts("inferonce " INFERONCE_VERSION);
        break;
    case SETTINGS_PRINT_CONFIG:
        settings_print_config(settings, stdout);
        break;
    case SETTINGS_SAMPLE:
        settings_print_sample(stdout);
        break;
    case SETTINGS_MARKDOWN:
        settings_print_markdown(stdout);
        break;
    case SETTINGS_SERVE:
        break;
    }
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int serve(const struct settings *settings) {
    struct error error;
    struct listener listener;
    struct shared shared;
    if (!descriptors_suffice(settings, master_workers(settings), &error)) {
        LOG(LOG_ERROR, "cannot_start", LOG_TEXT("error", error.text));
        return EXIT_FAILED;
    }
    if (!listener_open(&listener, settings, &error)) {
        LOG(LOG_ERROR, "cannot_listen", LOG_TEXT("error", error.text));
        return EXIT_FAILED;
    }
    if (!mapping_make(&shared, settings, &listener, master_workers(settings), &error)) {
        LOG(LOG_ERROR, "cannot_start", LOG_TEXT("error", error.text));
        listener_close(&listener);
        return EXIT_FAILED;
    }
    int status = master_run(settings, &shared, &listener);
    listener_close(&listener);
    state_close(&shared);
    shared_destroy(&shared);
    return status == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int refuse(const struct error *error) {
    fprintf(stderr, "inferonce: %s\n", error->text);
    return EXIT_SETTINGS;
}

static void warn(const struct settings_warnings *warnings) {
    for (size_t i = 0; i < warnings->n; i++)
        LOG_ALWAYS(LOG_WARN, "settings", LOG_TEXT("warning", warnings->lines[i].text));
}

static int print_with_warnings(enum settings_request request, const struct settings *settings,
                               const struct settings_warnings *warnings) {
    for (size_t i = 0; i < warnings->n; i++)
        fprintf(stderr, "inferonce: %s\n", warnings->lines[i].text);
    return print(request, settings);
}

/* The parent may have closed them. A file that is opened next would get their numbers, and log lines
 * would be written into it: the shared mapping's file, a connection. */
static bool open_standard_descriptors(void) {
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++)
        if (fcntl(descriptor, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != descriptor)
            return false;
    return true;
}

int main(int argc, char *argv[]) {
    /* Static: they are large, and workers keep the settings. */
    static struct settings settings;
    static struct settings_warnings warnings;
    enum settings_request request;
    struct cgroup_limits limits;
    struct error error;
    if (!open_standard_descriptors())
        return EXIT_FAILED;
    signals_setup();
    if (!settings_load(&settings, argc, argv, environ, &request, &warnings, &error))
        return refuse(&error);
    if (request != SETTINGS_SERVE)
        return print_with_warnings(request, &settings, &warnings);
    cgroup_read("", &limits);
    if (!engine_check(&settings, &error) || !shared_file_check(settings.cache_path, &error) ||
        !cgroup_memory_suffices(&limits, &settings, &error))
        return refuse(&error);
    log_setup((enum log_level)settings.log_level, (enum log_format)settings.log_format, STDERR_FILENO);
    warn(&warnings);
    if (settings.engine == SETTINGS_ENGINE_HTTP && strcmp(settings.model_name, settings.upstream_url) == 0)
        LOG_ALWAYS(LOG_INFO, "model_name_not_set", LOG_TEXT("name_in_keys", "UPSTREAM_URL"));
    return serve(&settings);
}
