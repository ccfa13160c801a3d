/* Writes and reads leases and outcomes. */
#include "cache/lease.h"

#include "inferonce/base/little_endian.h"

enum { OWNER_INSTANCE = 0, OWNER_INCARNATION = 8, OWNER_NONCE = 16, OWNER_SLOT = 24, OWNER_LENGTH = 28 };

enum {
    OUTCOME_KIND = 0,
    OUTCOME_STATUS = 1,
    OUTCOME_HTTP_STATUS = 2,
    OUTCOME_RETRY_AFTER = 4,
    OUTCOME_DURATION = 8,
    OUTCOME_LENGTH = 16,
    OUTCOME_REFUSAL = 16, /* of OUTCOME_REFUSED alone */
    OUTCOME_REFUSED_LENGTH = OUTCOME_REFUSAL + KEY_LENGTH
};

_Static_assert(OUTCOME_REFUSED_LENGTH <= STORE_SMALL_MAX, "a refusal is a small item");

struct bytes lease_owner_encode(const struct lease_owner *owner, char value[STORE_SMALL_MAX]) {
    store_u64(value + OWNER_INSTANCE, owner->instance);
    store_u64(value + OWNER_INCARNATION, owner->incarnation);
    store_u64(value + OWNER_NONCE, owner->nonce);
    store_u32(value + OWNER_SLOT, owner->slot);
    return (struct bytes){value, OWNER_LENGTH};
}

bool lease_owner_decode(struct bytes value, struct lease_owner *owner) {
    if (value.length != OWNER_LENGTH)
        return false;
    owner->instance = load_u64(value.data + OWNER_INSTANCE);
    owner->incarnation = load_u64(value.data + OWNER_INCARNATION);
    owner->nonce = load_u64(value.data + OWNER_NONCE);
    owner->slot = load_u32(value.data + OWNER_SLOT);
    return owner->nonce != 0;
}

struct bytes outcome_encode(const struct outcome *outcome, char value[STORE_SMALL_MAX]) {
    const struct engine_answer *failure = &outcome->failure;
    value[OUTCOME_KIND] = (char)outcome->kind;
    value[OUTCOME_STATUS] = (char)failure->status;
    store_u16(value + OUTCOME_HTTP_STATUS, (uint16_t)failure->http_status);
    store_u32(value + OUTCOME_RETRY_AFTER, failure->retry_after_s);
    store_u64(value + OUTCOME_DURATION, failure->duration_us);
    if (outcome->kind != OUTCOME_REFUSED)
        return (struct bytes){value, OUTCOME_LENGTH};
    memcpy(value + OUTCOME_REFUSAL, outcome->refusal.bytes, KEY_LENGTH);
    return (struct bytes){value, OUTCOME_REFUSED_LENGTH};
}

bool outcome_is_refusal(const struct engine_answer *failure) {
    return (failure->status == ENGINE_REJECTED &&
            (failure->http_status == 401 || failure->http_status == 402 || failure->http_status == 403)) ||
           (failure->status == ENGINE_OVERLOAD && failure->http_status == 429);
}

/* Whether the kind goes with the length and the failure. */
static bool is_sound(struct bytes value, const struct outcome *outcome) {
    const struct engine_answer *failure = &outcome->failure;
    switch (outcome->kind) {
    case OUTCOME_REFUSED:
        return value.length == OUTCOME_REFUSED_LENGTH && outcome_is_refusal(failure);
    case OUTCOME_NOT_SHARED:
        return value.length == OUTCOME_LENGTH;
    case OUTCOME_FAILED:
    case OUTCOME_ASKER_FAILED:
        return value.length == OUTCOME_LENGTH && failure->status != ENGINE_OK &&
               failure->status <= ENGINE_STATUS_LAST;
    case OUTCOME_NONE:
        break;
    }
    return false;
}

struct outcome outcome_decode(struct bytes value) {
    struct outcome outcome = {.kind = OUTCOME_NONE};
    if (value.length != OUTCOME_LENGTH && value.length != OUTCOME_REFUSED_LENGTH)
        return outcome;
    outcome.kind = (enum outcome_kind)(unsigned char)value.data[OUTCOME_KIND];
    outcome.failure = (struct engine_answer){
        .status = (enum engine_status)(unsigned char)value.data[OUTCOME_STATUS],
        .http_status = load_u16(value.data + OUTCOME_HTTP_STATUS),
        .retry_after_s = load_u32(value.data + OUTCOME_RETRY_AFTER),
        .duration_us = load_u64(value.data + OUTCOME_DURATION),
        .detail = "the inference that this request waited for failed",
        .asker_only = outcome.kind == OUTCOME_ASKER_FAILED,
    };
    if (value.length == OUTCOME_REFUSED_LENGTH)
        memcpy(outcome.refusal.bytes, value.data + OUTCOME_REFUSAL, KEY_LENGTH);
    if (!is_sound(value, &outcome))
        outcome.kind = OUTCOME_NONE;
    return outcome;
}
