/* POST and QUERY /predict: one text or several. */
#ifndef INFERONCE_API_PREDICT_H
#define INFERONCE_API_PREDICT_H

#include "inferonce/api/api.h"

void predict_handle(struct exchange *exchange, struct bytes parameter, void *api);

struct prediction_pool *prediction_pool_create(void);
void prediction_pool_destroy(struct prediction_pool **pool);

#endif
