/* Errors of set-up, and the check of what we ourselves promised.
 *
 * Functions that can fail while the program serves return an outcome of their own module. Functions that run
 * before it serves (settings, listener, mapping, stores) return false and fill a `struct error` with one line
 * for the person who starts it. */
#ifndef INFERONCE_BASE_ERROR_H
#define INFERONCE_BASE_ERROR_H

#define MUST_CHECK                       __attribute__((warn_unused_result))
#define PRINTF_LIKE(format_at, first_at) __attribute__((format(printf, format_at, first_at)))

struct error {
    char text[512];
};

/* Writes the message, cut to fit. `error` may be NULL. */
void error_set(struct error *error, const char *format, ...) PRINTF_LIKE(2, 3);

/* As error_set, with ": " and the text of `errno_value` behind it. */
void error_set_errno(struct error *error, int errno_value, const char *format, ...) PRINTF_LIKE(3, 4);

/* Our own bug: says where and aborts, in the shipped program too. Never for what comes from outside (network,
 * file, mapping). */
#define INVARIANT(condition) ((condition) ? (void)0 : invariant_failed(#condition, __FILE__, __LINE__))

_Noreturn void invariant_failed(const char *condition, const char *file, int line);

#endif
