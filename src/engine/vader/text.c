/* Takes a text apart into words, as the reference implementation of VADER does. */
#include "engine/vader/text.h"

static bool is_wide_space(unsigned point) {
    return point == 0x1680 || (point >= 0x2000 && point <= 0x200a) || point == 0x2028 || point == 0x2029 ||
           point == 0x202f || point == 0x205f || point == 0x3000 || point == 0xfeff;
}

/* The length in bytes of the white space at the front of `text`; 0: there is none. White space is what
 * ECMAScript's \s matches, for that is what the reference implementation splits at. */
static inline size_t white_space(struct bytes text) {
    const unsigned char *byte = (const unsigned char *)text.data;
    if (byte[0] > ' ' && byte[0] < 0xc2) /* nearly always */
        return 0;
    if (byte[0] < 0x80)
        return byte[0] == ' ' || (byte[0] >= '\t' && byte[0] <= '\r') ? 1 : 0;
    if (byte[0] == 0xc2)
        return text.length >= 2 && byte[1] == 0xa0 ? 2 : 0;
    if (byte[0] < 0xe1 || byte[0] > 0xef || text.length < 3 || (byte[1] & 0xc0) != 0x80 ||
        (byte[2] & 0xc0) != 0x80)
        return 0;
    return is_wide_space((byte[0] & 0xfu) << 12 | (byte[1] & 0x3fu) << 6 | (byte[2] & 0x3fu)) ? 3 : 0;
}

static struct bytes from(struct bytes bytes, size_t offset) {
    return (struct bytes){bytes.data + offset, bytes.length - offset};
}

static bool is_punctuation(char c) {
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
}

/* More than one UTF-16 code unit: the reference implementation counts those, and so takes a letter outside
 * ASCII for one character but an emoji for two. */
static bool is_longer_than_one(struct bytes word) {
    if (word.length < 2)
        return false;
    unsigned char first = (unsigned char)word.data[0];
    size_t of_first = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 0;
    return word.length > of_first;
}

/* Punctuation that may stand before or behind a word without being part of it. */
static bool is_removable(struct bytes punctuation) {
    static const char *const REMOVABLE[] = {".",  "!",   "?",  ",",   ";",   ":",   "-",    "'",   "\"",
                                            "!!", "!!!", "??", "???", "?!?", "!?!", "?!?!", "!?!?"};

    for (size_t i = 0; i < sizeof(REMOVABLE) / sizeof(REMOVABLE[0]); i++) {
        if (bytes_equal(punctuation, bytes_of(REMOVABLE[i])))
            return true;
    }
    return false;
}

/* Takes punctuation from a word that has it at one end only and nowhere else: "good!!" becomes "good", while
 * ":)", "'quoted'" and "don't." stay as they are. The reference implementation does it so. */
static struct bytes without_punctuation(struct bytes word) {
    size_t start = 0, end = word.length;
    while (start < end && is_punctuation(word.data[start]))
        start++;
    while (end > start && is_punctuation(word.data[end - 1]))
        end--;
    if ((start == 0) == (end == word.length))
        return word;
    for (size_t i = start; i < end; i++) {
        if (is_punctuation(word.data[i]))
            return word;
    }
    struct bytes bare = {word.data + start, end - start};
    struct bytes punctuation = start > 0 ? (struct bytes){word.data, start} : from(word, end);
    return is_longer_than_one(bare) && is_removable(punctuation) ? bare : word;
}

static void spend(size_t *bytes, size_t read) {
    *bytes -= read < *bytes ? read : *bytes;
}

/* Past the white space at the front. */
static void skip_space(struct bytes *rest, size_t *bytes) {
    size_t space;
    while (*bytes > 0 && rest->length > 0 && (space = white_space(*rest)) > 0) {
        *rest = from(*rest, space);
        spend(bytes, space);
    }
}

enum vader_next vader_text_next(struct vader_reading *reading, size_t *bytes, struct bytes *word,
                                struct bytes *token) {
    struct bytes *rest = &reading->rest;
    if (reading->scanned == 0)
        skip_space(rest, bytes);
    if (rest->length == 0)
        return VADER_END;
    size_t most = rest->length - reading->scanned < *bytes ? rest->length : reading->scanned + *bytes;
    size_t end = reading->scanned;
    while (end < most && white_space(from(*rest, end)) == 0)
        end++;
    spend(bytes, end - reading->scanned);
    reading->scanned = end;
    if (end == most && end < rest->length)
        return VADER_MORE;
    reading->scanned = 0;
    *token = (struct bytes){rest->data, end};
    *rest = from(*rest, end);
    *word = is_longer_than_one(*token) ? without_punctuation(*token) : (struct bytes){token->data, 0};
    return VADER_WORD;
}
