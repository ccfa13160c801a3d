/* The ceiling: a FastCGI application that does nothing but answer.
 *
 * It says how many requests per second libfcgi allows behind a given web server, and so how much of that a
 * cache hit costs. It has to be as fast as a program through libfcgi can be, or the comparison would flatter
 * us:
 *
 *   - one process, one epoll loop, kept connections;
 *   - libfcgi's operating system layer replaced (fcgios.h), so that it reads from and writes to memory;
 *   - a complete request is collected first, so that libfcgi never waits;
 *   - one read and one write per request, no timers, no statistics, no limits, no error replies.
 *
 * The reply has the size and the header fields of a hit on a text of 35 bytes. It trusts its web server,
 * holds one request per connection and is good for nothing else.
 *
 * usage: fixed_reply SOCKET */
#include <errno.h>
#include <fastcgi.h>
#include <fcgiapp.h>
#include <fcgios.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_MAX (64 * 1024)
#define REPLY_MAX   (16 * 1024)
#define EVENTS_MAX  256

static const char BODY[] =
    "{\"result\":{\"sentiment\":\"positive\",\"confidence\":0.6249,\"compound\":0.6249},\"cached\":true}\n";

static const char HEAD[] =
    "Status: 200 OK\r\n"
    "Content-Type: application/json\r\n"
    "X-Cache: HIT\r\n"
    "X-Cache-Key: 8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4\r\n"
    "Cache-Status: inferonce; hit; ttl=3599\r\n"
    "Age: 1\r\n"
    "Server-Timing: cache;dur=0.012\r\n"
    "Content-Length: %zu\r\n"
    "\r\n"
    "%s";

struct connection {
    int fd;
    size_t length;  /* bytes in `input` */
    size_t scanned; /* of them, in records that were looked at */
    unsigned char input[REQUEST_MAX];
};

/* The connection that libfcgi reads and writes. libfcgi knows it by descriptor only, and there is one request
 * at a time. */
static struct {
    const unsigned char *next, *end;
    size_t written;
    char output[REPLY_MAX];
} channel;

int OS_Read(int fd, char *buffer, size_t length) {
    (void)fd;
    size_t left = (size_t)(channel.end - channel.next);
    size_t n = length < left ? length : left;
    memcpy(buffer, channel.next, n);
    channel.next += n;
    return (int)n;
}

int OS_Write(int fd, char *buffer, size_t length) {
    (void)fd;
    if (length > sizeof channel.output - channel.written)
        return -1;
    memcpy(channel.output + channel.written, buffer, length);
    channel.written += length;
    return (int)length;
}

int OS_IpcClose(int fd, int shutdown) {
    (void)fd;
    (void)shutdown;
    return 0;
}

static void die(const char *what) {
    perror(what);
    exit(1);
}

/* True when the input ends with the empty STDIN record that ends a request. */
static bool complete(struct connection *connection) {
    while (connection->length - connection->scanned >= FCGI_HEADER_LEN) {
        const unsigned char *record = connection->input + connection->scanned;
        size_t content = (size_t)record[4] << 8 | record[5];
        size_t size = FCGI_HEADER_LEN + content + record[6];
        if (size > connection->length - connection->scanned)
            return false;
        connection->scanned += size;
        if (record[1] == FCGI_STDIN && content == 0)
            return true;
    }
    return false;
}

/* Through libfcgi: request in, fixed reply out. */
static bool serve(struct connection *connection, FCGX_Request *request, const char *reply,
                  size_t reply_length) {
    static char body[REQUEST_MAX];

    channel.next = connection->input;
    channel.end = connection->input + connection->scanned;
    channel.written = 0;
    request->ipcFd = connection->fd;
    request->keepConnection = 1; /* else FCGX_Accept_r closes the descriptor that it was just given */
    if (FCGX_Accept_r(request) != 0)
        return false;
    while (FCGX_GetStr(body, sizeof body, request->in) > 0)
        ; /* STDIN has to be read to its end record */
    FCGX_PutStr(reply, (int)reply_length, request->out);
    FCGX_Finish_r(request);
    connection->length = connection->scanned = 0;
    return write(connection->fd, channel.output, channel.written) == (ssize_t)channel.written;
}

static bool readable(struct connection *connection, FCGX_Request *request, const char *reply,
                     size_t reply_length) {
    size_t room = sizeof connection->input - connection->length;
    ssize_t n = read(connection->fd, connection->input + connection->length, room);
    if (n <= 0)
        return false;
    connection->length += (size_t)n;
    if (!complete(connection))
        return connection->length < sizeof connection->input;
    return serve(connection, request, reply, reply_length);
}

static int listen_on(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        die(path);
    }
    strcpy(address.sun_path, path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || (unlink(path) != 0 && errno != ENOENT) ||
        bind(listener, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, SOMAXCONN) != 0)
        die(path);
    return listener;
}

static void accept_all(int epoll, int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = malloc(sizeof *connection);
        if (connection == NULL)
            die("malloc");
        connection->fd = fd;
        connection->length = connection->scanned = 0;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
            die("epoll_ctl");
    }
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
        return 2;
    }
    char reply[1024];
    size_t reply_length = (size_t)snprintf(reply, sizeof reply, HEAD, sizeof BODY - 1, BODY);
    int listener = listen_on(argv[1]);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}; /* NULL: the listener */
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        die("epoll");
    FCGX_Request request;
    if (FCGX_Init() != 0 || FCGX_InitRequest(&request, -1, 0) != 0)
        die("libfcgi");

    struct epoll_event events[EVENTS_MAX];
    for (;;) {
        int n = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < n; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection == NULL) {
                accept_all(epoll, listener);
            } else if (!readable(connection, &request, reply, reply_length)) {
                close(connection->fd);
                free(connection);
            }
        }
    }
}
