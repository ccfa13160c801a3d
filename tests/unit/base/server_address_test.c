#include "inferonce/base/server_address.h"

#include <stdio.h>

#include "unit.h"

static void test_lists(void) {
    struct bytes list = bytes_of("one:11211, unix:/run/two.sock ,[::1]:65535");
    struct server_address address;
    CU_ASSERT_TRUE(server_address_next(&list, &address));
    CU_ASSERT_STRING_EQUAL(address.host, "one");
    CU_ASSERT_EQUAL(address.port, 11211);
    CU_ASSERT_TRUE(server_address_next(&list, &address));
    CU_ASSERT_STRING_EQUAL(address.host, "/run/two.sock");
    CU_ASSERT_EQUAL(address.port, 0);
    CU_ASSERT_TRUE(server_address_next(&list, &address));
    CU_ASSERT_STRING_EQUAL(address.host, "::1");
    CU_ASSERT_EQUAL(address.port, 65535);
    CU_ASSERT_EQUAL(list.length, 0);
}

static void test_no_addresses(void) {
    static const char *const WRONG[] = {"",           ":1",      "host",   "host:",   "host:0",
                                        "host:65536", "host:1x", "unix:",  ",host:1", "host:1,",
                                        "[::1]",      "[::1",    "[::1]1", "[]:1",    "a:b:1"};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        struct bytes list = bytes_of(WRONG[i]);
        struct server_address address = {.host = "as before"};
        CU_ASSERT_FALSE(server_address_next(&list, &address));
        CU_ASSERT_STRING_EQUAL(address.host, "as before");
        CU_ASSERT_EQUAL(list.length, strlen(WRONG[i]));
    }
}

static void test_longest_path(void) {
    char text[256];
    struct server_address address;
    snprintf(text, sizeof(text), "unix:/%0*d", SERVER_HOST_MAX - 1, 0);
    struct bytes list = bytes_of(text);
    CU_ASSERT_TRUE(server_address_next(&list, &address));
    snprintf(text, sizeof(text), "unix:/%0*d", SERVER_HOST_MAX, 0);
    list = bytes_of(text);
    CU_ASSERT_FALSE(server_address_next(&list, &address));
}

static void test_redis_urls(void) {
    struct redis_url url;
    CU_ASSERT_TRUE(redis_url_read(bytes_of("redis://localhost"), &url));
    CU_ASSERT_STRING_EQUAL(url.address.host, "localhost");
    CU_ASSERT_EQUAL(url.address.port, 6379);
    CU_ASSERT_EQUAL(url.database, 0);
    CU_ASSERT_STRING_EQUAL(url.password, "");
    CU_ASSERT_TRUE(redis_url_read(bytes_of("redis://me:p%40ss%2fword@[::1]:7000/12"), &url));
    CU_ASSERT_STRING_EQUAL(url.address.host, "::1");
    CU_ASSERT_EQUAL(url.address.port, 7000);
    CU_ASSERT_EQUAL(url.database, 12);
    CU_ASSERT_STRING_EQUAL(url.user, "me");
    CU_ASSERT_STRING_EQUAL(url.password, "p@ss/word");
    CU_ASSERT_TRUE(redis_url_read(bytes_of("redis://:secret@host/"), &url));
    CU_ASSERT_STRING_EQUAL(url.user, "");
    CU_ASSERT_STRING_EQUAL(url.password, "secret");
    CU_ASSERT_TRUE(redis_url_read(bytes_of("unix://:secret@/run/redis.sock"), &url));
    CU_ASSERT_STRING_EQUAL(url.address.host, "/run/redis.sock");
    CU_ASSERT_EQUAL(url.address.port, 0);
    CU_ASSERT_STRING_EQUAL(url.password, "secret");
}

static void test_no_redis_urls(void) {
    static const char *const WRONG[] = {"",
                                        "localhost:6379",
                                        "http://localhost",
                                        "redis://",
                                        "redis://host:0",
                                        "redis://host:x",
                                        "redis://host/x",
                                        "redis://host/1/2",
                                        "redis://user@host",
                                        "redis://user:@host",
                                        "redis://:a%2@host",
                                        "redis://:a%zz@host",
                                        "redis://:a%00@host",
                                        "unix://",
                                        "unix://relative"};
    struct redis_url url = {.database = 77};
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++)
        CU_ASSERT_FALSE(redis_url_read(bytes_of(WRONG[i]), &url));
    CU_ASSERT_EQUAL(url.database, 77);
}

static void test_literals(void) {
    static const struct {
        struct server_address address;
        const char *numeric; /* NULL: it is a name */
    } LITERALS[] = {
        {{"127.0.0.2", 11211}, "127.0.0.2"},
        {{"127.2", 11211}, "127.0.0.2"},
        {{"::1", 11211}, "::1"},
        {{"0:0::0:1", 11211}, "::1"},
        {{"/run/m.sock", 0}, "/run/m.sock"},
        {{"localhost", 11211}, NULL},
        {{"127.0.0.256", 11211}, NULL},
        {{"no host has blanks", 11211}, NULL},
    };
    for (size_t i = 0; i < sizeof(LITERALS) / sizeof(LITERALS[0]); i++) {
        struct server_address numeric = {"untouched", 7};
        bool is_literal = server_address_is_literal(&LITERALS[i].address, &numeric);
        CU_ASSERT_EQUAL(is_literal, LITERALS[i].numeric != NULL);
        CU_ASSERT_STRING_EQUAL(numeric.host, is_literal ? LITERALS[i].numeric : "untouched");
        CU_ASSERT_EQUAL(numeric.port, is_literal ? LITERALS[i].address.port : 7);
    }
}

static const struct unit_case CASES[] = {
    {"lists of addresses", test_lists},           {"what is no address", test_no_addresses},
    {"the longest path", test_longest_path},      {"Redis URLs", test_redis_urls},
    {"what is no Redis URL", test_no_redis_urls}, {"numbers and names", test_literals},
};

int main(int argc, char *argv[]) {
    return unit_main(argc, argv, "server_address", CASES, sizeof(CASES) / sizeof(CASES[0]));
}
