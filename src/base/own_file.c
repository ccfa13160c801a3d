/* Opens a file that processes map, and overwrites no file but our own. */
#include "inferonce/base/own_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inferonce/base/log.h"

static bool refuse_link(const struct own_file *file, struct error *error) {
    error_set(error, "%s: %s: a symbolic link; the file itself is wanted", file->setting, file->path);
    return false;
}

static bool refuse_other_kind(const struct own_file *file, mode_t mode, struct error *error) {
    error_set(error, "%s: %s: %s", file->setting, file->path,
              S_ISDIR(mode) ? "Is a directory; a file in it is wanted" : "not a regular file");
    return false;
}

bool own_file_is_ours(const struct own_file *file, int descriptor, off_t size, struct error *error) {
    uint64_t magic = 0;
    if (size == 0)
        return true;
    if (pread(descriptor, &magic, sizeof(magic), 0) < 0) {
        error_set_errno(error, errno, "%s: %s: cannot read", file->setting, file->path);
        return false;
    }
    if (magic == file->magic)
        return true;
    error_set(error,
              "%s: %s: holds something else and is left as it is: name another file, or remove this one if "
              "nobody needs it",
              file->setting, file->path);
    return false;
}

bool own_file_check(const struct own_file *file, struct error *error) {
    struct stat status;
    if (lstat(file->path, &status) != 0)
        return true;
    if (S_ISLNK(status.st_mode))
        return refuse_link(file, error);
    if (!S_ISREG(status.st_mode))
        return refuse_other_kind(file, status.st_mode, error);
    /* O_NONBLOCK: the file may have become a FIFO meanwhile. */
    int descriptor = open(file->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (descriptor < 0)
        return true;
    bool ours = fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) ||
                own_file_is_ours(file, descriptor, status.st_size, error);
    close(descriptor);
    return ours;
}

bool own_file_open(const struct own_file *file, int *descriptor, struct error *error) {
    /* O_NONBLOCK: to open a device or a FIFO by mistake must not hang; a regular file does not mind. */
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    struct stat status;
    *descriptor = open(file->path, flags, 0600);
    if (*descriptor < 0) {
        if (errno == ELOOP)
            return refuse_link(file, error);
        error_set_errno(error, errno, "%s: %s: cannot open", file->setting, file->path);
        return false;
    }
    if (fstat(*descriptor, &status) < 0) {
        error_set_errno(error, errno, "%s: %s", file->setting, file->path);
        return false;
    }
    return S_ISREG(status.st_mode) || refuse_other_kind(file, status.st_mode, error);
}

bool own_file_reserve(const struct own_file *file, int descriptor, off_t size, struct error *error) {
    int failure;
    do {
        failure = posix_fallocate(descriptor, 0, size);
    } while (failure == EINTR);
    if (failure == 0)
        return true;
    if (failure == EFBIG)
        error_set(error,
                  "%s: %s: cannot reserve %lld bytes: larger than the system lets this process write a file "
                  "(ulimit -f, LimitFSIZE=) or the file system holds",
                  file->setting, file->path, (long long)size);
    else
        error_set_errno(error, failure, "%s: %s: cannot reserve %lld bytes", file->setting, file->path,
                        (long long)size);
    return false;
}

static bool mark_as_ours(const struct own_file *file, int descriptor, struct error *error) {
    /* On the disk before the file grows: a machine that stops meanwhile must not leave a file of zeros. */
    if (pwrite(descriptor, &file->magic, sizeof(file->magic), 0) == (ssize_t)sizeof(file->magic) &&
        fdatasync(descriptor) == 0)
        return true;
    error_set_errno(error, errno, "%s: %s: cannot write", file->setting, file->path);
    return false;
}

bool own_file_recreate(const struct own_file *file, int descriptor, off_t size, struct error *error) {
    if (ftruncate(descriptor, 0) < 0) {
        error_set_errno(error, errno, "%s: %s: cannot empty", file->setting, file->path);
        return false;
    }
    if (mark_as_ours(file, descriptor, error) && own_file_reserve(file, descriptor, size, error))
        return true;
    /* A full disk gets back what could be reserved of it. */
    if (ftruncate(descriptor, 0) < 0)
        LOG(LOG_WARN, "file_not_emptied", LOG_TEXT("path", file->path));
    return false;
}
