/* Prints the settings: the help, the configuration in force, the sample file, the table of the README. */
#include <stdio.h>
#include <string.h>

#include "base/settings_table.h"
#include "inferonce/base/settings.h"

#define HELP_COLUMN 30
#define LINE_WIDTH  96

/* Prints words, broken between them but not within [brackets], which end the text; lines after the first
 * begin with `margin`. `column` is where the first one begins. */
static void print_wrapped(FILE *stream, const char *text, size_t column, const char *margin) {
    bool first = true;
    while (*text) {
        size_t length = *text == '[' ? strlen(text) : strcspn(text, " ");
        if (!first && column + 1 + length > LINE_WIDTH) {
            fprintf(stream, "\n%s", margin);
            column = strlen(margin);
            first = true;
        }
        fprintf(stream, "%s%.*s", first ? "" : " ", (int)length, text);
        column += length + (first ? 0 : 1);
        first = false;
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', stream);
}

const char *setting_placeholder(const struct setting *row) {
    switch (row->kind) {
    case SETTING_NUMBER:
        return "N";
    case SETTING_SECONDS:
        return "SECONDS";
    case SETTING_MODE:
        return "MODE";
    case SETTING_CHOICE:
        return row->choices;
    default:
        return "TEXT";
    }
}

/* "1 to 64 processes", "a|b|c"; empty for a text. */
static void describe_range(const struct setting *row, char *text, size_t size) {
    if (row->lowest)
        snprintf(text, size, "%s to %s %s", row->lowest, row->highest, row->unit);
    else
        snprintf(text, size, "%s", row->choices ? row->choices : "");
}

static void print_flag_help(const struct setting *row, FILE *stream) {
    char flag[SETTING_NAME_MAX];
    char range[128];
    char text[512];
    char margin[HELP_COLUMN + 1];
    setting_flag(row->name, flag);
    describe_range(row, range, sizeof(range));
    snprintf(text, sizeof(text), "%s [%s%s%s]", row->help, *row->preset ? row->preset : "empty",
             row->lowest ? "; " : "", row->lowest ? range : "");
    snprintf(margin, sizeof(margin), "%*s", HELP_COLUMN, "");
    int width = fprintf(stream, "  --%s=%s", flag, setting_placeholder(row));
    if (width >= HELP_COLUMN)
        fprintf(stream, "\n%s", margin);
    else
        fprintf(stream, "%*s", HELP_COLUMN - width, "");
    print_wrapped(stream, text, HELP_COLUMN, margin);
}

void settings_print_help(FILE *stream) {
    fputs(
        "Usage: inferonce [--config FILE] [--NAME=VALUE ...]\n"
        "\n"
        "A FastCGI application that answers from a cache what an expensive model inferred before.\n"
        "\n"
        "Each setting is a flag (--cache-ttl=60), an environment variable (CACHE_TTL=60) or a line of\n"
        "the --config file (CACHE_TTL=60). The flag beats the variable, the variable beats the file.\n"
        "Defaults and limits are in brackets.\n"
        "\n"
        "  --config FILE               read settings from FILE\n"
        "  --check-config, -t          check the settings and the files that they name, and end\n"
        "  --reload                    have the running program read its settings anew (as SIGHUP does)\n"
        "  --print-config              print the settings in force, as a file for --config\n"
        "  --print-sample              print a commented file of the defaults\n"
        "  --print-markdown            print the settings as a Markdown table\n"
        "  --print-man                 print the settings as a manual page, inferonce.conf(5)\n"
        "  --version, -V               print the version\n"
        "  --help, -h                  print this\n",
        stream);
    for (size_t i = 0; i < SETTING_ROWS_COUNT; i++) {
        if (SETTING_ROWS[i].kind == SETTING_GROUP)
            fprintf(stream, "\n%s:\n", SETTING_ROWS[i].name);
        else
            print_flag_help(&SETTING_ROWS[i], stream);
    }
}

/* Whether a reader of the file would see the end of the value within it: white space and a #, behind `quote`
 * where the value stands in such quotes, else ('\0') behind anything. */
static bool seems_to_end(const char *value, char quote) {
    for (const char *mark = value; (mark = strchr(mark, '#')); mark++) {
        const char *end = mark;
        while (end > value && end[-1] == ' ')
            end--;
        if (end < mark && (quote == '\0' || (end > value && end[-1] == quote)))
            return true;
    }
    return false;
}

/* Quotes where a reader of the file would take spaces, quotes or a comment off. A value that seems to end
 * within either kind of quotes cannot be written. */
static void print_value(const char *value, FILE *stream) {
    size_t length = strlen(value);
    bool quoted =
        length > 0 && (strchr(" \"'", value[0]) || value[length - 1] == ' ' || seems_to_end(value, '\0'));
    const char *quote = !quoted ? "" : seems_to_end(value, '"') ? "'" : "\"";
    fprintf(stream, "%s%s%s\n", quote, value, quote);
}

static void print_url(const char *name, const char *value, FILE *stream) {
    char shown[SETTING_TEXT_MAX];
    bool hidden = setting_hide_password(bytes_of(value), shown);
    if (hidden)
        fprintf(stream, "# The password is not shown.\n# ");
    fprintf(stream, "%s=", name);
    print_value(shown, stream);
}

void settings_print_config(const struct settings *settings, FILE *stream) {
    for (size_t i = 0; i < SETTING_ROWS_COUNT; i++) {
        const struct setting *row = &SETTING_ROWS[i];
        char value[SETTING_TEXT_MAX];
        setting_get(row, settings, value);
        if (row->kind == SETTING_GROUP) {
            fprintf(stream, "%s# %s\n", i == 0 ? "" : "\n", row->name);
        } else if (row->kind == SETTING_SECRET && strcmp(value, row->preset) != 0) {
            fprintf(stream, "# %s is set and not shown.\n", row->name);
        } else if (row->kind == SETTING_URL) {
            print_url(row->name, value, stream);
        } else {
            fprintf(stream, "%s=", row->name);
            print_value(value, stream);
        }
    }
}

void settings_print_sample(FILE *stream) {
    fputs(
        "# Settings of inferonce, with their defaults. A flag or an environment variable beats a line of "
        "this file.\n",
        stream);
    for (size_t i = 0; i < SETTING_ROWS_COUNT; i++) {
        const struct setting *row = &SETTING_ROWS[i];
        char range[128];
        char text[512];
        if (row->kind == SETTING_GROUP) {
            fprintf(stream, "\n# ---- %s ----\n", row->name);
            continue;
        }
        describe_range(row, range, sizeof(range));
        snprintf(text, sizeof(text), "%s%s%s%s", row->help, *range ? " (" : "", range, *range ? ")" : "");
        fputs("\n# ", stream);
        print_wrapped(stream, text, 2, "# ");
        fprintf(stream, "#%s=", row->name);
        print_value(row->preset, stream);
    }
}

/* A cell of a Markdown table must not hold a bare `|`. */
static void print_cell(const char *text, FILE *stream) {
    for (; *text; text++)
        fprintf(stream, *text == '|' ? "\\%c" : "%c", *text);
}

void settings_print_markdown(FILE *stream) {
    fputs("| setting | default | meaning |\n| --- | --- | --- |\n", stream);
    for (size_t i = 0; i < SETTING_ROWS_COUNT; i++) {
        const struct setting *row = &SETTING_ROWS[i];
        if (row->kind == SETTING_GROUP)
            continue;
        fprintf(stream, "| `%s` | ", row->name);
        if (*row->preset)
            fprintf(stream, "`%s`%s%s", row->preset, row->unit ? " " : "", row->unit ? row->unit : "");
        else
            fputs("empty", stream);
        fputs(" | ", stream);
        print_cell(row->help, stream);
        if (row->choices) {
            fputs(" (`", stream);
            print_cell(row->choices, stream);
            fputs("`)", stream);
        }
        fputs(" |\n", stream);
    }
}
