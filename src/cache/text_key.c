/* Makes the normal forms and the keys of a request's texts. */
#include "inferonce/cache/text_key.h"

#include "cache/normalize.h"

static const struct bytes LEVELS[] = {
    [CACHE_NORMALIZE_NONE] = {"none", 4},
    [CACHE_NORMALIZE_NFC] = {"nfc", 3},
    [CACHE_NORMALIZE_SPACE] = {"space", 5},
    [CACHE_NORMALIZE_LOWER] = {"lower", 5},
};

static const struct bytes ENGINES[] = {
    [SETTINGS_ENGINE_BUILTIN] = {"builtin", 7},
    [SETTINGS_ENGINE_HTTP] = {"http", 4},
};

static const struct bytes DIALECTS[] = {
    [SETTINGS_DIALECT_PLAIN] = {"plain", 5},
    [SETTINGS_DIALECT_TEI] = {"tei", 3},
    [SETTINGS_DIALECT_KSERVE] = {"kserve", 6},
    [SETTINGS_DIALECT_OPENAI] = {"openai", 6},
    [SETTINGS_DIALECT_KSERVE1] = {"kserve1", 7},
    [SETTINGS_DIALECT_TEI_EMBED] = {"tei-embed", 9},
    [SETTINGS_DIALECT_TEI_RERANK] = {"tei-rerank", 10},
};

/* Adds the model's service, and who may share its answers, to the key: entries that were kept under other
 * settings (in a CACHE_PATH, on a cache server) are then never found. The built-in model has neither. */
static void fill_service(const struct settings *settings, struct key_fields *fields) {
    fields->engine = ENGINES[settings->engine];
    if (settings->engine != SETTINGS_ENGINE_HTTP)
        return;
    fields->dialect = DIALECTS[settings->upstream_dialect];
    fields->sharing = settings->cache_share_authorized ? LITERAL("on") : LITERAL("off");
}

bool text_normalize(const struct settings *settings, struct bytes *texts, size_t n, struct buffer *storage) {
    enum cache_normalize level = (enum cache_normalize)settings->cache_normalize;
    size_t start = storage->length;
    for (size_t i = 0; i < n; i++) {
        size_t before = storage->length;
        if (!normalize_append(level, texts[i], storage))
            return false;
        texts[i].length = storage->length - before;
    }
    /* Only now does the storage stay where it is. */
    for (size_t i = 0; i < n; i++) {
        texts[i].data = storage->data + start;
        start += texts[i].length;
    }
    return true;
}

static struct key_fields fields_of(const struct settings *settings, const struct text_key_context *context) {
    struct key_fields fields = {.cache_namespace = context->cache_namespace,
                                .route = context->route,
                                .model_name = bytes_of(settings->model_name),
                                .model_version = bytes_of(settings->model_version),
                                .level = LEVELS[settings->cache_normalize],
                                .parameters = context->parameters,
                                .credential = context->credential};
    fill_service(settings, &fields);
    return fields;
}

void text_key(const struct settings *settings, const struct text_key_context *context, struct bytes text,
              struct key *key) {
    struct key_writer common;
    text_key_common(settings, context, &common);
    text_key_of(&common, text, key);
}

void text_key_begin(const struct settings *settings, const struct text_key_context *context,
                    struct key_writer *writer) {
    const struct key_fields fields = fields_of(settings, context);
    key_writer_begin(writer, &fields);
    key_writer_field(writer, context->parameters.length);
}

void text_key_common(const struct settings *settings, const struct text_key_context *context,
                     struct key_writer *writer) {
    text_key_begin(settings, context, writer);
    key_writer_add(writer, context->parameters);
    key_writer_field(writer, context->credential.length);
    key_writer_add(writer, context->credential);
}

void text_key_of(const struct key_writer *common, struct bytes text, struct key *key) {
    struct key_writer writer = *common;
    key_writer_field(&writer, text.length);
    key_writer_add(&writer, text);
    key_writer_end(&writer, key);
}
