/* Tells systemd, or whoever set NOTIFY_SOCKET, what the master is doing (sd_notify(3), Type=notify), and
 * beats for its watchdog (WATCHDOG_USEC). Without NOTIFY_SOCKET nothing happens. Never blocks; what cannot be
 * sent is left out. */
#ifndef INFERONCE_PROCESS_NOTIFY_H
#define INFERONCE_PROCESS_NOTIFY_H

#include <stdint.h>

struct notify {
    uint64_t beat_every_us; /* half of what the watchdog allows; 0: there is none */
    uint64_t beat_at_us;
};

void notify_init(struct notify *notify);

/* It serves with so many workers, since its start or a reload. */
void notify_ready(unsigned workers);

/* It is about to be executed anew. */
void notify_reloading(uint64_t monotonic_us);

/* A reload was refused, or has failed: the workers that there were serve on. */
void notify_not_reloaded(const char *why);

/* It drains, and will end. */
void notify_stopping(void);

/* Beats if it is time to. Called in each turn of the master's loop. */
void notify_beat(struct notify *notify, uint64_t now_us);

/* Milliseconds until the next beat, at most `most_ms`. */
int notify_patience_ms(const struct notify *notify, uint64_t now_us, int most_ms);

#endif
