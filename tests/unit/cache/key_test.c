#include "inferonce/cache/key.h"

#include <ctype.h>
#include <openssl/sha.h>

#include "unit.h"

static struct key_fields sample(void) {
    return (struct key_fields){.cache_namespace = bytes_of("default"),
                               .route = bytes_of("/predict"),
                               .engine = bytes_of("http"),
                               .dialect = bytes_of("plain"),
                               .model_name = bytes_of("vader"),
                               .model_version = bytes_of("1"),
                               .sharing = bytes_of("off"),
                               .level = bytes_of("lower"),
                               .text = bytes_of("great product")};
}

static struct key key_of(struct key_fields fields) {
    struct key key;
    key_of_entry(&fields, &key);
    return key;
}

/* Computed with Python's hashlib from the documented layout of the fields. */
static void test_known_answers(void) {
    char hex[KEY_HEX_LENGTH + 1];
    struct key entry = key_of(sample()), generation, lease, outcome, liveness, refusal;
    key_to_hex(&entry, hex);
    CU_ASSERT_STRING_EQUAL(hex, "9beed258bc048928ea9de0f0df130dd570b81eee4e6249d3e66a0001cc0cbb66");
    key_of_generation(bytes_of("default"), &generation);
    key_to_hex(&generation, hex);
    CU_ASSERT_STRING_EQUAL(hex, "b438882bb8fbf55a77e4055132109383f2149c2f328fbcd8d947c4701ce997df");
    key_of_lease(&entry, UINT64_C(0x0102030405060708), 3, &lease);
    key_to_hex(&lease, hex);
    CU_ASSERT_STRING_EQUAL(hex, "75c4d50b96b9a83c025303f5db0c48a1a1524b3cb64f1e715abce297b677556d");
    key_of_outcome(&lease, UINT64_MAX, &outcome);
    key_to_hex(&outcome, hex);
    CU_ASSERT_STRING_EQUAL(hex, "3f6106c464b82db02d817f70d1b47ca89b36e74242bc937b3b7c330c86e34eb5");
    key_of_liveness(UINT64_C(0x1122334455667788), 9, 3, &liveness);
    key_to_hex(&liveness, hex);
    CU_ASSERT_STRING_EQUAL(hex, "857f01a7b8d70092f3a30e06ec46020c74a25ad029e40bf89e00b5bef3d868bd");
    key_of_refusal(&lease, 7, bytes_of("Bearer x"), &refusal);
    key_to_hex(&refusal, hex);
    CU_ASSERT_STRING_EQUAL(hex, "eca80941397bb3920faf6d285bf17f58d9d2a9c248ab9aa1c86825942171390f");
}

static void append_field(struct buffer *all, const void *data, size_t length) {
    for (int i = 0; i < 8; i++)
        buffer_append_char(all, (char)(uint8_t)((uint64_t)length >> (8 * i)));
    buffer_append(all, data, length);
}

/* Any lengths, so also those at which the collected fields are passed on: against one hash over all the
 * bytes. */
static void test_any_lengths(void) {
    static char text[3000];
    memset(text, 'x', sizeof(text));
    for (size_t length = 0; length < sizeof(text); length += length < 700 ? 1 : 97) {
        struct key_fields fields = sample();
        fields.parameters = (struct bytes){text, length};
        fields.credential = (struct bytes){text, length / 3};
        fields.text = (struct bytes){text, (sizeof(text) - length) / 5};

        struct buffer all;
        buffer_init(&all, 1 << 20);
        append_field(&all, "entry", 5);
        append_field(&all, "\2\0\0\0\0\0\0\0", 8);
        const struct bytes in_order[] = {fields.cache_namespace, fields.route,      fields.engine,
                                         fields.dialect,         fields.model_name, fields.model_version,
                                         fields.sharing,         fields.level,      fields.parameters,
                                         fields.credential,      fields.text};
        for (size_t i = 0; i < sizeof(in_order) / sizeof(in_order[0]); i++)
            append_field(&all, in_order[i].data, in_order[i].length);
        struct key expected, key = key_of(fields);
        SHA256((const unsigned char *)all.data, all.length, expected.bytes);
        CU_ASSERT_TRUE(key_equal(&key, &expected));
        buffer_fini(&all);
    }
}

static void test_each_field_matters(void) {
    struct key_fields fields = sample();
    struct bytes *all[] = {&fields.cache_namespace, &fields.route,         &fields.engine,  &fields.dialect,
                           &fields.model_name,      &fields.model_version, &fields.sharing, &fields.level,
                           &fields.parameters,      &fields.credential,    &fields.text};
    const size_t n = sizeof(all) / sizeof(all[0]);
    struct key keys[12] = {key_of(fields)};
    for (size_t i = 0; i < n; i++) {
        struct bytes kept = *all[i];
        *all[i] = bytes_of("other");
        keys[i + 1] = key_of(fields);
        *all[i] = kept;
    }
    for (size_t i = 0; i <= n; i++)
        for (size_t j = i + 1; j <= n; j++)
            CU_ASSERT_FALSE(key_equal(&keys[i], &keys[j]));
}

static void test_fields_do_not_run_together(void) {
    struct key_fields one = sample(), other = sample();
    one.model_name = bytes_of("vader1");
    one.model_version = bytes_of("2");
    other.model_name = bytes_of("vader");
    other.model_version = bytes_of("12");
    struct key a = key_of(one), b = key_of(other);
    CU_ASSERT_FALSE(key_equal(&a, &b));
}

static void test_kinds_do_not_meet(void) {
    struct key entry = key_of(sample()), lease, outcome, lease_later;
    key_of_lease(&entry, 1, 1, &lease);
    key_of_outcome(&entry, 1, &outcome);
    key_of_lease(&entry, 2, 1, &lease_later);
    CU_ASSERT_FALSE(key_equal(&lease, &outcome));
    CU_ASSERT_FALSE(key_equal(&lease, &lease_later));
    CU_ASSERT_FALSE(key_equal(&lease, &entry));
}

/* Each is another, and it may be written over the one that it follows. */
static void test_next_lease(void) {
    struct key entry = key_of(sample()), lease, next;
    key_of_lease(&entry, 1, 1, &lease);
    key_of_next_lease(&lease, &next);
    CU_ASSERT_FALSE(key_equal(&next, &lease));
    struct key in_place = lease;
    key_of_next_lease(&in_place, &in_place);
    CU_ASSERT_TRUE(key_equal(&in_place, &next));
    key_of_next_lease(&in_place, &in_place);
    CU_ASSERT_FALSE(key_equal(&in_place, &next) || key_equal(&in_place, &lease));
}

static void test_hex(void) {
    struct key key = key_of(sample()), read;
    char hex[KEY_HEX_LENGTH + 1];
    key_to_hex(&key, hex);
    CU_ASSERT_TRUE(key_from_hex(bytes_of(hex), &read) && key_equal(&key, &read));
    for (char *at = hex; *at; at++)
        *at = (char)toupper((unsigned char)*at);
    CU_ASSERT_TRUE(key_from_hex(bytes_of(hex), &read) && key_equal(&key, &read));
}

static void test_malformed_hex(void) {
    char hex[KEY_HEX_LENGTH + 2];
    memset(hex, 'a', sizeof(hex));
    struct key key = {{9}};
    CU_ASSERT_FALSE(key_from_hex((struct bytes){hex, KEY_HEX_LENGTH - 1}, &key));
    CU_ASSERT_FALSE(key_from_hex((struct bytes){hex, KEY_HEX_LENGTH + 1}, &key));
    CU_ASSERT_FALSE(key_from_hex((struct bytes){NULL, 0}, &key));
    for (int c = 0; c < 256; c++) {
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        for (size_t at = 0; at < KEY_HEX_LENGTH; at += 63) {
            struct key read;
            hex[at] = (char)c;
            CU_ASSERT_EQUAL(key_from_hex((struct bytes){hex, KEY_HEX_LENGTH}, &read), digit);
            hex[at] = 'a';
        }
    }
    CU_ASSERT_EQUAL(key.bytes[0], 9);
}

static void test_allocates_nothing(void) {
    static char text[5000];
    struct key key;
    unit_allocations_count_start();
    key_of_entry(&(struct key_fields){.text = {text, sizeof(text)}}, &key);
    key_of_generation(bytes_of("default"), &key);
    CU_ASSERT_EQUAL(unit_allocations_count(), 0);
}

static const struct unit_case CASES[] = {
    {"known answers", test_known_answers},
    {"any lengths of fields", test_any_lengths},
    {"each field matters", test_each_field_matters},
    {"fields do not run together", test_fields_do_not_run_together},
    {"kinds of keys do not meet", test_kinds_do_not_meet},
    {"a lease's next one", test_next_lease},
    {"hex and back, either case", test_hex},
    {"malformed hex", test_malformed_hex},
    {"hashing allocates nothing", test_allocates_nothing},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "key", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
