/* kserve: the Open Inference Protocol, version 2 (KServe, Triton, MLServer, OpenVINO): tensors whose first
 * dimension is the text. */
#include "engine/upstream/dialect.h"
#include "engine/upstream/json_text.h"

static const char *const NO_NAMES[] = {NULL};

static void encode(const struct dialect_question *question, struct buffer *body) {
    buffer_append_bytes(body, LITERAL("{\"id\":"));
    buffer_append_json(body, question->id);
    if (question->parameters.length > 2) {
        buffer_append_bytes(body, LITERAL(",\"parameters\":"));
        buffer_append_bytes(body, question->parameters);
    }
    buffer_append_bytes(body, LITERAL(",\"inputs\":[{\"name\":"));
    dialect_append_input_name(&dialect_kserve, question, body);
    buffer_append_bytes(body, LITERAL(",\"shape\":["));
    buffer_append_number(body, question->n);
    if (question->column)
        buffer_append_bytes(body, LITERAL(",1"));
    buffer_append_bytes(body, LITERAL("],\"datatype\":\"BYTES\",\"data\":"));
    dialect_append_texts(question, body);
    buffer_append_bytes(body, LITERAL("}]}"));
}

/* ---- the answer ---- */

#define OUTPUTS_MAX    32
#define DIMENSIONS_MAX 16

/* An output tensor. */
struct tensor {
    struct bytes whole;
    bool (*is_item)(struct bytes value); /* by its datatype */
    size_t dimensions[DIMENSIONS_MAX];
    size_t n_dimensions;
    struct bytes inner_shape; /* the dimensions behind the first, each behind a comma */
    struct bytes data;        /* the array */
    size_t each;              /* how many of its items belong to one text */
    struct json_walk rest;    /* of the data: what belongs to the texts that are still to come */
};

/* ---- items ---- */

/* One of a datatype that is not known here. */
static bool is_scalar(struct bytes value) {
    return json_text_is_number(value) || json_text_is_string(value) || json_text_is_boolean(value);
}

static bool starts_with(struct bytes text, struct bytes prefix) {
    return text.length >= prefix.length && memcmp(text.data, prefix.data, prefix.length) == 0;
}

/* The JSON types that the datatype allows; a server that leaves it out may send any. False: the datatype is
 * no string. */
static bool read_datatype(struct bytes output, struct tensor *tensor) {
    static const struct {
        struct bytes prefix; /* with the quote */
        bool (*is_item)(struct bytes value);
    } KINDS[] = {{{"\"BOOL", 5}, json_text_is_boolean}, {{"\"BYTES", 6}, json_text_is_string},
                 {{"\"FP", 3}, json_text_is_number},    {{"\"BF", 3}, json_text_is_number},
                 {{"\"INT", 4}, json_text_is_number},   {{"\"UINT", 5}, json_text_is_number}};
    struct bytes datatype;
    tensor->is_item = is_scalar;
    if (!json_find(output, "datatype", &datatype))
        return true;
    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++)
        if (starts_with(datatype, KINDS[i].prefix))
            tensor->is_item = KINDS[i].is_item;
    return json_text_is_string(datatype);
}

/* Whether all items are what they should be; `*n`: how many. */
static bool check_items(const struct tensor *tensor, struct bytes array, size_t *n) {
    struct json_walk walk;
    struct bytes item;
    if (tensor->is_item == json_text_is_number)
        return json_text_is_numbers(array, n);
    if (!json_walk_array(array, &walk))
        return false;
    for (*n = 0; json_next_item(&walk, &item); (*n)++)
        if (!tensor->is_item(item))
            return false;
    return true;
}

/* Whether an array is nested as the dimensions from `level` on say. Goes at most DIMENSIONS_MAX deep. */
static bool check_nested(const struct tensor *tensor, struct bytes array, size_t level) {
    struct json_walk walk;
    struct bytes item;
    size_t n = 0;
    if (level + 1 == tensor->n_dimensions)
        return check_items(tensor, array, &n) && n == tensor->dimensions[level];
    if (!json_walk_array(array, &walk))
        return false;
    for (; json_next_item(&walk, &item); n++)
        if (!check_nested(tensor, item, level + 1))
            return false;
    return n == tensor->dimensions[level];
}

/* ---- tensors ---- */

static bool read_shape(struct bytes output, struct tensor *tensor) {
    struct bytes shape, item;
    struct json_walk walk;
    uint64_t dimension;
    tensor->n_dimensions = 0;
    if (!json_find(output, "shape", &shape) || !json_walk_array(shape, &walk))
        return false;
    while (json_next_item(&walk, &item)) {
        if (tensor->n_dimensions == DIMENSIONS_MAX || !bytes_to_number(item, &dimension) || dimension == 0 ||
            dimension > SIZE_MAX)
            return false;
        tensor->dimensions[tensor->n_dimensions++] = (size_t)dimension;
        if (tensor->n_dimensions == 1)
            tensor->inner_shape = (struct bytes){walk.at, (size_t)(shape.data + shape.length - 1 - walk.at)};
    }
    return tensor->n_dimensions > 0;
}

/* The product of the dimensions behind the first, as long as it is at most `most`. */
static bool multiply_inner(const struct tensor *tensor, size_t most, size_t *product) {
    *product = 1;
    for (size_t i = 1; i < tensor->n_dimensions; i++) {
        if (tensor->dimensions[i] > most / *product)
            return false;
        *product *= tensor->dimensions[i];
    }
    return true;
}

/* Data may be flat, in row-major order, or nested as the shape says; nested, a text has one item. */
static bool read_data(struct tensor *tensor, size_t n) {
    struct bytes first;
    size_t items;
    if (!json_walk_array(tensor->data, &tensor->rest))
        return false;
    struct json_walk walk = tensor->rest;
    if (!json_next_item(&walk, &first))
        return false;
    if (first.data[0] == '[') {
        tensor->each = 1;
        return tensor->n_dimensions > 1 && check_nested(tensor, tensor->data, 0);
    }
    return check_items(tensor, tensor->data, &items) && multiply_inner(tensor, items, &tensor->each) &&
           items % n == 0 && items / n == tensor->each;
}

static bool read_tensor(struct bytes output, size_t n, struct tensor *tensor) {
    tensor->whole = output;
    return read_shape(output, tensor) && tensor->dimensions[0] == n && read_datatype(output, tensor) &&
           json_find(output, "data", &tensor->data) && read_data(tensor, n);
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

const struct dialect dialect_kserve = {.takes_batches = true,
                                       .parameters_apart = true,
                                       .input_name = "text",
                                       .reserved = NO_NAMES,
                                       .encode = encode,
                                       .decode = decode};
