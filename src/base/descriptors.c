/* Raises the limit of file descriptors, and counts what of them the settings need. */
#include "inferonce/base/descriptors.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/resource.h>

#include "inferonce/base/log.h"

/* The loop, the listener, the log, the mapping, names that are being looked up, and a connection to each
 * cache server. */
#define OTHERS 64

/* Each worker has two slots, and each slot an eventfd, which all of them hold. */
#define FOR_EACH_WORKER 2

/* Connections that a worker can make use of. Each parked request holds one, and the usual soft limit of 1,024
 * is there for programs that use select(2). Not the millions that some systems allow: libuv's table grows
 * with them. */
#define FOR_CLIENTS_MOST 65536

uint64_t descriptors_reserved(const struct settings *settings, unsigned workers) {
    uint64_t inferences = settings->engine == SETTINGS_ENGINE_HTTP ? settings->inference_concurrency : 0;
    return OTHERS + FOR_EACH_WORKER * (uint64_t)workers + inferences;
}

static void raise_limit(struct rlimit *limit, uint64_t wanted) {
    struct rlimit raised = {.rlim_cur = limit->rlim_max < wanted ? limit->rlim_max : (rlim_t)wanted,
                            .rlim_max = limit->rlim_max};
    if (limit->rlim_cur >= raised.rlim_cur)
        return;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
        *limit = raised;
    else
        LOG(LOG_WARN, "descriptor_limit_not_raised", LOG_NUMBER("errno", errno));
}

bool descriptors_suffice(const struct settings *settings, unsigned workers, struct error *error) {
    uint64_t reserved = descriptors_reserved(settings, workers);
    uint64_t needed = reserved + DESCRIPTORS_FOR_CLIENTS_LEAST;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        error_set_errno(error, errno, "the limit of file descriptors is not known");
        return false;
    }
    raise_limit(&limit, reserved + FOR_CLIENTS_MOST);
    if (limit.rlim_cur >= needed)
        return true;
    error_set(error,
              "a worker needs %" PRIu64 " file descriptors with these settings, and the limit is %" PRIu64
              ": raise it (ulimit -n, LimitNOFILE=)%s",
              needed, (uint64_t)limit.rlim_cur,
              settings->engine == SETTINGS_ENGINE_HTTP
                  ? " or lower INFERENCE_CONCURRENCY, each of which needs one"
                  : "");
    return false;
}
