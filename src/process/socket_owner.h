/* LISTEN_OWNER and LISTEN_GROUP: the user and the group of a Unix socket that the listener made. */
#ifndef INFERONCE_PROCESS_SOCKET_OWNER_H
#define INFERONCE_PROCESS_SOCKET_OWNER_H

#include <stdbool.h>

#include "inferonce/base/error.h"
#include "inferonce/base/settings.h"

/* Gives the socket at `path` to the user and the group that the settings name, by name or by number; an empty
 * setting leaves that one as it is. May block: the names are looked up in the system's databases. False:
 * error tells which setting cannot be met, and why. */
bool socket_owner_set(const char *path, const struct settings *settings, struct error *error) MUST_CHECK;

#endif
