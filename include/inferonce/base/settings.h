/* The settings: one table, from which come the struct, the parser, --help, --print-config, the sample file
 * and the README's table, and the manual page.
 *
 * A setting is given as --cache-ttl=60 (or --cache-ttl 60), as environment variable CACHE_TTL=60 or as a line
 * CACHE_TTL=60 of --config FILE; flag beats environment beats file beats default. */
#ifndef INFERONCE_BASE_SETTINGS_H
#define INFERONCE_BASE_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "inferonce/base/error.h"

#define SETTING_TEXT_MAX 1024

/* GROUP(title)                                             heads the rows that follow it
 * TEXT(field, NAME, default, check, help)                  `check` is a check_... of settings_table.c
 * SECRET(field, NAME, default, check, help)                a text that is never shown
 * URL(field, NAME, default, check, help)                   a text whose password is never shown
 * NUMBER(field, NAME, default, lowest, highest, unit, help)
 * SECONDS(field_ms, NAME, default, lowest, highest, help)  in seconds with up to three decimals; the field
 *                                                          holds milliseconds
 * MODE(field, NAME, default, help)                         file mode, octal
 * CHOICE(field, NAME, default, "a|b|c", help)              the field holds the index of the choice */
#define SETTINGS(GROUP, TEXT, SECRET, URL, NUMBER, SECONDS, MODE, CHOICE)                                    \
    GROUP("Processes")                                                                                       \
    TEXT(listen, LISTEN, "unix:/run/inferonce/inferonce.sock", address,                                      \
         "Where to listen: unix:PATH or tcp:ADDRESS:PORT; unused when a listening socket is inherited")      \
    MODE(listen_mode, LISTEN_MODE, 0660, "Mode of a Unix socket that it made")                               \
    TEXT(listen_owner, LISTEN_OWNER, "", any, "User, by name or number, that gets a Unix socket it made")    \
    TEXT(listen_group, LISTEN_GROUP, "", any,                                                                \
         "Group, by name or number, of a Unix socket that it made: one that the web server is in")           \
    NUMBER(workers, WORKERS, 0, 0, 64, "processes",                                                          \
           "Worker processes; 0: one per CPU that the control group allows")                                 \
    SECONDS(drain_timeout_ms, DRAIN_TIMEOUT, 30, 0, 3600,                                                    \
            "How long a stopping worker may finish what it has")                                             \
    GROUP("Cache")                                                                                           \
    CHOICE(cache_backend, CACHE_BACKEND, "memory", "memory|memcached|redis",                                 \
           "Where entries live: in this host's memory, or in servers that several hosts share")              \
    SECONDS(cache_ttl_ms, CACHE_TTL, 3600, 0.001, 31536000, "How long an entry is fresh")                    \
    SECONDS(cache_ttl_max_ms, CACHE_TTL_MAX, 86400, 0.001, 31536000,                                         \
            "The most that a request may ask for with X-Cache-TTL, and not below CACHE_TTL: of the two "     \
            "the one that is not given gives way")                                                           \
    SECONDS(cache_stale_while_revalidate_ms, CACHE_STALE_WHILE_REVALIDATE, 0, 0, 31536000,                   \
            "How long after its lifetime an entry may be served while one refresh runs")                     \
    SECONDS(cache_stale_if_error_ms, CACHE_STALE_IF_ERROR, 0, 0, 31536000,                                   \
            "How long after its lifetime an entry may be served when the model fails")                       \
    NUMBER(cache_max_size, CACHE_MAX_SIZE, 0, 0, 4000000000, "entries",                                      \
           "Entries the memory store keeps; 0: what CACHE_MEMORY_MB holds at 300 bytes an entry")            \
    NUMBER(cache_memory_mb, CACHE_MEMORY_MB, 64, 1, 1048576, "MB", "Memory the memory store's entries take") \
    CHOICE(cache_eviction, CACHE_EVICTION, "cost", "cost|recency",                                           \
           "What goes first when the memory store is full; cost: entries that save little inference a byte " \
           "and are seldom asked for, recency: those that were not asked for lately")                        \
    CHOICE(cache_scope, CACHE_SCOPE, "shared", "shared|worker",                                              \
           "Memory store: shared by all workers, or one part per worker")                                    \
    TEXT(cache_path, CACHE_PATH, "", any,                                                                    \
         "Memory store in this file: survives a restart, shared by separately started pools")                \
    NUMBER(cache_max_entry_kb, CACHE_MAX_ENTRY_KB, 1024, 1, 1048576, "KB",                                   \
           "A larger result is answered, counted, not stored")                                               \
    TEXT(cache_namespace, CACHE_NAMESPACE, "default", namespace,                                             \
         "Entries of other namespaces are never seen or purged")                                             \
    TEXT(cache_key_prefix, CACHE_KEY_PREFIX, "inferonce:", key_prefix,                                       \
         "What every key in memcached and Redis begins with, so that they can be shared with others")        \
    TEXT(memcached_servers, MEMCACHED_SERVERS, "127.0.0.1:11211", servers,                                   \
         "memcached: HOST:PORT or unix:PATH, comma-separated; keys are spread over them by ketama")          \
    URL(redis_url, REDIS_URL, "redis://127.0.0.1:6379/0", redis_url,                                         \
        "Redis: redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] or unix://[[USER]:PASSWORD@]/PATH; no TLS") \
    TEXT(state_dir, STATE_DIR, "", any,                                                                      \
         "Directory for a small file with the purges that a cache server could not be told, so that they "   \
         "outlive a restart; empty: beside the socket")                                                      \
    NUMBER(store_timeout_ms, STORE_TIMEOUT_MS, 20, 1, 10000, "ms",                                           \
           "How long a cache server may say nothing while something is asked of it")                         \
    CHOICE(cache_normalize, CACHE_NORMALIZE, "lower", "none|nfc|space|lower",                                \
           "How a text becomes the one that is looked up and inferred; none: bytes as they are, "            \
           "nfc: Unicode NFC, space: NFC, trimmed, white space collapsed, lower: that, in lower case; "      \
           "with ENGINE=http nfc unless given")                                                              \
    CHOICE(cache_share_authorized, CACHE_SHARE_AUTHORIZED, "off", "off|on",                                  \
           "May one credential be served what another one got from the model (ENGINE=http)")                 \
    GROUP("Model")                                                                                           \
    CHOICE(engine, ENGINE, "builtin", "builtin|http",                                                        \
           "Where answers come from: the built-in model, or an HTTP inference server at UPSTREAM_URL")       \
    TEXT(model_name, MODEL_NAME, "vader", any,                                                               \
         "Part of every key: another model starts cold; with ENGINE=http the URL unless given")              \
    TEXT(model_version, MODEL_VERSION, "1", any,                                                             \
         "Part of every key: a new version starts cold, without a purge")                                    \
    NUMBER(inference_delay_ms, INFERENCE_DELAY_MS, 0, 0, 3600000, "ms",                                      \
           "Built-in model: a declared simulation of an expensive one")                                      \
    NUMBER(inference_concurrency, INFERENCE_CONCURRENCY, 64, 1, 100000, "inferences",                        \
           "Inferences at once per worker")                                                                  \
    NUMBER(inference_queue, INFERENCE_QUEUE, 1024, 0, 1000000, "inferences",                                 \
           "More may wait, per worker; beyond: 503 with Retry-After")                                        \
    GROUP("Inference server (ENGINE=http)")                                                                  \
    TEXT(upstream_url, UPSTREAM_URL, "", url,                                                                \
         "Where to POST: http://HOST[:PORT]/PATH, https://HOST[:PORT]/PATH or http+unix:///SOCKET:/PATH")    \
    CHOICE(upstream_dialect, UPSTREAM_DIALECT, "plain",                                                      \
           "plain|tei|kserve|openai|kserve1|tei-embed|tei-rerank",                                           \
           "How texts become a request, and results are read out of the answer")                             \
    TEXT(upstream_input_name, UPSTREAM_INPUT_NAME, "", input_name,                                           \
         "The request's member, or tensor, that has the text; empty: the dialect's own")                     \
    CHOICE(upstream_kserve_shape, UPSTREAM_KSERVE_SHAPE, "n", "n|n,1",                                       \
           "kserve: the shape of the input tensor of n texts; Triton with max_batch_size wants n,1")         \
    CHOICE(upstream_cache_control, UPSTREAM_CACHE_CONTROL, "obey", "obey|ignore",                            \
           "Whether what the server says of caching holds (Cache-Control, Expires, Vary); ignore it where "  \
           "every answer says no-store and means nothing by it, as TorchServe's do")                         \
    TEXT(upstream_host, UPSTREAM_HOST, "", host,                                                             \
         "The request's Host field, where the server goes by another name than its URL's; empty: the URL's") \
    NUMBER(upstream_batch, UPSTREAM_BATCH, 32, 1, 256, "texts",                                              \
           "The most texts in one upstream request, where the dialect takes several")                        \
    SECONDS(upstream_timeout_ms, UPSTREAM_TIMEOUT, 30, 0.001, 3600,                                          \
            "How long a request waits for an inference, from its arrival: queue and connecting included")    \
    SECONDS(upstream_connect_timeout_ms, UPSTREAM_CONNECT_TIMEOUT, 3, 0.001, 3600,                           \
            "How long connecting may take, name look-up and TLS included")                                   \
    CHOICE(upstream_reuse, UPSTREAM_REUSE, "http2", "http2|all",                                             \
           "Which connections serve several exchanges: http2: those whose answers are numbered (HTTP/2 "     \
           "over TLS), "                                                                                     \
           "all: HTTP/1.1 too, for servers that are known to write one answer to each request")              \
    TEXT(upstream_ca_file, UPSTREAM_CA_FILE, "", any, "Certificates (PEM) to trust beside the system's")     \
    GROUP("Requests")                                                                                        \
    NUMBER(max_body_kb, MAX_BODY_KB, 1024, 1, 65536, "KB", "The largest request body")                       \
    NUMBER(max_batch, MAX_BATCH, 256, 1, 10000, "texts", "The most texts in one request")                    \
    GROUP("Operation")                                                                                       \
    SECRET(admin_token, ADMIN_TOKEN, "", any,                                                                \
           "Bearer token for the admin endpoints (openssl rand -hex 16 makes one); empty: clients on this "  \
           "host are the administrators")                                                                    \
    CHOICE(log_level, LOG_LEVEL, "info", "error|warn|info|debug", "What is logged to standard error")        \
    NUMBER(log_slow_ms, LOG_SLOW_MS, 0, 0, 3600000, "ms",                                                    \
           "Requests for texts that take longer are logged, with their keys; 0: none is")                    \
    CHOICE(log_format, LOG_FORMAT, "logfmt", "logfmt|json", "How a line is written")

enum cache_backend { CACHE_BACKEND_MEMORY, CACHE_BACKEND_MEMCACHED, CACHE_BACKEND_REDIS };
enum settings_engine { SETTINGS_ENGINE_BUILTIN, SETTINGS_ENGINE_HTTP };
enum settings_dialect {
    SETTINGS_DIALECT_PLAIN,
    SETTINGS_DIALECT_TEI,
    SETTINGS_DIALECT_KSERVE,
    SETTINGS_DIALECT_OPENAI,
    SETTINGS_DIALECT_KSERVE1,
    SETTINGS_DIALECT_TEI_EMBED,
    SETTINGS_DIALECT_TEI_RERANK
};
enum upstream_cache_control { UPSTREAM_CACHE_CONTROL_OBEY, UPSTREAM_CACHE_CONTROL_IGNORE };
enum upstream_kserve_shape { UPSTREAM_KSERVE_SHAPE_N, UPSTREAM_KSERVE_SHAPE_N1 };
enum upstream_reuse { UPSTREAM_REUSE_HTTP2, UPSTREAM_REUSE_ALL };
enum cache_eviction { CACHE_EVICTION_COST, CACHE_EVICTION_RECENCY };
enum cache_scope { CACHE_SCOPE_SHARED, CACHE_SCOPE_WORKER };
enum cache_normalize {
    CACHE_NORMALIZE_NONE,
    CACHE_NORMALIZE_NFC,
    CACHE_NORMALIZE_SPACE,
    CACHE_NORMALIZE_LOWER
};

struct settings {
#define SETTINGS_GROUP(title)
#define SETTINGS_TEXT(field, name, ...)   char field[SETTING_TEXT_MAX];
#define SETTINGS_NUMBER(field, name, ...) uint64_t field;
#define SETTINGS_CHOICE(field, name, ...) int field;
    SETTINGS(SETTINGS_GROUP, SETTINGS_TEXT, SETTINGS_TEXT, SETTINGS_TEXT, SETTINGS_NUMBER, SETTINGS_NUMBER,
             SETTINGS_NUMBER, SETTINGS_CHOICE)
#undef SETTINGS_GROUP
#undef SETTINGS_TEXT
#undef SETTINGS_NUMBER
#undef SETTINGS_CHOICE
};

enum settings_request {
    SETTINGS_SERVE,        /* start the server */
    SETTINGS_HELP,         /* --help, -h */
    SETTINGS_VERSION,      /* --version, -V */
    SETTINGS_PRINT_CONFIG, /* --print-config: the settings in force, without secrets, as a file that --config
                              reads */
    SETTINGS_SAMPLE,       /* --print-sample: deploy/inferonce.conf.sample */
    SETTINGS_MARKDOWN,     /* --print-markdown: the README's table */
    SETTINGS_MAN,          /* --print-man: deploy/man/inferonce.conf.5 */
    SETTINGS_CHECK,        /* --check-config, -t: whether the program would start with these settings */
    SETTINGS_RELOAD        /* --reload: has the master that listens where LISTEN says reload */
};

#define SETTINGS_WARNINGS_MAX 16

/* Settings that are legal and probably not meant, one line each; further ones are left out. */
struct settings_warnings {
    struct error lines[SETTINGS_WARNINGS_MAX];
    size_t n;
};

/* Reads defaults, file, environment and flags into `settings`. An unknown name in a file or a flag, a value
 * out of range, a line without `=`, settings that contradict each other: false, and `error` names file and
 * line (or the flag, or the variable) and what is allowed; `settings` is untouched then.
 *
 * An empty environment variable stands for the default. Unknown ones are not ours; those that look as if they
 * were meant for us are warned of. A wrong value that another setting makes irrelevant is a warning, too.
 *
 * A file has one setting a line. Blank lines and lines that begin with # are skipped, and so is what follows
 * white space and a #. A value may stand in double or single quotes, which keep its spaces and # and escape
 * nothing; of one name given twice the last counts. Texts are UTF-8 without control characters, shorter than
 * SETTING_TEXT_MAX.
 *
 * Where help, version, sample, table or manual page is asked for, nothing behind that flag is read and
 * `settings` is untouched. */
bool settings_load(struct settings *settings, int argc, char *const argv[], char *const environment[],
                   enum settings_request *request, struct settings_warnings *warnings,
                   struct error *error) MUST_CHECK;

/* Whether MODEL_NAME was given; otherwise, with ENGINE=http, the URL stands for it in keys. */
bool settings_name_model(const struct settings *settings);

/* The defaults alone, for tests. */
void settings_defaults(struct settings *settings);

void settings_print_help(FILE *stream);
void settings_print_config(const struct settings *settings, FILE *stream);
void settings_print_sample(FILE *stream);
void settings_print_markdown(FILE *stream);
void settings_print_man(FILE *stream);

#endif
