/* Opens the file of CACHE_PATH, and overwrites no file but our own. */
#include "inferonce/base/shared_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inferonce/base/log.h"

static bool refuse_link(const char *path, struct error *error) {
    error_set(error, "CACHE_PATH: %s: a symbolic link; CACHE_PATH names the file itself", path);
    return false;
}

static bool refuse_other_kind(const char *path, mode_t mode, struct error *error) {
    error_set(error, "CACHE_PATH: %s: %s", path,
              S_ISDIR(mode) ? "Is a directory; CACHE_PATH names a file in it" : "not a regular file");
    return false;
}

bool shared_file_is_ours(int descriptor, off_t size, const char *path, struct error *error) {
    uint64_t magic = 0;
    if (size == 0)
        return true;
    if (pread(descriptor, &magic, sizeof(magic), 0) < 0) {
        error_set_errno(error, errno, "CACHE_PATH: %s: cannot read", path);
        return false;
    }
    if (magic == SHARED_FILE_MAGIC)
        return true;
    error_set(error,
              "CACHE_PATH: %s: holds something else and is left as it is: name another file, or remove this "
              "one if nobody needs it",
              path);
    return false;
}

bool shared_file_check(const char *path, struct error *error) {
    struct stat status;
    if (!path || !*path || lstat(path, &status) != 0)
        return true;
    if (S_ISLNK(status.st_mode))
        return refuse_link(path, error);
    if (!S_ISREG(status.st_mode))
        return refuse_other_kind(path, status.st_mode, error);
    /* O_NONBLOCK: the file may have become a FIFO meanwhile. */
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (descriptor < 0)
        return true;
    bool ours = fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) ||
                shared_file_is_ours(descriptor, status.st_size, path, error);
    close(descriptor);
    return ours;
}

bool shared_file_open(int *descriptor, const char *path, struct error *error) {
    /* O_NONBLOCK: to open a device or a FIFO by mistake must not hang; a regular file does not mind. */
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    struct stat status;
    *descriptor = open(path, flags, 0600);
    if (*descriptor < 0) {
        if (errno == ELOOP)
            return refuse_link(path, error);
        error_set_errno(error, errno, "CACHE_PATH: %s: cannot open", path);
        return false;
    }
    if (fstat(*descriptor, &status) < 0) {
        error_set_errno(error, errno, "CACHE_PATH: %s", path);
        return false;
    }
    return S_ISREG(status.st_mode) || refuse_other_kind(path, status.st_mode, error);
}

bool shared_file_reserve(int descriptor, off_t size, const char *path, struct error *error) {
    int failure;
    do {
        failure = posix_fallocate(descriptor, 0, size);
    } while (failure == EINTR);
    if (failure == 0)
        return true;
    if (failure == EFBIG)
        error_set(
            error,
            "CACHE_PATH: %s: cannot reserve %lld bytes: larger than the system lets this process write a "
            "file (ulimit -f, LimitFSIZE=) or the file system holds",
            path, (long long)size);
    else
        error_set_errno(error, failure, "CACHE_PATH: %s: cannot reserve %lld bytes", path, (long long)size);
    return false;
}

static bool mark_as_ours(int descriptor, const char *path, struct error *error) {
    const uint64_t magic = SHARED_FILE_MAGIC;
    /* On the disk before the file grows: a machine that stops meanwhile must not leave a file of zeros. */
    if (pwrite(descriptor, &magic, sizeof(magic), 0) == (ssize_t)sizeof(magic) && fdatasync(descriptor) == 0)
        return true;
    error_set_errno(error, errno, "CACHE_PATH: %s: cannot write", path);
    return false;
}

bool shared_file_recreate(int descriptor, off_t size, const char *path, struct error *error) {
    if (ftruncate(descriptor, 0) < 0) {
        error_set_errno(error, errno, "CACHE_PATH: %s: cannot empty", path);
        return false;
    }
    if (mark_as_ours(descriptor, path, error) && shared_file_reserve(descriptor, size, path, error))
        return true;
    /* A full disk gets back what could be reserved of it. */
    if (ftruncate(descriptor, 0) < 0)
        LOG(LOG_WARN, "cache_file_not_emptied", LOG_TEXT("path", path));
    return false;
}
