/* Signals: which are ignored, which are logged, which the master reads. */
#include "inferonce/process/signals.h"

#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>

#include "inferonce/base/log.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* signal(7): those whose default ends the process, beside those of the other lists and the real-time ones. */
static const int IGNORED[] = {SIGHUP,  SIGUSR1, SIGUSR2, SIGALRM,   SIGPIPE, SIGVTALRM,
                              SIGPROF, SIGIO,   SIGPWR,  SIGSTKFLT, SIGXFSZ};

static const int FATAL[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGXCPU};

static const int READ_BY_MASTER[] = {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGALRM};

/* The default action follows, with its core file: the handler is gone by then. */
static void on_fatal(int number) {
    log_crash(number);
    raise(number);
}

static void log_fatal(int number) {
    struct sigaction found;
    if (sigaction(number, NULL, &found) != 0 || found.sa_handler != SIG_DFL)
        return;
    struct sigaction action = {.sa_handler = on_fatal, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
    sigaction(number, &action, NULL);
}

/* One that is ignored already is left so: to ignore it again would discard one that is pending, which the
 * image before had blocked. */
static void ignore_one(int number) {
    struct sigaction found;
    if (sigaction(number, NULL, &found) != 0 || found.sa_handler != SIG_IGN)
        signal(number, SIG_IGN);
}

static void ignore(void) {
    for (size_t i = 0; i < COUNT(IGNORED); i++)
        ignore_one(IGNORED[i]);
    for (int number = SIGRTMIN; number <= SIGRTMAX; number++)
        ignore_one(number);
}

static void let_in_all(void) {
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void signals_setup_again(void) {
    ignore();
    for (size_t i = 0; i < COUNT(FATAL); i++)
        log_fatal(FATAL[i]);
    signal(SIGCHLD, SIG_DFL);
}

void signals_setup(void) {
    signals_setup_again();
    let_in_all();
}

int signals_open(void) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < COUNT(READ_BY_MASTER); i++)
        sigaddset(&set, READ_BY_MASTER[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

void signals_setup_worker(void) {
    ignore();
    signal(SIGINT, SIG_IGN);
    signal(SIGQUIT, SIG_IGN);
    let_in_all();
}
