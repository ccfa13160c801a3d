/* Says which file is that of CACHE_PATH. */
#include "inferonce/base/shared_file.h"

struct own_file shared_file(const char *path) {
    return (struct own_file){.setting = "CACHE_PATH", .path = path, .magic = SHARED_FILE_MAGIC};
}

bool shared_file_check(const char *path, struct error *error) {
    const struct own_file file = shared_file(path);
    return !path || !*path || own_file_check(&file, error);
}

bool shared_file_is_ours(int descriptor, off_t size, const char *path, struct error *error) {
    const struct own_file file = shared_file(path);
    return own_file_is_ours(&file, descriptor, size, error);
}
