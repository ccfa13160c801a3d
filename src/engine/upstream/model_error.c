/* Finds a model's message in its JSON and takes out what it repeats of the request. */
#include "engine/upstream/model_error.h"

#include "engine/upstream/json_text.h"
#include "inferonce/base/json_string.h"
#include "inferonce/base/little_endian.h"
#include "inferonce/base/utf8.h"

/* ---- the message ---- */

static bool find_string(struct bytes object, const char *name, struct bytes *string) {
    return json_find(object, name, string) && json_text_is_string(*string) && string->length >= 2;
}

/* FastAPI says of each field what is wrong with it; the first will do. */
static bool find_in_first(struct bytes list, const char *name, struct bytes *string) {
    struct json_walk walk;
    struct bytes item;
    return json_walk_array(list, &walk) && json_next_item(&walk, &item) && find_string(item, name, string);
}

static bool find_message(struct bytes answer, struct bytes *message) {
    struct bytes value;
    if (find_string(answer, "error", message) || find_string(answer, "message", message) ||
        find_string(answer, "detail", message))
        return true;
    if (json_find(answer, "error", &value) && find_string(value, "message", message))
        return true;
    if (json_find(answer, "detail", &value) && find_in_first(value, "msg", message))
        return true;
    return find_string(answer, "title", message);
}

/* ---- what it repeats ---- */

/* The message as it is worked on. */
struct line {
    char text[MODEL_ERROR_ANSWER_MAX];
    bool hidden[MODEL_ERROR_ANSWER_MAX];
    size_t length;
};

/* So many bytes of a text are compared at once, at places so far apart that each run of
 * MODEL_ERROR_REPEATED_MAX has one of them. */
#define GRAM_BYTES  8u
#define GRAM_STRIDE (MODEL_ERROR_REPEATED_MAX - GRAM_BYTES)

#define BUCKETS 1024u
#define NOWHERE UINT16_MAX

/* Steps that may be taken for one message, about a millisecond. */
#define STEPS_MAX (256u * 1024)

/* Index of the message's grams. */
struct grams {
    uint16_t first[BUCKETS];
    uint16_t next[MODEL_ERROR_ANSWER_MAX];
    size_t steps;
};

_Static_assert(MODEL_ERROR_ANSWER_MAX < NOWHERE, "places have 16 bits");

static unsigned bucket_of(uint64_t gram) {
    return (unsigned)(gram * UINT64_C(0x9e3779b97f4a7c15) >> 54);
}

_Static_assert(BUCKETS == 1u << (64 - 54), "the hash's upper bits");

static void index_grams(const struct line *line, struct grams *grams) {
    memset(grams->first, 0xff, sizeof(grams->first));
    grams->steps = 0;
    for (size_t i = 0; i + GRAM_BYTES <= line->length; i++) {
        unsigned bucket = bucket_of(load_u64(line->text + i));
        grams->next[i] = grams->first[bucket];
        grams->first[bucket] = (uint16_t)i;
    }
}

/* Whether the two have MODEL_ERROR_REPEATED_MAX bytes in common around these places. */
static bool is_run(const struct line *line, size_t at, struct bytes text, size_t text_at) {
    size_t before = 0, behind = 0;
    while (before < at && before < text_at && before < MODEL_ERROR_REPEATED_MAX &&
           line->text[at - before - 1] == text.data[text_at - before - 1])
        before++;
    while (at + behind < line->length && text_at + behind < text.length &&
           before + behind < MODEL_ERROR_REPEATED_MAX &&
           line->text[at + behind] == text.data[text_at + behind])
        behind++;
    return before + behind >= MODEL_ERROR_REPEATED_MAX;
}

/* Whether the line has a long run of the text, or it would take too long to find out. */
static bool repeats_long(const struct line *line, struct grams *grams, struct bytes text) {
    for (size_t i = 0; i + GRAM_BYTES <= text.length; i += GRAM_STRIDE) {
        uint64_t gram = load_u64(text.data + i);
        if (++grams->steps > STEPS_MAX)
            return true;
        for (uint16_t at = grams->first[bucket_of(gram)]; at != NOWHERE; at = grams->next[at]) {
            if (++grams->steps > STEPS_MAX)
                return true;
            if (load_u64(line->text + at) == gram && is_run(line, at, text, i))
                return true;
        }
    }
    return false;
}

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 0x80;
}

/* Whether a word ends between these two characters. */
static bool is_edge(char before, char behind) {
    return !is_letter(before) || !is_letter(behind);
}

/* Hides a short text wherever it is not part of a longer word: "a" is in most messages. */
static void hide_short(struct line *line, struct bytes text) {
    const char *end = line->text + line->length;
    const char *at = line->text;
    while ((at = memmem(at, (size_t)(end - at), text.data, text.length)) != NULL) {
        const char *behind = at + text.length;
        if ((at == line->text || is_edge(at[-1], *at)) && (behind == end || is_edge(behind[-1], *behind)))
            memset(line->hidden + (at - line->text), true, text.length);
        at++;
    }
}

/* False: nothing of the line may be shown. */
static bool hide_sent(struct line *line, const struct bytes *sent, size_t n) {
    struct grams grams;
    index_grams(line, &grams);
    for (size_t i = 0; i < n; i++) {
        if (sent[i].length >= MODEL_ERROR_REPEATED_MAX) {
            if (repeats_long(line, &grams, sent[i]))
                return false;
        } else if (sent[i].length > 0) {
            hide_short(line, sent[i]);
        }
    }
    return true;
}

/* ---- the whole ---- */

static void unescape(struct bytes string, struct line *line) {
    memset(line->hidden, 0, sizeof(line->hidden));
    memcpy(line->text, string.data + 1, string.length - 2);
    line->length = json_string_unescape(line->text, string.length - 2);
}

static void show(const struct line *line, struct model_error *error) {
    static const char DOTS[] = "...";
    size_t length = 0;
    for (size_t i = 0; i < line->length;) {
        struct bytes part = {line->text + i, utf8_step((struct bytes){line->text + i, line->length - i})};
        size_t step = part.length > 0 ? part.length : 1;
        if (line->hidden[i]) {
            for (step = 0; i + step < line->length && line->hidden[i + step];)
                step++;
            part = bytes_of(DOTS);
        }
        if (step == 1 && ((unsigned char)*part.data < ' ' || *part.data == 0x7f))
            part = bytes_of(" ");
        if (part.length > MODEL_ERROR_MAX - 1 - length)
            break;
        memcpy(error->message + length, part.data, part.length);
        length += part.length;
        i += step;
    }
    error->message[length] = '\0';
}

void model_error_read(struct model_error *error, struct bytes answer, const struct bytes *sent, size_t n) {
    struct bytes string;
    struct line line;
    error->message[0] = '\0';
    if (answer.length == 0 || answer.length > MODEL_ERROR_ANSWER_MAX ||
        json_text_check(answer, 0) != JSON_TEXT_VALID || !find_message(answer, &string))
        return;
    unescape(string, &line);
    if (hide_sent(&line, sent, n))
        show(&line, error);
}
