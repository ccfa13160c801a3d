#include "inferonce/base/cgroup.h"

#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "unit.h"

static char root[256];

static void write_file(const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof(path), "%s%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        (void)mkdir(path, 0700); /* it may be there */
    }
    FILE *file = fopen(path, "we");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    CU_ASSERT_EQUAL(fclose(file), 0);
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where) {
    (void)status;
    (void)kind;
    (void)where;
    return remove(path);
}

static void begin(const char *groups) {
    CU_ASSERT_FATAL(unit_directory(root, sizeof(root), "cgroup"));
    write_file("/proc/self/cgroup", groups);
}

static void expect(uint64_t cpus, uint64_t memory_bytes) {
    struct cgroup_limits limits;
    cgroup_read(root, &limits);
    CU_ASSERT_EQUAL(limits.cpus, cpus);
    CU_ASSERT_EQUAL(limits.memory_bytes, memory_bytes);
}

static void end(void) {
    CU_ASSERT_EQUAL(nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void test_nothing_there(void) {
    CU_ASSERT_FATAL(unit_directory(root, sizeof(root), "cgroup"));
    expect(CGROUP_UNLIMITED, CGROUP_UNLIMITED);
    write_file("/proc/self/cgroup", "0::/a/b\n");
    expect(CGROUP_UNLIMITED, CGROUP_UNLIMITED);
    write_file("/proc/self/cgroup", "nonsense\n:\n0:\n");
    expect(CGROUP_UNLIMITED, CGROUP_UNLIMITED);
    end();
}

static void test_version_2(void) {
    begin("0::/system.slice/inferonce.service\n");
    write_file("/sys/fs/cgroup/system.slice/inferonce.service/cpu.max", "max 100000\n");
    write_file("/sys/fs/cgroup/system.slice/inferonce.service/memory.max", "max\n");
    expect(CGROUP_UNLIMITED, CGROUP_UNLIMITED);
    write_file("/sys/fs/cgroup/system.slice/inferonce.service/cpu.max", "250000 100000\n");
    write_file("/sys/fs/cgroup/system.slice/inferonce.service/memory.max", "67108864\n");
    expect(3, 67108864);
    /* The group above is stricter. */
    write_file("/sys/fs/cgroup/system.slice/cpu.max", "200000 100000\n");
    write_file("/sys/fs/cgroup/system.slice/memory.max", "33554432\n");
    expect(2, 33554432);
    end();
}

/* Without a namespace of its own a container's path is that of the host, which it does not see. */
static void test_container_sees_its_group_at_the_mount(void) {
    begin("0::/docker/0123456789abcdef\n");
    write_file("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    write_file("/sys/fs/cgroup/memory.max", "1048576\n");
    expect(1, 1048576);
    end();
}

static void test_version_1(void) {
    begin("9:name=systemd:/x\n4:memory:/x/y\n1:cpu,cpuacct:/x\n0::/x\n");
    write_file("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "-1\n");
    write_file("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n");
    write_file("/sys/fs/cgroup/memory/x/y/memory.limit_in_bytes", "9223372036854771712\n");
    expect(CGROUP_UNLIMITED, CGROUP_UNLIMITED);
    write_file("/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "400000\n");
    write_file("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "268435456\n");
    expect(4, 268435456);
    end();
}

static void test_nonsense(void) {
    static const char *const LINES[] = {"", "\n", "100000", "100000 0\n", "a b\n", "-5 100000\n"};
    begin("0::/\n");
    for (size_t i = 0; i < sizeof(LINES) / sizeof(LINES[0]); i++) {
        write_file("/sys/fs/cgroup/cpu.max", LINES[i]);
        write_file("/sys/fs/cgroup/memory.max", "12 MB\n");
        expect(CGROUP_UNLIMITED, CGROUP_UNLIMITED);
    }
    write_file("/sys/fs/cgroup/cpu.max", "0 100000\n");
    expect(1, CGROUP_UNLIMITED);
    end();
}

static void test_memory_suffices(void) {
    struct settings settings = {.cache_memory_mb = 256};
    struct error error = {""};
    struct cgroup_limits limits = {CGROUP_UNLIMITED, CGROUP_UNLIMITED};
    CU_ASSERT(cgroup_memory_suffices(&limits, &settings, &error));
    limits.memory_bytes = UINT64_C(256) << 20;
    CU_ASSERT(cgroup_memory_suffices(&limits, &settings, &error));
    limits.memory_bytes = UINT64_C(64) << 20;
    CU_ASSERT_FALSE(cgroup_memory_suffices(&limits, &settings, &error));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "CACHE_MEMORY_MB=256"));
    CU_ASSERT_PTR_NOT_NULL(strstr(error.text, "is 64 MB"));
}

static const struct unit_case CASES[] = {
    {"nothing there limits nothing", test_nothing_there},
    {"version 2", test_version_2},
    {"a container sees its group at the mount", test_container_sees_its_group_at_the_mount},
    {"version 1", test_version_1},
    {"nonsense limits nothing", test_nonsense},
    {"the cache's memory is compared", test_memory_suffices},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "cgroup", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
