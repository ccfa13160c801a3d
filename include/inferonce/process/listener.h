/* The listening socket: inherited, or made from LISTEN. */
#ifndef INFERONCE_PROCESS_LISTENER_H
#define INFERONCE_PROCESS_LISTENER_H

#include <stdbool.h>
#include <sys/types.h>

#include "inferonce/base/error.h"
#include "inferonce/base/settings.h"
#include "inferonce/process/socket_lock.h"

struct listener {
    int descriptor;
    bool inherited; /* from spawn-fcgi or systemd */
    char path[108]; /* of a Unix socket that we made; empty otherwise */
    dev_t device;   /* that socket's, so that nobody else's is removed */
    ino_t inode;
    struct socket_lock lock; /* of that socket's path */
    const char *text;        /* LISTEN, borrowed from who made it; or "descriptor 0", a literal */
};

/* Takes the first there is of: descriptor 0 when it listens (spawn-fcgi), descriptor 3 with LISTEN_FDS and
 * LISTEN_PID (systemd; more than one socket is an error, another process's are passed over with a warning),
 * LISTEN. A Unix socket that refuses connections, or whose master was killed, is replaced; any other and one
 * that another program has locked (socket_lock.h) is an error; addresses are numbers or `localhost`: nothing
 * is resolved. False: error tells why. */
bool listener_open(struct listener *listener, const struct settings *settings,
                   struct error *error) MUST_CHECK;

/* Whether the Unix socket that we made is not at its path any more: removed, or replaced by somebody. */
bool listener_is_gone(const struct listener *listener);

/* Makes it anew at the same place, by the rules of listener_open. `descriptor` is then another one: workers
 * that were forked before have the old one, which nobody can reach any more. False: error tells why;
 * everything is as it was.
 */
bool listener_make_anew(struct listener *listener, const struct settings *settings,
                        struct error *error) MUST_CHECK;

/* Takes over what the image before listened on (handover.h): its own, if LISTEN is still what it was, else
 * one made anew, and the old one is closed. `listen_before` is borrowed for good. False: error tells why;
 * `listener` is the old one all the same, with the text it had, so that the next reload tries again. */
bool listener_take(struct listener *listener, const struct listener *before, const char *listen_before,
                   const struct settings *settings, struct error *error) MUST_CHECK;

#define LISTENER_NAME_MAX 128

/* Names the listening socket, as a path: that of a Unix socket, inherited or made; for others one in
 * /run/inferonce that names the port. */
void listener_name(const struct listener *listener, char name[LISTENER_NAME_MAX]);

/* Before workers close it one after the other: on a Unix socket that we made nobody is let in any more, so
 * that nobody is in the queue when the last one closes it; who waits there already can still be accepted.
 * Other sockets stay as they are: TCP would drop its queue, and an inherited one is not ours to shut. */
void listener_refuse(const struct listener *listener);

/* Closes it, and removes the Unix socket if it is still the one that we made. */
void listener_close(struct listener *listener);

#endif
