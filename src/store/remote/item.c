/* Names items and writes entries as cache servers keep them. */
#include "store/remote/item.h"

#include "inferonce/base/clock.h"
#include "inferonce/base/little_endian.h"

#define DAY_MS (UINT64_C(86400) * 1000)

enum { AT_EPOCH = 0, AT_EXPIRES = 8, AT_TYPE = 16 };

void item_names_init(struct item_names *names, const char *prefix) {
    size_t length = strlen(prefix);
    INVARIANT(length <= ITEM_PREFIX_MAX);
    memcpy(names->prefix, prefix, length);
    names->prefix_length = length;
    names->length = length + 1 + 2 * (size_t)STORE_KEY_LENGTH;
}

void item_name(const struct item_names *names, enum store_kind kind, const uint8_t *key, char *name) {
    static const char KINDS[] = {
        [STORE_ENTRY] = 'e', [STORE_LEASE] = 'l', [STORE_OUTCOME] = 'o', [STORE_GENERATION] = 'g'};
    static const char DIGITS[] = "0123456789abcdef";
    memcpy(name, names->prefix, names->prefix_length);
    name += names->prefix_length;
    *name++ = KINDS[kind];
    for (unsigned i = 0; i < STORE_KEY_LENGTH; i++) {
        *name++ = DIGITS[key[i] >> 4];
        *name++ = DIGITS[key[i] & 15];
    }
}

bool item_read(struct bytes value, uint64_t now_us, struct item *item) {
    *item = (struct item){.epoch = 0};
    if (value.length < ITEM_HEADER_LENGTH)
        return false;
    char type = value.data[AT_TYPE];
    bool over = load_u64(value.data + AT_EXPIRES) <= now_us;
    if (type != 'E' && type != 'T')
        return false;
    item->exists = type == 'E' && !over;
    item->expired = type == 'E' && over;
    item->tombstone = type == 'T' && !over;
    item->epoch = over ? 0 : load_u64(value.data + AT_EPOCH);
    item->payload = (struct bytes){value.data + ITEM_HEADER_LENGTH, value.length - ITEM_HEADER_LENGTH};
    return true;
}

void item_header(uint64_t epoch, uint64_t expires_us, bool tombstone, char header[ITEM_HEADER_LENGTH]) {
    store_u64(header + AT_EPOCH, epoch);
    store_u64(header + AT_EXPIRES, expires_us);
    header[AT_TYPE] = tombstone ? 'T' : 'E';
}

uint64_t item_tombstone_expiry(uint64_t now_us, uint64_t tombstone_ms) {
    return clock_after_ms(now_us, tombstone_ms + DAY_MS);
}

uint64_t item_tombstone_epoch(uint64_t epoch, const struct item *there) {
    if (epoch > there->epoch || (!there->exists && !there->tombstone))
        return epoch;
    return there->epoch < UINT64_MAX ? there->epoch + 1 : there->epoch;
}

void item_tell(struct store_get *get, struct bytes value, uint64_t now_us) {
    struct item item;
    get->status = STORE_MISSING;
    if (get->kind == STORE_ENTRY) {
        if (!item_read(value, now_us, &item))
            return;
        get->epoch = item.epoch;
        get->status = item.exists      ? STORE_OK
                      : item.expired   ? STORE_EXPIRED
                      : item.tombstone ? STORE_TOMBSTONE
                                       : STORE_MISSING;
        if (item.exists)
            get->value = item.payload;
    } else if (get->kind == STORE_GENERATION ? value.length == STORE_GENERATION_LENGTH
                                             : value.length <= STORE_SMALL_MAX) {
        get->status = STORE_OK;
        get->value = value;
    }
}
