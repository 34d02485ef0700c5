/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time goes from event to event: the next due turn of a member, the next arrival of a frame, the next job. A member's turn and
 * what it causes are one step, so a crash can come at any call to its disk, and is noticed after the turn in which it came.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "net/base/log.h"

#define JOB_US 150                       /* a worker's job takes about so long */
#define RESTART_US (300 * MSEC)          /* of a store that stopped, by whoever watches it */
#define ADMIN_US (100 * MSEC)
#define ADMIN_TIMEOUT_US (3 * SEC)
#define UNIX_US (1700000000 * SEC)

/* ---- the story ---- */

void sim_say(struct sim *s, int member, const char *fmt, ...)
{
	va_list args;
	char line[512];
	va_start(args, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (s->story.len > SIM_STORY_BYTES) {
		buf_drop(&s->story, s->story.len / 2);
		s->expected = 0;
	}
	(void)buf_printf(&s->story, "[%lld] ", (long long)(s->now_us / MSEC));
	(void)(member ? buf_printf(&s->story, "%d: %s\n", member, line) : buf_printf(&s->story, "%s\n", line));
	if (getenv("SIM_VERBOSE"))
		fprintf(stderr, "[%.3f] %d: %s\n", (double)s->now_us / (double)MSEC, member, line);
}

static void tell(struct sim *s)
{
	const char *story = buf_cstr(&s->story);
	printf("%s[%lld] ", s->story.len > SIM_STORY_BYTES / 4 ? strchr(story + s->story.len - SIM_STORY_BYTES / 4, '\n') + 1 : story,
	       (long long)(s->now_us / MSEC));
	fflush(stdout);
}

static struct sim *told;                 /* by on_signal */

static void on_signal(int signo)
{
	(void)signal(signo, SIG_DFL);
	tell(told);
	(void)raise(signo);
}

/* What ends the process, such as a failed assertion, tells the story too. */
static void tell_at_end(struct sim *s)
{
	static const int signals[] = { SIGABRT, SIGSEGV, SIGALRM };
	told = s;
	for (size_t i = 0; i < ARRAY_LEN(signals); i++)
		(void)signal(signals[i], s ? on_signal : SIG_DFL);
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
	va_list args;
	tell(s);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\nreplay: make sim SEEDS=%llu-%llu V=1\n", (unsigned long long)s->seed, (unsigned long long)s->seed);
	fflush(stdout);
	_exit(1);
}

/* ---- events ---- */

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void heap_push(struct sim *s, struct sim_event *ev)
{
	if (s->heap_count + 2 > s->heap_cap) {
		s->heap_cap = s->heap_cap ? s->heap_cap * 2 : 256;
		s->heap = xrealloc(s->heap, s->heap_cap * sizeof(struct sim_event *));
	}
	ev->order = s->order++;
	size_t i = ++s->heap_count;
	for (; i > 1 && before(ev, s->heap[i / 2]); i /= 2)
		s->heap[i] = s->heap[i / 2];
	s->heap[i] = ev;
}

static struct sim_event *heap_pop(struct sim *s)
{
	struct sim_event *top = s->heap[1], *last = s->heap[s->heap_count--];
	size_t i = 1;
	for (size_t child; (child = 2 * i) <= s->heap_count; i = child) {
		if (child < s->heap_count && before(s->heap[child + 1], s->heap[child]))
			child++;
		if (!before(s->heap[child], last))
			break;
		s->heap[i] = s->heap[child];
	}
	s->heap[i] = last;
	return top;
}

static void event_free(struct sim_event *ev)
{
	free(ev->frame);
	free(ev);
}

static struct sim_event *event_new(struct sim *s, int64_t us, void (*fn)(struct sim *s, struct sim_event *ev), const struct member *m)
{
	struct sim_event *ev = xcalloc(1, sizeof(*ev));
	ev->at_us = s->now_us + us;
	ev->fn = fn;
	ev->member = m ? (int)(m - s->members) : -1;
	ev->life = m ? m->lives : 0;
	return ev;
}

void sim_after(struct sim *s, int64_t us, void (*fn)(struct sim *s, struct sim_event *ev), void *arg)
{
	struct sim_event *ev = event_new(s, us, fn, NULL);
	ev->arg = arg;
	heap_push(s, ev);
}

/* ---- turns and jobs ---- */

static void set_clock(struct member *m)
{
	m->virtual.now_us = m->sim->now_us;
	m->virtual.unix_us = UNIX_US + m->sim->now_us + m->wall_us;
}

static void after_turn(struct member *m);

static void turn(struct member *m)
{
	set_clock(m);
	loop_virtual_turn(m->loop);
	after_turn(m);
}

void sim_in_turn(struct member *m, void (*fn)(void *arg), void *arg)
{
	assert(m->state == MEMBER_UP);
	loop_post(m->loop, fn, arg);
	turn(m);
}

static struct sim_work *find_work(struct member *m, const struct work *w)
{
	for (size_t i = 0; i < m->work_count; i++)
		if (m->works[i].work == w)
			return &m->works[i];
	return NULL;
}

static void forget_work(struct member *m, struct sim_work *sw)
{
	*sw = m->works[--m->work_count];
}

static void work_ends(struct sim *s, struct sim_event *ev)
{
	struct member *m = &s->members[ev->member];
	struct work *w = ev->arg;
	forget_work(m, find_work(m, w));
	set_clock(m);
	loop_virtual_work_done(w);
	after_turn(m);
}

static void work_runs(struct sim *s, struct sim_event *ev)
{
	struct member *m = &s->members[ev->member];
	struct sim_work *sw = find_work(m, ev->arg);
	if (!sw || sw->has_run)
		return;                          /* was cancelled */
	sw->has_run = true;
	loop_virtual_work_run(sw->work);
	struct sim_event *ends = event_new(s, (int64_t)rnd_below(&s->rnd, JOB_US), work_ends, m);
	ends->arg = sw->work;
	heap_push(s, ends);
	after_turn(m);
}

static void on_work(struct loop_virtual *v, struct work *w)
{
	struct member *m = container_of(v, struct member, virtual);
	struct sim *s = m->sim;
	assert(m->work_count < ARRAY_LEN(m->works));
	m->works[m->work_count++] = (struct sim_work){ w, false };
	int64_t us = 20 + (int64_t)rnd_below(&s->rnd, rnd_below(&s->rnd, 50) ? JOB_US : 100 * JOB_US);
	struct sim_event *runs = event_new(s, us, work_runs, m);
	runs->arg = w;
	heap_push(s, runs);
}

static void on_work_cancelled(struct loop_virtual *v, struct work *w)
{
	struct member *m = container_of(v, struct member, virtual);
	forget_work(m, find_work(m, w));
}

/* ---- network ---- */

struct arrival {
	struct member *m;
	const struct sim_event *ev;
};

static void receive(void *arg)
{
	const struct arrival *a = arg;
	struct err e = { 0 };
	int rc = store_receive(a->m->store, a->ev->from, str_n(a->ev->frame, a->ev->len), &e);
	if (rc == E_MALFORMED)
		sim_fail(a->m->sim, "%d: a frame from %.8s is malformed: %s", a->m->n, a->ev->from, e.text);
	if (rc != 0)
		sim_say(a->m->sim, a->m->n, "frame from %.8s refused: %s", a->ev->from, e.text);
}

static void arrives(struct sim *s, struct sim_event *ev)
{
	struct member *m = &s->members[ev->member];
	struct arrival a = { m, ev };
	sim_in_turn(m, receive, &a);
}

static struct member *by_address(struct sim *s, const char *address)
{
	for (size_t i = 0; i < s->member_count; i++)
		if (strcmp(s->members[i].address, address) == 0)
			return &s->members[i];
	return NULL;
}

static int64_t draw_delay(struct sim *s)
{
	int64_t us = s->network.delay_us + (int64_t)rnd_below(&s->rnd, (uint64_t)s->network.jitter_us + 1);
	return rnd_below(&s->rnd, 1000) < s->network.late ? 10 * us : us;
}

static void on_send(void *ctx, uint64_t id, const char *address, struct str frame)
{
	struct member *from = ctx, *to;
	struct sim *s = from->sim;
	(void)id;
	to = by_address(s, address);
	if (!to || to->state != MEMBER_UP || from->disk.dead || s->cut[from - s->members][to - s->members])
		return;
	if (rnd_below(&s->rnd, 1000) < s->network.loss)
		return;
	for (int copies = rnd_below(&s->rnd, 1000) < s->network.twice ? 2 : 1; copies > 0; copies--) {
		struct sim_event *ev = event_new(s, draw_delay(s), arrives, to);
		(void)snprintf(ev->from, sizeof(ev->from), "%s", from->address);
		ev->frame = xmalloc(frame.len + 1);
		memcpy(ev->frame, frame.p, frame.len);
		ev->len = frame.len;
		heap_push(s, ev);
	}
}

void sim_isolate(struct sim *s, int n)
{
	sim_say(s, n, "cut off");
	for (size_t i = 0; i < s->member_count; i++)
		s->cut[i][n - 1] = s->cut[n - 1][i] = true;
}

void sim_heal(struct sim *s)
{
	sim_say(s, 0, "network healed");
	memset(s->cut, 0, sizeof(s->cut));
}

/* ---- members ---- */

static void on_trace(void *ctx, const char *line)
{
	const struct member *m = ctx;
	sim_say(m->sim, m->n, "%s", line);
}

static void on_role(void *arg, bool leads)
{
	const struct member *m = arg;
	sim_say(m->sim, m->n, leads ? "leads, term %llu" : "leads no more, term %llu", (unsigned long long)store_term(m->store));
}

static void name_member(struct member *m)
{
	m->id = (uint64_t)m->n + 100 * ++m->names;
}

/* LMDB's file is not on the simulated disk: after a crash it holds anything. */
static void spoil_kv(struct member *m)
{
	char path[128];
	uint8_t noise[8192];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%s/kv/data.mdb", m->dir);
	AUTO_FD int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) != 0)
		return;
	for (size_t i = 0; i < sizeof(noise); i++)
		noise[i] = (uint8_t)rnd_u64(&m->sim->rnd);
	(void)!pwrite(fd, noise, sizeof(noise), st.st_size > 65536 ? (off_t)rnd_below(&m->sim->rnd, 16) * 4096 : 0);
}

/* Let go of the store; what was under way at workers comes to its end first, on a disk that may be dead. */
static void close_store(struct member *m)
{
	struct work *ran[ARRAY_LEN(m->works)];
	for (size_t i = 0; i < m->work_count; i++)
		if (!m->works[i].has_run) {
			m->works[i].has_run = true;
			loop_virtual_work_run(m->works[i].work);
		}
	size_t count = m->work_count;
	for (size_t i = 0; i < count; i++)
		ran[i] = m->works[i].work;
	store_close(MOVE(m->store));
	load_member_gone(m);
	set_clock(m);
	for (size_t i = 0; i < count; i++)
		loop_virtual_work_done(ran[i]);
	assert(m->work_count == count);
	m->work_count = 0;
	loop_free(MOVE(m->loop));
	m->state = MEMBER_DOWN;
}

void sim_crash(struct member *m, bool power_cut, int64_t down_us)
{
	if (m->state != MEMBER_UP)
		return;
	sim_say(m->sim, m->n, power_cut ? "power cut" : "killed");
	m->disk.dead = true;
	close_store(m);
	if (power_cut)
		disk_sim_power_cut(&m->disk);
	else
		disk_sim_kill(&m->disk);
	spoil_kv(m);
	m->up_us = m->sim->now_us + down_us;
}

void sim_stop(struct member *m, int64_t down_us)
{
	if (m->state != MEMBER_UP)
		return;
	sim_say(m->sim, m->n, "stopped");
	close_store(m);
	m->disk.calls_until_error = m->disk.calls_until_dead = -1;
	m->up_us = m->sim->now_us + down_us;
}

void sim_pause(struct member *m, int64_t us)
{
	sim_say(m->sim, m->n, "paused for %lld ms", (long long)(us / MSEC));
	m->paused_us = m->sim->now_us + us;
}

/* After each turn: the machine may have stopped in it, or the store given up. */
static void after_turn(struct member *m)
{
	if (m->state != MEMBER_UP)
		return;
	const struct err *trouble = store_trouble(m->store);
	if (m->disk.dead) {
		sim_crash(m, true, (int64_t)rnd_below(&m->sim->rnd, 2 * SEC));
	} else if (trouble && trouble->code != E_NOSPACE && trouble->code != E_BUSY) {
		if (trouble->code == E_CORRUPT && !m->flipped)
			sim_fail(m->sim, "%d: stopped, with nothing wrong on its disk: %s", m->n, trouble->text);
		sim_say(m->sim, m->n, "stopped by itself: %s", trouble->text);
		sim_stop(m, RESTART_US);
	}
}

static void forget(struct member *m, const char *why)
{
	if (!m->flipped)
		sim_fail(m->sim, "%d: does not start, with nothing wrong on its disk: %s", m->n, why);
	sim_say(m->sim, m->n, "wiped, joins anew: %s", why);
	disk_sim_wipe(&m->disk);
	m->flipped = false;
	m->founder = false;
	name_member(m);
	m->up_us = m->sim->now_us + RESTART_US;
}

static int open_store(struct member *m, struct err *e)
{
	struct sim *s = m->sim;
	m->virtual.work = on_work;
	m->virtual.work_cancelled = on_work_cancelled;
	m->net = (struct store_net){ .ctx = m, .send = on_send };
	set_clock(m);
	m->loop = loop_new_virtual(&m->virtual, rnd_u64(&s->rnd));
	const struct store_config c = {
		.dir = m->dir, .member_id = m->id, .address = m->address, .join = !m->founder, .net = &m->net,
		.trace = on_trace, .trace_ctx = m, .disk = &m->disk.disk, .segment_bytes = s->segment_bytes,
		.checkpoint_bytes = s->checkpoint_bytes, .trailing = s->trailing, .election_ms = s->election_ms,
		.heartbeat_ms = s->election_ms / 10,
	};
	int rc = store_open(m->loop, &c, &m->store, e);
	if (rc != 0)
		return rc;
	store_register(m->store, sim_tables, sim_ops, ARRAY_LEN(sim_ops), m);
	store_on_role(m->store, on_role, m);
	return store_start(m->store, e);
}

static void start(struct member *m)
{
	struct err e = { 0 };
	m->lives++;
	m->state = MEMBER_UP;
	if (open_store(m, &e) == 0) {
		sim_say(m->sim, m->n, "starts at index %llu, term %llu", (unsigned long long)store_applied(m->store),
			(unsigned long long)store_term(m->store));
		turn(m);
		return;
	}
	sim_say(m->sim, m->n, "does not start: %s", e.text);
	bool died = m->disk.dead;
	close_store(m);
	if (died)
		disk_sim_power_cut(&m->disk);
	else
		m->disk.calls_until_error = m->disk.calls_until_dead = -1;
	m->up_us = m->sim->now_us + RESTART_US;
	if (e.code == E_CORRUPT && !died)
		forget(m, e.text);
	else if (e.code != E_IO && e.code != E_NOSPACE && !died)
		sim_fail(m->sim, "%d: does not start: %s", m->n, e.text);
}

struct member *sim_member_add(struct sim *s, int64_t up_us)
{
	assert(s->member_count < SIM_MEMBERS);
	struct member *m = &s->members[s->member_count++];
	*m = (struct member){ .sim = s, .n = (int)s->member_count, .state = MEMBER_DOWN, .wanted = true, .up_us = up_us };
	m->founder = m->n == 1;
	name_member(m);
	(void)snprintf(m->address, sizeof(m->address), "%064x", m->n);
	(void)snprintf(m->dir, sizeof(m->dir), "%s/%d", s->base, m->n);
	if (mkdir(m->dir, 0700) != 0)
		sim_fail(s, "make '%s': %s", m->dir, strerror(errno));
	disk_sim_init(&m->disk, rnd_u64(&s->rnd));
	return m;
}

struct member *sim_leader(struct sim *s)
{
	struct member *best = NULL;
	for (size_t i = 0; i < s->member_count; i++) {
		struct member *m = &s->members[i];
		if (m->state == MEMBER_UP && store_leads(m->store) && (!best || store_term(m->store) > store_term(best->store)))
			best = m;
	}
	return best;
}

struct member *sim_running(struct sim *s, uint64_t draw)
{
	for (size_t i = 0; i < s->member_count; i++) {
		struct member *m = &s->members[(i + draw) % s->member_count];
		if (m->state == MEMBER_UP)
			return m;
	}
	return NULL;
}

/* ---- the owner: brings wanted members in, takes others out ---- */

static void admin_done(struct propose *p, struct str reply, const struct err *e)
{
	struct member *m = container_of(p, struct member, admin);
	(void)reply;
	if (e->code != 0)
		sim_say(m->sim, m->n, "change of members: %s", e->text);
}

static const struct store_member *find_member(const struct store_member *list, size_t count, const struct member *m)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].id == m->id)
			return &list[i];
	return NULL;
}

static void admin_turn(void *arg)
{
	struct member *leader = arg;
	struct sim *s = leader->sim;
	struct store_member list[STORE_MEMBERS_MAX];
	size_t count = store_members(leader->store, list);
	if (leader->admin.command)
		return;
	for (size_t i = 0; i < s->member_count; i++) {
		struct member *m = &s->members[i];
		if (m->wanted && m->state == MEMBER_UP && !find_member(list, count, m)) {
			sim_say(s, leader->n, "adds member %d as %llu", m->n, (unsigned long long)m->id);
			store_member_add(leader->store, m->id, m->address, ADMIN_TIMEOUT_US, &leader->admin, admin_done);
			return;
		}
		if (!m->wanted && find_member(list, count, m)) {
			if (m == leader)
				store_transfer(leader->store, 0, ADMIN_TIMEOUT_US, &leader->admin, admin_done);
			else
				store_member_remove(leader->store, m->id, ADMIN_TIMEOUT_US, &leader->admin, admin_done);
			sim_say(s, leader->n, m == leader ? "hands the lead on" : "removes member %d", m->n);
			return;
		}
	}
}

static void admin(struct sim *s, struct sim_event *ev)
{
	struct member *leader = sim_leader(s);
	(void)ev;
	if (leader && leader->paused_us <= s->now_us)
		sim_in_turn(leader, admin_turn, leader);
	sim_after(s, ADMIN_US, admin, NULL);
}

bool sim_settled(struct sim *s)
{
	struct member *leader = sim_leader(s);
	struct store_member list[STORE_MEMBERS_MAX];
	if (!leader)
		return false;
	size_t count = store_members(leader->store, list), wanted = 0;
	for (size_t i = 0; i < s->member_count; i++) {
		struct member *m = &s->members[i];
		if (!m->wanted)
			continue;
		wanted++;
		if (m->state != MEMBER_UP || !find_member(list, count, m) || store_applied(m->store) != store_applied(leader->store))
			return false;
	}
	unsigned voters = 0;
	for (size_t i = 0; i < count; i++)
		voters += list[i].voter;
	return count == wanted && voters >= wanted - (wanted % 2 == 0) && leader->admin.command == NULL;
}

/* ---- time ---- */

static int64_t member_due(const struct member *m)
{
	if (m->state == MEMBER_NONE)
		return INT64_MAX;
	if (m->state == MEMBER_DOWN)
		return m->up_us;
	int64_t due = loop_virtual_next(m->loop);
	return due == INT64_MAX ? due : MAX(due, m->paused_us);
}

static void run_event(struct sim *s, struct sim_event *ev)
{
	struct member *m = ev->member >= 0 ? &s->members[ev->member] : NULL;
	if (m && (m->lives != ev->life || m->state != MEMBER_UP)) {
		event_free(ev);
	} else if (m && m->paused_us > s->now_us) {
		ev->at_us = m->paused_us;
		heap_push(s, ev);
	} else {
		ev->fn(s, ev);
		event_free(ev);
	}
}

/* One step, not after `until`; false: time is up. */
static bool step(struct sim *s, int64_t until)
{
	struct member *next = NULL;
	int64_t due = s->heap_count > 0 ? s->heap[1]->at_us : INT64_MAX;
	for (size_t i = 0; i < s->member_count; i++) {
		int64_t at = member_due(&s->members[i]);
		if (at < due) {
			due = at;
			next = &s->members[i];
		}
	}
	if (due > until) {
		s->now_us = until;
		return false;
	}
	s->now_us = MAX(s->now_us, due);
	s->event_count++;
	if (!next)
		run_event(s, heap_pop(s));
	else if (next->state == MEMBER_DOWN)
		start(next);
	else
		turn(next);
	return true;
}

void sim_run(struct sim *s, int64_t us)
{
	int64_t until = s->now_us + us;
	while (step(s, until)) { }
}

bool sim_run_until(struct sim *s, bool (*holds)(struct sim *s), int64_t us)
{
	int64_t until = s->now_us + us;
	while (!holds(s))
		if (!step(s, until))
			return holds(s);
	return true;
}

/* ---- whole clusters ---- */

struct sim *sim_new(uint64_t seed, size_t count)
{
	struct sim *s = xcalloc(1, sizeof(*s));
	s->seed = seed;
	rnd_seed(&s->rnd, seed);
	buf_init(&s->story, 4 * SIM_STORY_BYTES);
	s->network = (struct sim_network){ .delay_us = 100, .jitter_us = 200 };
	s->election_ms = 200;
	s->segment_bytes = (size_t)(32 * KIB);
	s->checkpoint_bytes = (uint64_t)(64 * KIB);
	s->trailing = 16;
	(void)snprintf(s->base, sizeof(s->base), "%s/dcos-sim.%d", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
	if (mkdir(s->base, 0700) != 0)
		sim_fail(s, "make '%s': %s", s->base, strerror(errno));
	load_new(s);
	tell_at_end(s);
	for (size_t i = 0; i < count; i++)
		(void)sim_member_add(s, (int64_t)i * 10 * MSEC);
	sim_after(s, ADMIN_US, admin, NULL);
	return s;
}

void sim_free(struct sim *s)
{
	for (size_t i = 0; i < s->member_count; i++) {
		struct member *m = &s->members[i];
		if (m->state == MEMBER_UP)
			close_store(m);
		disk_sim_fini(&m->disk);
	}
	tell_at_end(NULL);
	while (s->heap_count > 0)
		event_free(heap_pop(s));
	free(s->heap);
	load_free(s);
	buf_fini(&s->story);
	free(s);
}

void sim_expect(struct sim *s, int64_t us, const char *const *lines, size_t count)
{
	sim_run(s, us);
	const char *at = buf_cstr(&s->story) + s->expected;
	for (size_t i = 0; i < count; i++) {
		const char *found = strstr(at, lines[i]);
		if (!found)
			sim_fail(s, "the story does not go on with\n%s", lines[i]);
		at = found + strlen(lines[i]);
	}
	s->expected = (size_t)(at - buf_cstr(&s->story));
}
