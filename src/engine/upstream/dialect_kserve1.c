/* kserve1: the inference protocol of KServe's version 1, which TensorFlow Serving and TorchServe speak, too.
 */
#include "engine/upstream/dialect.h"
#include "engine/upstream/json_text.h"

static const char *const NAMES[] = {"instances", NULL};

/* An instance is the text itself, or an object whose member UPSTREAM_INPUT_NAME is. */
static void append_instance(const struct dialect_question *question, struct bytes text, struct buffer *body) {
    if (question->input_name.length == 0) {
        buffer_append_json(body, text);
        return;
    }
    buffer_append_char(body, '{');
    buffer_append_json(body, question->input_name);
    buffer_append_char(body, ':');
    buffer_append_json(body, text);
    buffer_append_char(body, '}');
}

static void encode(const struct dialect_question *question, struct buffer *body) {
    buffer_append_bytes(body, LITERAL("{\"instances\":["));
    for (size_t i = 0; i < question->n; i++) {
        if (i > 0)
            buffer_append_char(body, ',');
        append_instance(question, question->texts[i], body);
    }
    buffer_append_char(body, ']');
    dialect_append_parameters(question, body);
    buffer_append_char(body, '}');
}

/* {"predictions": [...]}: any value for each text, but null, which says that there is none. */
static void decode(const struct dialect_question *question, struct bytes answer, struct buffer *made,
                   struct dialect_result *results) {
    struct bytes predictions, item;
    struct json_walk walk;
    size_t n;
    (void)made;
    if (!json_find(answer, "predictions", &predictions) || !json_count(predictions, &n) || n != question->n ||
        !json_walk_array(predictions, &walk))
        return;
    for (size_t i = 0; i < n && json_next_item(&walk, &item); i++)
        if (!json_text_is_null(item))
            dialect_found(&results[i], answer, item);
}

const struct dialect dialect_kserve1 = {.takes_batches = true,
                                        .parameters_apart = false,
                                        .input_name = NULL,
                                        .reserved = NAMES,
                                        .encode = encode,
                                        .decode = decode};
