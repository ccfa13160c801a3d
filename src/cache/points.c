#include "inferonce/cache/points.h"

#include <stdlib.h>
#include <utf8proc.h>

#define SPACE               0x0020
#define CAPITAL_SIGMA       0x03A3
#define SMALL_SIGMA         0x03C3
#define FINAL_SIGMA         0x03C2
#define CAPITAL_I_WITH_DOT  0x0130
#define COMBINING_DOT_ABOVE 0x0307

/* No character decomposes canonically into more. */
#define DECOMPOSITION_MAX 4

/* Runs of combining marks up to this long are sorted without allocating. */
#define SHORT_RUN 32

void points_fini(struct points *points) {
    free(points->at);
    *points = (struct points){0};
}

static bool reserve(struct points *points, size_t more) {
    if (points->capacity - points->length >= more)
        return true;
    if (more > SIZE_MAX / (4 * sizeof(*points->at)) - points->length)
        return false;
    size_t capacity = 2 * points->capacity;
    if (capacity < points->length + more)
        capacity = points->length + more;
    int32_t *at = reallocarray(points->at, capacity, sizeof(*at));
    if (!at)
        return false;
    points->at = at;
    points->capacity = capacity;
    return true;
}

bool points_append(struct points *points, struct bytes text) {
    if (!reserve(points, text.length))
        return false;
    const uint8_t *at = (const uint8_t *)text.data, *end = at + text.length;
    while (at < end) {
        utf8proc_ssize_t width = utf8proc_iterate(at, end - at, &points->at[points->length]);
        INVARIANT(width > 0);
        at += width;
        points->length++;
    }
    return true;
}

/* From one array into another: decomposing in place would overtake the reading. */
static bool decompose(struct points *points) {
    struct points decomposed = {0};
    if (!reserve(&decomposed, points->length + DECOMPOSITION_MAX))
        return false;
    for (size_t i = 0; i < points->length; i++) {
        if (!reserve(&decomposed, DECOMPOSITION_MAX)) {
            points_fini(&decomposed);
            return false;
        }
        utf8proc_ssize_t n =
            utf8proc_decompose_char(points->at[i], decomposed.at + decomposed.length, DECOMPOSITION_MAX,
                                    UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, NULL);
        INVARIANT(n >= 0 && n <= DECOMPOSITION_MAX);
        decomposed.length += (size_t)n;
    }
    free(points->at);
    *points = decomposed;
    return true;
}

static uint8_t combining_class(int32_t point) {
    return (uint8_t)utf8proc_get_property(point)->combining_class;
}

/* Sorts a run of marks by class; marks of one class keep their order. Counting, because a run may be as long
 * as the text and a quadratic sort (utf8proc's own) would then stop the worker for minutes. */
static bool sort_marks(int32_t *marks, size_t n) {
    size_t next[256] = {0};
    for (size_t i = 0; i < n; i++)
        next[combining_class(marks[i])]++;
    for (size_t class = 0, before = 0; class < 256; class ++) {
        size_t members = next[class];
        next[class] = before;
        before += members;
    }

    int32_t few[SHORT_RUN];
    int32_t *unsorted = n <= SHORT_RUN ? few : malloc(n * sizeof(*unsorted));
    if (!unsorted)
        return false;
    memcpy(unsorted, marks, n * sizeof(*unsorted));
    for (size_t i = 0; i < n; i++)
        marks[next[combining_class(unsorted[i])]++] = unsorted[i];
    if (unsorted != few)
        free(unsorted);
    return true;
}

/* The Canonical Ordering Algorithm (Unicode section 3.11, D109). */
static bool order_marks(struct points *points) {
    for (size_t i = 0; i < points->length;) {
        size_t start = i;
        uint8_t last = 0;
        bool ordered = true;
        for (; i < points->length; i++) {
            uint8_t class = combining_class(points->at[i]);
            if (class == 0)
                break;
            ordered = ordered && class >= last;
            last = class;
        }
        if (!ordered && !sort_marks(points->at + start, i - start))
            return false;
        if (i == start)
            i++;
    }
    return true;
}

bool points_compose(struct points *points) {
    if (!decompose(points) || !order_marks(points))
        return false;
    utf8proc_ssize_t n = utf8proc_normalize_utf32(points->at, (utf8proc_ssize_t)points->length,
                                                  UTF8PROC_COMPOSE | UTF8PROC_STABLE);
    INVARIANT(n >= 0);
    points->length = (size_t)n;
    return true;
}

/* The property White_Space (PropList.txt); no code point was added to it since Unicode 4.0, and only U+180E
 * left it. */
static bool is_white_space(int32_t point) {
    return (point >= 0x0009 && point <= 0x000D) || point == SPACE || point == 0x0085 || point == 0x00A0 ||
           point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 ||
           point == 0x202F || point == 0x205F || point == 0x3000;
}

void points_collapse_space(struct points *points) {
    size_t kept = 0;
    for (size_t i = 0; i < points->length; i++) {
        if (!is_white_space(points->at[i]))
            points->at[kept++] = points->at[i];
        else if (kept > 0 && points->at[kept - 1] != SPACE)
            points->at[kept++] = SPACE;
    }
    if (kept > 0 && points->at[kept - 1] == SPACE)
        kept--;
    points->length = kept;
}

/* The property Case_Ignorable: marks, format characters, modifiers, and what UAX #29 calls MidLetter,
 * MidNumLet and Single_Quote. */
static bool is_case_ignorable(int32_t point) {
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        break;
    }
    static const int32_t WITHIN_WORDS[] = {0x0027, 0x002E, 0x003A, 0x00B7, 0x0387, 0x055F,
                                           0x05F4, 0x2018, 0x2019, 0x2024, 0x2027, 0xFE13,
                                           0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
    for (size_t i = 0; i < sizeof(WITHIN_WORDS) / sizeof(WITHIN_WORDS[0]); i++)
        if (point == WITHIN_WORDS[i])
            return true;
    return false;
}

/* The property Cased, of a point that is not Case_Ignorable: letters that have case, and the ordinals, Roman
 * numerals and enclosed letters of Other_Lowercase and Other_Uppercase. */
static bool is_cased(int32_t point) {
    switch (utf8proc_category(point)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
        return true;
    default:
        return point == 0x00AA || point == 0x00BA || (point >= 0x2160 && point <= 0x217F) ||
               (point >= 0x24B6 && point <= 0x24E9) || (point >= 0x1F130 && point <= 0x1F149) ||
               (point >= 0x1F150 && point <= 0x1F169) || (point >= 0x1F170 && point <= 0x1F189);
    }
}

/* Final_Sigma (Unicode table 3-17): a cased letter before it and none behind, whatever is case-ignorable
 * between. The points before `i` are in lower case already, which changes neither property. Linear over a
 * whole text: sigmas are cased, so no two of them look at the same stretch from the same side. */
static bool is_final_sigma(const struct points *points, size_t i) {
    size_t before = i;
    while (before > 0 && is_case_ignorable(points->at[before - 1]))
        before--;
    if (before == 0 || !is_cased(points->at[before - 1]))
        return false;
    size_t behind = i + 1;
    while (behind < points->length && is_case_ignorable(points->at[behind]))
        behind++;
    return behind == points->length || !is_cased(points->at[behind]);
}

/* U+0130 is the one character whose lower case is longer (SpecialCasing.txt). */
static bool expand_capital_i_with_dot(struct points *points) {
    size_t more = 0;
    for (size_t i = 0; i < points->length; i++)
        more += points->at[i] == CAPITAL_I_WITH_DOT;
    if (!reserve(points, more))
        return false;
    size_t from = points->length, to = from + more;
    points->length = to;
    while (from < to) {
        int32_t point = points->at[--from];
        if (point == CAPITAL_I_WITH_DOT) {
            points->at[--to] = COMBINING_DOT_ABOVE;
            point = 'i';
        }
        points->at[--to] = point;
    }
    return true;
}

bool points_lower(struct points *points) {
    if (!expand_capital_i_with_dot(points))
        return false;
    for (size_t i = 0; i < points->length; i++) {
        int32_t point = points->at[i];
        if (point == CAPITAL_SIGMA)
            points->at[i] = is_final_sigma(points, i) ? FINAL_SIGMA : SMALL_SIGMA;
        else
            points->at[i] = utf8proc_tolower(point);
    }
    return true;
}

bool points_encode(const struct points *points, struct buffer *out) {
    size_t needed = 0;
    for (size_t i = 0; i < points->length; i++) {
        int32_t point = points->at[i];
        needed += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    }
    char *to = buffer_reserve(out, needed);
    if (!to)
        return false;
    for (size_t i = 0; i < points->length; i++)
        to += utf8proc_encode_char(points->at[i], (utf8proc_uint8_t *)to);
    out->length += needed;
    return true;
}
