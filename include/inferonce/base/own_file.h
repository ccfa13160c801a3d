/* A file of ours that processes map: what may be opened, and what must be left alone. */
#ifndef INFERONCE_BASE_OWN_FILE_H
#define INFERONCE_BASE_OWN_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "inferonce/base/error.h"

struct own_file {
    const char *setting; /* that names the file; errors begin with it */
    const char *path;
    uint64_t magic; /* the file's first eight bytes */
};

/* Whether the setting may name this file: there is none yet, it is an empty regular file, or one that begins
 * with the magic. False: error tells what it is instead. Opens no device and no FIFO, changes nothing, does
 * not block. A path that cannot be looked at is left to own_file_open. */
bool own_file_check(const struct own_file *file, struct error *error) MUST_CHECK;

/* Opens it for reading and writing, made when there is none. False: error tells why, and a descriptor that is
 * not -1 is the caller's to close. */
bool own_file_open(const struct own_file *file, int *descriptor, struct error *error) MUST_CHECK;

/* Whether the open file, of `size` bytes, is ours to write over: empty, or begins with the magic. */
bool own_file_is_ours(const struct own_file *file, int descriptor, off_t size,
                      struct error *error) MUST_CHECK;

/* Empties it and gives it `size` bytes, with blocks on the disk for all of them: writing to a mapped page
 * that the disk has no room for is SIGBUS. The magic is written first, so that a file whose set-up was
 * interrupted is known as ours. False: error tells why, and the file is empty. */
bool own_file_recreate(const struct own_file *file, int descriptor, off_t size,
                       struct error *error) MUST_CHECK;

/* Blocks for the holes of a file that has its size already. */
bool own_file_reserve(const struct own_file *file, int descriptor, off_t size,
                      struct error *error) MUST_CHECK;

#endif
