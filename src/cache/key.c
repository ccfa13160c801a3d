/* Computes keys. */
#include "inferonce/cache/key.h"

#include "inferonce/base/little_endian.h"

/* The functions of OpenSSL that hash without allocating. EVP_DigestInit allocates for every digest, even with
 * a context that is reused, and so can fail for every request; these cannot. OpenSSL 3.0 deprecates them in
 * favour of EVP. */
#define OPENSSL_API_COMPAT 0x10100000L
#include <openssl/sha.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof(((struct key_writer *)0)->hash), "the hash has room");

static SHA256_CTX *hash_of(struct key_writer *writer) {
    return (void *)writer->hash;
}

static void flush(struct key_writer *writer) {
    INVARIANT(SHA256_Update(hash_of(writer), writer->bytes, writer->length) == 1);
    writer->length = 0;
}

static void put_number(struct key_writer *writer, uint64_t number) {
    if (sizeof(writer->bytes) - writer->length < sizeof(number))
        flush(writer);
    store_u64(writer->bytes + writer->length, number);
    writer->length += sizeof(number);
}

void key_writer_add(struct key_writer *writer, struct bytes piece) {
    if (piece.length == 0)
        return;
    if (sizeof(writer->bytes) - writer->length < piece.length)
        flush(writer);
    if (piece.length > sizeof(writer->bytes)) {
        INVARIANT(SHA256_Update(hash_of(writer), piece.data, piece.length) == 1);
        return;
    }
    memcpy(writer->bytes + writer->length, piece.data, piece.length);
    writer->length += piece.length;
}

void key_writer_field(struct key_writer *writer, size_t length) {
    put_number(writer, length);
}

static void put_field(struct key_writer *writer, struct bytes field) {
    put_number(writer, field.length);
    key_writer_add(writer, field);
}

static void put_number_field(struct key_writer *writer, uint64_t number) {
    put_number(writer, sizeof(number));
    put_number(writer, number);
}

static void put_key_field(struct key_writer *writer, const struct key *key) {
    put_field(writer, (struct bytes){(const char *)key->bytes, KEY_LENGTH});
}

static void start(struct key_writer *writer, const char *domain) {
    INVARIANT(SHA256_Init(hash_of(writer)) == 1);
    writer->length = 0;
    put_field(writer, bytes_of(domain));
    put_number_field(writer, KEY_SCHEMA_VERSION);
}

void key_writer_end(struct key_writer *writer, struct key *key) {
    flush(writer);
    INVARIANT(SHA256_Final(key->bytes, hash_of(writer)) == 1);
}

void key_writer_begin(struct key_writer *writer, const struct key_fields *fields) {
    start(writer, "entry");
    put_field(writer, fields->cache_namespace);
    put_field(writer, fields->route);
    put_field(writer, fields->engine);
    put_field(writer, fields->dialect);
    put_field(writer, fields->model_name);
    put_field(writer, fields->model_version);
    put_field(writer, fields->sharing);
    put_field(writer, fields->level);
}

void key_of_entry(const struct key_fields *fields, struct key *key) {
    struct key_writer writer;
    key_writer_begin(&writer, fields);
    put_field(&writer, fields->parameters);
    put_field(&writer, fields->credential);
    put_field(&writer, fields->text);
    key_writer_end(&writer, key);
}

void key_of_generation(struct bytes cache_namespace, struct key *key) {
    struct key_writer writer;
    start(&writer, "generation");
    put_field(&writer, cache_namespace);
    key_writer_end(&writer, key);
}

static void key_of_pair(const char *domain, const struct key *first, uint64_t second, struct key *key) {
    struct key_writer writer;
    start(&writer, domain);
    put_key_field(&writer, first);
    put_number_field(&writer, second);
    key_writer_end(&writer, key);
}

/* A key as store_generation_is_rare knows it. */
static void key_of_rare(const char *domain, const struct key *first, uint64_t second, struct key *key) {
    key_of_pair(domain, first, second, key);
    memset(key->bytes + KEY_LENGTH - 8, 0, 8);
}

void key_of_removals(const struct key *generation, const struct key *entry, struct key *key) {
    key_of_rare("removals", generation, entry->bytes[0], key);
}

void key_of_purge(const struct key *generation, struct key *key) {
    key_of_rare("purge", generation, 0, key);
}

void key_of_lease(const struct key *entry, uint64_t epoch, uint64_t generation, struct key *key) {
    struct key_writer writer;
    start(&writer, "lease");
    put_key_field(&writer, entry);
    put_number_field(&writer, epoch);
    put_number_field(&writer, generation);
    key_writer_end(&writer, key);
}

void key_of_next_lease(const struct key *lease, struct key *key) {
    key_of_pair("next lease", lease, 0, key);
}

void key_of_outcome(const struct key *lease, uint64_t nonce, struct key *key) {
    key_of_pair("outcome", lease, nonce, key);
}

void key_of_liveness(uint64_t instance, uint32_t slot, uint64_t incarnation, struct key *key) {
    struct key_writer writer;
    start(&writer, "liveness");
    put_number_field(&writer, instance);
    put_number_field(&writer, slot);
    put_number_field(&writer, incarnation);
    key_writer_end(&writer, key);
}

void key_of_refusal(const struct key *lease, uint64_t nonce, struct bytes credential, struct key *key) {
    struct key_writer writer;
    start(&writer, "refusal");
    put_key_field(&writer, lease);
    put_number_field(&writer, nonce);
    put_field(&writer, credential);
    key_writer_end(&writer, key);
}

void key_to_hex(const struct key *key, char hex[KEY_HEX_LENGTH + 1]) {
    static const char DIGITS[] = "0123456789abcdef";
    for (size_t i = 0; i < KEY_LENGTH; i++) {
        hex[2 * i] = DIGITS[key->bytes[i] >> 4];
        hex[2 * i + 1] = DIGITS[key->bytes[i] & 15];
    }
    hex[KEY_HEX_LENGTH] = '\0';
}

/* -1: not a digit. */
static int hex_value(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool key_from_hex(struct bytes hex, struct key *key) {
    struct key read;
    if (hex.length != KEY_HEX_LENGTH)
        return false;
    for (size_t i = 0; i < KEY_LENGTH; i++) {
        int high = hex_value(hex.data[2 * i]);
        int low = hex_value(hex.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        read.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *key = read;
    return true;
}
