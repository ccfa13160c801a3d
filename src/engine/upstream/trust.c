/* Loads the certificates to trust. */
#include "engine/upstream/trust.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

struct trust {
    STACK_OF(X509) * certificates;
};

static bool read_all(FILE *file, STACK_OF(X509) * certificates) {
    X509 *certificate;
    while ((certificate = PEM_read_X509(file, NULL, NULL, NULL)) != NULL) {
        if (sk_X509_push(certificates, certificate) > 0)
            continue;
        X509_free(certificate);
        return false;
    }
    /* The end of the file is an error too: no further certificate begins. */
    unsigned long last = ERR_peek_last_error();
    ERR_clear_error();
    return ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
}

struct trust *trust_load(const char *path, struct error *error) {
    FILE *file = fopen(path, "re");
    if (!file) {
        error_set_errno(error, errno, "UPSTREAM_CA_FILE: cannot open %s", path);
        return NULL;
    }
    struct trust *trust = calloc(1, sizeof(*trust));
    if (trust)
        trust->certificates = sk_X509_new_null();
    bool good = trust && trust->certificates && read_all(file, trust->certificates) &&
                sk_X509_num(trust->certificates) > 0;
    fclose(file);
    if (!good) {
        error_set(error, "UPSTREAM_CA_FILE: %s is not a file of certificates in PEM form", path);
        trust_free(&trust);
    }
    return trust;
}

void trust_free(struct trust **trust) {
    if (!*trust)
        return;
    sk_X509_pop_free((*trust)->certificates, X509_free);
    free(*trust);
    *trust = NULL;
}

/* Called for each new connection, when the system's certificates are in place. */
static CURLcode add(CURL *easy, void *ssl_context, void *user) {
    const struct trust *trust = user;
    X509_STORE *store = SSL_CTX_get_cert_store(ssl_context);
    (void)easy;
    for (int i = 0; i < sk_X509_num(trust->certificates); i++)
        if (X509_STORE_add_cert(store, sk_X509_value(trust->certificates, i)) != 1)
            return CURLE_OUT_OF_MEMORY;
    return CURLE_OK;
}

bool trust_apply(struct trust *trust, CURL *easy) {
    return curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, add) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, trust) == CURLE_OK;
}
