/* Shows the entries of a store that can be seen. */
#include <stdlib.h>

#include "cache/generation.h"
#include "inferonce/cache/transfer.h"

/* An entry as the walk has copied it. */
struct copied {
    struct key key;
    struct bytes value; /* in `scratch` */
};

/*   walk -> JUDGING each entry -> paused
 *
 * where an entry of another namespace than the last one has the store asked for its generation. */
struct export {
    struct export_options options;
    uint64_t cursor;
    enum export_status status;
    struct buffer scratch; /* of the walk */
    struct copied *copied; /* owned */
    size_t n, capacity;
    size_t at; /* the first that is not judged */

    /* The generation that was asked for last, in this step. */
    bool known;
    char name[ENTRY_NAME_MAX];
    size_t name_length;
    struct key generation_key;
    uint64_t generation; /* 0: it has none, or could not be read */
    struct store_look look;
};

struct export *export_begin(const struct export_options *options) {
    struct export *export = calloc(1, sizeof(*export));
    if (!export)
        return NULL;
    export->options = *options;
    buffer_init(&export->scratch, SIZE_MAX);
    return export;
}

void export_end(struct export **export) {
    if (!*export)
        return;
    store_look_forget((*export)->options.store, &(*export)->look);
    buffer_fini(&(*export)->scratch);
    free((*export)->copied);
    free(*export);
    *export = NULL;
}

static void on_walked(void *user, const uint8_t *key, struct bytes value) {
    struct export *export = user;
    if (export->n == export->capacity) {
        size_t capacity = export->capacity ? 2 * export->capacity : 64;
        struct copied *copied = reallocarray(export->copied, capacity, sizeof(*copied));
        if (!copied) {
            export->status = EXPORT_FAILED;
            return;
        }
        export->copied = copied;
        export->capacity = capacity;
    }
    struct copied *copied = &export->copied[export->n++];
    memcpy(copied->key.bytes, key, KEY_LENGTH);
    copied->value = value;
}

static void judge(struct export *export);

static void on_looked(struct store_look *look) {
    struct export *export = look->user;
    uint64_t epoch;
    if (generation_read(look, &export->generation, &epoch) != STORE_OK)
        export->generation = 0;
    judge(export);
}

/* Asks for the generation of a namespace, and goes on when it is known. */
static void ask(struct export *export, struct bytes cache_namespace) {
    memcpy(export->name, cache_namespace.data, cache_namespace.length);
    export->name_length = cache_namespace.length;
    export->known = true;
    key_of_generation(cache_namespace, &export->generation_key);
    generation_look_alone(&export->look, &export->generation_key);
    export->look.done = on_looked;
    export->look.user = export;
    store_look(export->options.store, &export->look);
}

static bool is_known(const struct export *export, struct bytes cache_namespace) {
    return export->known && bytes_equal(cache_namespace, (struct bytes){export->name, export->name_length});
}

static bool is_wanted(const struct export *export, struct bytes cache_namespace) {
    return !export->options.cache_namespace.data ||
           bytes_equal(cache_namespace, export->options.cache_namespace);
}

static void judge(struct export *export) {
    const struct export_options *options = &export->options;
    uint64_t now_us = clock_wall_us(options->context->clock);
    for (; export->at < export->n; export->at++) {
        const struct copied *copied = &export->copied[export->at];
        struct entry entry;
        if (entry_read(copied->value, &copied->key, now_us, &entry) != ENTRY_GOOD) {
            stats_count(options->context->stats, STAT_rejected_entries);
            continue;
        }
        if (!is_wanted(export, entry.cache_namespace) || entry_until_us(&entry) <= now_us)
            continue;
        if (!is_known(export, entry.cache_namespace)) {
            ask(export, entry.cache_namespace);
            return;
        }
        if (entry.generation == export->generation)
            options->found(options->user, &entry);
    }
    options->paused(options->user, export->status);
}

void export_go_on(struct export *export) {
    export->n = export->at = 0;
    export->known = false; /* a purge may have come since */
    export->status = EXPORT_MORE;
    bool more = store_walk(export->options.store, &export->cursor, &export->scratch, on_walked, export);
    if (export->scratch.failed)
        export->status = EXPORT_FAILED;
    else if (!more && export->status == EXPORT_MORE)
        export->status = EXPORT_ALL;
    judge(export);
}
