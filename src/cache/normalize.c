#include "inferonce/cache/normalize.h"

#include "inferonce/base/eight_bytes.h"
#include "inferonce/base/little_endian.h"
#include "inferonce/base/utf8.h"
#include "inferonce/cache/points.h"

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
    store_u64(folding->to, folding->lower ? word | bytes_between(word, 'A', 'Z') >> 2 : word);
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
        if (!fold_word(&folding, load_u64(at)))
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
    bool ascii = utf8_ascii_end(text.data, end) == end;
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
