/* The dialects that exist, by UPSTREAM_DIALECT. */
#include "engine/upstream/dialect.h"

const struct dialect *dialect_of(enum settings_dialect name) {
    static const struct dialect *const DIALECTS[] = {
        [SETTINGS_DIALECT_PLAIN] = &dialect_plain,
        [SETTINGS_DIALECT_TEI] = &dialect_tei,
        [SETTINGS_DIALECT_KSERVE] = &dialect_kserve,
        [SETTINGS_DIALECT_OPENAI] = &dialect_openai,
        [SETTINGS_DIALECT_KSERVE1] = &dialect_kserve1,
        [SETTINGS_DIALECT_TEI_EMBED] = &dialect_tei_embed,
        [SETTINGS_DIALECT_TEI_RERANK] = &dialect_tei_rerank,
    };
    return DIALECTS[name];
}
