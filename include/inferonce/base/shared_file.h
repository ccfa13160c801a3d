/* The file of CACHE_PATH before it is mapped: what may be opened, and what must be left alone. Private to the
 * shared mapping, but for shared_file_check. */
#ifndef INFERONCE_BASE_SHARED_FILE_H
#define INFERONCE_BASE_SHARED_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "inferonce/base/error.h"

#define SHARED_FILE_MAGIC UINT64_C(0x65636e6f7265666e) /* "nferonce" in a little-endian dump */

/* Whether CACHE_PATH may name this file: there is none yet, it is an empty regular file, or one that begins
 * with our magic. False: error tells what it is instead. Opens no device and no FIFO, changes nothing, does
 * not block. A path that cannot be looked at is left to shared_create. NULL and "" are fine. */
bool shared_file_check(const char *path, struct error *error) MUST_CHECK;

/* Opens it for reading and writing, made when there is none. False: error tells why. */
bool shared_file_open(int *descriptor, const char *path, struct error *error) MUST_CHECK;

/* Whether the open file, of `size` bytes, is ours to write over: empty, or begins with our magic. */
bool shared_file_is_ours(int descriptor, off_t size, const char *path, struct error *error) MUST_CHECK;

/* Empties it and gives it `size` bytes, with blocks on the disk for all of them: writing to a mapped page
 * that the disk has no room for is SIGBUS. The magic is written first, so that a file whose set-up was
 * interrupted is known as ours. False: error tells why, and the file is empty. */
bool shared_file_recreate(int descriptor, off_t size, const char *path, struct error *error) MUST_CHECK;

/* Blocks for the holes of a file that has its size already. */
bool shared_file_reserve(int descriptor, off_t size, const char *path, struct error *error) MUST_CHECK;

#endif
