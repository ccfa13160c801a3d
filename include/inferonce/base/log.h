/* One line an event on standard error, in logfmt or JSON.
 *
 * Levels: ERROR somebody must act; WARN degraded, goes on; INFO the life of the process; DEBUG for
 * developers. A text, a result or a token is never a field: log the key. Values are escaped, so that what
 * came from outside can neither begin a line nor add a field.
 *
 * The same event is written at most LOG_BURST times in a second; the next line of it that is written says
 * `suppressed=n`. LOG_ALWAYS writes without that limit. The sink is the one thing besides signal flags that
 * is static to a file. */
#ifndef INFERONCE_BASE_LOG_H
#define INFERONCE_BASE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "inferonce/base/clock.h"
#include "inferonce/base/stats.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_LOGFMT, LOG_JSON };

#define LOG_BURST 10

struct log_field {
    const char *name;
    const char *text; /* NULL: `number` */
    int64_t number;
};

/* A function and not a bare initialiser, so that an array, whose address is never NULL, may be given. */
static inline struct log_field log_text(const char *name, const char *text) {
    return (struct log_field){.name = name, .text = text ? text : ""};
}

#define LOG_TEXT(name_, text_)     log_text((name_), (text_))
#define LOG_NUMBER(name_, number_) ((struct log_field){.name = (name_), .number = (int64_t)(number_)})

/* The fields of one line and their number, as the two arguments that follow an event. */
#define LOG_FIELDS(...)                                        \
    (const struct log_field[]){{.name = NULL}, ##__VA_ARGS__}, \
        sizeof((const struct log_field[]){{.name = NULL}, ##__VA_ARGS__}) / sizeof(struct log_field)

/* LOG(LOG_WARN, "store_down", LOG_TEXT("server", name), LOG_NUMBER("errors", n)); the event is a literal, a
 * token of [a-z0-9_]. */
#define LOG(level, event, ...) log_write((level), (event), LOG_FIELDS(__VA_ARGS__))

/* As LOG, for the life of the processes: a pool of 64 workers that starts is not a storm to be damped. */
#define LOG_ALWAYS(level, event, ...) log_write_always((level), (event), LOG_FIELDS(__VA_ARGS__))

/* Says what is written from now on, by this process and those forked from it; `descriptor` is borrowed
 * (base/log_sink.h). */
void log_setup(enum log_level level, enum log_format format, int descriptor);

/* Names the writer of the lines that follow: "master", "worker"; a slot below 0 is left out. `role` is
 * borrowed for good: a literal. */
void log_set_role(const char *role, int slot);

/* The clock of the lines' times and of LOG_BURST, borrowed; NULL, as at first: the system's. */
void log_set_clock(const struct clock *clock);

/* Counts the lines that are lost; borrowed; NULL, as at first: nowhere. */
void log_set_stats(struct stats *stats);

/* Fields without a name are passed over. A line is at most 2 KB: what does not fit is left out, and the line
 * ends with `cut=true`. Does not wait for whoever reads: a line that a full pipe, socket or terminal does not
 * take whole is lost, and the next one that is written says `lost=n`. Leaves errno alone. */
void log_write(enum log_level level, const char *event, const struct log_field *fields, size_t n);
void log_write_always(enum log_level level, const char *event, const struct log_field *fields, size_t n);

/* The line `crashed`, without a time, for the handler of a signal that ends this process: takes no lock. */
void log_crash(int number);

#endif
