/* kserve: the Open Inference Protocol, version 2 (KServe, Triton, MLServer, OpenVINO): tensors whose first
 * dimension is the text. */
#include "inferonce/engine/dialect.h"
#include "inferonce/engine/json_text.h"

static const char *const NO_NAMES[] = {NULL};

static void encode(const struct dialect_question *question, struct buffer *body) {
    buffer_append_bytes(body, LITERAL("{\"id\":"));
    buffer_append_json(body, question->id);
    if (question->parameters.length > 2) {
        buffer_append_bytes(body, LITERAL(",\"parameters\":"));
        buffer_append_bytes(body, question->parameters);
    }
    buffer_append_bytes(body, LITERAL(",\"inputs\":[{\"name\":\"text\",\"shape\":["));
    buffer_append_number(body, question->n);
    buffer_append_bytes(body, LITERAL("],\"datatype\":\"BYTES\",\"data\":"));
    dialect_append_texts(question, body);
    buffer_append_bytes(body, LITERAL("}]}"));
}

/* ---- the answer ---- */

#define OUTPUTS_MAX 32

/* An output tensor. */
struct tensor {
    struct bytes whole;
    struct bytes inner_shape; /* the dimensions behind the first, each behind a comma */
    struct bytes data;        /* the array */
    size_t each;              /* how many of its items belong to one text */
    struct json_walk rest;    /* of the data: what belongs to the texts that are still to come */
};

/* The product of the dimensions that are left of a shape, as long as it is at most `most`. */
static bool multiply(struct json_walk shape, size_t most, size_t *product) {
    struct bytes item;
    uint64_t dimension;
    *product = 1;
    while (json_next_item(&shape, &item)) {
        if (!bytes_to_number(item, &dimension) || dimension == 0 || dimension > most / *product)
            return false;
        *product *= (size_t)dimension;
    }
    return true;
}

/* Data may be flat, in row-major order, or nested as the shape says; nested, a text has one item. */
static bool read_data(struct tensor *tensor, struct json_walk inner, size_t n) {
    struct json_walk walk;
    struct bytes first;
    size_t items;
    if (!json_count(tensor->data, &items) || !json_walk_array(tensor->data, &tensor->rest))
        return false;
    walk = tensor->rest;
    if (!json_next_item(&walk, &first))
        return false;
    if (first.data[0] == '[')
        tensor->each = 1;
    else if (!multiply(inner, items, &tensor->each))
        return false;
    return items % n == 0 && items / n == tensor->each;
}

static bool read_tensor(struct bytes output, size_t n, struct tensor *tensor) {
    struct bytes shape, item;
    struct json_walk walk;
    uint64_t first;
    tensor->whole = output;
    if (!json_find(output, "shape", &shape) || !json_find(output, "data", &tensor->data) ||
        !json_walk_array(shape, &walk) || !json_next_item(&walk, &item) || !bytes_to_number(item, &first) ||
        first != n)
        return false;
    tensor->inner_shape = (struct bytes){walk.at, (size_t)(shape.data + shape.length - 1 - walk.at)};
    return read_data(tensor, walk, n);
}

/* The next text's items, as an array. */
static void append_slice(struct tensor *tensor, struct buffer *made) {
    struct bytes item = {NULL, 0};
    const char *start = NULL;
    for (size_t k = 0; k < tensor->each && json_next_item(&tensor->rest, &item); k++)
        start = start ? start : item.data;
    buffer_append_char(made, '[');
    if (start)
        buffer_append(made, start, (size_t)(item.data + item.length - start));
    buffer_append_char(made, ']');
}

/* The tensor with the next text's part of its data, and a shape that says so; all else as it was written. */
static void append_tensor(struct tensor *tensor, struct buffer *made) {
    struct json_walk walk;
    struct bytes name, value;
    bool more = false;
    buffer_append_char(made, '{');
    bool object = json_walk_object(tensor->whole, &walk);
    while (object && json_next_member(&walk, &name, &value)) {
        buffer_append_bytes(made, more ? LITERAL(",\"") : LITERAL("\""));
        buffer_append_bytes(made, name);
        buffer_append_bytes(made, LITERAL("\":"));
        if (bytes_equal(name, LITERAL("shape"))) {
            buffer_append_bytes(made, LITERAL("[1"));
            buffer_append_bytes(made, tensor->inner_shape);
            buffer_append_char(made, ']');
        } else if (bytes_equal(name, LITERAL("data"))) {
            append_slice(tensor, made);
        } else {
            buffer_append_bytes(made, value);
        }
        more = true;
    }
    buffer_append_char(made, '}');
}

/* Every output has a part for every text, or none is believed. */
static size_t read_outputs(struct bytes answer, size_t n, struct tensor tensors[OUTPUTS_MAX]) {
    struct bytes outputs, output;
    struct json_walk walk;
    size_t count = 0;
    if (!json_find(answer, "outputs", &outputs) || !json_walk_array(outputs, &walk))
        return 0;
    for (; json_next_item(&walk, &output); count++)
        if (count == OUTPUTS_MAX || !read_tensor(output, n, &tensors[count]))
            return 0;
    return count;
}

/* A server may leave the id out; another one means that this answers something else. */
static bool is_ours(const struct dialect_question *question, struct bytes answer) {
    struct bytes id;
    if (!json_find(answer, "id", &id))
        return true;
    return id.length == question->id.length + 2 &&
           bytes_equal((struct bytes){id.data + 1, id.length - 2}, question->id);
}

static void decode(const struct dialect_question *question, struct bytes answer, struct buffer *made,
                   struct dialect_result *results) {
    struct tensor tensors[OUTPUTS_MAX];
    size_t count = is_ours(question, answer) ? read_outputs(answer, question->n, tensors) : 0;
    for (size_t i = 0; i < question->n && count > 0; i++) {
        dialect_begin(&results[i], made);
        buffer_append_bytes(made, LITERAL("{\"outputs\":["));
        for (size_t k = 0; k < count; k++) {
            if (k > 0)
                buffer_append_char(made, ',');
            append_tensor(&tensors[k], made);
        }
        buffer_append_bytes(made, LITERAL("]}"));
        dialect_end(&results[i], made);
    }
}

const struct dialect dialect_kserve = {
    .takes_batches = true, .reserved = NO_NAMES, .encode = encode, .decode = decode};
