/* openai: POST /v1/embeddings, as OpenAI, vLLM, Ollama, llama.cpp and others have it. */
#include "engine/upstream/dialect.h"
#include "engine/upstream/json_text.h"

static const char *const NAMES[] = {"model", NULL};

static void encode(const struct dialect_question *question, struct buffer *body) {
    buffer_append_char(body, '{');
    dialect_append_input_name(&dialect_openai, question, body);
    buffer_append_char(body, ':');
    if (question->n == 1)
        buffer_append_json(body, question->texts[0]);
    else
        dialect_append_texts(question, body);
    if (question->model_name.length > 0) {
        buffer_append_bytes(body, LITERAL(",\"model\":"));
        buffer_append_json(body, question->model_name);
    }
    dialect_append_parameters(question, body);
    buffer_append_char(body, '}');
}

/* ---- what is an embedding ---- */

#define FLOAT_BYTES 4

static bool is_base64(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* The bytes that a string of base64 (RFC 4648 section 4) stands for; 0: it is none. A slash may be escaped,
 * as JSON allows. */
static size_t base64_length(struct bytes string) {
    struct bytes inside = {string.data + 1, string.length - 2};
    size_t letters = 0, padding = 0;
    for (size_t i = 0; i < inside.length; i++) {
        char c = inside.data[i];
        if (c == '\\' && i + 1 < inside.length && inside.data[i + 1] == '/')
            c = inside.data[++i];
        if (c == '=')
            padding++;
        else if (padding > 0 || !is_base64(c))
            return 0;
        else
            letters++;
    }
    if (padding > 2 || (letters + padding) % 4 != 0)
        return 0;
    return letters * 3 / 4;
}

/* How many numbers it has: a list of them, or with encoding_format=base64 a string of four-byte floats. 0: it
 * is no embedding. */
static size_t width_of(struct bytes embedding) {
    size_t width;
    if (json_text_is_numbers(embedding, &width))
        return width;
    if (!json_text_is_string(embedding) || embedding.length < 2)
        return 0;
    size_t length = base64_length(embedding);
    return length % FLOAT_BYTES == 0 ? length / FLOAT_BYTES : 0;
}

/* ---- the answer ---- */

/* `*width` is that of the answer's embeddings, 0 before the first. False: this one is of another width. */
static bool take(struct bytes item, struct buffer *made, struct dialect_result *result, size_t *width) {
    struct bytes embedding;
    dialect_begin(result, made);
    size_t its_width = json_find(item, "embedding", &embedding) ? width_of(embedding) : 0;
    if (its_width == 0)
        return true;
    if (*width > 0 && its_width != *width)
        return false;
    *width = its_width;
    buffer_append_bytes(made, LITERAL("{\"embedding\":"));
    buffer_append_bytes(made, embedding);
    buffer_append_char(made, '}');
    dialect_end(result, made);
    return true;
}

static bool only_first_is_left(const struct dialect_question *question,
                               const struct dialect_result *results) {
    for (size_t i = 1; i < question->n; i++)
        if (!results[i].made)
            return false;
    return !results[0].made;
}

/* False: nothing of it is to be believed. */
static bool take_all(const struct dialect_question *question, struct json_walk *walk, struct buffer *made,
                     struct dialect_result *results) {
    struct bytes item, unnumbered = {NULL, 0};
    size_t index, width = 0, n_unnumbered = 0;
    while (json_next_item(walk, &item)) {
        switch (dialect_read_index(item, question->n, &index)) {
        case DIALECT_INDEX_LEFT_OUT:
            unnumbered = item;
            n_unnumbered++;
            break;
        case DIALECT_INDEX_GOOD:
            if (results[index].made)
                results[index].good = false;
            else if (!take(item, made, &results[index], &width))
                return false;
            break;
        case DIALECT_INDEX_WRONG:
            break;
        }
    }
    /* Servers that leave out what is 0 (Gemini's) leave out that index. */
    if (n_unnumbered == 1 && only_first_is_left(question, results))
        return take(unnumbered, made, &results[0], &width);
    /* Numbered from 1, perhaps: each would be the text's before. */
    return results[0].made;
}

/* Results are matched by index, never by position. An index that comes twice leaves its text without one: who
 * knows which of the two is another's. */
static void decode(const struct dialect_question *question, struct bytes answer, struct buffer *made,
                   struct dialect_result *results) {
    struct bytes data;
    struct json_walk walk;
    if (json_find(answer, "data", &data) && json_walk_array(data, &walk) &&
        !take_all(question, &walk, made, results))
        dialect_leave_all(question, results);
}

const struct dialect dialect_openai = {
    .takes_batches = true, .input_name = "input", .reserved = NAMES, .encode = encode, .decode = decode};
