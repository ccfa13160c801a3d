/* Reads the dates of header fields. */
#include "inferonce/http/date.h"

#include <time.h>

#define DATE_LENGTH_MAX 40

bool http_date_read(struct bytes text, int64_t *seconds) {
    /* IMF-fixdate, RFC 850, asctime. The program sets no locale, so the names are English. */
    static const char *const FORMS[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %e %H:%M:%S %Y"};
    char date[DATE_LENGTH_MAX + 1];
    text = bytes_trim(text);
    if (text.length == 0 || text.length > DATE_LENGTH_MAX || memchr(text.data, '\0', text.length))
        return false;
    memcpy(date, text.data, text.length);
    date[text.length] = '\0';
    for (size_t i = 0; i < sizeof(FORMS) / sizeof(FORMS[0]); i++) {
        struct tm parts = {0};
        const char *end = strptime(date, FORMS[i], &parts);
        if (!end || *end != '\0')
            continue;
        *seconds = (int64_t)timegm(&parts);
        return true;
    }
    return false;
}
