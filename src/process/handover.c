/* Hands descriptors and workers on to the next image of the program. */
#include "inferonce/process/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inferonce/base/buffer.h"
#include "inferonce/base/log.h"
#include "process/environment.h"
#include "process/handover_write.h"

#define HANDOVER_LINE_MAX (SETTING_TEXT_MAX + 64)

/* A few lines of that length, and a short one for each place and process. */
#define HANDOVER_BYTES_MAX (1 << 20)

/* ---- writing ---- */

static void write_listener(const struct listener *listener, struct buffer *text) {
    buffer_append_format(text, "listener %d %d %" PRIu64 " %" PRIu64 " %s\n", listener->descriptor,
                         listener->inherited, (uint64_t)listener->device, (uint64_t)listener->inode,
                         listener->path[0] ? listener->path : "-");
    if (listener->lock.path[0])
        buffer_append_format(text, "lock %d %s\n", listener->lock.descriptor, listener->lock.path);
    buffer_append_format(text, "listen %s\n", listener->text);
}

static void write_mapping(const struct shared *shared, struct buffer *text) {
    struct shared_handles handles;
    shared_hand_over(shared, &handles);
    buffer_append_format(text, "mapping %d %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %d\n", handles.descriptor,
                         handles.is_file, handles.fixed_bytes, handles.region_bytes, handles.region_tag,
                         handles.master_descriptor);
    for (unsigned i = 0; i < handles.workers; i++)
        buffer_append_format(text, "place %u %d %d\n", handles.claimed[i],
                             handles.wake_descriptors[handles.claimed[i]],
                             handles.wake_descriptors[shared_other_slot(handles.claimed[i])]);
}

static void write_children(const struct crew *crew, struct buffer *text) {
    for (unsigned i = 0; i < crew->n; i++)
        for (unsigned c = 0; c < 2; c++) {
            const struct child *child = &crew->posts[i].children[c];
            if (child->pid != 0)
                buffer_append_format(text, "child %d %u %u %" PRIu64 "\n", (int)child->pid, i, child->slot,
                                     child->started_us);
        }
    for (unsigned i = 0; i < crew->n_former; i++)
        buffer_append_format(text, "former %d\n", (int)crew->former[i]);
}

/* Returns a memory file with the text, which survives the execution of a program; -1: errno tells why. */
static int to_file(const struct buffer *text) {
    if (text->failed) {
        errno = ENOMEM;
        return -1;
    }
    int descriptor = memfd_create("inferonce-handover", 0);
    if (descriptor < 0 || write(descriptor, text->data, text->length) == (ssize_t)text->length)
        return descriptor;
    close(descriptor);
    return -1;
}

int handover_write(const struct crew *crew, struct error *error) {
    struct buffer text;
    buffer_init(&text, HANDOVER_BYTES_MAX);
    buffer_append_text(&text, "inferonce-handover 1\n");
    write_listener(crew->listener, &text);
    write_mapping(crew->shared, &text);
    write_children(crew, &text);
    int descriptor = to_file(&text);
    if (descriptor < 0)
        error_set_errno(error, errno, "cannot write down what the next image inherits");
    buffer_fini(&text);
    return descriptor;
}

/* Descriptor 0, which spawn-fcgi's socket has, is kept always: there is one in each process. */
static void keep(int descriptor, bool kept) {
    int flags = kept || descriptor == STDIN_FILENO ? 0 : FD_CLOEXEC;
    if (descriptor >= 0 && fcntl(descriptor, F_SETFD, flags) != 0)
        LOG(LOG_ERROR, "descriptor_not_kept", LOG_NUMBER("descriptor", descriptor));
}

void handover_keep(const struct crew *crew, bool kept) {
    struct shared_handles handles;
    shared_hand_over(crew->shared, &handles);
    keep(crew->listener->descriptor, kept);
    if (crew->listener->lock.path[0])
        keep(crew->listener->lock.descriptor, kept);
    keep(handles.descriptor, kept);
    keep(handles.master_descriptor, kept);
    for (unsigned i = 0; i < handles.workers; i++) {
        keep(handles.wake_descriptors[handles.claimed[i]], kept);
        keep(handles.wake_descriptors[shared_other_slot(handles.claimed[i])], kept);
    }
}

/* ---- reading ---- */

static void read_listener(const char *line, struct listener *listener) {
    uint64_t device, inode;
    int inherited;
    char path[sizeof(listener->path)];
    if (sscanf(line, "listener %d %d %" SCNu64 " %" SCNu64 " %107[^\n]", &listener->descriptor, &inherited,
               &device, &inode, path) != 5)
        return;
    listener->inherited = inherited != 0;
    listener->device = (dev_t)device;
    listener->inode = (ino_t)inode;
    if (strcmp(path, "-") != 0)
        memcpy(listener->path, path, sizeof(path));
    keep(listener->descriptor, false);
}

static void read_lock(const char *line, struct socket_lock *lock) {
    int descriptor;
    char path[sizeof(lock->path)];
    if (sscanf(line, "lock %d %115[^\n]", &descriptor, path) != 2)
        return;
    lock->descriptor = descriptor;
    memcpy(lock->path, path, sizeof(path));
    keep(descriptor, false);
}

static void read_place(const char *line, struct shared_handles *handles) {
    unsigned place;
    int one, other;
    if (handles->workers == WORKERS_MAX || sscanf(line, "place %u %d %d", &place, &one, &other) != 3 ||
        place >= WORKERS_MAX)
        return;
    handles->claimed[handles->workers++] = place;
    handles->wake_descriptors[place] = one;
    handles->wake_descriptors[shared_other_slot(place)] = other;
    keep(one, false);
    keep(other, false);
}

static void read_mapping(const char *line, struct shared_handles *handles) {
    int is_file;
    if (sscanf(line, "mapping %d %d %" SCNu64 " %" SCNu64 " %" SCNu64 " %d", &handles->descriptor, &is_file,
               &handles->fixed_bytes, &handles->region_bytes, &handles->region_tag,
               &handles->master_descriptor) != 6)
        return;
    handles->is_file = is_file != 0;
    keep(handles->descriptor, false);
    keep(handles->master_descriptor, false);
}

static void read_child(const char *line, struct handover *handover) {
    struct handover_child child;
    int pid;
    if (handover->n_children == SLOTS_MAX ||
        sscanf(line, "child %d %u %u %" SCNu64, &pid, &child.index, &child.slot, &child.started_us) != 4 ||
        child.index >= WORKERS_MAX || child.slot >= SLOTS_MAX)
        return;
    child.pid = pid;
    handover->children[handover->n_children++] = child;
}

static void read_line(const char *line, struct handover *handover) {
    int number;
    if (strncmp(line, "listener ", 9) == 0) {
        read_listener(line, &handover->listener);
    } else if (strncmp(line, "listen ", 7) == 0) {
        snprintf(handover->listen, sizeof(handover->listen), "%.*s", (int)strcspn(line + 7, "\n"), line + 7);
    } else if (strncmp(line, "lock ", 5) == 0) {
        read_lock(line, &handover->listener.lock);
    } else if (strncmp(line, "mapping ", 8) == 0) {
        read_mapping(line, &handover->mapping);
    } else if (strncmp(line, "place ", 6) == 0) {
        read_place(line, &handover->mapping);
    } else if (strncmp(line, "child ", 6) == 0) {
        read_child(line, handover);
    } else if (sscanf(line, "former %d", &number) == 1 && handover->n_former < 2 * SLOTS_MAX) {
        handover->former[handover->n_former++] = number;
    }
}

void handover_read(struct handover *handover) {
    uint64_t number;
    *handover = (struct handover){.given = getenv(HANDOVER_VARIABLE) != NULL, .listener = {.descriptor = -1}};
    handover->mapping.descriptor = handover->mapping.master_descriptor = -1;
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        handover->mapping.wake_descriptors[slot] = -1;
    bool named = environment_number(HANDOVER_VARIABLE, &number) && number <= INT_MAX;
    unsetenv(HANDOVER_VARIABLE);
    /* The image before has written to it, so that its offset is its end. */
    FILE *file = named && lseek((int)number, 0, SEEK_SET) == 0 ? fdopen((int)number, "r") : NULL;
    char line[HANDOVER_LINE_MAX];
    while (file && fgets(line, sizeof(line), file))
        read_line(line, handover);
    if (file)
        fclose(file);
}
