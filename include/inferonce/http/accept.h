/* Chooses the media type that a client prefers: the field Accept (RFC 9110 section 12.5.1). */
#ifndef INFERONCE_HTTP_ACCEPT_H
#define INFERONCE_HTTP_ACCEPT_H

#include "inferonce/http/request.h"

/* A media type that the server offers. */
struct media_type {
    const char *type;
    const char *subtype;
    const char *version; /* the parameter of that name, which tells two formats of one type apart; or NULL */
};

#define ACCEPT_QUALITY_MAX 1000

/* The quality that `accept` gives to a media type, in thousandths; 0: not acceptable. The most precise range
 * that matches decides, of equally precise ones the greatest quality. A range that names a version is about
 * that version only; its other parameters but q say nothing. A malformed range is passed over. Without the
 * field, or with an empty one, everything is welcome. Several lines are one list. */
unsigned accept_quality(const struct field_lines *accept, const struct media_type *offered);

#endif
