/* Writes the title over the arguments, as the kernel allows it: /proc/PID/cmdline is that memory, read when
 * somebody asks. */
#include "inferonce/process/title.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static char *area; /* NULL: there is none */
static size_t area_length;
static char **arguments, **environment; /* the copies, so that they are never lost sight of */

static size_t count(char *const *strings) {
    size_t n = 0;
    while (strings[n])
        n++;
    return n;
}

/* In one piece, which stays whole when a variable is taken out. NULL: no memory. */
static char **copy(char *const *strings, size_t n) {
    size_t length = 0;
    for (size_t i = 0; i < n; i++)
        length += strlen(strings[i]) + 1;
    char **copies = calloc(1, (n + 1) * sizeof(*copies) + length);
    char *to = copies ? (char *)(copies + n + 1) : NULL;
    for (size_t i = 0; copies && i < n; i++) {
        copies[i] = to;
        to = stpcpy(to, strings[i]) + 1;
    }
    return copies;
}

/* The end of the strings that lie behind `end` without a gap. */
static char *extend(char *end, char *const *strings) {
    for (; *strings && *strings == end; strings++)
        end += strlen(*strings) + 1;
    return end;
}

char **title_take(int argc, char **argv) {
    static char name[] = "inferonce";
    arguments = copy(argv, (size_t)argc);
    environment = copy(environ, count(environ));
    if (!arguments || !environment || argc == 0) {
        free(arguments);
        free(environment);
        arguments = environment = NULL;
        return argv;
    }
    area = argv[0];
    area_length = (size_t)(extend(extend(argv[0], argv), environ) - area);
    environ = environment;
    program_invocation_name = program_invocation_short_name = name;
    return arguments;
}

void title_set(const char *format, ...) {
    va_list values;
    if (!area)
        return;
    memset(area, 0, area_length);
    va_start(values, format);
    vsnprintf(area, area_length, format, values);
    va_end(values);
}
