/* HTTP-date (RFC 9110 section 5.6.7). */
#ifndef INFERONCE_HTTP_DATE_H
#define INFERONCE_HTTP_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "inferonce/base/buffer.h"

/* The date in seconds since 1970, in any of the three forms. False: it is none. */
bool http_date_read(struct bytes text, int64_t *seconds) MUST_CHECK;

#endif
