/* The fuzz target over seeded mutations of real requests. */
#include "../../fuzz/frame_fuzz.c"

#include "records.h"
#include "unit.h"

#define ROUNDS 5000

static uint64_t random_state;

/* xorshift64: the same numbers in every run. */
static size_t random_below(size_t limit) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % limit);
}

static void put_seed(struct buffer *to, size_t kind) {
    struct buffer names;
    switch (kind) {
    case 0:
        put_request(to, 1, KEEP, "/predict", bytes_of("{\"text\":\"good\"}"));
        return;
    case 1:
        buffer_init(&names, 256);
        for (int i = 0; i < 4; i++)
            put_pair_text(&names, "FCGI_MAX_CONNS", "");
        put_record(to, GET_VALUES, 0, buffer_bytes(&names), 2);
        buffer_fini(&names);
        return;
    case 2:
        put_begin(to, 2, RESPONDER, CLOSE);
        put_params(to, 2, "A", "b");
        put_empty(to, ABORT, 2);
        return;
    default:
        put_begin(to, 3, RESPONDER, KEEP);
        put_params(to, 3, "QUERY_STRING", "a=b");
        put_body(to, 3, bytes_of("a body that comes in several records"), 7);
    }
}

static void mutate(struct buffer *bytes) {
    size_t at = random_below(bytes->length);
    switch (random_below(4)) {
    case 0:
        bytes->data[at] = (char)random_below(256);
        break;
    case 1:
        bytes->data[at] = (char)(bytes->data[at] ^ (1 << random_below(8)));
        break;
    case 2: /* lost bytes */
        memmove(bytes->data + at, bytes->data + at + 1, bytes->length - at - 1);
        bytes->length--;
        break;
    default: /* a part repeated over another */
        memmove(bytes->data + at, bytes->data + random_below(at + 1), bytes->length - at);
    }
}

static void test_survives_mutations(void) {
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        struct buffer bytes;
        random_state = seed * 0x9e3779b97f4a7c15ULL;
        buffer_init(&bytes, 1 << 20);
        buffer_append_char(&bytes, (char)random_below(256));
        for (size_t n = 1 + random_below(4); n > 0; n--)
            put_seed(&bytes, random_below(4));
        for (size_t n = random_below(6); n > 0; n--)
            mutate(&bytes);
        CU_ASSERT_EQUAL(LLVMFuzzerTestOneInput((const uint8_t *)bytes.data, bytes.length), 0);
        buffer_fini(&bytes);
    }
}

static const struct unit_case CASES[] = {
    {"what the scanner lets through is taken by libfcgi", test_survives_mutations},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "frame_fuzz", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
