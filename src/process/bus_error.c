/* Logs why a process ends when its mapped file was cut short. */
#include "inferonce/process/bus_error.h"

#include <signal.h>

#include "inferonce/base/log.h"

/* Raised by our own access to the mapping, not within the C library, so that the log may be written. */
static void on_bus_error(int number, siginfo_t *info, void *context) {
    (void)context;
    if (info->si_code == BUS_ADRERR)
        LOG_ALWAYS(LOG_ERROR, "shared_memory_lost",
                   LOG_TEXT("reason",
                            "the file of CACHE_PATH was cut short while it was in use, or its disk "
                            "fails; start again: it is then made anew"));
    log_crash(number);
    raise(number); /* the default action follows, with its core file */
}

void bus_error_setup(void) {
    struct sigaction action = {.sa_sigaction = on_bus_error,
                               .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND | SA_NODEFER)};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGBUS, &action, NULL);
}
