/* A command to a memcached server, and how its answer is read from the bytes that come: lines, and the values
 * between them. Pure: what came is put where the command says. */
#ifndef INFERONCE_STORE_MEMCACHED_COMMAND_H
#define INFERONCE_STORE_MEMCACHED_COMMAND_H

#include <sys/queue.h>

#include "store/memcached/protocol.h"

/* How a command ended. */
enum memcached_outcome {
    MEMCACHED_DONE,
    MEMCACHED_NOTHING,  /* a write or removal of an item that is not there */
    MEMCACHED_CONFLICT, /* it is there already, or was changed meanwhile */
    MEMCACHED_TOO_BIG,
    MEMCACHED_FULL,  /* the server has no memory for the item; what it has can be had */
    MEMCACHED_BROKEN /* no answer in time, garbage, closed, or no memory here */
};

/* One key's answer. */
struct memcached_found {
    bool found;
    size_t at, length; /* in the command's `values` */
    uint64_t cas;
};

struct memcached_command;

/* Called once, later, from the loop. May send commands and free `command`. */
typedef void (*memcached_ended)(struct memcached_command *command, enum memcached_outcome outcome);

/* Embedded by its owner, who keeps it, and what it borrows, until `ended`. */
struct memcached_command {
    enum memcached_verb verb;
    memcached_ended ended;

    /* GET, GETS */
    const char *names; /* `n` keys of the connection's name length; borrowed */
    unsigned n;
    struct memcached_found *found; /* `n`, zero-initialised */
    struct buffer *values;         /* what was found, one behind the other. A value that it cannot take is not
                                      found, and `lost` is set */
    size_t max_bytes;              /* of each value the first so many; 0: all of it */
    bool lost;

    /* STATS: called for each line, without CR LF; borrowed for the call */
    void (*stat)(struct memcached_command *command, struct bytes line);

    /* private */
    unsigned next; /* answers come in the order of the names */
    TAILQ_ENTRY(memcached_command) links;
};

/* The answer under way; all zeros: there is none. */
struct memcached_answer {
    char line[MEMCACHED_LINE_MAX]; /* a line that is not whole yet */
    size_t line_length;
    size_t value_left; /* bytes of a value's data block, CR LF included, that are to come */
    size_t keep_left;  /* those of them that go to the command's values; the others are passed over */
};

enum memcached_reading {
    READING_PART,  /* a line or a value is not whole yet; the bytes are used up */
    READING_WHOLE, /* a line or a value is whole, and the answer goes on */
    READING_ENDED, /* the command has ended, with `outcome` */
    READING_WRONG /* that is no answer to the command, and nothing behind it can be believed: `why`, a literal
                   */
};

/* Reads up to the next end of a line or value, and takes off `bytes`, which are not empty, what it has read.
 * `command` is the one at the head, whose names have `name_length` bytes; NULL: nothing was asked. */
enum memcached_reading memcached_answer_read(struct memcached_answer *answer,
                                             struct memcached_command *command, size_t name_length,
                                             struct bytes *bytes, enum memcached_outcome *outcome,
                                             const char **why) MUST_CHECK;

#endif
