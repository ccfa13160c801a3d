/* Passes traceparent on with a new parent. */
#include "engine/upstream/trace.h"

#include <inttypes.h>
#include <stdio.h>

/* version "-" trace-id "-" parent-id "-" trace-flags (section 3.2.2): where each begins. */
enum { VERSION_AT = 0, TRACE_AT = 3, PARENT_AT = 36, FLAGS_AT = 53 };

static bool is_hex(struct bytes bytes) {
    for (size_t i = 0; i < bytes.length; i++) {
        char c = bytes.data[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
    }
    return true;
}

static bool is_zero(struct bytes bytes) {
    for (size_t i = 0; i < bytes.length; i++)
        if (bytes.data[i] != '0')
            return false;
    return true;
}

static bool is_well_formed(struct bytes value) {
    if (value.length < TRACE_PARENT_LENGTH || value.data[TRACE_AT - 1] != '-' ||
        value.data[PARENT_AT - 1] != '-' || value.data[FLAGS_AT - 1] != '-')
        return false;
    struct bytes version = {value.data + VERSION_AT, 2}, trace = {value.data + TRACE_AT, 32},
                 parent = {value.data + PARENT_AT, 16}, flags = {value.data + FLAGS_AT, 2};
    if (!is_hex(version) || !is_hex(trace) || !is_hex(parent) || !is_hex(flags) || is_zero(trace) ||
        is_zero(parent) || memcmp(version.data, "ff", 2) == 0)
        return false;
    /* Only a later version may have more behind the flags. */
    return value.length == TRACE_PARENT_LENGTH ||
           (!is_zero(version) && value.data[TRACE_PARENT_LENGTH] == '-');
}

bool trace_context_continue(struct bytes received, uint64_t parent_id, char value[TRACE_PARENT_LENGTH + 1]) {
    received = bytes_trim(received);
    if (!is_well_formed(received))
        return false;
    snprintf(value, TRACE_PARENT_LENGTH + 1, "00-%.32s-%016" PRIx64 "-%.2s", received.data + TRACE_AT,
             parent_id, received.data + FLAGS_AT);
    return true;
}
