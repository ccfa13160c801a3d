/* Scores a text by VADER (Hutto and Gilbert, ICWSM 2014), in slices. */
#include "engine/vader/vader.h"

#include <math.h>
#include <stdlib.h>

#include "engine/vader/lexicon.h"
#include "engine/vader/text.h"
#include "engine/vader/words.h"

/* The paper's figures: what people's ratings moved by on the mean (sections 3.2 and 3.3). */
#define CAPITALS          0.733
#define NEGATION          -0.74
#define EXCLAMATION       0.292
#define EXCLAMATIONS_MOST 4
#define QUESTION          0.18
#define QUESTIONS_COUNTED 3
#define QUESTIONS_MOST    0.96
#define BEFORE_BUT        0.5
#define AFTER_BUT         1.5
#define NORMALISATION     15.0 /* approximates the largest sum to be expected */
#define SENTIMENT_FROM    0.05

/* How far the rules look back and ahead from a word. */
#define BACK  3
#define AHEAD 2

/* A word as the rules see it. */
struct word {
    bool listed; /* it is in the lexicon, with this valence */
    double valence;
    double degree; /* of a degree adverb; else 0 */
    bool negates;
    bool capitals;
    bool lower; /* written in lower case */
    enum vader_name name;
};

/* The counts of the first pass over the text, because its words cannot be valued before. */
struct counts {
    size_t words;
    size_t capitals;
    size_t lower_but, upper_but; /* which word is the first "but", the first "BUT"; NOWHERE */
    size_t exclamations, questions;
};

#define NOWHERE SIZE_MAX

/* The sums of the second pass. */
struct survey {
    size_t words;
    bool mixed_case; /* some words, and not all, are in capitals */
    size_t but;      /* which word it is; equal to `words`: there is none */
    double punctuation;
};

/* The place of the rules: word `index`, with the words around it in a ring, so that a text of any length
 * needs no memory. */
struct place {
    const struct survey *survey;
    size_t index;
    size_t read; /* so many words are, or were, in the ring */
    struct vader_reading reading;
    struct word ring[8];
};

struct sums {
    double valences; /* signed */
    double positive, negative, neutral;
};

/* Two ways through a text: the first ends with the survey, the second with the sums. */
struct vader_scoring {
    struct bytes text;
    struct vader_reading unsurveyed;
    struct counts counts;
    bool surveyed;
    struct survey survey;
    struct place place;
    struct sums sums;
};

_Static_assert(sizeof(((struct place *)0)->ring) / sizeof(struct word) > BACK + AHEAD,
               "the ring holds what is looked at");

static bool is_capitals(struct bytes word) {
    bool capitals = false;
    for (size_t i = 0; i < word.length; i++) {
        if (word.data[i] >= 'a' && word.data[i] <= 'z')
            return false;
        capitals = capitals || (word.data[i] >= 'A' && word.data[i] <= 'Z');
    }
    return capitals;
}

/* "isn't". */
static bool has_nt(struct bytes word) {
    for (size_t i = 1; i + 1 < word.length; i++) {
        if (word.data[i] == '\'' && word.data[i - 1] == 'n' && word.data[i + 1] == 't')
            return true;
    }
    return false;
}

static struct word word_of(struct bytes bytes) {
    struct word word = {.capitals = is_capitals(bytes), .lower = true};
    word.negates = has_nt(bytes);

    char folded[32]; /* nothing that is known is longer */
    if (bytes.length > sizeof(folded))
        return word;
    for (size_t i = 0; i < bytes.length; i++) {
        bool capital = bytes.data[i] >= 'A' && bytes.data[i] <= 'Z';
        folded[i] = (char)(capital ? bytes.data[i] - 'A' + 'a' : bytes.data[i]);
        word.lower = word.lower && !capital;
    }
    struct bytes key = {folded, bytes.length};
    word.listed = vader_lexicon_find(key, &word.valence);
    const struct vader_word *known = vader_word_find(key);
    if (known) {
        word.name = known->name;
        word.negates = word.negates || (known->negates && word.lower);
        if (known->degree != VADER_NO_DEGREE)
            word.degree = known->degree == VADER_BOOSTS ? VADER_DEGREE : -VADER_DEGREE;
    }
    return word;
}

/* Emphasis from exclamation marks, of which more than four add nothing, and from more than one question mark.
 */
static double emphasis_of(size_t exclamations, size_t questions) {
    if (exclamations > EXCLAMATIONS_MOST)
        exclamations = EXCLAMATIONS_MOST;
    double emphasis = (double)exclamations * EXCLAMATION;
    if (questions > QUESTIONS_COUNTED)
        return emphasis + QUESTIONS_MOST;
    return questions > 1 ? emphasis + (double)questions * QUESTION : emphasis;
}

static void count_word(struct counts *counts, struct bytes word) {
    counts->capitals += is_capitals(word);
    if (counts->lower_but == NOWHERE && bytes_equal(word, bytes_of("but")))
        counts->lower_but = counts->words;
    if (counts->upper_but == NOWHERE && bytes_equal(word, bytes_of("BUT")))
        counts->upper_but = counts->words;
    counts->words++;
}

static void count_punctuation(struct counts *counts, struct bytes text) {
    for (size_t i = 0; i < text.length; i++) {
        counts->exclamations += text.data[i] == '!';
        counts->questions += text.data[i] == '?';
    }
}

/* "but" divides the text; "BUT" does when there is no "but"; "But" does not, as in the reference
 * implementation. */
static struct survey survey_of(const struct counts *counts) {
    return (struct survey){
        .words = counts->words,
        .mixed_case = counts->capitals > 0 && counts->capitals < counts->words,
        .but = counts->lower_but != NOWHERE   ? counts->lower_but
               : counts->upper_but != NOWHERE ? counts->upper_but
                                              : counts->words,
        .punctuation = emphasis_of(counts->exclamations, counts->questions),
    };
}

static bool is_there(const struct place *place, int offset) {
    return offset < 0 ? place->index >= (size_t)-offset
                      : (size_t)offset < place->survey->words - place->index;
}

/* The word `offset` words from here; it must be there. */
static const struct word *at(const struct place *place, int offset) {
    return &place->ring[(place->index + (size_t)(ptrdiff_t)offset) %
                        (sizeof(place->ring) / sizeof(struct word))];
}

/* Whether the word at `offset` is `name`, in lower case. */
static bool says(const struct place *place, int offset, enum vader_name name) {
    const struct word *word = at(place, offset);
    return word->name == name && word->lower;
}

static bool says_so_or_this(const struct place *place, int offset) {
    return says(place, offset, VADER_SO) || says(place, offset, VADER_THIS);
}

/* The valence that a degree adverb `distance` words before adds; the farther away, the less. */
static double degree(const struct place *place, int distance, double valence) {
    static const double FADING[BACK + 1] = {0, 1, 0.95, 0.9};

    const struct word *word = at(place, -distance);
    if (word->degree == 0)
        return 0;
    double change = valence < 0 ? -word->degree : word->degree;
    if (word->capitals && place->survey->mixed_case)
        change += valence > 0 ? CAPITALS : -CAPITALS;
    return change * FADING[distance];
}

/* The factor of a negation `distance` words before. "never so good" and "never this good" are
 * praise. */
static double negation(const struct place *place, int distance) {
    if (distance == 2 && says(place, -2, VADER_NEVER) && says_so_or_this(place, -1))
        return 1.5;
    if (distance == 3 &&
        ((says(place, -3, VADER_NEVER) && says_so_or_this(place, -2)) || says_so_or_this(place, -1)))
        return 1.25;
    return at(place, -distance)->negates ? NEGATION : 1;
}

/* Looks for an idiom of `n` words that begins at `offset`. */
static bool find_idiom(const struct place *place, int offset, int n, double *valence) {
    static const struct {
        double valence;
        int n;
        enum vader_name names[3];
    } IDIOMS[] = {
        {3, 2, {VADER_THE, VADER_SHIT}},
        {3, 2, {VADER_THE, VADER_BOMB}},
        {1.5, 2, {VADER_BAD, VADER_ASS}},
        {-2, 2, {VADER_YEAH, VADER_RIGHT}},
        {2, 3, {VADER_CUT, VADER_THE, VADER_MUSTARD}},
        {-1.5, 3, {VADER_KISS, VADER_OF, VADER_DEATH}},
        {-2, 3, {VADER_HAND, VADER_TO, VADER_MOUTH}},
    };

    if (!is_there(place, offset + n - 1))
        return false;
    for (size_t i = 0; i < sizeof(IDIOMS) / sizeof(IDIOMS[0]); i++) {
        if (IDIOMS[i].n != n)
            continue;
        int matching = 0;
        while (matching < n && says(place, offset + matching, IDIOMS[i].names[matching]))
            matching++;
        if (matching == n) {
            *valence = IDIOMS[i].valence;
            return true;
        }
    }
    return false;
}

/* A dampener of two words at `offset`. */
static bool is_dampener(const struct place *place, int offset) {
    return (says(place, offset, VADER_KIND) && says(place, offset + 1, VADER_OF)) ||
           (says(place, offset, VADER_SORT) && says(place, offset + 1, VADER_OF)) ||
           (says(place, offset, VADER_JUST) && says(place, offset + 1, VADER_ENOUGH));
}

/* Idioms around a word that has three words before it replace its valence: the first of those that end before
 * or with it, unless one begins with it. */
static double idioms(const struct place *place, double valence) {
    static const struct {
        int offset;
        int n;
    } BEFORE[] = {{-1, 2}, {-2, 3}, {-2, 2}, {-3, 3}, {-3, 2}};

    for (size_t i = 0; i < sizeof(BEFORE) / sizeof(BEFORE[0]); i++) {
        if (find_idiom(place, BEFORE[i].offset, BEFORE[i].n, &valence))
            break;
    }
    if (!find_idiom(place, 0, 3, &valence))
        (void)find_idiom(place, 0, 2, &valence);
    return is_dampener(place, -3) || is_dampener(place, -2) ? valence - VADER_DEGREE : valence;
}

/* "least good" is a negation; "at least good" and "very least good" are not. */
static bool is_negated_by_least(const struct place *place) {
    if (!is_there(place, -1) || at(place, -1)->name != VADER_LEAST)
        return false;
    return !is_there(place, -2) || (at(place, -2)->name != VADER_AT && at(place, -2)->name != VADER_VERY);
}

/* The valence of the word that `place` is at, by the words around it. */
static double valence_of(const struct place *place) {
    const struct word *word = at(place, 0);
    bool kind_of = word->name == VADER_KIND && is_there(place, 1) && at(place, 1)->name == VADER_OF;
    if (!word->listed || word->degree != 0 || kind_of)
        return 0;

    double valence = word->valence;
    if (word->capitals && place->survey->mixed_case)
        valence += valence > 0 ? CAPITALS : -CAPITALS;
    for (int distance = 1; distance <= BACK && is_there(place, -distance); distance++) {
        if (at(place, -distance)->listed)
            continue;
        valence += degree(place, distance, valence);
        valence *= negation(place, distance);
        if (distance == BACK)
            valence = idioms(place, valence);
    }
    return is_negated_by_least(place) ? valence * NEGATION : valence;
}

/* ---- the ways through a text ---- */

/* False: it has not come to the end. */
static bool survey_on(struct vader_scoring *scoring, size_t *bytes) {
    struct bytes word, token;
    for (;;) {
        switch (vader_text_next(&scoring->unsurveyed, bytes, &word, &token)) {
        case VADER_END:
            return true;
        case VADER_MORE:
            return false;
        case VADER_WORD:
            if (word.length > 0)
                count_word(&scoring->counts, word);
            count_punctuation(&scoring->counts, token);
        }
    }
}

static void read_word(struct place *place, size_t *bytes) {
    struct bytes word, token;
    if (vader_text_next(&place->reading, bytes, &word, &token) == VADER_WORD && word.length > 0) {
        place->ring[place->read % (sizeof(place->ring) / sizeof(struct word))] = word_of(word);
        place->read++;
    }
}

/* Adds the word that `place` is at. The 1 makes up for neutral words, each of which counts 1. */
static void add(struct sums *sums, const struct place *place) {
    const struct survey *survey = place->survey;
    double valence = valence_of(place);
    if (survey->but < survey->words && place->index != survey->but)
        valence *= place->index < survey->but ? BEFORE_BUT : AFTER_BUT;
    sums->valences += valence;
    if (valence > 0)
        sums->positive += valence + 1;
    else if (valence < 0)
        sums->negative += 1 - valence;
    else
        sums->neutral += 1;
}

/* False: it has not come to the end. Who stops is about to read, never about to add, so that the last word
 * read brings the end. */
static bool sum_on(struct vader_scoring *scoring, size_t *bytes) {
    struct place *place = &scoring->place;
    while (place->index < scoring->survey.words) {
        if (place->read > place->index + AHEAD || place->read == scoring->survey.words) {
            add(&scoring->sums, place);
            place->index++;
        } else if (*bytes == 0) {
            return false;
        } else {
            read_word(place, bytes);
        }
    }
    return true;
}

static double rounded(double value, double unit) {
    return round(value * unit) / unit + 0.0; /* + 0.0 makes -0 0 */
}

static void conclude(const struct vader_scoring *scoring, struct vader_scores *scores) {
    struct sums sums = scoring->sums;
    double punctuation = scoring->survey.punctuation;
    *scores = (struct vader_scores){0};
    if (scoring->survey.words == 0)
        return;
    if (sums.valences != 0)
        sums.valences += copysign(punctuation, sums.valences);
    if (sums.positive > sums.negative)
        sums.positive += punctuation;
    else if (sums.negative > sums.positive)
        sums.negative += punctuation;

    double total = sums.positive + sums.negative + sums.neutral;
    scores->compound = rounded(sums.valences / sqrt(sums.valences * sums.valences + NORMALISATION), 1e4);
    scores->positive = rounded(sums.positive / total, 1e3);
    scores->neutral = rounded(sums.neutral / total, 1e3);
    scores->negative = rounded(sums.negative / total, 1e3);
}

struct vader_scoring *vader_scoring_create(void) {
    return calloc(1, sizeof(struct vader_scoring));
}

void vader_scoring_destroy(struct vader_scoring **scoring) {
    free(*scoring);
    *scoring = NULL;
}

void vader_scoring_begin(struct vader_scoring *scoring, struct bytes text) {
    *scoring = (struct vader_scoring){
        .text = text, .unsurveyed = {.rest = text}, .counts = {.lower_but = NOWHERE, .upper_but = NOWHERE}};
}

bool vader_scoring_go_on(struct vader_scoring *scoring, size_t *bytes, struct vader_scores *scores) {
    if (!scoring->surveyed) {
        if (!survey_on(scoring, bytes))
            return false;
        scoring->surveyed = true;
        scoring->survey = survey_of(&scoring->counts);
        scoring->place = (struct place){.survey = &scoring->survey, .reading = {.rest = scoring->text}};
    }
    if (!sum_on(scoring, bytes))
        return false;
    conclude(scoring, scores);
    return true;
}

void vader_score(struct bytes text, struct vader_scores *scores) {
    struct vader_scoring scoring;
    size_t all = SIZE_MAX;
    vader_scoring_begin(&scoring, text);
    INVARIANT(vader_scoring_go_on(&scoring, &all, scores));
}

void vader_append_result(const struct vader_scores *scores, struct buffer *buffer) {
    double compound = scores->compound;
    bool neutral = fabs(compound) < SENTIMENT_FROM;
    const char *sentiment = neutral ? "neutral" : compound > 0 ? "positive" : "negative";
    double confidence = neutral ? 1 - fabs(compound) : fabs(compound);
    /* Below 1 four significant digits are at least the four decimals that there are. */
    buffer_append_format(buffer, "{\"sentiment\":\"%s\",\"confidence\":%.4g,\"compound\":%.4g}", sentiment,
                         confidence, compound);
}
