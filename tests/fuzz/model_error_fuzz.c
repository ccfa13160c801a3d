/* libFuzzer: any error of an inference server, and any text. What is shown is bounded UTF-8 on one line and
 * repeats no long run of the text. The first byte says how long the text is; the answer is what is behind it.
 */
#include <stdint.h>

#include "engine/upstream/model_error.h"
#include "inferonce/base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct model_error error;
    if (size < 1 || size - 1 < data[0])
        return 0;
    struct bytes text = {(const char *)data + 1, data[0]};
    struct bytes answer = {text.data + text.length, size - 1 - text.length};
    model_error_read(&error, answer, &text, 1);
    struct bytes message = bytes_of(error.message);
    INVARIANT(message.length < MODEL_ERROR_MAX && utf8_is_valid(message));
    for (size_t i = 0; i < message.length; i++)
        INVARIANT((unsigned char)message.data[i] >= ' ' && message.data[i] != 0x7f);
    /* A control character is shown as a space, which the text may have. */
    if (memchr(answer.data, '\\', answer.length))
        return 0;
    for (size_t i = 0; i + MODEL_ERROR_REPEATED_MAX <= message.length; i++)
        INVARIANT(text.length == 0 ||
                  !memmem(text.data, text.length, message.data + i, MODEL_ERROR_REPEATED_MAX));
    return 0;
}
