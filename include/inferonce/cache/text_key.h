/* From texts as they were sent to normal forms and keys (DESIGN, Key): the only place that knows which
 * settings are part of a key. Long texts take the same way in slices (text_work.h). */
#ifndef INFERONCE_CACHE_TEXT_KEY_H
#define INFERONCE_CACHE_TEXT_KEY_H

#include "inferonce/base/settings.h"
#include "inferonce/cache/key.h"

/* Normalises `n` texts into `storage` (to which they then point) and replaces each in place. False: no
 * memory, or more than the storage may hold. */
bool text_normalize(const struct settings *settings, struct bytes *texts, size_t n,
                    struct buffer *storage) MUST_CHECK;

/* The parts of a key that all texts of one request have in common. All borrowed. */
struct text_key_context {
    struct bytes cache_namespace;
    struct bytes route;      /* the path, "/predict" */
    struct bytes parameters; /* in canonical form */
    struct bytes credential; /* length 0: it plays no part */
};

/* The key of one normalised text. */
void text_key(const struct settings *settings, const struct text_key_context *context, struct bytes text,
              struct key *key);

/* The same for many texts: what they have in common is hashed once. */
void text_key_common(const struct settings *settings, const struct text_key_context *context,
                     struct key_writer *writer);
void text_key_of(const struct key_writer *common, struct bytes text, struct key *key);

/* The beginning of what they have in common: the parameters, which may be long, are announced and to be
 * added; the credential has to follow. */
void text_key_begin(const struct settings *settings, const struct text_key_context *context,
                    struct key_writer *writer);

#endif
