/* POST and QUERY /predict: one text or several. */
#ifndef INFERONCE_API_PREDICT_H
#define INFERONCE_API_PREDICT_H

#include "inferonce/http/exchange.h"

void predict_handle(struct exchange *exchange, struct bytes parameter, void *api);

#endif
