/* Reads the CPU quota and the memory limit of this process' control group. */
#include "inferonce/base/cgroup.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "inferonce/base/buffer.h"

#define MOUNT "/sys/fs/cgroup"

/* Version 1 says "no limit" with the greatest multiple of a page that a signed number holds. */
#define NO_LIMIT_FROM (UINT64_C(1) << 62)

/* The first line of a file without its end; false: there is none. */
static bool read_line(const char *directory, const char *name, char *line, size_t size) {
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s/%s", directory, name) >= sizeof(path))
        return false;
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    bool read = fgets(line, (int)size, file) != NULL;
    fclose(file);
    if (read)
        line[strcspn(line, "\n")] = '\0';
    return read;
}

static void lower(uint64_t *limit, uint64_t found) {
    if (found < *limit)
        *limit = found;
}

static void apply_quota(struct cgroup_limits *limits, const char *quota, const char *period) {
    uint64_t quota_us;
    uint64_t period_us;
    if (bytes_to_number(bytes_of(quota), &quota_us) && bytes_to_number(bytes_of(period), &period_us) &&
        period_us > 0)
        lower(&limits->cpus, quota_us <= period_us ? 1 : (quota_us - 1) / period_us + 1);
}

static void apply_memory(struct cgroup_limits *limits, const char *text) {
    uint64_t bytes;
    if (bytes_to_number(bytes_of(text), &bytes) && bytes < NO_LIMIT_FROM)
        lower(&limits->memory_bytes, bytes);
}

/* One group's own limits, of whichever version has files there. "max" and -1 are no numbers, so no limits. */
static void apply_group(struct cgroup_limits *limits, const char *directory) {
    char line[64];
    char period[64];
    if (read_line(directory, "cpu.max", line, sizeof(line))) {
        char *blank = strchr(line, ' ');
        if (blank) {
            *blank = '\0';
            apply_quota(limits, line, blank + 1);
        }
    }
    if (read_line(directory, "cpu.cfs_quota_us", line, sizeof(line)) &&
        read_line(directory, "cpu.cfs_period_us", period, sizeof(period)))
        apply_quota(limits, line, period);
    if (read_line(directory, "memory.max", line, sizeof(line)) ||
        read_line(directory, "memory.limit_in_bytes", line, sizeof(line)))
        apply_memory(limits, line);
}

/* From the group up to the mount. A container may see its own group at the mount, under another name than
 * its path says: directories that are not there are passed over. */
static void apply_path(struct cgroup_limits *limits, const char *mount, const char *group) {
    char directory[PATH_MAX];
    size_t mount_length = strlen(mount);
    if ((size_t)snprintf(directory, sizeof(directory), "%s%s", mount, group) >= sizeof(directory))
        return;
    for (;;) {
        apply_group(limits, directory);
        char *slash = strrchr(directory + mount_length, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* A line of /proc/self/cgroup (cgroups(7)): "0::/path", or "4:cpu,cpuacct:/path" of version 1. */
static void apply_line(struct cgroup_limits *limits, const char *root, char *line) {
    char mount[PATH_MAX];
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(++controllers, ':') : NULL;
    if (!path)
        return;
    *path++ = '\0';
    const char *separator = *controllers ? "/" : "";
    if ((size_t)snprintf(mount, sizeof(mount), "%s" MOUNT "%s%s", root, separator, controllers) <
        sizeof(mount))
        apply_path(limits, mount, path);
}

void cgroup_read(const char *root, struct cgroup_limits *limits) {
    char path[PATH_MAX];
    char line[PATH_MAX];
    *limits = (struct cgroup_limits){CGROUP_UNLIMITED, CGROUP_UNLIMITED};
    if ((size_t)snprintf(path, sizeof(path), "%s/proc/self/cgroup", root) >= sizeof(path))
        return;
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        apply_line(limits, root, line);
    }
    fclose(file);
}

bool cgroup_memory_suffices(const struct cgroup_limits *limits, const struct settings *settings,
                            struct error *error) {
    if (limits->memory_bytes == CGROUP_UNLIMITED || settings->cache_memory_mb <= limits->memory_bytes >> 20)
        return true;
    error_set(error,
              "CACHE_MEMORY_MB=%" PRIu64 ": the memory limit of this container or unit is %" PRIu64
              " MB, and the kernel would end workers as the cache fills: lower the one or raise the other",
              settings->cache_memory_mb, limits->memory_bytes >> 20);
    return false;
}
