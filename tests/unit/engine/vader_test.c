#include "engine/vader/vader.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

/* The scores are published with four decimals. */
#define EXACTLY 0.00005

static struct vader_scores score(const char *text) {
    struct vader_scores scores;
    vader_score(bytes_of(text), &scores);
    return scores;
}

static double compound(const char *text) {
    return score(text).compound;
}

/* The compound score of a text whose words' valences, with everything that the rules do to them, add up to
 * `sum`: the paper's normalisation with alpha 15. */
static double of_sum(double sum) {
    return round(sum / sqrt(sum * sum + 15) * 10000) / 10000;
}

static void test_published_examples(void) {
    /* From the demonstration in the README of VADER, as far as the implementations agree on it. */
    static const struct {
        const char *text;
        struct vader_scores scores;
    } EXAMPLES[] = {
        {"VADER is smart, handsome, and funny.", {0.8316, 0.746, 0.254, 0}},
        {"VADER is smart, handsome, and funny!", {0.8439, 0.752, 0.248, 0}},
        {"VADER is very smart, handsome, and funny.", {0.8545, 0.701, 0.299, 0}},
        {"VADER is VERY SMART, handsome, and FUNNY.", {0.9227, 0.754, 0.246, 0}},
        {"VADER is VERY SMART, handsome, and FUNNY!!!", {0.9342, 0.767, 0.233, 0}},
        {"VADER is VERY SMART, uber handsome, and FRIGGIN FUNNY!!!", {0.9469, 0.706, 0.294, 0}},
        {"VADER is not smart, handsome, nor funny.", {-0.7424, 0, 0.354, 0.646}},
        {"The book was good.", {0.4404, 0.492, 0.508, 0}},
        {"The book was only kind of good.", {0.3832, 0.303, 0.697, 0}},
        {"The plot was good, but the characters are uncompelling and the dialog is not great.",
         {-0.7042, 0.094, 0.579, 0.327}},
        {"At least it isn't a horrible book.", {0.431, 0.363, 0.637, 0}},
        {"Make sure you :) or :D today!", {0.8633, 0.706, 0.294, 0}},
        {"Today SUX!", {-0.5461, 0, 0.221, 0.779}},
    };

    for (size_t i = 0; i < sizeof(EXAMPLES) / sizeof(EXAMPLES[0]); i++) {
        struct vader_scores scores = score(EXAMPLES[i].text);
        CU_ASSERT_DOUBLE_EQUAL(scores.compound, EXAMPLES[i].scores.compound, EXACTLY);
        CU_ASSERT_DOUBLE_EQUAL(scores.positive, EXAMPLES[i].scores.positive, EXACTLY);
        CU_ASSERT_DOUBLE_EQUAL(scores.neutral, EXAMPLES[i].scores.neutral, EXACTLY);
        CU_ASSERT_DOUBLE_EQUAL(scores.negative, EXAMPLES[i].scores.negative, EXACTLY);
    }
}

/* How many of `n` scores of a column of reviews.tsv are met within 0.01, as the published agreement is
 * measured. */
struct agreement {
    unsigned n, as_written, lower_case;
};

static struct agreement agreement_with_reviews(void) {
    struct agreement agreement = {0};
    FILE *file = fopen("tests/data/reviews.tsv", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    char line[4096];
    while (fgets(line, sizeof(line), file)) {
        char *save = NULL;
        const char *text = strtok_r(line, "\t", &save);
        const char *label = strtok_r(NULL, "\t", &save);
        const char *as_written = strtok_r(NULL, "\t", &save);
        const char *lower_case = strtok_r(NULL, "\t\n", &save);
        if (!text || !label || !as_written || !lower_case)
            continue; /* the attribution */
        agreement.n++;
        agreement.as_written += fabs(compound(text) - strtod(as_written, NULL)) <= 0.01;
        char lower[sizeof(line)];
        size_t i = 0;
        for (; text[i]; i++)
            lower[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] - 'A' + 'a') : text[i];
        lower[i] = '\0';
        agreement.lower_case += fabs(compound(lower) - strtod(lower_case, NULL)) <= 0.01;
    }
    fclose(file);
    return agreement;
}

static void test_reviews(void) {
    /* The required agreement is 97 %; there is no difference, and none may come. */
    struct agreement agreement = agreement_with_reviews();
    CU_ASSERT_EQUAL(agreement.n, 500);
    CU_ASSERT_EQUAL(agreement.as_written, 500);
    CU_ASSERT_EQUAL(agreement.lower_case, 500);
}

static bool is_reachable(const char *token) {
    for (const char *c = token; *c; c++) {
        if (*c == ' ' || (*c >= 'A' && *c <= 'Z') || (unsigned char)*c >= 0x80)
            return false;
    }
    return strlen(token) > 1; /* single letters are not words */
}

static void test_every_word_of_the_lexicon(void) {
    FILE *file = fopen("src/engine/vader/lexicon.tsv", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    char line[256];
    /* The last of two equal tokens counts: so first all lines are read, and then only those are
     * compared for which there is no later one. They stand close together, within a few lines of the sorted
     * file, or 7500 lines apart. */
    static struct {
        char token[32];
        double valence;
    } words[8000];
    size_t n = 0;
    while (fgets(line, sizeof(line), file)) {
        char *tab = strchr(line, '\t');
        if (line[0] == '#' || !tab)
            continue;
        *tab = '\0';
        CU_ASSERT_FATAL(n < sizeof(words) / sizeof(words[0]) && strlen(line) < sizeof(words[0].token));
        memcpy(words[n].token, line, strlen(line) + 1);
        words[n++].valence = strtod(tab + 1, NULL);
    }
    fclose(file);
    CU_ASSERT(n > 7500);
    size_t compared = 0;
    for (size_t i = 0; i < n; i++) {
        bool repeated = false;
        for (size_t k = i + 1; k < n && !repeated; k++)
            repeated = strcmp(words[i].token, words[k].token) == 0;
        if (repeated || !is_reachable(words[i].token))
            continue;
        compared++;
        /* Some tokens hold question marks; one is no emphasis. None holds an exclamation mark. */
        double expected = of_sum(words[i].valence);
        if (fabs(compound(words[i].token) - expected) >= EXACTLY)
            printf("    %s: %g, expected %g\n", words[i].token, compound(words[i].token), expected);
        CU_ASSERT_DOUBLE_EQUAL(compound(words[i].token), expected, EXACTLY);
    }
    CU_ASSERT(compared > 7400);
}

static void test_words(void) {
    double good = of_sum(1.9); /* the lexicon's "good" */
    CU_ASSERT_DOUBLE_EQUAL(compound("good"), good, EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("GoOd"), good, EXACTLY); /* the lexicon is looked up in lower case */
    CU_ASSERT_DOUBLE_EQUAL(compound("  good\t\r\n\v\f "), good, EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("x\u00a0good\u3000x\u2028\ufeff"), good, EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("good,"), good, EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("\"good"), good, EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("goods"), 0, EXACTLY); /* whole words only */
    CU_ASSERT_DOUBLE_EQUAL(compound("goo"), 0, EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("good-"), good, EXACTLY);
    /* The reference takes punctuation off one end only, and only what it lists. */
    CU_ASSERT_DOUBLE_EQUAL(compound("\"good\""), 0, EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("good)"), 0, EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("good,;"), 0, EXACTLY);
}

static void test_degree(void) {
    /* README of VADER: "extremely good" is 0.293 above "good", "marginally good" as much below. */
    CU_ASSERT_DOUBLE_EQUAL(compound("extremely good"), of_sum(1.9 + 0.293), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("marginally good"), of_sum(1.9 - 0.293), EXACTLY);
    /* Away from zero on the negative side as well; "bad" is -2.5. */
    CU_ASSERT_DOUBLE_EQUAL(compound("extremely bad"), of_sum(-2.5 - 0.293), EXACTLY);
    /* Less with distance: 95 %, 90 %, nothing. */
    CU_ASSERT_DOUBLE_EQUAL(compound("very xx good"), of_sum(1.9 + 0.293 * 0.95), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("very xx xx good"), of_sum(1.9 + 0.293 * 0.9), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("very xx xx xx good"), of_sum(1.9), EXACTLY);
    /* Boosters add up, and in whatever case they are written. */
    CU_ASSERT_DOUBLE_EQUAL(compound("Really Very good"), of_sum(1.9 + 0.293 + 0.293 * 0.95), EXACTLY);
    /* A booster has no valence of its own. */
    CU_ASSERT_DOUBLE_EQUAL(compound("very very"), 0, EXACTLY);
    /* Two-word entries; "kind" before "of" is not the friendly one. */
    CU_ASSERT_DOUBLE_EQUAL(compound("it was sort of good"), of_sum(1.9 - 0.293), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("it was just enough good"), of_sum(1.9 - 0.293), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("it was sort of xx good"), of_sum(1.9 - 0.293), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("it was sort of xx xx good"), of_sum(1.9), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("kind of"), 0, EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("kind"), of_sum(2.4), EXACTLY);
}

static void test_negation(void) {
    CU_ASSERT_DOUBLE_EQUAL(compound("not good"), of_sum(1.9 * -0.74), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("not bad"), of_sum(-2.5 * -0.74), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("not xx good"), of_sum(1.9 * -0.74), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("not xx xx good"), of_sum(1.9 * -0.74), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("not xx xx xx good"), of_sum(1.9), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("isn't good"), of_sum(1.9 * -0.74), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("isnt good"), of_sum(1.9 * -0.74), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("without good"), of_sum(1.9 * -0.74), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("not very good"), of_sum((1.9 + 0.293) * -0.74), EXACTLY);
    /* The reference knows listed negations in lower case only. */
    CU_ASSERT_DOUBLE_EQUAL(compound("Not good"), of_sum(1.9), EXACTLY);
    /* "never so good" and "never this good" are praise. */
    CU_ASSERT_DOUBLE_EQUAL(compound("never this good"), of_sum(1.9 * 1.5), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("never so good"), of_sum((1.9 + 0.293) * 1.5), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("never this xx good"), of_sum(1.9 * 1.25), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("never xx good"), of_sum(1.9 * -0.74), EXACTLY);
}

static void test_least(void) {
    /* README of VADER: "one of the least compelling" against "at least compelling"; "compelling" is not
     * listed, "good" is. */
    CU_ASSERT_DOUBLE_EQUAL(compound("the least good"), of_sum(1.9 * -0.74), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("least good"), of_sum(1.9 * -0.74), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("at least good"), of_sum(1.9), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("At Least good"), of_sum(1.9), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("very least good"), of_sum(1.9 + 0.293 * 0.95), EXACTLY);
}

static void test_capitals(void) {
    /* 0.733 for a word in capitals, when not all of them are. */
    CU_ASSERT_DOUBLE_EQUAL(compound("it is GOOD"), of_sum(1.9 + 0.733), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("it is BAD"), of_sum(-2.5 - 0.733), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("IT IS GOOD"), of_sum(1.9), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("it is Good"), of_sum(1.9), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("it is VERY good"), of_sum(1.9 + 0.293 + 0.733), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("it is VERY bad"), of_sum(-2.5 - 0.293 - 0.733), EXACTLY);
    /* Digits and signs are no letters in capitals: without another word in capitals "GOOD" is the only one.
     */
    CU_ASSERT_DOUBLE_EQUAL(compound("123 GOOD"), of_sum(1.9 + 0.733), EXACTLY);
}

static void test_punctuation(void) {
    CU_ASSERT_DOUBLE_EQUAL(compound("good!"), of_sum(1.9 + 0.292), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("good ! ! ! !"), of_sum(1.9 + 4 * 0.292), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("good ! ! ! ! ! !"), of_sum(1.9 + 4 * 0.292),
                           EXACTLY); /* no more than four */
    CU_ASSERT_DOUBLE_EQUAL(compound("bad!"), of_sum(-2.5 - 0.292), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("good?"), of_sum(1.9), EXACTLY); /* one question mark is a question */
    CU_ASSERT_DOUBLE_EQUAL(compound("good??"), of_sum(1.9 + 2 * 0.18), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("good???"), of_sum(1.9 + 3 * 0.18), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("good ????"), of_sum(1.9 + 0.96), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("what!!!"), 0, EXACTLY); /* it emphasises, it is no sentiment */
}

static void test_but(void) {
    /* Words before "but" count half, words behind it one and a half times. */
    CU_ASSERT_DOUBLE_EQUAL(compound("good but bad"), of_sum(0.5 * 1.9 - 1.5 * 2.5), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("bad but good"), of_sum(-0.5 * 2.5 + 1.5 * 1.9), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("but good"), of_sum(1.5 * 1.9), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("good but"), of_sum(0.5 * 1.9), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("xx but good but bad"), of_sum(1.5 * 1.9 - 1.5 * 2.5),
                           EXACTLY); /* the first */
    CU_ASSERT_DOUBLE_EQUAL(compound("good BUT xx"), of_sum(0.5 * 1.9), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("good But xx"), of_sum(1.9), EXACTLY); /* as the reference */
}

static void test_idioms(void) {
    /* They replace the valence of a word with three words before it. "shit" is -2.6 and "bomb" -2.2 by
     * themselves. */
    CU_ASSERT_DOUBLE_EQUAL(compound("this thing is the shit"), of_sum(3), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("this thing is the bomb"), of_sum(3), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("this thing is shit"), of_sum(-2.6), EXACTLY);
    CU_ASSERT_DOUBLE_EQUAL(compound("it is the kiss of death"), of_sum(-1.5 - 1.5),
                           EXACTLY); /* kiss and death */
    /* One that begins with the word: "bad ass" makes both of them 1.5. */
    CU_ASSERT_DOUBLE_EQUAL(compound("it is so bad ass"), of_sum(1.5 + 1.5), EXACTLY);
    /* Nor where the third word before has a valence itself; "great" is 3.1. */
    CU_ASSERT_DOUBLE_EQUAL(compound("great thing the bomb"), of_sum(3.1 - 2.2), EXACTLY);
    /* Near the front the reference does not look for them. */
    CU_ASSERT_DOUBLE_EQUAL(compound("the bomb"), of_sum(-2.2), EXACTLY);
}

static void test_odd_texts(void) {
    static const char *const NEUTRAL[] = {"",       " ", "a",         "a b c",  "\t\n",
                                          "\u3000", "!", "?????????", "\u00e9", "0"};
    for (size_t i = 0; i < sizeof(NEUTRAL) / sizeof(NEUTRAL[0]); i++)
        CU_ASSERT_EQUAL(compound(NEUTRAL[i]), 0);
    struct vader_scores empty = score("");
    CU_ASSERT_EQUAL(empty.positive + empty.neutral + empty.negative, 0);
    CU_ASSERT_EQUAL(score("table").neutral, 1);

    struct vader_scores scores;
    vader_score((struct bytes){NULL, 0}, &scores);
    CU_ASSERT_EQUAL(scores.compound, 0);
    /* Bytes that are not UTF-8, also cut in the middle of what begins as white space, and a NUL. */
    vader_score((struct bytes){"good \xff\xfe\x80 \xe3\x80", 11}, &scores);
    CU_ASSERT_DOUBLE_EQUAL(scores.compound, of_sum(1.9), EXACTLY);
    vader_score((struct bytes){"good\0good good", 14}, &scores);
    CU_ASSERT_DOUBLE_EQUAL(scores.compound, of_sum(1.9), EXACTLY);
    /* Valences that cancel but for the last bit (-0.1 - 0.2 + 0.3) are 0 and not -0. */
    CU_ASSERT_EQUAL(compound("2g2bt nimq pls"), 0);
    CU_ASSERT_FALSE(signbit(compound("2g2bt nimq pls")));
    CU_ASSERT_DOUBLE_EQUAL(compound("good good"), of_sum(3.8), EXACTLY);
}

/* A text that ends where the memory does, for a sanitizer to see what is read behind it. */
static struct vader_scores score_of_copy(const char *text, size_t length) {
    char *copy = malloc(length > 0 ? length : 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(copy);
    if (length > 0)
        memcpy(copy, text, length);
    struct vader_scores scores;
    vader_score((struct bytes){copy, length}, &scores);
    free(copy);
    return scores;
}

static void test_every_prefix(void) {
    static const char TEXT[] =
        "Yeah, it's NOT the\u00a0bomb but kind of\u2003good?! \xf0\x9f\x98\x80 cut the mustard :-) \xe3\x80";
    for (size_t length = 0; length < sizeof(TEXT); length++) {
        struct vader_scores scores = score_of_copy(TEXT, length);
        double sum = scores.positive + scores.neutral + scores.negative;
        CU_ASSERT(scores.compound >= -1 && scores.compound <= 1);
        CU_ASSERT(sum == 0 || fabs(sum - 1) < 0.0021); /* three rounded shares */
    }
}

/* Long texts are scored in two passes with a window of words, and nothing is allocated, so there is nothing
 * that could grow with the square of the length; if there were, a megabyte in one of these shapes would take
 * hours. */
static void test_long_texts(void) {
    static const struct {
        const char *unit;
        double compound;
    } SHAPES[] = {
        {"good ", 1},        /* a sum of 398,000 */
        {"xxxxx", 0},        /* one word */
        {"!!!!!", 0},        /* one token of punctuation */
        {"n'n'n", 0},        /* almost negations */
        {"     ", 0},        /* nothing */
        {"\u3000a ", 0},     /* words of one letter between wide spaces */
        {"not a", 0},        /* glued together */
        {"but !", 0},        /* as many "but" as there can be */
        {"so bad ", -1},     /* a degree adverb before each */
        {"kind of ", 0},     /* a phrase of two words at each word */
        {"the ", 0},         /* beginnings of idioms */
        {"\xe3\x80\x81", 0}, /* what begins as a wide space and is none */
    };

    size_t length = 1024 * 1024;
    char *text = malloc(length);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    for (size_t i = 0; i < sizeof(SHAPES) / sizeof(SHAPES[0]); i++) {
        size_t unit = strlen(SHAPES[i].unit);
        for (size_t k = 0; k < length; k++)
            text[k] = SHAPES[i].unit[k % unit];
        struct vader_scores scores;
        unit_allocations_count_start();
        vader_score((struct bytes){text, length}, &scores);
        CU_ASSERT_EQUAL(unit_allocations_count(), 0);
        CU_ASSERT_EQUAL(scores.compound, SHAPES[i].compound);
    }
    free(text);
}

/* In parts of any size the scores are the same, and a part is about as long as was said. */
static void test_in_parts(void) {
    static const char *const TEXTS[] = {
        "",
        " ",
        "a",
        "good",
        "a good a",
        "  The SERVICE here is a kind of extremely good, but it's a pity: NOT the bomb!! \u3000 ",
        "At least it isn't a horrible book?? a b c d e f g h i j k l m n o p q r s t u v w x y z GREAT but "
        "BAD"};
    struct vader_scoring *scoring = vader_scoring_create();
    CU_ASSERT_PTR_NOT_NULL_FATAL(scoring);
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        struct vader_scores whole = score(TEXTS[i]), parts;
        for (size_t part = 1; part <= strlen(TEXTS[i]) + 1; part++) {
            size_t bytes, n = 1;
            vader_scoring_begin(scoring, bytes_of(TEXTS[i]));
            while (bytes = part, !vader_scoring_go_on(scoring, &bytes, &parts)) {
                CU_ASSERT_EQUAL(bytes, 0);
                n++;
            }
            CU_ASSERT_EQUAL(memcmp(&whole, &parts, sizeof(whole)), 0);
            CU_ASSERT(n <= 2 * strlen(TEXTS[i]) / part + 1);
            CU_ASSERT(n >= 2 * strlen(TEXTS[i]) / (part + sizeof("extremely ")));
        }
    }
    vader_scoring_destroy(&scoring);
    CU_ASSERT_PTR_NULL(scoring);
}

static void check_result(double score, const char *expected) {
    struct buffer buffer;
    buffer_init(&buffer, 256);
    struct vader_scores scores = {.compound = score};
    vader_append_result(&scores, &buffer);
    CU_ASSERT_FALSE(buffer.failed);
    if (!bytes_equal(buffer_bytes(&buffer), bytes_of(expected)))
        printf("    %.*s, expected %s\n", (int)buffer.length, buffer.data, expected);
    CU_ASSERT(bytes_equal(buffer_bytes(&buffer), bytes_of(expected)));
    buffer_fini(&buffer);
}

static void test_result(void) {
    check_result(0.8316, "{\"sentiment\":\"positive\",\"confidence\":0.8316,\"compound\":0.8316}");
    check_result(-0.7424, "{\"sentiment\":\"negative\",\"confidence\":0.7424,\"compound\":-0.7424}");
    /* The paper's thresholds belong to the sentiments. */
    check_result(0.05, "{\"sentiment\":\"positive\",\"confidence\":0.05,\"compound\":0.05}");
    check_result(-0.05, "{\"sentiment\":\"negative\",\"confidence\":0.05,\"compound\":-0.05}");
    check_result(0.0499, "{\"sentiment\":\"neutral\",\"confidence\":0.9501,\"compound\":0.0499}");
    check_result(-0.0499, "{\"sentiment\":\"neutral\",\"confidence\":0.9501,\"compound\":-0.0499}");
    check_result(0, "{\"sentiment\":\"neutral\",\"confidence\":1,\"compound\":0}");
    check_result(1, "{\"sentiment\":\"positive\",\"confidence\":1,\"compound\":1}");
    check_result(0.0001, "{\"sentiment\":\"neutral\",\"confidence\":0.9999,\"compound\":0.0001}");
}

static const struct unit_case CASES[] = {
    {"scores the published examples as published", test_published_examples},
    {"agrees with the reference on 500 reviews, as written and in lower case", test_reviews},
    {"finds every word of the lexicon", test_every_word_of_the_lexicon},
    {"splits into words and takes punctuation off", test_words},
    {"boosts and dampens", test_degree},
    {"negates", test_negation},
    {"takes least for a negation unless it is at least", test_least},
    {"emphasises capitals among small letters", test_capitals},
    {"emphasises by exclamation and question marks", test_punctuation},
    {"weighs what is behind but more", test_but},
    {"knows idioms", test_idioms},
    {"takes any bytes", test_odd_texts},
    {"reads nothing behind the text", test_every_prefix},
    {"scores long texts without memory", test_long_texts},
    {"in parts", test_in_parts},
    {"writes the result with the paper's thresholds", test_result},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "vader", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
