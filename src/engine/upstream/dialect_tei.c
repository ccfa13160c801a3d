/* tei, tei-embed, tei-rerank: /predict, /embed and /rerank of Hugging Face's text-embeddings-inference. */
#include "engine/upstream/dialect.h"
#include "engine/upstream/json_text.h"

static const char *const NO_NAMES[] = {NULL};

static void begin(const struct dialect *dialect, const struct dialect_question *question,
                  struct buffer *body) {
    buffer_append_char(body, '{');
    dialect_append_input_name(dialect, question, body);
    buffer_append_char(body, ':');
}

static void end(const struct dialect_question *question, struct buffer *body) {
    dialect_append_parameters(question, body);
    buffer_append_char(body, '}');
}

/* Walks an array that has an item for each text. */
static bool walk_texts(const struct dialect_question *question, struct bytes answer, struct json_walk *walk) {
    size_t n;
    return json_count(answer, &n) && n == question->n && json_walk_array(answer, walk);
}

/* ---- /predict: classifiers ---- */

/* One text goes as it is; several as one list each, because a list of strings would be a pair of sentences.
 */
static void encode_predict(const struct dialect_question *question, struct buffer *body) {
    begin(&dialect_tei, question, body);
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
    end(question, body);
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

static void decode_predict(const struct dialect_question *question, struct bytes answer, struct buffer *made,
                           struct dialect_result *results) {
    struct json_walk walk;
    struct bytes item;
    (void)made;
    answer = json_text_trim(answer);
    if (question->n == 1) {
        if (is_list_of_scores(answer))
            dialect_found(&results[0], answer, answer);
        return;
    }
    if (!walk_texts(question, answer, &walk))
        return;
    for (size_t i = 0; i < question->n && json_next_item(&walk, &item); i++)
        if (is_list_of_scores(item))
            dialect_found(&results[i], answer, item);
}

const struct dialect dialect_tei = {.takes_batches = true,
                                    .input_name = "inputs",
                                    .reserved = NO_NAMES,
                                    .encode = encode_predict,
                                    .decode = decode_predict};

/* ---- /embed ---- */

static void encode_list(const struct dialect *dialect, const struct dialect_question *question,
                        struct buffer *body) {
    begin(dialect, question, body);
    dialect_append_texts(question, body);
    end(question, body);
}

static void encode_embed(const struct dialect_question *question, struct buffer *body) {
    encode_list(&dialect_tei_embed, question, body);
}

/* [[0.1, ...], ...]: a vector for each text. One that is longer than another is of another model, or cut off;
 * which of the two cannot be known. */
static void decode_embed(const struct dialect_question *question, struct bytes answer, struct buffer *made,
                         struct dialect_result *results) {
    struct json_walk walk;
    struct bytes item;
    size_t width = 0;
    (void)made;
    if (!walk_texts(question, answer, &walk))
        return;
    for (size_t i = 0; i < question->n && json_next_item(&walk, &item); i++) {
        size_t numbers;
        if (!json_text_is_numbers(item, &numbers))
            continue;
        if (width > 0 && numbers != width) {
            dialect_leave_all(question, results);
            return;
        }
        width = numbers;
        dialect_found(&results[i], answer, item);
    }
}

const struct dialect dialect_tei_embed = {.takes_batches = true,
                                          .input_name = "inputs",
                                          .reserved = NO_NAMES,
                                          .encode = encode_embed,
                                          .decode = decode_embed};

/* ---- /rerank: the query is a parameter, so that texts with one query travel together ---- */

static void encode_rerank(const struct dialect_question *question, struct buffer *body) {
    encode_list(&dialect_tei_rerank, question, body);
}

static void take_score(struct bytes item, struct buffer *made, struct dialect_result *result) {
    struct bytes score;
    dialect_begin(result, made);
    if (!json_find(item, "score", &score) || !json_text_is_number(score))
        return;
    buffer_append_bytes(made, LITERAL("{\"score\":"));
    buffer_append_bytes(made, score);
    buffer_append_char(made, '}');
    dialect_end(result, made);
}

/* [{"index": 1, "score": 0.9}, ...], the best first: matched by index. */
static void decode_rerank(const struct dialect_question *question, struct bytes answer, struct buffer *made,
                          struct dialect_result *results) {
    struct json_walk walk;
    struct bytes item;
    size_t index;
    if (!walk_texts(question, answer, &walk))
        return;
    while (json_next_item(&walk, &item)) {
        /* A list that is numbered in another way belongs to other texts. */
        if (dialect_read_index(item, question->n, &index) != DIALECT_INDEX_GOOD) {
            dialect_leave_all(question, results);
            return;
        }
        if (results[index].made)
            results[index].good = false;
        else
            take_score(item, made, &results[index]);
    }
}

const struct dialect dialect_tei_rerank = {.takes_batches = true,
                                           .input_name = "texts",
                                           .reserved = NO_NAMES,
                                           .encode = encode_rerank,
                                           .decode = decode_rerank};
