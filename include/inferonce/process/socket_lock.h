/* A lock file beside a Unix socket, so that two programs that start at once do not both find its path free.
 *
 * It says which socket its holder made. A master that was killed leaves the file, and may leave a worker that
 * is stopped and still has the socket open: whoever gets the lock knows by the file that this socket has no
 * master any more, and may replace it although it is not refused there. */
#ifndef INFERONCE_PROCESS_SOCKET_LOCK_H
#define INFERONCE_PROCESS_SOCKET_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "inferonce/base/error.h"

/* One socket among all that ever had its path: inode numbers are used again, times are not. */
struct socket_identity {
    uint64_t device, inode;
    int64_t made_s, made_ns; /* st_mtim */
};

#define SOCKET_LOCK_PATH_MAX 116

struct socket_lock {
    char path[SOCKET_LOCK_PATH_MAX]; /* the socket's with ".lock" behind it; empty: not held */
    int descriptor;
    bool left; /* whoever had the lock before left `socket` behind */
    struct socket_identity socket;
};

/* Makes and locks the file. The lock is this process's alone: children do not inherit it, and the kernel
 * gives it back when the process ends. Does not block. False: error says that the socket is in use, that its
 * directory is missing, or what else; nothing is held. */
bool socket_lock_take(struct socket_lock *lock, const char *socket_path, struct error *error) MUST_CHECK;

/* Writes into the file which socket this process has made. */
void socket_lock_note(const struct socket_lock *lock, const struct stat *socket);

/* Whether the socket is the one that the last holder left. */
bool socket_lock_knows(const struct socket_lock *lock, const struct stat *socket);

/* Whether the file is still where it was made: somebody may have cleaned up. */
bool socket_lock_is_there(const struct socket_lock *lock);

/* Removes the file and gives the lock back; one that is not held is fine. */
void socket_lock_give(struct socket_lock *lock);

/* The process that has locked the socket of this LISTEN. -1: error tells why there is none. */
pid_t socket_lock_holder(const char *listen, struct error *error);

#endif
