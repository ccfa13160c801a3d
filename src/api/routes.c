/* The table of routes. */
#include "inferonce/api/routes.h"

#include "api/cache_admin.h"
#include "api/cache_export.h"
#include "api/cache_import.h"
#include "api/dashboard.h"
#include "api/health.h"
#include "api/metrics.h"
#include "api/openapi.h"
#include "api/predict.h"

const struct route API_ROUTES[] = {
    {METHOD_POST, "/predict", ROUTE_JSON, predict_handle, PATH_predict},
    {METHOD_QUERY, "/predict", ROUTE_JSON, predict_handle, PATH_predict},
    {METHOD_GET, "/cache/stats", ROUTE_ADMIN, cache_admin_stats, PATH_cache_stats},
    {METHOD_POST, "/cache/purge", ROUTE_ADMIN | ROUTE_JSON, cache_admin_purge, PATH_cache_purge},
    {METHOD_GET, "/cache/export", ROUTE_ADMIN, cache_export, PATH_cache_export},
    {METHOD_POST, "/cache/import", ROUTE_ADMIN | ROUTE_LINES, cache_import, PATH_cache_import},
    {METHOD_DELETE, "/cache", ROUTE_ADMIN, cache_admin_clear, PATH_cache},
    {METHOD_GET, "/cache/{key}", ROUTE_ADMIN, cache_admin_get, PATH_cache_entry},
    {METHOD_DELETE, "/cache/{key}", ROUTE_ADMIN, cache_admin_delete, PATH_cache_entry},
    {METHOD_GET, "/metrics", ROUTE_ADMIN, metrics_get, PATH_metrics},
    {METHOD_GET, "/dashboard", ROUTE_ADMIN | ROUTE_PAGE, dashboard_get, PATH_dashboard},
    {METHOD_GET, "/healthz", ROUTE_OPEN, health_alive, PATH_healthz},
    {METHOD_GET, "/readyz", ROUTE_OPEN, health_ready, PATH_readyz},
    {METHOD_GET, "/openapi.json", ROUTE_OPEN, openapi_get, PATH_openapi},
};

const size_t API_ROUTES_COUNT = sizeof(API_ROUTES) / sizeof(API_ROUTES[0]);
