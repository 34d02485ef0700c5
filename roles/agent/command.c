/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command lines and environments, see command.h. Later settings of a variable win: defaults, the image, Mesos' own, the task.
 *
 *   shell   value  arguments  runs
 *   true    set               /bin/sh -c VALUE
 *   false   set               VALUE ARGUMENTS[1…]: the first argument is argv[0]; with an image of type DOCKER all follow VALUE
 *   false   -      set        ENTRYPOINT ARGUMENTS; without entrypoint ARGUMENTS (DOCKER), or CMD[0] ARGUMENTS (MESOS)
 *   any     -      -          ENTRYPOINT CMD
 */
#include "roles/agent/command.h"

#include "net/base/buf.h"
#include "net/base/map.h"
#include "net/base/str.h"
#include "net/limits.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define DEFAULT_GRACE_US (3 * SEC)

const char *command_image(const mesos_v1_TaskInfo *task, bool *out_docker)
{
	const mesos_v1_ContainerInfo *c = task->container;
	*out_docker = c && c->type == mesos_v1_ContainerInfo_Type_DOCKER;
	if (!c)
		return NULL;
	if (*out_docker)
		return c->docker ? c->docker->image : NULL;
	const mesos_v1_Image *image = c->mesos ? c->mesos->image : NULL;
	return image && image->docker ? image->docker->name : NULL;
}

int64_t command_grace_us(const mesos_v1_TaskInfo *task)
{
	const mesos_v1_KillPolicy *p = task->kill_policy;
	return p && p->grace_period ? MAX((int64_t)0, p->grace_period->nanoseconds / 1000) : DEFAULT_GRACE_US;
}

/* ---- command line ---- */

struct words {
	struct arena *arena;
	char **rows;
	size_t count;
};

static void add(struct words *w, const char *word)
{
	if (w->count < LIMIT_TASK_ARGS)
		w->rows[w->count] = arena_strdup(w->arena, word);
	w->count++;                          /* past the limit: noticed at the end */
}

static void add_all(struct words *w, const struct image_strings *s)
{
	for (size_t i = 0; i < s->count; i++)
		add(w, s->rows[i]);
}

static void add_arguments(struct words *w, const mesos_v1_CommandInfo *c, size_t from)
{
	for (size_t i = from; i < c->arguments_count; i++)
		add(w, c->arguments[i]);
}

static void image_words(struct words *w, const mesos_v1_CommandInfo *c, const struct image_config *image, bool docker)
{
	if (c->arguments_count == 0 || c->shell) {
		add_all(w, &image->entrypoint);
		add_all(w, &image->cmd);
		return;
	}
	if (image->entrypoint.count > 0)
		add_all(w, &image->entrypoint);
	else if (!docker && image->cmd.count > 0)
		add(w, image->cmd.rows[0]);
	add_arguments(w, c, 0);
}

static int build_argv(struct arena *a, const struct command_input *in, dcos_ContainerSpec *out, struct err *e)
{
	static const mesos_v1_CommandInfo none = { .shell = false };
	static const struct image_config no_image = { .workdir = NULL };
	const mesos_v1_CommandInfo *c = in->task->command ? in->task->command : &none;
	struct words w = { .arena = a, .rows = arena_array(a, char *, LIMIT_TASK_ARGS + 1) };
	bool docker;
	(void)command_image(in->task, &docker);
	if (in->image && in->image->program && in->self && !out->cgroup)
		add(&w, in->self);           /* nothing is mounted: `SELF simpleservice` */
	if (c->shell && c->value) {
		add(&w, "/bin/sh");
		add(&w, "-c");
		add(&w, c->value);
	} else if (c->value) {
		add(&w, c->value);
		add_arguments(&w, c, docker ? 0 : 1);
	} else {
		image_words(&w, c, in->image ? &in->image->config : &no_image, docker);
	}
	if (w.count > LIMIT_TASK_ARGS)
		return err_set(e, E_TOOBIG, "the command has more than %d words", LIMIT_TASK_ARGS);
	if (w.count == 0 || !w.rows[0][0])
		return err_set(e, E_INVALID, "there is nothing to run: neither the task nor its image names a command");
	out->argv = w.rows;
	out->argv_count = (pb_size_t)w.count;
	return 0;
}

/* ---- environment ---- */

struct env {
	struct arena *arena;
	struct map map;                      /* name -> its "NAME=value" */
	size_t bytes;
};

static void env_set(struct env *v, const char *name, const char *value)
{
	char *row = arena_printf(v->arena, "%s=%s", name, value ? value : "");
	v->bytes += strlen(row) + 1;
	(void)map_put_c(&v->map, name, row);
}

static void env_default(struct env *v, const char *name, const char *value)
{
	if (!map_find_c(&v->map, name))
		env_set(v, name, value);
}

static void env_image(struct env *v, const struct image_config *image)
{
	for (size_t i = 0; i < image->env.count; i++) {
		struct str value = str_of(image->env.rows[i]);
		struct str name = str_cut(&value, '=');
		if (name.len > 0 && value.p)
			env_set(v, arena_str(v->arena, name), arena_str(v->arena, value));
	}
}

static void env_mesos(struct env *v, const struct command_input *in)
{
	const char *task_id = in->task->task_id->value;
	env_set(v, "HOSTNAME", in->hostname);
	env_set(v, "LIBPROCESS_IP", in->ip);
	env_set(v, "MESOS_AGENT_ENDPOINT", arena_printf(v->arena, "%s:%u", in->ip, in->port));
	env_set(v, "MESOS_CHECKPOINT", "1");
	env_set(v, "MESOS_CONTAINER_NAME", arena_printf(v->arena, "mesos-%s", in->container_id));
	env_set(v, "MESOS_DIRECTORY", in->sandbox_in);
	env_set(v, "MESOS_EXECUTOR_ID", task_id);
	env_set(v, "MESOS_FRAMEWORK_ID", in->framework_id);
	env_set(v, "MESOS_SANDBOX", in->sandbox_in);
	env_set(v, "MESOS_SLAVE_ID", in->agent_id);
	env_set(v, "MESOS_SLAVE_PID", arena_printf(v->arena, "slave(1)@%s:%u", in->ip, in->port));
	env_set(v, "MESOS_TASK_ID", task_id);
}

static int env_task(struct env *v, const mesos_v1_CommandInfo *c, struct err *e)
{
	for (size_t i = 0; c && c->environment && i < c->environment->variables_count; i++) {
		const mesos_v1_Environment_Variable *row = &c->environment->variables[i];
		if (!row->name || !row->name[0] || strchr(row->name, '='))
			return err_set(e, E_INVALID, "an environment variable of the task has no usable name");
		if (row->secret)
			return err_set(e, E_INVALID, "environment variable '%s' is a secret; this agent has no secret store", row->name);
		env_set(v, row->name, row->value);
		if (v->bytes > LIMIT_TASK_ENV_BYTES)
			return err_set(e, E_TOOBIG, "the task's environment has more than %d bytes", LIMIT_TASK_ENV_BYTES);
	}
	return 0;
}

static int build_env(struct arena *a, const struct command_input *in, dcos_ContainerSpec *out, struct err *e)
{
	struct env v = { .arena = a };
	bool root = !out->user || strcmp(out->user, "root") == 0 || strcmp(out->user, "0") == 0;
	if (in->image)
		env_image(&v, &in->image->config);
	env_mesos(&v, in);
	int rc = env_task(&v, in->task->command, e);
	env_default(&v, "PATH", DEFAULT_PATH);
	env_default(&v, "HOME", !out->cgroup && in->home ? in->home : root ? "/root" : "/");
	out->env = arena_array(a, char *, map_count(&v.map) + 1);
	map_each(&v.map, row)
		out->env[out->env_count++] = row->value;
	map_fini(&v.map);
	return rc;
}

/* ---- the rest ---- */

static const char *user_of(const struct command_input *in)
{
	const mesos_v1_CommandInfo *c = in->task->command;
	if (c && c->user && c->user[0])
		return c->user;
	return in->image ? in->image->config.user : in->framework_user;
}

static const char *workdir_of(const struct command_input *in)
{
	const char *dir = in->image ? in->image->config.workdir : NULL;
	if (dir && dir[0] == '/')
		return dir;
	return in->image && in->task->container->type == mesos_v1_ContainerInfo_Type_DOCKER ? "/" : in->sandbox_in;
}

int command_build(struct arena *a, const struct command_input *in, dcos_ContainerSpec *out, struct err *e)
{
	const mesos_v1_ContainerInfo *c = in->task->container;
	out->user = out->cgroup ? arena_strdup(a, user_of(in)) : NULL;    /* without isolation: who the agent is */
	out->workdir = arena_strdup(a, out->cgroup ? workdir_of(in) : in->sandbox_in);
	out->hostname = c && c->hostname && c->hostname[0] ? arena_strdup(a, c->hostname) : NULL;
	int rc = build_argv(a, in, out, e);
	return rc != 0 ? rc : build_env(a, in, out, e);
}
