#include "inferonce/api/text_key.h"

#include "inferonce/cache/normalize.h"

static const struct bytes LEVELS[] = {
    [CACHE_NORMALIZE_NONE] = {"none", 4},
    [CACHE_NORMALIZE_NFC] = {"nfc", 3},
    [CACHE_NORMALIZE_SPACE] = {"space", 5},
    [CACHE_NORMALIZE_LOWER] = {"lower", 5},
};

bool text_normalize(const struct api *api, struct bytes *texts, size_t n, struct buffer *storage) {
    enum cache_normalize level = (enum cache_normalize)api->settings->cache_normalize;
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

void text_key(const struct api *api, const struct text_key_context *context, struct bytes text,
              struct key *key) {
    const struct key_fields fields = {.cache_namespace = context->cache_namespace,
                                      .route = LITERAL("/predict"),
                                      .model_name = bytes_of(api->settings->model_name),
                                      .model_version = bytes_of(api->settings->model_version),
                                      .level = LEVELS[api->settings->cache_normalize],
                                      .parameters = context->parameters,
                                      .credential = context->credential,
                                      .text = text};
    key_of_entry(&fields, key);
}

void text_generation_key(const struct api *api, struct bytes cache_namespace, struct key *key) {
    if (bytes_equal(cache_namespace, bytes_of(api->settings->cache_namespace)))
        *key = api->default_generation_key;
    else
        key_of_generation(cache_namespace, key);
}
