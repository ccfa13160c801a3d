/* W3C Trace Context: what goes on to the model of a request's traceparent. */
#ifndef INFERONCE_ENGINE_UPSTREAM_TRACE_H
#define INFERONCE_ENGINE_UPSTREAM_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "inferonce/base/buffer.h"

#define TRACE_PARENT_LENGTH 55

/* Writes the field value for the call upstream: the trace-id and flags of `received`, `parent_id` (not 0) as
 * its parent. False: `received` is malformed, and with it its tracestate means nothing. A later version is
 * passed on as version 00, which is what we know (section 4.2). */
bool trace_context_continue(struct bytes received, uint64_t parent_id,
                            char value[TRACE_PARENT_LENGTH + 1]) MUST_CHECK;

#endif
