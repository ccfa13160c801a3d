/* Makes the mapping that all workers share, and wakes workers through it. */
#include "inferonce/base/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "inferonce/base/clock.h"
#include "inferonce/base/log.h"
#include "inferonce/base/shared_file.h"

#define LAYOUT_VERSION 3
#define BOOT_ID_FILE   "/proc/sys/kernel/random/boot_id"
#define BOOT_ID_LENGTH 36
#define WAKE_WORDS     (INTEREST_WORDS / 64)

/* For the processes of a pool that was killed to be gone, at most. */
#define DYING_WAIT_MS 3000
#define DYING_LOOK_MS 20

_Static_assert(WORKERS_MAX == 64, "a word of interest has one bit for each place");
_Static_assert(INTEREST_WORDS % 64 == 0, "the wakes of a slot are whole words");

/* The properties that a mapping must have to be used. */
struct identity {
    uint64_t magic;
    uint64_t layout_version;
    uint64_t fixed_bytes; /* before the region */
    uint64_t region_bytes;
    uint64_t region_tag;
    char boot_id[BOOT_ID_LENGTH +
                 4]; /* what was written before a crash of the machine may be half on the disk */
};

struct header {
    struct identity identity;
    _Atomic uint64_t
        ready; /* 0 from shared_create to shared_ready: who finds it so found an interrupted set-up */
    uint64_t instance;
    uint64_t started_us;
    _Atomic uint64_t reloads, reloads_refused, restarts;
};

/* The region follows on the next page. */
struct shared_mapping {
    struct header header;
    struct shared_slot slots[SLOTS_MAX];
    struct stats stats[SLOTS_MAX];
    _Atomic uint64_t interest[INTEREST_WORDS];
    _Atomic uint64_t wakes[SLOTS_MAX][WAKE_WORDS];
};

/* ---- locks on the file: byte p is the claim on place p, the byte behind them is set-up ---- */

#define SETUP_LOCK WORKERS_MAX

static struct flock lock_of(short type, unsigned first, unsigned n) {
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = first, .l_len = n};
}

/* True when it was taken or given back; false with errno. */
static bool lock_set(int descriptor, int command, short type, unsigned at) {
    struct flock lock = lock_of(type, at, 1);
    int result;
    do {
        result = fcntl(descriptor, command, &lock);
    } while (result < 0 && errno == EINTR);
    return result == 0;
}

/* Whether another master, or a worker that outlived it, holds any place. When that cannot be told it is taken
 * to be so. */
static bool others_hold_places(int descriptor) {
    struct flock lock = lock_of(F_WRLCK, 0, WORKERS_MAX);
    return fcntl(descriptor, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

/* Takes what is free of the places. False: locking failed, with errno. */
static bool claim_free(struct shared *shared, unsigned workers) {
    for (unsigned place = 0; place < WORKERS_MAX && shared->workers < workers; place++) {
        bool ours = false;
        for (unsigned i = 0; i < shared->workers; i++)
            ours = ours || shared->claimed[i] == place;
        if (ours)
            continue;
        if (lock_set(shared->descriptor, F_OFD_SETLK, F_WRLCK, place))
            shared->claimed[shared->workers++] = place;
        else if (errno != EAGAIN && errno != EACCES)
            return false;
    }
    return true;
}

static bool look_again(unsigned *looks) {
    const struct timespec pause = {.tv_nsec = DYING_LOOK_MS * 1000000L};
    if (*looks == 0)
        return false;
    --*looks;
    nanosleep(&pause, NULL);
    return true;
}

/* Waits for a pool that was killed a moment ago: the kernel gives its claims back one after the other. */
static bool alone_soon(int descriptor) {
    unsigned looks = DYING_WAIT_MS / DYING_LOOK_MS;
    bool others;
    do {
        others = others_hold_places(descriptor);
    } while (others && look_again(&looks));
    return !others;
}

static bool claim_places(struct shared *shared, unsigned workers, const char *path, struct error *error) {
    unsigned looks = DYING_WAIT_MS / DYING_LOOK_MS;
    do {
        if (!claim_free(shared, workers)) {
            error_set_errno(error, errno, "%s: cannot lock", path);
            return false;
        }
    } while (shared->workers < workers && look_again(&looks));
    if (shared->workers == workers)
        return true;
    error_set(error, "%s: %u workers wanted, but of its %d places only %u are not taken by other pools", path,
              workers, WORKERS_MAX, shared->workers);
    return false;
}

/* ---- the file ---- */

static bool read_boot_id(char *boot_id, struct error *error) {
    int descriptor = open(BOOT_ID_FILE, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        error_set_errno(error, errno, "%s", BOOT_ID_FILE);
        return false;
    }
    ssize_t length = read(descriptor, boot_id, BOOT_ID_LENGTH);
    close(descriptor);
    if (length != BOOT_ID_LENGTH) {
        error_set(error, "%s: holds no boot id", BOOT_ID_FILE);
        return false;
    }
    return true;
}

static const char OTHER_SIZES[] = "made with other sizes";

/* Why the file cannot be used as it is; NULL when it can. */
static const char *find_fault(int descriptor, off_t size, const struct identity *wanted) {
    struct header header;
    if (size < (off_t)sizeof(header) ||
        pread(descriptor, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
        return "cut short";
    const struct identity *found = &header.identity;
    if (found->layout_version != wanted->layout_version || found->fixed_bytes != wanted->fixed_bytes)
        return "written by another version";
    if (memcmp(found->boot_id, wanted->boot_id, sizeof(found->boot_id)) != 0)
        return "written before the machine was started";
    if (found->region_bytes > UINT64_MAX - found->fixed_bytes ||
        (uint64_t)size != found->fixed_bytes + found->region_bytes)
        return "cut short or grown";
    if (header.ready != 1 || header.instance == 0)
        return "its set-up was interrupted";
    if (found->region_bytes != wanted->region_bytes || found->region_tag != wanted->region_tag)
        return OTHER_SIZES;
    return NULL;
}

/* Into memory of our own, since the file is about to be emptied. Without memory for it it is as if there were
 * nothing. */
static void copy_former(struct shared *shared, off_t size, const struct identity *wanted) {
    size_t bytes = (size_t)size - wanted->fixed_bytes;
    char *copy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (copy == MAP_FAILED)
        return;
    size_t done = 0;
    ssize_t length;
    do {
        length = pread(shared->descriptor, copy + done, bytes - done, (off_t)(wanted->fixed_bytes + done));
        done += length > 0 ? (size_t)length : 0;
    } while ((length > 0 && done < bytes) || (length < 0 && errno == EINTR));
    if (done < bytes) {
        munmap(copy, bytes);
        return;
    }
    shared->former = copy;
    shared->former_bytes = bytes;
}

static void drop_former(struct shared *shared) {
    if (shared->former)
        munmap(shared->former, shared->former_bytes);
    shared->former = NULL;
}

/* Opens the file, takes the set-up lock, and leaves a file that can be mapped and the places claimed. */
static bool prepare_file(struct shared *shared, unsigned workers, const char *path, struct identity *wanted,
                         struct error *error) {
    const struct own_file file = shared_file(path);
    struct stat status;
    if (!read_boot_id(wanted->boot_id, error) || !own_file_open(&file, &shared->descriptor, error))
        return false;
    if (!lock_set(shared->descriptor, F_OFD_SETLKW, F_WRLCK, SETUP_LOCK)) {
        error_set_errno(error, errno, "%s: cannot lock", path);
        return false;
    }
    if (fstat(shared->descriptor, &status) < 0) {
        error_set_errno(error, errno, "%s", path);
        return false;
    }
    if (!own_file_is_ours(&file, shared->descriptor, status.st_size, error))
        return false;
    off_t size = (off_t)(wanted->fixed_bytes + wanted->region_bytes);
    const char *fault = find_fault(shared->descriptor, status.st_size, wanted);
    shared->first = fault ? alone_soon(shared->descriptor) : !others_hold_places(shared->descriptor);
    if (fault && !shared->first) {
        error_set(error, "%s: in use by running processes, and not to be shared with them: %s", path, fault);
        return false;
    }
    if (!fault) {
        if (!own_file_reserve(&file, shared->descriptor, size, error))
            return false;
    } else {
        if (status.st_size > 0)
            LOG(LOG_WARN, "cache_file_recreated", LOG_TEXT("path", path), LOG_TEXT("reason", fault));
        if (fault == OTHER_SIZES)
            copy_former(shared, status.st_size, wanted);
        shared->fresh = true;
        if (!own_file_recreate(&file, shared->descriptor, size, error))
            return false;
    }
    return claim_places(shared, workers, path, error);
}

/* ---- the mapping ---- */

static void clear_slot(struct shared *shared, unsigned slot) {
    struct shared_slot *line = &shared->slots[slot];
    atomic_store(&line->pid, 0);
    atomic_store(&line->connections, 0);
    atomic_store(&line->heartbeat_us, 0);
    atomic_store(&line->ready, 0);
    atomic_store(&line->leaving, 0);
    atomic_store(&line->relieved, 0);
    atomic_store(&line->draining, 0);
    atomic_store(&line->unfinished, 0);
    atomic_store(&line->clock_skew_us, 0);
    stats_clear_gauges(&shared->stats[slot]);
    /* 0 is the incarnation of a slot that never had a worker. */
    if (atomic_fetch_add(&line->incarnation, 1) == UINT64_MAX)
        atomic_store(&line->incarnation, 1);
}

/* Epochs are raised, not zeroed: leases that workers of the last run left in the region belong to the dead.
 */
static void clear_all(struct shared *shared) {
    struct shared_mapping *mapping = shared->mapping;
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++) {
        if (!shared->fresh)
            clear_slot(shared, slot);
        for (size_t i = 0; i < STATS_COUNT; i++)
            atomic_store(&mapping->stats[slot].value[i], 0);
        memset(mapping->stats[slot].histograms, 0, sizeof(mapping->stats[slot].histograms));
        for (size_t i = 0; i < WAKE_WORDS; i++)
            atomic_store(&mapping->wakes[slot][i], 0);
    }
    for (size_t i = 0; i < INTEREST_WORDS; i++)
        atomic_store(&mapping->interest[i], 0);
}

static bool random_instance(uint64_t *instance, struct error *error) {
    do {
        if (getrandom(instance, sizeof(*instance), 0) != (ssize_t)sizeof(*instance)) {
            error_set_errno(error, errno, "cannot get random bytes");
            return false;
        }
    } while (*instance == 0);
    return true;
}

static bool map(struct shared *shared, const struct identity *wanted, struct error *error) {
    size_t bytes = wanted->fixed_bytes + wanted->region_bytes;
    int descriptor = shared->descriptor >= 0 ? shared->descriptor : shared->memory_descriptor;
    char *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (base == MAP_FAILED) {
        error_set_errno(error, errno, "cannot map %zu bytes of shared memory", bytes);
        return false;
    }
    shared->mapping = (struct shared_mapping *)(void *)base;
    shared->slots = shared->mapping->slots;
    shared->stats = shared->mapping->stats;
    shared->region = base + wanted->fixed_bytes;
    shared->region_bytes = wanted->region_bytes;
    return true;
}

/* Fills a mapping that nobody else has; the identity last of what is written before the region. */
static bool set_up_first(struct shared *shared, const struct identity *wanted, struct error *error) {
    struct header *header = &shared->mapping->header;
    atomic_store(&header->ready, 0);
    clear_all(shared);
    if (shared->fresh && !random_instance(&header->instance, error))
        return false;
    header->started_us = clock_wall_us(&(struct clock){0});
    header->identity = *wanted;
    return true;
}

static bool make_eventfd(int *descriptor, struct error *error) {
    *descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (*descriptor < 0)
        error_set_errno(error, errno, "cannot make an eventfd");
    return *descriptor >= 0;
}

static bool make_place_descriptors(struct shared *shared, unsigned place, struct error *error) {
    shared->place_mask |= UINT64_C(1) << place;
    return make_eventfd(&shared->wake_descriptors[place], error) &&
           make_eventfd(&shared->wake_descriptors[shared_other_slot(place)], error);
}

static bool make_descriptors(struct shared *shared, struct error *error) {
    for (unsigned i = 0; i < shared->workers; i++)
        if (!make_place_descriptors(shared, shared->claimed[i], error))
            return false;
    return make_eventfd(&shared->master_descriptor, error);
}

/* Memory with a descriptor, which the next image of the program can map. */
static bool make_memory(struct shared *shared, size_t bytes, struct error *error) {
    shared->memory_descriptor = memfd_create("inferonce", MFD_CLOEXEC);
    if (shared->memory_descriptor >= 0 && ftruncate(shared->memory_descriptor, (off_t)bytes) == 0)
        return true;
    error_set_errno(error, errno, "cannot make %zu bytes of shared memory", bytes);
    return false;
}

static bool fill(struct shared *shared, unsigned workers, const char *path, struct identity *wanted,
                 struct error *error) {
    if (path && *path) {
        if (!prepare_file(shared, workers, path, wanted, error))
            return false;
    } else {
        shared->first = shared->fresh = true;
        if (!make_memory(shared, wanted->fixed_bytes + wanted->region_bytes, error))
            return false;
        while (shared->workers < workers) {
            shared->claimed[shared->workers] = shared->workers;
            shared->workers++;
        }
    }
    if (!map(shared, wanted, error))
        return false;
    if (shared->first && !set_up_first(shared, wanted, error))
        return false;
    for (unsigned i = 0; i < shared->workers; i++) {
        clear_slot(shared, shared->claimed[i]);
        clear_slot(shared, shared_other_slot(shared->claimed[i]));
    }
    shared->instance = shared->mapping->header.instance;
    shared->started_us = shared->mapping->header.started_us;
    return make_descriptors(shared, error);
}

/* The mapping before the region, in whole pages. */
static size_t fixed_bytes(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (sizeof(struct shared_mapping) + page - 1) / page * page;
}

static void clear_handle(struct shared *shared) {
    *shared = (struct shared){
        .descriptor = -1, .memory_descriptor = -1, .state_descriptor = -1, .master_descriptor = -1};
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        shared->wake_descriptors[slot] = -1;
}

bool shared_create(struct shared *shared, unsigned workers, const char *path, size_t region_bytes,
                   uint64_t region_tag, struct error *error) {
    clear_handle(shared);
    if (workers == 0 || workers > WORKERS_MAX) {
        error_set(error, "%u workers: from 1 to %d are possible", workers, WORKERS_MAX);
        return false;
    }
    if (region_bytes > PTRDIFF_MAX - fixed_bytes()) {
        error_set(error, "%zu bytes of shared memory are more than a process can map", region_bytes);
        return false;
    }
    struct identity wanted = {SHARED_FILE_MAGIC, LAYOUT_VERSION, fixed_bytes(), region_bytes, region_tag, ""};
    if (fill(shared, workers, path, &wanted, error))
        return true;
    shared_destroy(shared);
    return false;
}

void shared_ready(struct shared *shared) {
    drop_former(shared);
    atomic_store_explicit(&shared->mapping->header.ready, 1, memory_order_release);
    if (shared->descriptor >= 0 && !lock_set(shared->descriptor, F_OFD_SETLK, F_UNLCK, SETUP_LOCK))
        LOG(LOG_ERROR, "cache_file_not_unlocked", LOG_TEXT("reason", strerrordesc_np(errno)));
}

void shared_destroy(struct shared *shared) {
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        if (shared->wake_descriptors[slot] >= 0)
            close(shared->wake_descriptors[slot]);
    if (shared->master_descriptor >= 0)
        close(shared->master_descriptor);
    if (shared->mapping)
        munmap(shared->mapping,
               (size_t)((char *)shared->region - (char *)shared->mapping) + shared->region_bytes);
    if (shared->descriptor >= 0)
        close(shared->descriptor);
    if (shared->memory_descriptor >= 0)
        close(shared->memory_descriptor);
    drop_former(shared);
    clear_handle(shared);
}

/* ---- from one image to the next ---- */

void shared_hand_over(const struct shared *shared, struct shared_handles *handles) {
    const struct identity *identity = &shared->mapping->header.identity;
    *handles = (struct shared_handles){.descriptor = shared->descriptor >= 0 ? shared->descriptor
                                                                             : shared->memory_descriptor,
                                       .is_file = shared->descriptor >= 0,
                                       .fixed_bytes = identity->fixed_bytes,
                                       .region_bytes = identity->region_bytes,
                                       .region_tag = identity->region_tag,
                                       .workers = shared->workers,
                                       .master_descriptor = shared->master_descriptor};
    memcpy(handles->claimed, shared->claimed, sizeof(handles->claimed));
    memcpy(handles->wake_descriptors, shared->wake_descriptors, sizeof(handles->wake_descriptors));
}

/* Places beside those that were claimed before. */
static bool claim_more(struct shared *shared, unsigned workers, struct error *error) {
    unsigned before = shared->workers;
    if (workers <= before)
        return true;
    if (shared->descriptor >= 0) {
        if (!claim_places(shared, workers, "CACHE_PATH", error))
            return false;
    } else {
        while (shared->workers < workers) {
            shared->claimed[shared->workers] = shared->workers;
            shared->workers++;
        }
    }
    for (unsigned i = before; i < shared->workers; i++) {
        clear_slot(shared, shared->claimed[i]);
        clear_slot(shared, shared_other_slot(shared->claimed[i]));
        if (!make_place_descriptors(shared, shared->claimed[i], error))
            return false;
    }
    return true;
}

enum shared_adoption shared_adopt(struct shared *shared, const struct shared_handles *handles,
                                  unsigned workers, size_t region_bytes, uint64_t region_tag,
                                  struct error *error) {
    const struct identity wanted = {.fixed_bytes = fixed_bytes(), .region_bytes = region_bytes};
    struct header header;
    if (handles->descriptor < 0 || handles->fixed_bytes != wanted.fixed_bytes ||
        handles->region_bytes != region_bytes || handles->region_tag != region_tag ||
        pread(handles->descriptor, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
        header.identity.layout_version != LAYOUT_VERSION)
        return SHARED_OTHER_LAYOUT;
    clear_handle(shared);
    shared->adopted = true;
    *(handles->is_file ? &shared->descriptor : &shared->memory_descriptor) = handles->descriptor;
    memcpy(shared->claimed, handles->claimed, sizeof(shared->claimed));
    memcpy(shared->wake_descriptors, handles->wake_descriptors, sizeof(shared->wake_descriptors));
    shared->master_descriptor = handles->master_descriptor;
    shared->workers = handles->workers;
    for (unsigned i = 0; i < shared->workers; i++)
        shared->place_mask |= UINT64_C(1) << shared->claimed[i];
    if (!map(shared, &wanted, error) || !claim_more(shared, workers, error))
        return SHARED_NOT_ADOPTED;
    shared->instance = shared->mapping->header.instance;
    shared->started_us = shared->mapping->header.started_us;
    return SHARED_ADOPTED;
}

void shared_count_reload(struct shared *shared, bool done) {
    struct header *header = &shared->mapping->header;
    atomic_fetch_add(done ? &header->reloads : &header->reloads_refused, 1);
}

void shared_count_restart(struct shared *shared) {
    atomic_fetch_add(&shared->mapping->header.restarts, 1);
}

uint64_t shared_restarts(const struct shared *shared) {
    return atomic_load(&shared->mapping->header.restarts);
}

void shared_histogram(const struct shared *shared, enum histogram_name name, struct histogram *sum) {
    *sum = (struct histogram){.sum_us = 0};
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        histogram_merge(sum, &shared->stats[slot].histograms[name]);
}

void shared_reloads(const struct shared *shared, uint64_t *done, uint64_t *refused) {
    *done = atomic_load(&shared->mapping->header.reloads);
    *refused = atomic_load(&shared->mapping->header.reloads_refused);
}

/* ---- the scoreboard ---- */

void shared_slot_assign(struct shared *shared, unsigned slot, pid_t pid) {
    INVARIANT(slot < SLOTS_MAX);
    /* A slot that is empty was cleared when it became so; its worker may be at work already. */
    if (pid == 0 || atomic_load(&shared->slots[slot].pid) != 0)
        clear_slot(shared, slot);
    atomic_store(&shared->slots[slot].pid, (int32_t)pid);
}

unsigned shared_reap(struct shared *shared) {
    unsigned reaped = 0;
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++) {
        unsigned place = shared_place(slot);
        if (shared->descriptor < 0 || shared_slot_is_ours(shared, slot) ||
            atomic_load(&shared->slots[slot].pid) == 0)
            continue;
        /* The claim is held for the moment, so that no new pool takes the place while it is cleared. */
        if (!lock_set(shared->descriptor, F_OFD_SETLK, F_WRLCK, place))
            continue;
        shared_slot_assign(shared, slot, 0);
        reaped++;
        if (!lock_set(shared->descriptor, F_OFD_SETLK, F_UNLCK, place))
            LOG(LOG_WARN, "cache_file_unlock_failed", LOG_NUMBER("errno", errno));
    }
    return reaped;
}

uint64_t shared_stat(const struct shared *shared, enum statistic stat) {
    return stats_sum(shared->stats, SLOTS_MAX, stat);
}

bool shared_owner_is_dead(const struct shared *shared, uint64_t instance, uint32_t slot,
                          uint64_t incarnation) {
    return instance == shared->instance && slot < SLOTS_MAX &&
           atomic_load(&shared->slots[slot].incarnation) > incarnation;
}

/* ---- waking ----
 *
 * follower   registers interest; looks at the store; waits
 * leader     puts into the store; reads the interest; marks the wake; writes the eventfd
 * follower   reads the eventfd; takes the marks
 *
 * Either the follower sees the entry or the leader sees the interest: each writes one place and then reads
 * the other's, which only sequentially consistent fences on both sides keep in order (acquire and release
 * would let the read overtake the write). The mark is made before the eventfd is written and taken after it
 * was read, so a mark that is missed now comes with a readable eventfd of its own.
 *
 * A leader killed between taking the interest and writing the eventfd is why the master wakes all when a
 * worker dies. */

void shared_interest_register(struct shared *shared, unsigned slot, uint64_t hash) {
    INVARIANT(slot < SLOTS_MAX);
    atomic_fetch_or_explicit(&shared->mapping->interest[shared_interest_word(hash)],
                             UINT64_C(1) << shared_place(slot), memory_order_seq_cst);
    atomic_thread_fence(memory_order_seq_cst);
}

static void notify(int descriptor) {
    uint64_t one = 1;
    /* It can only fail because the counter is full, and then the eventfd is readable as it should be. */
    ssize_t written = write(descriptor, &one, sizeof(one));
    (void)written;
}

void shared_tell_master(const struct shared *shared) {
    notify(shared->master_descriptor);
}

void shared_heard(const struct shared *shared) {
    uint64_t count;
    ssize_t length = read(shared->master_descriptor, &count, sizeof(count));
    (void)length;
}

static void wake_slot(struct shared *shared, unsigned slot, unsigned word) {
    atomic_fetch_or_explicit(&shared->mapping->wakes[slot][word / 64], UINT64_C(1) << (word % 64),
                             memory_order_release);
    notify(shared->wake_descriptors[slot]);
}

void shared_wake(struct shared *shared, uint64_t hash) {
    unsigned word = shared_interest_word(hash);
    _Atomic uint64_t *interest = &shared->mapping->interest[word];
    atomic_thread_fence(memory_order_seq_cst);
    if ((atomic_load_explicit(interest, memory_order_relaxed) & shared->place_mask) == 0)
        return;
    /* Other masters' bits stay, for a leader of their own to find. */
    uint64_t woken = atomic_fetch_and(interest, ~shared->place_mask) & shared->place_mask;
    while (woken != 0) {
        unsigned place = (unsigned)__builtin_ctzll(woken);
        woken &= woken - 1;
        wake_slot(shared, place, word);
        wake_slot(shared, shared_other_slot(place), word);
    }
}

void shared_wake_all(struct shared *shared) {
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++) {
        if (!shared_slot_is_ours(shared, slot))
            continue;
        for (size_t word = 0; word < WAKE_WORDS; word++)
            atomic_store_explicit(&shared->mapping->wakes[slot][word], UINT64_MAX, memory_order_release);
        notify(shared->wake_descriptors[slot]);
    }
}

void shared_wakes_take(struct shared *shared, unsigned slot, uint64_t words[INTEREST_WORDS / 64]) {
    INVARIANT(slot < SLOTS_MAX);
    uint64_t count;
    /* Not readable (EAGAIN): a wake that was taken along with an earlier one; the marks tell. */
    ssize_t length = read(shared->wake_descriptors[slot], &count, sizeof(count));
    (void)length;
    for (size_t word = 0; word < WAKE_WORDS; word++) {
        _Atomic uint64_t *marks = &shared->mapping->wakes[slot][word];
        words[word] = atomic_load_explicit(marks, memory_order_relaxed) == 0
                          ? 0
                          : atomic_exchange_explicit(marks, 0, memory_order_acquire);
    }
}
