/* Locks the path of a Unix socket for the life of the master. */
#include "inferonce/process/socket_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void explain_open(const char *socket_path, const char *lock_path, int why, struct error *error) {
    const char *slash = strrchr(socket_path, '/');
    if (why == ENOENT && slash)
        error_set(error,
                  "LISTEN: cannot make %s: the directory %.*s is missing: make it (mkdir -p, or "
                  "RuntimeDirectory= in a systemd unit) or name another place with LISTEN=",
                  socket_path, (int)(slash - socket_path), socket_path);
    else
        error_set_errno(error, why, "LISTEN: cannot open the lock file %s", lock_path);
}

/* Opens the file, which must be one of ours: empty. -1: error tells why. */
static int open_file(const char *socket_path, const char *lock_path, struct error *error) {
    struct stat status;
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    int descriptor = open(lock_path, flags, 0600);
    if (descriptor < 0) {
        explain_open(socket_path, lock_path, errno, error);
        return -1;
    }
    if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size == 0)
        return descriptor;
    error_set(error, "LISTEN: %s is there and is not a lock file", lock_path);
    close(descriptor);
    return -1;
}

static bool lock_file(int descriptor, const char *socket_path, struct error *error) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(descriptor, F_SETLK, &whole) == 0)
        return true;
    if (errno == EAGAIN || errno == EACCES)
        error_set(error, "LISTEN: %s is in use by a running process, which has locked %s.lock", socket_path,
                  socket_path);
    else
        error_set_errno(error, errno, "LISTEN: cannot lock %s.lock", socket_path);
    return false;
}

bool socket_lock_take(struct socket_lock *lock, const char *socket_path, struct error *error) {
    struct stat status = {.st_nlink = 0};
    char path[sizeof(lock->path)];
    snprintf(path, sizeof(path), "%s.lock", socket_path);
    /* Again when whoever had it has removed the file meanwhile: a lock on that one keeps nobody out. */
    while (status.st_nlink == 0) {
        int descriptor = open_file(socket_path, path, error);
        if (descriptor < 0)
            return false;
        if (!lock_file(descriptor, socket_path, error) || fstat(descriptor, &status) != 0) {
            close(descriptor);
            return false;
        }
        lock->descriptor = descriptor;
        if (status.st_nlink == 0)
            close(descriptor);
    }
    memcpy(lock->path, path, sizeof(path));
    return true;
}

void socket_lock_give(struct socket_lock *lock) {
    if (lock->path[0] == '\0')
        return;
    unlink(lock->path);
    close(lock->descriptor);
    lock->path[0] = '\0';
}
