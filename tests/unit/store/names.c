#include "names.h"

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

typedef int (*resolver)(const char *node, const char *service, const struct addrinfo *hints,
                        struct addrinfo **found);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char known_name[64];
static char known_addresses[128];
static atomic_bool silent;
static atomic_uint asked;
static atomic_uint asked_by_loop;

void names_set(const char *name, const char *addresses) {
    pthread_mutex_lock(&lock);
    snprintf(known_name, sizeof(known_name), "%s", name);
    snprintf(known_addresses, sizeof(known_addresses), "%s", addresses ? addresses : "");
    pthread_mutex_unlock(&lock);
}

void names_silent(bool are_silent) {
    atomic_store(&silent, are_silent);
}

unsigned names_asked(void) {
    return atomic_load(&asked);
}

unsigned names_asked_by_loop(void) {
    return atomic_load(&asked_by_loop);
}

static int numeric(const char *node, const char *service, const struct addrinfo *hints,
                   struct addrinfo **found) {
    resolver systems = (resolver)dlsym(RTLD_NEXT, "getaddrinfo");
    struct addrinfo only_numbers = *hints;
    only_numbers.ai_flags |= AI_NUMERICHOST;
    return systems(node, service, &only_numbers, found);
}

static int all_of(char *addresses, const char *service, const struct addrinfo *hints,
                  struct addrinfo **found) {
    char *rest = NULL;
    *found = NULL;
    for (char *one = strtok_r(addresses, " ", &rest); one; one = strtok_r(NULL, " ", &rest)) {
        while (*found)
            found = &(*found)->ai_next;
        if (numeric(one, service, hints, found) != 0)
            return EAI_FAIL;
    }
    return 0;
}

/* Instead of the C library's, for libraries too: the program comes first where they look for it. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **found) {
    char addresses[sizeof(known_addresses)] = "";
    int status = numeric(node, service, hints, found);
    if (status == 0 || hints->ai_flags & AI_NUMERICHOST)
        return status;
    atomic_fetch_add(&asked, 1);
    if (gettid() == getpid())
        atomic_fetch_add(&asked_by_loop, 1);
    while (atomic_load(&silent))
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    pthread_mutex_lock(&lock);
    if (strcmp(node, known_name) == 0)
        snprintf(addresses, sizeof(addresses), "%s", known_addresses);
    pthread_mutex_unlock(&lock);
    return addresses[0] ? all_of(addresses, service, hints, found) : EAI_NONAME;
}
