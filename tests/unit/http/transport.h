/* A stand-in for the FastCGI server: what is answered is kept here. It defines fastcgi_respond, so the linker
 * does not look for it in the archive. */
#ifndef INFERONCE_TESTS_HTTP_TRANSPORT_H
#define INFERONCE_TESTS_HTTP_TRANSPORT_H

#include <stdio.h>
#include <stdlib.h>

#include "inferonce/http/exchange.h"
#include "unit.h"

static struct {
    unsigned answers;
    struct fastcgi_request *request; /* the last one answered */
    char *head;                      /* with the blank line */
    char *body;
    size_t body_length;
    size_t parts;
} answered;

/* The parts of an answer that was streamed, and what the other side does. */
static struct {
    char bytes[4096];
    size_t length;
    unsigned parts;
    unsigned reads_on;
    bool gone;
} streamed;

bool fastcgi_send_part(struct fastcgi_request *request, struct bytes part) {
    if (streamed.gone) {
        exchange_abandon(request->user);
        return false;
    }
    CU_ASSERT_FATAL(part.length <= sizeof(streamed.bytes) - streamed.length);
    memcpy(streamed.bytes + streamed.length, part.data, part.length);
    streamed.length += part.length;
    streamed.parts++;
    return true;
}

void fastcgi_read_on(struct fastcgi_request *request) {
    (void)request;
    streamed.reads_on++;
}

/* How many bytes of an answer may be held. Once one was refused, the answer that says so may. */
static uint64_t transport_room = UINT64_MAX;

static void transport_forget(void) {
    free(answered.head);
    free(answered.body);
    memset(&answered, 0, sizeof(answered));
    memset(&streamed, 0, sizeof(streamed));
}

void fastcgi_respond(struct fastcgi_request *request, const struct piece *pieces, size_t n) {
    unit_allocations_heal(); /* what fails shall be what is tested */
    unsigned answers = answered.answers + 1;
    char *all = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&all, &length);

    for (size_t i = 0; i < n; i++)
        fwrite(pieces[i].bytes.data, 1, pieces[i].bytes.length, stream);
    fclose(stream);
    free(answered.head);
    free(answered.body);
    const char *blank = strstr(all, "\r\n\r\n");
    size_t head_length = blank != NULL ? (size_t)(blank - all) + 4 : length;
    answered.head = strndup(all, head_length);
    answered.body_length = length - head_length;
    answered.body = strndup(all + head_length, answered.body_length);
    answered.answers = answers;
    answered.request = request;
    answered.parts = n;
    free(all);
}

bool fastcgi_has_room(struct fastcgi_request *request, uint64_t length) {
    (void)request;
    bool room = length <= transport_room;
    transport_room = room ? transport_room : UINT64_MAX;
    return room;
}

void fastcgi_forget_body(struct fastcgi_request *request) {
    request->body = (struct bytes){NULL, 0};
}

/* The value of the first field `name`, or "" when there is none; valid until the next call. */
static const char *transport_header(const char *name) {
    static char value[256];
    char line[64];

    snprintf(line, sizeof(line), "\r\n%s: ", name);
    const char *at = answered.head != NULL ? strstr(answered.head, line) : NULL;
    value[0] = '\0';
    if (at != NULL) {
        at += strlen(line);
        snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r\n"), at);
    }
    return value;
}

static int transport_status(void) {
    int status = 0;

    if (answered.head != NULL)
        (void)sscanf(answered.head, "Status: %d ", &status);
    return status;
}

#endif
