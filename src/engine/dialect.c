#include "inferonce/engine/dialect.h"

#include "inferonce/engine/json_text.h"

/* ---- for all dialects ---- */

void dialect_append_texts(const struct dialect_question *question, struct buffer *body) {
    for (size_t i = 0; i < question->n; i++) {
        buffer_append_char(body, i == 0 ? '[' : ',');
        buffer_append_json(body, question->texts[i]);
    }
    buffer_append_char(body, ']');
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

struct bytes dialect_result_bytes(const struct dialect_result *result, struct bytes answer,
                                  const struct buffer *made) {
    return (struct bytes){(result->made ? made->data : answer.data) + result->at, result->length};
}

/* ---- plain: any program that answers JSON with JSON ---- */

static const char *const NO_NAMES[] = {NULL};

static void encode_plain(const struct dialect_question *question, struct buffer *body) {
    buffer_append_bytes(body, LITERAL("{\"text\":"));
    buffer_append_json(body, question->texts[0]);
    dialect_append_parameters(question, body);
    buffer_append_char(body, '}');
}

static void decode_plain(const struct dialect_question *question, struct bytes answer, struct buffer *made,
                         struct dialect_result *results) {
    (void)question, (void)made;
    dialect_found(&results[0], answer, json_text_trim(answer));
}

static const struct dialect PLAIN = {
    .takes_batches = false, .reserved = NO_NAMES, .encode = encode_plain, .decode = decode_plain};

/* ---- tei: text-embeddings-inference's /predict ---- */

static const char *const TEI_NAMES[] = {"inputs", NULL};

/* One text goes as it is; several as one list each, because a list of strings would be a pair of sentences.
 */
static void encode_tei(const struct dialect_question *question, struct buffer *body) {
    buffer_append_bytes(body, LITERAL("{\"inputs\":"));
    if (question->n == 1) {
        buffer_append_json(body, question->texts[0]);
    } else {
        for (size_t i = 0; i < question->n; i++) {
            buffer_append_bytes(body, i == 0 ? LITERAL("[[") : LITERAL(",["));
            buffer_append_json(body, question->texts[i]);
            buffer_append_char(body, ']');
        }
        buffer_append_char(body, ']');
    }
    dialect_append_parameters(question, body);
    buffer_append_char(body, '}');
}

/* [{"label": "...", "score": 0.1}, ...]: at least one, or it says nothing. */
static bool is_list_of_scores(struct bytes value) {
    struct json_walk walk;
    struct bytes item, label, score;
    size_t n = 0;
    if (!json_walk_array(value, &walk))
        return false;
    for (; json_next_item(&walk, &item); n++)
        if (!json_find(item, "label", &label) || !json_text_is_string(label) ||
            !json_find(item, "score", &score) || !json_text_is_number(score))
            return false;
    return n > 0;
}

static void decode_tei(const struct dialect_question *question, struct bytes answer, struct buffer *made,
                       struct dialect_result *results) {
    struct json_walk walk;
    struct bytes item;
    size_t n;
    (void)made;
    answer = json_text_trim(answer);
    if (question->n == 1 && is_list_of_scores(answer)) {
        dialect_found(&results[0], answer, answer);
        return;
    }
    if (question->n == 1 || !json_count(answer, &n) || n != question->n || !json_walk_array(answer, &walk))
        return;
    for (size_t i = 0; i < n && json_next_item(&walk, &item); i++)
        if (is_list_of_scores(item))
            dialect_found(&results[i], answer, item);
}

static const struct dialect TEI = {
    .takes_batches = true, .reserved = TEI_NAMES, .encode = encode_tei, .decode = decode_tei};

/* ---- the table ---- */

const struct dialect *dialect_of(enum settings_dialect name) {
    static const struct dialect *const DIALECTS[] = {
        [SETTINGS_DIALECT_PLAIN] = &PLAIN,
        [SETTINGS_DIALECT_TEI] = &TEI,
        [SETTINGS_DIALECT_KSERVE] = &dialect_kserve,
        [SETTINGS_DIALECT_OPENAI] = &dialect_openai,
    };
    return DIALECTS[name];
}

const char *dialect_reserved_parameter(const struct dialect *dialect, struct bytes parameters) {
    struct bytes value;
    for (const char *const *name = dialect->reserved; *name; name++)
        if (json_find(parameters, *name, &value))
            return *name;
    return NULL;
}

bool dialect_decode(const struct dialect *dialect, const struct dialect_question *question,
                    struct bytes answer, struct buffer *made, struct dialect_result *results) {
    for (size_t i = 0; i < question->n; i++)
        results[i] = (struct dialect_result){.good = false};
    enum json_text_status status = json_text_check(answer);
    if (status == JSON_TEXT_VALID)
        dialect->decode(question, answer, made, results);
    return status != JSON_TEXT_NO_MEMORY;
}
