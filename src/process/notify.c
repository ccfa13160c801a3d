/* Tells the service manager about the master's state, by its own protocol. */
#include "process/notify.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "process/environment.h"

#define MESSAGE_MAX 256

/* False: there is no such socket. An address that begins with @ is abstract (unix(7)). */
static bool find_socket(struct sockaddr_un *address, socklen_t *size) {
    const char *name = getenv("NOTIFY_SOCKET");
    size_t length = name ? strlen(name) : 0;
    if (length < 2 || length >= sizeof(address->sun_path) || (name[0] != '/' && name[0] != '@'))
        return false;
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(address->sun_path, name, length);
    if (name[0] == '@')
        address->sun_path[0] = '\0';
    *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] == '/'));
    return true;
}

static void tell(const char *message) {
    struct sockaddr_un address;
    socklen_t size;
    if (!find_socket(&address, &size))
        return;
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return;
    (void)sendto(descriptor, message, strlen(message), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
    close(descriptor);
}

void notify_ready(unsigned workers) {
    char message[MESSAGE_MAX];
    snprintf(message, sizeof(message), "READY=1\nSTATUS=Serving with %u worker%s", workers,
             workers == 1 ? "" : "s");
    tell(message);
}

void notify_reloading(uint64_t monotonic_us) {
    char message[MESSAGE_MAX];
    snprintf(message, sizeof(message), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, monotonic_us);
    tell(message);
}

void notify_not_reloaded(const char *why) {
    char message[MESSAGE_MAX];
    snprintf(message, sizeof(message), "READY=1\nSTATUS=Not reloaded: %s", why);
    tell(message);
}

void notify_stopping(void) {
    tell("STOPPING=1\nSTATUS=Draining");
}

/* The watchdog is this process's, unless WATCHDOG_PID names another. */
void notify_init(struct notify *notify) {
    uint64_t every_us, pid;
    bool ours =
        !getenv("WATCHDOG_PID") || (environment_number("WATCHDOG_PID", &pid) && pid == (uint64_t)getpid());
    bool wanted = environment_number("WATCHDOG_USEC", &every_us) && ours;
    *notify = (struct notify){.beat_every_us = wanted ? every_us / 2 : 0};
}

void notify_beat(struct notify *notify, uint64_t now_us) {
    if (notify->beat_every_us == 0 || now_us < notify->beat_at_us)
        return;
    notify->beat_at_us = now_us + notify->beat_every_us;
    tell("WATCHDOG=1");
}

int notify_patience_ms(const struct notify *notify, uint64_t now_us, int most_ms) {
    if (notify->beat_every_us == 0)
        return most_ms;
    uint64_t wait_ms = notify->beat_at_us > now_us ? (notify->beat_at_us - now_us) / 1000 + 1 : 0;
    return wait_ms < (uint64_t)most_ms ? (int)wait_ms : most_ms;
}
