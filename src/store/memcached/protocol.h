/* memcached's text protocol (protocol.txt of memcached 1.6): commands into bytes, lines into meanings. Pure.
 *
 * The classic commands, not the meta ones: a `get` of many keys costs the server half as much, proxies know
 * it, and its syntax is the same in all versions. */
#ifndef INFERONCE_STORE_MEMCACHED_PROTOCOL_H
#define INFERONCE_STORE_MEMCACHED_PROTOCOL_H

#include "inferonce/base/buffer.h"

/* protocol.txt; of a longer key the server would take the data block for commands. */
#define MEMCACHED_KEY_MAX 250

/* A `VALUE` line has a key and three numbers; errors are short. */
#define MEMCACHED_LINE_MAX 512

enum memcached_verb {
    MEMCACHED_GET,
    MEMCACHED_GETS,
    MEMCACHED_SET,
    MEMCACHED_ADD,
    MEMCACHED_CAS,
    MEMCACHED_DELETE,
    MEMCACHED_TOUCH,
    MEMCACHED_STATS,
    MEMCACHED_BARRIER /* asks for the version: an answer that no other command has */
};

enum memcached_line {
    LINE_VALUE,     /* a data block follows */
    LINE_END,       /* of the answer to a get or to stats */
    LINE_STAT,      /* one figure of stats */
    LINE_DONE,      /* STORED, DELETED, TOUCHED, VERSION */
    LINE_NOTHING,   /* NOT_FOUND */
    LINE_CONFLICT,  /* NOT_STORED of an add, EXISTS of a cas */
    LINE_TOO_LARGE, /* the item; the stream goes on */
    LINE_FULL,      /* no memory for the item, or another SERVER_ERROR of a write; the stream goes on */
    LINE_STRANGE    /* no answer to this command: nothing behind it can be believed */
};

/* The fields of a VALUE line. */
struct memcached_value_line {
    struct bytes key; /* borrows from the line */
    size_t length;
    uint64_t cas; /* of a GETS */
};

/* Judges `line`, without its CR LF, as an answer to `verb`. `value` is filled in for LINE_VALUE. */
enum memcached_line memcached_line_read(enum memcached_verb verb, struct bytes line,
                                        struct memcached_value_line *value);

/* Append a command. `names` holds `n` keys of `name_length` bytes, one behind the other; what no key may have
 * is the caller's to know. */
void memcached_append_get(struct buffer *out, enum memcached_verb verb, const char *names, size_t name_length,
                          unsigned n);
void memcached_append_delete(struct buffer *out, struct bytes name);

/* The item stays for `ttl_ms` from now on. */
void memcached_append_touch(struct buffer *out, struct bytes name, uint64_t ttl_ms);

/* `verb` SET, ADD or CAS. The item stays for `ttl_ms` and up to two seconds longer; 0: for good. The value is
 * `head` and `body`, one behind the other. */
void memcached_append_write(struct buffer *out, enum memcached_verb verb, struct bytes name,
                            struct bytes head, struct bytes body, uint64_t ttl_ms, uint64_t cas);

#endif
