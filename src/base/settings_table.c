/* Holds the table of settings as data, and reads and writes one value of each kind. */
#include "base/settings_table.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "inferonce/base/server_address.h"
#include "inferonce/base/utf8.h"

static const char *check_any(struct bytes text) {
    (void)text;
    return NULL;
}

static const char *check_namespace(struct bytes text) {
    static const char EXPECTED[] = "expected 1 to 64 characters of A-Z, a-z, 0-9, '.', '_' and '-'";
    if (text.length < 1 || text.length > 64)
        return EXPECTED;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!letter && !(c >= '0' && c <= '9') && c != '.' && c != '_' && c != '-')
            return EXPECTED;
    }
    return NULL;
}

static bool begins_with(struct bytes text, struct bytes prefix) {
    return text.length >= prefix.length && memcmp(text.data, prefix.data, prefix.length) == 0;
}

/* Nothing is resolved: what an address means must not depend on who is asked. */
/* Keys of cache servers: printable ASCII, and short enough for the longest key that memcached takes. */
static const char *check_key_prefix(struct bytes text) {
    for (size_t i = 0; i < text.length; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return "printable ASCII without spaces";
    return text.length <= 185 ? NULL : "at most 185 bytes";
}

static const char *check_address(struct bytes text) {
    static const char EXPECTED[] =
        "expected unix:PATH, of at most 107 bytes, or tcp:ADDRESS:PORT with an IPv4 or [IPv6] address or "
        "localhost";
    struct bytes tcp_prefix = bytes_of("tcp:");
    struct server_address address;
    unsigned char binary[sizeof(struct in6_addr)];
    bool local = begins_with(text, bytes_of("unix:"));
    if (!local) {
        if (!begins_with(text, tcp_prefix))
            return EXPECTED;
        text = (struct bytes){text.data + tcp_prefix.length, text.length - tcp_prefix.length};
    }
    if (!server_address_next(&text, &address) || text.length > 0 || (address.port == 0) != local)
        return EXPECTED;
    return local || strcmp(address.host, "localhost") == 0 || inet_pton(AF_INET, address.host, binary) == 1 ||
                   inet_pton(AF_INET6, address.host, binary) == 1
               ? NULL
               : EXPECTED;
}

static const char *check_servers(struct bytes text) {
    struct server_address address;
    size_t n = 0;
    while (text.length > 0 && n < SERVERS_MAX && server_address_next(&text, &address))
        n++;
    return n > 0 && text.length == 0 ? NULL : "expected 1 to 32 of HOST:PORT or unix:PATH, comma-separated";
}

static const char *check_redis_url(struct bytes text) {
    struct redis_url url;
    if (begins_with(text, bytes_of("rediss://")))
        return "TLS (rediss://) is not supported; expected redis:// or unix://, perhaps to a TLS proxy on "
               "this "
               "host";
    return redis_url_read(text, &url) ? NULL
                                      : "expected redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] or "
                                        "unix://[[USER]:PASSWORD@]/PATH";
}

static bool is_port(struct bytes text) {
    uint64_t port;
    return bytes_to_number(text, &port) && port > 0 && port <= 65535;
}

/* Letters of other scripts are UTF-8 here. */
static bool is_host_byte(char c) {
    return isalnum((unsigned char)c) || (unsigned char)c >= 0x80 || strchr(".-_~%", c);
}

/* HOST, HOST:PORT, [IPv6] or [IPv6]:PORT in front of a path, without credentials: --print-config would show
 * them. */
static bool is_authority(struct bytes text) {
    size_t length = 0;
    size_t host = 0;
    while (length < text.length && !strchr("/?", text.data[length]))
        length++;
    if (length > 0 && text.data[0] == '[') {
        const char *end = memchr(text.data, ']', length);
        host = end && end > text.data + 1 ? (size_t)(end - text.data) + 1 : 0;
    } else {
        while (host < length && is_host_byte(text.data[host]))
            host++;
    }
    return host > 0 && (host == length || (text.data[host] == ':' &&
                                           is_port((struct bytes){text.data + host + 1, length - host - 1})));
}

/* SOCKET or SOCKET:/PATH, behind http+unix:// */
static bool is_socket_and_path(struct bytes text) {
    size_t length = 0;
    while (length < text.length &&
           !begins_with((struct bytes){text.data + length, text.length - length}, (struct bytes){":/", 2}))
        length++;
    return text.data[0] == '/' && length > 1 && length <= SERVER_HOST_MAX;
}

static const char *check_url(struct bytes text) {
    static const char EXPECTED[] =
        "expected http://HOST[:PORT]/PATH, https://HOST[:PORT]/PATH or http+unix:///SOCKET:/PATH, "
        "without credentials, spaces and a fragment";
    static const struct {
        struct bytes prefix;
        bool (*is_right)(struct bytes rest);
    } SCHEMES[] = {
        {LITERAL("http://"), is_authority},
        {LITERAL("https://"), is_authority},
        {LITERAL("http+unix://"), is_socket_and_path},
    };
    if (text.length == 0)
        return NULL;
    if (memchr(text.data, ' ', text.length) || memchr(text.data, '#', text.length))
        return EXPECTED;
    for (size_t i = 0; i < sizeof(SCHEMES) / sizeof(SCHEMES[0]); i++) {
        size_t length = SCHEMES[i].prefix.length;
        if (text.length > length && begins_with(text, SCHEMES[i].prefix))
            return SCHEMES[i].is_right((struct bytes){text.data + length, text.length - length}) ? NULL
                                                                                                 : EXPECTED;
    }
    return EXPECTED;
}

/* A name that needs no escapes in JSON. */
static const char *check_input_name(struct bytes text) {
    static const char EXPECTED[] = "expected at most 128 characters of A-Z, a-z, 0-9 and ._-:/";
    if (text.length > 128)
        return EXPECTED;
    for (size_t i = 0; i < text.length; i++)
        if (!isalnum((unsigned char)text.data[i]) && !(text.data[i] && strchr("._-:/", text.data[i])))
            return EXPECTED;
    return NULL;
}

/* A name or an address, and a port (RFC 9110 section 7.2): nothing that could end the header line. */
static const char *check_host(struct bytes text) {
    static const char EXPECTED[] = "expected HOST or HOST:PORT";
    for (size_t i = 0; i < text.length; i++)
        if (!isalnum((unsigned char)text.data[i]) && !(text.data[i] && strchr("._-:[]~%", text.data[i])))
            return EXPECTED;
    return text.length > 0 && text.data[0] == ':' ? EXPECTED : NULL;
}

const struct setting SETTING_ROWS[SETTING_ROWS_COUNT] = {
#define AT(field)        .offset = offsetof(struct settings, field)
#define GROUP_ROW(title) {.kind = SETTING_GROUP, .name = (title)},
#define TEXT_ROW(field, name_, preset_, rule, help_) \
    {.kind = SETTING_TEXT,                           \
     .name = #name_,                                 \
     .preset = (preset_),                            \
     .check = check_##rule,                          \
     .help = (help_),                                \
     AT(field)},
#define SECRET_ROW(field, name_, preset_, rule, help_) \
    {.kind = SETTING_SECRET,                           \
     .name = #name_,                                   \
     .preset = (preset_),                              \
     .check = check_##rule,                            \
     .help = (help_),                                  \
     AT(field)},
#define URL_ROW(field, name_, preset_, rule, help_) \
    {.kind = SETTING_URL,                           \
     .name = #name_,                                \
     .preset = (preset_),                           \
     .check = check_##rule,                         \
     .help = (help_),                               \
     AT(field)},
#define NUMBER_ROW(field, name_, preset_, lowest_, highest_, unit_, help_) \
    {.kind = SETTING_NUMBER,                                               \
     .name = #name_,                                                       \
     .preset = #preset_,                                                   \
     .lowest = #lowest_,                                                   \
     .highest = #highest_,                                                 \
     .unit = (unit_),                                                      \
     .help = (help_),                                                      \
     AT(field)},
#define SECONDS_ROW(field, name_, preset_, lowest_, highest_, help_) \
    {.kind = SETTING_SECONDS,                                        \
     .name = #name_,                                                 \
     .preset = #preset_,                                             \
     .lowest = #lowest_,                                             \
     .highest = #highest_,                                           \
     .unit = "s",                                                    \
     .help = (help_),                                                \
     AT(field)},
#define MODE_ROW(field, name_, preset_, help_) \
    {.kind = SETTING_MODE, .name = #name_, .preset = #preset_, .help = (help_), AT(field)},
#define CHOICE_ROW(field, name_, preset_, choices_, help_) \
    {.kind = SETTING_CHOICE,                               \
     .name = #name_,                                       \
     .preset = (preset_),                                  \
     .choices = (choices_),                                \
     .help = (help_),                                      \
     AT(field)},
    SETTINGS(GROUP_ROW, TEXT_ROW, SECRET_ROW, URL_ROW, NUMBER_ROW, SECONDS_ROW, MODE_ROW, CHOICE_ROW)};

const struct setting *setting_find(struct bytes name) {
    for (size_t i = 0; i < SETTING_ROWS_COUNT; i++)
        if (SETTING_ROWS[i].kind != SETTING_GROUP && bytes_equal(bytes_of(SETTING_ROWS[i].name), name))
            return &SETTING_ROWS[i];
    return NULL;
}

void setting_flag(const char *name, char flag[SETTING_NAME_MAX]) {
    size_t i = 0;
    for (; name[i] && i + 1 < SETTING_NAME_MAX; i++)
        flag[i] = name[i] == '_' ? '-' : (char)tolower((unsigned char)name[i]);
    flag[i] = '\0';
}

static void *field_of(const struct setting *row, struct settings *settings) {
    return (char *)settings + row->offset;
}

static const void *field_to_read(const struct setting *row, const struct settings *settings) {
    return (const char *)settings + row->offset;
}

static bool has_control_character(struct bytes text) {
    for (size_t i = 0; i < text.length; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return true;
    return false;
}

static bool set_text(const struct setting *row, char *field, struct bytes value, struct error *expected) {
    const char *wanted = NULL;
    if (value.length >= SETTING_TEXT_MAX) {
        error_set(expected, "expected at most %d bytes", SETTING_TEXT_MAX - 1);
        return false;
    }
    if (has_control_character(value))
        wanted = "expected a text without control characters";
    else if (!utf8_is_valid(value))
        wanted = "expected UTF-8";
    else
        wanted = row->check(value);
    if (wanted) {
        error_set(expected, "%s", wanted);
        return false;
    }
    if (value.length > 0)
        memcpy(field, value.data, value.length);
    field[value.length] = '\0';
    return true;
}

/* Decimal seconds as milliseconds, digit by digit: neither a locale nor binary rounding has a say. Saturates.
 */
static bool parse_seconds(struct bytes text, uint64_t *ms) {
    const char *point = text.length > 0 ? memchr(text.data, '.', text.length) : NULL;
    struct bytes whole = {text.data, point ? (size_t)(point - text.data) : text.length};
    uint64_t seconds;
    uint64_t thousandths = 0;
    if (!bytes_to_number(whole, &seconds))
        return false;
    if (point) {
        struct bytes fraction = {point + 1, text.length - whole.length - 1};
        if (fraction.length > 3 || !bytes_to_number(fraction, &thousandths))
            return false;
        for (size_t i = fraction.length; i < 3; i++)
            thousandths *= 10;
    }
    *ms = seconds > UINT64_MAX / 1000 - 1 ? UINT64_MAX : seconds * 1000 + thousandths;
    return true;
}

static bool parse(enum setting_kind kind, struct bytes text, uint64_t *number) {
    return kind == SETTING_SECONDS ? parse_seconds(text, number) : bytes_to_number(text, number);
}

/* Reads "1h" as seconds, for the hint in an error; false when it is not a number and a unit of time. */
static bool read_duration(struct bytes value, uint64_t *ms) {
    static const struct {
        struct bytes unit;
        uint64_t ms;
    } UNITS[] = {{LITERAL("ms"), 1},       {LITERAL("s"), 1000},     {LITERAL("sec"), 1000},
                 {LITERAL("m"), 60000},    {LITERAL("min"), 60000},  {LITERAL("h"), 3600000},
                 {LITERAL("d"), 86400000}, {LITERAL("w"), 604800000}};
    size_t digits = 0;
    uint64_t number;
    while (digits < value.length && isdigit((unsigned char)value.data[digits]))
        digits++;
    struct bytes unit = bytes_trim((struct bytes){value.data + digits, value.length - digits});
    if (!bytes_to_number((struct bytes){value.data, digits}, &number))
        return false;
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        if (bytes_equal_ignoring_case(unit, UNITS[i].unit)) {
            *ms = number * UNITS[i].ms;
            return number <= UINT64_MAX / UNITS[i].ms;
        }
    }
    return false;
}

static void seconds_to_text(uint64_t ms, char text[SETTING_TEXT_MAX]) {
    int length = snprintf(text, SETTING_TEXT_MAX, "%" PRIu64 ".%03u", ms / 1000, (unsigned)(ms % 1000));
    while (text[length - 1] == '0')
        text[--length] = '\0';
    if (text[length - 1] == '.')
        text[--length] = '\0';
}

static void expect_seconds(const struct setting *row, struct bytes value, struct error *expected) {
    char seconds[SETTING_TEXT_MAX];
    uint64_t ms;
    bool point = value.length > 0 && memchr(value.data, '.', value.length);
    if (read_duration(value, &ms)) {
        seconds_to_text(ms, seconds);
        error_set(expected, "expected seconds from %s to %s, without a unit: %.32s", row->lowest,
                  row->highest, seconds);
    } else {
        error_set(expected, "expected seconds from %s to %s%s", row->lowest, row->highest,
                  point ? ", with at most 3 decimals" : "");
    }
}

static bool set_number(const struct setting *row, uint64_t *field, struct bytes value,
                       struct error *expected) {
    uint64_t number;
    uint64_t lowest = 0;
    uint64_t highest = 0;
    bool limits = parse(row->kind, bytes_of(row->lowest), &lowest) &&
                  parse(row->kind, bytes_of(row->highest), &highest);
    INVARIANT(limits);
    if (parse(row->kind, value, &number) && number >= lowest && number <= highest) {
        *field = number;
        return true;
    }
    if (row->kind == SETTING_NUMBER)
        error_set(expected, "expected a number of %s from %s to %s", row->unit, row->lowest, row->highest);
    else
        expect_seconds(row, value, expected);
    return false;
}

static bool set_mode(uint64_t *field, struct bytes value, struct error *expected) {
    uint64_t mode = 0;
    bool octal = value.length > 0;
    for (size_t i = 0; i < value.length && octal && mode <= 0777; i++) {
        octal = value.data[i] >= '0' && value.data[i] <= '7';
        mode = mode * 8 + (uint64_t)(value.data[i] - '0');
    }
    if (!octal || mode > 0777) {
        error_set(expected, "expected an octal file mode from 0000 to 0777");
        return false;
    }
    *field = mode;
    return true;
}

/* The choice at `at`, which is moved behind it; false behind the last one. */
static bool next_choice(const char **at, struct bytes *choice) {
    if (**at == '\0')
        return false;
    size_t length = strcspn(*at, "|");
    *choice = (struct bytes){*at, length};
    *at += length;
    if (**at == '|')
        (*at)++;
    return true;
}

static bool set_choice(const struct setting *row, int *field, struct bytes value, struct error *expected) {
    const char *at = row->choices;
    struct bytes choice;
    for (int i = 0; next_choice(&at, &choice); i++) {
        if (bytes_equal_ignoring_case(choice, value)) {
            *field = i;
            return true;
        }
    }
    error_set(expected, "expected one of %s", row->choices);
    return false;
}

bool setting_set(const struct setting *row, struct settings *settings, struct bytes value,
                 struct error *expected) {
    void *field = field_of(row, settings);
    switch (row->kind) {
    case SETTING_TEXT:
    case SETTING_SECRET:
    case SETTING_URL:
        return set_text(row, field, value, expected);
    case SETTING_NUMBER:
    case SETTING_SECONDS:
        return set_number(row, field, value, expected);
    case SETTING_MODE:
        return set_mode(field, value, expected);
    case SETTING_CHOICE:
        return set_choice(row, field, value, expected);
    case SETTING_GROUP:
        break;
    }
    INVARIANT(row->kind != SETTING_GROUP);
    return false;
}

static void choice_to_text(const struct setting *row, int index, char text[SETTING_TEXT_MAX]) {
    const char *at = row->choices;
    struct bytes choice = {"", 0};
    for (int i = 0; i <= index && next_choice(&at, &choice); i++)
        ;
    snprintf(text, SETTING_TEXT_MAX, "%.*s", (int)choice.length, choice.data);
}

void setting_get(const struct setting *row, const struct settings *settings, char text[SETTING_TEXT_MAX]) {
    const void *field = field_to_read(row, settings);
    switch (row->kind) {
    case SETTING_TEXT:
    case SETTING_SECRET:
    case SETTING_URL:
        snprintf(text, SETTING_TEXT_MAX, "%s", (const char *)field);
        break;
    case SETTING_NUMBER:
        snprintf(text, SETTING_TEXT_MAX, "%" PRIu64, *(const uint64_t *)field);
        break;
    case SETTING_SECONDS:
        seconds_to_text(*(const uint64_t *)field, text);
        break;
    case SETTING_MODE:
        snprintf(text, SETTING_TEXT_MAX, "%04" PRIo64, *(const uint64_t *)field);
        break;
    case SETTING_CHOICE:
        choice_to_text(row, *(const int *)field, text);
        break;
    case SETTING_GROUP:
        text[0] = '\0';
        break;
    }
}

/* Finds what looks like a password in a URL without an @: behind the colon of HOST:PORT, and no port. */
static bool is_forgotten_host(struct bytes rest, size_t *colon) {
    const char *slash = rest.length > 0 ? memchr(rest.data, '/', rest.length) : NULL;
    size_t length = slash ? (size_t)(slash - rest.data) : rest.length;
    const char *last = length > 0 ? memrchr(rest.data, ':', length) : NULL;
    uint64_t port;
    if (!last)
        return false;
    *colon = (size_t)(last - rest.data);
    return *colon == 0 || !bytes_to_number((struct bytes){last + 1, length - *colon - 1}, &port);
}

bool setting_hide_password(struct bytes url, char text[SETTING_TEXT_MAX]) {
    const char *mark = url.length > 0 ? memmem(url.data, url.length, "://", 3) : NULL;
    size_t scheme = mark ? (size_t)(mark - url.data) + 3 : 0;
    struct bytes rest = {url.data + scheme, url.length - scheme};
    const char *at = rest.length > 0 ? memrchr(rest.data, '@', rest.length) : NULL;
    struct bytes tail = {NULL, 0};
    size_t head = scheme;
    size_t colon = 0;
    if (at) {
        const char *first = memchr(rest.data, ':', (size_t)(at - rest.data));
        head += first ? (size_t)(first - rest.data) + 1 : 0;
        tail = (struct bytes){at, (size_t)(rest.data + rest.length - at)};
    } else if (mark && !is_forgotten_host(rest, &colon)) {
        snprintf(text, SETTING_TEXT_MAX, "%.*s", (int)url.length, url.data);
        return false;
    } else {
        head += mark ? colon + 1 : 0;
    }
    snprintf(text, SETTING_TEXT_MAX, "%.*s***%.*s", (int)head, url.data, (int)tail.length, tail.data);
    return true;
}
