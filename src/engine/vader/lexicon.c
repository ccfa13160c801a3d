/* Looks words up in VADER's lexicon. */
#include "engine/vader/lexicon.h"

/* A place in the table; length 0: free. Offsets instead of pointers, and tenths instead of a double, so that
 * the table needs no relocation and stays small enough for the processor's cache. */
struct slot {
    uint16_t offset; /* into TOKENS */
    uint8_t length;
    int8_t tenths;
};

#include "vader_lexicon.inc"

_Static_assert(sizeof(TOKENS) - 1 <= UINT16_MAX, "an offset must fit into struct slot");

/* As lexicon.awk computes it. */
static unsigned hash(struct bytes word) {
    unsigned h = 0;
    for (size_t i = 0; i < word.length; i++)
        h = (h * 31 + (unsigned char)word.data[i]) % SLOTS;
    return h;
}

bool vader_lexicon_find(struct bytes word, double *valence) {
    if (word.length == 0 || word.length > LONGEST)
        return false;
    for (unsigned i = hash(word); TABLE[i].length != 0; i = (i + 1) % SLOTS) {
        if (TABLE[i].length == word.length && memcmp(TOKENS + TABLE[i].offset, word.data, word.length) == 0) {
            *valence = TABLE[i].tenths / 10.0;
            return true;
        }
    }
    return false;
}
