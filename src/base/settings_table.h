/* The rows of SETTINGS as data: for settings.c, which reads values, and settings_print.c and settings_man.c,
 * which show them.
 */
#ifndef INFERONCE_BASE_SETTINGS_TABLE_H
#define INFERONCE_BASE_SETTINGS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "inferonce/base/buffer.h"
#include "inferonce/base/error.h"
#include "inferonce/base/settings.h"

#define SETTING_NAME_MAX 64

enum setting_kind {
    SETTING_GROUP, /* not a setting: `name` is the title of those that follow */
    SETTING_TEXT,
    SETTING_SECRET,
    SETTING_URL,
    SETTING_NUMBER,
    SETTING_SECONDS,
    SETTING_MODE,
    SETTING_CHOICE
};

/* Numbers are kept as they were written in the table, because that is how they are shown. */
struct setting {
    enum setting_kind kind;
    const char *name;
    const char *preset; /* the default */
    const char *lowest;
    const char *highest;
    const char *unit;
    const char *choices;
    const char *(*check)(struct bytes text); /* what was expected; NULL when the text is right */
    const char *help;
    size_t offset; /* in struct settings */
};

enum {
#define SETTING_COUNT_ROW(...) +1
    SETTING_ROWS_COUNT =
        0 SETTINGS(SETTING_COUNT_ROW, SETTING_COUNT_ROW, SETTING_COUNT_ROW, SETTING_COUNT_ROW,
                   SETTING_COUNT_ROW, SETTING_COUNT_ROW, SETTING_COUNT_ROW, SETTING_COUNT_ROW)
#undef SETTING_COUNT_ROW
};

extern const struct setting SETTING_ROWS[SETTING_ROWS_COUNT];

/* The placeholder of the value in help and manual: "SECONDS", "a|b|c". */
const char *setting_placeholder(const struct setting *row);

/* The row of that very name; NULL when there is none. */
const struct setting *setting_find(struct bytes name);

/* Sets the row's field from text. False: the field is untouched, `expected` says what is allowed. */
bool setting_set(const struct setting *row, struct settings *settings, struct bytes value,
                 struct error *expected) MUST_CHECK;

/* The field as text that setting_set reads. */
void setting_get(const struct setting *row, const struct settings *settings, char text[SETTING_TEXT_MAX]);

/* Copies a URL, right or wrong, with *** in place of what is, or may be meant as, a password; cut to fit.
 * Whether there was one. */
bool setting_hide_password(struct bytes url, char text[SETTING_TEXT_MAX]);

/* CACHE_TTL -> cache-ttl, as it stands in a flag. */
void setting_flag(const char *name, char flag[SETTING_NAME_MAX]);

#endif
