/* Sorts the members of JSON objects, in slices. */
#include "inferonce/base/json_order.h"

#include <stdlib.h>

#include "inferonce/base/json_string.h"

/* So few members are sorted where they are, in one go. */
#define FEW_MEMBERS 8

#define SPARE_KEPT 1024

/* Bytes of two names that are compared for one of a budget. */
#define COMPARED_AT_ONCE 16

static void spend(size_t *budget, size_t steps) {
    *budget -= steps < *budget ? steps : *budget;
}

static int compare(const struct json_member *a, const struct json_member *b, size_t *budget) {
    size_t shorter = a->name.length < b->name.length ? a->name.length : b->name.length;
    spend(budget, 1 + shorter / COMPARED_AT_ONCE);
    return json_string_compare(a->name, b->name);
}

void json_order_begin(struct json_order *order, struct json_member *members, size_t n) {
    order->members = members;
    order->n = n;
    order->phase = JSON_ORDER_LOOKING;
    order->at = n > 0 ? 1 : 0;
    order->in_order = true;
}

/* By insertion: setting up anything else takes longer. */
static void sort_few(struct json_order *order, size_t *budget) {
    struct json_member *members = order->members;
    for (size_t i = 1; i < order->n; i++) {
        struct json_member member = members[i];
        size_t to = i;
        for (; to > 0 && compare(&member, &members[to - 1], budget) < 0; to--)
            members[to] = members[to - 1];
        members[to] = member;
    }
}

static bool make_room(struct json_order *order) {
    if (order->n <= order->capacity)
        return true;
    struct json_member *spare = reallocarray(order->spare, order->n, sizeof(*spare));
    if (!spare)
        return false;
    order->spare = spare;
    order->capacity = order->n;
    return true;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

static void begin_pair(struct json_order *order, size_t low) {
    order->low = low;
    order->first = low;
    order->second = least(low + order->width, order->n);
}

/* Merges runs pairwise, until there is one; each round into the spare members and back. False: not ready. */
static bool merge(struct json_order *order, size_t *budget) {
    while (order->width < order->n) {
        size_t middle = least(order->low + order->width, order->n);
        size_t high = least(order->low + 2 * order->width, order->n);
        const struct json_member *members = order->members;
        while (order->first < middle || order->second < high) {
            if (*budget == 0)
                return false;
            bool from_first = order->second == high ||
                              (order->first < middle &&
                               compare(&members[order->first], &members[order->second], budget) <= 0);
            size_t to = order->first + order->second - middle;
            spend(budget, 1);
            order->spare[to] = members[from_first ? order->first++ : order->second++];
        }
        if (high < order->n) {
            begin_pair(order, high);
            continue;
        }
        memcpy(order->members, order->spare, order->n * sizeof(*order->spare));
        order->width *= 2;
        begin_pair(order, 0);
    }
    return true;
}

/* How far they ascend strictly: to the end, or to the first that does not, or as far as the budget goes. */
static bool ascends(struct json_order *order, size_t *budget) {
    for (; order->at<order->n && * budget> 0; order->at++)
        if (compare(&order->members[order->at - 1], &order->members[order->at], budget) >= 0)
            return false;
    return true;
}

static enum json_order_status look(struct json_order *order, size_t *budget) {
    if (ascends(order, budget))
        return order->at < order->n ? JSON_ORDER_MORE : JSON_ORDER_DONE;
    order->in_order = false;
    if (order->n <= FEW_MEMBERS) {
        sort_few(order, budget);
        order->phase = JSON_ORDER_CHECKING;
    } else {
        if (!make_room(order))
            return JSON_ORDER_NO_MEMORY;
        order->width = 1;
        begin_pair(order, 0);
        order->phase = JSON_ORDER_MERGING;
    }
    order->at = 1;
    return JSON_ORDER_MORE;
}

enum json_order_status json_order_go_on(struct json_order *order, size_t *budget) {
    enum json_order_status status = JSON_ORDER_DONE;
    if (order->phase == JSON_ORDER_LOOKING) {
        status = look(order, budget);
        if (status != JSON_ORDER_MORE || order->phase == JSON_ORDER_LOOKING)
            return status;
    }
    if (order->phase == JSON_ORDER_MERGING) {
        if (!merge(order, budget))
            return JSON_ORDER_MORE;
        order->phase = JSON_ORDER_CHECKING;
    }
    if (!ascends(order, budget))
        return JSON_ORDER_TWICE;
    return order->at < order->n ? JSON_ORDER_MORE : JSON_ORDER_DONE;
}

void json_order_rest(struct json_order *order) {
    if (order->capacity > SPARE_KEPT)
        json_order_fini(order);
}

void json_order_fini(struct json_order *order) {
    free(order->spare);
    order->spare = NULL;
    order->capacity = 0;
}
