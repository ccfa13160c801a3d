/* Executes the program anew after its configuration was checked. */
#include "process/reload.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inferonce/base/log.h"
#include "inferonce/process/handover.h"
#include "process/handover_write.h"
#include "process/notify.h"

/* A check reads a few files. */
#define CHECK_MAX_US UINT64_C(10000000)

/* A checker's words that are read. */
#define WORDS_MAX 4096

#define CHECK_FLAG "--check-config"

/* The program's path as it was started: absolute, since the directory may change, and unresolved, since a
 * symbolic link may lead to another version by then. /proc/self/exe would be the old file. */
static const char *path_of(const char *name) {
    static char path[PATH_MAX];
    const char *directories = getenv("PATH");
    if (name[0] == '/')
        return name;
    if (strchr(name, '/')) {
        char directory[PATH_MAX];
        int length = getcwd(directory, sizeof(directory))
                         ? snprintf(path, sizeof(path), "%s/%s", directory, name)
                         : -1;
        return length > 0 && (size_t)length < sizeof(path) ? path : NULL;
    }
    while (directories && *directories) {
        size_t length = strcspn(directories, ":");
        int written = snprintf(path, sizeof(path), "%.*s/%s", (int)length, directories, name);
        if (written > 0 && (size_t)written < sizeof(path) && access(path, X_OK) == 0)
            return path;
        directories += length + (directories[length] == ':');
    }
    return NULL;
}

void reload_init(struct reload *reload, size_t n_arguments, char *const *arguments) {
    *reload =
        (struct reload){.program = path_of(arguments[0]), .n_arguments = n_arguments, .arguments = arguments};
}

void reload_want(struct reload *reload) {
    reload->wanted = true;
}

/* ---- the check ---- */

static void refuse(struct crew *crew, const char *why) {
    shared_count_reload(crew->shared, false);
    LOG_ALWAYS(LOG_ERROR, "reload_refused", LOG_TEXT("reason", why));
    notify_not_reloaded(why);
}

/* In the child. Standard error is the pipe: the master's line says what was found wrong. */
static _Noreturn void check(const struct reload *reload, pid_t parent, int words) {
    size_t n = reload->n_arguments;
    char **arguments = calloc(n + 2, sizeof(*arguments));
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!arguments || getppid() != parent || dup2(words, STDERR_FILENO) < 0)
        _exit(EXIT_FAILURE);
    memcpy(arguments, reload->arguments, n * sizeof(*arguments));
    arguments[n] = (char[]){CHECK_FLAG};
    execv(reload->program, arguments);
    _exit(127);
}

static void begin_check(struct reload *reload, struct crew *crew) {
    pid_t parent = getpid();
    reload->wanted = false;
    if (!reload->program) {
        refuse(crew, "the program was started by a name that cannot be found");
        return;
    }
    int words[2];
    if (pipe2(words, O_CLOEXEC | O_NONBLOCK) != 0) {
        refuse(crew, strerror(errno));
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        check(reload, parent, words[1]);
    int why = errno;
    close(words[1]);
    if (pid < 0) {
        close(words[0]);
        refuse(crew, strerror(why));
        return;
    }
    reload->words = words[0];
    reload->checker = pid;
    reload->check_until_us = clock_monotonic_us(&crew->clock) + CHECK_MAX_US;
}

void reload_tend(struct reload *reload, struct crew *crew) {
    if (reload->checker != 0) {
        if (clock_monotonic_us(&crew->clock) >= reload->check_until_us)
            kill(reload->checker, SIGKILL);
    } else if (reload->wanted && crew_may_reload(crew)) {
        begin_check(reload, crew);
    }
}

/* ---- the execution ---- */

static void execute(struct reload *reload, struct crew *crew) {
    struct error error;
    char number[16];
    crew_end_unready(crew);
    int descriptor = handover_write(crew, &error);
    if (descriptor < 0) {
        refuse(crew, error.text);
        return;
    }
    LOG_ALWAYS(LOG_INFO, "reloading", LOG_TEXT("program", reload->program));
    snprintf(number, sizeof(number), "%d", descriptor);
    handover_keep(crew, true);
    notify_reloading(clock_monotonic_us(&crew->clock));
    if (setenv(HANDOVER_VARIABLE, number, 1) == 0)
        execv(reload->program, reload->arguments);
    int why = errno;
    unsetenv(HANDOVER_VARIABLE);
    handover_keep(crew, false);
    close(descriptor);
    refuse(crew, strerror(why));
}

/* A worker may have died during the check: its successor comes first, and then another check. */
static void execute_if_settled(struct reload *reload, struct crew *crew) {
    if (crew_may_reload(crew))
        execute(reload, crew);
    else
        reload_want(reload);
}

/* Makes the checker's last line, without the program's name before it, the reason. */
static void refuse_as_told(struct crew *crew, char *said) {
    static const char NAME[] = "inferonce: ";
    size_t length = strlen(said);
    while (length > 0 && said[length - 1] == '\n')
        said[--length] = '\0';
    char *line = strrchr(said, '\n');
    line = line ? line + 1 : said;
    if (strncmp(line, NAME, sizeof(NAME) - 1) == 0)
        line += sizeof(NAME) - 1;
    refuse(crew, line[0] ? line : "the configuration is wrong");
}

bool reload_ended(struct reload *reload, struct crew *crew, pid_t pid, int status) {
    if (reload->checker == 0 || pid != reload->checker)
        return false;
    char said[WORDS_MAX + 1];
    ssize_t n = read(reload->words, said, WORDS_MAX);
    said[n > 0 ? n : 0] = '\0';
    close(reload->words);
    reload->checker = 0;
    if (crew->stopping)
        return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        execute_if_settled(reload, crew);
    else if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        refuse(crew, "the program cannot be executed");
    else if (WIFEXITED(status))
        refuse_as_told(crew, said);
    else
        refuse(crew, "the check was killed, or took too long");
    return true;
}
