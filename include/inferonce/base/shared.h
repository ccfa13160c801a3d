/* The shared mapping: made by the master before it forks, seen by all workers.
 *
 *   header      magic, layout version, sizes, boot id; instance (random, names this mapping in leases), start
 *   slots       SLOTS_MAX: pid, incarnation, connections, heartbeat (scoreboard)
 *   stats       SLOTS_MAX
 *   interest    INTEREST_WORDS words; bit p of word w: a worker of place p waits for a key that hashes to w
 *   wakes       per slot, one bit a word: what it was woken for
 *   region      the memory store's (store/memory.h); this module knows only its size
 *
 * Without a path the mapping is anonymous. With one (CACHE_PATH) it is a file that several masters share,
 * each claiming as many places as it has workers. Claims are open-file-description locks on bytes of the
 * file; workers inherit them, so a pool's claim lasts until its last process is gone, however that ends.
 *
 * Who opens the file while nobody holds a claim is the first: it trusts no lock word in it and re-initialises
 * them, zeroes the statistics and the scoreboard (but raises the incarnations, so that the leases of the last
 * run are known to be dead), and `first` tells the memory store to do the same with its own. A file that has
 * another layout or another boot id, or that was cut short, is recreated (`fresh`), and why is logged in one
 * line; such a file in use by living processes is an error. One that was made with other sizes is recreated,
 * too, and `former` has what its region held, for the memory store to take over what it can. A file that
 * holds something else is never touched: it is an error, too.
 *
 * A worker can be killed at any instruction: all that is in here is either atomic or behind a robust mutex.
 */
#ifndef INFERONCE_BASE_SHARED_H
#define INFERONCE_BASE_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "inferonce/base/error.h"
#include "inferonce/base/stats.h"

#define WORKERS_MAX    64
#define SLOTS_MAX      (2 * WORKERS_MAX)
#define INTEREST_WORDS 4096

/* One worker's line of the scoreboard.
 *
 * A place (0 to WORKERS_MAX - 1) has two slots, p and p + WORKERS_MAX: a worker that leaves keeps its own
 * while its successor works in the other.
 *
 *   leaving   the worker was told to end, asks for a successor and serves on
 *   relieved  the master has a successor that is ready, or wants none
 *   draining  the worker takes no new connections */
struct shared_slot {
    _Alignas(64) _Atomic int32_t pid; /* 0: nobody */
    _Atomic uint32_t connections;     /* FastCGI connections open */
    _Atomic uint64_t
        incarnation; /* raised whenever the slot's worker died or was replaced; never 0 once used */
    _Atomic uint64_t heartbeat_us; /* monotonic; written by the worker about once a second */
    _Atomic uint32_t ready;        /* 1: the worker serves */
    _Atomic uint32_t leaving;
    _Atomic uint32_t relieved;
    _Atomic uint32_t draining;
    _Atomic uint32_t unfinished;   /* of a worker that drains: requests that it still has to answer */
    _Atomic int64_t clock_skew_us; /* what its wall clock is corrected by */
};

struct shared_mapping; /* the bytes themselves */

/* The part of a mapping that a process keeps when it executes its program anew. */
struct shared_handles {
    int descriptor; /* of the file, or of the memory */
    bool is_file;
    uint64_t fixed_bytes, region_bytes, region_tag; /* its layout */
    unsigned workers;
    unsigned claimed[WORKERS_MAX];
    int wake_descriptors[SLOTS_MAX];
    int master_descriptor;
};

/* A process's handle. The master makes it; workers inherit it. */
struct shared {
    struct shared_mapping *mapping;
    struct shared_slot *slots; /* SLOTS_MAX, in the mapping */
    struct stats *stats;       /* SLOTS_MAX, in the mapping */
    void *region;              /* region_bytes, aligned to a page */
    size_t region_bytes;
    uint64_t instance;   /* random, of the mapping */
    uint64_t started_us; /* wall clock, when the mapping was first made or re-initialised */
    bool fresh;          /* the region holds nothing of use */
    void *state; /* what outlives a restart (store/state.h); NULL: nothing does, or it is in the region */
    void *state_mapping; /* where that lies */
    size_t state_bytes;
    int state_descriptor;
    void *former; /* of a mapping with other sizes: a copy of its region; NULL: none */
    size_t former_bytes;
    bool first;                      /* nobody else has the mapping: lock words are to be made anew */
    bool adopted;                    /* it is that of the image before (shared_adopt) */
    int descriptor;                  /* of the file; -1 when anonymous */
    int memory_descriptor;           /* of the memory, when anonymous; -1: of a file */
    unsigned workers;                /* places claimed by this master */
    uint64_t place_mask;             /* the same as bits */
    unsigned claimed[WORKERS_MAX];   /* worker i of this master has place claimed[i] */
    int wake_descriptors[SLOTS_MAX]; /* eventfd by slot; -1 for slots of other masters */
    int master_descriptor;           /* eventfd; readable: a worker's line has changed */
};

static inline unsigned shared_place(unsigned slot) {
    return slot % WORKERS_MAX;
}

/* The other slot of the same place. */
static inline unsigned shared_other_slot(unsigned slot) {
    return (slot + WORKERS_MAX) % SLOTS_MAX;
}

/* Whether the slot belongs to this master's workers, which share a listener. */
static inline bool shared_slot_is_ours(const struct shared *shared, unsigned slot) {
    return shared->place_mask >> shared_place(slot) & 1;
}

/* Makes or opens the mapping and claims `workers` places. `path` may be NULL or empty.
 *
 * From here to shared_ready no other master passes this function, so that the region can be initialised in
 * peace; it blocks for as long as another master is between the two, and up to 3 s for places that a pool
 * which was just killed still holds. That lock is on the open file: do not fork between them. `region_tag`
 * identifies the region's own layout (sizes, version): a file with another one is recreated. False: error
 * tells why; nothing is left open. */
bool shared_create(struct shared *shared, unsigned workers, const char *path, size_t region_bytes,
                   uint64_t region_tag, struct error *error) MUST_CHECK;

/* As shared_create, for a master whose workers serve meanwhile: waits for no pool that was killed. */
bool shared_create_at_once(struct shared *shared, unsigned workers, const char *path, size_t region_bytes,
                           uint64_t region_tag, struct error *error) MUST_CHECK;

/* The region is initialised: lets other masters in. Frees `former`. */
void shared_ready(struct shared *shared);

/* The handles of a mapping, for shared_adopt in the next image. */
void shared_hand_over(const struct shared *shared, struct shared_handles *handles);

/* Takes a mapping over from the image before, for as many workers: with more, places are claimed beside those
 * that there are, or, where other pools have too many of them, none, with a line in the log; with fewer, the
 * others stay claimed. Nothing in it is initialised. SHARED_OTHER_LAYOUT: it is not what shared_create would
 * make of these sizes; nothing was taken. SHARED_NOT_ADOPTED: it cannot be mapped; error tells why, and the
 * handles are closed. Does not block. */
enum shared_adoption { SHARED_ADOPTED, SHARED_OTHER_LAYOUT, SHARED_NOT_ADOPTED };
enum shared_adoption shared_adopt(struct shared *shared, const struct shared_handles *handles,
                                  unsigned workers, size_t region_bytes, uint64_t region_tag,
                                  struct error *error) MUST_CHECK;

/* Closes the handles of a mapping that was not taken over. */
void shared_handles_close(const struct shared_handles *handles);

/* Between shared_create and shared_ready, for the first: `former` becomes the region of another mapping, with
 * which its workers go on; they do not see what is written into this view of it. Without memory there is
 * none.
 */
void shared_take_former(struct shared *shared, const struct shared *from);

/* Adds the counters and histograms of another mapping, in which this master's workers have been at work, to
 * those of the first worker, which was not forked yet. Who is the first in the mapping takes those along that
 * no other master will. Gauges stay behind. */
void shared_take_counters(struct shared *shared, const struct shared *from);

/* How often the program was executed anew, and how often that was refused, since counting began. */
void shared_count_reload(struct shared *shared, bool done);
void shared_reloads(const struct shared *shared, uint64_t *done, uint64_t *refused);

/* Whether the slot has a worker. */
static inline bool shared_slot_lives(const struct shared *shared, unsigned slot) {
    return atomic_load_explicit(&shared->slots[slot].pid, memory_order_relaxed) != 0;
}

/* How often a worker was replaced because it had died. */
void shared_count_restart(struct shared *shared);
uint64_t shared_restarts(const struct shared *shared);

/* The sum of a histogram over all slots. */
void shared_histogram(const struct shared *shared, enum histogram_name name, struct histogram *sum);

/* How many requests of a path were answered with a status of a class (0: 2xx), over all slots. */
uint64_t shared_responses(const struct shared *shared, enum counted_path path, unsigned status_class);

/* Unmaps and closes. A file stays, with its content. */
void shared_destroy(struct shared *shared);

/* The master, when the worker in `slot` was started or has died: sets the pid (0: dead). When it died, or
 * when a living one is replaced, the incarnation is raised and the slot's line and gauges are cleared; when
 * an empty slot is filled they are not, so that a worker may use its slot and its incarnation as soon as it
 * is forked.
 */
void shared_slot_assign(struct shared *shared, unsigned slot, pid_t pid);

/* The master, about once a second: a pool of which every process died left nobody to clear its slots, but the
 * kernel gave its claims back. Those slots are cleared as by shared_slot_assign(slot, 0). Returns how many
 * there were. Does not block. */
unsigned shared_reap(struct shared *shared);

/* A worker, when its line has changed in a way that the master waits for (`ready`, `leaving`), and the
 * master, before it looks. Neither blocks. */
void shared_tell_master(const struct shared *shared);
void shared_heard(const struct shared *shared);

/* Sum of a statistic over all slots, of all masters. */
uint64_t shared_stat(const struct shared *shared, enum statistic stat);

/* Whether the owner of (instance, slot, incarnation) is known to be dead: it is of this mapping and its
 * slot's incarnation has moved on. */
bool shared_owner_is_dead(const struct shared *shared, uint64_t instance, uint32_t slot,
                          uint64_t incarnation);

/* Waking. A follower first registers its interest, then looks at the store once more, then waits: a wake
 * between the two is not lost. `hash` is any 64 bits of the key. */
void shared_interest_register(struct shared *shared, unsigned slot, uint64_t hash);

/* Wakes every worker of this master that registered interest in the word of `hash`, and clears the word's
 * interest. Workers of other masters have no eventfd here; they look again by themselves. */
void shared_wake(struct shared *shared, uint64_t hash);

/* Wakes every worker of this master for every word: somebody died. */
void shared_wake_all(struct shared *shared);

/* For the woken worker: reads the eventfd and moves the woken words' bits into `words` (INTEREST_WORDS bits),
 * clearing them. */
void shared_wakes_take(struct shared *shared, unsigned slot, uint64_t words[INTEREST_WORDS / 64]);

static inline unsigned shared_interest_word(uint64_t hash) {
    return (unsigned)(hash % INTEREST_WORDS);
}

#endif
