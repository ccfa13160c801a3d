/* Names that were probably meant, and values as an error may show them: for the parts of settings.c. */
#ifndef INFERONCE_BASE_SETTINGS_NAMES_H
#define INFERONCE_BASE_SETTINGS_NAMES_H

#include <stdbool.h>

#include "base/settings_table.h"
#include "inferonce/base/buffer.h"

/* An error shows this much of a value that is wrong, and three dots. */
#define SHOWN_VALUE_MAX 64

struct shown {
    char text[SHOWN_VALUE_MAX + 4];
};

/* Makes what came from outside fit for one line of an error. `shown` holds the result, which is returned. */
const char *settings_shown(struct bytes value, struct shown *shown);

/* The same for the value of a setting: no part of it that is a secret. */
const char *settings_shown_value(const struct setting *row, struct bytes value, struct shown *shown);

/* Writes a name in the manner of the table: cache-ttl -> CACHE_TTL. Cut to fit; `text` holds the result. */
struct bytes settings_table_name(struct bytes name, char text[SETTING_NAME_MAX]);

/* The name that differs from `name` in the fewest letters. */
struct near_miss {
    struct bytes name; /* borrowed */
    size_t least;      /* letters in which the nearest differs, or one more than may differ */
    const char *nearest;
};

struct near_miss near_miss_of(struct bytes name);
void near_miss_try(struct near_miss *miss, const char *candidate);
void near_miss_try_settings(struct near_miss *miss);

/* Whether a variable of this name, which is none of ours, was probably meant for us: it differs from one of
 * ours by a slip, or begins as only ours do. `meant` is the setting that is near, or NULL. */
bool settings_look_like_ours(struct bytes variable, const char **meant);

#endif
