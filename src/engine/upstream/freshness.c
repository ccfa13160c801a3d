/* Reads what a model's server says of how long its answer may be kept. */
#include "engine/upstream/freshness.h"

#include "inferonce/http/date.h"
#include "inferonce/http/syntax.h"

/* Keeps what is computed with it far from an overflow: 68 years, as RFC 9111 section 1.2.2 has it. */
#define SECONDS_MOST UINT64_C(2147483648)

/* The directive's argument; what is no number of seconds makes the answer stale (section 4.2.1). */
static uint64_t read_seconds(struct syntax_value value) {
    uint64_t seconds = 0;
    size_t digits = 0;
    char c;
    for (; syntax_next_char(&value, &c); digits++) {
        if (c < '0' || c > '9')
            return 0;
        seconds = seconds * 10 + (uint64_t)(c - '0');
        if (seconds > SECONDS_MOST)
            seconds = SECONDS_MOST;
    }
    return digits > 0 ? seconds : 0;
}

static void lower(bool *has, uint64_t *limit, uint64_t seconds) {
    if (!*has || seconds < *limit)
        *limit = seconds;
    *has = true;
}

static bool is(struct bytes name, const char *directive) {
    return bytes_equal_ignoring_case(name, bytes_of(directive));
}

void freshness_read_cache_control(struct freshness *freshness, struct bytes field_value) {
    struct bytes rest = field_value;
    while (rest.length > 0) {
        struct syntax_value value;
        syntax_skip_space(&rest);
        struct bytes name = syntax_take_token(&rest);
        uint64_t seconds = 0;
        if (syntax_take_char(&rest, '=') && syntax_take_value(&rest, &value))
            seconds = read_seconds(value);
        syntax_skip_past(&rest, ',');
        /* private="field" and no-cache="field" restrict less; to take them for the whole is allowed. */
        if (is(name, "no-store") || is(name, "private") || is(name, "no-cache"))
            freshness->forbidden = true;
        else if (is(name, "max-age"))
            lower(&freshness->has_max_age, &freshness->max_age_s, seconds);
        else if (is(name, "s-maxage"))
            lower(&freshness->has_s_maxage, &freshness->s_maxage_s, seconds);
    }
}

void freshness_read_age(struct freshness *freshness, struct bytes field_value) {
    uint64_t seconds;
    if (!bytes_to_number(bytes_trim(field_value), &seconds))
        return;
    freshness->age_s = seconds < SECONDS_MOST ? seconds : SECONDS_MOST;
}

void freshness_read_expires(struct freshness *freshness, struct bytes field_value) {
    int64_t expires_s;
    if (!http_date_read(field_value, &expires_s))
        expires_s = 0;
    if (!freshness->has_expires || expires_s < freshness->expires_s)
        freshness->expires_s = expires_s;
    freshness->has_expires = true;
}

void freshness_read_date(struct freshness *freshness, struct bytes field_value) {
    freshness->has_date = http_date_read(field_value, &freshness->date_s);
}

void freshness_read_vary(struct freshness *freshness, struct bytes field_value) {
    while (field_value.length > 0) {
        syntax_skip_space(&field_value);
        if (is(syntax_take_token(&field_value), "*"))
            freshness->forbidden = true;
        syntax_skip_past(&field_value, ',');
    }
}

/* UINT64_MAX: it did not say. */
static uint64_t lifetime_s(const struct freshness *freshness, int64_t now_s) {
    int64_t from_s = freshness->has_date ? freshness->date_s : now_s;
    if (freshness->has_s_maxage)
        return freshness->s_maxage_s;
    if (freshness->has_max_age)
        return freshness->max_age_s;
    if (!freshness->has_expires)
        return UINT64_MAX;
    return freshness->expires_s > from_s ? (uint64_t)(freshness->expires_s - from_s) : 0;
}

uint64_t freshness_lifetime_ms(const struct freshness *freshness, int64_t now_s) {
    uint64_t seconds = lifetime_s(freshness, now_s);
    if (seconds == UINT64_MAX)
        return UINT64_MAX;
    if (seconds > SECONDS_MOST)
        seconds = SECONDS_MOST;
    return seconds > freshness->age_s ? (seconds - freshness->age_s) * 1000 : 0;
}
