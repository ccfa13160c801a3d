/* Locks the path of a Unix socket for the life of the master. */
#include "inferonce/process/socket_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inferonce/base/log.h"

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

/* The content of the lock file. */
#define NOTE        "inferonce socket %" SCNu64 " %" SCNu64 " %" SCNd64 " %" SCNd64 "\n"
#define NOTE_BEGIN  "inferonce socket "
#define NOTE_LENGTH 128

static struct socket_identity identity_of(const struct stat *socket) {
    return (struct socket_identity){.device = socket->st_dev,
                                    .inode = socket->st_ino,
                                    .made_s = socket->st_mtim.tv_sec,
                                    .made_ns = socket->st_mtim.tv_nsec};
}

/* False: the file is not one of ours. An empty one was left between two steps. */
static bool read_note(int descriptor, bool *left, struct socket_identity *socket) {
    char text[NOTE_LENGTH] = "";
    ssize_t length = pread(descriptor, text, sizeof(text) - 1, 0);
    *left = sscanf(text, NOTE, &socket->device, &socket->inode, &socket->made_s, &socket->made_ns) == 4;
    return length == 0 || (length > 0 && strncmp(text, NOTE_BEGIN, strlen(NOTE_BEGIN)) == 0);
}

/* Opens the file, which must be one of ours. -1: error tells why. */
static int open_file(const char *socket_path, const char *lock_path, struct error *error) {
    struct stat status;
    int flags = O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK;
    int descriptor = open(lock_path, flags, 0600);
    if (descriptor < 0) {
        explain_open(socket_path, lock_path, errno, error);
        return -1;
    }
    struct socket_identity socket;
    bool left;
    if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size < NOTE_LENGTH &&
        read_note(descriptor, &left, &socket))
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

pid_t socket_lock_holder(const char *listen, struct error *error) {
    char path[SOCKET_LOCK_PATH_MAX];
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (strncmp(listen, "unix:", 5) != 0) {
        error_set(error, "LISTEN=%s: only a master with a Unix socket can be found; send it SIGHUP", listen);
        return -1;
    }
    snprintf(path, sizeof(path), "%s.lock", listen + 5);
    int descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (descriptor < 0) {
        error_set_errno(error, errno, "no program listens on %s: %s", listen + 5, path);
        return -1;
    }
    bool asked = fcntl(descriptor, F_GETLK, &whole) == 0;
    close(descriptor);
    if (asked && whole.l_type != F_UNLCK)
        return whole.l_pid;
    error_set(error, "no program listens on %s: nobody holds %s", listen + 5, path);
    return -1;
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
    (void)read_note(lock->descriptor, &lock->left, &lock->socket);
    return true;
}

void socket_lock_note(const struct socket_lock *lock, const struct stat *socket) {
    const struct socket_identity identity = identity_of(socket);
    char text[NOTE_LENGTH];
    int length =
        snprintf(text, sizeof(text), "inferonce socket %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 "\n",
                 identity.device, identity.inode, identity.made_s, identity.made_ns);
    if (ftruncate(lock->descriptor, 0) != 0 || pwrite(lock->descriptor, text, (size_t)length, 0) != length)
        LOG(LOG_WARN, "socket_not_noted", LOG_TEXT("lock", lock->path));
}

bool socket_lock_knows(const struct socket_lock *lock, const struct stat *socket) {
    const struct socket_identity identity = identity_of(socket);
    return lock->left && memcmp(&identity, &lock->socket, sizeof(identity)) == 0;
}

bool socket_lock_is_there(const struct socket_lock *lock) {
    struct stat named, held;
    return lock->path[0] && lstat(lock->path, &named) == 0 && fstat(lock->descriptor, &held) == 0 &&
           named.st_dev == held.st_dev && named.st_ino == held.st_ino;
}

void socket_lock_give(struct socket_lock *lock) {
    if (lock->path[0] == '\0')
        return;
    if (socket_lock_is_there(lock))
        unlink(lock->path);
    close(lock->descriptor);
    lock->path[0] = '\0';
}
