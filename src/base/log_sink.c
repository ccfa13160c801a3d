/* Writes log lines whole or not at all, and never waits for their reader. */
#include "base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
    OPENED_AGAIN, /* a pipe or a terminal, by a description of our own, which is non-blocking */
    PIPE,         /* one that could not be opened again */
    SOCKET,
    OTHER
};

static struct {
    int descriptor;
    enum kind kind;
    bool torn; /* the last line was taken in part */
} sink = {.descriptor = STDERR_FILENO, .kind = OTHER};

/* -1: it belongs to another user, or there is no /proc. */
static int open_again(int descriptor) {
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

void log_sink_open(int descriptor) {
    struct stat status;
    bool known = fstat(descriptor, &status) == 0;
    bool waits = known && (S_ISFIFO(status.st_mode) || isatty(descriptor));
    int again = waits ? open_again(descriptor) : -1;
    if (sink.kind == OPENED_AGAIN)
        close(sink.descriptor);
    sink.descriptor = again >= 0 ? again : descriptor;
    sink.kind = again >= 0 ? OPENED_AGAIN : waits ? PIPE : known && S_ISSOCK(status.st_mode) ? SOCKET : OTHER;
    sink.torn = false;
}

/* From Linux 6.4 on a pipe can be asked not to wait for one write. Before that, poll(2) says whether PIPE_BUF
 * bytes fit; another process may be faster with them. */
static ssize_t write_to_pipe(const struct iovec *parts, int n) {
    ssize_t taken = pwritev2(sink.descriptor, parts, n, -1, RWF_NOWAIT);
    if (taken >= 0 || errno != EOPNOTSUPP)
        return taken;
    struct pollfd room = {.fd = sink.descriptor, .events = POLLOUT};
    if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
        return -1;
    return writev(sink.descriptor, parts, n);
}

static ssize_t write_parts(struct iovec *parts, int n) {
    if (sink.kind == PIPE)
        return write_to_pipe(parts, n);
    if (sink.kind != SOCKET)
        return writev(sink.descriptor, parts, n);
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)n};
    return sendmsg(sink.descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool log_sink_write(const char *line, size_t length) {
    struct iovec parts[2] = {{.iov_base = (char[]){'\n'}, .iov_len = sink.torn},
                             {.iov_base = (void *)(uintptr_t)line, .iov_len = length}};
    size_t wanted = sink.torn + length;
    ssize_t taken = write_parts(sink.torn ? parts : parts + 1, sink.torn ? 2 : 1);
    bool whole = taken == (ssize_t)wanted;
    if (whole || taken > 0)
        sink.torn = !whole;
    return whole;
}
