/* The limits of this process' control group: those of a container or of a systemd unit. */
#ifndef INFERONCE_BASE_CGROUP_H
#define INFERONCE_BASE_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "inferonce/base/error.h"
#include "inferonce/base/settings.h"

#define CGROUP_UNLIMITED UINT64_MAX

struct cgroup_limits {
    uint64_t cpus;         /* of CPU time, rounded up to whole CPUs, at least 1; or CGROUP_UNLIMITED */
    uint64_t memory_bytes; /* or CGROUP_UNLIMITED */
};

/* The least of the limits of the group that /proc/self/cgroup names and of the groups above it: cpu.max and
 * memory.max of version 2, cpu.cfs_quota_us, cpu.cfs_period_us and memory.limit_in_bytes of version 1. What
 * cannot be read limits nothing. `root` stands before /proc and /sys: "" but in tests. Does not block on
 * anything but these files of the kernel. */
void cgroup_read(const char *root, struct cgroup_limits *limits);

/* Whether CACHE_MEMORY_MB is within the memory limit. False: error names both. */
bool cgroup_memory_suffices(const struct cgroup_limits *limits, const struct settings *settings,
                            struct error *error) MUST_CHECK;

#endif
