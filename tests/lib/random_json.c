#include "random_json.h"

#include <stdint.h>
#include <string.h>

static const char *const PIECES[] = {
    "{",         "}",          "[",       "]",       ":",       ",",     "\"text\":", "\"texts\":[",
    "\"keys\":", "\"a\"",      "\"\\n\"", "\"b\":",  "1",       "-1.50", "1e5",       "true",
    "null",      " ",          "\"",      "\\u0061", "\\ud83d", "\\",    "\u00e9",    "\"\":",
    "{}",        "{\"text\":", "\"a\":1", "\xC3",    "\\ude00", "\"}",   "\"],",      "99999999999999999999"};
static const char *const SEEDS[] = {
    "{\"text\":\"a\\u0062\\n\",\"p\":{\"z\":1,\"y\":[{\"b\":1.0,\"a\":\"\\u00e9\"}]}}",
    "{\"texts\":[\"a\",\"b\\\"\"],\"q\":[1,2,3],\"p\":null}", "{\"keys\":[\"ab\",\"cd\"]}",
    "{\"text\":\"just plain\"}",
    "{\"b\":{\"b\":{\"b\":1,\"a\":2},\"a\":[]},\"a\":\"\\ud83d\\ude00\\\\\",\"text\":\"t\"}"};

#define PIECES_MAX   16
#define REPLACED_MAX 4

static uint32_t next_random(uint32_t limit) {
    static uint32_t state = 5;
    state = state * 1664525 + 1013904223;
    return (uint32_t)(((uint64_t)(state >> 4) * limit) >> 28);
}

size_t random_json(char text[RANDOM_JSON_MAX]) {
    text[0] = '\0';
    if (next_random(2) == 0) {
        for (uint32_t n = next_random(PIECES_MAX); n > 0; n--)
            strcat(text, PIECES[next_random(sizeof(PIECES) / sizeof(PIECES[0]))]);
        return strlen(text);
    }
    strcpy(text, SEEDS[next_random(sizeof(SEEDS) / sizeof(SEEDS[0]))]);
    size_t length = strlen(text);
    for (uint32_t n = next_random(REPLACED_MAX); n > 0; n--)
        text[next_random((uint32_t)length)] = "\"\\{}[]:,0a u\x01\xC3"[next_random(15)];
    return length;
}
