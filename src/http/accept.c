/* Chooses a media type by Accept. */
#include "inferonce/http/accept.h"

#include "inferonce/http/syntax.h"

/* How exactly a range names a media type; the order is that of RFC 9110 section 12.5.1. */
enum precision { NO_MATCH, ANY_TYPE, ANY_SUBTYPE, EXACT, EXACT_VERSION };

struct range {
    struct bytes type;
    struct bytes subtype;
    struct bytes version; /* data NULL: not given */
    unsigned quality;
};

/* qvalue of RFC 9110 section 12.4.2: at most three decimals, at most 1. */
static bool read_quality(struct bytes text, unsigned *quality) {
    if (text.length == 0 || text.length > 5 || (text.data[0] != '0' && text.data[0] != '1'))
        return false;
    if (text.length > 1 && text.data[1] != '.')
        return false;
    unsigned thousandths = text.data[0] == '1' ? ACCEPT_QUALITY_MAX : 0;
    unsigned weight = ACCEPT_QUALITY_MAX / 10;
    for (size_t i = 2; i < text.length; i++, weight /= 10) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        thousandths += (unsigned)(text.data[i] - '0') * weight;
    }
    *quality = thousandths;
    return thousandths <= ACCEPT_QUALITY_MAX;
}

/* The next parameter, behind its semicolon; it may be empty (RFC 9110 section 5.6.6). */
static bool take_parameter(struct bytes *rest, struct range *range) {
    struct syntax_value value;
    syntax_skip_space(rest);
    struct bytes name = syntax_take_token(rest);
    if (name.length == 0)
        return true;
    if (!syntax_take_char(rest, '='))
        return false;
    if (!syntax_take_value(rest, &value))
        return false;
    if (bytes_equal_ignoring_case(name, bytes_of("q")))
        return !value.quoted && read_quality(value.raw, &range->quality);
    if (bytes_equal_ignoring_case(name, bytes_of("version")))
        range->version = value.raw;
    return true;
}

/* False: malformed. */
static bool take_range(struct bytes *rest, struct range *range) {
    *range = (struct range){.quality = ACCEPT_QUALITY_MAX};
    range->type = syntax_take_token(rest);
    if (range->type.length == 0 || !syntax_take_char(rest, '/'))
        return false;
    range->subtype = syntax_take_token(rest);
    if (range->subtype.length == 0)
        return false;
    syntax_skip_space(rest);
    while (syntax_take_char(rest, ';')) {
        if (!take_parameter(rest, range))
            return false;
        syntax_skip_space(rest);
    }
    return rest->length == 0 || rest->data[0] == ',';
}

static enum precision precision_of(const struct range *range, const struct media_type *offered) {
    const struct bytes any = bytes_of("*");
    if (bytes_equal(range->type, any))
        return bytes_equal(range->subtype, any) ? ANY_TYPE : NO_MATCH;
    if (!bytes_equal_ignoring_case(range->type, bytes_of(offered->type)))
        return NO_MATCH;
    if (bytes_equal(range->subtype, any))
        return ANY_SUBTYPE;
    if (!bytes_equal_ignoring_case(range->subtype, bytes_of(offered->subtype)))
        return NO_MATCH;
    if (!range->version.data)
        return EXACT;
    return bytes_equal(range->version, bytes_of(offered->version)) ? EXACT_VERSION : NO_MATCH;
}

/* The best range that was found so far. */
struct choice {
    enum precision precision;
    unsigned quality;
};

static void choose(struct choice *choice, struct bytes line, const struct media_type *offered) {
    struct range range;
    while (line.length > 0) {
        syntax_skip_space(&line);
        enum precision precision = take_range(&line, &range) ? precision_of(&range, offered) : NO_MATCH;
        if (precision > choice->precision ||
            (precision == choice->precision && precision != NO_MATCH && range.quality > choice->quality))
            *choice = (struct choice){precision, range.quality};
        syntax_skip_past(&line, ',');
    }
}

unsigned accept_quality(const struct field_lines *accept, const struct media_type *offered) {
    struct choice choice = {NO_MATCH, 0};
    bool empty = true;

    for (size_t i = 0; i < accept->n; i++) {
        struct bytes line = bytes_trim(accept->lines[i]);
        empty = empty && line.length == 0;
        choose(&choice, line, offered);
    }
    return empty ? ACCEPT_QUALITY_MAX : choice.quality;
}
