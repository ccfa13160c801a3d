/* A trace of look-ups and inferences against the real memory store, or against an exact
 * GreedyDual-Size-Frequency (Cherkasova, HP Laboratories 1998), which ranks all entries anew with each hit.
 *
 * Texts are asked for by Zipf's law; each has a size and a cost, both lognormal and independent of each other
 * and of how often it is asked for. A miss costs its inference and is stored. The first quarter fills the
 * cache and is not counted.
 *
 * usage: eviction [--policy=cost|recency|gdsf] [--memory-mb=N] [--requests=N] [--once=PERCENT]
 * [--drift=PERCENT]
 *
 * once: so many requests are for texts that nobody asks for again; drift: so many texts make way for others
 * in the course of the trace.
 *
 * Prints one JSON object: the share of all inference seconds that hits saved, the hit ratio, the CPU time of
 * a request in microseconds. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "inferonce/store/memory.h"
#include "store/backend.h"

#define TEXTS 100000
#define ZIPF  0.9

/* Bytes of a result: 2 KB as a rule, 100 B to 500 KB; seconds of an inference: 1.7 as a rule, 0.05 to 60. */
#define BYTES_MEDIAN 2000
#define BYTES_SIGMA  1.4
#define BYTES_MIN    100
#define BYTES_MAX    (500 * 1024)
#define COST_MEDIAN  1.7
#define COST_SIGMA   1.2
#define COST_MIN     0.05
#define COST_MAX     60.0

/* A record's header in the store, so that both have the same room. */
#define OVERHEAD 80

static struct {
    const char *policy;
    uint64_t memory_mb, requests;
    double once, drift;
} options = {"cost", 30, 1000000, 0, 0};

static struct settings settings;
static struct clock fake = {.fake = true, .monotonic_us = 1000000, .wall_us = UINT64_C(1700000000000000)};
static struct shared shared;
static char *value;

/* ---- numbers by chance, the same in every run ---- */

static uint64_t mix(uint64_t n) {
    n += UINT64_C(0x9e3779b97f4a7c15);
    n = (n ^ (n >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    n = (n ^ (n >> 27)) * UINT64_C(0x94d049bb133111eb);
    return n ^ (n >> 31);
}

/* One of several rows of numbers. */
static double uniform(unsigned row, uint64_t n) {
    return ((double)(mix(n + ((uint64_t)row << 48)) >> 11) + 0.5) / 9007199254740992.0;
}

static double lognormal(unsigned row, uint64_t n, double median, double sigma, double least, double most) {
    double normal = sqrt(-2 * log(uniform(row, 2 * n))) * cos(2 * M_PI * uniform(row, 2 * n + 1));
    double drawn = median * exp(sigma * normal);
    return drawn < least ? least : drawn > most ? most : drawn;
}

struct text {
    uint64_t number;
    uint8_t key[STORE_KEY_LENGTH];
    size_t bytes;
    uint64_t cost_us;
};

static struct text text_of(uint64_t number) {
    struct text text = {.number = number};
    for (unsigned i = 0; i < 4; i++) {
        uint64_t word = mix(4 * number + i);
        memcpy(text.key + 8 * i, &word, 8);
    }
    text.bytes = (size_t)lognormal(1, number, BYTES_MEDIAN, BYTES_SIGMA, BYTES_MIN, BYTES_MAX);
    text.cost_us = (uint64_t)(1e6 * lognormal(2, number, COST_MEDIAN, COST_SIGMA, COST_MIN, COST_MAX));
    return text;
}

/* The shares of the ranks, added up. */
static void rank(double share[TEXTS]) {
    double sum = 0;
    for (uint64_t i = 0; i < TEXTS; i++)
        share[i] = sum += pow((double)(i + 1), -ZIPF);
    for (uint64_t i = 0; i < TEXTS; i++)
        share[i] /= sum;
}

static uint64_t rank_at(const double share[TEXTS], double at) {
    uint64_t low = 0, high = TEXTS - 1;
    while (low < high) {
        uint64_t middle = (low + high) / 2;
        if (share[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The text that request `n` is for. One that makes way for another does so at a moment of its own. */
static uint64_t number_at(const double share[TEXTS], uint64_t n) {
    if (uniform(3, n) < options.once)
        return TEXTS * UINT64_C(2) + n;
    uint64_t number = rank_at(share, uniform(4, n));
    bool gone = uniform(5, number) < options.drift * (double)n / (double)options.requests;
    return gone ? TEXTS + number : number;
}

/* ---- the store ---- */

static struct store *open_store(void) {
    struct error error = {""};
    settings_defaults(&settings);
    settings.cache_memory_mb = options.memory_mb;
    settings.cache_max_size = 100000000;
    settings.cache_eviction =
        strcmp(options.policy, "recency") == 0 ? CACHE_EVICTION_RECENCY : CACHE_EVICTION_COST;
    struct memory_layout layout = memory_layout_of(&settings, 1);
    shared.region_bytes = memory_region_bytes(&layout);
    shared.region =
        mmap(NULL, shared.region_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared.stats = calloc(1, sizeof(*shared.stats));
    shared.workers = 1;
    if (shared.region == MAP_FAILED || !shared.stats)
        exit(1);
    memory_region_setup(shared.region, &layout, true, &fake);
    const struct context context = {
        .settings = &settings, .shared = &shared, .clock = &fake, .stats = shared.stats};
    struct store *store = memory_open(&context, &error);
    if (!store) {
        fprintf(stderr, "eviction: %s\n", error.text);
        exit(1);
    }
    return store;
}

static void on_got(void *user, struct store_get *gets, size_t n) {
    (void)n;
    *(bool *)user = gets[0].status == STORE_OK;
}

static bool ask_store(struct store *store, const struct text *text) {
    bool hit = false;
    struct store_get get = {.kind = STORE_ENTRY, .key = text->key};
    store_get_many(store, &get, 1, on_got, &hit);
    const struct store_item item = {.kind = STORE_ENTRY,
                                    .key = text->key,
                                    .value = {value, text->bytes},
                                    .cost_us = text->cost_us,
                                    .ttl_ms = 3600000};
    if (!hit)
        store_put(store, &item, NULL, NULL);
    return hit;
}

/* ---- GreedyDual-Size-Frequency, with a heap in which a hit leaves the entry's former place behind ---- */

struct place {
    double priority;
    uint64_t number;
};

static struct gdsf {
    struct place *heap;
    size_t n, capacity;
    struct {
        double priority, frequency;
        size_t bytes; /* 0: it is not there */
    } * entries;      /* by number */
    double inflation;
    uint64_t room, used;
} gdsf;

static void push(struct place place) {
    if (gdsf.n == gdsf.capacity) {
        gdsf.capacity = gdsf.capacity ? 2 * gdsf.capacity : 1024;
        gdsf.heap = reallocarray(gdsf.heap, gdsf.capacity, sizeof(*gdsf.heap));
        if (!gdsf.heap)
            exit(1);
    }
    size_t at = gdsf.n++;
    for (; at > 0 && gdsf.heap[(at - 1) / 2].priority > place.priority; at = (at - 1) / 2)
        gdsf.heap[at] = gdsf.heap[(at - 1) / 2];
    gdsf.heap[at] = place;
}

static struct place pop(void) {
    struct place least = gdsf.heap[0], last = gdsf.heap[--gdsf.n];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < gdsf.n; at = child) {
        child += child + 1 < gdsf.n && gdsf.heap[child + 1].priority < gdsf.heap[child].priority;
        if (gdsf.heap[child].priority >= last.priority)
            break;
        gdsf.heap[at] = gdsf.heap[child];
    }
    gdsf.heap[at] = last;
    return least;
}

static void evict(void) {
    struct place least = pop();
    if (gdsf.entries[least.number].bytes == 0 || gdsf.entries[least.number].priority > least.priority)
        return;
    gdsf.inflation = least.priority;
    gdsf.used -= gdsf.entries[least.number].bytes;
    gdsf.entries[least.number].bytes = 0;
}

static bool ask_gdsf(const struct text *text) {
    size_t bytes = text->bytes + OVERHEAD;
    bool hit = gdsf.entries[text->number].bytes > 0;
    gdsf.entries[text->number].frequency = hit ? gdsf.entries[text->number].frequency + 1 : 1;
    gdsf.entries[text->number].priority =
        gdsf.inflation + gdsf.entries[text->number].frequency * (double)text->cost_us / (double)bytes;
    gdsf.entries[text->number].bytes = bytes;
    gdsf.used += hit ? 0 : bytes;
    push((struct place){gdsf.entries[text->number].priority, text->number});
    while (gdsf.used > gdsf.room)
        evict();
    return hit;
}

static void set_up_gdsf(void) {
    gdsf.room = options.memory_mb << 20;
    gdsf.entries = calloc(2 * TEXTS + options.requests, sizeof(*gdsf.entries));
    if (!gdsf.entries)
        exit(1);
}

/* ---- the trace ---- */

static void run(struct store *store, const double share[TEXTS]) {
    double saved = 0, all = 0;
    uint64_t hits = 0, counted = 0;
    clock_t began = clock();
    for (uint64_t n = 0; n < options.requests; n++) {
        const struct text text = text_of(number_at(share, n));
        bool hit = store ? ask_store(store, &text) : ask_gdsf(&text);
        fake.monotonic_us += 100;
        if (n < options.requests / 4)
            continue;
        counted++;
        hits += hit;
        all += (double)text.cost_us;
        saved += hit ? (double)text.cost_us : 0;
    }
    printf("{\"saved\": %.4f, \"hit_ratio\": %.4f, \"cpu_us\": %.2f}\n", saved / all,
           (double)hits / (double)counted,
           (double)(clock() - began) / CLOCKS_PER_SEC / (double)options.requests * 1e6);
}

static bool read_options(int argc, char *argv[]) {
    static const struct option NAMES[] = {{"policy", 1, NULL, 'p'},   {"memory-mb", 1, NULL, 'm'},
                                          {"requests", 1, NULL, 'r'}, {"once", 1, NULL, 'o'},
                                          {"drift", 1, NULL, 'd'},    {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", NAMES, NULL)) != -1) {
        if (option == 'p')
            options.policy = optarg;
        else if (option == 'm')
            options.memory_mb = strtoull(optarg, NULL, 10);
        else if (option == 'r')
            options.requests = strtoull(optarg, NULL, 10);
        else if (option == 'o')
            options.once = strtod(optarg, NULL) / 100;
        else if (option == 'd')
            options.drift = strtod(optarg, NULL) / 100;
        else
            return false;
    }
    return optind == argc && options.memory_mb > 0 && options.requests > 0;
}

int main(int argc, char *argv[]) {
    static double share[TEXTS];
    if (!read_options(argc, argv)) {
        fprintf(
            stderr,
            "usage: eviction [--policy=cost|recency|gdsf] [--memory-mb=N] [--requests=N] [--once=PERCENT] "
            "[--drift=PERCENT]\n");
        return 2;
    }
    value = calloc(1, BYTES_MAX);
    if (!value)
        return 1;
    rank(share);
    bool by_gdsf = strcmp(options.policy, "gdsf") == 0;
    if (by_gdsf)
        set_up_gdsf();
    run(by_gdsf ? NULL : open_store(), share);
    return 0;
}
