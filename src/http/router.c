#include "inferonce/http/router.h"

#include <openssl/crypto.h>

#include "inferonce/http/accept.h"
#include "inferonce/http/syntax.h"

/* What the table has for a path. */
struct match {
    const struct route *route; /* NULL: not with this method */
    struct bytes parameter;
    unsigned methods; /* a bit a method that the path has; 0: there is no such path */
};

static unsigned bit(enum method method) {
    return 1u << method;
}

typedef bool (*matcher)(const char *pattern, struct bytes path, struct bytes *parameter);

static bool matches_exactly(const char *pattern, struct bytes path, struct bytes *parameter) {
    (void)parameter;
    return strncmp(pattern, path.data, path.length) == 0 && pattern[path.length] == '\0';
}

static bool matches_with_parameter(const char *pattern, struct bytes path, struct bytes *parameter) {
    const char *brace = strchr(pattern, '{');
    if (brace == NULL)
        return false;
    size_t prefix = (size_t)(brace - pattern);
    if (path.length <= prefix || memcmp(pattern, path.data, prefix) != 0)
        return false;
    struct bytes segment = {path.data + prefix, path.length - prefix};
    if (memchr(segment.data, '/', segment.length) != NULL)
        return false;
    *parameter = segment;
    return true;
}

static struct match find_by(matcher matches, const struct router *router, struct bytes path,
                            enum method method) {
    struct match match = {NULL, {NULL, 0}, 0};

    for (size_t i = 0; i < router->n && match.route == NULL; i++) {
        const struct route *route = &router->routes[i];
        if (!matches(route->path, path, &match.parameter))
            continue;
        match.methods |= bit(route->method);
        if (route->method == method)
            match.route = route;
    }
    return match;
}

static struct match find(const struct router *router, const struct request *request) {
    enum method method = request->method == METHOD_HEAD ? METHOD_GET : request->method;
    struct match match = {NULL, {NULL, 0}, 0};

    if (request->path.length == 0)
        return match;
    match = find_by(matches_exactly, router, request->path, method);
    if (match.methods == 0)
        match = find_by(matches_with_parameter, router, request->path, method);
    return match;
}

/* The methods of the table, HEAD where there is GET, and OPTIONS. */
static void add_allow(struct response *response, unsigned methods) {
#define METHODS_ROOM(name) +sizeof(", " #name)
    char text[0 METHODS(METHODS_ROOM)];
#undef METHODS_ROOM
    size_t length = 0;

    methods |= bit(METHOD_OPTIONS);
    if (methods & bit(METHOD_GET))
        methods |= bit(METHOD_HEAD);
    for (unsigned i = 0; i < METHODS_COUNT; i++) {
        if (!(methods & bit((enum method)i)))
            continue;
        struct bytes name = bytes_of(method_name((enum method)i));
        if (length > 0) {
            memcpy(text + length, ", ", 2);
            length += 2;
        }
        memcpy(text + length, name.data, name.length);
        length += name.length;
    }
    response_header(response, "Allow", (struct bytes){text, length});
}

static void answer_options(struct exchange *exchange, unsigned methods) {
    response_start(&exchange->response, 204, NULL);
    add_allow(&exchange->response, methods);
    exchange_send(exchange);
}

static void refuse_method(struct exchange *exchange, unsigned methods) {
    problem_respond(&exchange->response, PROBLEM_METHOD_NOT_ALLOWED, 0, "the Allow field lists the methods",
                    NULL);
    add_allow(&exchange->response, methods);
    exchange_send(exchange);
}

/* RFC 6750 section 2.1; the scheme in any case (RFC 9110 section 11.1). How long the comparison takes tells
 * whether the length is right, not where the token differs. */
static bool has_token(struct bytes authorization, struct bytes token) {
    struct bytes given = bytes_trim(authorization);
    struct bytes scheme = syntax_take_token(&given);

    if (!bytes_equal_ignoring_case(scheme, bytes_of("Bearer")) || !syntax_take_char(&given, ' '))
        return false;
    given = bytes_trim(given);
    return given.length == token.length && CRYPTO_memcmp(given.data, token.data, token.length) == 0;
}

static bool is_admin(const struct router *router, const struct request *request) {
    if (router->admin_token.length == 0)
        return request_is_loopback(request->remote_addr);
    return has_token(request->authorization, router->admin_token);
}

static bool would_rather_have_html(const struct request *request) {
    static const struct media_type HTML = {"text", "html", NULL};
    static const struct media_type A_PROBLEM = {"application", "problem+json", NULL};

    return accept_quality(request->accept, &HTML) > accept_quality(request->accept, &A_PROBLEM);
}

static void refuse_admin(const struct router *router, const struct route *route, struct exchange *exchange) {
    enum problem problem = router->admin_token.length == 0 ? PROBLEM_FORBIDDEN : PROBLEM_UNAUTHORIZED;

    if ((route->flags & ROUTE_PAGE) && would_rather_have_html(&exchange->request)) {
        exchange->refused = problem_status(problem);
        route->handle(exchange, (struct bytes){NULL, 0}, router->context);
    } else if (problem == PROBLEM_FORBIDDEN) {
        exchange_problem(exchange, problem, "no ADMIN_TOKEN is set", NULL);
    } else {
        problem_respond(&exchange->response, problem, 0, "send Authorization: Bearer ADMIN_TOKEN", NULL);
        response_header_text(&exchange->response, "WWW-Authenticate", ROUTER_CHALLENGE);
        exchange_send(exchange);
    }
}

/* Which media type it should have been (RFC 9110 section 15.5.16; Accept-Query: RFC 10008), or that no coding
 * is taken. */
static void refuse_type(struct exchange *exchange, enum problem problem) {
    struct response *response = &exchange->response;

    problem_respond(response, problem, 0, NULL, NULL);
    response_header_text(response, "Accept", "application/json");
    response_header_text(response, "Accept-Query", "application/json");
    if (problem == PROBLEM_UNSUPPORTED_ENCODING)
        response_header_text(response, "Accept-Encoding", "identity");
    exchange_send(exchange);
}

/* False: the exchange was answered. */
static bool admit_json(struct exchange *exchange) {
    const struct request *request = &exchange->request;

    if (request->body_too_large)
        exchange_problem(exchange, PROBLEM_TOO_LARGE, NULL, NULL);
    else if (request->content_encoding.length > 0)
        refuse_type(exchange, PROBLEM_UNSUPPORTED_ENCODING);
    else if (!request_content_type_is_json(request->content_type))
        refuse_type(exchange, PROBLEM_UNSUPPORTED_TYPE);
    else if (request->body_truncated)
        exchange_problem(exchange, PROBLEM_BAD_REQUEST, "the body's length is not its Content-Length", NULL);
    else
        return true;
    return false;
}

void router_dispatch(const struct router *router, struct exchange *exchange) {
    enum method method = exchange->request.method;
    struct match match = find(router, &exchange->request);

    if (match.methods == 0) {
        exchange_problem(exchange, PROBLEM_NOT_FOUND, NULL, NULL);
    } else if (method == METHOD_UNKNOWN) {
        exchange_problem(exchange, PROBLEM_METHOD_UNKNOWN, NULL, NULL);
    } else if (method == METHOD_OPTIONS) {
        answer_options(exchange, match.methods);
    } else if (match.route == NULL) {
        refuse_method(exchange, match.methods);
    } else {
        const struct route *route = match.route;
        if ((route->flags & ROUTE_ADMIN) && !is_admin(router, &exchange->request)) {
            refuse_admin(router, route, exchange);
            return;
        }
        if ((route->flags & ROUTE_JSON) && !admit_json(exchange))
            return;
        route->handle(exchange, match.parameter, router->context);
    }
}
