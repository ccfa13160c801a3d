/* One POST through libcurl: its options, its fields, its answer. */
#include "engine/upstream/post.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

/* Kept in a pooled post. */
#define KEPT_BYTES 4096

/* The most of an answer's head, and of a body that nobody reads. */
#define HEAD_BYTES_MAX  (64u * 1024)
#define PASSED_OVER_MAX (64u * 1024)

/* libcurl's receive buffer, one a transfer. A model's answer comes late rather than fast, and there may be
 * thousands. */
#define RECEIVE_BYTES 4096L

/* An idle connection is not used again after this. Servers close idle ones after 5 s (uvicorn) or later, and
 * a POST that meets that is lost, since it is not sent twice. */
#define IDLE_S_MAX 4L

bool http_post_init(struct http_post *post) {
    *post = (struct http_post){.easy = curl_easy_init()};
    buffer_init(&post->body, SIZE_MAX);
    buffer_init(&post->answer, SIZE_MAX);
    return post->easy != NULL;
}

void http_post_fini(struct http_post *post) {
    curl_easy_cleanup(post->easy);
    curl_slist_free_all(post->fields);
    buffer_fini(&post->body);
    buffer_fini(&post->answer);
}

bool http_post_reset(struct http_post *post) {
    bool good = !post->spoiled;
    curl_slist_free_all(post->fields);
    post->fields = NULL;
    buffer_reset(&post->body, KEPT_BYTES);
    buffer_reset(&post->answer, KEPT_BYTES);
    return good;
}

/* ---- while it runs ---- */

static long status_of(const struct http_post *post) {
    long status = 0;
    (void)curl_easy_getinfo(post->easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

bool http_post_is_success(int status) {
    return status == 200 || status == 203;
}

static bool is_success(long status) {
    return http_post_is_success((int)status);
}

/* Only the beginning is kept; without memory for it nothing is. */
static void keep_beginning(struct buffer *answer, const char *data, size_t length) {
    size_t room = answer->length < HTTP_POST_ERROR_MAX ? HTTP_POST_ERROR_MAX - answer->length : 0;
    buffer_append(answer, data, length < room ? length : room);
}

static long info(const struct http_post *post, CURLINFO which) {
    long number = 0;
    (void)curl_easy_getinfo(post->easy, which, &number);
    return number;
}

static uint64_t first_byte_us(const struct http_post *post) {
    curl_off_t us = 0;
    (void)curl_easy_getinfo(post->easy, CURLINFO_STARTTRANSFER_TIME_T, &us);
    return us > 0 ? (uint64_t)us : 0;
}

/* NULL: no TLS, or not by OpenSSL. */
static SSL *tls_of(const struct http_post *post) {
    struct curl_tlssessioninfo *tls = NULL;
    bool known = curl_easy_getinfo(post->easy, CURLINFO_TLS_SSL_PTR, &tls) == CURLE_OK && tls &&
                 tls->backend == CURLSSLBACKEND_OPENSSL;
    return known ? tls->internals : NULL;
}

/* Whether the connection is HTTP/2, where each answer carries the number of its request. */
static bool is_numbered(const struct http_post *post) {
    const unsigned char *protocol = NULL;
    unsigned length = 0;
    const SSL *tls = tls_of(post);
    if (tls)
        SSL_get0_alpn_selected(tls, &protocol, &length);
    return length == 2 && memcmp(protocol, "h2", 2) == 0;
}

/* TLS may have read ahead what the socket no longer shows. New connections have something to read: the
 * server's session tickets. */
static bool has_unread(const struct http_post *post) {
    const SSL *tls = tls_of(post);
    return tls && info(post, CURLINFO_NUM_CONNECTS) == 0 && !is_numbered(post) && SSL_has_pending(tls) == 1;
}

/* Whether it is certain that the model has not seen the request that is about to be sent again. An HTTP/2
 * server that ends a connection says which requests it has not looked at; libcurl has no error then, as it
 * has when a connection breaks. */
static bool was_not_seen(const struct http_post *post) {
    return (post->numbered && post->error[0] == '\0') ||
           (!post->repeated && info(post, CURLINFO_REQUEST_SIZE) == 0);
}

/* libcurl calls this before each attempt to send, and would silently make a second one when the connection, a
 * kept one, turns out to be dead. What a model may have begun to infer is not asked for again. */
static int on_request(void *user, char *remote_ip, char *local_ip, int remote_port, int local_port) {
    struct http_post *post = user;
    (void)remote_ip, (void)local_ip, (void)remote_port, (void)local_port;
    post->unread = !post->began && has_unread(post);
    if (post->unread || (post->began && !was_not_seen(post)))
        return CURL_PREREQFUNC_ABORT;
    post->repeated = post->began;
    post->began = true;
    post->numbered = is_numbered(post);
    (void)curl_easy_setopt(post->easy, CURLOPT_FORBID_REUSE, post->numbered ? 0L : 1L);
    (void)curl_easy_setopt(post->easy, CURLOPT_FRESH_CONNECT,
                           post->numbered ? 0L : 1L); /* should it be sent again */
    return CURL_PREREQFUNC_OK;
}

/* An HTTP/1.1 connection is used again after a success, where that is wanted. */
static void end_head(struct http_post *post) {
    post->head_ended = true;
    if (post->keeps_http_1 && is_success(status_of(post)))
        (void)curl_easy_setopt(post->easy, CURLOPT_FORBID_REUSE, 0L);
}

static size_t on_head(char *data, size_t size, size_t n, void *user) {
    struct http_post *post = user;
    size_t length = size * n;
    post->head_bytes += length;
    (void)data;
    if (length <= 2 && status_of(post) >= 200)
        end_head(post);
    return post->head_bytes <= HEAD_BYTES_MAX ? length : 0;
}

/* libcurl's own limit (MAXFILESIZE) does not hold for chunked answers. */
static size_t on_body(char *data, size_t size, size_t n, void *user) {
    struct http_post *post = user;
    size_t length = size * n;
    if (!is_success(status_of(post))) {
        keep_beginning(&post->answer, data, length);
        post->passed_over += length;
        return post->passed_over <= PASSED_OVER_MAX ? length : 0;
    }
    buffer_append(&post->answer, data, length);
    return post->answer.failed ? 0 : length;
}

/* ---- its socket ---- */

static curl_socket_t on_open(void *user, curlsocktype purpose, struct curl_sockaddr *address) {
    struct http_post *post = user;
    (void)purpose;
    int descriptor = upstream_sockets_open(post->sockets, address);
    if (descriptor >= 0)
        return descriptor;
    post->short_of_sockets = upstream_sockets_lack(errno);
    return CURL_SOCKET_BAD;
}

static int on_close(void *user, curl_socket_t descriptor) {
    upstream_sockets_close(user, descriptor);
    return 0;
}

/* A connection is kept when it turns out to be HTTP/2, or the answer's head allows it. */
static void set_connection(struct http_post *post, const struct http_post_target *target) {
    CURL *easy = post->easy;
    bool numbered = strncmp(target->url, "https:", 6) == 0; /* it may turn out to be */
    post->sockets = target->sockets;
    post->keeps_http_1 = target->keeps_http_1;
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    (void)curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, post);
    (void)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    (void)curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, post->sockets);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
                           (long)(numbered ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
    (void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, numbered || post->keeps_http_1 ? 0L : 1L);
    (void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_S_MAX);
}

/* ---- setting up ---- */

static bool add_line(struct http_post *post, const char *line) {
    struct curl_slist *longer = curl_slist_append(post->fields, line);
    if (!longer)
        return false;
    post->fields = longer;
    return true;
}

/* Nothing that would end the line. */
static bool is_field_value(struct bytes value) {
    for (size_t i = 0; i < value.length; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return value.length > 0;
}

static bool add_field(struct http_post *post, const char *name, struct bytes value) {
    if (!is_field_value(value))
        return true;
    struct buffer line;
    buffer_init(&line, SIZE_MAX);
    buffer_append_text(&line, name);
    buffer_append_bytes(&line, value);
    buffer_append_char(&line, '\0');
    bool added = !line.failed && add_line(post, line.data);
    buffer_fini(&line);
    return added;
}

/* `Expect:` without a value leaves out the "100-continue" that stalls bodies above 1 MB. */
static bool set_fields(struct http_post *post, const struct http_post_fields *fields) {
    return add_line(post, "Content-Type: application/json") && add_line(post, "Accept: application/json") &&
           add_line(post, "Expect:") && add_field(post, "Host: ", fields->host) &&
           add_field(post, "Authorization: ", fields->authorization) &&
           add_field(post, "traceparent: ", fields->traceparent) &&
           add_field(post, "tracestate: ", fields->tracestate);
}

#define UNIX_SCHEME "http+unix://"

static int digit(char c) {
    const char *const digits = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    return at ? (int)(at - digits) : -1;
}

/* In place: %20 is a space (RFC 3986 section 2.1). What is no such triple stays as it is, and so does %00,
 * which no path can have. */
static void decode(char *path) {
    char *to = path;
    for (const char *from = path; *from; to++) {
        int high = *from == '%' ? digit(from[1]) : -1;
        int low = high >= 0 ? digit(from[2]) : -1;
        bool triple = low >= 0 && high * 16 + low > 0;
        *to = triple ? (char)(high * 16 + low) : *from;
        from += triple ? 3 : 1;
    }
    *to = '\0';
}

/* http+unix:///run/model.sock:/predict -> socket /run/model.sock, path /predict. */
static CURLcode set_unix_url(CURL *easy, const char *url) {
    char *socket = strdup(url + sizeof(UNIX_SCHEME) - 1);
    struct buffer local;
    if (!socket)
        return CURLE_OUT_OF_MEMORY;
    char *colon = strstr(socket, ":/");
    buffer_init(&local, SIZE_MAX);
    buffer_append_text(&local, "http://localhost");
    buffer_append_text(&local, colon ? colon + 1 : "/");
    buffer_append_char(&local, '\0');
    if (colon)
        *colon = '\0';
    decode(socket);
    CURLcode result = local.failed ? CURLE_OUT_OF_MEMORY : curl_easy_setopt(easy, CURLOPT_URL, local.data);
    if (result == CURLE_OK)
        result = curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, socket);
    buffer_fini(&local);
    free(socket);
    return result;
}

void http_post_place(const char *url, char place[HTTP_POST_PLACE_MAX]) {
    const char *authority = strstr(url, "://");
    if (strncmp(url, UNIX_SCHEME, sizeof(UNIX_SCHEME) - 1) == 0) {
        const char *path = url + sizeof(UNIX_SCHEME) - 1;
        const char *colon = strstr(path, ":/");
        snprintf(place, HTTP_POST_PLACE_MAX, "unix:%.*s", (int)(colon ? colon - path : (long)strlen(path)),
                 path);
        return;
    }
    size_t scheme = authority ? (size_t)(authority - url) + 3 : 0;
    snprintf(place, HTTP_POST_PLACE_MAX, "%.*s", (int)(scheme + strcspn(url + scheme, "/?#")), url);
}

static CURLcode set_url(struct http_post *post, const char *url) {
    CURL *easy = post->easy;
    post->local = strncmp(url, UNIX_SCHEME, sizeof(UNIX_SCHEME) - 1) == 0;
    if (post->local)
        return set_unix_url(easy, url);
    (void)curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, NULL);
    return curl_easy_setopt(easy, CURLOPT_URL, url);
}

static void set_callbacks(struct http_post *post) {
    CURL *easy = post->easy;
    (void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, post);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, post);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, post);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, post->error);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, post);
}

/* The same for every request. What fails here is a libcurl without that feature, and not needed then. */
static void set_habits(CURL *easy) {
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "inferonce/" INFERONCE_VERSION);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    /* A look-up that takes longer than the request may is left to its thread, not waited for. */
    (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    /* The system's certificates are read for every connection when there is a directory of them as well as
     * the one file: 10 ms each time. From the file alone they are kept. */
    if (curl_version_info(CURLVERSION_NOW)->cainfo)
        (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
}

bool http_post_prepare(struct http_post *post, const struct http_post_target *target,
                       const struct http_post_fields *fields) {
    CURL *easy = post->easy;
    post->head_bytes = post->passed_over = 0;
    post->began = post->repeated = post->unread = post->short_of_sockets = post->numbered = post->head_ended =
        false;
    post->error[0] = '\0';
    set_callbacks(post);
    set_habits(easy);
    set_connection(post, target);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)target->connect_timeout_ms);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)target->timeout_ms);
    (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, post->body.data);
    (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)post->body.length);
    return !post->body.failed && set_fields(post, fields) &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, post->fields) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           set_url(post, target->url) == CURLE_OK && (!target->trust || trust_apply(target->trust, easy));
}

/* ---- the end ---- */

/* libcurl takes EAGAIN for a connection under way, and then finds none, but no error either. */
static bool is_queue_full(const struct http_post *post, CURLcode result) {
    return post->local && result == CURLE_COULDNT_CONNECT && !post->short_of_sockets && !post->spoiled &&
           info(post, CURLINFO_OS_ERRNO) == 0;
}

enum http_post_again http_post_begins_again(struct http_post *post, CURLcode result, uint64_t timeout_ms) {
    enum http_post_again again = post->unread                  ? HTTP_POST_NOW
                                 : is_queue_full(post, result) ? HTTP_POST_LATER
                                                               : HTTP_POST_OVER;
    post->unread = false;
    (void)curl_easy_setopt(post->easy, CURLOPT_FRESH_CONNECT, 1L);
    (void)curl_easy_setopt(post->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    return again;
}

/* Each line of that name, of the final answer's head. */
static void read_lines(CURL *easy, const char *name, struct freshness *freshness,
                       void (*read)(struct freshness *freshness, struct bytes field_value)) {
    struct curl_header *field;
    for (size_t i = 0; curl_easy_header(easy, name, i, CURLH_HEADER, -1, &field) == CURLHE_OK; i++)
        read(freshness, bytes_of(field->value));
}

static void read_head(CURL *easy, struct http_post_outcome *outcome) {
    static const struct {
        const char *name;
        void (*read)(struct freshness *freshness, struct bytes field_value);
    } FIELDS[] = {{"Cache-Control", freshness_read_cache_control},
                  {"Age", freshness_read_age},
                  {"Expires", freshness_read_expires},
                  {"Date", freshness_read_date},
                  {"Vary", freshness_read_vary}};
    struct curl_header *field;
    for (size_t i = 0; i < sizeof(FIELDS) / sizeof(FIELDS[0]); i++)
        read_lines(easy, FIELDS[i].name, &outcome->freshness, FIELDS[i].read);
    for (size_t i = 0; curl_easy_header(easy, "Retry-After", i, CURLH_HEADER, -1, &field) == CURLHE_OK; i++)
        retry_after_read(&outcome->retry_after, bytes_of(field->value));
}

static bool is_about_tls(CURLcode result) {
    return result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CONNECT_ERROR ||
           result == CURLE_SSL_ISSUER_ERROR || result == CURLE_SSL_CERTPROBLEM;
}

static enum http_post_end end_of(const struct http_post *post, CURLcode result, int status) {
    /* For an answer that is no success the status is enough: its body need not be whole. */
    if (result == CURLE_OK || (post->head_ended && !is_success(status)))
        return HTTP_POST_ANSWERED;
    if (result == CURLE_OPERATION_TIMEDOUT || is_queue_full(post, result))
        return HTTP_POST_TIMED_OUT;
    if (result == CURLE_OUT_OF_MEMORY ||
        (!post->began && (post->short_of_sockets || upstream_sockets_are_short())))
        return HTTP_POST_SHORT;
    if (!post->began)
        return HTTP_POST_NOT_REACHED;
    return post->answer.failed || post->head_bytes > HEAD_BYTES_MAX ? HTTP_POST_TOO_LARGE : HTTP_POST_LOST;
}

/* libcurl only says that it could not connect, and to what, which for a Unix socket is a host that there is
 * not. */
static const char *error_of(const struct http_post *post, enum http_post_end end, CURLcode result) {
    long number = info(post, CURLINFO_OS_ERRNO);
    if (is_queue_full(post, result))
        return "its queue of connections stays full";
    if (end == HTTP_POST_SHORT)
        return "no descriptor or memory for a connection";
    if (result == CURLE_COULDNT_CONNECT && number > 0)
        return strerror((int)number);
    return post->error[0] ? post->error : curl_easy_strerror(result);
}

void http_post_ended(struct http_post *post, CURLcode result, struct http_post_outcome *outcome) {
    int status = (int)status_of(post);
    enum http_post_end end = end_of(post, result, status);
    *outcome = (struct http_post_outcome){
        .end = end,
        .reached = post->began,
        .refused = end == HTTP_POST_NOT_REACHED && info(post, CURLINFO_OS_ERRNO) == ECONNREFUSED,
        .untrusted = !post->began && is_about_tls(result),
        .status = status,
        .first_byte_us = first_byte_us(post),
        .error = error_of(post, end, result),
    };
    post->spoiled = post->repeated || info(post, CURLINFO_OS_ERRNO) != 0;
    if (outcome->end == HTTP_POST_ANSWERED)
        read_head(post->easy, outcome);
}
