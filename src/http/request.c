/* Reads a request out of FastCGI parameters. */
#include "inferonce/http/request.h"

#include <arpa/inet.h>
#include <openssl/crypto.h>
#include <stdio.h>

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

/* ---- what becomes of a parameter's value ---- */

/* The first of two fields of one name counts. */
static void take_first(struct bytes *place, struct bytes value) {
    if (!place->data)
        *place = value;
}

/* Given twice, it becomes a value that no such field may have. */
static void take_only(struct bytes *place, struct bytes value) {
    *place = place->data == NULL ? value : (struct bytes){",", 1};
}

static void take_line(struct field_lines *field, struct bytes value) {
    if (field->n < FIELD_LINES_MAX)
        field->lines[field->n++] = value;
}

/* One client has a whole /64, and as many addresses of it as it likes (RFC 4291 section 2.5.1). */
#define CLIENT_IPV6_BYTES 8

/* A list of codings (RFC 9110 section 8.4); "identity" should not stand in it, but says that nothing was
 * done. */
static void take_encoding(bool *encoded, struct bytes value) {
    while (value.length > 0) {
        syntax_skip_space(&value);
        struct bytes coding = syntax_take_token(&value);
        syntax_skip_space(&value);
        bool is_none = coding.length == 0 || bytes_equal_ignoring_case(coding, bytes_of("identity"));
        if (!is_none || (value.length > 0 && !syntax_take_char(&value, ','))) {
            *encoded = true;
            return;
        }
    }
}

/* ---- which parameter it is ---- */

/* A web server sends about thirty for a request and most are of no interest, so the length of the name
 * decides first. */
static void take_parameter(struct request *request, struct cgi *cgi, const char *name, size_t length,
                           struct bytes value) {
#define TAKE(literal, take)                                      \
    do {                                                         \
        if (memcmp(name, (literal), sizeof(literal) - 1) == 0) { \
            take;                                                \
            return;                                              \
        }                                                        \
    } while (0)

    switch (length) {
    case sizeof("HTTP_VIA") - 1:
        TAKE("HTTP_VIA", request->forwarded = true);
        break;
    case sizeof("PATH_INFO") - 1:
        TAKE("PATH_INFO", take_first(&cgi->path_info, value));
        TAKE("HTTP_HOST", take_only(&request->host, value));
        break;
    case sizeof("SCRIPT_NAME") - 1:
        TAKE("SCRIPT_NAME", take_first(&cgi->script_name, value));
        TAKE("REQUEST_URI", take_first(&cgi->request_uri, value));
        TAKE("REMOTE_ADDR", take_first(&request->remote_addr, value));
        TAKE("HTTP_ACCEPT", take_line(&request->accept, value));
        TAKE("HTTP_PRAGMA", cache_control_parse(&cgi->pragmas, value));
        break;
    case sizeof("DOCUMENT_URI") - 1:
        TAKE("DOCUMENT_URI", take_first(&cgi->document_uri, value));
        TAKE("QUERY_STRING", take_first(&request->query, value));
        TAKE("CONTENT_TYPE", take_first(&request->content_type, value));
        break;
    case sizeof("REQUEST_METHOD") - 1:
        TAKE("REQUEST_METHOD", take_first(&cgi->method, value));
        TAKE("CONTENT_LENGTH", take_first(&cgi->content_length, value));
        TAKE("HTTP_FORWARDED", request->forwarded = true);
        TAKE("HTTP_X_REAL_IP", request->forwarded = true);
        break;
    case sizeof("HTTP_TRACESTATE") - 1:
        TAKE("HTTP_TRACESTATE", take_first(&request->tracestate, value));
        break;
    case sizeof("HTTP_TRACEPARENT") - 1:
        TAKE("HTTP_TRACEPARENT", take_first(&request->traceparent, value));
        TAKE("HTTP_X_CACHE_TTL", take_only(&request->cache_ttl, value));
        break;
    case sizeof("HTTP_CACHE_CONTROL") - 1:
        TAKE("HTTP_CACHE_CONTROL", cache_control_parse(&request->cache_control, value));
        TAKE("HTTP_AUTHORIZATION", take_first(&request->authorization, value));
        TAKE("HTTP_IF_NONE_MATCH", take_line(&request->if_none_match, value));
        break;
    case sizeof("HTTP_X_FORWARDED_FOR") - 1:
        TAKE("HTTP_X_FORWARDED_FOR", request->forwarded = true);
        break;
    case sizeof("HTTP_CONTENT_ENCODING") - 1:
        TAKE("HTTP_CONTENT_ENCODING", take_encoding(&request->body_encoded, value));
        break;
    case sizeof("HTTP_X_CACHE_NAMESPACE") - 1:
        TAKE("HTTP_X_CACHE_NAMESPACE", take_only(&request->cache_namespace, value));
        break;
    default:
        break;
    }
#undef TAKE
}

static void read_parameter(struct request *request, struct cgi *cgi, const char *parameter) {
    const char *equals = strchr(parameter, '=');
    if (equals)
        take_parameter(request, cgi, parameter, (size_t)(equals - parameter), bytes_of(equals + 1));
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
    if (query)
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

void request_read(struct request *request, const struct fastcgi_request *transport) {
    struct cgi cgi = {.method = {NULL, 0}};

    *request = (struct request){.body = transport->body,
                                .body_goes_on = transport->body_goes_on,
                                .body_too_large = transport->body_too_large,
                                .fields_too_large = transport->params_too_large};
    cache_control_init(&request->cache_control);
    cache_control_init(&cgi.pragmas);
    for (char *const *params = transport->params; *params != NULL; params++)
        read_parameter(request, &cgi, *params);
    request->method = method_of(cgi.method);
    request->path = path_of(&cgi);
    request->body_truncated =
        !request->body_too_large && !request->body_goes_on && is_truncated(cgi.content_length, request->body);
    cache_control_apply_pragma(&request->cache_control, &cgi.pragmas);
}

static bool is_json_type(struct bytes type, struct bytes subtype) {
    static const struct bytes SUFFIX = {"+json", 5};

    if (bytes_equal_ignoring_case(subtype, bytes_of("json")) &&
        (bytes_equal_ignoring_case(type, bytes_of("application")) ||
         bytes_equal_ignoring_case(type, bytes_of("text"))))
        return true;
    if (type.length == 0 || subtype.length <= SUFFIX.length)
        return false;
    struct bytes end = {subtype.data + subtype.length - SUFFIX.length, SUFFIX.length};
    return bytes_equal_ignoring_case(end, SUFFIX);
}

static bool is_json_lines_type(struct bytes type, struct bytes subtype) {
    static const char *const SUBTYPES[] = {"x-ndjson", "jsonl", "x-jsonlines"};
    bool known = false;
    for (size_t i = 0; i < sizeof(SUBTYPES) / sizeof(SUBTYPES[0]); i++)
        known = known || bytes_equal_ignoring_case(subtype, bytes_of(SUBTYPES[i]));
    return known && bytes_equal_ignoring_case(type, bytes_of("application"));
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
        if (bytes_equal_ignoring_case(name, bytes_of("charset")) && !syntax_value_is(value, "utf-8") &&
            !syntax_value_is(value, "utf8"))
            return false;
    }
    syntax_skip_space(rest);
    return true;
}

static bool content_type_is(bool (*is_it)(struct bytes type, struct bytes subtype),
                            struct bytes content_type) {
    struct bytes rest = bytes_trim(content_type);
    struct bytes type = syntax_take_token(&rest);

    if (!syntax_take_char(&rest, '/'))
        return false;
    struct bytes subtype = syntax_take_token(&rest);
    if (!is_it(type, subtype))
        return false;
    syntax_skip_space(&rest);
    while (rest.length > 0) {
        if (!syntax_take_char(&rest, ';') || !take_media_parameter(&rest))
            return false;
    }
    return true;
}

bool request_content_type_is_json(struct bytes content_type) {
    /* Nearly all there are. */
    return bytes_equal(content_type, bytes_of("application/json")) ||
           content_type_is(is_json_type, content_type);
}

bool request_content_type_is_json_lines(struct bytes content_type) {
    return content_type_is(is_json_lines_type, content_type);
}

/* Takes an entity tag's opaque part, with its quotes. A backslash is a character like any other in it (RFC
 * 9110 section 8.8.3). */
static bool take_entity_tag(struct bytes *rest, struct bytes *tag) {
    if (rest->length >= 2 && rest->data[0] == 'W' && rest->data[1] == '/')
        *rest = (struct bytes){rest->data + 2, rest->length - 2};
    if (rest->length < 2 || rest->data[0] != '"')
        return false;
    const char *close = memchr(rest->data + 1, '"', rest->length - 1);
    if (!close)
        return false;
    *tag = (struct bytes){rest->data, (size_t)(close - rest->data) + 1};
    *rest = (struct bytes){close + 1, rest->length - tag->length};
    return true;
}

/* `etag` is without a W/. */
static bool line_matches(struct bytes line, struct bytes etag) {
    struct bytes rest = bytes_trim(line);
    struct bytes tag;
    if (bytes_equal(rest, bytes_of("*")))
        return true;
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

bool request_none_match(const struct field_lines *if_none_match, struct bytes etag) {
    /* Weak comparison: whether a tag is weak, ours or theirs, plays no part. */
    if (etag.length > 2 && memcmp(etag.data, "W/", 2) == 0)
        etag = (struct bytes){etag.data + 2, etag.length - 2};
    for (size_t i = 0; i < if_none_match->n; i++)
        if (line_matches(if_none_match->lines[i], etag))
            return true;
    return false;
}

bool request_bears_token(struct bytes authorization, struct bytes token) {
    struct bytes given = bytes_trim(authorization);
    struct bytes scheme = syntax_take_token(&given);
    if (!bytes_equal_ignoring_case(scheme, bytes_of("Bearer")) || !syntax_take_char(&given, ' '))
        return false;
    given = bytes_trim(given);
    return given.length == token.length && CRYPTO_memcmp(given.data, token.data, token.length) == 0;
}

void request_remote(const struct request *request, char text[REQUEST_REMOTE_MAX]) {
    struct bytes address = request->remote_addr;
    int length = address.length < REQUEST_REMOTE_MAX ? (int)address.length : REQUEST_REMOTE_MAX - 1;
    snprintf(text, REQUEST_REMOTE_MAX, "%.*s", length, address.data ? address.data : "");
}

/* An IPv4 address as an IPv4-mapped one. False: it is no address. */
static bool read_address(struct bytes address, struct in6_addr *v6) {
    char text[INET6_ADDRSTRLEN];
    struct in_addr v4;
    if (address.length == 0 || address.length >= sizeof(text))
        return false;
    memcpy(text, address.data, address.length);
    text[address.length] = '\0';
    if (inet_pton(AF_INET, text, &v4) != 1)
        return inet_pton(AF_INET6, text, v6) == 1;
    memset(v6, 0, sizeof(*v6));
    memset(v6->s6_addr + 10, 0xff, 2);
    memcpy(v6->s6_addr + 12, &v4, sizeof(v4));
    return true;
}

uint64_t request_client(struct bytes address) {
    struct in6_addr v6;
    if (!read_address(address, &v6))
        return 0;
    size_t length = IN6_IS_ADDR_V4MAPPED(&v6) ? sizeof(v6.s6_addr) : CLIENT_IPV6_BYTES;
    return bytes_hash((struct bytes){(const char *)v6.s6_addr, length});
}

bool request_is_loopback(struct bytes address) {
    struct in6_addr v6;
    if (!read_address(address, &v6))
        return false;
    if (IN6_IS_ADDR_V4MAPPED(&v6))
        return v6.s6_addr[12] == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&v6);
}

/* Without the port behind it, if there is one. */
static struct bytes without_port(struct bytes host) {
    size_t name = host.length;
    while (name > 0 && host.data[name - 1] >= '0' && host.data[name - 1] <= '9')
        name--;
    if (name > 0 && host.data[name - 1] == ':')
        host.length = name - 1;
    return host;
}

static bool ends_with_localhost(struct bytes name) {
    static const struct bytes LOCALHOST = {"localhost", 9};

    if (name.length < LOCALHOST.length)
        return false;
    size_t before = name.length - LOCALHOST.length;
    struct bytes end = {name.data + before, LOCALHOST.length};
    return bytes_equal_ignoring_case(end, LOCALHOST) && (before == 0 || name.data[before - 1] == '.');
}

bool request_host_is_loopback(struct bytes host) {
    struct bytes name = without_port(bytes_trim(host));
    if (name.length == 0)
        return false;
    if (name.data[0] == '[' && name.data[name.length - 1] == ']')
        return request_is_loopback((struct bytes){name.data + 1, name.length - 2});
    return ends_with_localhost(name) ||
           (memchr(name.data, ':', name.length) == NULL && request_is_loopback(name));
}
