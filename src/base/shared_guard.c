/* Puts memory where the file of the shared mapping was cut away. */
#include "inferonce/base/shared_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inferonce/base/log.h"

/* The handler's only source: a signal brings no argument of ours. */
static struct {
    uintptr_t begin, end;
    uintptr_t page_bytes;
    volatile sig_atomic_t lost;
} guarded;

static size_t bytes_of_mapping(const struct shared *shared) {
    return (size_t)((char *)shared->region - (char *)shared->mapping) + shared->region_bytes;
}

/* From the page of the access to the end: a file is cut at its end. mmap is a system call and nothing else.
 */
static bool replace_pages(uintptr_t address) {
    uintptr_t page = address / guarded.page_bytes * guarded.page_bytes;
    void *place = (void *)page; /* NOLINT: an address is what the kernel gives */
    return mmap(place, guarded.end - page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
                -1, 0) != MAP_FAILED;
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    uintptr_t address = (uintptr_t)info->si_addr;
    (void)context;
    if (info->si_code == BUS_ADRERR && address >= guarded.begin && address < guarded.end &&
        replace_pages(address)) {
        guarded.lost = 1;
        return;
    }
    struct sigaction by_default = {.sa_handler = SIG_DFL};
    sigaction(number, &by_default, NULL);
    log_crash(number);
    raise(number);
}

void shared_guard_setup(const struct shared *shared) {
    guarded.begin = (uintptr_t)shared->mapping;
    guarded.end = guarded.begin + bytes_of_mapping(shared);
    guarded.page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    guarded.lost = 0;
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = (int)(SA_SIGINFO | SA_NODEFER)};
    sigemptyset(&action.sa_mask);
    (void)sigaction(SIGBUS, &action, NULL);
}

bool shared_guard_is_lost(const struct shared *shared) {
    struct stat status;
    if (shared->descriptor < 0)
        return false;
    return guarded.lost != 0 || fstat(shared->descriptor, &status) != 0 ||
           (uint64_t)status.st_size < bytes_of_mapping(shared);
}
