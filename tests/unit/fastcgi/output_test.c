/* Answers through a socket pair whose buffers are small, so that they are cut everywhere. */
#include "fastcgi/output.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "records.h"
#include "unit.h"

#define CONTENT_MAX (8 << 20)

static struct stats stats;
static struct blobs *blobs;
static struct output output;
static int sockets[2]; /* ours, the reader's */
static struct buffer received;

static void begin(int send_buffer) {
    memset(&stats, 0, sizeof(stats));
    blobs = blobs_create(&stats);
    CU_ASSERT_PTR_NOT_NULL_FATAL(blobs);
    output_init(&output, blobs);
    buffer_init(&received, 2 * CONTENT_MAX);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets), 0);
    (void)setsockopt(sockets[0], SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof(send_buffer));
}

static void end(void) {
    output_fini(&output);
    blobs_destroy(&blobs);
    CU_ASSERT_EQUAL(stats.value[STAT_held_bytes], 0);
    buffer_fini(&received);
    close(sockets[0]);
    close(sockets[1]);
}

static void read_some(size_t most) {
    char *to = buffer_reserve(&received, most);
    CU_ASSERT_PTR_NOT_NULL_FATAL(to);
    ssize_t n = recv(sockets[1], to, most, 0);
    received.length += n > 0 ? (size_t)n : 0;
}

/* Writes and reads in turns until all is written. */
static void write_all(size_t most) {
    size_t taken;
    enum output_status status;
    while ((status = output_write(&output, sockets[0], &taken)) == OUTPUT_WAITS)
        read_some(most);
    CU_ASSERT_EQUAL(status, OUTPUT_WRITTEN);
    CU_ASSERT_FALSE(output_waits(&output));
    size_t before;
    do {
        before = received.length;
        read_some(1 << 20);
    } while (received.length > before);
}

/* The content of STDOUT up to END_REQUEST for `id`; the records are consumed. */
static void unpack(int id, struct buffer *content) {
    struct seen_record record = {0};
    while (record.type != END && see_record(buffer_bytes(&received), &record)) {
        CU_ASSERT_EQUAL(record.id, id);
        if (record.type == STDOUT)
            buffer_append_bytes(content, record.content);
        buffer_consume(&received, record.size);
    }
    CU_ASSERT_EQUAL(record.type, END);
}

static char *patterned(size_t length) {
    char *bytes = malloc(length + 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = (char)(i * 31 % 251);
    return bytes;
}

static void expect(int id, struct bytes expected) {
    struct buffer content;
    buffer_init(&content, 2 * CONTENT_MAX);
    unpack(id, &content);
    CU_ASSERT_EQUAL(content.length, expected.length);
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&content), expected));
    buffer_fini(&content);
}

/* Lengths around those of records, in pieces of many lengths, read in pieces of others. */
static void test_any_lengths(void) {
    static const size_t LENGTHS[] = {0,      1,      7,      8,          65519,      65520,  65527,
                                     65528,  65529,  65535,  65536,      2 * 65528,  131057, 200000,
                                     400000, 524224, 524225, 16 * 65528, 3 * 1000003};
    static const size_t PARTS[] = {1000003, 65528, 20000, 4999};
    char *bytes = patterned(CONTENT_MAX);
    struct piece *pieces = calloc(2000, sizeof(*pieces));
    CU_ASSERT_PTR_NOT_NULL_FATAL(pieces);
    begin(20000);
    for (size_t i = 0; i < sizeof(LENGTHS) / sizeof(LENGTHS[0]); i++) {
        for (size_t j = 0; j < sizeof(PARTS) / sizeof(PARTS[0]); j++) {
            size_t n = 0;
            for (size_t at = 0; at < LENGTHS[i]; at += PARTS[j]) {
                size_t left = LENGTHS[i] - at;
                pieces[n++] = (struct piece){.bytes = {NULL, 0}};
                pieces[n++] = (struct piece){.bytes = {bytes + at, left < PARTS[j] ? left : PARTS[j]}};
            }
            int id = (int)(300 + i);
            CU_ASSERT_TRUE(output_answer(&output, (uint16_t)id, pieces, n));
            write_all(7777);
            expect(id, (struct bytes){bytes, LENGTHS[i]});
            CU_ASSERT_EQUAL(received.length, 0);
        }
    }
    end();
    free(pieces);
    free(bytes);
}

/* Borrowed bytes may be gone as soon as output_write has returned. */
static void test_keeps_what_was_borrowed(void) {
    enum { LENGTH = 300000, SHORT = 100 };
    char *large = patterned(LENGTH);
    char *whole = patterned(LENGTH);
    char small[SHORT];
    size_t taken;
    begin(20000);
    memset(small, 's', sizeof(small));
    const struct piece pieces[] = {{.bytes = {large, LENGTH}}, {.bytes = {small, SHORT}}};
    CU_ASSERT_TRUE(output_answer(&output, 1, pieces, 2));
    CU_ASSERT_EQUAL(output_write(&output, sockets[0], &taken), OUTPUT_WAITS);
    CU_ASSERT(taken > 0);
    CU_ASSERT_EQUAL(stats.value[STAT_held_bytes], LENGTH);
    memset(large, 'x', LENGTH);
    memset(small, 'x', SHORT);
    write_all(5000);
    CU_ASSERT_EQUAL(stats.value[STAT_held_bytes], 0);
    struct buffer content;
    buffer_init(&content, 2 * CONTENT_MAX);
    unpack(1, &content);
    CU_ASSERT_EQUAL_FATAL(content.length, LENGTH + SHORT);
    CU_ASSERT_TRUE(memcmp(content.data, whole, LENGTH) == 0);
    CU_ASSERT(content.data[LENGTH] == 's' && content.data[LENGTH + SHORT - 1] == 's');
    buffer_fini(&content);
    free(large);
    free(whole);
    end();
}

/* 256 times the same bytes, for three readers that do not read: held once. */
static void test_shares_what_is_equal(void) {
    enum { LENGTH = 240000, TIMES = 256, READERS = 3 };
    struct piece pieces[TIMES];
    struct output outputs[READERS];
    size_t taken;
    begin(20000);
    for (size_t r = 0; r < READERS; r++) {
        char *bytes = patterned(LENGTH);
        struct blob *blob = blobs_hold(blobs, (struct bytes){bytes, LENGTH});
        CU_ASSERT_PTR_NOT_NULL_FATAL(blob);
        free(bytes);
        for (size_t i = 0; i < TIMES; i++)
            pieces[i] = (struct piece){blob->bytes, blob};
        output_init(&outputs[r], blobs);
        CU_ASSERT_TRUE(output_answer(&outputs[r], 1, pieces, TIMES));
        CU_ASSERT_EQUAL(output_write(&outputs[r], sockets[0], &taken), OUTPUT_WAITS);
        blob_unref(blob);
    }
    CU_ASSERT_EQUAL(stats.value[STAT_held_bytes], LENGTH);
    for (size_t r = 0; r < READERS; r++)
        output_fini(&outputs[r]);
    CU_ASSERT_EQUAL(stats.value[STAT_held_bytes], 0);
    end();
}

static void test_says_before_and_behind(void) {
    char *bytes = patterned(100000);
    begin(20000);
    struct buffer said;
    buffer_init(&said, 1000);
    put_record(&said, UNKNOWN_TYPE, 0, bytes_of("12345678"), 0);
    CU_ASSERT_TRUE(output_say(&output, buffer_bytes(&said)));
    const struct piece piece = {.bytes = {bytes, 100000}};
    CU_ASSERT_TRUE(output_answer(&output, 5, &piece, 1));
    CU_ASSERT_TRUE(output_say(&output, buffer_bytes(&said)));
    write_all(3000);
    CU_ASSERT_TRUE(memcmp(received.data, said.data, said.length) == 0);
    buffer_consume(&received, said.length);
    expect(5, (struct bytes){bytes, 100000});
    CU_ASSERT_TRUE(bytes_equal(buffer_bytes(&received), buffer_bytes(&said)));
    buffer_fini(&said);
    free(bytes);
    end();
}

static void test_what_is_said_has_a_limit(void) {
    unsigned said = 0;
    begin(20000);
    while (said < 10000 && output_say(&output, bytes_of("12345678")))
        said++;
    CU_ASSERT(said > 512 && said < 10000);
    end();
}

static void test_peer_is_gone(void) {
    size_t taken;
    begin(20000);
    close(sockets[1]);
    const struct piece piece = {.bytes = bytes_of("text")};
    CU_ASSERT_TRUE(output_answer(&output, 1, &piece, 1));
    CU_ASSERT_EQUAL(output_write(&output, sockets[0], &taken), OUTPUT_GONE);
    sockets[1] = open("/dev/null", O_RDONLY);
    end();
}

static void test_no_memory_to_keep(void) {
    char *bytes = patterned(300000);
    const struct piece pieces[] = {{.bytes = {bytes, 300000}}, {.bytes = {bytes, 100}}};
    for (unsigned fail_at = 1; fail_at <= 3; fail_at++) {
        size_t taken;
        begin(20000);
        CU_ASSERT_TRUE(output_answer(&output, 1, pieces, 2));
        unit_allocations_count_start();
        unit_allocations_fail(fail_at, false);
        enum output_status status = output_write(&output, sockets[0], &taken);
        unit_allocations_heal();
        if (unit_allocations_count() > 0) /* no sanitizer has the allocator */
            CU_ASSERT_EQUAL(status, OUTPUT_NO_MEMORY);
        end();
    }
    free(bytes);
}

static const struct unit_case CASES[] = {
    {"answers of any length, in any pieces", test_any_lengths},
    {"keeps what was borrowed", test_keeps_what_was_borrowed},
    {"shares what is equal", test_shares_what_is_equal},
    {"says records before and behind an answer", test_says_before_and_behind},
    {"what is said has a limit", test_what_is_said_has_a_limit},
    {"the peer is gone", test_peer_is_gone},
    {"no memory to keep what waits", test_no_memory_to_keep},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "output", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
