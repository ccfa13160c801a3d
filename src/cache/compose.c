/* Unicode NFC, character by character, in slices. */
#include "cache/compose.h"

#include <stdlib.h>
#include <utf8proc.h>

/* Runs of marks up to this long are ordered where they are, and worked on in one go. */
#define SHORT_RUN 32
#define LONG_RUN  4096

#define CLASSES 256

#define LAST_POINT 0x10FFFF

#define HANGUL_S     0xAC00
#define HANGUL_L     0x1100
#define HANGUL_V     0x1161
#define HANGUL_T     0x11A7
#define HANGUL_S_END 0xD7A4
#define HANGUL_L_END 0x1113
#define HANGUL_V_END 0x1176
#define HANGUL_T_END 0x11C3
#define V_COUNT      (HANGUL_V_END - HANGUL_V)
#define T_COUNT      (HANGUL_T_END - HANGUL_T)

/* ---- what is known of a character ---- */

static bool is_between(int32_t point, int32_t first, int32_t end) {
    return point >= first && point < end;
}

static uint8_t class_of(int32_t point) {
    return (uint8_t)utf8proc_get_property(point)->combining_class;
}

/* Whether a character that stands alone is something else in NFC: the canonical singletons, and what Unicode
 * excludes from composition. All others that can be decomposed are composed again. Unicode promises that this
 * never changes for a character. */
static bool is_changed(int32_t point, const utf8proc_property_t *property) {
    if (property->decomp_seqindex == UINT16_MAX || property->decomp_type != 0)
        return false;
    if (property->comp_exclusion || is_between(point, 0xF900, 0xFB00) || point >= 0x2F800)
        return true;
    switch (point) {
    case 0x0340:
    case 0x0341:
    case 0x0343:
    case 0x0344:
    case 0x0374:
    case 0x037E:
    case 0x0387:
    case 0x0F73:
    case 0x0F75:
    case 0x0F81:
    case 0x1F71:
    case 0x1F73:
    case 0x1F75:
    case 0x1F77:
    case 0x1F79:
    case 0x1F7B:
    case 0x1F7D:
    case 0x1FBB:
    case 0x1FBE:
    case 0x1FC9:
    case 0x1FCB:
    case 0x1FD3:
    case 0x1FDB:
    case 0x1FE3:
    case 0x1FEB:
    case 0x1FEE:
    case 0x1FEF:
    case 0x1FF9:
    case 0x1FFB:
    case 0x1FFD:
    case 0x2000:
    case 0x2001:
    case 0x2126:
    case 0x212A:
    case 0x212B:
    case 0x2329:
    case 0x232A:
        return true;
    default:
        return false;
    }
}

/* Whether a starter can be the second half of a composition: NFC_Quick_Check is Maybe. */
static bool is_second_half(int32_t point) {
    if (point < 0x09BE)
        return false;
    if (is_between(point, HANGUL_V, HANGUL_V_END) || is_between(point, HANGUL_T + 1, HANGUL_T_END))
        return true;
    switch (point) {
    case 0x09BE:
    case 0x09D7:
    case 0x0B3E:
    case 0x0B56:
    case 0x0B57:
    case 0x0BBE:
    case 0x0BD7:
    case 0x0CC2:
    case 0x0CD5:
    case 0x0CD6:
    case 0x0D3E:
    case 0x0D57:
    case 0x0DCF:
    case 0x0DDF:
    case 0x102E:
    case 0x1B35:
    case 0x11127:
    case 0x1133E:
    case 0x11357:
    case 0x114B0:
    case 0x114BA:
    case 0x114BD:
    case 0x115AF:
    case 0x11930:
        return true;
    default:
        return false;
    }
}

/* Makes one character of two; false: they stay two. */
static bool compose_pair(int32_t first, int32_t second, int32_t *composed) {
    if (is_between(first, HANGUL_L, HANGUL_L_END) && is_between(second, HANGUL_V, HANGUL_V_END)) {
        *composed = HANGUL_S + ((first - HANGUL_L) * V_COUNT + second - HANGUL_V) * T_COUNT;
        return true;
    }
    if (is_between(second, HANGUL_T + 1, HANGUL_T_END)) {
        if (!is_between(first, HANGUL_S, HANGUL_S_END) || (first - HANGUL_S) % T_COUNT != 0)
            return false;
        *composed = first + second - HANGUL_T;
        return true;
    }
    if (first < 0 || first > LAST_POINT)
        return false;
    int32_t pair[] = {first, second};
    if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE) != 1)
        return false;
    *composed = pair[0];
    return true;
}

static unsigned decompose(int32_t point, int32_t to[COMPOSE_DECOMPOSED_MAX]) {
    utf8proc_ssize_t n = utf8proc_decompose_char(point, to, COMPOSE_DECOMPOSED_MAX,
                                                 UTF8PROC_DECOMPOSE | UTF8PROC_STABLE, NULL);
    INVARIANT(n > 0 && n <= COMPOSE_DECOMPOSED_MAX);
    return (unsigned)n;
}

/* ---- the run of marks ---- */

static bool points_reserve(struct points *points, size_t capacity) {
    if (points->capacity >= capacity)
        return true;
    int32_t *at = reallocarray(points->at, capacity, sizeof(*at));
    if (!at)
        return false;
    points->at = at;
    points->capacity = capacity;
    return true;
}

/* By insertion: a short run. Marks of one class keep their order. */
static void order_short(struct points *run) {
    for (size_t i = 1; i < run->length; i++) {
        int32_t mark = run->at[i];
        uint8_t class = class_of(mark);
        size_t to = i;
        for (; to > 0 && class_of(run->at[to - 1]) > class; to--)
            run->at[to] = run->at[to - 1];
        run->at[to] = mark;
    }
}

/* By counting: a quadratic sort of a long run would stop the worker for minutes. The numbers of marks of each
 * class were counted as they came. */
static bool order_begin(struct compose *compose) {
    size_t before = 0;
    if (!points_reserve(&compose->ordered, compose->run.length))
        return false;
    for (size_t class = 0; class < CLASSES; class ++) {
        size_t members = compose->next_of_class[class];
        compose->next_of_class[class] = before;
        before += members;
    }
    compose->at = 0;
    return true;
}

static size_t spend(size_t *budget, size_t wanted) {
    size_t spent = wanted < *budget ? wanted : *budget;
    *budget -= spent;
    return spent;
}

/* False: not ready. */
static bool order_go_on(struct compose *compose, size_t *budget) {
    struct points *run = &compose->run;
    size_t end = compose->at + spend(budget, run->length - compose->at);
    for (; compose->at < end; compose->at++) {
        int32_t mark = run->at[compose->at];
        compose->ordered.at[compose->next_of_class[class_of(mark)]++] = mark;
    }
    if (compose->at < run->length)
        return false;
    compose->ordered.length = run->length;
    struct points unordered = *run;
    *run = compose->ordered;
    compose->ordered = unordered;
    return true;
}

static enum compose_phase begin_composing(struct compose *compose) {
    compose->at = compose->kept = 0;
    compose->last_class = 0;
    return COMPOSE_COMPOSING;
}

/* A mark composes with the starter unless one that stays, of its class or a higher one, is between them.
 * False: not ready. */
static bool compose_go_on(struct compose *compose, size_t *budget) {
    struct points *run = &compose->run;
    size_t end = compose->at + spend(budget, run->length - compose->at);
    for (; compose->at < end; compose->at++) {
        int32_t mark = run->at[compose->at];
        uint8_t class = class_of(mark);
        if (class > compose->last_class && compose_pair(compose->starter, mark, &compose->starter))
            continue;
        compose->last_class = class > compose->last_class ? class : compose->last_class;
        run->at[compose->kept++] = mark;
    }
    if (compose->at < run->length)
        return false;
    run->length = compose->kept;
    return true;
}

/* ---- gathering ---- */

static bool count_classes(struct compose *compose) {
    compose->next_of_class = calloc(CLASSES, sizeof(*compose->next_of_class));
    if (!compose->next_of_class)
        return false;
    for (size_t i = 0; i < compose->run.length; i++)
        compose->next_of_class[class_of(compose->run.at[i])]++;
    return true;
}

/* A long run gets room for the longest at once: to move it again and again would take long. Memory that is
 * not written to costs nothing. */
static bool make_room(struct compose *compose) {
    struct points *run = &compose->run;
    if (run->length < run->capacity)
        return true;
    if (run->length < LONG_RUN)
        return points_reserve(run, run->length < SHORT_RUN ? SHORT_RUN : LONG_RUN);
    return points_reserve(run, run->length < compose->most ? compose->most : 2 * run->length);
}

static bool add_mark(struct compose *compose, int32_t mark, uint8_t class) {
    struct points *run = &compose->run;
    if (!make_room(compose))
        return false;
    compose->unordered = compose->unordered || (run->length > 0 && class < compose->last_class);
    compose->last_class = class;
    run->at[run->length++] = mark;
    if (run->length <= SHORT_RUN)
        return true;
    if (!compose->next_of_class)
        return count_classes(compose);
    compose->next_of_class[class]++;
    return true;
}

/* Has what a character is made of come next, before what is waiting. */
static void put_back(struct compose *compose, const int32_t *points, unsigned n) {
    int32_t all[COMPOSE_DECOMPOSED_MAX + 1];
    unsigned waiting = compose->n_waiting - compose->next_waiting;
    INVARIANT(n + waiting <= COMPOSE_DECOMPOSED_MAX + 1);
    memcpy(all, points, n * sizeof(*points));
    memcpy(all + n, compose->waiting + compose->next_waiting, waiting * sizeof(*points));
    memcpy(compose->waiting, all, (n + waiting) * sizeof(*points));
    compose->next_waiting = 0;
    compose->n_waiting = n + waiting;
}

/* A starter that came composed is taken apart when a mark follows that might go between its own. False: there
 * is nothing to take apart. */
static bool open_starter(struct compose *compose, int32_t mark) {
    int32_t parts[COMPOSE_DECOMPOSED_MAX];
    if (compose->starter < 0 || compose->starter > LAST_POINT ||
        utf8proc_get_property(compose->starter)->decomp_seqindex == UINT16_MAX)
        return false;
    unsigned n = decompose(compose->starter, parts);
    if (n == 1 || class_of(parts[n - 1]) == 0)
        return false;
    put_back(compose, &mark, 1);
    put_back(compose, parts + 1, n - 1);
    compose->starter = parts[0];
    return true;
}

/* The run is complete. False: no memory. */
static bool close_run(struct compose *compose, int32_t behind) {
    compose->behind = behind;
    if (compose->unordered && compose->run.length > SHORT_RUN) {
        compose->phase = COMPOSE_ORDERING;
        return order_begin(compose);
    }
    if (compose->unordered)
        order_short(&compose->run);
    compose->phase = begin_composing(compose);
    return true;
}

/* FLOW_OVER: a run is complete, or the text is over. */
static enum flow gather(struct compose *compose, flow_source source, void *context, int32_t *point,
                        size_t *budget) {
    for (;;) {
        int32_t next, parts[COMPOSE_DECOMPOSED_MAX];
        enum flow flow = FLOW_POINT;
        if (compose->next_waiting < compose->n_waiting)
            next = compose->waiting[compose->next_waiting++];
        else
            flow = source(context, &next, budget);
        if (flow == FLOW_OVER)
            return close_run(compose, COMPOSE_NONE) ? FLOW_OVER : FLOW_NO_MEMORY;
        if (flow != FLOW_POINT)
            return flow;
        const utf8proc_property_t *property = utf8proc_get_property(next);
        uint8_t class = (uint8_t)property->combining_class;
        if (is_changed(next, property)) {
            put_back(compose, parts, decompose(next, parts));
        } else if (class > 0) {
            if ((compose->run.length > 0 || !open_starter(compose, next)) && !add_mark(compose, next, class))
                return FLOW_NO_MEMORY;
        } else if (compose->run.length > 0) {
            return close_run(compose, next) ? FLOW_OVER : FLOW_NO_MEMORY;
        } else if (!is_second_half(next) || !compose_pair(compose->starter, next, &compose->starter)) {
            *point = compose->starter;
            compose->starter = next;
            if (*point != COMPOSE_NONE)
                return FLOW_POINT;
        }
    }
}

/* ---- what is ready ---- */

static void settle(struct compose *compose) {
    bool absorbed = compose->run.length == 0 && compose->behind != COMPOSE_NONE &&
                    is_second_half(compose->behind) &&
                    compose_pair(compose->starter, compose->behind, &compose->starter);
    compose->unordered = false;
    compose->last_class = 0;
    compose->at = 0;
    compose->emits_marks = false;
    compose->phase = absorbed ? COMPOSE_GATHERING : COMPOSE_EMITTING;
}

static void points_fini(struct points *points) {
    free(points->at);
    *points = (struct points){0};
}

/* The memory that a long run needed. */
static void give_back(struct compose *compose) {
    if (compose->run.length > SHORT_RUN)
        points_fini(&compose->run);
    points_fini(&compose->ordered);
    free(compose->next_of_class);
    compose->next_of_class = NULL;
}

static enum flow emit(struct compose *compose, int32_t *point, size_t *budget) {
    if (!compose->emits_marks) {
        compose->emits_marks = true;
        *point = compose->starter;
        if (compose->starter != COMPOSE_NONE)
            return FLOW_POINT;
    }
    if (compose->at < compose->run.length) {
        if (spend(budget, 1) == 0)
            return FLOW_MORE;
        *point = compose->run.at[compose->at++];
        return FLOW_POINT;
    }
    give_back(compose);
    compose->run.length = 0;
    compose->starter = compose->behind;
    compose->phase = compose->behind == COMPOSE_NONE ? COMPOSE_OVER : COMPOSE_GATHERING;
    return FLOW_OVER;
}

void compose_init(struct compose *compose, size_t most) {
    *compose = (struct compose){.most = most, .starter = COMPOSE_NONE, .behind = COMPOSE_NONE};
}

void compose_fini(struct compose *compose) {
    points_fini(&compose->run);
    points_fini(&compose->ordered);
    free(compose->next_of_class);
    compose_init(compose, 0);
}

enum flow compose_next(struct compose *compose, flow_source source, void *context, int32_t *point,
                       size_t *budget) {
    for (;;) {
        enum flow flow = FLOW_OVER; /* go on with the next phase */
        switch (compose->phase) {
        case COMPOSE_GATHERING:
            flow = gather(compose, source, context, point, budget);
            break;
        case COMPOSE_ORDERING:
            if (!order_go_on(compose, budget))
                return FLOW_MORE;
            compose->phase = begin_composing(compose);
            break;
        case COMPOSE_COMPOSING:
            if (!compose_go_on(compose, budget))
                return FLOW_MORE;
            settle(compose);
            break;
        case COMPOSE_EMITTING:
            flow = emit(compose, point, budget);
            break;
        case COMPOSE_OVER:
            return FLOW_OVER;
        }
        if (flow != FLOW_OVER)
            return flow;
    }
}
