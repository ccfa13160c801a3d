/* From texts as they were sent to normal forms and keys: the same for a prediction and for a purge by text.
 */
#ifndef INFERONCE_API_TEXT_KEY_H
#define INFERONCE_API_TEXT_KEY_H

#include "inferonce/api/api.h"

/* Normalises `n` texts into `storage` (to which they then point) and replaces each in place. False: no
 * memory, or more than the storage may hold. */
bool text_normalize(const struct api *api, struct bytes *texts, size_t n, struct buffer *storage) MUST_CHECK;

/* What of a key is the same for all texts of one request. */
struct text_key_context {
    struct bytes cache_namespace;
    struct bytes parameters;
    struct bytes credential;
};

/* The key of one normalised text. */
void text_key(const struct api *api, const struct text_key_context *context, struct bytes text,
              struct key *key);

/* The same for many texts: what they have in common is hashed once. */
void text_key_common(const struct api *api, const struct text_key_context *context,
                     struct key_writer *writer);
void text_key_of(const struct key_writer *common, struct bytes text, struct key *key);

/* The beginning of what they have in common: the parameters, which may be long, are announced and to be
 * added; the credential has to follow. */
void text_key_begin(const struct api *api, const struct text_key_context *context, struct key_writer *writer);

/* The generation key of a namespace; the configured one's is known already. */
void text_generation_key(const struct api *api, struct bytes cache_namespace, struct key *key);

#endif
