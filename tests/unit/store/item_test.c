#include "store/remote/item.h"

#include <string.h>

#include "unit.h"

static void test_name(void) {
    uint8_t key[STORE_KEY_LENGTH] = {0x01, 0xab};
    struct item_names names;
    char name[ITEM_NAME_MAX + 1] = "";
    key[31] = 0xf0;
    item_names_init(&names, "inferonce:");
    item_name(&names, STORE_LEASE, key, name);
    CU_ASSERT_EQUAL(names.length, strlen(name));
    CU_ASSERT_STRING_EQUAL(name,
                           "inferonce:l01ab0000000000000000000000000000000000000000000000000000000000f0");
    item_names_init(&names, "");
    item_name(&names, STORE_GENERATION, key, name);
    CU_ASSERT_EQUAL(names.length, 65);
    CU_ASSERT_EQUAL(name[0], 'g');
}

static struct bytes entry(char *to, uint64_t epoch, uint64_t expires_us, bool tombstone,
                          const char *payload) {
    item_header(epoch, expires_us, tombstone, to);
    memcpy(to + ITEM_HEADER_LENGTH, payload, strlen(payload));
    return (struct bytes){to, ITEM_HEADER_LENGTH + strlen(payload)};
}

/* The layout is an agreement between hosts, of other versions too. */
static void test_layout(void) {
    char value[64];
    struct bytes bytes = entry(value, 0x0102030405060708, 0x1112131415161718, false, "x");
    CU_ASSERT_TRUE(
        bytes_equal(bytes, (struct bytes){"\x08\x07\x06\x05\x04\x03\x02\x01\x18\x17\x16\x15\x14\x13\x12\x11"
                                          "Ex",
                                          18}));
    entry(value, 0, 0, true, "");
    CU_ASSERT_EQUAL(value[16], 'T');
}

static enum store_status told(enum store_kind kind, struct bytes value, uint64_t now_us,
                              struct store_get *get) {
    *get = (struct store_get){.kind = kind};
    item_tell(get, value, now_us);
    return get->status;
}

static void test_entries(void) {
    char value[64];
    struct store_get get;
    CU_ASSERT_EQUAL(told(STORE_ENTRY, entry(value, 7, 100, false, "abc"), 99, &get), STORE_OK);
    CU_ASSERT_EQUAL(get.epoch, 7);
    CU_ASSERT_TRUE(bytes_equal(get.value, bytes_of("abc")));
    CU_ASSERT_EQUAL(told(STORE_ENTRY, entry(value, 7, 100, false, "abc"), 100, &get), STORE_EXPIRED);
    CU_ASSERT_EQUAL(get.epoch, 0);
    CU_ASSERT_EQUAL(get.value.length, 0);
    CU_ASSERT_EQUAL(told(STORE_ENTRY, entry(value, 7, 100, true, ""), 99, &get), STORE_TOMBSTONE);
    CU_ASSERT_EQUAL(get.epoch, 7);
    CU_ASSERT_EQUAL(told(STORE_ENTRY, entry(value, 7, 100, true, ""), 100, &get), STORE_MISSING);
}

static void test_not_ours(void) {
    char value[ITEM_HEADER_LENGTH + 8];
    struct store_get get;
    CU_ASSERT_EQUAL(told(STORE_ENTRY, bytes_of(""), 0, &get), STORE_MISSING);
    CU_ASSERT_EQUAL(told(STORE_ENTRY, bytes_of("short"), 0, &get), STORE_MISSING);
    entry(value, 7, UINT64_MAX, false, "abc");
    CU_ASSERT_EQUAL(told(STORE_ENTRY, (struct bytes){value, ITEM_HEADER_LENGTH - 1}, 0, &get), STORE_MISSING);
    value[16] = 'e';
    CU_ASSERT_EQUAL(told(STORE_ENTRY, (struct bytes){value, sizeof(value)}, 0, &get), STORE_MISSING);
    CU_ASSERT_EQUAL(told(STORE_GENERATION, bytes_of("1234567"), 0, &get), STORE_MISSING);
    CU_ASSERT_EQUAL(told(STORE_GENERATION, bytes_of("12345678"), 0, &get), STORE_OK);
    char long_one[STORE_SMALL_MAX + 1];
    memset(long_one, 'x', sizeof(long_one));
    CU_ASSERT_EQUAL(told(STORE_LEASE, (struct bytes){long_one, STORE_SMALL_MAX}, 0, &get), STORE_OK);
    CU_ASSERT_EQUAL(told(STORE_LEASE, (struct bytes){long_one, STORE_SMALL_MAX + 1}, 0, &get), STORE_MISSING);
}

static void test_tombstone_epoch(void) {
    const struct item nothing = {.epoch = 0};
    const struct item there = {.exists = true, .epoch = 50};
    const struct item removed = {.tombstone = true, .epoch = 50};
    CU_ASSERT_EQUAL(item_tombstone_epoch(7, &nothing), 7);
    CU_ASSERT_EQUAL(item_tombstone_epoch(51, &there), 51);
    CU_ASSERT_EQUAL(item_tombstone_epoch(50, &there), 51);
    CU_ASSERT_EQUAL(item_tombstone_epoch(7, &removed), 51);
}

static const struct unit_case CASES[] = {
    {"names", test_name},
    {"the layout", test_layout},
    {"entries and tombstones", test_entries},
    {"what is none of ours", test_not_ours},
    {"the epoch of a tombstone", test_tombstone_epoch},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "item", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
