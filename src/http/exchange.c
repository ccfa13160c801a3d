/* A request and its answer, from the first byte to the last. */
#include "inferonce/http/exchange.h"

#include <stdlib.h>

/* Exchanges and bytes that are kept for the next requests. A burst beyond it, or one large body, must not
 * stay resident. */
#define POOLED_MAX        256
#define POOLED_BUFFER_MAX (64u * 1024)

/* Handlers build single answers from a prefix, the stored bytes and a suffix; only a caller with many pieces
 * needs the heap. */
#define PIECES_ON_STACK 16

/* Readers that take their answers make room within moments. */
#define RETRY_AFTER_S 1

/* The answer when there is no memory to build one. */
#define LAST_BODY                                                                                   \
    "{\"type\":\"urn:inferonce:problem:internal\",\"title\":\"The request could not be answered\"," \
    "\"status\":500}"
#define LAST_BODY_LENGTH 98
#define LAST_BODY_DIGITS "98"
#define LAST_HEAD                                                                     \
    "Status: 500 Internal Server Error\r\nContent-Type: application/problem+json\r\n" \
    "Cache-Control: no-store\r\nContent-Length: " LAST_BODY_DIGITS "\r\n\r\n"
_Static_assert(sizeof(LAST_BODY) - 1 == LAST_BODY_LENGTH, "a wrong Content-Length hangs the client");

struct exchange_pool {
    struct stats *stats;
    SLIST_HEAD(idle_exchanges, exchange) idle;
    size_t idle_count;
    size_t begun; /* and neither sent nor abandoned yet */
};

static struct exchange *create(void) {
    struct exchange *exchange = calloc(1, sizeof(*exchange));
    if (exchange) {
        response_init(&exchange->response);
        buffer_init(&exchange->scratch, RESPONSE_BODY_MAX);
    }
    return exchange;
}

static void destroy(struct exchange *exchange) {
    response_fini(&exchange->response);
    buffer_fini(&exchange->scratch);
    free(exchange);
}

struct exchange_pool *exchange_pool_create(struct stats *stats) {
    struct exchange_pool *pool = calloc(1, sizeof(*pool));
    if (pool)
        pool->stats = stats;
    return pool;
}

void exchange_pool_destroy(struct exchange_pool **pool) {
    if (!*pool)
        return;
    INVARIANT((*pool)->begun == 0);
    while (!SLIST_EMPTY(&(*pool)->idle)) {
        struct exchange *exchange = SLIST_FIRST(&(*pool)->idle);
        SLIST_REMOVE_HEAD(&(*pool)->idle, links);
        destroy(exchange);
    }
    free(*pool);
    *pool = NULL;
}

static struct exchange *take(struct exchange_pool *pool) {
    struct exchange *exchange = SLIST_FIRST(&pool->idle);
    if (!exchange)
        return create();
    SLIST_REMOVE_HEAD(&pool->idle, links);
    pool->idle_count--;
    return exchange;
}

/* The transport is gone, or is about to be. */
static void give_back(struct exchange *exchange) {
    struct exchange_pool *pool = exchange->pool;
    pool->begun--;
    exchange->transport = NULL;
    if (pool->idle_count == POOLED_MAX) {
        destroy(exchange);
        return;
    }
    response_reset(&exchange->response, POOLED_BUFFER_MAX);
    buffer_reset(&exchange->scratch, POOLED_BUFFER_MAX);
    SLIST_INSERT_HEAD(&pool->idle, exchange, links);
    pool->idle_count++;
}

static void count_response(struct stats *stats, enum counted_path path, int status) {
    INVARIANT(status >= 200 && status < 600);
    stats_count_response(stats, path, status);
    if (status >= 400)
        stats_count(stats, STAT_rejected_requests);
}

static void respond_without_memory(struct exchange_pool *pool, struct fastcgi_request *transport,
                                   enum counted_path path, bool head) {
    static const struct piece PIECES[] = {
        {{LAST_HEAD, sizeof(LAST_HEAD) - 1}, NULL},
        {{LAST_BODY, sizeof(LAST_BODY) - 1}, NULL},
    };

    count_response(pool->stats, path, 500);
    fastcgi_respond(transport, PIECES, head ? 1 : 2);
}

struct exchange *exchange_begin(struct exchange_pool *pool, struct fastcgi_request *transport) {
    struct exchange *exchange = take(pool);
    stats_count(pool->stats, STAT_requests);
    if (!exchange) {
        struct request request;
        request_read(&request, transport);
        respond_without_memory(pool, transport, PATH_other, request.method == METHOD_HEAD);
        return NULL;
    }
    request_read(&exchange->request, transport);
    exchange->head = exchange->request.method == METHOD_HEAD;
    exchange->state = NULL;
    exchange->abandoned = NULL;
    exchange->written = NULL;
    exchange->part = NULL;
    exchange->no_store = false;
    exchange->refused = 0;
    exchange->path = PATH_other;
    exchange->transport = transport;
    exchange->pool = pool;
    transport->user = exchange;
    pool->begun++;
    return exchange;
}

void exchange_abandon(struct exchange *exchange) {
    INVARIANT(exchange->transport != NULL);
    if (exchange->abandoned)
        exchange->abandoned(exchange);
    give_back(exchange);
}

void exchange_send(struct exchange *exchange) {
    const struct piece body = {.bytes = buffer_bytes(&exchange->response.body)};

    exchange_send_pieces(exchange, &body, 1);
}

/* Head and body in one array. False: no memory. */
static bool send_all(struct exchange *exchange, const struct piece *pieces, size_t n) {
    struct piece few[PIECES_ON_STACK];
    struct piece *all = n < PIECES_ON_STACK ? few : calloc(n + 1, sizeof(*all));
    if (!all)
        return false;
    all[0] = (struct piece){.bytes = buffer_bytes(&exchange->response.head)};
    if (n > 0)
        memcpy(all + 1, pieces, n * sizeof(*pieces));
    fastcgi_respond(exchange->transport, all, n + 1);
    if (all != few)
        free(all);
    return true;
}

/* Whether what would have to be held, if the client did not read, may be held. */
static bool has_room(struct exchange *exchange, const struct piece *pieces, size_t n) {
    uint64_t length = 0;
    for (size_t i = 0; i < n; i++)
        length += pieces[i].blob == NULL ? pieces[i].bytes.length : 0;
    return fastcgi_has_room(exchange->transport, length);
}

static void refuse(struct exchange *exchange) {
    struct response *response = &exchange->response;
    stats_count(exchange->pool->stats, STAT_refused_answers);
    problem_respond(response, PROBLEM_OVERLOADED, 0, "too much is waiting for clients to read it", NULL);
    response_header_number(response, "Retry-After", RETRY_AFTER_S);
    exchange_send(exchange);
}

void exchange_forget_body(struct exchange *exchange) {
    fastcgi_forget_body(exchange->transport);
    exchange->request.body = (struct bytes){NULL, 0};
    buffer_reset(&exchange->scratch, 0);
}

void exchange_send_pieces(struct exchange *exchange, const struct piece *pieces, size_t n) {
    struct response *response = &exchange->response;
    int status = response->status;
    bool bodiless = exchange->head || status == 204 || status == 304;
    uint64_t length = 0;
    INVARIANT(exchange->transport != NULL && status != 0);
    if (!bodiless && !has_room(exchange, pieces, n)) {
        refuse(exchange);
        return;
    }
    for (size_t i = 0; i < n; i++)
        length += pieces[i].bytes.length;
    if (exchange->no_store || status >= 400)
        response_header(response, "Cache-Control", LITERAL("no-store"));
    response_finish(response, length);
    if (response->head.failed || response->body.failed || !send_all(exchange, pieces, bodiless ? 0 : n))
        respond_without_memory(exchange->pool, exchange->transport, exchange->path, exchange->head);
    else
        count_response(exchange->pool->stats, exchange->path, status);
    give_back(exchange);
}

/* ---- in parts ---- */

/* The answer is over for its handler, whatever has become of it. */
static void end_early(struct exchange *exchange) {
    if (exchange->abandoned)
        exchange->abandoned(exchange);
    give_back(exchange);
}

bool exchange_stream(struct exchange *exchange) {
    struct response *response = &exchange->response;
    INVARIANT(exchange->transport != NULL && response->status != 0 && exchange->written != NULL);
    if (exchange->no_store)
        response_header(response, "Cache-Control", LITERAL("no-store"));
    APPEND_LITERAL(&response->head, "\r\n");
    if (response->head.failed) {
        respond_without_memory(exchange->pool, exchange->transport, exchange->path, exchange->head);
        end_early(exchange);
        return false;
    }
    count_response(exchange->pool->stats, exchange->path, response->status);
    if (exchange->head) {
        const struct piece head = {.bytes = buffer_bytes(&response->head)};
        fastcgi_respond(exchange->transport, &head, 1);
        end_early(exchange);
        return false;
    }
    return fastcgi_send_part(exchange->transport, buffer_bytes(&response->head));
}

bool exchange_send_part(struct exchange *exchange, struct bytes part) {
    return fastcgi_send_part(exchange->transport, part);
}

void exchange_end(struct exchange *exchange) {
    fastcgi_respond(exchange->transport, NULL, 0);
    give_back(exchange);
}

void exchange_read_on(struct exchange *exchange) {
    fastcgi_read_on(exchange->transport);
}

void exchange_written(struct exchange *exchange) {
    exchange->written(exchange);
}

void exchange_part(struct exchange *exchange, struct bytes part, bool last) {
    exchange->part(exchange, part, last);
}

void exchange_problem(struct exchange *exchange, enum problem problem, const char *detail,
                      const char *pointer) {
    problem_respond(&exchange->response, problem, 0, detail, pointer);
    exchange_send(exchange);
}
