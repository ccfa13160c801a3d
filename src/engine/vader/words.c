/* VADER's lists of boosters, negations and idioms. */
#include "engine/vader/words.h"

/* Sorted by bytes. Negations that contain "n't" ("isn't") are recognised by that and not listed. */
static const struct vader_word WORDS[] = {
    {"absolutely", .degree = VADER_BOOSTS},
    {"aint", .negates = true},
    {"almost", .degree = VADER_DAMPENS},
    {"amazingly", .degree = VADER_BOOSTS},
    {"arent", .negates = true},
    {"ass", .name = VADER_ASS},
    {"at", .name = VADER_AT},
    {"awfully", .degree = VADER_BOOSTS},
    {"bad", .name = VADER_BAD},
    {"barely", .degree = VADER_DAMPENS},
    {"bomb", .name = VADER_BOMB},
    {"but", .name = VADER_BUT},
    {"cannot", .negates = true},
    {"cant", .negates = true},
    {"completely", .degree = VADER_BOOSTS},
    {"considerably", .degree = VADER_BOOSTS},
    {"couldnt", .negates = true},
    {"cut", .name = VADER_CUT},
    {"darent", .negates = true},
    {"death", .name = VADER_DEATH},
    {"decidedly", .degree = VADER_BOOSTS},
    {"deeply", .degree = VADER_BOOSTS},
    {"despite", .negates = true},
    {"didnt", .negates = true},
    {"doesnt", .negates = true},
    {"dont", .negates = true},
    {"effing", .degree = VADER_BOOSTS},
    {"enormously", .degree = VADER_BOOSTS},
    {"enough", .name = VADER_ENOUGH},
    {"entirely", .degree = VADER_BOOSTS},
    {"especially", .degree = VADER_BOOSTS},
    {"exceptionally", .degree = VADER_BOOSTS},
    {"extremely", .degree = VADER_BOOSTS},
    {"fabulously", .degree = VADER_BOOSTS},
    {"flippin", .degree = VADER_BOOSTS},
    {"flipping", .degree = VADER_BOOSTS},
    {"frickin", .degree = VADER_BOOSTS},
    {"fricking", .degree = VADER_BOOSTS},
    {"friggin", .degree = VADER_BOOSTS},
    {"frigging", .degree = VADER_BOOSTS},
    {"fucking", .degree = VADER_BOOSTS},
    {"fully", .degree = VADER_BOOSTS},
    {"greatly", .degree = VADER_BOOSTS},
    {"hadnt", .negates = true},
    {"hand", .name = VADER_HAND},
    {"hardly", .degree = VADER_DAMPENS},
    {"hasnt", .negates = true},
    {"havent", .negates = true},
    {"hella", .degree = VADER_BOOSTS},
    {"highly", .degree = VADER_BOOSTS},
    {"hugely", .degree = VADER_BOOSTS},
    {"incredibly", .degree = VADER_BOOSTS},
    {"intensely", .degree = VADER_BOOSTS},
    {"isnt", .negates = true},
    {"just", .name = VADER_JUST},
    {"kind", .name = VADER_KIND},
    {"kind-of", .degree = VADER_DAMPENS},
    {"kinda", .degree = VADER_DAMPENS},
    {"kindof", .degree = VADER_DAMPENS},
    {"kiss", .name = VADER_KISS},
    {"least", .name = VADER_LEAST},
    {"less", .degree = VADER_DAMPENS},
    {"little", .degree = VADER_DAMPENS},
    {"majorly", .degree = VADER_BOOSTS},
    {"marginally", .degree = VADER_DAMPENS},
    {"mightnt", .negates = true},
    {"more", .degree = VADER_BOOSTS},
    {"most", .degree = VADER_BOOSTS},
    {"mouth", .name = VADER_MOUTH},
    {"mustard", .name = VADER_MUSTARD},
    {"mustnt", .negates = true},
    {"neednt", .negates = true},
    {"neither", .negates = true},
    {"never", .negates = true, .name = VADER_NEVER},
    {"none", .negates = true},
    {"nope", .negates = true},
    {"nor", .negates = true},
    {"not", .negates = true},
    {"nothing", .negates = true},
    {"nowhere", .negates = true},
    {"occasionally", .degree = VADER_DAMPENS},
    {"of", .name = VADER_OF},
    {"oughtnt", .negates = true},
    {"particularly", .degree = VADER_BOOSTS},
    {"partly", .degree = VADER_DAMPENS},
    {"purely", .degree = VADER_BOOSTS},
    {"quite", .degree = VADER_BOOSTS},
    {"rarely", .negates = true},
    {"really", .degree = VADER_BOOSTS},
    {"remarkably", .degree = VADER_BOOSTS},
    {"right", .name = VADER_RIGHT},
    {"scarcely", .degree = VADER_DAMPENS},
    {"seldom", .negates = true},
    {"shant", .negates = true},
    {"shit", .name = VADER_SHIT},
    {"shouldnt", .negates = true},
    {"slightly", .degree = VADER_DAMPENS},
    {"so", .degree = VADER_BOOSTS, .name = VADER_SO},
    {"somewhat", .degree = VADER_DAMPENS},
    {"sort", .name = VADER_SORT},
    {"sort-of", .degree = VADER_DAMPENS},
    {"sorta", .degree = VADER_DAMPENS},
    {"sortof", .degree = VADER_DAMPENS},
    {"substantially", .degree = VADER_BOOSTS},
    {"the", .name = VADER_THE},
    {"this", .name = VADER_THIS},
    {"thoroughly", .degree = VADER_BOOSTS},
    {"to", .name = VADER_TO},
    {"totally", .degree = VADER_BOOSTS},
    {"tremendously", .degree = VADER_BOOSTS},
    {"uber", .degree = VADER_BOOSTS},
    {"uh-uh", .negates = true},
    {"uhuh", .negates = true},
    {"unbelievably", .degree = VADER_BOOSTS},
    {"unusually", .degree = VADER_BOOSTS},
    {"utterly", .degree = VADER_BOOSTS},
    {"very", .degree = VADER_BOOSTS, .name = VADER_VERY},
    {"wasnt", .negates = true},
    {"werent", .negates = true},
    {"without", .negates = true},
    {"wont", .negates = true},
    {"wouldnt", .negates = true},
    {"yeah", .name = VADER_YEAH},
};

/* As strcmp with a word that is not terminated and may hold any bytes. */
static int compare(struct bytes word, const char *text) {
    for (size_t i = 0; i < word.length; i++) {
        int order = (unsigned char)word.data[i] - (unsigned char)text[i];
        if (order != 0)
            return order;
        if (text[i] == '\0')
            return 1;
    }
    return text[word.length] == '\0' ? 0 : -1;
}

const struct vader_word *vader_word_find(struct bytes word) {
    size_t low = 0;
    size_t high = sizeof(WORDS) / sizeof(WORDS[0]);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare(word, WORDS[middle].text);
        if (order == 0)
            return &WORDS[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
