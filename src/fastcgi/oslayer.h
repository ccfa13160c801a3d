/* libfcgi's operating system layer, replaced.
 *
 * libfcgi keeps protocol (fcgiapp.c) and operating system (OS_Read, OS_Write, OS_IpcClose, OS_Accept of
 * fcgios.h) apart and calls the latter through the dynamic linker, so the definitions in this program win.
 * Ours read from and write to memory: libfcgi never waits and never closes a descriptor. A "descriptor" here
 * is the number of a channel. */
#ifndef INFERONCE_FASTCGI_OSLAYER_H
#define INFERONCE_FASTCGI_OSLAYER_H

#include "inferonce/base/buffer.h"

/* Bytes for libfcgi to read (borrowed; what was read is taken off the front) and the buffer that takes what
 * it writes (borrowed; NULL: writing fails). */
struct oslayer_channel {
    struct bytes input;
    struct buffer *output;
};

/* Makes `channel` (borrowed until oslayer_close) known under a number that libfcgi takes for a descriptor; no
 * number is ever that of a real one. Returns -1 when there is no memory. The number is free again after
 * oslayer_close. */
int oslayer_open(struct oslayer_channel *channel);
void oslayer_close(int number);

/* Runs a request through libfcgi, which must be initialised, and tells whether it was our OS_Read and
 * OS_Write that answered. False would mean that this program was linked in a way that lets libfcgi's blocking
 * layer win; it must not serve then. */
bool oslayer_is_ours(struct error *error) MUST_CHECK;

#endif
