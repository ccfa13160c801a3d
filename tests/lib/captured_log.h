/* Captures log lines while a test looks, instead of writing them to standard error; no line is left out for
 * coming too often. */
#ifndef INFERONCE_TESTS_CAPTURED_LOG_H
#define INFERONCE_TESTS_CAPTURED_LOG_H

/* Lines of level info and above are kept from here on. */
void captured_log_begin(void);

/* Ends that. The lines, each with its line feed; valid until the next captured_log_begin. */
const char *captured_log_end(void);

#endif
