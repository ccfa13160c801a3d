#include "inferonce/base/settings.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "inferonce/base/buffer.h"
#include "inferonce/base/settings_table.h"

#define FILE_MAX_BYTES (1024 * 1024)

/* Of a value that is wrong an error shows this much. */
#define SHOWN_VALUE_MAX 64

/* Flags that are no settings; named as settings are, so that one search for a near miss serves both. */
struct control {
    const char *name;
    bool takes_value;
    enum settings_request request;
};

static const struct control CONTROLS[] = {
    {"CONFIG", true, SETTINGS_SERVE},         {"HELP", false, SETTINGS_HELP},
    {"VERSION", false, SETTINGS_VERSION},     {"PRINT_CONFIG", false, SETTINGS_PRINT_CONFIG},
    {"PRINT_SAMPLE", false, SETTINGS_SAMPLE}, {"PRINT_MARKDOWN", false, SETTINGS_MARKDOWN},
};

#define CONTROLS_COUNT (sizeof(CONTROLS) / sizeof(CONTROLS[0]))

void settings_defaults(struct settings *settings) {
    struct error error = {""};
    for (size_t i = 0; i < SETTING_ROWS_COUNT; i++) {
        const struct setting *row = &SETTING_ROWS[i];
        bool valid = row->kind == SETTING_GROUP || setting_set(row, settings, bytes_of(row->preset), &error);
        INVARIANT(valid);
    }
}

/* ---- near misses ---- */

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

/* Writes a name in the manner of the table: cache-ttl -> CACHE_TTL. Cut to fit. */
static struct bytes table_name(struct bytes name, char text[SETTING_NAME_MAX]) {
    size_t length = name.length < SETTING_NAME_MAX ? name.length : SETTING_NAME_MAX;
    for (size_t i = 0; i < length; i++)
        text[i] = name.data[i] == '-' ? '_' : (char)toupper((unsigned char)name.data[i]);
    return (struct bytes){text, length};
}

/* The name that was probably meant; NULL when none is near. */
static const char *find_near_miss(struct bytes wrong, bool flag) {
    char text[SETTING_NAME_MAX];
    struct bytes name = table_name(wrong, text);
    const char *nearest = NULL;
    size_t allowed = (name.length + 2) / 3; /* letters that may differ */
    size_t least = allowed < 3 ? allowed + 1 : 4;
    for (size_t i = 0; i < SETTING_ROWS_COUNT + CONTROLS_COUNT; i++) {
        bool control = i >= SETTING_ROWS_COUNT;
        if (control ? !flag : SETTING_ROWS[i].kind == SETTING_GROUP)
            continue;
        const char *candidate = control ? CONTROLS[i - SETTING_ROWS_COUNT].name : SETTING_ROWS[i].name;
        size_t distance = edit_distance(name, candidate);
        if (distance < least) {
            least = distance;
            nearest = candidate;
        }
    }
    return nearest;
}

/* Makes what came from outside fit for one line of an error. */
static const char *shown(struct bytes value, char text[SHOWN_VALUE_MAX + 4]) {
    size_t length = value.length < SHOWN_VALUE_MAX ? value.length : SHOWN_VALUE_MAX;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)value.data[i];
        text[i] = c < 0x20 || c == 0x7f ? '?' : (char)c;
    }
    memcpy(text + length, value.length > length ? "..." : "", value.length > length ? 4 : 1);
    return text;
}

/* ---- one value ---- */

/* `where` is "inferonce.conf:3: ", "environment: " or ""; `name` as it was given. */
static bool apply(const struct setting *row, struct settings *settings, struct bytes value, const char *where,
                  const char *name, struct error *error) {
    struct error expected = {""};
    char text[SHOWN_VALUE_MAX + 4];
    if (setting_set(row, settings, value, &expected))
        return true;
    error_set(error, "%s%s=%s: %s", where, name, row->kind == SETTING_SECRET ? "***" : shown(value, text),
              expected.text);
    return false;
}

/* ---- the file ---- */

static bool read_file(const char *path, struct buffer *content, struct error *error) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (descriptor < 0) {
        error_set_errno(error, errno, "%s: cannot open", path);
        return false;
    }
    ssize_t length = 1;
    while (length > 0) {
        char chunk[4096];
        length = read(descriptor, chunk, sizeof(chunk));
        if (length < 0 && errno == EINTR)
            length = 1;
        else if (length > 0)
            buffer_append(content, chunk, (size_t)length);
        if (content->failed)
            break;
    }
    if (length < 0)
        error_set_errno(error, errno, "%s: cannot read", path);
    else if (content->failed)
        error_set(error, "%s: larger than %d bytes, or memory is short", path, FILE_MAX_BYTES);
    close(descriptor);
    return length == 0 && !content->failed;
}

/* The value without its quotes; false when only one of the two is there. */
static bool unquote(struct bytes *value) {
    if (value->length == 0 || value->data[0] != '"')
        return true;
    if (value->length < 2 || value->data[value->length - 1] != '"')
        return false;
    *value = (struct bytes){value->data + 1, value->length - 2};
    return true;
}

static bool apply_line(struct settings *settings, struct bytes line, const char *where, struct error *error) {
    char text[SHOWN_VALUE_MAX + 4];
    if (line.length > 0 && line.data[line.length - 1] == '\r')
        line.length--;
    line = bytes_trim(line);
    if (line.length == 0 || line.data[0] == '#')
        return true;
    if (memchr(line.data, '\0', line.length)) {
        error_set(error, "%sholds a NUL byte", where);
        return false;
    }
    const char *equals = memchr(line.data, '=', line.length);
    if (!equals) {
        error_set(error, "%s%s: expected NAME=value", where, shown(line, text));
        return false;
    }
    struct bytes name = bytes_trim((struct bytes){line.data, (size_t)(equals - line.data)});
    struct bytes value =
        bytes_trim((struct bytes){equals + 1, line.length - (size_t)(equals + 1 - line.data)});
    const struct setting *row = setting_find(name);
    if (!row) {
        const char *meant = find_near_miss(name, false);
        error_set(error, "%s%s: no such setting%s%s%s", where, shown(name, text),
                  meant ? "; did you mean " : "", meant ? meant : "", meant ? "?" : "");
        return false;
    }
    if (!unquote(&value)) {
        error_set(error, "%s%s: a quote that does not close", where, row->name);
        return false;
    }
    return apply(row, settings, value, where, row->name, error);
}

static bool apply_file(struct settings *settings, const char *path, struct error *error) {
    struct buffer content;
    buffer_init(&content, FILE_MAX_BYTES);
    bool good = read_file(path, &content, error);
    struct bytes rest = buffer_bytes(&content);
    for (unsigned number = 1; good && rest.length > 0; number++) {
        const char *newline = memchr(rest.data, '\n', rest.length);
        struct bytes line = {rest.data, newline ? (size_t)(newline - rest.data) : rest.length};
        size_t taken = line.length + (newline ? 1 : 0);
        char where[256];
        snprintf(where, sizeof(where), "%.230s:%u: ", path, number);
        good = apply_line(settings, line, where, error);
        rest.data += taken;
        rest.length -= taken;
    }
    buffer_fini(&content);
    return good;
}

/* ---- the environment ---- */

static bool apply_environment(struct settings *settings, char *const environment[], struct error *error) {
    for (; *environment; environment++) {
        const char *equals = strchr(*environment, '=');
        if (!equals)
            continue;
        const struct setting *row =
            setting_find((struct bytes){*environment, (size_t)(equals - *environment)});
        if (row && !apply(row, settings, bytes_of(equals + 1), "environment: ", row->name, error))
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
    char text[SHOWN_VALUE_MAX + 4];
    char flag[SETTING_NAME_MAX];
    const char *meant = find_near_miss(name, true);
    if (meant)
        setting_flag(meant, flag);
    error_set(error, "--%s: no such flag%s%s%s", shown(name, text), meant ? "; did you mean --" : "",
              meant ? flag : "", meant ? "?" : " (--help lists them)");
    return false;
}

/* Only --cache-ttl is a flag; --CACHE_TTL is a near miss. */
static bool is_flag_name(struct bytes name) {
    for (size_t i = 0; i < name.length; i++)
        if (name.data[i] != '-' && !(name.data[i] >= 'a' && name.data[i] <= 'z'))
            return false;
    return name.length < SETTING_NAME_MAX;
}

/* Reads the flag at argv[*at] and moves on behind it and its value. */
static bool next_flag(int argc, char *const argv[], int *at, struct flag *flag, struct error *error) {
    const char *argument = argv[(*at)++];
    char text[SHOWN_VALUE_MAX + 4];
    if (strncmp(argument, "--", 2) != 0 || argument[2] == '\0') {
        error_set(error, "%s: unexpected; settings are given as --name=value (--help lists them)",
                  shown(bytes_of(argument), text));
        return false;
    }
    struct bytes name = {argument + 2, strcspn(argument + 2, "=")};
    const char *value = name.data[name.length] == '=' ? name.data + name.length + 1 : NULL;
    char upper[SETTING_NAME_MAX];
    struct bytes known = table_name(name, upper);
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
    return request != SETTINGS_SERVE && request != SETTINGS_PRINT_CONFIG;
}

/* What is asked for, and the files, which everything else beats. */
static bool apply_controls(struct settings *settings, int argc, char *const argv[],
                           enum settings_request *request, struct error *error) {
    struct flag flag;
    for (int at = 1; at < argc;) {
        if (!next_flag(argc, argv, &at, &flag, error))
            return false;
        if (!flag.control)
            continue;
        if (flag.control->takes_value) {
            if (!apply_file(settings, flag.value, error))
                return false;
            continue;
        }
        *request = flag.control->request;
        if (is_answered_at_once(*request))
            return true;
    }
    return true;
}

static bool apply_flags(struct settings *settings, int argc, char *const argv[], struct error *error) {
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
        if (!apply(flag.row, settings, bytes_of(flag.value), "", given, error))
            return false;
    }
    return true;
}

/* ---- what depends on another setting ---- */

#define NORMALIZE_NOT_GIVEN (-1)

/* The built-in model reads lower case; what another one makes of capitals is not known. */
static bool settle(struct settings *settings, struct error *error) {
    bool http = settings->engine == SETTINGS_ENGINE_HTTP;
    if (settings->cache_normalize == NORMALIZE_NOT_GIVEN)
        settings->cache_normalize = http ? CACHE_NORMALIZE_NFC : CACHE_NORMALIZE_LOWER;
    if (http && settings->upstream_url[0] == '\0') {
        error_set(error, "ENGINE=http: needs UPSTREAM_URL, the address of the inference server");
        return false;
    }
    return true;
}

bool settings_load(struct settings *settings, int argc, char *const argv[], char *const environment[],
                   enum settings_request *request, struct error *error) {
    struct settings loaded;
    enum settings_request asked = SETTINGS_SERVE;
    settings_defaults(&loaded);
    loaded.cache_normalize = NORMALIZE_NOT_GIVEN;
    if (!apply_controls(&loaded, argc, argv, &asked, error))
        return false;
    if (!is_answered_at_once(asked)) {
        if (!apply_environment(&loaded, environment, error) || !apply_flags(&loaded, argc, argv, error) ||
            !settle(&loaded, error))
            return false;
        *settings = loaded;
    }
    *request = asked;
    return true;
}
