#include "store/remote/skew.h"

#include "unit.h"

#define SECOND UINT64_C(1000000)
#define NOW    (UINT64_C(1700000000) * SECOND)

static struct shared_slot slot;
static struct shared shared = {.slots = &slot};
static struct clock host;
static const struct context CONTEXT = {.shared = &shared, .clock = &host};

static void begin(void) {
    slot = (struct shared_slot){.pid = 1};
    host = (struct clock){.fake = true, .wall_us = NOW};
}

static void test_table(void) {
    static const struct {
        const char *row;
        int64_t said_us; /* by the server, from the host's clock */
        int64_t skew_us; /* that is corrected */
    } ROWS[] = {
        {"equal", 0, 0},
        {"a second that has just begun", -999999, 0},
        {"behind by less than can be told", 1999999, 0},
        {"behind", 2000000, 2000000},
        {"ahead", -50000000, -50000000},
        {"far behind", 300000000, 300000000},
        {"a day", 86400000000, 86400000000},
        {"more than is believed", 86400000001, 0},
        {"a server that lies", INT64_MAX / 2, 0},
        {"and the other way", -86400000001, 0},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        begin();
        skew_learn(&CONTEXT, "server", NOW + (uint64_t)ROWS[i].said_us);
        unit_row(ROWS[i].row);
        CU_ASSERT_EQUAL(host.skew_us, ROWS[i].skew_us);
        CU_ASSERT_EQUAL(clock_wall_us(&host), NOW + (uint64_t)ROWS[i].skew_us);
        CU_ASSERT_EQUAL(atomic_load(&slot.clock_skew_us), ROWS[i].skew_us);
    }
}

/* memcached counts in seconds: the corrected clock does not go to and fro with them. */
static void test_steady(void) {
    static const struct {
        const char *row;
        int64_t said_us[4]; /* in turns, from the host's clock */
        int64_t skew_us;    /* after each */
    } ROWS[] = {
        {"50 s", {50000000, 50500000, 51000000, 49500000}, 50000000},
        {"what is just corrected", {2000000, 1500000, 2500000, 1000001}, 2000000},
        {"behind as well", {-2000000, -1999999, -2500000, -500000}, -2000000},
        {"what is just not corrected", {1999999, -1999999, 1500000, 0}, 0},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        begin();
        unit_row(ROWS[i].row);
        for (unsigned second = 0; second < 20; second++) {
            host.wall_us += SECOND;
            skew_learn(&CONTEXT, "server", host.wall_us + (uint64_t)ROWS[i].said_us[second % 4]);
            CU_ASSERT_EQUAL(host.skew_us, ROWS[i].skew_us);
        }
    }
}

/* Somebody sets the host's clock right. */
static void test_the_clock_is_set(void) {
    begin();
    skew_learn(&CONTEXT, "server", NOW + 90 * SECOND);
    host.wall_us += 90 * SECOND;
    skew_learn(&CONTEXT, "server", NOW + 90 * SECOND);
    CU_ASSERT_EQUAL(host.skew_us, 0);
    CU_ASSERT_EQUAL(atomic_load(&slot.clock_skew_us), 0);
}

static const struct unit_case CASES[] = {
    {"what is corrected", test_table},
    {"steady", test_steady},
    {"the clock is set", test_the_clock_is_set},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "skew", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
