/* One POST of JSON through libcurl: its options, its answer, what became of it. */
#ifndef INFERONCE_ENGINE_UPSTREAM_POST_H
#define INFERONCE_ENGINE_UPSTREAM_POST_H

#include <curl/curl.h>
#include <stdbool.h>

#include "engine/upstream/freshness.h"
#include "engine/upstream/retry_after.h"
#include "engine/upstream/sockets.h"
#include "engine/upstream/trust.h"
#include "inferonce/base/buffer.h"

/* Reused from request to request; its handle keeps what it has allocated. */
struct http_post {
    CURL *easy;           /* owned */
    struct buffer body;   /* what is sent: filled by the caller before http_post_prepare */
    struct buffer answer; /* what came back; its cap is the caller's to set. Of what is no success there is
                             only the beginning, HTTP_POST_ERROR_MAX bytes or less. */

    /* private */
    struct upstream_sockets *sockets;
    bool keeps_http_1;
    struct curl_slist *fields;
    size_t head_bytes;  /* of the answer */
    size_t passed_over; /* bytes of an answer that is no success */
    bool began;         /* the request goes out, or went */
    bool repeated;      /* because no byte of it had gone out */
    bool unread;        /* it did not go out on a kept connection that has something to read */
    bool short_of_sockets;
    bool local;    /* a Unix socket */
    bool spoiled;  /* libcurl keeps this transfer's error, and the count of its repetitions, in the handle */
    bool numbered; /* HTTP/2 */
    bool head_ended;
    char error[CURL_ERROR_SIZE];
};

struct http_post_target {
    const char *url; /* http://, https://, or http+unix:///SOCKET:/PATH, in SOCKET %20 for a space */
    uint64_t connect_timeout_ms;
    uint64_t timeout_ms;              /* for everything */
    struct upstream_sockets *sockets; /* borrowed until all connections are closed */
    bool keeps_http_1;                /* HTTP/1.1 connections are used again; those of HTTP/2 always are */
    struct trust *trust;              /* may be NULL */
};

/* Header fields; length 0: none. All but `host` are the client's own request's. */
struct http_post_fields {
    struct bytes host; /* in place of the URL's */
    struct bytes authorization;
    struct bytes traceparent;
    struct bytes tracestate;
};

enum http_post_end {
    HTTP_POST_ANSWERED,    /* `status` says how; of a success the answer is complete */
    HTTP_POST_NOT_REACHED, /* the request never went out */
    HTTP_POST_SHORT,       /* this process lacks descriptors or memory */
    HTTP_POST_LOST,        /* it went out, and the connection ended before the answer did */
    HTTP_POST_TOO_LARGE,
    HTTP_POST_TIMED_OUT
};

struct http_post_outcome {
    enum http_post_end end;
    bool reached;   /* the server was there */
    bool refused;   /* NOT_REACHED: nobody listens there */
    bool untrusted; /* NOT_REACHED: TLS failed */
    int status;
    uint64_t first_byte_us; /* ANSWERED: from the request's beginning, connecting included, to that of the
                               answer */
    struct retry_after retry_after;
    struct freshness freshness;
    const char *error; /* in libcurl's words or the system's, for the log; good until the next call */
};

#define HTTP_POST_PLACE_MAX 256

/* Names the URL's server for the log: scheme, host and port, or "unix:" and the path of the socket. Cut to
 * fit.
 */
void http_post_place(const char *url, char place[HTTP_POST_PLACE_MAX]);

/* The bytes that are kept of an answer that is no success: room for a message, and one byte more, by which
 * one that was cut is known. */
#define HTTP_POST_ERROR_MAX (4096 + 1)

/* Whether an answer of that status has a result: 200, and 203, which is a 200 that a proxy changed. 202 says
 * that it will come, 204 and 205 that there is none, 206 that it is a part. */
bool http_post_is_success(int status);

/* False: no memory. */
bool http_post_init(struct http_post *post) MUST_CHECK;
void http_post_fini(struct http_post *post);

/* Sets the handle up for the body. All is borrowed for the call, except for post and trust. A field that no
 * HTTP field could hold is left out. False: no memory. */
bool http_post_prepare(struct http_post *post, const struct http_post_target *target,
                       const struct http_post_fields *fields) MUST_CHECK;

enum http_post_again {
    HTTP_POST_OVER, /* http_post_ended says how */
    HTTP_POST_NOW,  /* nothing was sent, because the kept connection had something to read */
    HTTP_POST_LATER /* the queue of the server's Unix socket is full; unlike one of TCP it does not let us
                       wait */
};

/* Whether the transfer, which has ended, is to begin once more; it is ready to, and has `timeout_ms` left. */
enum http_post_again http_post_begins_again(struct http_post *post, CURLcode result,
                                            uint64_t timeout_ms) MUST_CHECK;

/* Explains the transfer's end. */
void http_post_ended(struct http_post *post, CURLcode result, struct http_post_outcome *outcome);

/* Ready for the next one; memory above a few KB is given back. False: its handle is not good for another one.
 */
bool http_post_reset(struct http_post *post) MUST_CHECK;

#endif
