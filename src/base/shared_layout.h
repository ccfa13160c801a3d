/* The bytes of the shared mapping. Private to its sources. */
#ifndef INFERONCE_BASE_SHARED_LAYOUT_H
#define INFERONCE_BASE_SHARED_LAYOUT_H

#include "inferonce/base/shared.h"

#define LAYOUT_VERSION 4
#define BOOT_ID_LENGTH 36
#define WAKE_WORDS     (INTEREST_WORDS / 64)

/* The properties that a mapping must have to be used. */
struct shared_identity {
    uint64_t magic;
    uint64_t layout_version;
    uint64_t fixed_bytes; /* before the region */
    uint64_t region_bytes;
    uint64_t region_tag;
    /* A file from before a crash of the machine may be half on the disk. */
    char boot_id[BOOT_ID_LENGTH + 4];
};

struct shared_header {
    struct shared_identity identity;
    _Atomic uint64_t ready; /* 0 from shared_create to shared_ready: the set-up was interrupted */
    uint64_t instance;
    uint64_t started_us;
    _Atomic uint64_t reloads, reloads_refused, restarts;
};

/* The region follows on the next page. */
struct shared_mapping {
    struct shared_header header;
    struct shared_slot slots[SLOTS_MAX];
    struct stats stats[SLOTS_MAX];
    _Atomic uint64_t interest[INTEREST_WORDS];
    _Atomic uint64_t wakes[SLOTS_MAX][WAKE_WORDS];
};

/* Raises the slot's incarnation and clears its line and its gauges. */
void shared_slot_clear(struct shared *shared, unsigned slot);

#endif
