/* A lock file beside a Unix socket, so that two programs that start at once do not both find its path free.
 */
#ifndef INFERONCE_PROCESS_SOCKET_LOCK_H
#define INFERONCE_PROCESS_SOCKET_LOCK_H

#include <stdbool.h>

#include "inferonce/base/error.h"

struct socket_lock {
    char path[116]; /* the socket's with ".lock" behind it; empty: not held */
    int descriptor;
};

/* Makes and locks the file. The lock is this process's alone: children do not inherit it, and the kernel
 * gives it back when the process ends. Does not block. False: error says that the socket is in use, that its
 * directory is missing, or what else; nothing is held. */
bool socket_lock_take(struct socket_lock *lock, const char *socket_path, struct error *error) MUST_CHECK;

/* Removes the file and gives the lock back; one that is not held is fine. */
void socket_lock_give(struct socket_lock *lock);

#endif
