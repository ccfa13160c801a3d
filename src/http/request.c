#include "inferonce/http/request.h"

#include <arpa/inet.h>

#include "inferonce/http/syntax.h"

static const struct bytes METHOD_NAMES[METHODS_COUNT] = {
#define METHODS_NAME(name) {#name, sizeof(#name) - 1},
    METHODS(METHODS_NAME)
#undef METHODS_NAME
};

/* Parameters that are needed only while a request is read. */
struct cgi {
    struct bytes method;
    struct bytes content_length;
    struct bytes document_uri;
    struct bytes script_name;
    struct bytes path_info;
    struct bytes request_uri;
    struct bytes cache_control;
    struct bytes pragma;
    struct cache_control pragmas; /* Pragma has the grammar of Cache-Control */
};

const char *method_name(enum method method) {
    return method < METHODS_COUNT ? METHOD_NAMES[method].data : "unknown";
}

static enum method method_of(struct bytes name) {
    for (size_t i = 0; i < METHODS_COUNT; i++) {
        if (bytes_equal(name, METHOD_NAMES[i]))
            return (enum method)i;
    }
    return METHOD_UNKNOWN;
}

/* Where the value of the parameter `name` goes; NULL for one that is of no interest. A web server sends about
 * thirty for a request and most are not, so the length decides first. */
static struct bytes *place_for(struct request *request, struct cgi *cgi, const char *name, size_t length) {
#define TAKE(literal, place)                                   \
    do {                                                       \
        if (memcmp(name, (literal), sizeof(literal) - 1) == 0) \
            return &(place);                                   \
    } while (0)

    switch (length) {
    case sizeof("PATH_INFO") - 1:
        TAKE("PATH_INFO", cgi->path_info);
        break;
    case sizeof("SCRIPT_NAME") - 1:
        TAKE("SCRIPT_NAME", cgi->script_name);
        TAKE("REQUEST_URI", cgi->request_uri);
        TAKE("REMOTE_ADDR", request->remote_addr);
        TAKE("HTTP_ACCEPT", request->accept);
        TAKE("HTTP_PRAGMA", cgi->pragma);
        break;
    case sizeof("DOCUMENT_URI") - 1:
        TAKE("DOCUMENT_URI", cgi->document_uri);
        TAKE("QUERY_STRING", request->query);
        TAKE("CONTENT_TYPE", request->content_type);
        break;
    case sizeof("REQUEST_METHOD") - 1:
        TAKE("REQUEST_METHOD", cgi->method);
        TAKE("CONTENT_LENGTH", cgi->content_length);
        break;
    case sizeof("HTTP_TRACESTATE") - 1:
        TAKE("HTTP_TRACESTATE", request->tracestate);
        break;
    case sizeof("HTTP_TRACEPARENT") - 1:
        TAKE("HTTP_TRACEPARENT", request->traceparent);
        TAKE("HTTP_X_CACHE_TTL", request->cache_ttl);
        break;
    case sizeof("HTTP_CACHE_CONTROL") - 1:
        TAKE("HTTP_CACHE_CONTROL", cgi->cache_control);
        TAKE("HTTP_AUTHORIZATION", request->authorization);
        TAKE("HTTP_IF_NONE_MATCH", request->if_none_match);
        break;
    case sizeof("HTTP_CONTENT_ENCODING") - 1:
        TAKE("HTTP_CONTENT_ENCODING", request->content_encoding);
        break;
    case sizeof("HTTP_X_CACHE_NAMESPACE") - 1:
        TAKE("HTTP_X_CACHE_NAMESPACE", request->cache_namespace);
        break;
    default:
        break;
    }
    return NULL;
#undef TAKE
}

static void read_parameter(struct request *request, struct cgi *cgi, const char *parameter) {
    const char *equals = strchr(parameter, '=');
    if (equals == NULL)
        return;
    struct bytes *place = place_for(request, cgi, parameter, (size_t)(equals - parameter));
    if (place == NULL)
        return;
    struct bytes value = bytes_of(equals + 1);
    if (place == &cgi->cache_control)
        cache_control_parse(&request->cache_control, value);
    else if (place == &cgi->pragma)
        cache_control_parse(&cgi->pragmas, value);
    else if (place->data == NULL)
        *place = value;
    else if (place == &request->cache_ttl || place == &request->cache_namespace)
        *place = (struct bytes){",", 1};
}

/* nginx gives DOCUMENT_URI. lighttpd may cut the path in two anywhere; when it did, the two parts are not
 * adjacent in memory, and the request line has them in one piece. */
static struct bytes path_of(const struct cgi *cgi) {
    if (cgi->document_uri.length > 0)
        return cgi->document_uri;
    if (cgi->path_info.length == 0 && cgi->script_name.length > 0)
        return cgi->script_name;
    if (cgi->script_name.length == 0 && cgi->path_info.length > 0)
        return cgi->path_info;

    struct bytes path = cgi->request_uri;
    const char *query = path.length > 0 ? memchr(path.data, '?', path.length) : NULL;
    if (query != NULL)
        path.length = (size_t)(query - path.data);
    return path;
}

/* nginx sends an empty CONTENT_LENGTH when there was none. */
static bool is_truncated(struct bytes content_length, struct bytes body) {
    uint64_t announced;

    if (content_length.length == 0)
        return false;
    return !bytes_to_number(content_length, &announced) || announced != body.length;
}

void request_read(struct request *request, char *const *params, struct bytes body, bool body_too_large) {
    struct cgi cgi = {.method = {NULL, 0}};

    *request = (struct request){.body = body, .body_too_large = body_too_large};
    cache_control_init(&request->cache_control);
    cache_control_init(&cgi.pragmas);
    for (; *params != NULL; params++)
        read_parameter(request, &cgi, *params);
    request->method = method_of(cgi.method);
    request->path = path_of(&cgi);
    request->body_truncated = !body_too_large && is_truncated(cgi.content_length, body);
    cache_control_apply_pragma(&request->cache_control, &cgi.pragmas);
}

static bool is_json_type(struct bytes type, struct bytes subtype) {
    static const struct bytes SUFFIX = {"+json", 5};

    if (bytes_equal_ignoring_case(type, bytes_of("application")) &&
        bytes_equal_ignoring_case(subtype, bytes_of("json")))
        return true;
    if (type.length == 0 || subtype.length <= SUFFIX.length)
        return false;
    struct bytes end = {subtype.data + subtype.length - SUFFIX.length, SUFFIX.length};
    return bytes_equal_ignoring_case(end, SUFFIX);
}

/* Whether the next parameter, behind its semicolon, is well formed and no foreign charset. Parameters may be
 * empty (RFC 9110 section 5.6.6). */
static bool take_media_parameter(struct bytes *rest) {
    struct syntax_value value;

    syntax_skip_space(rest);
    struct bytes name = syntax_take_token(rest);
    if (name.length > 0) {
        if (!syntax_take_char(rest, '=') || !syntax_take_value(rest, &value))
            return false;
        if (bytes_equal_ignoring_case(name, bytes_of("charset")) && !syntax_value_is(value, "utf-8"))
            return false;
    }
    syntax_skip_space(rest);
    return true;
}

bool request_content_type_is_json(struct bytes content_type) {
    /* Nearly all there are. */
    if (bytes_equal(content_type, bytes_of("application/json")))
        return true;

    struct bytes rest = bytes_trim(content_type);
    struct bytes type = syntax_take_token(&rest);

    if (!syntax_take_char(&rest, '/'))
        return false;
    struct bytes subtype = syntax_take_token(&rest);
    if (!is_json_type(type, subtype))
        return false;
    syntax_skip_space(&rest);
    while (rest.length > 0) {
        if (!syntax_take_char(&rest, ';') || !take_media_parameter(&rest))
            return false;
    }
    return true;
}

/* Takes an entity tag's opaque part, with its quotes. A backslash is a character like any other in it (RFC
 * 9110 section 8.8.3). */
static bool take_entity_tag(struct bytes *rest, struct bytes *tag) {
    if (rest->length >= 2 && rest->data[0] == 'W' && rest->data[1] == '/')
        *rest = (struct bytes){rest->data + 2, rest->length - 2};
    if (rest->length < 2 || rest->data[0] != '"')
        return false;
    const char *close = memchr(rest->data + 1, '"', rest->length - 1);
    if (close == NULL)
        return false;
    *tag = (struct bytes){rest->data, (size_t)(close - rest->data) + 1};
    *rest = (struct bytes){close + 1, rest->length - tag->length};
    return true;
}

bool request_none_match(struct bytes if_none_match, struct bytes etag) {
    struct bytes rest = bytes_trim(if_none_match);
    struct bytes tag;

    if (bytes_equal(rest, bytes_of("*")))
        return true;
    /* Weak comparison: whether a tag is weak, ours or theirs, plays no part. */
    if (etag.length > 2 && memcmp(etag.data, "W/", 2) == 0)
        etag = (struct bytes){etag.data + 2, etag.length - 2};
    while (rest.length > 0) {
        syntax_skip_space(&rest);
        if (syntax_take_char(&rest, ','))
            continue;
        if (!take_entity_tag(&rest, &tag))
            return false;
        if (bytes_equal(tag, etag))
            return true;
        syntax_skip_space(&rest);
        if (rest.length > 0 && rest.data[0] != ',')
            return false;
    }
    return false;
}

bool request_is_loopback(struct bytes address) {
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;
    struct in6_addr v6;

    if (address.length == 0 || address.length >= sizeof(text))
        return false;
    memcpy(text, address.data, address.length);
    text[address.length] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1)
        return (ntohl(v4.s_addr) >> 24) == IN_LOOPBACKNET;
    if (inet_pton(AF_INET6, text, &v6) != 1)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(&v6))
        return v6.s6_addr[12] == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&v6);
}
