/* Reading memcached's answers, in whatever pieces they come. */
#include "store/memcached/command.h"

#include <string.h>

#include "unit.h"

#define NAME_LENGTH 3

struct rig {
    struct memcached_answer answer;
    struct memcached_command command;
    struct memcached_found found[3];
    struct buffer values;
    enum memcached_outcome outcome;
    const char *why;
};

static unsigned stats;

static void on_stat(struct memcached_command *command, struct bytes line) {
    (void)command;
    CU_ASSERT_TRUE(bytes_equal(line, bytes_of("STAT bytes 7")));
    stats++;
}

static void begin(struct rig *rig, enum memcached_verb verb, size_t max_bytes) {
    *rig = (struct rig){.outcome = MEMCACHED_BROKEN};
    stats = 0;
    buffer_init(&rig->values, 1000);
    rig->command = (struct memcached_command){.verb = verb,
                                              .names = "onetwosix",
                                              .n = 3,
                                              .found = rig->found,
                                              .values = &rig->values,
                                              .max_bytes = max_bytes,
                                              .stat = on_stat};
}

/* Gives the text in pieces of `piece` bytes, until the command has ended or something is wrong. */
static enum memcached_reading read_text(struct rig *rig, const char *text, size_t piece) {
    enum memcached_reading reading = READING_PART;
    for (size_t at = 0, length = strlen(text); at < length; at += piece) {
        struct bytes bytes = {text + at, piece < length - at ? piece : length - at};
        while (bytes.length > 0) {
            reading = memcached_answer_read(&rig->answer, &rig->command, NAME_LENGTH, &bytes, &rig->outcome,
                                            &rig->why);
            if (reading == READING_ENDED || reading == READING_WRONG)
                return at + piece >= length && bytes.length == 0 ? reading : READING_WRONG;
        }
    }
    return reading;
}

static bool is_value(const struct rig *rig, unsigned i, const char *value) {
    struct bytes found = {rig->values.data + rig->found[i].at, rig->found[i].length};
    return rig->found[i].found && bytes_equal(found, bytes_of(value));
}

/* A value may hold line ends, and what looks like the end of the answer. */
static void test_values_in_pieces(void) {
    static const char TEXT[] = "VALUE one 0 7 11\r\n\r\nEND\r\n\r\nVALUE six 0 0 12\r\n\r\nEND\r\n";
    for (size_t piece = 1; piece < sizeof(TEXT); piece++) {
        struct rig rig;
        begin(&rig, MEMCACHED_GETS, 0);
        CU_ASSERT_EQUAL(read_text(&rig, TEXT, piece), READING_ENDED);
        CU_ASSERT_EQUAL(rig.outcome, MEMCACHED_DONE);
        CU_ASSERT_TRUE(is_value(&rig, 0, "\r\nEND\r\n"));
        CU_ASSERT_EQUAL(rig.found[0].cas, 11);
        CU_ASSERT_FALSE(rig.found[1].found);
        CU_ASSERT_TRUE(is_value(&rig, 2, ""));
        CU_ASSERT_EQUAL(rig.found[2].cas, 12);
        buffer_fini(&rig.values);
    }
}

static void test_the_first_bytes_of_values(void) {
    static const char TEXT[] = "VALUE one 0 5\r\nfirst\r\nVALUE two 0 2\r\nab\r\nEND\r\n";
    for (size_t piece = 1; piece < sizeof(TEXT); piece++) {
        struct rig rig;
        begin(&rig, MEMCACHED_GET, 3);
        CU_ASSERT_EQUAL(read_text(&rig, TEXT, piece), READING_ENDED);
        CU_ASSERT_TRUE(is_value(&rig, 0, "fir"));
        CU_ASSERT_TRUE(is_value(&rig, 1, "ab"));
        CU_ASSERT_EQUAL(rig.values.length, 5);
        buffer_fini(&rig.values);
    }
}

/* A value without room is passed over, and the next one is found. */
static void test_a_value_that_is_lost(void) {
    struct rig rig;
    begin(&rig, MEMCACHED_GET, 0);
    rig.values.cap = 4;
    CU_ASSERT_EQUAL(read_text(&rig, "VALUE one 0 5\r\nfirst\r\nVALUE two 0 2\r\nab\r\nEND\r\n", SIZE_MAX / 2),
                    READING_ENDED);
    CU_ASSERT_TRUE(rig.command.lost);
    CU_ASSERT_FALSE(rig.found[0].found);
    CU_ASSERT_TRUE(is_value(&rig, 1, "ab"));
    buffer_fini(&rig.values);
}

static void test_outcomes(void) {
    static const struct {
        const char *row;
        enum memcached_verb verb;
        const char *text;
        enum memcached_reading reading;
        enum memcached_outcome outcome; /* of one that has ended */
    } ROWS[] = {
        {"a part", MEMCACHED_SET, "STOR", READING_PART, 0},
        {"stored", MEMCACHED_SET, "STORED\r\n", READING_ENDED, MEMCACHED_DONE},
        {"there already", MEMCACHED_ADD, "NOT_STORED\r\n", READING_ENDED, MEMCACHED_CONFLICT},
        {"not there", MEMCACHED_CAS, "NOT_FOUND\r\n", READING_ENDED, MEMCACHED_NOTHING},
        {"too large", MEMCACHED_SET, "SERVER_ERROR object too large for cache\r\n", READING_ENDED,
         MEMCACHED_TOO_BIG},
        {"full", MEMCACHED_SET, "SERVER_ERROR out of memory\r\n", READING_ENDED, MEMCACHED_FULL},
        {"figures", MEMCACHED_STATS, "STAT bytes 7\r\nSTAT bytes 7\r\nEND\r\n", READING_ENDED,
         MEMCACHED_DONE},
        {"of another command", MEMCACHED_SET, "DELETED\r\n", READING_WRONG, 0},
        {"a line without CR", MEMCACHED_SET, "STORED\n", READING_WRONG, 0},
        {"another byte in its place", MEMCACHED_SET, "STORED \n", READING_WRONG, 0},
        {"an empty line", MEMCACHED_SET, "\n", READING_WRONG, 0},
        {"a name not asked for", MEMCACHED_GET, "VALUE ten 0 1\r\n", READING_WRONG, 0},
        {"a longer name", MEMCACHED_GET, "VALUE ones 0 1\r\n", READING_WRONG, 0},
        {"names out of order", MEMCACHED_GET, "VALUE two 0 0\r\n\r\nVALUE one 0 0\r\n", READING_WRONG, 0},
        {"a name twice", MEMCACHED_GET, "VALUE two 0 0\r\n\r\nVALUE two 0 0\r\n", READING_WRONG, 0},
        {"a value that is longer", MEMCACHED_GET, "VALUE one 0 1\r\nab", READING_WRONG, 0},
        {"a value without its line end", MEMCACHED_GET, "VALUE one 0 1\r\na\rE", READING_WRONG, 0},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        for (size_t piece = 1; piece < 64; piece += 62) {
            struct rig rig;
            begin(&rig, ROWS[i].verb, 0);
            unit_row(ROWS[i].row);
            CU_ASSERT_EQUAL(read_text(&rig, ROWS[i].text, piece), ROWS[i].reading);
            CU_ASSERT_EQUAL(rig.why != NULL, ROWS[i].reading == READING_WRONG);
            CU_ASSERT_EQUAL(stats, ROWS[i].verb == MEMCACHED_STATS ? 2 : 0);
            if (ROWS[i].reading == READING_ENDED)
                CU_ASSERT_EQUAL(rig.outcome, ROWS[i].outcome);
            buffer_fini(&rig.values);
        }
    }
}

static void test_nothing_was_asked(void) {
    struct memcached_answer answer = {.line_length = 0};
    struct bytes bytes = bytes_of("STORED\r\n");
    enum memcached_outcome outcome;
    const char *why;
    CU_ASSERT_EQUAL(memcached_answer_read(&answer, NULL, NAME_LENGTH, &bytes, &outcome, &why), READING_WRONG);
    CU_ASSERT_PTR_NOT_NULL(why);
}

static void test_a_line_without_end(void) {
    static char text[2 * MEMCACHED_LINE_MAX];
    memset(text, 'S', sizeof(text) - 1);
    for (size_t piece = 1; piece < sizeof(text); piece += 100) {
        struct memcached_answer answer = {.line_length = 0};
        struct memcached_command command = {.verb = MEMCACHED_SET};
        enum memcached_reading reading = READING_PART;
        size_t at = 0;
        for (; at < sizeof(text) && reading == READING_PART; at += piece) {
            struct bytes bytes = {text + at, piece < sizeof(text) - at ? piece : sizeof(text) - at};
            enum memcached_outcome outcome;
            const char *why;
            reading = memcached_answer_read(&answer, &command, NAME_LENGTH, &bytes, &outcome, &why);
        }
        CU_ASSERT_EQUAL(reading, READING_WRONG);
        CU_ASSERT(at >= MEMCACHED_LINE_MAX && at <= MEMCACHED_LINE_MAX + piece);
    }
}

static const struct unit_case CASES[] = {
    {"values in pieces", test_values_in_pieces},
    {"the first bytes of values", test_the_first_bytes_of_values},
    {"a value that is lost", test_a_value_that_is_lost},
    {"outcomes", test_outcomes},
    {"nothing was asked", test_nothing_was_asked},
    {"a line without end", test_a_line_without_end},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "command", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
