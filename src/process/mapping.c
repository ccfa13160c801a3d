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

static bool make(struct shared *shared, const struct settings *settings, const struct listener *listener,
                 const char *path, unsigned workers, const struct shared *former, struct error *error) {
    const struct clock clock = {.fake = false};
    struct memory_layout layout = memory_layout_of(settings, workers);
    if (!shared_create(shared, workers, path, memory_region_bytes(&layout), memory_region_tag(&layout),
                       error))
        return false;
    if (shared->first) {
        size_t wiped = memory_region_setup(shared->region, &layout, shared->fresh, &clock);
        if (former)
            LOG(LOG_INFO, "cache_taken_over",
                LOG_NUMBER("entries", memory_adopt(shared->region, shared->region_bytes, former->region,
                                                   former->region_bytes, &clock)));
        if (shared->former)
            LOG(LOG_INFO, "cache_file_taken_over",
                LOG_NUMBER("entries", memory_adopt(shared->region, shared->region_bytes, shared->former,
                                                   shared->former_bytes, &clock)));
        if (settings->cache_backend != CACHE_BACKEND_MEMORY && (!shared->fresh || shared->former))
            memory_region_empty(shared->region, shared->region_bytes, &clock);
        if (wiped > 0)
            LOG(LOG_WARN, "cache_file_damaged", LOG_NUMBER("shards_emptied", wiped));
    }
    open_state(shared, settings, listener);
    shared_ready(shared);
    shared_guard_setup(shared);
    return true;
}

bool mapping_make(struct shared *shared, const struct settings *settings, const struct listener *listener,
                  unsigned workers, struct error *error) {
    return make(shared, settings, listener, settings->cache_path, workers, NULL, error);
}

/* ---- anew ---- */

/* The counters of all slots; gauges are those of workers that have another mapping now. */
static struct stats *copy_counters(const struct shared *shared) {
    struct stats *copy = malloc(SLOTS_MAX * sizeof(*copy));
    if (!copy)
        return NULL;
    memcpy(copy, shared->stats, SLOTS_MAX * sizeof(*copy));
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        stats_clear_gauges(&copy[slot]);
    return copy;
}

static void add_counters(struct shared *shared, const struct stats *counters) {
    for (unsigned slot = 0; counters && slot < SLOTS_MAX; slot++)
        for (size_t i = 0; i < STATS_COUNT; i++)
            atomic_fetch_add(&shared->stats[slot].value[i], atomic_load(&counters[slot].value[i]));
    for (unsigned slot = 0; counters && slot < SLOTS_MAX; slot++)
        for (size_t i = 0; i < HISTOGRAMS_COUNT; i++)
            histogram_merge(&shared->stats[slot].histograms[i], &counters[slot].histograms[i]);
}

/* Processes that were forked before hold claims on the damaged file for as long as they live: the path is to
 * name another one. Whatever else is at the path stays. */
static bool clear_path(const struct shared *shared, const char *path, struct error *error) {
    struct stat named, held;
    if (lstat(path, &named) != 0 && errno == ENOENT)
        return true;
    if (fstat(shared->descriptor, &held) != 0 || named.st_dev != held.st_dev || named.st_ino != held.st_ino)
        return true; /* another pool has made it anew, or it is no file of ours: shared_create says */
    if (!shared_file_is_ours(shared->descriptor, held.st_size, path, error))
        return false;
    if (unlink(path) == 0 || errno == ENOENT)
        return true;
    error_set_errno(error, errno, "CACHE_PATH: %s: cannot remove the damaged file", path);
    return false;
}

bool mapping_make_anew(struct shared *shared, const struct settings *settings,
                       const struct listener *listener, struct error *error) {
    struct shared anew;
    unsigned workers = shared->workers;
    struct stats *counters = copy_counters(shared);
    bool state_lost = shared_guard_state_is_lost(shared);
    char state[STATE_PATH_MAX];
    name_state(settings, listener, state);
    if (state_lost && unlink(state) != 0) /* for another one to be made: workers still have this one open */
        LOG(LOG_WARN, "state_not_removed", LOG_TEXT("path", state), LOG_TEXT("error", strerror(errno)));
    bool made = clear_path(shared, settings->cache_path, error) &&
                make(&anew, settings, listener, settings->cache_path, workers, NULL, error);
    if (!made) {
        LOG(LOG_ERROR, "cache_file_not_made_anew", LOG_TEXT("error", error->text));
        made = make(&anew, settings, listener, NULL, workers, NULL, error);
    }
    if (made) {
        if (state_lost)
            state_is_unknown(&anew);
        add_counters(&anew, counters);
        state_close(shared);
        shared_destroy(shared);
        *shared = anew;
    }
    free(counters);
    return made;
}

/* ---- from the image before ---- */

/* Its sizes were others: a new mapping with the entries and the counters of the old one, which its workers
 * keep. */
static bool make_from(struct shared *shared, const struct settings *settings, const struct listener *listener,
                      const struct shared_handles *handles, unsigned workers, struct error *error) {
    struct shared old;
    bool known = shared_adopt(&old, handles, handles->workers, handles->region_bytes, handles->region_tag,
                              error) == SHARED_ADOPTED;
    struct stats *counters = known ? copy_counters(&old) : NULL;
    bool cleared = !known || !handles->is_file || clear_path(&old, settings->cache_path, error);
    bool made = cleared &&
                make(shared, settings, listener, settings->cache_path, workers, known ? &old : NULL, error);
    if (made)
        add_counters(shared, counters);
    free(counters);
    if (known)
        shared_destroy(&old);
    return made;
}

bool mapping_take(struct shared *shared, const struct settings *settings, const struct listener *listener,
                  const struct handover *handover, unsigned workers, bool *same, struct error *error) {
    struct memory_layout layout = memory_layout_of(settings, workers);
    enum shared_adoption adoption = shared_adopt(
        shared, &handover->mapping, workers, memory_region_bytes(&layout), memory_region_tag(&layout), error);
    *same = adoption == SHARED_ADOPTED;
    if (adoption == SHARED_NOT_ADOPTED)
        return false;
    if (adoption == SHARED_OTHER_LAYOUT)
        return make_from(shared, settings, listener, &handover->mapping, workers, error);
    open_state(shared, settings, listener);
    shared_guard_setup(shared);
    return true;
}
