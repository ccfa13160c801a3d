/* Reads the --config file: one setting a line, comments, quotes. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/settings_loading.h"
#include "base/settings_names.h"

#define FILE_MAX_BYTES (1024 * 1024)

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

static bool is_space(char c) {
    return c == ' ' || c == '\t';
}

/* Whether nothing follows but white space, or white space and a comment. */
static bool is_end(struct bytes rest) {
    struct bytes trimmed = bytes_trim(rest);
    return trimmed.length == 0 || (is_space(rest.data[0]) && trimmed.data[0] == '#');
}

/* Takes the quotes off, and what follows them. A quote that is not the last thing of the line is part of the
 * value: nothing needs an escape. False: the quote does not close. */
static bool unquote(struct bytes *value) {
    char quote = value->data[0];
    for (size_t i = 1; i < value->length; i++) {
        if (value->data[i] != quote || !is_end((struct bytes){value->data + i + 1, value->length - i - 1}))
            continue;
        *value = (struct bytes){value->data + 1, i - 1};
        return true;
    }
    return false;
}

/* The value that stands behind the equals sign; false when a quote does not close. */
static bool read_value(struct bytes behind, struct bytes *value) {
    *value = bytes_trim(behind);
    if (value->length > 0 && (value->data[0] == '"' || value->data[0] == '\''))
        return unquote(value);
    for (size_t i = 0; i < behind.length; i++) {
        if (behind.data[i] == '#' && i > 0 && is_space(behind.data[i - 1])) {
            *value = bytes_trim((struct bytes){behind.data, i});
            break;
        }
    }
    return true;
}

static bool unknown_setting(struct bytes name, const char *where, struct error *error) {
    struct shown shown;
    char text[SETTING_NAME_MAX];
    struct near_miss miss = near_miss_of(settings_table_name(name, text));
    near_miss_try_settings(&miss);
    error_set(error, "%s%s: no such setting%s%s%s", where, settings_shown(name, &shown),
              miss.nearest ? "; did you mean " : "", miss.nearest ? miss.nearest : "",
              miss.nearest ? "?" : "");
    return false;
}

static bool apply_line(struct settings_loading *loading, struct bytes line, const char *where,
                       struct error *error) {
    struct shown shown;
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
        error_set(error, "%s%s: expected NAME=value", where, settings_shown(line, &shown));
        return false;
    }
    struct bytes name = bytes_trim((struct bytes){line.data, (size_t)(equals - line.data)});
    struct bytes behind = {equals + 1, line.length - (size_t)(equals + 1 - line.data)};
    struct bytes value;
    const struct setting *row = setting_find(name);
    if (!row)
        return unknown_setting(name, where, error);
    if (!read_value(behind, &value)) {
        error_set(error, "%s%s: a quote that does not close", where, row->name);
        return false;
    }
    return settings_apply(loading, row, value, where, row->name, error);
}

bool settings_apply_file(struct settings_loading *loading, const char *path, struct error *error) {
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
        good = apply_line(loading, line, where, error);
        rest.data += taken;
        rest.length -= taken;
    }
    buffer_fini(&content);
    return good;
}
