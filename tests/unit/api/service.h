/* A worker without sockets for the tests of the API: a host with one worker (host.h) and the real routes. A
 * request is FastCGI parameters and a body, an
 * answer the bytes that would go out. It defines fastcgi_respond, so the linker does not look for it in the
 * archive. */
#ifndef INFERONCE_TESTS_SERVICE_H
#define INFERONCE_TESTS_SERVICE_H

#include <jansson.h>

#include "host.h"
#include "inferonce/api/api.h"
#include "inferonce/http/router.h"
#include "unit.h"

#define SERVICE_SENT_MAX 1024

/* A request and what became of it. What it lent is freed with the answer, so that a sanitizer sees who uses
 * it afterwards. */
struct sent {
    struct fastcgi_request transport;
    char *lent;
    char *params[24];
    unsigned answers;
    bool left;
    struct buffer stream; /* parts of the answer that were sent, the head before them */
    bool streamed;
    bool sends_part;   /* `written` is to be called */
    struct bytes rest; /* of a body that comes in parts */
    size_t part;       /* how long those are */
    bool reads_on;     /* the next one was asked for */
    int status;
    char *head; /* with the blank line */
    char *body;
    size_t body_length;
};

struct service {
    struct settings settings;
    struct clock clock;
    uv_loop_t loop;
    struct shared shared;
    struct host_worker worker;
    struct api api;
    struct router router;
    struct exchange_pool *exchanges;
    struct blobs *blobs;
    struct sent *sent[SERVICE_SENT_MAX];
    size_t n_sent;
    unsigned fail_at; /* the allocation of the next request that fails; 0: none */
    bool fail_once;
};

extern struct service service;

/* Settings are the defaults, but for a lifetime of 60 s and what `change` (may be NULL) does to them. */
void service_setup(void (*change)(struct settings *settings));

/* Everything sent must have been answered or have left. */
void service_teardown(void);

/* Sends a request; the answer, if there is one, is there after the next turn. `fields` (may be NULL) are
 * parameters, "NAME=value", one a line; they stand before the usual ones (a JSON body, a client on this
 * machine), and of two with one name the first counts. `body` may be NULL. */
struct sent *service_send(const char *method, const char *path, const char *fields, const char *body);

/* The same with a body of which the first `first` bytes come at once and the others, when they are asked for,
 * `part` bytes in a turn. */
struct sent *service_send_in_parts(const char *method, const char *path, const char *fields, const char *body,
                                   size_t first, size_t part);

/* The same, and a turn. */
struct sent *service_ask(const char *method, const char *path, const char *fields, const char *body);

/* POST /predict, a turn, and whatever inferences that needs: the answer is there. */
struct sent *service_predict(const char *fields, const char *body);

/* Also with all that a sweep of the store takes. */
struct sent *service_administer(const char *method, const char *path, const char *fields, const char *body);

/* The client of a request that was not answered leaves. */
void service_leave(struct sent *sent);

void service_turn(void);
void service_wait_ms(uint64_t ms); /* moves both clocks */

/* The model answers its oldest inference. */
void service_model_answer(const struct engine_answer *answer);
void service_model_answers(const char *body);
void service_model_fails(enum engine_status status, int http_status, unsigned retry_after_s);

/* The model answers all it has with {"echo":"<the text>"}, until nothing is left. */
void service_model_echoes(void);

/* The value of a field of the answer, "" when there is none; valid until the next call but three. */
const char *service_header(const struct sent *sent, const char *name);

/* The body as JSON, owned by the caller; a failed assertion when it is none. */
json_t *service_json(const struct sent *sent);

/* A problem's `status` and `type` are right, and so are its media type and the pointer of its first error
 * (NULL: it has none). */
void service_check_problem(const struct sent *sent, int status, const char *type, const char *pointer);

uint64_t service_counted(enum statistic statistic);

#endif
