/* GET /metrics: the statistics for Prometheus, in its text format 0.0.4, or as OpenMetrics 1.0 when the
 * request gives that the greater quality (Accept).
 *
 * Every statistic of base/stats.h is there without further work: a counter as inferonce_<name>_total, a gauge
 * as inferonce_<name>. What is counted in microseconds is shown in seconds. */
#ifndef INFERONCE_API_METRICS_H
#define INFERONCE_API_METRICS_H

#include "inferonce/http/exchange.h"

void metrics_get(struct exchange *exchange, struct bytes parameter, void *api);

#endif
