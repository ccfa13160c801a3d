/* libfcgi's operating system layer, in memory. */
#include "fastcgi/oslayer.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcgios.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* Above every limit of descriptors (fs.nr_open), so that nothing happens to a file of ours should libfcgi's
 * own layer ever get one of these numbers. */
#define NUMBER_BASE 0x40000000

/* File-static, against the rule: libfcgi passes on nothing but a number. `next_free` chains the free entries.
 */
static struct entry {
    struct oslayer_channel *channel; /* NULL: free */
    int next_free;
} * entries;
static int entries_count;
static int first_free = -1;

static bool grow(void) {
    int count = entries_count == 0 ? 16 : entries_count * 2;
    if (count >= INT_MAX - NUMBER_BASE)
        return false;
    struct entry *grown = realloc(entries, (size_t)count * sizeof(*grown));
    if (!grown)
        return false;
    for (int i = entries_count; i < count; i++)
        grown[i] = (struct entry){.next_free = i + 1 < count ? i + 1 : first_free};
    first_free = entries_count;
    entries = grown;
    entries_count = count;
    return true;
}

int oslayer_open(struct oslayer_channel *channel) {
    if (first_free < 0 && !grow())
        return -1;
    int index = first_free;
    first_free = entries[index].next_free;
    entries[index].channel = channel;
    return NUMBER_BASE + index;
}

static struct oslayer_channel *find(int number) {
    int index = number - NUMBER_BASE;
    return number >= NUMBER_BASE && index < entries_count ? entries[index].channel : NULL;
}

void oslayer_close(int number) {
    INVARIANT(find(number));
    int index = number - NUMBER_BASE;
    entries[index] = (struct entry){.next_free = first_free};
    first_free = index;
}

/* An empty channel reads as the end of the file: libfcgi then gives up instead of waiting. */
int OS_Read(int fd, char *buf, size_t len) {
    struct oslayer_channel *channel = find(fd);
    if (!channel) {
        errno = EBADF;
        return -1;
    }
    size_t length = channel->input.length < len ? channel->input.length : len;
    if (length == 0)
        return 0;
    memcpy(buf, channel->input.data, length);
    channel->input.data += length;
    channel->input.length -= length;
    return (int)length;
}

int OS_Write(int fd, char *buf, size_t len) {
    struct oslayer_channel *channel = find(fd);
    if (!channel || !channel->output) {
        errno = EBADF;
        return -1;
    }
    buffer_append(channel->output, buf, len);
    if (channel->output->failed) {
        errno = ENOMEM;
        return -1;
    }
    return (int)len;
}

/* Closing is the connection's business, and not over when libfcgi thinks so: the answer is still in memory.
 */
int OS_IpcClose(int ipcFd, int shutdown) {
    (void)ipcFd;
    (void)shutdown;
    return 0;
}

/* libfcgi asks for another connection when a request made no sense to it. It gets none: FCGX_Accept_r fails.
 */
int OS_Accept(int listen_sock, int fail_on_intr, const char *webServerAddrs) {
    (void)listen_sock;
    (void)fail_on_intr;
    (void)webServerAddrs;
    errno = ECONNABORTED;
    return -1;
}

/* BEGIN_REQUEST (responder, kept), PARAMS A=B, their end, the end of STDIN; all with request id 1. */
static const char SMALLEST_REQUEST[] = {1, 1, 0, 1, 0,   8,   0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 4, 0, 1, 0, 4,
                                        0, 0, 1, 1, 'A', 'B', 1, 4, 0, 1, 0, 0, 0, 0, 1, 5, 0, 1, 0, 0, 0, 0};

static bool answers_smallest_request(FCGX_Request *request, struct oslayer_channel *channel) {
    if (FCGX_Accept_r(request) != 0)
        return false;
    const char *value = FCGX_GetParam("A", request->envp);
    bool read_here = value && strcmp(value, "B") == 0 && FCGX_GetChar(request->in) == EOF;
    FCGX_Finish_r(request);
    return read_here && channel->input.length == 0 && channel->output->length > 0;
}

bool oslayer_is_ours(struct error *error) {
    struct buffer output;
    struct oslayer_channel channel = {{SMALLEST_REQUEST, sizeof(SMALLEST_REQUEST)}, &output};
    FCGX_Request request;
    int number = oslayer_open(&channel);
    if (number < 0 || FCGX_InitRequest(&request, -1, 0) != 0) {
        error_set(error, "libfcgi cannot be set up");
        if (number >= 0)
            oslayer_close(number);
        return false;
    }
    buffer_init(&output, 4096);
    request.ipcFd = number;
    request.keepConnection = 1;
    bool ours = answers_smallest_request(&request, &channel);
    FCGX_Free(&request, 0);
    if (!ours)
        error_set(error,
                  "libfcgi does not use this program's OS_Read and OS_Write: the link must export them");
    buffer_fini(&output);
    oslayer_close(number);
    return ours;
}
