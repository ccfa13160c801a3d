/* Handles signals that nobody meant for the program's processes. Nothing but SIGKILL ends one
 * without a word. */
#ifndef INFERONCE_PROCESS_SIGNALS_H
#define INFERONCE_PROCESS_SIGNALS_H

/* When the program starts. Undoes what was inherited: blocked signals, and an ignored SIGCHLD, under which
 * children vanish without being counted. Signals whose default is to end the process are ignored (a write
 * beyond RLIMIT_FSIZE fails with EFBIG, one to a closed pipe with EPIPE), but for those that ask it to end:
 * SIGTERM, SIGINT and SIGQUIT. Those of a bug are logged before they end it, unless a sanitizer has them. */
void signals_setup(void);

/* The same in an image that the master has executed: what is blocked stays so, until signals_open reads it.
 */
void signals_setup_again(void);

/* In the master, after signals_setup: a signalfd for SIGCHLD, for those that ask it to end, and for those
 * that other daemons take for a command, which are to be logged. -1: errno tells why. */
int signals_open(void);

/* In a worker: a terminal sends SIGINT and SIGQUIT to the whole group, but when to stop is the master's to
 * say. Handlers that libraries have set are undone, but SIGTERM's; all signals are let in. */
void signals_setup_worker(void);

#endif
