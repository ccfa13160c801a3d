/* Gives the listening socket to the user and group that the settings name. */
#include "process/socket_owner.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <unistd.h>

#include "inferonce/base/buffer.h"

/* chown(2): leaves the user or the group as it is. */
#define UNCHANGED UINT32_MAX

static bool read_number(const char *text, uint32_t *id) {
    uint64_t number;
    if (!bytes_to_number(bytes_of(text), &number) || number >= UNCHANGED)
        return false;
    *id = (uint32_t)number;
    return true;
}

static bool find_user(const char *name, uint32_t *id, struct error *error) {
    if (read_number(name, id))
        return true;
    const struct passwd *user = getpwnam(name);
    if (!user) {
        error_set(error, "LISTEN_OWNER=%s: no such user", name);
        return false;
    }
    *id = user->pw_uid;
    return true;
}

static bool find_group(const char *name, uint32_t *id, struct error *error) {
    if (read_number(name, id))
        return true;
    const struct group *group = getgrnam(name);
    if (!group) {
        error_set(error, "LISTEN_GROUP=%s: no such group", name);
        return false;
    }
    *id = group->gr_gid;
    return true;
}

/* Sets one of the two, so that an error names the setting that is to blame. */
static bool set_one(const char *setting, const char *name, const char *path, uint32_t user, uint32_t group,
                    struct error *error) {
    if (lchown(path, user, group) == 0)
        return true;
    if (errno == EPERM)
        error_set(error, "%s=%s: only root may give %s away, or a member of the group to that group", setting,
                  name, path);
    else
        error_set_errno(error, errno, "%s=%s: %s", setting, name, path);
    return false;
}

bool socket_owner_set(const char *path, const struct settings *settings, struct error *error) {
    uint32_t user;
    uint32_t group;
    const char *user_name = settings->listen_owner;
    const char *group_name = settings->listen_group;
    /* The group first: who has given the socket to another user may no longer set its group. */
    return (group_name[0] == '\0' || (find_group(group_name, &group, error) &&
                                      set_one("LISTEN_GROUP", group_name, path, UNCHANGED, group, error))) &&
           (user_name[0] == '\0' || (find_user(user_name, &user, error) &&
                                     set_one("LISTEN_OWNER", user_name, path, user, UNCHANGED, error)));
}
