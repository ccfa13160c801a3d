/* Composes the text of an error. */
#include "inferonce/base/error.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void error_set(struct error *error, const char *format, ...) {
    if (!error)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
}

void error_set_errno(struct error *error, int errno_value, const char *format, ...) {
    if (!error)
        return;
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);

    /* The reason is what helps; of a long message the end gives way to it. */
    char reason[128];
    const char *name = strerrordesc_np(errno_value);
    if (name)
        snprintf(reason, sizeof(reason), ": %s", name);
    else
        snprintf(reason, sizeof(reason), ": error %d", errno_value);
    size_t length = wanted < 0 ? 0 : (size_t)wanted;
    size_t most = sizeof(error->text) - 1 - strlen(reason);
    if (length > most)
        length = most;
    memcpy(error->text + length, reason, strlen(reason) + 1);
}

_Noreturn void invariant_failed(const char *condition, const char *file, int line) {
    /* Straight to standard error, unless nobody reads it: the log may be what is broken. */
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&room, 1, 0) == 1 && (room.revents & POLLOUT))
        fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, condition);
    abort();
}
