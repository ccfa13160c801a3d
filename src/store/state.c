/* Keeps what must outlive a restart in a small file. */
#include "inferonce/store/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inferonce/base/log.h"
#include "store/memory/region.h"
#include "store/remote/pending.h"

#define MAGIC UINT64_C(0x3165746174736e69) /* "instate1" in a little-endian dump */

struct state_file {
    uint64_t magic;
    uint64_t bytes;
    struct pendings pendings;
};

/* The first byte: held for writing while the file is set up, for reading as long as somebody uses it. */
static bool lock(int descriptor, int command, short type) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1};
    int result;
    do {
        result = fcntl(descriptor, command, &lock);
    } while (result < 0 && errno == EINTR);
    return result == 0;
}

static bool open_file(int *descriptor, const char *path, struct error *error) {
    struct stat status;
    *descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0600);
    if (*descriptor < 0 || fstat(*descriptor, &status) != 0) {
        error_set_errno(error, errno, "%s: cannot open", path);
        return false;
    }
    if (S_ISREG(status.st_mode))
        return true;
    error_set(error, "%s: not a regular file", path);
    return false;
}

/* A file of ours that was cut short, or is of another version, begins anew. */
static bool set_up(int descriptor, const char *path, bool *fresh, struct error *error) {
    uint64_t header[2] = {0, 0};
    const uint64_t wanted[2] = {MAGIC, sizeof(struct state_file)};
    struct stat status;
    if (fstat(descriptor, &status) != 0 || pread(descriptor, header, sizeof(header), 0) < 0) {
        error_set_errno(error, errno, "%s: cannot read", path);
        return false;
    }
    if (status.st_size > 0 && header[0] != MAGIC) {
        error_set(error, "%s: holds something else and is left as it is", path);
        return false;
    }
    *fresh = header[1] != sizeof(struct state_file) || status.st_size < (off_t)sizeof(struct state_file);
    if (*fresh && ftruncate(descriptor, 0) != 0) {
        error_set_errno(error, errno, "%s: cannot empty", path);
        return false;
    }
    int failure = posix_fallocate(descriptor, 0, sizeof(struct state_file));
    if (failure == 0 && pwrite(descriptor, wanted, sizeof(wanted), 0) == (ssize_t)sizeof(wanted))
        return true;
    error_set_errno(error, failure != 0 ? failure : errno, "%s: cannot write", path);
    return false;
}

static bool map(struct shared *shared, int descriptor, const char *path, struct error *error) {
    void *mapped = mmap(NULL, sizeof(struct state_file), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (mapped == MAP_FAILED) {
        error_set_errno(error, errno, "%s: cannot map", path);
        return false;
    }
    shared->state_mapping = mapped;
    shared->state_bytes = sizeof(struct state_file);
    shared->state_descriptor = descriptor;
    shared->state = &((struct state_file *)mapped)->pendings;
    return true;
}

/* Under the lock for writing: nobody else has the file. */
static bool open_as_first(struct shared *shared, int descriptor, const char *path, struct error *error) {
    bool fresh;
    if (!set_up(descriptor, path, &fresh, error) || !map(shared, descriptor, path, error))
        return false;
    pendings_setup(shared->state, fresh);
    if (!fresh && pending_any(shared->state))
        LOG(LOG_INFO, "invalidations_remembered", LOG_TEXT("path", path));
    return true;
}

bool state_open(struct shared *shared, const char *path, struct error *error) {
    int descriptor;
    bool opened = open_file(&descriptor, path, error);
    if (opened && lock(descriptor, F_OFD_SETLK, F_WRLCK))
        opened = open_as_first(shared, descriptor, path, error);
    else if (opened && lock(descriptor, F_OFD_SETLKW, F_RDLCK))
        opened = map(shared, descriptor, path, error);
    if (opened && lock(descriptor, F_OFD_SETLK, F_RDLCK) && shared->state)
        return true;
    if (opened)
        error_set_errno(error, errno, "%s: cannot lock", path);
    if (shared->state)
        state_close(shared);
    else if (descriptor >= 0)
        close(descriptor);
    return false;
}

void state_is_unknown(const struct shared *shared) {
    struct memory_context context;
    struct pendings *pendings = shared->state;
    if (pendings)
        atomic_store(&pendings->unknown, 1);
    else if (memory_region_attach(&context, shared->region, shared->region_bytes))
        atomic_store(&context.region->pendings.unknown, 1);
}

void state_close(struct shared *shared) {
    if (!shared->state)
        return;
    munmap(shared->state_mapping, shared->state_bytes);
    close(shared->state_descriptor);
    shared->state = shared->state_mapping = NULL;
    shared->state_descriptor = -1;
}
