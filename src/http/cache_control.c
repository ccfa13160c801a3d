/* Parses Cache-Control of requests. */
#include "inferonce/http/cache_control.h"

#include "inferonce/http/syntax.h"

enum argument_kind { ARGUMENT_NONE, ARGUMENT_SECONDS, ARGUMENT_MALFORMED };

/* The text between a directive's name and the next comma. */
struct argument {
    enum argument_kind kind;
    uint64_t seconds;
};

void cache_control_init(struct cache_control *control) {
    *control = (struct cache_control){
        .max_age_s = SECONDS_ABSENT,
        .min_fresh_s = SECONDS_ABSENT,
        .max_stale_s = SECONDS_ABSENT,
        .stale_if_error_s = SECONDS_ABSENT,
    };
}

static bool read_seconds(struct syntax_value value, uint64_t *seconds) {
    uint64_t number = 0;
    size_t digits = 0;
    char c;
    while (syntax_next_char(&value, &c)) {
        if (c < '0' || c > '9')
            return false;
        number = number * 10 + (uint64_t)(c - '0');
        if (number > SECONDS_HUGE)
            number = SECONDS_HUGE;
        digits++;
    }
    if (digits == 0)
        return false;
    *seconds = number;
    return true;
}

/* Reads up to the next comma and takes it. Anything that the grammar does not have there makes the argument a
 * malformed one: what the client meant is not known then, and each directive has its own safe reading of
 * that. */
static struct argument take_argument(struct bytes *rest) {
    struct argument argument = {ARGUMENT_NONE, 0};
    struct syntax_value value;

    if (syntax_take_char(rest, '=')) {
        bool is_seconds = syntax_take_value(rest, &value) && read_seconds(value, &argument.seconds);
        argument.kind = is_seconds ? ARGUMENT_SECONDS : ARGUMENT_MALFORMED;
    }
    syntax_skip_space(rest);
    if (rest->length > 0 && rest->data[0] != ',')
        argument.kind = ARGUMENT_MALFORMED;
    syntax_skip_past(rest, ',');
    return argument;
}

/* SECONDS_ABSENT is greater than any number of seconds. */
static void lower(uint64_t *limit, uint64_t seconds) {
    if (seconds < *limit)
        *limit = seconds;
}

static void apply_max_age(struct cache_control *control, struct argument argument) {
    lower(&control->max_age_s, argument.kind == ARGUMENT_SECONDS ? argument.seconds : 0);
}

static void apply_min_fresh(struct cache_control *control, struct argument argument) {
    uint64_t seconds = argument.kind == ARGUMENT_SECONDS ? argument.seconds : SECONDS_HUGE;
    if (control->min_fresh_s == SECONDS_ABSENT || seconds > control->min_fresh_s)
        control->min_fresh_s = seconds;
}

static void apply_max_stale(struct cache_control *control, struct argument argument) {
    if (argument.kind == ARGUMENT_SECONDS)
        lower(&control->max_stale_s, argument.seconds);
    else if (argument.kind == ARGUMENT_NONE)
        control->max_stale_any = true;
    if (control->max_stale_s != SECONDS_ABSENT)
        control->max_stale_any = false;
}

static void apply_stale_if_error(struct cache_control *control, struct argument argument) {
    if (argument.kind == ARGUMENT_SECONDS)
        lower(&control->stale_if_error_s, argument.seconds);
}

/* An argument that these have not is ignored (RFC 9111 section 5.2 asks no less of `no-cache="x"`). */
static void apply_no_cache(struct cache_control *control, struct argument argument) {
    (void)argument;
    control->no_cache = true;
}

static void apply_no_store(struct cache_control *control, struct argument argument) {
    (void)argument;
    control->no_store = true;
}

static void apply_only_if_cached(struct cache_control *control, struct argument argument) {
    (void)argument;
    control->only_if_cached = true;
}

static const struct directive {
    struct bytes name;
    void (*apply)(struct cache_control *control, struct argument argument);
} DIRECTIVES[] = {
#define DIRECTIVE(name, apply) \
    { {(name), sizeof(name) - 1}, (apply) }
    DIRECTIVE("no-cache", apply_no_cache),
    DIRECTIVE("no-store", apply_no_store),
    DIRECTIVE("max-age", apply_max_age),
    DIRECTIVE("min-fresh", apply_min_fresh),
    DIRECTIVE("max-stale", apply_max_stale),
    DIRECTIVE("only-if-cached", apply_only_if_cached),
    DIRECTIVE("stale-if-error", apply_stale_if_error),
#undef DIRECTIVE
};

static void apply(struct cache_control *control, struct bytes name, struct argument argument) {
    for (size_t i = 0; i < sizeof(DIRECTIVES) / sizeof(DIRECTIVES[0]); i++) {
        if (bytes_equal_ignoring_case(name, DIRECTIVES[i].name)) {
            DIRECTIVES[i].apply(control, argument);
            return;
        }
    }
}

void cache_control_parse(struct cache_control *control, struct bytes field_value) {
    struct bytes rest = field_value;
    control->present = true;
    while (rest.length > 0) {
        syntax_skip_space(&rest);
        struct bytes name = syntax_take_token(&rest);
        struct argument argument = take_argument(&rest);
        if (name.length > 0)
            apply(control, name, argument);
    }
}

void cache_control_apply_pragma(struct cache_control *control, const struct cache_control *pragma) {
    /* All that Pragma can say. */
    if (!control->present)
        control->no_cache |= pragma->no_cache;
}
