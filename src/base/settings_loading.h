/* Settings on their way from where they are given into the struct: for the parts of settings.c. */
#ifndef INFERONCE_BASE_SETTINGS_LOADING_H
#define INFERONCE_BASE_SETTINGS_LOADING_H

#include <stdbool.h>

#include "base/settings_table.h"
#include "inferonce/base/buffer.h"
#include "inferonce/base/settings.h"

/* Settings that count only beside a certain value of another one. Whether a wrong value among them is fatal
 * is known only when everything was read. */
#define SETTING_USES 7

struct settings_loading {
    struct settings settings;
    bool given[SETTING_ROWS_COUNT];    /* its value is not only the default */
    struct error faults[SETTING_USES]; /* the first wrong value of each use; empty: none */
    struct settings_warnings *warnings;
};

/* Sets a row from a value that was given. `where` is "inferonce.conf:3: ", "environment: " or ""; `name` is
 * the setting's name as it was given. False: the value is wrong and this is known to matter. */
bool settings_apply(struct settings_loading *loading, const struct setting *row, struct bytes value,
                    const char *where, const char *name, struct error *error) MUST_CHECK;

/* Reads the --config file. */
bool settings_apply_file(struct settings_loading *loading, const char *path, struct error *error) MUST_CHECK;

/* Decides what depends on other settings, when all were read; warns of what is probably not meant. */
bool settings_settle(struct settings_loading *loading, struct error *error) MUST_CHECK;

void settings_warn(struct settings_warnings *warnings, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
