/* The file of CACHE_PATH, before it is mapped. */
#ifndef INFERONCE_BASE_SHARED_FILE_H
#define INFERONCE_BASE_SHARED_FILE_H

#include "inferonce/base/own_file.h"

#define SHARED_FILE_MAGIC UINT64_C(0x65636e6f7265666e) /* "nferonce" in a little-endian dump */

/* Borrows the path. */
struct own_file shared_file(const char *path);

/* As own_file_check. NULL and "", which name no file, are fine. */
bool shared_file_check(const char *path, struct error *error) MUST_CHECK;

/* As own_file_is_ours. */
bool shared_file_is_ours(int descriptor, off_t size, const char *path, struct error *error) MUST_CHECK;

#endif
