/* Finds the setting that was probably meant by a wrong name, and shows values without their secrets. */
#include "base/settings_names.h"

#include <ctype.h>
#include <stdio.h>

#include "inferonce/base/error.h"

const char *settings_shown(struct bytes value, struct shown *shown) {
    size_t length = value.length < SHOWN_VALUE_MAX ? value.length : SHOWN_VALUE_MAX;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)value.data[i];
        shown->text[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    memcpy(shown->text + length, value.length > length ? "..." : "", value.length > length ? 4 : 1);
    return shown->text;
}

/* A password in a URL that must have none. */
static bool has_credentials(struct bytes value) {
    return value.length > 0 && memmem(value.data, value.length, "://", 3) &&
           memchr(value.data, '@', value.length);
}

const char *settings_shown_value(const struct setting *row, struct bytes value, struct shown *shown) {
    char text[SETTING_TEXT_MAX];
    if (row->kind == SETTING_SECRET)
        return "***";
    if (row->kind != SETTING_URL && !has_credentials(value))
        return settings_shown(value, shown);
    setting_hide_password(value, text);
    return settings_shown(bytes_of(text), shown);
}

struct bytes settings_table_name(struct bytes name, char text[SETTING_NAME_MAX]) {
    size_t length = name.length < SETTING_NAME_MAX ? name.length : SETTING_NAME_MAX;
    for (size_t i = 0; i < length; i++)
        text[i] = name.data[i] == '-' ? '_' : (char)toupper((unsigned char)name.data[i]);
    return (struct bytes){text, length};
}

/* Levenshtein's distance. */
static size_t edit_distance(struct bytes a, const char *b) {
    size_t length = strlen(b);
    size_t row[SETTING_NAME_MAX + 1];
    INVARIANT(length <= SETTING_NAME_MAX);
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.length; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t best = diagonal + (a.data[i - 1] != b[j - 1]);
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[length];
}

struct near_miss near_miss_of(struct bytes name) {
    size_t allowed = (name.length + 2) / 3; /* letters that may differ */
    return (struct near_miss){name, allowed < 3 ? allowed + 1 : 4, NULL};
}

void near_miss_try(struct near_miss *miss, const char *candidate) {
    size_t distance = edit_distance(miss->name, candidate);
    if (distance < miss->least) {
        miss->least = distance;
        miss->nearest = candidate;
    }
}

void near_miss_try_settings(struct near_miss *miss) {
    for (size_t i = 0; i < SETTING_ROWS_COUNT; i++)
        if (SETTING_ROWS[i].kind != SETTING_GROUP)
            near_miss_try(miss, SETTING_ROWS[i].name);
}

/* The variables that Kubernetes gives every container for a service that may well be called "cache" or
 * "inferonce". */
static bool is_service_link(struct bytes name) {
    static const struct bytes PARTS[] = {LITERAL("_SERVICE_"), LITERAL("_PORT")};
    for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]); i++)
        if (memmem(name.data, name.length, PARTS[i].data, PARTS[i].length))
            return true;
    return false;
}

/* The environment is full of names that others chose, so that less may differ than in a file of ours: two
 * letters, and in a short name one. REDIS_, MODEL_, LISTEN_ and LOG_ are others' beginnings, too. */
bool settings_look_like_ours(struct bytes variable, const char **meant) {
    static const struct bytes OURS[] = {LITERAL("CACHE_"), LITERAL("UPSTREAM_"), LITERAL("INFERENCE_"),
                                        LITERAL("INFERONCE_")};
    char text[SETTING_NAME_MAX];
    struct bytes name = settings_table_name(variable, text);
    struct near_miss miss = near_miss_of(name);
    *meant = NULL;
    if (variable.length > SETTING_NAME_MAX || is_service_link(name))
        return false;
    near_miss_try_settings(&miss);
    if (miss.nearest && miss.least <= (name.length < 8 ? 1 : 2)) {
        *meant = miss.nearest;
        return true;
    }
    for (size_t i = 0; i < sizeof(OURS) / sizeof(OURS[0]); i++)
        if (variable.length > OURS[i].length && memcmp(variable.data, OURS[i].data, OURS[i].length) == 0)
            return true;
    return false;
}
