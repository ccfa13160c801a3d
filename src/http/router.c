/* Finds the handler of a request, and answers for those that have none. */
#include "inferonce/http/router.h"

#include "inferonce/base/log.h"
#include "inferonce/http/accept.h"

/* The rows of the table for one path. */
struct match {
    const struct route *route; /* NULL: not with this method */
    struct bytes parameter;
    unsigned methods; /* a bit a method that the path has; 0: there is no such path */
    enum counted_path counted_as;
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
    if (!brace)
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
    struct match match = {.counted_as = PATH_other};

    for (size_t i = 0; i < router->n && match.route == NULL; i++) {
        const struct route *route = &router->routes[i];
        if (!matches(route->path, path, &match.parameter))
            continue;
        match.methods |= bit(route->method);
        match.counted_as = route->counted_as;
        if (route->method == method)
            match.route = route;
    }
    return match;
}

static struct match find(const struct router *router, const struct request *request) {
    enum method method = request->method == METHOD_HEAD ? METHOD_GET : request->method;
    struct match match = {.counted_as = PATH_other};

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

/* Why this client is no administrator; NULL: it is one. Without a token the address has to do. It says
 * nothing where a proxy on this machine asks for everybody, nor where a browser on it was made to ask by a
 * foreign page, whose host name then leads here (DNS rebinding). */
static const char *why_refused(const struct router *router, const struct request *request) {
    if (router->admin_token.length > 0)
        return request_bears_token(request->authorization, router->admin_token)
                   ? NULL
                   : "Send Authorization: Bearer with the ADMIN_TOKEN";
    if (!request_is_loopback(request->remote_addr))
        return "The client is on another machine: set ADMIN_TOKEN, and send it as a bearer token";
    if (request->forwarded)
        return "A proxy forwarded the request, so that its client is not known: set ADMIN_TOKEN, and send it "
               "as "
               "a bearer token";
    if (!request_host_is_loopback(request->host))
        return "The field Host is no loopback name (localhost, 127.0.0.1, [::1]): ask by one, or set "
               "ADMIN_TOKEN "
               "and send it as a bearer token";
    return NULL;
}

static bool would_rather_have_html(const struct request *request) {
    static const struct media_type HTML = {"text", "html", NULL};
    static const struct media_type A_PROBLEM = {"application", "problem+json", NULL};

    return accept_quality(&request->accept, &HTML) > accept_quality(&request->accept, &A_PROBLEM);
}

/* A browser that shows the page asks without a token at first. */
static void log_refusal(const struct route *route, const struct request *request, const char *reason) {
    enum log_level level = request->authorization.length > 0 ? LOG_WARN : LOG_INFO;
    char remote[REQUEST_REMOTE_MAX];
    request_remote(request, remote);
    LOG(level, "admin_refused", LOG_TEXT("remote", remote), LOG_TEXT("method", method_name(route->method)),
        LOG_TEXT("path", route->path), LOG_TEXT("reason", reason));
}

static void refuse_admin(const struct router *router, const struct route *route, struct exchange *exchange,
                         const char *reason) {
    enum problem problem = router->admin_token.length == 0 ? PROBLEM_FORBIDDEN : PROBLEM_UNAUTHORIZED;
    log_refusal(route, &exchange->request, reason);
    if ((route->flags & ROUTE_PAGE) && would_rather_have_html(&exchange->request)) {
        exchange->refused = problem_status(problem);
        route->handle(exchange, (struct bytes){NULL, 0}, router->context);
        return;
    }
    problem_respond(&exchange->response, problem, 0, reason, NULL);
    if (problem == PROBLEM_UNAUTHORIZED)
        response_header_text(&exchange->response, "WWW-Authenticate", ROUTER_CHALLENGE);
    exchange_send(exchange);
}

/* Tells the media type that it should have been (RFC 9110 section 15.5.16; Accept-Query: RFC 10008), or that
 * no coding is taken. */
static void refuse_type(const struct route *route, struct exchange *exchange, enum problem problem) {
    struct response *response = &exchange->response;
    bool lines = route->flags & ROUTE_LINES;
    problem_respond(response, problem, 0, NULL, NULL);
    response_header_text(response, "Accept", lines ? "application/x-ndjson" : "application/json");
    if (!lines)
        response_header_text(response, "Accept-Query", "application/json");
    if (problem == PROBLEM_UNSUPPORTED_ENCODING)
        response_header_text(response, "Accept-Encoding", "identity");
    exchange_send(exchange);
}

static bool has_type(const struct route *route, const struct request *request) {
    return route->flags & ROUTE_LINES ? request_content_type_is_json_lines(request->content_type)
                                      : request_content_type_is_json(request->content_type);
}

/* False: the exchange was answered. */
static bool admit_body(const struct route *route, struct exchange *exchange) {
    const struct request *request = &exchange->request;
    if (request->body_too_large)
        exchange_problem(exchange, PROBLEM_TOO_LARGE, NULL, NULL);
    else if (request->body_encoded)
        refuse_type(route, exchange, PROBLEM_UNSUPPORTED_ENCODING);
    else if (!has_type(route, request))
        refuse_type(route, exchange,
                    route->flags & ROUTE_LINES ? PROBLEM_NOT_JSON_LINES : PROBLEM_UNSUPPORTED_TYPE);
    else if (request->body_truncated)
        exchange_problem(exchange, PROBLEM_BAD_REQUEST, "the body's length is not its Content-Length", NULL);
    else
        return true;
    return false;
}

static void hand_over(const struct router *router, const struct match *match, struct exchange *exchange) {
    const struct route *route = match->route;
    if (route->flags & ROUTE_ADMIN) {
        const char *reason = why_refused(router, &exchange->request);
        exchange->no_store = true;
        if (reason) {
            refuse_admin(router, route, exchange, reason);
            return;
        }
    }
    if (!(route->flags & (ROUTE_JSON | ROUTE_LINES)) || admit_body(route, exchange))
        route->handle(exchange, match->parameter, router->context);
}

bool router_takes_parts(const struct router *router, const struct request *request) {
    const struct route *route = find(router, request).route;
    return route && route->flags & ROUTE_LINES && !request->fields_too_large && !request->body_encoded &&
           has_type(route, request) && !(route->flags & ROUTE_ADMIN && why_refused(router, request));
}

void router_dispatch(const struct router *router, struct exchange *exchange) {
    enum method method = exchange->request.method;
    struct match match = find(router, &exchange->request);
    exchange->path = match.counted_as;
    if (exchange->request.fields_too_large)
        exchange_problem(exchange, PROBLEM_FIELDS_TOO_LARGE, NULL, NULL);
    else if (match.methods == 0)
        exchange_problem(exchange, PROBLEM_NOT_FOUND, NULL, NULL);
    else if (method == METHOD_UNKNOWN)
        exchange_problem(exchange, PROBLEM_METHOD_UNKNOWN, NULL, NULL);
    else if (method == METHOD_OPTIONS)
        answer_options(exchange, match.methods);
    else if (!match.route)
        refuse_method(exchange, match.methods);
    else
        hand_over(router, &match, exchange);
}
