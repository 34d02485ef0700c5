/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A cluster of stores in one process, on virtual time, network and disks. Every member is the real store on a virtual loop; the
 * simulator decides when a turn, a worker's job or a frame's arrival happens, and what breaks. All chance comes from one seed.
 *
 *   sim.c     time, members, network, the story
 *   load.c    clients, followers of the feed, and whether what they saw was right
 *   chaos.c   what breaks, drawn from the seed; healing; one whole run
 *
 * A run that finds something wrong calls sim_fail, which prints the story and how to replay it.
 */
#pragma once

#include "net/base/buf.h"
#include "net/base/rnd.h"
#include "net/loop.h"
#include "store/state.h"
#include "tests/lib/linear.h"
#include "tests/sim/disk.h"

#define MS MSEC
#define SIM_MEMBERS 9
#define SIM_CLIENTS 4
#define SIM_FOLLOWERS 2
#define SIM_KEYS 4
#define SIM_STORY_BYTES ((size_t)(256 * KIB))

struct sim;

enum member_state {
	MEMBER_NONE,             /* no such machine */
	MEMBER_DOWN,             /* starts at up_us */
	MEMBER_UP,
};

struct sim_work {                /* a job that a store gave to its workers */
	struct work *work;
	bool has_run;
};

struct member {
	struct sim *sim;
	int n;                           /* 1… as the story says */
	enum member_state state;
	bool wanted;                     /* the owner wants it in the cluster */
	bool flipped;                    /* a bit of its disk flipped: it may say that its state is damaged */
	bool founder;
	unsigned lives;                  /* counts starts: what was sent to a former life is lost */
	unsigned names;                  /* how often it was made anew: part of its id */
	uint64_t id;
	char address[80], dir[64];
	int64_t up_us, paused_us;        /* no turn before */
	int64_t wall_us;                 /* its wall clock is ahead by this */
	struct loop_virtual virtual;
	struct loop *loop;
	struct store *store;
	struct store_net net;
	struct disk_sim disk;
	struct sim_work works[64];
	size_t work_count;
	struct propose admin;            /* a change of members asked of this one */
};

/* What happens at a time: a frame arrives, a job runs or ends, or the simulator does something. */
struct sim_event {
	int64_t at_us;
	uint64_t order;                  /* of two at one time, the first one made */
	void (*fn)(struct sim *s, struct sim_event *ev);
	int member;                      /* index; -1: no member's */
	unsigned life;
	void *arg;                       /* borrowed, or the owner's to free in fn */
	char from[80];                   /* of a frame */
	char *frame;                     /* owned */
	size_t len;
};

struct sim_network {
	int64_t delay_us, jitter_us;
	unsigned loss, twice, late;      /* per 1000 frames: lost; sent twice; ten times as late */
};

struct sim_load;

struct sim {
	uint64_t seed;
	struct rnd rnd;
	int64_t now_us;
	struct member members[SIM_MEMBERS];
	size_t member_count;
	struct sim_network network;
	bool cut[SIM_MEMBERS][SIM_MEMBERS];      /* frames from … to … are lost */
	struct sim_event **heap;                 /* owned; from index 1 */
	size_t heap_count, heap_cap;
	uint64_t order, event_count;
	bool admin_busy;
	unsigned admin_tries;
	struct sim_load *load;                   /* owned */
	struct buf story;
	size_t expected;                         /* up to where EXPECT_TRACE has read the story */
	char base[48];                           /* directory */
	unsigned election_ms;
	size_t segment_bytes;
	uint64_t checkpoint_bytes;
	unsigned trailing;
};

/* ---- sim.c ---- */

/* `count` members that found a cluster; sim_run_until(sim_settled) brings them together. */
struct sim *sim_new(uint64_t seed, size_t count);
void sim_free(struct sim *s);
void sim_say(struct sim *s, int member, const char *fmt, ...) PRINTF(3, 4);  /* into the story; member 0: none */
_Noreturn void sim_fail(struct sim *s, const char *fmt, ...) PRINTF(2, 3);
void sim_run(struct sim *s, int64_t us);             /* so much time passes */
/* Until it holds, at most so long; false: it does not. */
bool sim_run_until(struct sim *s, bool (*holds)(struct sim *s), int64_t us);
void sim_after(struct sim *s, int64_t us, void (*fn)(struct sim *s, struct sim_event *ev), void *arg);
/* Run fn on the member's loop, in a turn of its own, now. */
void sim_in_turn(struct member *m, void (*fn)(void *arg), void *arg);
struct member *sim_member_add(struct sim *s, int64_t up_us);         /* another machine, that the owner wants in the cluster */
void sim_crash(struct member *m, bool power_cut, int64_t down_us);   /* starts again after down_us */
void sim_stop(struct member *m, int64_t down_us);                    /* as an operator does */
void sim_pause(struct member *m, int64_t us);
void sim_isolate(struct sim *s, int n);              /* member n from all others, both ways */
void sim_heal(struct sim *s);                        /* all frames arrive again */
struct member *sim_leader(struct sim *s);            /* the one that leads in the highest term; NULL: none */
struct member *sim_running(struct sim *s, uint64_t draw);            /* any that runs; NULL: none does */
bool sim_settled(struct sim *s);                     /* all wanted members are in, run and have applied the same */

/* ---- load.c ---- */

extern const struct kv_table sim_registers, sim_effects;
extern const struct kv_table *const sim_tables[];
extern const struct op_row sim_ops[1];
void load_new(struct sim *s);
void load_free(struct sim *s);
void load_start(struct sim *s);              /* clients and followers begin */
void load_stop(struct sim *s);               /* no new operations; those under way go on */
bool load_idle(struct sim *s);
void load_member_gone(struct member *m);     /* its store is closed: nobody waits for its answers */
void load_check(struct sim *s);              /* sim_fail when a client saw what it must not */
size_t load_count(const struct sim *s);     /* operations so far */

/* ---- chaos.c ---- */

struct chaos_figures {
	uint64_t events, crashes, operations, leaders;
};
void chaos_run(uint64_t seed, struct chaos_figures *out);    /* sim_fail when something is wrong */

/* Tests that tell a story: seconds of it are compared with what is expected. */
#define SIM(suite_, name_) TEST(suite_##_sim, name_)
void sim_expect(struct sim *s, int64_t us, const char *const *lines, size_t count);
/* In the next `us`, these lines are told in this order; others may stand between them. */
#define EXPECT_TRACE(s, us, ...) sim_expect((s), (us), (const char *const[]){ __VA_ARGS__ }, ARRAY_LEN(((const char *const[]){ __VA_ARGS__ })))
