/* Reads the addresses of cache servers. */
#include "inferonce/base/server_address.h"

#include <netdb.h>
#include <sys/socket.h>

static bool begins_with(struct bytes text, const char *prefix) {
    size_t length = strlen(prefix);
    return text.length >= length && memcmp(text.data, prefix, length) == 0;
}

static struct bytes skip(struct bytes text, size_t n) {
    return (struct bytes){text.data + n, text.length - n};
}

/* Splits at the first `c`: returns what is before it, `*rest` is behind it. False: there is none. */
static bool split(struct bytes text, char c, struct bytes *before, struct bytes *rest) {
    const char *at = text.length > 0 ? memchr(text.data, c, text.length) : NULL;
    if (!at)
        return false;
    *before = (struct bytes){text.data, (size_t)(at - text.data)};
    *rest = skip(text, before->length + 1);
    return true;
}

static bool copy(struct bytes from, char *to, size_t most) {
    if (from.length > most || (from.length > 0 && memchr(from.data, '\0', from.length)))
        return false;
    if (from.length > 0)
        memcpy(to, from.data, from.length);
    to[from.length] = '\0';
    return true;
}

/* HOST or HOST:PORT, the host perhaps an IPv6 address in brackets. `*port` stays when none is given. */
static bool read_host(struct bytes text, char host[SERVER_HOST_MAX + 1], bool needs_port, uint16_t *port) {
    struct bytes name = text;
    struct bytes number = {NULL, 0};
    bool given = false;
    if (begins_with(text, "[")) {
        struct bytes behind;
        if (!split(skip(text, 1), ']', &name, &behind))
            return false;
        given = begins_with(behind, ":");
        if (behind.length > 0 && !given)
            return false;
        number = given ? skip(behind, 1) : number;
    } else {
        given = split(text, ':', &name, &number);
    }
    uint64_t value = *port;
    if (given ? !bytes_to_number(number, &value) || value == 0 || value > 65535 : needs_port)
        return false;
    *port = (uint16_t)value;
    return name.length > 0 && copy(name, host, SERVER_HOST_MAX);
}

bool server_address_next(struct bytes *list, struct server_address *address) {
    struct bytes first = *list;
    struct bytes rest = {NULL, 0};
    struct server_address read = {.port = 0};
    if (split(*list, ',', &first, &rest) && rest.length == 0)
        return false;
    first = bytes_trim(first);
    if (begins_with(first, "unix:")) {
        struct bytes path = skip(first, strlen("unix:"));
        if (path.length == 0 || !copy(path, read.host, SERVER_HOST_MAX))
            return false;
    } else if (!read_host(first, read.host, true, &read.port)) {
        return false;
    }
    *address = read;
    *list = rest;
    return true;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode(struct bytes text, char to[REDIS_URL_PART_MAX + 1]) {
    size_t length = 0;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = i + 2 < text.length ? hex_digit(text.data[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text.data[i + 2]) : -1;
            if (low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0' || length == REDIS_URL_PART_MAX)
            return false;
        to[length++] = c;
    }
    to[length] = '\0';
    return true;
}

/* Takes `[user]:password@` off the front, if it is there. */
static bool read_credentials(struct bytes *text, struct redis_url *url) {
    const char *at = text->length > 0 ? memrchr(text->data, '@', text->length) : NULL;
    if (!at)
        return true;
    struct bytes credentials = {text->data, (size_t)(at - text->data)};
    struct bytes user;
    struct bytes password;
    *text = skip(*text, credentials.length + 1);
    return split(credentials, ':', &user, &password) && password.length > 0 && decode(user, url->user) &&
           decode(password, url->password);
}

bool redis_url_read(struct bytes text, struct redis_url *url) {
    struct redis_url read = {.database = 0};
    if (begins_with(text, "unix://")) {
        text = skip(text, strlen("unix://"));
        if (!read_credentials(&text, &read) || !begins_with(text, "/") ||
            !copy(text, read.address.host, SERVER_HOST_MAX))
            return false;
        *url = read;
        return true;
    }
    if (!begins_with(text, "redis://"))
        return false;
    text = skip(text, strlen("redis://"));
    if (!read_credentials(&text, &read))
        return false;
    struct bytes host = text;
    struct bytes number = {NULL, 0};
    uint64_t database = 0;
    if (split(text, '/', &host, &number) && number.length > 0 &&
        (!bytes_to_number(number, &database) || database > 65535))
        return false;
    read.address.port = 6379;
    read.database = (unsigned)database;
    if (!read_host(host, read.address.host, false, &read.address.port))
        return false;
    *url = read;
    return true;
}

bool server_address_is_literal(const struct server_address *address, struct server_address *numeric) {
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct server_address read = *address;
    struct addrinfo *found = NULL;
    if (address->port != 0) {
        if (getaddrinfo(address->host, NULL, &hints, &found) != 0)
            return false;
        int status = getnameinfo(found->ai_addr, found->ai_addrlen, read.host, sizeof(read.host), NULL, 0,
                                 NI_NUMERICHOST);
        freeaddrinfo(found);
        if (status != 0)
            return false;
    }
    *numeric = read;
    return true;
}
