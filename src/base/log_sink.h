/* The sink of log lines: a descriptor that is written without waiting for whoever reads it. One for a
 * process; a forked process writes to its parent's. */
#ifndef INFERONCE_BASE_LOG_SINK_H
#define INFERONCE_BASE_LOG_SINK_H

#include <stdbool.h>
#include <stddef.h>

/* Lines go to `descriptor` from now on, which is borrowed. Its flags stay as they are, because they belong to
 * all processes that share it, a shell for example: a pipe or a terminal is opened once more, to be written
 * without waiting. Where that is not allowed, each line asks first whether there is room. */
void log_sink_open(int descriptor);

/* Writes a line of at most PIPE_BUF - 1 bytes that ends with a newline. False: it was not taken whole, and is
 * lost; the next line that is taken begins on a line of its own. Neither blocks nor locks, unless the
 * descriptor is a file on a disk. */
bool log_sink_write(const char *line, size_t length);

#endif
