/* Puts memory where the file of the shared mapping was cut away. */
#include "inferonce/base/shared_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inferonce/base/log.h"

/* The handler's only source: a signal brings no argument of ours. */
static struct {
    struct range {
        uintptr_t begin, end;
    } ranges[2];
    uintptr_t page_bytes;
    volatile sig_atomic_t lost;
} guarded;

static size_t bytes_of_mapping(const struct shared *shared) {
    return (size_t)((char *)shared->region - (char *)shared->mapping) + shared->region_bytes;
}

/* The range with this address; NULL: none has it. */
static const struct range *range_of(uintptr_t address) {
    for (unsigned i = 0; i < 2; i++)
        if (address >= guarded.ranges[i].begin && address < guarded.ranges[i].end)
            return &guarded.ranges[i];
    return NULL;
}

/* From the page of the access to the end: a file is cut at its end. mmap is a system call and nothing else.
 */
static bool replace_pages(uintptr_t address) {
    const struct range *range = range_of(address);
    uintptr_t page = address / guarded.page_bytes * guarded.page_bytes;
    void *place = (void *)page; /* NOLINT: an address is what the kernel gives */
    return range && mmap(place, range->end - page, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    uintptr_t address = (uintptr_t)info->si_addr;
    (void)context;
    if (info->si_code == BUS_ADRERR && replace_pages(address)) {
        guarded.lost = 1;
        return;
    }
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigaction(number, &by_default, NULL);
    log_crash(number);
    raise(number);
}

static struct range range_at(const void *begin, size_t bytes) {
    return (struct range){(uintptr_t)begin, (uintptr_t)begin + bytes};
}

void shared_guard_setup(const struct shared *shared) {
    guarded.ranges[0] = range_at(shared->mapping, bytes_of_mapping(shared));
    guarded.ranges[1] = range_at(shared->state_mapping, shared->state_mapping ? shared->state_bytes : 0);
    guarded.page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    guarded.lost = 0;
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = (int)(SA_SIGINFO | SA_NODEFER)};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGBUS, &action, NULL);
}

/* Whether a file that is mapped is not whole. */
static bool is_cut(int descriptor, size_t bytes) {
    struct stat status;
    return descriptor >= 0 && (fstat(descriptor, &status) != 0 || (uint64_t)status.st_size < bytes);
}

bool shared_guard_is_lost(const struct shared *shared) {
    return guarded.lost != 0 || is_cut(shared->descriptor, bytes_of_mapping(shared)) ||
           shared_guard_state_is_lost(shared);
}

bool shared_guard_state_is_lost(const struct shared *shared) {
    return is_cut(shared->state_descriptor, shared->state_bytes);
}
