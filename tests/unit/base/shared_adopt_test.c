/* A mapping that the next image of the program takes over, or another one in its place. */
#include "shared_rig.h"

#include <dirent.h>
#include <stdlib.h>

#include "inferonce/base/clock.h"

static unsigned open_descriptors(void) {
    DIR *list = opendir("/proc/self/fd");
    unsigned n = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(list);
    while (readdir(list))
        n++;
    closedir(list);
    return n;
}

/* A child inherits descriptors as the next image does. Its `check` gets the mapping's handles. */
static int in_next_image(const struct shared *shared, bool (*check)(const struct shared_handles *handles)) {
    struct shared_handles handles;
    shared_hand_over(shared, &handles);
    pid_t child = fork();
    CU_ASSERT_FATAL(child >= 0);
    if (child == 0)
        _exit(check(&handles) ? 0 : 1);
    return exit_code(child);
}

static enum shared_adoption adopt(struct shared *shared, const struct shared_handles *handles,
                                  unsigned workers) {
    struct error error;
    return shared_adopt(shared, handles, workers, REGION, TAG, &error);
}

/* Four workers where there were two. */
static bool check_taken(const struct shared_handles *handles) {
    struct shared shared;
    bool same = adopt(&shared, handles, 4) == SHARED_ADOPTED && shared.workers == 4 &&
                strcmp(shared.region, "kept") == 0 && shared.stats[shared.claimed[0]].value[STAT_hits] == 1;
    for (unsigned i = 0; same && i < 4; i++) {
        shared_interest_register(&shared, shared.claimed[i], 7);
        shared_wake(&shared, 7);
        same =
            shared_slot_is_ours(&shared, shared.claimed[i]) && wait_for_wake(&shared, shared.claimed[i], 0);
    }
    shared_destroy(&shared);
    return same;
}

static void test_it_is_taken_over(void) {
    make_directory();
    for (unsigned with_file = 0; with_file < 2; with_file++) {
        struct shared shared;
        CU_ASSERT_FATAL(shared_create(&shared, 2, with_file ? path : NULL, REGION, TAG, NULL));
        strcpy(shared.region, "kept");
        stats_count(&shared.stats[shared.claimed[0]], STAT_hits);
        shared_ready(&shared);
        CU_ASSERT_EQUAL(in_next_image(&shared, check_taken), 0);
        shared_destroy(&shared);
    }
    remove_directory();
}

/* Three of four places that it wants are another pool's: the two that it had must do, at once. */
static bool check_no_more(const struct shared_handles *handles) {
    const struct clock clock = {.fake = false};
    struct shared shared;
    uint64_t began_us = clock_monotonic_us(&clock);
    unsigned before = open_descriptors();
    bool kept = adopt(&shared, handles, 6) == SHARED_ADOPTED && shared.workers == 2 &&
                clock_monotonic_us(&clock) - began_us < 2000000 && open_descriptors() == before &&
                shared.place_mask == 3;
    shared_destroy(&shared);
    return kept;
}

static void test_others_have_the_places(void) {
    struct shared shared;
    struct shared other;
    struct shared last;
    struct error error = {""};
    make_directory();
    CU_ASSERT_FATAL(create(&shared, 2, &error));
    shared_ready(&shared);
    CU_ASSERT_FATAL(create(&other, 61, &error));
    shared_ready(&other);
    CU_ASSERT_EQUAL(in_next_image(&shared, check_no_more), 0);
    CU_ASSERT(create(&last, 1, &error)); /* the place that it found was given back */
    shared_destroy(&last);
    shared_destroy(&other);
    shared_destroy(&shared);
    remove_directory();
}

static bool check_other_layout(const struct shared_handles *handles) {
    struct shared shared;
    struct error error;
    struct shared_handles other = *handles;
    unsigned before = open_descriptors();
    other.fixed_bytes += 4096;
    if (adopt(&shared, &other, 2) != SHARED_OTHER_LAYOUT ||
        shared_adopt(&shared, handles, 2, REGION + 1, TAG, &error) != SHARED_OTHER_LAYOUT ||
        shared_adopt(&shared, handles, 2, REGION, TAG + 1, &error) != SHARED_OTHER_LAYOUT ||
        open_descriptors() != before)
        return false;
    shared_handles_close(handles);
    return before - open_descriptors() == 1 + 2 * 2 + 1; /* memory, eventfds of two places, the master's */
}

static void test_another_layout(void) {
    struct shared shared;
    CU_ASSERT_FATAL(shared_create(&shared, 2, NULL, REGION, TAG, NULL));
    shared_ready(&shared);
    CU_ASSERT_EQUAL(in_next_image(&shared, check_other_layout), 0);
    shared_destroy(&shared);
}

/* Changes of a former region stay in this process's view of it. */
static void test_a_former_region(void) {
    struct shared old;
    struct shared anew;
    CU_ASSERT_FATAL(shared_create(&old, 1, NULL, REGION, TAG, NULL));
    strcpy(old.region, "in use");
    CU_ASSERT_FATAL(shared_create(&anew, 1, NULL, 2 * REGION, TAG, NULL));
    shared_take_former(&anew, &old);
    CU_ASSERT_PTR_NOT_NULL_FATAL(anew.former);
    CU_ASSERT_EQUAL(anew.former_bytes, REGION);
    CU_ASSERT_STRING_EQUAL((char *)anew.former, "in use");
    strcpy(anew.former, "spoilt");
    CU_ASSERT_STRING_EQUAL((char *)old.region, "in use");
    shared_ready(&anew);
    CU_ASSERT_PTR_NULL(anew.former);
    shared_destroy(&anew);
    shared_destroy(&old);
}

/* ---- counters ---- */

static void count(struct shared *shared, unsigned slot) {
    stats_count(&shared->stats[slot], STAT_hits);
    stats_count(&shared->stats[slot], STAT_parked);
    stats_time(&shared->stats[slot], HISTOGRAM_hit, 100);
}

static uint64_t timed(const struct shared *shared) {
    struct histogram sum;
    shared_histogram(shared, HISTOGRAM_hit, &sum);
    return sum.buckets[0];
}

/* Two pools; of a third one nothing but its counters is left. */
static void test_counters_go_along(void) {
    struct shared one, two, gone, anew, late;
    uint64_t done, refused;
    struct error error = {""};
    make_directory();
    CU_ASSERT_FATAL(create(&one, 2, &error));
    shared_ready(&one);
    CU_ASSERT_FATAL(create(&two, 1, &error));
    shared_ready(&two);
    CU_ASSERT_FATAL(create(&gone, 1, &error));
    count(&one, one.claimed[1]);
    count(&one, shared_other_slot(one.claimed[0]));
    count(&two, two.claimed[0]);
    count(&gone, gone.claimed[0]);
    shared_slot_assign(&one, one.claimed[1], getpid());
    shared_slot_assign(&two, two.claimed[0], getpid());
    shared_destroy(&gone);
    shared_count_reload(&one, true);
    shared_count_reload(&one, false);
    shared_count_restart(&one);
    unlink(path);

    CU_ASSERT_FATAL(create(&anew, 2, &error));
    shared_ready(&anew);
    shared_take_counters(&anew, &one);
    CU_ASSERT_EQUAL(shared_stat(&anew, STAT_hits), 3);
    CU_ASSERT_EQUAL(anew.stats[anew.claimed[0]].value[STAT_hits], 3);
    CU_ASSERT_EQUAL(timed(&anew), 3);
    CU_ASSERT_EQUAL(shared_stat(&anew, STAT_parked), 0);
    CU_ASSERT_FATAL(create(&late, 1, &error));
    shared_ready(&late);
    shared_take_counters(&late, &two);
    CU_ASSERT_EQUAL(shared_stat(&late, STAT_hits), 4);
    CU_ASSERT_EQUAL(timed(&late), 4);
    shared_reloads(&late, &done, &refused);
    CU_ASSERT_EQUAL(done, 1);
    CU_ASSERT_EQUAL(refused, 1);
    CU_ASSERT_EQUAL(shared_restarts(&late), 1);
    shared_destroy(&one);
    shared_destroy(&two);
    shared_destroy(&late);
    shared_destroy(&anew);

    /* The next run begins with none. */
    CU_ASSERT_FATAL(create(&anew, 1, &error));
    shared_ready(&anew);
    shared_reloads(&anew, &done, &refused);
    CU_ASSERT_EQUAL(done + refused + shared_restarts(&anew) + shared_stat(&anew, STAT_hits), 0);
    shared_destroy(&anew);
    remove_directory();
}

static const struct unit_case CASES[] = {
    {"it is taken over", test_it_is_taken_over},
    {"others have the places that are wanted", test_others_have_the_places},
    {"another layout is not taken over", test_another_layout},
    {"a former region is not written to", test_a_former_region},
    {"counters go along", test_counters_go_along},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "shared_adopt", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
