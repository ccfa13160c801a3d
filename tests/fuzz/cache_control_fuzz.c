/* Any Cache-Control line is read into lawful directives. The input's first line feed
 * splits it in two field lines. */
#include <stdlib.h>
#include <string.h>

#include "inferonce/http/cache_control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cache_control read_lines(struct bytes first, struct bytes second) {
    struct cache_control control;

    cache_control_init(&control);
    cache_control_parse(&control, first);
    cache_control_parse(&control, second);
    return control;
}

static bool are_equal(const struct cache_control *a, const struct cache_control *b) {
    return a->present == b->present && a->no_cache == b->no_cache && a->no_store == b->no_store &&
           a->only_if_cached == b->only_if_cached && a->max_stale_any == b->max_stale_any &&
           a->max_age_s == b->max_age_s && a->min_fresh_s == b->min_fresh_s &&
           a->max_stale_s == b->max_stale_s && a->stale_if_error_s == b->stale_if_error_s;
}

static bool is_lawful(uint64_t seconds) {
    return seconds == SECONDS_ABSENT || seconds <= SECONDS_HUGE;
}

static void check_ranges(const struct cache_control *control) {
    INVARIANT(control->present);
    INVARIANT(is_lawful(control->max_age_s) && is_lawful(control->min_fresh_s));
    INVARIANT(is_lawful(control->max_stale_s) && is_lawful(control->stale_if_error_s));
    INVARIANT(!control->max_stale_any || control->max_stale_s == SECONDS_ABSENT);
}

/* Whether a quoted string is open at the end, reckoned without the parser. */
static bool ends_quoted(struct bytes line) {
    bool quoted = false;

    for (size_t i = 0; i < line.length; i++) {
        if (line.data[i] == '"')
            quoted = !quoted;
        else if (quoted && line.data[i] == '\\')
            i++;
    }
    return quoted;
}

/* An exact copy on the heap, so that the sanitizer sees a read behind its end. */
static char *exact_copy(const uint8_t *data, size_t size) {
    char *copy = malloc(size > 0 ? size : 1);

    INVARIANT(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = exact_copy(data, size);
    char *feed = memchr(text, '\n', size);
    size_t split = feed != NULL ? (size_t)(feed - text) : size;
    struct bytes first = {text, split};
    struct bytes second = {text + size, 0};

    if (feed != NULL)
        second = (struct bytes){feed + 1, size - split - 1};
    struct cache_control separate = read_lines(first, second);
    struct cache_control swapped = read_lines(second, first);
    struct cache_control twice = separate;
    cache_control_parse(&twice, first);
    cache_control_parse(&twice, second);
    check_ranges(&separate);
    INVARIANT(are_equal(&separate, &swapped));
    INVARIANT(are_equal(&separate, &twice));
    if (feed != NULL && !ends_quoted(first)) {
        *feed = ',';
        struct cache_control joined = read_lines((struct bytes){text, size}, (struct bytes){NULL, 0});
        INVARIANT(are_equal(&separate, &joined));
    }
    free(text);
    return 0;
}
