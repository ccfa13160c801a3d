/* Checks and reads UTF-8. */
#include "inferonce/base/utf8.h"

#include "inferonce/base/eight_bytes.h"
#include "inferonce/base/little_endian.h"

static bool is_continuation(unsigned char c) {
    return (c & 0xc0) == 0x80;
}

size_t utf8_step(struct bytes bytes) {
    const unsigned char *s = (const unsigned char *)bytes.data;
    if (bytes.length == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xc2 && s[0] <= 0xdf)
        return bytes.length >= 2 && is_continuation(s[1]) ? 2 : 0;
    if (s[0] >= 0xe0 && s[0] <= 0xef) {
        if (bytes.length < 3 || !is_continuation(s[1]) || !is_continuation(s[2]))
            return 0;
        bool overlong = s[0] == 0xe0 && s[1] < 0xa0;
        bool surrogate = s[0] == 0xed && s[1] >= 0xa0;
        return overlong || surrogate ? 0 : 3;
    }
    if (s[0] >= 0xf0 && s[0] <= 0xf4) {
        if (bytes.length < 4 || !is_continuation(s[1]) || !is_continuation(s[2]) || !is_continuation(s[3]))
            return 0;
        bool overlong = s[0] == 0xf0 && s[1] < 0x90;
        bool beyond = s[0] == 0xf4 && s[1] >= 0x90;
        return overlong || beyond ? 0 : 4;
    }
    return 0;
}

const char *utf8_check(const char *at, const char *limit, const char *end) {
    while (at < limit && (at = utf8_ascii_end(at, limit)) < limit) {
        do {
            size_t step = utf8_step((struct bytes){at, (size_t)(end - at)});
            if (step == 0)
                return NULL;
            at += step;
        } while (at < limit && (*at & 0x80));
    }
    return at;
}

bool utf8_is_valid(struct bytes text) {
    const char *end = text.data + text.length;
    return text.length == 0 || utf8_check(text.data, end, end) != NULL;
}

const char *utf8_ascii_end(const char *at, const char *end) {
    while ((size_t)(end - at) >= sizeof(uint64_t) && !(load_u64(at) & HIGH_BITS))
        at += sizeof(uint64_t);
    if ((size_t)(end - at) >= sizeof(uint64_t))
        return at + word_first(load_u64(at) & HIGH_BITS);
    while (at < end && !(*at & 0x80))
        at++;
    return at;
}

uint32_t utf8_read(const char *at) {
    uint8_t lead = (uint8_t)*at;
    if (lead < 0x80)
        return lead;
    unsigned more = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    uint32_t point = lead & (0x3Fu >> more);
    while (more-- > 0)
        point = point << 6 | (*++at & 0x3F);
    return point;
}

char *utf8_write(char *to, uint32_t point) {
    if (point < 0x80) {
        *to++ = (char)point;
        return to;
    }
    unsigned more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    const uint32_t marks[] = {0, 0xC0, 0xE0, 0xF0};
    *to++ = (char)(marks[more] | point >> (6 * more));
    while (more-- > 0)
        *to++ = (char)(0x80 | (point >> (6 * more) & 0x3F));
    return to;
}
