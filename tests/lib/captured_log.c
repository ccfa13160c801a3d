#include "captured_log.h"

#include <fcntl.h>
#include <unistd.h>

#include "inferonce/base/log.h"
#include "unit.h"

static int ends[2];
static char lines[16384]; /* less than a pipe holds */

void captured_log_begin(void) {
    /* Later than anything that was logged before. */
    static struct clock later = {
        .fake = true, .monotonic_us = UINT64_C(1) << 52, .wall_us = UINT64_C(1) << 52};
    later.monotonic_us += 3600 * UINT64_C(1000000);
    later.wall_us += 3600 * UINT64_C(1000000);
    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_NONBLOCK), 0);
    log_set_clock(&later);
    log_setup(LOG_INFO, LOG_LOGFMT, ends[1]);
}

const char *captured_log_end(void) {
    log_setup(LOG_INFO, LOG_LOGFMT, STDERR_FILENO);
    log_set_clock(NULL);
    ssize_t length = read(ends[0], lines, sizeof(lines) - 1);
    lines[length > 0 ? length : 0] = '\0';
    close(ends[0]);
    close(ends[1]);
    return lines;
}
