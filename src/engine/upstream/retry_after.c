/* When a model's server wants to be asked again. */
#include "engine/upstream/retry_after.h"

#include "inferonce/http/date.h"

void retry_after_read(struct retry_after *retry_after, struct bytes field_value) {
    uint64_t seconds;
    int64_t at_s;
    if (bytes_to_number(bytes_trim(field_value), &seconds)) {
        if (seconds > retry_after->seconds)
            retry_after->seconds = seconds;
    } else if (http_date_read(field_value, &at_s) && at_s > retry_after->at_s) {
        retry_after->at_s = at_s;
    }
}

unsigned retry_after_seconds(const struct retry_after *retry_after, int64_t now_s) {
    uint64_t seconds = retry_after->seconds;
    if (retry_after->at_s > now_s && (uint64_t)(retry_after->at_s - now_s) > seconds)
        seconds = (uint64_t)(retry_after->at_s - now_s);
    if (seconds == 0)
        return 1;
    return seconds < RETRY_AFTER_MOST_S ? (unsigned)seconds : RETRY_AFTER_MOST_S;
}
