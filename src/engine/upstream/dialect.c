/* The plain dialect, and the functions that all of them share. */
#include "engine/upstream/dialect.h"

#include "engine/upstream/json_text.h"

/* ---- for all dialects ---- */

void dialect_append_texts(const struct dialect_question *question, struct buffer *body) {
    for (size_t i = 0; i < question->n; i++) {
        buffer_append_char(body, i == 0 ? '[' : ',');
        buffer_append_json(body, question->texts[i]);
    }
    buffer_append_char(body, ']');
}

void dialect_append_input_name(const struct dialect *dialect, const struct dialect_question *question,
                               struct buffer *body) {
    buffer_append_json(body, question->input_name.length > 0 ? question->input_name
                                                             : bytes_of(dialect->input_name));
}

void dialect_append_parameters(const struct dialect_question *question, struct buffer *body) {
    /* In canonical form an object is its members between two braces. */
    if (question->parameters.length <= 2)
        return;
    buffer_append_char(body, ',');
    buffer_append(body, question->parameters.data + 1, question->parameters.length - 2);
}

void dialect_found(struct dialect_result *result, struct bytes answer, struct bytes part) {
    *result =
        (struct dialect_result){.good = true, .at = (size_t)(part.data - answer.data), .length = part.length};
}

void dialect_begin(struct dialect_result *result, const struct buffer *made) {
    *result = (struct dialect_result){.made = true, .at = made->length};
}

void dialect_end(struct dialect_result *result, const struct buffer *made) {
    result->length = made->length - result->at;
    result->good = !made->failed;
}

void dialect_leave_all(const struct dialect_question *question, struct dialect_result *results) {
    for (size_t i = 0; i < question->n; i++)
        results[i].good = false;
}

enum dialect_index dialect_read_index(struct bytes item, size_t n, size_t *index) {
    struct bytes value;
    uint64_t number;
    if (!json_find(item, "index", &value))
        return DIALECT_INDEX_LEFT_OUT;
    if (!bytes_to_number(value, &number) || number >= n)
        return DIALECT_INDEX_WRONG;
    *index = (size_t)number;
    return DIALECT_INDEX_GOOD;
}

struct bytes dialect_result_bytes(const struct dialect_result *result, struct bytes answer,
                                  const struct buffer *made) {
    return (struct bytes){(result->made ? made->data : answer.data) + result->at, result->length};
}

/* ---- plain: any program that answers JSON with JSON ---- */

static const char *const NO_NAMES[] = {NULL};

static void encode_plain(const struct dialect_question *question, struct buffer *body) {
    buffer_append_char(body, '{');
    dialect_append_input_name(&dialect_plain, question, body);
    buffer_append_char(body, ':');
    buffer_append_json(body, question->texts[0]);
    dialect_append_parameters(question, body);
    buffer_append_char(body, '}');
}

static void decode_plain(const struct dialect_question *question, struct bytes answer, struct buffer *made,
                         struct dialect_result *results) {
    (void)question, (void)made;
    dialect_found(&results[0], answer, json_text_trim(answer));
}

const struct dialect dialect_plain = {.takes_batches = false,
                                      .input_name = "text",
                                      .reserved = NO_NAMES,
                                      .encode = encode_plain,
                                      .decode = decode_plain};

/* ---- any dialect ---- */

const char *dialect_reserved_parameter(const struct dialect *dialect, const char *input_name,
                                       struct bytes parameters) {
    struct bytes value;
    if (input_name[0] == '\0')
        input_name = dialect->input_name;
    if (input_name && !dialect->parameters_apart && json_find(parameters, input_name, &value))
        return input_name;
    for (const char *const *name = dialect->reserved; *name; name++)
        if (json_find(parameters, *name, &value))
            return *name;
    return NULL;
}

bool dialect_decode(const struct dialect *dialect, const struct dialect_question *question,
                    struct bytes answer, struct buffer *made, struct dialect_result *results) {
    for (size_t i = 0; i < question->n; i++)
        results[i] = (struct dialect_result){.good = false};
    enum json_text_status status = json_text_check(answer, question->n);
    if (status == JSON_TEXT_VALID)
        dialect->decode(question, answer, made, results);
    return status != JSON_TEXT_NO_MEMORY;
}
