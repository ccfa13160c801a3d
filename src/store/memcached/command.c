/* Reads memcached's answers, each for its command. */
#include "store/memcached/command.h"

/* ---- lines ---- */

/* Finds the key's place among those that were asked for and not answered yet. */
static bool begin_value(struct memcached_answer *answer, struct memcached_command *command,
                        size_t name_length, const struct memcached_value_line *value) {
    if (value->key.length != name_length)
        return false;
    while (command->next < command->n &&
           memcmp(command->names + command->next * name_length, value->key.data, name_length) != 0)
        command->next++;
    if (command->next == command->n)
        return false;
    struct memcached_found *found = &command->found[command->next++];
    size_t keep = value->length;
    if (command->max_bytes > 0 && keep > command->max_bytes)
        keep = command->max_bytes;
    *found = (struct memcached_found){.at = command->values->length, .length = keep, .cas = value->cas};
    found->found = keep == 0 || buffer_reserve(command->values, keep);
    answer->value_left = value->length + 2;
    answer->keep_left = found->found ? keep : 0;
    if (!found->found) {
        command->values->failed = false;
        command->lost = true;
    }
    return true;
}

static enum memcached_outcome outcome_of(enum memcached_line line) {
    switch (line) {
    case LINE_NOTHING:
        return MEMCACHED_NOTHING;
    case LINE_CONFLICT:
        return MEMCACHED_CONFLICT;
    case LINE_TOO_LARGE:
        return MEMCACHED_TOO_BIG;
    case LINE_FULL:
        return MEMCACHED_FULL;
    default:
        return MEMCACHED_DONE;
    }
}

static enum memcached_reading wrong(const char **why, const char *text) {
    *why = text;
    return READING_WRONG;
}

static enum memcached_reading judge_line(struct memcached_answer *answer, struct memcached_command *command,
                                         size_t name_length, struct bytes line,
                                         enum memcached_outcome *outcome, const char **why) {
    struct memcached_value_line value;
    if (!command)
        return wrong(why, "it says what it was not asked for");
    enum memcached_line meaning = memcached_line_read(command->verb, line, &value);
    switch (meaning) {
    case LINE_STRANGE:
        return wrong(why, "not what was asked for");
    case LINE_VALUE:
        return begin_value(answer, command, name_length, &value) ? READING_WHOLE
                                                                 : wrong(why, "not what was asked for");
    case LINE_STAT:
        command->stat(command, line);
        return READING_WHOLE;
    default:
        *outcome = outcome_of(meaning);
        return READING_ENDED;
    }
}

/* Takes the bytes up to a line's end; a line that comes in pieces is put together. False: it is not whole
 * yet, or too long, which `why` tells. */
static bool take_line(struct memcached_answer *answer, struct bytes *bytes, struct bytes *line,
                      const char **why) {
    const char *end = memchr(bytes->data, '\n', bytes->length);
    size_t n = end ? (size_t)(end - bytes->data) + 1 : bytes->length;
    if (n > sizeof(answer->line) - answer->line_length) {
        *why = "a line that is too long";
        return false;
    }
    *line = (struct bytes){bytes->data, n};
    if (!end || answer->line_length > 0) {
        memcpy(answer->line + answer->line_length, bytes->data, n);
        answer->line_length += n;
        *line = (struct bytes){answer->line, answer->line_length};
    }
    bytes->data += n;
    bytes->length -= n;
    if (end)
        answer->line_length = 0;
    return end != NULL;
}

/* ---- values ---- */

static enum memcached_reading read_value(struct memcached_answer *answer, struct memcached_command *command,
                                         struct bytes *bytes, const char **why) {
    static const char LINE_END_BYTES[] = "\r\n";
    size_t data_left = answer->value_left > 2 ? answer->value_left - 2 : 0;
    size_t n = data_left < bytes->length ? data_left : bytes->length;
    size_t kept = answer->keep_left < n ? answer->keep_left : n;
    buffer_append(command->values, bytes->data, kept);
    answer->keep_left -= kept;
    answer->value_left -= n;
    while (n < bytes->length && answer->value_left > 0) {
        if (bytes->data[n++] != LINE_END_BYTES[2 - answer->value_left])
            return wrong(why, "a value does not end where its length says");
        answer->value_left--;
    }
    bytes->data += n;
    bytes->length -= n;
    return answer->value_left == 0 ? READING_WHOLE : READING_PART;
}

enum memcached_reading memcached_answer_read(struct memcached_answer *answer,
                                             struct memcached_command *command, size_t name_length,
                                             struct bytes *bytes, enum memcached_outcome *outcome,
                                             const char **why) {
    struct bytes line;
    *why = NULL;
    if (answer->value_left > 0)
        return read_value(answer, command, bytes, why);
    if (!take_line(answer, bytes, &line, why))
        return *why ? READING_WRONG : READING_PART;
    if (line.length < 2 || line.data[line.length - 2] != '\r')
        return wrong(why, "a line without its end");
    line.length -= 2;
    return judge_line(answer, command, name_length, line, outcome, why);
}
