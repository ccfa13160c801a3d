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
#include "process/handover_write.h"

#define FIRST_LINE "inferonce-handover 1"

#define HANDOVER_LINE_MAX (SETTING_TEXT_MAX + 64)

/* ---- writing ---- */

static void write_listener(const struct listener *listener, FILE *file) {
    fprintf(file, "listener %d %d %" PRIu64 " %" PRIu64 " %s\n", listener->descriptor, listener->inherited,
            (uint64_t)listener->device, (uint64_t)listener->inode, listener->path[0] ? listener->path : "-");
    if (listener->lock.path[0])
        fprintf(file, "lock %d %s\n", listener->lock.descriptor, listener->lock.path);
    fprintf(file, "listen %s\n", listener->text);
}

static void write_mapping(const struct shared *shared, FILE *file) {
    struct shared_handles handles;
    shared_hand_over(shared, &handles);
    fprintf(file, "mapping %d %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %d\n", handles.descriptor,
            handles.is_file, handles.fixed_bytes, handles.region_bytes, handles.region_tag,
            handles.master_descriptor);
    for (unsigned i = 0; i < handles.workers; i++)
        fprintf(file, "place %u %d %d\n", handles.claimed[i], handles.wake_descriptors[handles.claimed[i]],
                handles.wake_descriptors[shared_other_slot(handles.claimed[i])]);
    if (shared->state)
        fprintf(file, "state %d\n", shared->state_descriptor);
}

static void write_children(const struct crew *crew, FILE *file) {
    for (unsigned i = 0; i < crew->n; i++)
        for (unsigned c = 0; c < 2; c++) {
            const struct child *child = &crew->posts[i].children[c];
            if (child->pid != 0)
                fprintf(file, "child %d %u %u %" PRIu64 "\n", (int)child->pid, i, child->slot,
                        child->started_us);
        }
    for (unsigned i = 0; i < crew->n_former; i++)
        fprintf(file, "former %d\n", (int)crew->former[i]);
}

int handover_write(const struct crew *crew, struct error *error) {
    int descriptor = memfd_create("inferonce-handover", MFD_CLOEXEC);
    int copy = descriptor < 0 ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, 3);
    FILE *file = copy < 0 ? NULL : fdopen(copy, "w");
    if (!file) {
        error_set_errno(error, errno, "cannot write down what the next image inherits");
        if (copy >= 0)
            close(copy);
        if (descriptor >= 0)
            close(descriptor);
        return -1;
    }
    fprintf(file, FIRST_LINE "\n");
    write_listener(crew->listener, file);
    write_mapping(crew->shared, file);
    write_children(crew, file);
    if (fclose(file) == 0)
        return descriptor;
    error_set_errno(error, errno, "cannot write down what the next image inherits");
    close(descriptor);
    return -1;
}

static void keep(int descriptor, bool kept) {
    if (descriptor >= 0 && fcntl(descriptor, F_SETFD, kept ? 0 : FD_CLOEXEC) != 0)
        LOG(LOG_ERROR, "descriptor_not_kept", LOG_NUMBER("descriptor", descriptor));
}

void handover_keep(const struct crew *crew, bool kept) {
    struct shared_handles handles;
    shared_hand_over(crew->shared, &handles);
    if (crew->listener->descriptor != STDIN_FILENO)
        keep(crew->listener->descriptor, kept);
    if (crew->listener->lock.path[0])
        keep(crew->listener->lock.descriptor, kept);
    keep(handles.descriptor, kept);
    keep(handles.master_descriptor, kept);
    for (unsigned i = 0; i < handles.workers; i++) {
        keep(handles.wake_descriptors[handles.claimed[i]], kept);
        keep(handles.wake_descriptors[shared_other_slot(handles.claimed[i])], kept);
    }
    keep(crew->shared->state_descriptor, kept);
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
    } else if (sscanf(line, "state %d", &number) == 1) {
        handover->state_descriptor = number;
        keep(number, false);
    } else if (strncmp(line, "child ", 6) == 0) {
        read_child(line, handover);
    } else if (sscanf(line, "former %d", &number) == 1 && handover->n_former < 2 * SLOTS_MAX) {
        handover->former[handover->n_former++] = number;
    }
}

void handover_read(struct handover *handover) {
    const char *variable = getenv(HANDOVER_VARIABLE);
    *handover = (struct handover){.listener = {.descriptor = -1}, .state_descriptor = -1};
    handover->mapping.descriptor = handover->mapping.master_descriptor = -1;
    for (unsigned slot = 0; slot < SLOTS_MAX; slot++)
        handover->mapping.wake_descriptors[slot] = -1;
    if (!variable)
        return;
    uint64_t number = 0;
    int descriptor = bytes_to_number(bytes_of(variable), &number) && number <= INT_MAX ? (int)number : -1;
    unsetenv(HANDOVER_VARIABLE);
    /* The image before has written to it; each has an offset of its own. */
    FILE *file = lseek(descriptor, 0, SEEK_SET) == 0 ? fdopen(descriptor, "r") : NULL;
    char line[HANDOVER_LINE_MAX] = "";
    handover->given = file != NULL;
    handover->broken = !file || !fgets(line, sizeof(line), file) || strcmp(line, FIRST_LINE "\n") != 0;
    while (!handover->broken && fgets(line, sizeof(line), file))
        read_line(line, handover);
    handover->broken = handover->broken || handover->listener.descriptor < 0;
    if (file)
        fclose(file);
}
