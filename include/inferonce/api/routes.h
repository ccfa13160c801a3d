/* The table of routes: the one place that knows the handlers of all endpoints. */
#ifndef INFERONCE_API_ROUTES_H
#define INFERONCE_API_ROUTES_H

#include "inferonce/http/router.h"

/* The context of each handler is the worker's `struct api` (api/api.h). */
extern const struct route API_ROUTES[];
extern const size_t API_ROUTES_COUNT;

#endif
