/* Characters and tokens of HTTP fields. */
#include "inferonce/http/syntax.h"

static void advance(struct bytes *rest, size_t n) {
    if (n > 0) {
        rest->data += n;
        rest->length -= n;
    }
}

static bool is_token_char(char c) {
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

void syntax_skip_space(struct bytes *rest) {
    size_t n = 0;
    while (n < rest->length && (rest->data[n] == ' ' || rest->data[n] == '\t'))
        n++;
    advance(rest, n);
}

bool syntax_take_char(struct bytes *rest, char c) {
    if (rest->length == 0 || rest->data[0] != c)
        return false;
    advance(rest, 1);
    return true;
}

struct bytes syntax_take_token(struct bytes *rest) {
    struct bytes token = {rest->data, 0};

    while (token.length < rest->length && is_token_char(rest->data[token.length]))
        token.length++;
    advance(rest, token.length);
    return token;
}

/* The opening quote was taken. */
static bool take_quoted_rest(struct bytes *rest, struct bytes *inside) {
    for (size_t i = 0; i < rest->length; i++) {
        if (rest->data[i] == '"') {
            *inside = (struct bytes){rest->data, i};
            advance(rest, i + 1);
            return true;
        }
        if (rest->data[i] == '\\')
            i++;
    }
    advance(rest, rest->length);
    return false;
}

bool syntax_take_value(struct bytes *rest, struct syntax_value *value) {
    struct bytes raw;
    bool quoted = syntax_take_char(rest, '"');
    if (quoted) {
        if (!take_quoted_rest(rest, &raw))
            return false;
    } else {
        raw = syntax_take_token(rest);
        if (raw.length == 0)
            return false;
    }
    *value = (struct syntax_value){raw, quoted};
    return true;
}

bool syntax_next_char(struct syntax_value *value, char *c) {
    if (value->quoted)
        syntax_take_char(&value->raw, '\\');
    if (value->raw.length == 0)
        return false;
    *c = value->raw.data[0];
    advance(&value->raw, 1);
    return true;
}

bool syntax_value_is(struct syntax_value value, const char *text) {
    char c;
    while (syntax_next_char(&value, &c)) {
        if (*text == '\0' || !bytes_equal_ignoring_case((struct bytes){&c, 1}, (struct bytes){text, 1}))
            return false;
        text++;
    }
    return *text == '\0';
}

void syntax_skip_past(struct bytes *rest, char separator) {
    struct bytes inside;
    while (rest->length > 0) {
        if (syntax_take_char(rest, separator))
            return;
        if (syntax_take_char(rest, '"'))
            (void)take_quoted_rest(rest, &inside);
        else
            advance(rest, 1);
    }
}
