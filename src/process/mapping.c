/* Makes the shared mapping, and makes it anew when its file was cut short. */
#include "inferonce/process/mapping.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inferonce/base/log.h"
#include "inferonce/base/shared_file.h"
#include "inferonce/base/shared_guard.h"
#include "inferonce/store/memory.h"
#include "inferonce/store/memory_adopt.h"
#include "inferonce/store/state.h"

#define STATE_PATH_MAX 4096

/* The file of the state is named after what the host's pools share: CACHE_PATH, else the socket. */
static void name_state(const struct settings *settings, const struct listener *listener,
                       char path[STATE_PATH_MAX]) {
    char shared[LISTENER_NAME_MAX];
    const char *base = settings->cache_path;
    if (base[0] == '\0') {
        listener_name(listener, shared);
        base = shared;
    }
    const char *slash = strrchr(base, '/');
    if (settings->state_dir[0] == '\0')
        snprintf(path, STATE_PATH_MAX, "%s.state", base);
    else
        snprintf(path, STATE_PATH_MAX, "%s/%s.state", settings->state_dir, slash ? slash + 1 : base);
}

/* Without the file a restart would bring back what a purge was to remove: everything goes instead. */
static void open_state(struct shared *shared, const struct settings *settings,
                       const struct listener *listener) {
    char path[STATE_PATH_MAX];
    struct error error;
    if (settings->cache_backend == CACHE_BACKEND_MEMORY)
        return;
    name_state(settings, listener, path);
    if (state_open(shared, path, &error)) {
        LOG(LOG_INFO, "state_kept", LOG_TEXT("path", path));
        return;
    }
    LOG(LOG_WARN, "state_not_kept", LOG_TEXT("error", error.text),
        LOG_TEXT("effect", "what the cache servers have is invalidated at each start; set STATE_DIR"));
    if (shared->first || shared->adopted)
        state_is_unknown(shared);
}

/* A file that was left at the path may have entries that were removed since. */
static void take_former(struct shared *shared, const struct shared *former, const struct clock *clock) {
    if (!shared->fresh)
        memory_region_empty(shared->region, shared->region_bytes, clock);
    shared_take_former(shared, former);
}

/* Between shared_create and shared_ready. `former` is a mapping to take entries from; NULL: there is none but
 * what the file holds. */
static void set_up(struct shared *shared, const struct settings *settings, const struct listener *listener,
                   const struct memory_layout *layout, const struct shared *former) {
    const struct clock clock = {.fake = false};
    if (shared->first) {
        size_t wiped = memory_region_setup(shared->region, layout, shared->fresh, &clock);
        if (former)
            take_former(shared, former, &clock);
        if (shared->former)
            LOG(LOG_INFO, former ? "cache_taken_over" : "cache_file_taken_over",
                LOG_NUMBER("entries", memory_adopt(shared->region, shared->region_bytes, shared->former,
                                                   shared->former_bytes, &clock)));
        if (settings->cache_backend != CACHE_BACKEND_MEMORY && (!shared->fresh || shared->former))
            memory_region_empty(shared->region, shared->region_bytes, &clock);
        if (wiped > 0)
            LOG(LOG_WARN, "cache_file_damaged", LOG_NUMBER("shards_emptied", wiped));
    }
    open_state(shared, settings, listener);
    shared_ready(shared);
}

bool mapping_make(struct shared *shared, const struct settings *settings, const struct listener *listener,
                  unsigned workers, struct error *error) {
    struct memory_layout layout = memory_layout_of(settings, workers);
    if (!shared_create(shared, workers, settings->cache_path, memory_region_bytes(&layout),
                       memory_region_tag(&layout), error))
        return false;
    set_up(shared, settings, listener, &layout, NULL);
    shared_guard_setup(shared);
    return true;
}

/* ---- in place of another one ---- */

static bool still_names(const char *path, int descriptor) {
    struct stat named, held;
    return descriptor >= 0 && lstat(path, &named) == 0 && fstat(descriptor, &held) == 0 &&
           named.st_dev == held.st_dev && named.st_ino == held.st_ino;
}

/* Processes that were forked before hold claims on their file for as long as they live: the path is to name
 * another one. Whatever else is at the path stays: another pool has made it anew, or it is no file of ours;
 * shared_create says. */
static bool clear_path(int descriptor, const char *path, struct error *error) {
    struct stat held;
    if (!still_names(path, descriptor) || fstat(descriptor, &held) != 0)
        return true;
    if (!shared_file_is_ours(descriptor, held.st_size, path, error))
        return false;
    if (unlink(path) == 0 || errno == ENOENT)
        return true;
    error_set_errno(error, errno, "CACHE_PATH: %s: cannot remove the former file", path);
    return false;
}

/* Makes another one than that of `descriptor`, in a file, or, when that cannot be, in memory alone. */
static bool make_another(struct shared *shared, const struct settings *settings,
                         const struct listener *listener, int descriptor, unsigned workers,
                         const struct shared *former, struct error *error) {
    struct memory_layout layout = memory_layout_of(settings, workers);
    size_t bytes = memory_region_bytes(&layout);
    uint64_t tag = memory_region_tag(&layout);
    const char *path = settings->cache_path;
    bool made = *path && clear_path(descriptor, path, error) &&
                shared_create_at_once(shared, workers, path, bytes, tag, error);
    if (*path && !made)
        LOG(LOG_ERROR, "cache_file_not_made_anew", LOG_TEXT("error", error->text));
    if (!made && !shared_create_at_once(shared, workers, NULL, bytes, tag, error))
        return false;
    set_up(shared, settings, listener, &layout, former);
    return true;
}

/* The file of the state was cut short: another one is made, while workers still have this one open. */
static void remove_state(const struct shared *shared, const struct settings *settings,
                         const struct listener *listener) {
    char path[STATE_PATH_MAX];
    name_state(settings, listener, path);
    if (still_names(path, shared->state_descriptor) && unlink(path) != 0)
        LOG(LOG_WARN, "state_not_removed", LOG_TEXT("path", path), LOG_TEXT("error", strerror(errno)));
}

bool mapping_make_anew(struct shared *shared, const struct settings *settings,
                       const struct listener *listener, struct error *error) {
    struct shared anew;
    bool state_lost = shared_guard_state_is_lost(shared);
    if (state_lost)
        remove_state(shared, settings, listener);
    if (!make_another(&anew, settings, listener, shared->descriptor, shared->workers, NULL, error))
        return false;
    if (state_lost)
        state_is_unknown(&anew);
    shared_take_counters(&anew, shared);
    shared_guard_setup(&anew);
    state_close(shared);
    shared_destroy(shared);
    *shared = anew;
    return true;
}

/* ---- from the image before ---- */

/* Successors of its workers have another mapping: none of them waits for one in its own. */
static void relieve_all(struct shared *old) {
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        if (shared_slot_is_ours(old, slot))
            atomic_store(&old->slots[slot].relieved, 1);
}

/* Makes another one, with the entries and the counters of the old one, which its workers keep; with neither
 * when this version does not know its layout. */
static bool make_from(struct shared *shared, const struct settings *settings, const struct listener *listener,
                      const struct shared_handles *handles, unsigned workers, struct error *error) {
    struct shared old;
    enum shared_adoption adoption =
        shared_adopt(&old, handles, handles->workers, handles->region_bytes, handles->region_tag, error);
    bool known = adoption == SHARED_ADOPTED;
    if (known)
        shared_guard_setup(&old);
    bool made = make_another(shared, settings, listener, handles->is_file ? handles->descriptor : -1, workers,
                             known ? &old : NULL, error);
    if (made && known) {
        shared_take_counters(shared, &old);
        relieve_all(&old);
    }
    if (known)
        shared_destroy(&old);
    else if (adoption == SHARED_OTHER_LAYOUT)
        shared_handles_close(handles);
    return made;
}

/* Whether it lies where the settings say; a file that was removed, or could not be made, is to be made. */
static bool is_in_place(const struct shared_handles *handles, const char *path) {
    return *path ? handles->is_file && still_names(path, handles->descriptor) : !handles->is_file;
}

bool mapping_take(struct shared *shared, const struct settings *settings, const struct listener *listener,
                  const struct handover *handover, unsigned workers, bool *same, struct error *error) {
    struct memory_layout layout = memory_layout_of(settings, workers);
    const struct shared_handles *handles = &handover->mapping;
    enum shared_adoption adoption = SHARED_OTHER_LAYOUT;
    if (is_in_place(handles, settings->cache_path))
        adoption = shared_adopt(shared, handles, workers, memory_region_bytes(&layout),
                                memory_region_tag(&layout), error);
    *same = adoption == SHARED_ADOPTED;
    if (adoption == SHARED_NOT_ADOPTED)
        return false;
    if (*same)
        open_state(shared, settings, listener);
    else if (!make_from(shared, settings, listener, handles, workers, error))
        return false;
    shared_guard_setup(shared);
    return true;
}
