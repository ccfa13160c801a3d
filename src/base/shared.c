/* Makes the mapping that all workers share, and wakes workers through it. */
#include "inferonce/base/shared.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/shared_layout.h"
#include "base/shared_places.h"
#include "inferonce/base/clock.h"
#include "inferonce/base/log.h"
#include "inferonce/base/shared_file.h"

#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"

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
static const char *find_fault(int descriptor, off_t size, const struct shared_identity *wanted) {
    struct shared_header header;
    if (size < (off_t)sizeof(header) ||
        pread(descriptor, &header, sizeof(header), 0) != (ssize_t)sizeof(header))
        return "cut short";
    const struct shared_identity *found = &header.identity;
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
static void copy_former(struct shared *shared, off_t size, const struct shared_identity *wanted) {
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

/* Opens the file, takes the set-up lock, and leaves a file that can be mapped. */
static bool prepare_file(struct shared *shared, const char *path, bool wait, struct shared_identity *wanted,
                         struct error *error) {
    const struct own_file file = shared_file(path);
    struct stat status;
    if (!read_boot_id(wanted->boot_id, error) || !own_file_open(&file, &shared->descriptor, error))
        return false;
    if (!shared_setup_begin(shared->descriptor)) {
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
    shared->first = shared_places_are_free(shared->descriptor, wait && fault);
    if (fault && !shared->first) {
        error_set(error, "%s: in use by running processes, and not to be shared with them: %s", path, fault);
        return false;
    }
    if (!fault)
        return own_file_reserve(&file, shared->descriptor, size, error);
    if (status.st_size > 0)
        LOG(LOG_WARN, "cache_file_recreated", LOG_TEXT("path", path), LOG_TEXT("reason", fault));
    if (fault == OTHER_SIZES)
        copy_former(shared, status.st_size, wanted);
    shared->fresh = true;
    return own_file_recreate(&file, shared->descriptor, size, error);
}

/* ---- the mapping ---- */

/* Epochs are raised, not zeroed: leases that workers of the last run left in the region belong to the dead.
 */
static void clear_all(struct shared *shared) {
    struct shared_mapping *mapping = shared->mapping;
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++) {
        if (!shared->fresh)
            shared_slot_clear(shared, slot);
        for (size_t i = 0; i < STATS_COUNT; i++)
            atomic_store(&mapping->stats[slot].value[i], 0);
        memset(mapping->stats[slot].histograms, 0, sizeof(mapping->stats[slot].histograms));
        for (size_t i = 0; i < WAKE_WORDS; i++)
            atomic_store(&mapping->wakes[slot][i], 0);
    }
    for (size_t i = 0; i < INTEREST_WORDS; i++)
        atomic_store(&mapping->interest[i], 0);
    atomic_store(&mapping->header.reloads, 0);
    atomic_store(&mapping->header.reloads_refused, 0);
    atomic_store(&mapping->header.restarts, 0);
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

static bool map(struct shared *shared, const struct shared_identity *wanted, struct error *error) {
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
static bool set_up_first(struct shared *shared, const struct shared_identity *wanted, struct error *error) {
    struct shared_header *header = &shared->mapping->header;
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

/* Those that were claimed behind the first `before`. */
static bool set_up_places(struct shared *shared, unsigned before, struct error *error) {
    for (unsigned i = before; i < shared->workers; i++) {
        unsigned place = shared->claimed[i];
        shared_slot_clear(shared, place);
        shared_slot_clear(shared, shared_other_slot(place));
        shared->place_mask |= UINT64_C(1) << place;
        if (!make_eventfd(&shared->wake_descriptors[place], error) ||
            !make_eventfd(&shared->wake_descriptors[shared_other_slot(place)], error))
            return false;
    }
    return true;
}

/* Memory with a descriptor, which the next image of the program can map. */
static bool make_memory(struct shared *shared, size_t bytes, struct error *error) {
    shared->first = shared->fresh = true;
    shared->memory_descriptor = memfd_create("inferonce", MFD_CLOEXEC);
    if (shared->memory_descriptor >= 0 && ftruncate(shared->memory_descriptor, (off_t)bytes) == 0)
        return true;
    error_set_errno(error, errno, "cannot make %zu bytes of shared memory", bytes);
    return false;
}

static bool fill(struct shared *shared, unsigned workers, const char *path, bool wait,
                 struct shared_identity *wanted, struct error *error) {
    bool prepared = path && *path ? prepare_file(shared, path, wait, wanted, error)
                                  : make_memory(shared, wanted->fixed_bytes + wanted->region_bytes, error);
    if (!prepared || !shared_places_claim(shared, workers, path, wait, error) || !map(shared, wanted, error))
        return false;
    if (shared->first && !set_up_first(shared, wanted, error))
        return false;
    shared->instance = shared->mapping->header.instance;
    shared->started_us = shared->mapping->header.started_us;
    return set_up_places(shared, 0, error) && make_eventfd(&shared->master_descriptor, error);
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

static bool create(struct shared *shared, unsigned workers, const char *path, bool wait, size_t region_bytes,
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
    struct shared_identity wanted = {SHARED_FILE_MAGIC, LAYOUT_VERSION, fixed_bytes(),
                                     region_bytes,      region_tag,     ""};
    if (fill(shared, workers, path, wait, &wanted, error))
        return true;
    shared_destroy(shared);
    return false;
}

bool shared_create(struct shared *shared, unsigned workers, const char *path, size_t region_bytes,
                   uint64_t region_tag, struct error *error) {
    return create(shared, workers, path, true, region_bytes, region_tag, error);
}

bool shared_create_at_once(struct shared *shared, unsigned workers, const char *path, size_t region_bytes,
                           uint64_t region_tag, struct error *error) {
    return create(shared, workers, path, false, region_bytes, region_tag, error);
}

void shared_ready(struct shared *shared) {
    drop_former(shared);
    atomic_store_explicit(&shared->mapping->header.ready, 1, memory_order_release);
    if (shared->descriptor >= 0)
        shared_setup_end(shared->descriptor);
}

static void close_all(const int *descriptors, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
}

void shared_destroy(struct shared *shared) {
    if (shared->mapping)
        munmap(shared->mapping,
               (size_t)((char *)shared->region - (char *)shared->mapping) + shared->region_bytes);
    close_all(shared->wake_descriptors, SLOTS_MAX);
    close_all((int[]){shared->master_descriptor, shared->descriptor, shared->memory_descriptor}, 3);
    drop_former(shared);
    clear_handle(shared);
}

/* ---- from one image to the next ---- */

void shared_hand_over(const struct shared *shared, struct shared_handles *handles) {
    const struct shared_identity *identity = &shared->mapping->header.identity;
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

void shared_handles_close(const struct shared_handles *handles) {
    close_all(handles->wake_descriptors, SLOTS_MAX);
    close_all((int[]){handles->master_descriptor, handles->descriptor}, 2);
}

/* Places beside those that were claimed before. Without them there are as many workers as there were. */
static void claim_more(struct shared *shared, unsigned workers) {
    unsigned before = shared->workers;
    struct error error;
    if (workers <= before || (shared_places_claim(shared, workers, "CACHE_PATH", false, &error) &&
                              set_up_places(shared, before, &error)))
        return;
    shared_places_give_back(shared, before);
    LOG(LOG_WARN, "workers_not_added", LOG_NUMBER("workers", before), LOG_TEXT("error", error.text));
}

/* Whether the mapping is what shared_create would make of these sizes. */
static bool has_layout(const struct shared_handles *handles, const struct shared_identity *wanted) {
    struct shared_header header;
    return handles->descriptor >= 0 && handles->fixed_bytes == wanted->fixed_bytes &&
           handles->region_bytes == wanted->region_bytes && handles->region_tag == wanted->region_tag &&
           pread(handles->descriptor, &header, sizeof(header), 0) == (ssize_t)sizeof(header) &&
           header.identity.layout_version == wanted->layout_version;
}

enum shared_adoption shared_adopt(struct shared *shared, const struct shared_handles *handles,
                                  unsigned workers, size_t region_bytes, uint64_t region_tag,
                                  struct error *error) {
    const struct shared_identity wanted = {.layout_version = LAYOUT_VERSION,
                                           .fixed_bytes = fixed_bytes(),
                                           .region_bytes = region_bytes,
                                           .region_tag = region_tag};
    if (!has_layout(handles, &wanted))
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
    if (!map(shared, &wanted, error)) {
        shared_destroy(shared);
        return SHARED_NOT_ADOPTED;
    }
    claim_more(shared, workers);
    shared->instance = shared->mapping->header.instance;
    shared->started_us = shared->mapping->header.started_us;
    return SHARED_ADOPTED;
}

void shared_take_former(struct shared *shared, const struct shared *from) {
    int descriptor = from->descriptor >= 0 ? from->descriptor : from->memory_descriptor;
    off_t at = (char *)from->region - (char *)from->mapping;
    INVARIANT(shared->first);
    drop_former(shared);
    void *view = mmap(NULL, from->region_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, at);
    if (view == MAP_FAILED)
        return;
    shared->former = view;
    shared->former_bytes = from->region_bytes;
}
