#include "inferonce/cache/normalize.h"

#include <endian.h>

#include "inferonce/cache/points.h"

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))
#define HIGH_BITS        EACH_BYTE(0x80)

/* The first byte is in the lowest bits, on every host. */
static uint64_t load_word(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof(word));
    return le64toh(word);
}

static void store_word(char *at, uint64_t word) {
    word = htole64(word);
    memcpy(at, &word, sizeof(word));
}

/* The first byte in [at, end) that is not ASCII, or `end`. */
static const char *ascii_end(const char *at, const char *end) {
    while ((size_t)(end - at) >= sizeof(uint64_t) && !(load_word(at) & HIGH_BITS))
        at += sizeof(uint64_t);
    while (at < end && !(*at & 0x80))
        at++;
    return at;
}

bool normalize_is_utf8(struct bytes text) {
    if (text.length == 0)
        return true;
    const char *at = text.data, *end = at + text.length;
    while ((at = ascii_end(at, end)) < end) {
        do {
            size_t step = bytes_utf8_step((struct bytes){at, (size_t)(end - at)});
            if (step == 0)
                return false;
            at += step;
        } while (at < end && (*at & 0x80));
    }
    return true;
}

/* For words of ASCII: the high bit of each byte that lies in [low, high]. Bytes are below 80, so no sum
 * carries over. */
static uint64_t bytes_between(uint64_t word, uint8_t low, uint8_t high) {
    return ((word + EACH_BYTE(0x80u - low)) ^ (word + EACH_BYTE(0x7Fu - high))) & HIGH_BITS;
}

/* The way through an ASCII text. The text has white space before it, so to speak: leading one is then a
 * repeated one. */
struct folding {
    bool lower;
    bool after_space;
    char *to;
};

/* Eight bytes whose white space is single spaces, which in prose is nearly all. False: others; nothing was
 * done. */
static bool fold_word(struct folding *folding, uint64_t word) {
    uint64_t spaces = bytes_between(word, ' ', ' ');
    uint64_t repeated = spaces & (spaces << 8 | (uint64_t)folding->after_space << 7);
    if (repeated | bytes_between(word, '\t', '\r'))
        return false;
    store_word(folding->to, folding->lower ? word | bytes_between(word, 'A', 'Z') >> 2 : word);
    folding->to += sizeof(word);
    folding->after_space = spaces >> 63;
    return true;
}

static void fold_byte(struct folding *folding, char c) {
    bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (space && folding->after_space)
        return;
    bool capital = c >= 'A' && c <= 'Z';
    *folding->to++ = space ? ' ' : folding->lower && capital ? (char)(c | 0x20) : c;
    folding->after_space = space;
}

/* `to` has room for all of `text`. Returns how many bytes are left of it. */
static size_t fold_ascii(bool lower, struct bytes text, char *to) {
    struct folding folding = {.lower = lower, .after_space = true, .to = to};
    const char *at = text.data, *end = at + text.length;
    while ((size_t)(end - at) >= sizeof(uint64_t)) {
        const char *word_end = at + sizeof(uint64_t);
        if (!fold_word(&folding, load_word(at)))
            for (const char *byte = at; byte < word_end; byte++)
                fold_byte(&folding, *byte);
        at = word_end;
    }
    for (; at < end; at++)
        fold_byte(&folding, *at);
    if (folding.to > to && folding.to[-1] == ' ')
        folding.to--;
    return (size_t)(folding.to - to);
}

/* Below U+0300 every text is in NFC: the lead bytes of what is above are CC and higher. */
static bool is_surely_nfc(struct bytes text) {
    for (size_t i = 0; i < text.length; i++)
        if ((uint8_t)text.data[i] >= 0xCC)
            return false;
    return true;
}

static bool append_unicode(enum cache_normalize level, struct bytes text, struct buffer *out) {
    struct points points = {0};
    bool done = points_append(&points, text) && points_compose(&points);
    if (done && level >= CACHE_NORMALIZE_SPACE)
        points_collapse_space(&points);
    if (done && level >= CACHE_NORMALIZE_LOWER)
        done = points_lower(&points) && points_compose(&points);
    done = done && points_encode(&points, out);
    points_fini(&points);
    return done;
}

bool normalize_append(enum cache_normalize level, struct bytes text, struct buffer *out) {
    if (text.length == 0)
        return true;
    const char *end = text.data + text.length;
    bool ascii = ascii_end(text.data, end) == end;
    bool unchanged =
        level == CACHE_NORMALIZE_NONE || (level == CACHE_NORMALIZE_NFC && (ascii || is_surely_nfc(text)));
    if (!unchanged && !ascii)
        return append_unicode(level, text, out);
    char *to = buffer_reserve(out, text.length);
    if (!to)
        return false;
    if (unchanged)
        memcpy(to, text.data, text.length);
    out->length += unchanged ? text.length : fold_ascii(level == CACHE_NORMALIZE_LOWER, text, to);
    return true;
}
