/* Lower case, character by character. */
#include "cache/casing.h"

#include <utf8proc.h>

#define SPACE               0x0020
#define CAPITAL_SIGMA       0x03A3
#define CAPITAL_I_WITH_DOT  0x0130
#define COMBINING_DOT_ABOVE 0x0307

/* The property White_Space (PropList.txt); no code point was added to it since Unicode 4.0, and only U+180E
 * left it. */
bool casing_is_white_space(int32_t point) {
    if (point < 0x1680)
        return (point >= 0x0009 && point <= 0x000D) || point == SPACE || point == 0x0085 || point == 0x00A0;
    return point == 0x1680 || (point >= 0x2000 && point <= 0x200A) || point == 0x2028 || point == 0x2029 ||
           point == 0x202F || point == 0x205F || point == 0x3000;
}

/* The property Case_Ignorable: marks, format characters, modifiers, and what UAX #29 calls MidLetter,
 * MidNumLet and Single_Quote. */
static bool is_case_ignorable(int32_t point, utf8proc_propval_t category) {
    switch (category) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LO:
        return false;
    default:
        break;
    }
    switch (point) {
    case 0x0027:
    case 0x002E:
    case 0x003A:
    case 0x00B7:
    case 0x0387:
    case 0x055F:
    case 0x05F4:
    case 0x2018:
    case 0x2019:
    case 0x2024:
    case 0x2027:
    case 0xFE13:
    case 0xFE52:
    case 0xFE55:
    case 0xFF07:
    case 0xFF0E:
    case 0xFF1A:
        return true;
    default:
        return false;
    }
}

/* The property Cased, of a point that is not Case_Ignorable: letters that have case, and the ordinals, Roman
 * numerals and enclosed letters of Other_Lowercase and Other_Uppercase. */
static bool is_cased(int32_t point) {
    if (point < 0)
        return false;
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

void casing_init(struct casing *casing) {
    *casing = (struct casing){.letter = -1};
}

/* Final_Sigma (Unicode table 3-17): a cased letter before it and none behind, whatever is case-ignorable
 * between. */
static const struct casing_sigma *close(struct casing *casing, bool is_final) {
    struct casing_sigma *sigma = &casing->sigmas[casing->last];
    casing->open = false;
    sigma->is_final = is_final;
    return is_final && sigma->written ? sigma : NULL;
}

const struct casing_sigma *casing_end(struct casing *casing) {
    return casing->open ? close(casing, true) : NULL;
}

/* At most two are under way: one is written before the second but one comes. */
static int32_t lower_sigma(struct casing *casing, bool behind_letter) {
    if (!behind_letter)
        return CASING_SMALL_SIGMA;
    casing->last = 1 - casing->last;
    casing->sigmas[casing->last] = (struct casing_sigma){.is_final = false};
    casing->open = true;
    return CASING_SIGMA + (int32_t)casing->last;
}

int32_t casing_lower(struct casing *casing, int32_t point, const struct casing_sigma **closed) {
    const utf8proc_property_t *property = utf8proc_get_property(point);
    *closed = NULL;
    if (is_case_ignorable(point, property->category))
        return property->lowercase_seqindex == UINT16_MAX ? point : utf8proc_tolower(point);
    if (casing->open)
        *closed = close(casing, !is_cased(point));
    int32_t before = casing->letter;
    casing->letter = point;
    if (point == CAPITAL_SIGMA)
        return lower_sigma(casing, is_cased(before));
    if (point == CAPITAL_I_WITH_DOT) {
        casing->extra = COMBINING_DOT_ABOVE;
        return 'i';
    }
    return property->lowercase_seqindex == UINT16_MAX ? point : utf8proc_tolower(point);
}

int32_t casing_written(struct casing *casing, int32_t point, size_t at) {
    struct casing_sigma *sigma = &casing->sigmas[point - CASING_SIGMA];
    sigma->written = true;
    sigma->at = at;
    return sigma->is_final ? CASING_FINAL_SIGMA : CASING_SMALL_SIGMA;
}
