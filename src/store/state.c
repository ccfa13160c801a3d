/* Keeps what must outlive a restart in a small file. */
#include "inferonce/store/state.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inferonce/base/log.h"
#include "inferonce/base/own_file.h"
#include "inferonce/store/memory.h"
#include "store/remote/pending.h"

#define MAGIC          UINT64_C(0x3165746174736e69) /* "instate1" in a little-endian dump */
#define LAYOUT_VERSION 2

struct identity {
    uint64_t magic;
    uint64_t bytes;
    uint64_t layout_version;
};

struct state_file {
    struct identity identity;
    struct pendings pendings;
};

static const struct identity IDENTITY = {MAGIC, sizeof(struct state_file), LAYOUT_VERSION};

/* Locks the first byte: for writing while the file is set up, for reading as long as a process uses it. */
static bool lock(int descriptor, int command, short type) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    int result;
    do {
        result = fcntl(descriptor, command, &lock);
    } while (result < 0 && errno == EINTR);
    return result == 0;
}

/* Whether the file can be used as it is. */
static bool is_whole(int descriptor, off_t size) {
    struct identity found;
    return size >= (off_t)sizeof(struct state_file) &&
           pread(descriptor, &found, sizeof(found), 0) == (ssize_t)sizeof(found) &&
           memcmp(&found, &IDENTITY, sizeof(found)) == 0;
}

static bool map(struct shared *shared, const struct own_file *file, struct error *error) {
    void *mapped = mmap(NULL, sizeof(struct state_file), PROT_READ | PROT_WRITE, MAP_SHARED,
                        shared->state_descriptor, 0);
    if (mapped == MAP_FAILED) {
        error_set_errno(error, errno, "%s: %s: cannot map", file->setting, file->path);
        return false;
    }
    shared->state_mapping = mapped;
    shared->state_bytes = sizeof(struct state_file);
    shared->state = &((struct state_file *)mapped)->pendings;
    return true;
}

static bool keep(struct shared *shared, const struct own_file *file, struct error *error) {
    if (!own_file_reserve(file, shared->state_descriptor, sizeof(struct state_file), error) ||
        !map(shared, file, error))
        return false;
    pendings_setup(shared->state, false);
    if (pending_any(shared->state))
        LOG(LOG_INFO, "invalidations_remembered", LOG_TEXT("path", file->path));
    return true;
}

/* Writes the identity last: a file whose set-up is interrupted is not whole, and begins anew once more. */
static bool begin_anew(struct shared *shared, const struct own_file *file, bool lost, struct error *error) {
    if (!own_file_recreate(file, shared->state_descriptor, sizeof(struct state_file), error) ||
        !map(shared, file, error))
        return false;
    pendings_setup(shared->state, true);
    if (lost) {
        state_is_unknown(shared);
        LOG(LOG_WARN, "state_lost", LOG_TEXT("path", file->path),
            LOG_TEXT("effect", "what the cache servers have is invalidated once"));
    }
    atomic_signal_fence(memory_order_seq_cst);
    ((struct state_file *)shared->state_mapping)->identity = IDENTITY;
    return true;
}

/* The lock is held, with `alone` for writing. `existed`: so did the file, before it was opened. */
static bool open_locked(struct shared *shared, const struct own_file *file, bool alone, bool existed,
                        struct error *error) {
    struct stat status;
    if (fstat(shared->state_descriptor, &status) != 0) {
        error_set_errno(error, errno, "%s: %s", file->setting, file->path);
        return false;
    }
    if (!own_file_is_ours(file, shared->state_descriptor, status.st_size, error))
        return false;
    bool whole = is_whole(shared->state_descriptor, status.st_size);
    if (alone)
        return whole ? keep(shared, file, error) : begin_anew(shared, file, existed || !shared->first, error);
    if (whole)
        return map(shared, file, error);
    error_set(error, "%s: %s: in use by running processes, and not to be shared with them: not whole",
              file->setting, file->path);
    return false;
}

/* The process that this one waited for may have failed to set the file up, or be gone: then the file is this
 * one's after all. */
static bool take_lock(int descriptor, bool *alone) {
    *alone = lock(descriptor, F_OFD_SETLK, F_WRLCK);
    if (*alone)
        return true;
    if (!lock(descriptor, F_OFD_SETLKW, F_RDLCK))
        return false;
    *alone = lock(descriptor, F_OFD_SETLK, F_WRLCK);
    return true;
}

bool state_open(struct shared *shared, const char *path, struct error *error) {
    const struct own_file file = {.setting = "STATE_DIR", .path = path, .magic = MAGIC};
    bool existed = access(path, F_OK) == 0;
    bool alone;
    if (!own_file_open(&file, &shared->state_descriptor, error))
        goto out;
    bool locked = take_lock(shared->state_descriptor, &alone);
    if (locked && !open_locked(shared, &file, alone, existed, error))
        goto out;
    if (locked && lock(shared->state_descriptor, F_OFD_SETLK, F_RDLCK))
        return true;
    error_set_errno(error, errno, "%s: %s: cannot lock", file.setting, path);
out:
    state_close(shared);
    return false;
}

struct pendings *state_pendings(const struct shared *shared) {
    return shared->state ? shared->state : memory_pendings(shared->region, shared->region_bytes);
}

void state_is_unknown(const struct shared *shared) {
    struct pendings *pendings = state_pendings(shared);
    if (pendings)
        atomic_store(&pendings->unknown, 1);
}

void state_close(struct shared *shared) {
    if (shared->state_mapping)
        munmap(shared->state_mapping, shared->state_bytes);
    if (shared->state_descriptor >= 0)
        close(shared->state_descriptor);
    shared->state = shared->state_mapping = NULL;
    shared->state_descriptor = -1;
}
