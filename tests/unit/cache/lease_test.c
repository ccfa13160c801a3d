#include "cache/flights.h"

#include <unistd.h>

#include "cache/flight.h"
#include "cache/generation.h"
#include "inferonce/base/little_endian.h"
#include "late.h"
#include "store/backend.h"
#include "world.h"

/* Leases: whose they are, when they end, what becomes of those that lead nowhere; and flights that other
 * hosts lead, of which nobody here is woken. */

static size_t running(unsigned w) {
    return world.workers[w].n_running;
}

static void check_answer(const struct asked *asked, enum cache_result result, const char *body) {
    CU_ASSERT_EQUAL(asked->answers, 1);
    CU_ASSERT_EQUAL(asked->result, result);
    CU_ASSERT_STRING_EQUAL(asked->body, body);
}

static void keep_generation(void *user, struct store_get *gets, size_t n) {
    CU_ASSERT_EQUAL(n, 1);
    CU_ASSERT_EQUAL_FATAL(gets->status, STORE_OK);
    *(uint64_t *)user = generation_decode(gets->value);
}

/* Worker 1 takes the lease of the text "a", for which nothing is stored, in a namespace that exists.
 */
static struct key prepare_lease(uint64_t *generation) {
    struct key entry, namespace_key, lease;
    world_ask(1, "another", NULL);
    world_model_answers(1, "another");
    key_of_generation(bytes_of("default"), &namespace_key);
    struct store_get get = {.kind = STORE_GENERATION, .key = namespace_key.bytes};
    store_get_many(world.workers[1].store, &get, 1, keep_generation, generation);
    key_of_entry(&(struct key_fields){.cache_namespace = bytes_of("default"), .text = bytes_of("a")}, &entry);
    key_of_lease(&entry, *generation, *generation, &lease);
    return lease;
}

static void put_lease(const struct key *lease, struct bytes value) {
    const struct store_item item = {
        .kind = STORE_LEASE, .key = lease->bytes, .value = value, .ttl_ms = 10000};
    store_add(world.workers[1].store, &item, NULL, NULL);
}

/* A worker of another host, as far as anybody here can tell. */
static struct lease_owner stranger(void) {
    return (struct lease_owner){
        .instance = world.shared.instance + 1, .incarnation = 3, .nonce = 7, .slot = 0};
}

static void put_lease_of(const struct key *lease, const struct lease_owner *owner) {
    char value[STORE_SMALL_MAX];
    put_lease(lease, lease_owner_encode(owner, value));
}

static void test_owner_there_and_back(void) {
    static const struct lease_owner OWNER = {.instance = UINT64_C(0xfedcba9876543210),
                                             .incarnation = UINT64_MAX,
                                             .nonce = UINT64_C(0x8000000000000001),
                                             .slot = 0xfffefdfc};
    char value[STORE_SMALL_MAX];
    struct lease_owner owner;
    struct bytes encoded = lease_owner_encode(&OWNER, value);
    CU_ASSERT(encoded.length <= STORE_SMALL_MAX);
    CU_ASSERT_FATAL(lease_owner_decode(encoded, &owner));
    CU_ASSERT_EQUAL(owner.instance, OWNER.instance);
    CU_ASSERT_EQUAL(owner.incarnation, OWNER.incarnation);
    CU_ASSERT_EQUAL(owner.nonce, OWNER.nonce);
    CU_ASSERT_EQUAL(owner.slot, OWNER.slot);
    for (size_t length = 0; length < encoded.length; length++)
        CU_ASSERT_FALSE(lease_owner_decode((struct bytes){value, length}, &owner));
    memset(value, 0, sizeof(value)); /* no flight is named 0 */
    CU_ASSERT_FALSE(lease_owner_decode((struct bytes){value, encoded.length}, &owner));
}

static void test_outcome_of_something_else(void) {
    char value[STORE_SMALL_MAX];
    for (int fill = 0; fill < 256; fill++)
        for (size_t length = 0; length <= sizeof(value); length++) {
            memset(value, fill, sizeof(value));
            enum outcome_kind outcome = outcome_decode((struct bytes){value, length}).kind;
            /* 1, 1: a failure that is ENGINE_REFUSED; 2: not shared, whatever the failure;
             * 4: a failure of who asked */
            CU_ASSERT(outcome == OUTCOME_NONE || ((fill == 1 || fill == 2 || fill == 4) && length == 16));
        }
}

/* After its time a lease is anybody's, and who had it lets go of it without touching the new one. */
static void test_lease_runs_out(void) {
    world_setup(NULL);
    struct asked *slow = world_ask(0, "a", "no-cache");
    world_wait_ms(engine_longest_us(&world.settings) / 1000 + 5000);
    struct asked *next = world_ask(1, "a", "no-cache");
    CU_ASSERT_EQUAL(running(1), 1);
    world_model_answers(0, "slow");
    check_answer(slow, CACHE_BYPASS, "slow");
    struct asked *third = world_ask(0, "a", "no-cache");
    CU_ASSERT_EQUAL(running(0), 0); /* it follows: the lease of worker 1 is still there */
    world_wait_ms(1);
    world_model_answers(1, "next");
    world_turn();
    check_answer(next, CACHE_BYPASS, "next");
    check_answer(third, CACHE_BYPASS, "next");
    world_teardown();
}

/* Each lease takes a look, and some looks fit in a turn of the world. */
static void pass_over(unsigned leases) {
    for (unsigned n = 0; n <= leases; n++)
        world_turn();
}

/* Owners that died, one after the other: each one's lease is passed over, up to a limit that keeps a broken
 * store from holding a request for ever. */
static void test_dead_owners(void) {
    static const unsigned COUNTS[] = {1, LEADER_ATTEMPTS - 1, LEADER_ATTEMPTS, LEADER_ATTEMPTS + 5};
    for (size_t i = 0; i < sizeof(COUNTS) / sizeof(COUNTS[0]); i++) {
        uint64_t generation;
        world_setup(NULL);
        struct key lease = prepare_lease(&generation);
        shared_slot_assign(&world.shared, world.shared.claimed[0], 2000);
        const struct lease_owner dead = {
            .instance = world.shared.instance, .incarnation = 1, .nonce = 7, .slot = world.shared.claimed[0]};
        for (unsigned n = 0; n < COUNTS[i]; n++) {
            put_lease_of(&lease, &dead);
            key_of_next_lease(&lease, &lease);
        }
        struct asked *asked = world_ask(1, "a", NULL);
        pass_over(COUNTS[i]);
        CU_ASSERT_EQUAL(running(1), 1);
        /* A leader has a lease, which others respect; past the limit it has none. */
        struct asked *other = world_ask(0, "a", NULL);
        pass_over(COUNTS[i]);
        CU_ASSERT_EQUAL(running(0), COUNTS[i] < LEADER_ATTEMPTS ? 0 : 1);
        world_model_answers(1, "A");
        if (running(0) > 0)
            world_model_answers(0, "A");
        world_turn();
        check_answer(asked, CACHE_MISS, "A");
        check_answer(other, CACHE_MISS, "A");
        world_teardown();
    }
}

/* A store that lies must not catch a worker in a circle: a lease that names nobody. */
static void test_lease_of_nobody(void) {
    uint64_t generation;
    world_setup(NULL);
    struct key lease = prepare_lease(&generation);
    put_lease(&lease, bytes_of("nobody"));
    struct asked *asked = world_ask(1, "a", NULL);
    CU_ASSERT_EQUAL(running(1), 1);
    world_model_answers(1, "A");
    check_answer(asked, CACHE_MISS, "A");
    world_teardown();
}

/* Or one that is there for who writes and not for who reads. */
static void test_lease_of_two_minds(void) {
    world_setup(NULL);
    late_begin(&world.workers[0]);
    struct asked *asked = world_ask(0, "a", NULL);
    for (unsigned i = 0; i < 1000 && running(0) == 0; i++) {
        if (late_verb() == LATE_ADD && late_kind() == STORE_LEASE)
            late_refuse(STORE_EXISTS);
        else if (late.n > 0)
            late_answer();
        world_turn();
    }
    CU_ASSERT_EQUAL_FATAL(running(0), 1);
    late_end();
    world_model_answers(0, "A");
    check_answer(asked, CACHE_MISS, "A");
    world_teardown();
}

/* A flight that has not begun ends with its last client; who follows it elsewhere takes over. */
static void one_at_a_time(struct settings *settings) {
    settings->inference_concurrency = 1;
}

static void test_follower_takes_over(void) {
    world_setup(one_at_a_time);
    struct asked *first = world_ask(0, "a", NULL);
    struct asked *queued = world_ask(0, "b", NULL);
    struct asked *follows = world_ask(1, "b", NULL);
    CU_ASSERT_EQUAL(running(1), 0);
    cache_forget(world.workers[0].cache, &queued->request);
    world_turn();
    CU_ASSERT_EQUAL(running(1), 1);
    world_model_answers(1, "B");
    check_answer(follows, CACHE_MISS, "B");
    world_model_answers(0, "A");
    check_answer(first, CACHE_MISS, "A");
    world_teardown();
}

/* ---- other hosts ---- */

/* Nobody wakes us for what another host does; the flights look again every 10 to 100 ms. The timer runs by
 * the loop's own clock, so this waits for it, but for at most so many of its ticks. */
static void wait_for(const struct asked *asked, unsigned ticks) {
    for (unsigned i = 0; i < ticks && asked->answers == 0 && running(1) == 0; i++) {
        world.clock.monotonic_us += 10000;
        uv_run(&world.loop, UV_RUN_ONCE);
        world_turn();
    }
}

static struct asked *follow_stranger(uint64_t *generation, struct key *lease) {
    const struct lease_owner owner = stranger();
    world_setup(NULL);
    *lease = prepare_lease(generation);
    put_lease_of(lease, &owner);
    struct asked *asked = world_ask(1, "a", NULL);
    CU_ASSERT_EQUAL(running(1), 0);
    CU_ASSERT_EQUAL(asked->answers, 0);
    return asked;
}

static void store_as_stranger(const struct asked *asked, uint64_t generation, const char *body) {
    char encoded[256];
    struct buffer buffer = {.data = encoded, .capacity = sizeof(encoded), .cap = sizeof(encoded)};
    const struct entry entry = {.key = asked->request.key,
                                .created_us = world.clock.wall_us,
                                .fresh_until_us = world.clock.wall_us + 1000000,
                                .generation = generation,
                                .cache_namespace = bytes_of("default"),
                                .body = bytes_of(body)};
    entry_append(&entry, &buffer);
    const struct store_item item = {.kind = STORE_ENTRY,
                                    .key = entry.key.bytes,
                                    .value = buffer_bytes(&buffer),
                                    .epoch = generation,
                                    .ttl_ms = 1000};
    store_put(world.workers[1].store, &item, NULL, NULL);
}

static void test_other_host_stores(void) {
    uint64_t generation;
    struct key lease;
    struct asked *asked = follow_stranger(&generation, &lease);
    store_as_stranger(asked, generation, "theirs");
    wait_for(asked, 100);
    check_answer(asked, CACHE_MISS, "theirs");
    CU_ASSERT(asked->status.collapsed);
    world_teardown();
}

static void put_outcome_of_stranger(const struct key *lease, struct bytes value) {
    struct key outcome;
    key_of_outcome(lease, stranger().nonce, &outcome);
    const struct store_item item = {
        .kind = STORE_OUTCOME, .key = outcome.bytes, .value = value, .ttl_ms = 3000};
    store_put(world.workers[1].store, &item, NULL, NULL);
}

/* Sixteen bytes: what became of it, the status, HTTP's status, Retry-After, the duration. */
static void test_other_host_fails(void) {
    static const char TIMEOUT[16] = {OUTCOME_FAILED, ENGINE_TIMEOUT};
    static const char NOT_SHARED[16] = {OUTCOME_NOT_SHARED};
    uint64_t generation;
    struct key lease;
    struct asked *asked = follow_stranger(&generation, &lease);
    put_outcome_of_stranger(&lease, (struct bytes){TIMEOUT, sizeof(TIMEOUT)});
    wait_for(asked, 100);
    check_answer(asked, CACHE_FAILED, "");
    CU_ASSERT_EQUAL(asked->failure, ENGINE_TIMEOUT);
    CU_ASSERT(asked->status.collapsed);
    world_teardown();

    asked = follow_stranger(&generation, &lease);
    put_outcome_of_stranger(&lease, (struct bytes){NOT_SHARED, sizeof(NOT_SHARED)});
    wait_for(asked, 100);
    CU_ASSERT_EQUAL(running(1), 1);
    world_model_answers(1, "A");
    check_answer(asked, CACHE_MISS, "A");
    world_teardown();
}

/* A follower there: with the credential that was refused, or another one. The lease that led to it still
 * stands, until the other host has told its store to remove it. */
static struct asked *follow_refused(const char *credential, struct key *lease) {
    const struct lease_owner owner = stranger();
    uint64_t generation;
    struct key refusal;
    char value[16 + KEY_LENGTH] = {OUTCOME_REFUSED, ENGINE_REJECTED};
    world_setup(NULL);
    *lease = prepare_lease(&generation);
    put_lease_of(lease, &owner);
    struct asked *asked = world_ask_as(1, credential, "a");
    key_of_refusal(lease, owner.nonce, bytes_of("Bearer bad"), &refusal);
    store_u16(value + 2, 401);
    memcpy(value + 16, refusal.bytes, KEY_LENGTH);
    put_outcome_of_stranger(lease, (struct bytes){value, sizeof(value)});
    wait_for(asked, 20);
    return asked;
}

static void test_other_host_is_refused(void) {
    struct key lease;
    struct asked *asked = follow_refused("Bearer bad", &lease);
    check_answer(asked, CACHE_FAILED, "");
    CU_ASSERT_EQUAL(asked->http_status, 401);
    world_teardown();

    static const char *const OTHERS[] = {"Bearer good", "", "bearer bad"};
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++) {
        asked = follow_refused(OTHERS[i], &lease);
        CU_ASSERT_EQUAL(asked->answers, 0);
        CU_ASSERT_EQUAL(running(1), 0);
        store_remove(world.workers[1].store, STORE_LEASE, lease.bytes, 0, 0, NULL, NULL);
        wait_for(asked, 100);
        CU_ASSERT_EQUAL_FATAL(running(1), 1);
        CU_ASSERT(bytes_equal(world.workers[1].running[0]->authorization, bytes_of(OTHERS[i])));
        world_model_answers(1, "A");
        check_answer(asked, CACHE_MISS, "A");
        world_teardown();
    }
}

/* The request that led there was late, or had no place. Its outcome is read once, although its lease stands
 * until the other host's store has heard of the end. */
static void test_other_host_is_late(void) {
    static const char LATE[16] = {OUTCOME_ASKER_FAILED, ENGINE_TIMEOUT};
    uint64_t generation;
    struct key lease;
    struct asked *asked = follow_stranger(&generation, &lease);
    put_outcome_of_stranger(&lease, (struct bytes){LATE, sizeof(LATE)});
    wait_for(asked, 100);
    CU_ASSERT_EQUAL(asked->answers, 0);
    CU_ASSERT_EQUAL(running(1), 0);
    store_remove(world.workers[1].store, STORE_LEASE, lease.bytes, 0, 0, NULL, NULL);
    wait_for(asked, 100);
    CU_ASSERT_EQUAL_FATAL(running(1), 1);
    world_model_answers(1, "A");
    check_answer(asked, CACHE_MISS, "A");
    world_teardown();
}

/* An outcome that says nothing changes nothing. */
static void test_other_host_says_nothing(void) {
    uint64_t generation;
    struct key lease;
    struct asked *asked = follow_stranger(&generation, &lease);
    put_outcome_of_stranger(&lease, bytes_of("nothing"));
    wait_for(asked, 10);
    CU_ASSERT_EQUAL(asked->answers, 0);
    CU_ASSERT_EQUAL(running(1), 0);
    store_remove(world.workers[1].store, STORE_LEASE, lease.bytes, 0, 0, NULL, NULL);
    wait_for(asked, 100);
    CU_ASSERT_EQUAL(running(1), 1);
    world_model_answers(1, "A");
    check_answer(asked, CACHE_MISS, "A");
    world_teardown();
}

/* An entry from before a purge is not what is waited for. */
static void test_other_host_stores_the_old(void) {
    uint64_t generation;
    struct key lease;
    struct asked *asked = follow_stranger(&generation, &lease);
    store_as_stranger(asked, generation - 1, "old");
    wait_for(asked, 20);
    CU_ASSERT_EQUAL(asked->answers, 0);
    store_remove(world.workers[1].store, STORE_LEASE, lease.bytes, 0, 0, NULL, NULL);
    wait_for(asked, 100);
    CU_ASSERT_EQUAL(running(1), 1);
    world_model_answers(1, "A");
    check_answer(asked, CACHE_MISS, "A");
    world_teardown();
}

static void test_other_host_goes(void) {
    uint64_t generation;
    struct key lease;
    struct asked *asked = follow_stranger(&generation, &lease);
    wait_for(asked, 20);
    CU_ASSERT_EQUAL(running(1), 0);
    world.clock.wall_us += 10000000; /* the lease's time is over, by whichever clock the store goes */
    world.clock.monotonic_us += 10000000;
    wait_for(asked, 100);
    CU_ASSERT_EQUAL(running(1), 1);
    world_model_answers(1, "A");
    check_answer(asked, CACHE_MISS, "A");
    world_teardown();
}

static const struct unit_case CASES[] = {
    {"a lease's owner, there and back", test_owner_there_and_back},
    {"an outcome that is none", test_outcome_of_something_else},
    {"a lease runs out", test_lease_runs_out},
    {"owners that died", test_dead_owners},
    {"a lease that names nobody", test_lease_of_nobody},
    {"a lease that cannot be read", test_lease_of_two_minds},
    {"a follower takes over", test_follower_takes_over},
    {"another host stores", test_other_host_stores},
    {"another host stores what is old", test_other_host_stores_the_old},
    {"another host fails", test_other_host_fails},
    {"another host's credential is refused", test_other_host_is_refused},
    {"another host's request is late", test_other_host_is_late},
    {"another host says nothing", test_other_host_says_nothing},
    {"another host goes", test_other_host_goes},
};

int main(int argc, char *argv[]) {
    alarm(120); /* a worker caught in a circle is a failure, not a wait */
    return unit_main(argc, argv, "lease", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
