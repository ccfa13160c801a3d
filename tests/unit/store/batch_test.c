/* How the looks of a turn become batches. The backend is the test's. */
#include "store/batch.h"

#include "store/backend.h"
#include "unit.h"

#define LOOKS_MAX (4 * BATCH_LOOKS)

/* The looks that the backend was asked for, and those it holds back. */
static struct {
    struct store store;
    unsigned batches;
    struct store_get *gets;
    size_t n;
    store_got got;
    void *user;
    bool late;
    size_t asked; /* items, of all batches */
} backend;

static struct rig {
    uv_loop_t loop;
    struct turn *turn;
    struct stats stats;
    struct context context;
    struct store_look looks[LOOKS_MAX];
    uint8_t keys[LOOKS_MAX][STORE_LOOK_MAX][STORE_KEY_LENGTH];
    unsigned calls[LOOKS_MAX];
    size_t order[LOOKS_MAX];
    size_t n_done;
} rig;

/* The answer to a key is made from the key, so that a look that got another's answer is seen. */
static void tell(struct store_get *get) {
    get->status = get->key[0] % 3 == 0 ? STORE_MISSING : STORE_OK;
    get->epoch = (uint64_t)get->kind * 256 + get->key[0];
    get->value = (struct bytes){(const char *)get->key, STORE_KEY_LENGTH};
}

static void answer(void) {
    for (size_t i = 0; i < backend.n; i++)
        tell(&backend.gets[i]);
    backend.got(backend.user, backend.gets, backend.n);
}

static void backend_get(struct store *store, struct store_get *gets, size_t n, store_got got, void *user) {
    (void)store;
    CU_ASSERT_FATAL(n > 0 && n <= BATCH_GETS);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            CU_ASSERT(gets[i].kind != gets[j].kind ||
                      memcmp(gets[i].key, gets[j].key, STORE_KEY_LENGTH) != 0);
    backend.batches++;
    backend.asked += n;
    backend.gets = gets;
    backend.n = n;
    backend.got = got;
    backend.user = user;
    if (!backend.late)
        answer();
}

static void backend_close(struct store *store) {
    (void)store;
}

static const struct store_operations OPERATIONS = {.get_many = backend_get, .close = backend_close};

static void rig_open(void) {
    struct error error = {""};
    memset(&rig, 0, sizeof(rig));
    memset(&backend, 0, sizeof(backend));
    CU_ASSERT_EQUAL_FATAL(uv_loop_init(&rig.loop), 0);
    rig.turn = turn_create(&rig.loop, &error);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rig.turn);
    rig.context = (struct context){.loop = &rig.loop, .stats = &rig.stats, .turn = rig.turn};
    backend.store.operations = &OPERATIONS;
    backend.store.batches = store_batches_create(&backend.store, &rig.context);
    CU_ASSERT_PTR_NOT_NULL_FATAL(backend.store.batches);
}

static void rig_close(void) {
    struct store *store = &backend.store;
    store_close(&store);
    turn_destroy(&rig.turn);
    uv_run(&rig.loop, UV_RUN_DEFAULT);
    CU_ASSERT_EQUAL(uv_loop_close(&rig.loop), 0);
}

static size_t index_of(const struct store_look *look) {
    return (size_t)(look - rig.looks);
}

static void on_looked(struct store_look *look) {
    CU_ASSERT_EQUAL(look->state, STORE_LOOK_IDLE);
    for (unsigned i = 0; i < look->n; i++) {
        struct store_get told = look->gets[i];
        tell(&told);
        CU_ASSERT_EQUAL(look->gets[i].status, told.status);
        CU_ASSERT_EQUAL(look->gets[i].epoch, told.epoch);
        CU_ASSERT_EQUAL_FATAL(look->gets[i].value.length, STORE_KEY_LENGTH);
        CU_ASSERT_EQUAL(memcmp(look->gets[i].value.data, look->gets[i].key, STORE_KEY_LENGTH), 0);
    }
    rig.calls[index_of(look)]++;
    rig.order[rig.n_done++] = index_of(look);
}

static void set_key(uint8_t key[STORE_KEY_LENGTH], uint64_t hash, size_t rest) {
    memset(key, 0, STORE_KEY_LENGTH);
    memcpy(key, &hash, sizeof(hash));
    key[STORE_KEY_LENGTH - 1] = (uint8_t)rest;
    key[STORE_KEY_LENGTH - 2] = (uint8_t)(rest >> 8);
}

/* Look `i` asks for a generation and an entry. */
static void ask(size_t i, size_t entry, size_t generation, uint64_t step) {
    set_key(rig.keys[i][0], generation * step, generation);
    set_key(rig.keys[i][1], entry * step, entry);
    rig.looks[i] = (struct store_look){.gets = {{.kind = STORE_GENERATION, .key = rig.keys[i][0]},
                                                {.kind = STORE_ENTRY, .key = rig.keys[i][1]}},
                                       .n = 2,
                                       .done = on_looked};
    store_look(&backend.store, &rig.looks[i]);
}

static void test_each_key_once(void) {
    static const struct {
        size_t n, n_entries, n_generations;
    } ROWS[] = {
        {1, 1, 1},       {3, 3, 1},     {3, 1, 1},    {7, 7, 1},     {8, 8, 1},
        {9, 9, 1},       {9, 2, 2},     {20, 20, 20}, {64, 5, 3},    {128, 128, 1},
        {128, 128, 128}, {128, 1, 128}, {128, 3, 1},  {128, 127, 2}, {100, 50, 10},
    };
    /* Far apart; and all in one place of the table, for which its size is a divisor of the step. */
    static const uint64_t STEPS[] = {UINT64_C(0x9e3779b97f4a7c15), 2 * BATCH_GETS, 1, 0};
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        for (size_t j = 0; j < sizeof(STEPS) / sizeof(STEPS[0]); j++) {
            rig_open();
            for (size_t look = 0; look < ROWS[i].n; look++)
                ask(look, look % ROWS[i].n_entries, look % ROWS[i].n_generations, STEPS[j]);
            CU_ASSERT_EQUAL(backend.batches, 0);
            turn_end(rig.turn);
            CU_ASSERT_EQUAL(backend.batches, 1);
            CU_ASSERT_EQUAL(backend.asked, ROWS[i].n_entries + ROWS[i].n_generations);
            CU_ASSERT_EQUAL(rig.n_done, ROWS[i].n);
            for (size_t look = 0; look < ROWS[i].n; look++)
                CU_ASSERT_EQUAL(rig.order[look], look);
            rig_close();
        }
    }
}

/* More than a batch holds, and looks of three items, which fill it sooner. */
static void test_many(void) {
    rig_open();
    for (size_t i = 0; i < LOOKS_MAX; i++)
        ask(i, i, 0, 1);
    turn_end(rig.turn);
    CU_ASSERT_EQUAL(backend.batches, LOOKS_MAX / BATCH_LOOKS);
    for (size_t i = 0; i < LOOKS_MAX; i++)
        CU_ASSERT_EQUAL(rig.order[i], i);
    backend.batches = 0;
    rig.n_done = 0;
    for (size_t i = 0; i < BATCH_LOOKS; i++) {
        for (size_t item = 0; item < 3; item++)
            set_key(rig.keys[i][item], 3 * i + item, i);
        rig.looks[i] = (struct store_look){.gets = {{.kind = STORE_ENTRY, .key = rig.keys[i][0]},
                                                    {.kind = STORE_LEASE, .key = rig.keys[i][1]},
                                                    {.kind = STORE_OUTCOME, .key = rig.keys[i][2]}},
                                           .n = 3,
                                           .done = on_looked};
        store_look(&backend.store, &rig.looks[i]);
    }
    turn_end(rig.turn);
    CU_ASSERT_EQUAL(backend.batches, 2);
    CU_ASSERT_EQUAL(rig.n_done, BATCH_LOOKS);
    rig_close();
}

/* The backend's keys are copies: a look may be gone before it answers. */
static void test_forgotten(void) {
    rig_open();
    backend.late = true;
    for (size_t i = 0; i < 20; i++)
        ask(i, i, 0, 1);
    store_look_forget(&backend.store, &rig.looks[3]);
    turn_end(rig.turn);
    CU_ASSERT_EQUAL(backend.n, 20);
    store_look_forget(&backend.store, &rig.looks[5]);
    store_look_forget(&backend.store, &rig.looks[5]); /* it is out already */
    memset(rig.keys[5], 0xff, sizeof(rig.keys[5]));
    answer();
    for (size_t i = 0; i < 20; i++)
        CU_ASSERT_EQUAL(rig.calls[i], i == 3 || i == 5 ? 0 : 1);
    rig_close();
}

static void on_looked_for_ever(struct store_look *look) {
    on_looked(look);
    rig.n_done = 0;
    store_look(&backend.store, look);
}

/* A look that is asked anew as soon as it is done has a few answers a turn, and does not keep the loop from
 * its other work. */
static void test_asked_anew(void) {
    rig_open();
    ask(0, 1, 1, 1);
    rig.looks[0].done = on_looked_for_ever;
    turn_end(rig.turn);
    unsigned a_turn = rig.calls[0];
    CU_ASSERT(a_turn > 1 && a_turn < 10);
    CU_ASSERT_EQUAL(rig.looks[0].state, STORE_LOOK_COLLECTED);
    uv_run(&rig.loop, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(rig.calls[0], 2 * a_turn);
    rig_close();
}

static void on_looked_forget_next(struct store_look *look) {
    on_looked(look);
    store_look_forget(&backend.store, look + 1);
}

static void test_one_makes_another_leave(void) {
    for (size_t first = 0; first < 2 * BATCH_LOOKS; first += BATCH_LOOKS / 2 - 1) {
        rig_open();
        for (size_t i = 0; i < LOOKS_MAX; i++)
            ask(i, i, 0, 1);
        rig.looks[first].done = on_looked_forget_next;
        turn_end(rig.turn);
        for (size_t i = 0; i < LOOKS_MAX; i++)
            CU_ASSERT_EQUAL(rig.calls[i], i == first + 1 ? 0 : 1);
        rig_close();
    }
}

/* Batches are used again, and go with the store, asked or not: a sanitizer sees whether. */
static void test_memory(void) {
    rig_open();
    backend.late = true;
    ask(0, 0, 0, 1);
    turn_end(rig.turn);
    answer();
    unit_allocations_fail(1, false);
    ask(1, 1, 0, 1);
    turn_end(rig.turn);
    unit_allocations_heal();
    CU_ASSERT_EQUAL(rig.looks[1].state, STORE_LOOK_ASKED);
    ask(2, 2, 0, 1);
    turn_end(rig.turn);
    ask(3, 3, 0, 1);
    rig_close();
    CU_ASSERT_EQUAL(rig.n_done, 1);
}

static void on_failed(struct store_look *look) {
    rig.calls[index_of(look)]++;
}

static void test_no_memory(void) {
    rig_open();
    unit_allocations_count_start();
    unit_allocations_fail(1, false);
    for (size_t i = 0; i < 2; i++) {
        ask(i, i, 0, 1);
        rig.looks[i].done = on_failed;
    }
    turn_end(rig.turn);
    unit_allocations_heal();
    bool failed = unit_allocations_count() > 0; /* the sanitizers have the allocator to themselves */
    for (size_t i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(rig.calls[i], 1);
        CU_ASSERT_EQUAL(rig.looks[i].gets[0].status == STORE_ERROR, failed);
    }
    CU_ASSERT_EQUAL(stats_sum(&rig.stats, 1, STAT_store_errors), failed ? 2 : 0);
    rig_close();
}

static const struct unit_case CASES[] = {
    {"each key once", test_each_key_once},
    {"many looks", test_many},
    {"a look is forgotten", test_forgotten},
    {"a look is asked anew", test_asked_anew},
    {"a look makes another leave", test_one_makes_another_leave},
    {"memory", test_memory},
    {"no memory", test_no_memory},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "batch", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
