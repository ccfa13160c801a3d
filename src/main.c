/* inferonce: flags, settings, set-up order, exit codes.
 *
 *   0  stopped as it was told to; or --help, --version, --print-... was done
 *   1  could not start, or could not go on; or requests were left unanswered as it stopped, after DRAIN_TIMEOUT
 *      or a second signal: the log line `stopped` says how many, as `unfinished`
 *   2  wrong settings: nothing was started */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inferonce/base/cgroup.h"
#include "inferonce/base/descriptors.h"
#include "inferonce/base/log.h"
#include "inferonce/base/settings.h"
#include "inferonce/base/shared_file.h"
#include "inferonce/engine/engine.h"
#include "inferonce/process/handover.h"
#include "inferonce/process/listener.h"
#include "inferonce/process/mapping.h"
#include "inferonce/process/master.h"
#include "inferonce/process/signals.h"
#include "inferonce/process/title.h"
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
    case SETTINGS_MAN:
        settings_print_man(stdout);
        break;
    case SETTINGS_SERVE:
    case SETTINGS_CHECK:
    case SETTINGS_RELOAD:
        break;
    }
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* As it was started, or from the image before. Without what that one left the old workers cannot be told
 * apart from others: they drain as soon as this process has ended. */
static bool take_listener(struct listener *listener, const struct settings *settings,
                          const struct handover *handover) {
    struct error error;
    if (!handover->given) {
        if (listener_open(listener, settings, &error))
            return true;
        LOG(LOG_ERROR, "cannot_listen", LOG_TEXT("error", error.text));
        return false;
    }
    if (handover->listener.descriptor < 0) {
        LOG(LOG_ERROR, "cannot_start", LOG_TEXT("error", "what the image before handed over cannot be read"));
        return false;
    }
    if (!listener_take(listener, &handover->listener, handover->listen, settings, &error))
        LOG(LOG_ERROR, "cannot_listen", LOG_TEXT("error", error.text), LOG_TEXT("kept", handover->listen));
    return true;
}

static bool take_mapping(struct shared *shared, const struct settings *settings,
                         const struct listener *listener, const struct handover *handover, bool *same) {
    unsigned workers = master_workers(settings);
    struct error error;
    bool taken = handover->given ? mapping_take(shared, settings, listener, handover, workers, same, &error)
                                 : mapping_make(shared, settings, listener, workers, &error);
    if (!taken)
        LOG(LOG_ERROR, "cannot_start", LOG_TEXT("error", error.text));
    return taken;
}

static int serve(const struct settings *settings, size_t n_arguments, char *const *arguments,
                 const struct handover *handover) {
    struct listener listener;
    struct shared shared;
    bool same = false;
    if (!take_listener(&listener, settings, handover))
        return EXIT_FAILED;
    if (!take_mapping(&shared, settings, &listener, handover, &same)) {
        listener_close(&listener);
        return EXIT_FAILED;
    }
    const struct master_options options = {.settings = settings,
                                           .shared = &shared,
                                           .listener = &listener,
                                           .n_arguments = n_arguments,
                                           .arguments = arguments,
                                           .handover = handover,
                                           .same_mapping = same};
    int status = master_run(&options);
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

static int check_is_done(const struct settings_warnings *warnings) {
    for (size_t i = 0; i < warnings->n; i++)
        fprintf(stderr, "inferonce: %s\n", warnings->lines[i].text);
    return EXIT_DONE;
}

/* The master holds the lock beside its socket. */
static int ask_to_reload(const struct settings *settings) {
    struct error error;
    pid_t master = socket_lock_holder(settings->listen, &error);
    if (master > 0 && kill(master, SIGHUP) == 0) {
        printf("inferonce: told the process %d to reload\n", (int)master);
        return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
    }
    if (master > 0)
        error_set_errno(&error, errno, "cannot signal the process %d", (int)master);
    fprintf(stderr, "inferonce: %s\n", error.text);
    return EXIT_FAILED;
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
    static struct handover handover;
    enum settings_request request;
    struct cgroup_limits limits;
    struct error error;
    argv = title_take(argc, argv);
    if (!open_standard_descriptors())
        return EXIT_FAILED;
    handover_read(&handover);
    if (handover.given)
        signals_setup_again();
    else
        signals_setup();
    if (!settings_load(&settings, argc, argv, environ, &request, &warnings, &error))
        return refuse(&error);
    if (request == SETTINGS_RELOAD)
        return ask_to_reload(&settings);
    if (request != SETTINGS_SERVE && request != SETTINGS_CHECK)
        return print_with_warnings(request, &settings, &warnings);
    cgroup_read("", &limits);
    if (!engine_check(&settings, &error) || !shared_file_check(settings.cache_path, &error) ||
        !cgroup_memory_suffices(&limits, &settings, &error))
        return refuse(&error);
    bool enough = descriptors_suffice(&settings, master_workers(&settings), &error);
    if (request == SETTINGS_CHECK)
        return enough ? check_is_done(&warnings) : refuse(&error);
    log_setup((enum log_level)settings.log_level, (enum log_format)settings.log_format, STDERR_FILENO);
    warn(&warnings);
    if (!enough) {
        LOG(LOG_ERROR, "cannot_start", LOG_TEXT("error", error.text));
        return EXIT_FAILED;
    }
    if (settings.engine == SETTINGS_ENGINE_HTTP && !settings_name_model(&settings))
        LOG_ALWAYS(LOG_INFO, "model_name_not_set", LOG_TEXT("name_in_keys", "UPSTREAM_URL"));
    return serve(&settings, (size_t)argc, argv, &handover);
}
