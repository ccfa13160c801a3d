/* Prints the manual page of the settings, inferonce.conf(5), in mdoc. */
#include <stdio.h>
#include <string.h>

#include "base/settings_table.h"
#include "inferonce/base/settings.h"

/* A paragraph for each setting whose effect surprises users, too long for a line of --help. */
static const struct {
    const char *name;
    const char *text;
} TRAPS[] = {
    {"WORKERS",
     "Within a control group with a CPU quota 0 means the quota, rounded up, and not the host's CPUs."},
    {"CACHE_TTL_MAX",
     "Raising CACHE_TTL alone raises the limit with it; of two that are given and contradict each other the "
     "start is refused."},
    {"CACHE_STALE_IF_ERROR",
     "The model's errors are never stored. Without this setting a client gets the error although an answer "
     "that ended a second ago may still be there."},
    {"CACHE_MAX_SIZE", "Whichever of CACHE_MAX_SIZE and CACHE_MEMORY_MB is reached first makes room."},
    {"CACHE_NORMALIZE",
     "The model gets the text in its normal form, so that what is stored does not depend on who asked first. "
     "For a model that tells upper from lower case, or for which white space matters, as in source code, "
     "choose nfc or none. Another level is another key: what was stored under the former one is not found."},
    {"CACHE_KEY_PREFIX", "Hosts with different prefixes share nothing, not even purges."},
    {"MEMCACHED_SERVERS",
     "Every host needs the same list, spelled the same way: a server's name and port decide which keys it "
     "has. A server added or taken away moves the keys of its share only."},
    {"STORE_TIMEOUT_MS",
     "A server that says nothing for this long is left alone for a second, and longer when it does so "
     "again. Over a distance give it several times the round trip; it is not added to a request's time "
     "while the server is left alone."},
    {"CACHE_SHARE_AUTHORIZED",
     "On, the answer that one credential got is served to all, also to those whom the model's server would "
     "have refused. Leave it off unless all clients may see the same."},
    {"MODEL_NAME",
     "With ENGINE=http and without a name the URL stands in the keys: another URL starts cold, also when the "
     "same model is behind it."},
    {"MODEL_VERSION", "Raise it when the model changes under its name: nothing else tells the cache."},
    {"UPSTREAM_CACHE_CONTROL", "With obey a server that says no-store on every answer is never cached."},
    {"UPSTREAM_REUSE",
     "On a kept HTTP/1.1 connection a server that writes two answers to one request makes every later one "
     "wrong. Over HTTP/2 answers are numbered."},
    {"UPSTREAM_TIMEOUT",
     "It counts from a request's arrival, so that one that joined an inference late does not wait longer."},
    {"ADMIN_TOKEN",
     "A flag shows in the list of processes. Give it in the environment or in a file that others cannot "
     "read."},
};

/* Text of a page: a \ begins an escape, and a . or ' at the start of a line a request. */
static void print_text(struct bytes text, FILE *stream) {
    if (text.length > 0 && (text.data[0] == '.' || text.data[0] == '\''))
        fputs("\\&", stream);
    for (size_t i = 0; i < text.length; i++)
        fputs(text.data[i] == '\\' ? "\\e" : (const char[]){text.data[i], '\0'}, stream);
}

/* Sentences begin on lines of their own, as mdoc wants it. */
static void print_sentences(const char *text, FILE *stream) {
    const char *end;
    while ((end = strstr(text, ". "))) {
        print_text((struct bytes){text, (size_t)(end - text)}, stream);
        fputs(".\n", stream);
        text = end + 2;
    }
    print_text(bytes_of(text), stream);
    fputs("\n", stream);
}

static void print_trap(const char *name, FILE *stream) {
    for (size_t i = 0; i < sizeof(TRAPS) / sizeof(TRAPS[0]); i++) {
        INVARIANT(setting_find(bytes_of(TRAPS[i].name)));
        if (strcmp(TRAPS[i].name, name) != 0)
            continue;
        fputs(".Pp\n", stream);
        print_sentences(TRAPS[i].text, stream);
    }
}

static void print_setting(const struct setting *row, FILE *stream) {
    fprintf(stream, ".It Ic %s Ns = Ns Ar %s\n", row->name, setting_placeholder(row));
    print_text(bytes_of(row->help), stream);
    fputs(".\n", stream);
    if (row->choices)
        fprintf(stream, "One of\n.Li %s .\n", row->choices);
    if (row->lowest)
        fprintf(stream, "From %s to %s %s.\n", row->lowest, row->highest, row->unit);
    if (*row->preset)
        fprintf(stream, "Default:\n.Li %s .\n", row->preset);
    else
        fputs("Default: empty.\n", stream);
    print_trap(row->name, stream);
}

void settings_print_man(FILE *stream) {
    fputs(
        ".\\\" Written by inferonce --print-man.\n"
        ".Dd November 28, 2026\n"
        ".Dt INFERONCE.CONF 5\n"
        ".Os inferonce " INFERONCE_VERSION
        "\n"
        ".Sh NAME\n"
        ".Nm inferonce.conf\n"
        ".Nd settings of inferonce\n"
        ".Sh DESCRIPTION\n"
        "The file that\n"
        ".Xr inferonce 8\n"
        "reads with\n"
        ".Fl -config .\n"
        "It has one setting a line,\n"
        ".Ic NAME Ns = Ns Ar value .\n"
        "Empty lines and lines that begin with # are skipped, and so is what follows white space and a #.\n"
        "A value may stand in double or single quotes, which keep its spaces and # and escape nothing.\n"
        "Of one name given twice the last counts.\n"
        "An unknown name, and a value out of range, is an error that names file and line.\n"
        ".Pp\n"
        "Each setting is an environment variable and a flag, too:\n"
        ".Ev CACHE_TTL\n"
        "and\n"
        ".Fl -cache-ttl .\n"
        "The flag beats the variable, the variable beats the file, the file beats the default.\n"
        ".Pp\n"
        "Any setting can be changed without a lost request: change the file and reload.\n",
        stream);
    bool listed = false;
    for (size_t i = 0; i < SETTING_ROWS_COUNT; i++) {
        const struct setting *row = &SETTING_ROWS[i];
        if (row->kind == SETTING_GROUP) {
            fprintf(stream, "%s.Ss %s\n.Bl -tag -width Ds\n", listed ? ".El\n" : ".Sh SETTINGS\n", row->name);
            listed = true;
        } else {
            print_setting(row, stream);
        }
    }
    fputs(
        ".El\n"
        ".Sh EXAMPLES\n"
        "A cache of 256 MB in front of an inference server, for one machine:\n"
        ".Bd -literal -offset indent\n"
        "ENGINE=http\n"
        "UPSTREAM_URL=http://127.0.0.1:9000/predict\n"
        "CACHE_MEMORY_MB=256\n"
        "CACHE_MAX_SIZE=1000000\n"
        ".Ed\n"
        ".Sh SEE ALSO\n"
        ".Xr inferonce 8\n",
        stream);
}
