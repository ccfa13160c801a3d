/* Reads the settings from defaults, file, environment and flags, in the order in which they beat each other.
 */
#include "inferonce/base/settings.h"

#include <stdio.h>
#include <string.h>

#include "base/settings_loading.h"
#include "base/settings_names.h"

/* Flags that are no settings; named as settings are, so that one search for a near miss serves both. */
struct control {
    const char *name;
    bool takes_value;
    enum settings_request request;
};

static const struct control CONTROLS[] = {
    {"CONFIG", true, SETTINGS_SERVE},         {"HELP", false, SETTINGS_HELP},
    {"VERSION", false, SETTINGS_VERSION},     {"CHECK_CONFIG", false, SETTINGS_CHECK},
    {"RELOAD", false, SETTINGS_RELOAD},       {"PRINT_CONFIG", false, SETTINGS_PRINT_CONFIG},
    {"PRINT_SAMPLE", false, SETTINGS_SAMPLE}, {"PRINT_MARKDOWN", false, SETTINGS_MARKDOWN},
    {"PRINT_MAN", false, SETTINGS_MAN},
};

#define CONTROLS_COUNT (sizeof(CONTROLS) / sizeof(CONTROLS[0]))

bool settings_name_model(const struct settings *settings) {
    return strcmp(settings->model_name, settings->upstream_url) != 0;
}

void settings_defaults(struct settings *settings) {
    struct error error = {""};
    for (size_t i = 0; i < SETTING_ROWS_COUNT; i++) {
        const struct setting *row = &SETTING_ROWS[i];
        bool valid = row->kind == SETTING_GROUP || setting_set(row, settings, bytes_of(row->preset), &error);
        INVARIANT(valid);
    }
}

/* ---- the environment ---- */

/* An empty variable is one that somebody could not leave out: the default counts, also against the file. */
static void apply_default(struct settings_loading *loading, const struct setting *row) {
    struct error error;
    bool valid = setting_set(row, &loading->settings, bytes_of(row->preset), &error);
    INVARIANT(valid);
    loading->given[row - SETTING_ROWS] = false;
}

static void warn_of_variable(struct settings_loading *loading, struct bytes name) {
    struct shown shown;
    const char *meant;
    if (!settings_look_like_ours(name, &meant))
        return;
    settings_warn(loading->warnings, "environment: %s: no such setting%s%s%s", settings_shown(name, &shown),
                  meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
}

static bool apply_environment(struct settings_loading *loading, char *const environment[],
                              struct error *error) {
    for (; *environment; environment++) {
        const char *equals = strchr(*environment, '=');
        if (!equals)
            continue;
        struct bytes name = {*environment, (size_t)(equals - *environment)};
        const struct setting *row = setting_find(name);
        if (!row)
            warn_of_variable(loading, name);
        else if (equals[1] == '\0')
            apply_default(loading, row);
        else if (!settings_apply(loading, row, bytes_of(equals + 1), "environment: ", row->name, error))
            return false;
    }
    return true;
}

/* ---- the flags ---- */

struct flag {
    const struct setting *row; /* or */
    const struct control *control;
    const char *value; /* NULL for a control that takes none */
};

static const struct control *find_control(struct bytes name) {
    for (size_t i = 0; i < CONTROLS_COUNT; i++)
        if (bytes_equal(bytes_of(CONTROLS[i].name), name))
            return &CONTROLS[i];
    return NULL;
}

static bool unknown_flag(struct bytes name, struct error *error) {
    struct shown shown;
    char text[SETTING_NAME_MAX];
    char flag[SETTING_NAME_MAX];
    struct near_miss miss = near_miss_of(settings_table_name(name, text));
    near_miss_try_settings(&miss);
    for (size_t i = 0; i < CONTROLS_COUNT; i++)
        near_miss_try(&miss, CONTROLS[i].name);
    if (miss.nearest)
        setting_flag(miss.nearest, flag);
    error_set(error, "--%s: no such flag%s%s%s", settings_shown(name, &shown),
              miss.nearest ? "; did you mean --" : "", miss.nearest ? flag : "",
              miss.nearest ? "?" : " (--help lists them)");
    return false;
}

/* Only --cache-ttl is a flag; --CACHE_TTL is a near miss. */
static bool is_flag_name(struct bytes name) {
    for (size_t i = 0; i < name.length; i++)
        if (name.data[i] != '-' && !(name.data[i] >= 'a' && name.data[i] <= 'z'))
            return false;
    return name.length < SETTING_NAME_MAX;
}

/* -h, -V and -t, which everybody tries. */
static const char *long_form(const char *argument) {
    if (strcmp(argument, "-h") == 0)
        return "--help";
    if (strcmp(argument, "-t") == 0)
        return "--check-config";
    return strcmp(argument, "-V") == 0 ? "--version" : argument;
}

/* Reads the flag at argv[*at] and moves on behind it and its value. */
static bool next_flag(int argc, char *const argv[], int *at, struct flag *flag, struct error *error) {
    const char *argument = long_form(argv[(*at)++]);
    struct shown shown;
    if (strncmp(argument, "--", 2) != 0 || argument[2] == '\0') {
        error_set(error, "%s: unexpected; settings are given as --name=value (--help lists them)",
                  settings_shown(bytes_of(argument), &shown));
        return false;
    }
    struct bytes name = {argument + 2, strcspn(argument + 2, "=")};
    const char *value = name.data[name.length] == '=' ? name.data + name.length + 1 : NULL;
    char upper[SETTING_NAME_MAX];
    struct bytes known = settings_table_name(name, upper);
    bool possible = is_flag_name(name);
    *flag =
        (struct flag){possible ? setting_find(known) : NULL, possible ? find_control(known) : NULL, value};
    if (!flag->row && !flag->control)
        return unknown_flag(name, error);
    if (flag->control && !flag->control->takes_value) {
        if (value)
            error_set(error, "--%.*s: takes no value", (int)name.length, name.data);
        return !value;
    }
    if (!value && *at < argc)
        flag->value = argv[(*at)++];
    if (!flag->value)
        error_set(error, "--%.*s: needs a value", (int)name.length, name.data);
    return flag->value != NULL;
}

static bool is_answered_at_once(enum settings_request request) {
    return request == SETTINGS_HELP || request == SETTINGS_VERSION || request == SETTINGS_SAMPLE ||
           request == SETTINGS_MARKDOWN || request == SETTINGS_MAN;
}

/* Reads the request and the files, which everything else overrides. */
static bool apply_controls(struct settings_loading *loading, int argc, char *const argv[],
                           enum settings_request *request, struct error *error) {
    struct flag flag;
    for (int at = 1; at < argc;) {
        if (!next_flag(argc, argv, &at, &flag, error))
            return false;
        if (!flag.control)
            continue;
        if (flag.control->takes_value) {
            if (!settings_apply_file(loading, flag.value, error))
                return false;
            continue;
        }
        *request = flag.control->request;
        if (is_answered_at_once(*request))
            return true;
    }
    return true;
}

static bool apply_flags(struct settings_loading *loading, int argc, char *const argv[], struct error *error) {
    struct flag flag;
    for (int at = 1; at < argc;) {
        if (!next_flag(argc, argv, &at, &flag, error))
            return false;
        if (!flag.row)
            continue;
        char name[SETTING_NAME_MAX];
        char given[SETTING_NAME_MAX + 2];
        setting_flag(flag.row->name, name);
        snprintf(given, sizeof(given), "--%s", name);
        if (!settings_apply(loading, flag.row, bytes_of(flag.value), "", given, error))
            return false;
    }
    return true;
}

bool settings_load(struct settings *settings, int argc, char *const argv[], char *const environment[],
                   enum settings_request *request, struct settings_warnings *warnings, struct error *error) {
    struct settings_loading loading = {.warnings = warnings};
    enum settings_request asked = SETTINGS_SERVE;
    warnings->n = 0;
    settings_defaults(&loading.settings);
    if (!apply_controls(&loading, argc, argv, &asked, error))
        return false;
    if (!is_answered_at_once(asked)) {
        if (!apply_environment(&loading, environment, error) || !apply_flags(&loading, argc, argv, error) ||
            !settings_settle(&loading, error))
            return false;
        *settings = loading.settings;
    }
    *request = asked;
    return true;
}
