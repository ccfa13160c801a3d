#include "inferonce/cache/text_key.h"

#include "unit.h"

static struct settings settings;

static void begin(void) {
    settings_defaults(&settings);
}

/* ---- normal forms ---- */

static void test_normalize(void) {
    static const struct {
        enum cache_normalize level;
        const char *expected[3];
    } ROWS[] = {
        {CACHE_NORMALIZE_NONE, {" A  b ", "\t", "e\xcc\x81"}},
        {CACHE_NORMALIZE_NFC, {" A  b ", "\t", "\xc3\xa9"}},
        {CACHE_NORMALIZE_SPACE, {"A b", "", "\xc3\xa9"}},
        {CACHE_NORMALIZE_LOWER, {"a b", "", "\xc3\xa9"}},
    };
    begin();
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct bytes texts[] = {bytes_of(" A  b "), bytes_of("\t"), bytes_of("e\xcc\x81")};
        struct buffer storage;
        buffer_init(&storage, 1000);
        buffer_append_text(&storage, "what was there before");
        settings.cache_normalize = (int)ROWS[i].level;
        CU_ASSERT_FATAL(text_normalize(&settings, texts, 3, &storage));
        for (size_t j = 0; j < 3; j++)
            CU_ASSERT(bytes_equal(texts[j], bytes_of(ROWS[i].expected[j])));
        buffer_fini(&storage);
    }
}

/* The storage moves while it grows; what the first texts point to moves with it. */
static void test_normalize_many(void) {
    static char lines[500][24];
    struct bytes texts[500];
    struct buffer storage;
    begin();
    buffer_init(&storage, 100000);
    for (size_t i = 0; i < 500; i++) {
        snprintf(lines[i], sizeof(lines[i]), " Text  NUMBER %zu", i);
        texts[i] = bytes_of(lines[i]);
    }
    CU_ASSERT_FATAL(text_normalize(&settings, texts, 500, &storage));
    for (size_t i = 0; i < 500; i++) {
        char expected[24];
        snprintf(expected, sizeof(expected), "text number %zu", i);
        CU_ASSERT(bytes_equal(texts[i], bytes_of(expected)));
        CU_ASSERT(texts[i].data >= storage.data && texts[i].data < storage.data + storage.length);
    }
    buffer_fini(&storage);
}

static void test_normalize_without_room(void) {
    struct bytes texts[] = {bytes_of("four"), bytes_of("five5")};
    struct buffer storage;
    begin();
    buffer_init(&storage, 8);
    CU_ASSERT_FALSE(text_normalize(&settings, texts, 2, &storage));
    buffer_fini(&storage);
}

/* ---- keys ---- */

static const struct text_key_context BASE = {
    .cache_namespace = {"ns", 2}, .route = {"/predict", 8}, .parameters = {"{\"a\":1}", 7}};

static struct key key_of(const struct text_key_context *context, const char *text) {
    struct key key;
    text_key(&settings, context, bytes_of(text), &key);
    return key;
}

static void test_key_is_that_of_its_fields(void) {
    begin();
    const struct key_fields fields = {.cache_namespace = bytes_of("ns"),
                                      .route = bytes_of("/predict"),
                                      .engine = bytes_of("builtin"),
                                      .model_name = bytes_of("vader"),
                                      .model_version = bytes_of("1"),
                                      .level = bytes_of("lower"),
                                      .parameters = bytes_of("{\"a\":1}"),
                                      .text = bytes_of("text")};
    struct key expected, key = key_of(&BASE, "text");
    key_of_entry(&fields, &expected);
    CU_ASSERT(key_equal(&key, &expected));
}

static void test_everything_is_in_the_key(void) {
    begin();
    struct key keys[12];
    struct text_key_context context = BASE;
    size_t n = 0;
    keys[n++] = key_of(&context, "text");
    keys[n++] = key_of(&context, "other");
    context.cache_namespace = bytes_of("other");
    keys[n++] = key_of(&context, "text");
    context = BASE;
    context.route = bytes_of("/other");
    keys[n++] = key_of(&context, "text");
    context = BASE;
    context.parameters = bytes_of("{\"a\":2}");
    keys[n++] = key_of(&context, "text");
    context = BASE;
    context.credential = bytes_of("Bearer x");
    keys[n++] = key_of(&context, "text");
    strcpy(settings.model_name, "other");
    keys[n++] = key_of(&BASE, "text");
    strcpy(settings.model_name, "vader");
    strcpy(settings.model_version, "2");
    keys[n++] = key_of(&BASE, "text");
    strcpy(settings.model_version, "1");
    settings.engine = SETTINGS_ENGINE_HTTP; /* another service with the same names */
    keys[n++] = key_of(&BASE, "text");
    settings.upstream_dialect = SETTINGS_DIALECT_TEI;
    keys[n++] = key_of(&BASE, "text");
    settings.cache_share_authorized =
        1; /* one entry for all credentials: none of it for who shares no more */
    keys[n++] = key_of(&BASE, "text");
    settings.cache_normalize = CACHE_NORMALIZE_NFC;
    keys[n++] = key_of(&BASE, "text");
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            CU_ASSERT_FALSE(key_equal(&keys[i], &keys[j]));
}

static const struct unit_case CASES[] = {
    {"the four levels", test_normalize},
    {"many texts", test_normalize_many},
    {"more than the storage may hold", test_normalize_without_room},
    {"a key is that of its fields", test_key_is_that_of_its_fields},
    {"everything that decides a result is in the key", test_everything_is_in_the_key},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "text_key", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
