/* Brings a text into its normal form, in slices. */
#include "cache/normalize.h"

#include "inferonce/base/eight_bytes.h"
#include "inferonce/base/little_endian.h"
#include "inferonce/base/utf8.h"

#define SPACE 0x20

/* Bytes that are looked at, copied or folded for one of a budget. */
#define LOOKED_AT_ONCE 8
#define FOLDED_AT_ONCE 4

/* ---- ASCII ---- */

/* For words of ASCII: the high bit of each byte that lies in [low, high]. Bytes are below 80, so no sum
 * carries over. */
static uint64_t bytes_between(uint64_t word, uint8_t low, uint8_t high) {
    return ((word + EACH_BYTE(0x80u - low)) ^ (word + EACH_BYTE(0x7Fu - high))) & HIGH_BITS;
}

/* The way through an ASCII text. */
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

static void fold_ascii(struct folding *folding, const char *at, const char *end) {
    while ((size_t)(end - at) >= sizeof(uint64_t)) {
        const char *word_end = at + sizeof(uint64_t);
        if (!fold_word(folding, load_u64(at)))
            for (const char *byte = at; byte < word_end; byte++)
                fold_byte(folding, *byte);
        at = word_end;
    }
    for (; at < end; at++)
        fold_byte(folding, *at);
}

/* ---- what a text needs ---- */

/* Below U+0300 every text is in NFC: the lead bytes of what is above are CC and higher. */
static bool is_surely_nfc(const char *at, const char *end) {
    bool above = false;
    for (; at < end; at++)
        above |= (uint8_t)*at >= 0xCC;
    return !above;
}

/* How many bytes may be gone through, `per_step` for each of the budget, which is lowered. */
static size_t spend(size_t *budget, size_t left, size_t per_step) {
    size_t steps = (left + per_step - 1) / per_step;
    if (steps <= *budget) {
        *budget -= steps;
        return left;
    }
    size_t spent = *budget;
    *budget = 0;
    return spent * per_step;
}

/* Looks until the end, or until it is known that the text has to be composed. */
static enum normalize_status look(struct normalizer *normalizer, size_t *budget) {
    const char *end =
        normalizer->looked + spend(budget, (size_t)(normalizer->end - normalizer->looked), LOOKED_AT_ONCE);
    bool simple = normalizer->level == CACHE_NORMALIZE_NONE;
    normalizer->ascii = normalizer->ascii && utf8_ascii_end(normalizer->looked, end) == end;
    if (!simple && !normalizer->ascii)
        simple = normalizer->level == CACHE_NORMALIZE_NFC && is_surely_nfc(normalizer->looked, end);
    normalizer->looked = end;
    if (!simple && !normalizer->ascii) {
        normalizer->phase = NORMALIZE_COMPOSING;
    } else {
        if (end < normalizer->end)
            return NORMALIZE_MORE;
        normalizer->phase = normalizer->level <= CACHE_NORMALIZE_NFC ? NORMALIZE_COPYING : NORMALIZE_FOLDING;
    }
    size_t length = (size_t)(normalizer->end - normalizer->at);
    return buffer_reserve(normalizer->out, length) != NULL ? NORMALIZE_DONE : NORMALIZE_NO_MEMORY;
}

/* There is room for all of the text. */
static enum normalize_status copy(struct normalizer *normalizer, size_t *budget) {
    size_t n = spend(budget, (size_t)(normalizer->end - normalizer->at), LOOKED_AT_ONCE);
    buffer_append(normalizer->out, normalizer->at, n);
    normalizer->at += n;
    return normalizer->at < normalizer->end ? NORMALIZE_MORE : NORMALIZE_DONE;
}

/* A space that the text ends with. */
static void trim(struct normalizer *normalizer) {
    if (normalizer->after_space && normalizer->out->length > normalizer->start)
        normalizer->out->length--;
}

static enum normalize_status fold(struct normalizer *normalizer, size_t *budget) {
    struct buffer *out = normalizer->out;
    struct folding folding = {.lower = normalizer->level == CACHE_NORMALIZE_LOWER,
                              .after_space = normalizer->after_space,
                              .to = out->data + out->length};
    size_t n = spend(budget, (size_t)(normalizer->end - normalizer->at), FOLDED_AT_ONCE);
    fold_ascii(&folding, normalizer->at, normalizer->at + n);
    normalizer->at += n;
    normalizer->after_space = folding.after_space;
    out->length = (size_t)(folding.to - out->data);
    if (normalizer->at < normalizer->end)
        return NORMALIZE_MORE;
    trim(normalizer);
    return NORMALIZE_DONE;
}

/* ---- character by character: each step asks the one before it ---- */

static enum flow next_of_text(void *context, int32_t *point, size_t *budget) {
    struct normalizer *normalizer = context;
    const char *at = normalizer->at;
    if (at == normalizer->end)
        return FLOW_OVER;
    if (*budget == 0)
        return FLOW_MORE;
    uint8_t lead = (uint8_t)*at;
    size_t width = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    *budget -= width < *budget ? width : *budget;
    *point = (int32_t)utf8_read(at);
    normalizer->at = at + width;
    return FLOW_POINT;
}

static enum flow next_collapsed(struct normalizer *normalizer, int32_t *point, size_t *budget) {
    for (;;) {
        enum flow flow = compose_next(&normalizer->first, next_of_text, normalizer, point, budget);
        if (flow != FLOW_POINT || normalizer->level < CACHE_NORMALIZE_SPACE)
            return flow;
        bool space = casing_is_white_space(*point);
        bool repeated = space && normalizer->after_space;
        normalizer->after_space = space;
        if (space)
            *point = SPACE;
        if (!repeated)
            return FLOW_POINT;
    }
}

/* A sigma that was written as if letters followed. */
static void correct(struct normalizer *normalizer, const struct casing_sigma *sigma) {
    if (sigma)
        (void)utf8_write(normalizer->out->data + sigma->at, CASING_FINAL_SIGMA);
}

static enum flow next_lowered(void *context, int32_t *point, size_t *budget) {
    struct normalizer *normalizer = context;
    struct casing *casing = &normalizer->casing;
    const struct casing_sigma *closed;
    if (casing->extra != 0) {
        *point = casing->extra;
        casing->extra = 0;
        return FLOW_POINT;
    }
    enum flow flow = next_collapsed(normalizer, point, budget);
    if (flow == FLOW_OVER) {
        correct(normalizer, casing_end(casing));
    } else if (flow == FLOW_POINT) {
        *point = casing_lower(casing, *point, &closed);
        correct(normalizer, closed);
    }
    return flow;
}

static size_t width_of(int32_t point) {
    return point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
}

/* False: no memory. */
static bool write_point(struct normalizer *normalizer, int32_t point) {
    struct buffer *out = normalizer->out;
    if (point >= CASING_SIGMA)
        point = casing_written(&normalizer->casing, point, out->length);
    char *to = buffer_reserve(out, width_of(point));
    if (!to)
        return false;
    out->length = (size_t)(utf8_write(to, (uint32_t)point) - out->data);
    return true;
}

static enum normalize_status compose(struct normalizer *normalizer, size_t *budget) {
    int32_t point;
    for (;;) {
        enum flow flow = normalizer->level < CACHE_NORMALIZE_LOWER
                             ? next_collapsed(normalizer, &point, budget)
                             : compose_next(&normalizer->second, next_lowered, normalizer, &point, budget);
        if (flow == FLOW_MORE)
            return NORMALIZE_MORE;
        if (flow == FLOW_NO_MEMORY || (flow == FLOW_POINT && !write_point(normalizer, point)))
            return NORMALIZE_NO_MEMORY;
        if (flow == FLOW_OVER)
            break;
    }
    if (normalizer->level >= CACHE_NORMALIZE_SPACE)
        trim(normalizer);
    return NORMALIZE_DONE;
}

/* ---- a text ---- */

void normalizer_begin(struct normalizer *normalizer, enum cache_normalize level, struct bytes text,
                      struct buffer *out) {
    normalizer->level = level;
    normalizer->at = normalizer->looked = text.data;
    normalizer->end = text.length > 0 ? text.data + text.length : text.data;
    normalizer->out = out;
    normalizer->start = out->length;
    normalizer->phase = NORMALIZE_LOOKING;
    normalizer->ascii = true;
    normalizer->after_space = true;
    compose_init(&normalizer->first, text.length);
    compose_init(&normalizer->second, text.length);
    casing_init(&normalizer->casing);
}

static enum normalize_status go_on(struct normalizer *normalizer, size_t *budget) {
    switch (normalizer->phase) {
    case NORMALIZE_COPYING:
        return copy(normalizer, budget);
    case NORMALIZE_FOLDING:
        return fold(normalizer, budget);
    case NORMALIZE_COMPOSING:
        return compose(normalizer, budget);
    case NORMALIZE_LOOKING:
        break;
    }
    return NORMALIZE_MORE;
}

enum normalize_status normalizer_go_on(struct normalizer *normalizer, size_t *budget) {
    enum normalize_status status = NORMALIZE_DONE;
    if (normalizer->phase == NORMALIZE_LOOKING) {
        if (normalizer->at == normalizer->end)
            return NORMALIZE_DONE;
        status = look(normalizer, budget);
    }
    if (status == NORMALIZE_DONE)
        status = go_on(normalizer, budget);
    if (status == NORMALIZE_NO_MEMORY)
        normalizer->out->length = normalizer->start;
    return status;
}

void normalizer_fini(struct normalizer *normalizer) {
    compose_fini(&normalizer->first);
    compose_fini(&normalizer->second);
}

/* Most texts there are. */
static bool append_ascii(enum cache_normalize level, struct bytes text, struct buffer *out) {
    struct folding folding = {.lower = level == CACHE_NORMALIZE_LOWER, .after_space = true};
    char *to = folding.to = buffer_reserve(out, text.length);
    if (!to)
        return false;
    fold_ascii(&folding, text.data, text.data + text.length);
    if (folding.to > to && folding.after_space)
        folding.to--;
    out->length += (size_t)(folding.to - to);
    return true;
}

bool normalize_append(enum cache_normalize level, struct bytes text, struct buffer *out) {
    if (text.length == 0)
        return true;
    const char *end = text.data + text.length;
    if (level >= CACHE_NORMALIZE_SPACE && utf8_ascii_end(text.data, end) == end)
        return append_ascii(level, text, out);
    struct normalizer normalizer;
    size_t budget = SIZE_MAX;
    normalizer_begin(&normalizer, level, text, out);
    enum normalize_status status = normalizer_go_on(&normalizer, &budget);
    normalizer_fini(&normalizer);
    return status == NORMALIZE_DONE;
}
