/* openai: POST /v1/embeddings, as OpenAI, vLLM, Ollama, llama.cpp and others have it. */
#include "inferonce/engine/dialect.h"
#include "inferonce/engine/json_text.h"

static const char *const NAMES[] = {"input", "model", NULL};

static void encode(const struct dialect_question *question, struct buffer *body) {
    buffer_append_bytes(body, LITERAL("{\"input\":"));
    if (question->n == 1)
        buffer_append_json(body, question->texts[0]);
    else
        dialect_append_texts(question, body);
    buffer_append_bytes(body, LITERAL(",\"model\":"));
    buffer_append_json(body, question->model_name);
    dialect_append_parameters(question, body);
    buffer_append_char(body, '}');
}

/* The place that an item of "data" names; false: none that was asked for. */
static bool read_index(struct bytes item, size_t n, size_t *index) {
    struct bytes value;
    uint64_t number;
    if (!json_find(item, "index", &value) || !bytes_to_number(value, &number) || number >= n)
        return false;
    *index = (size_t)number;
    return true;
}

static void make_result(struct bytes item, struct buffer *made, struct dialect_result *result) {
    struct bytes embedding;
    dialect_begin(result, made);
    /* A list of numbers, or one string: encoding_format says which. */
    if (!json_find(item, "embedding", &embedding) || (embedding.data[0] != '[' && embedding.data[0] != '"'))
        return;
    buffer_append_bytes(made, LITERAL("{\"embedding\":"));
    buffer_append_bytes(made, embedding);
    buffer_append_char(made, '}');
    dialect_end(result, made);
}

/* Results are matched by index, never by position. An index that comes twice leaves its text without one: who
 * knows which of the two is another's. */
static void decode(const struct dialect_question *question, struct bytes answer, struct buffer *made,
                   struct dialect_result *results) {
    struct bytes data, item;
    struct json_walk walk;
    size_t index;
    if (!json_find(answer, "data", &data) || !json_walk_array(data, &walk))
        return;
    while (json_next_item(&walk, &item)) {
        if (!read_index(item, question->n, &index))
            continue;
        if (results[index].made)
            results[index].good = false;
        else
            make_result(item, made, &results[index]);
    }
}

const struct dialect dialect_openai = {
    .takes_batches = true, .reserved = NAMES, .encode = encode, .decode = decode};
