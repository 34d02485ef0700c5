/* SPDX-License-Identifier: Apache-2.0 */
/* What a container runs and finds in its environment, case by case of Mesos' table. */
#include "net/limits.h"
#include "roles/agent/command.h"
#include "roles/agent/outcome.h"
#include "tests/lib/test.h"

/* Ready to be changed by a test before build(). */
struct setup {
	struct arena a;
	mesos_v1_TaskInfo task;
	mesos_v1_TaskID id;
	mesos_v1_CommandInfo command;
	mesos_v1_ContainerInfo container;
	mesos_v1_ContainerInfo_DockerInfo docker;
	struct image image;
	struct command_input in;
	dcos_ContainerSpec spec;
	struct err e;
};

static void setup_fini(struct setup *s) { arena_fini(&s->a); }
#define AUTO_SETUP __attribute__((cleanup(setup_fini)))

static void setup(struct setup *s)
{
	*s = (struct setup){ .a = ARENA_INIT, .id = { .value = "app.1" } };
	s->task.task_id = &s->id;
	s->task.command = &s->command;
	s->spec.cgroup = "/dcos/c";
	s->in = (struct command_input){ .task = &s->task, .framework_id = "F", .framework_user = "root", .agent_id = "S1", .ip = "10.0.0.1",
					.hostname = "h", .port = 5051, .container_id = "C", .sandbox_in = "/sandbox", .self = "/bin/dcos-node" };
}

static void with_image(struct setup *s, mesos_v1_ContainerInfo_Type type)
{
	s->docker.image = "x";
	s->container.type = type;
	s->container.docker = &s->docker;
	s->task.container = &s->container;
	s->in.image = &s->image;
}

static char *row1[] = { "entry" }, *row2[] = { "cmd0", "cmd1" };

static void with_entrypoint(struct setup *s) { s->image.config.entrypoint = (struct image_strings){ row1, 1 }; }
static void with_cmd(struct setup *s) { s->image.config.cmd = (struct image_strings){ row2, 2 }; }

static const char *argv_text(struct setup *s)
{
	static struct buf out = BUF_INIT;
	buf_reset(&out);
	EQ_INT(command_build(&s->a, &s->in, &s->spec, &s->e), 0);
	for (size_t i = 0; i < s->spec.argv_count; i++)
		buf_printf(&out, "%s%s", i ? "|" : "", s->spec.argv[i]);
	return buf_cstr(&out);
}

static const char *env_get(struct setup *s, const char *name)
{
	for (size_t i = 0; i < s->spec.env_count; i++)
		if (strncmp(s->spec.env[i], name, strlen(name)) == 0 && s->spec.env[i][strlen(name)] == '=')
			return s->spec.env[i] + strlen(name) + 1;
	return NULL;
}

TEST(agent_command, a_shell_command_runs_by_sh)
{
	AUTO_SETUP struct setup s;
	setup(&s);
	s.command.shell = true;
	s.command.value = "echo $HOME";
	EQ_STR(argv_text(&s), "/bin/sh|-c|echo $HOME");
	EQ_STR((const char *)s.spec.workdir, "/sandbox");
	EQ_STR((const char *)s.spec.user, "root");
}

TEST(agent_command, a_program_with_arguments_drops_the_first_which_is_argv0)
{
	AUTO_SETUP struct setup s;
	char *args[] = { "prog", "one" };
	setup(&s);
	s.command.value = "prog";
	s.command.arguments = args;
	s.command.arguments_count = 2;
	EQ_STR(argv_text(&s), "prog|one");
}

TEST(agent_command, an_image_without_command_runs_entrypoint_and_cmd)
{
	AUTO_SETUP struct setup s;
	setup(&s);
	with_image(&s, mesos_v1_ContainerInfo_Type_DOCKER);
	with_entrypoint(&s);
	with_cmd(&s);
	EQ_STR(argv_text(&s), "entry|cmd0|cmd1");
	EQ_STR((const char *)s.spec.workdir, "/");
}

TEST(agent_command, arguments_replace_the_images_cmd)
{
	AUTO_SETUP struct setup s;
	char *args[] = { "a", "b" };
	setup(&s);
	with_image(&s, mesos_v1_ContainerInfo_Type_DOCKER);
	with_entrypoint(&s);
	with_cmd(&s);
	s.command.arguments = args;
	s.command.arguments_count = 2;
	EQ_STR(argv_text(&s), "entry|a|b");
}

TEST(agent_command, without_entrypoint_docker_runs_the_arguments_and_mesos_puts_cmd0_before)
{
	AUTO_SETUP struct setup s;
	char *args[] = { "a", "b" };
	setup(&s);
	with_image(&s, mesos_v1_ContainerInfo_Type_DOCKER);
	with_cmd(&s);
	s.command.arguments = args;
	s.command.arguments_count = 2;
	EQ_STR(argv_text(&s), "a|b");
	s.container.type = mesos_v1_ContainerInfo_Type_MESOS;
	EQ_STR(argv_text(&s), "cmd0|a|b");
}

TEST(agent_command, nothing_to_run_is_said)
{
	AUTO_SETUP struct setup s;
	setup(&s);
	EQ_INT(command_build(&s.a, &s.in, &s.spec, &s.e), E_INVALID);
	HAS(s.e.text, "nothing to run");
}

TEST(agent_command, without_isolation_the_built_in_image_runs_by_this_executable)
{
	AUTO_SETUP struct setup s;
	setup(&s);
	with_image(&s, mesos_v1_ContainerInfo_Type_DOCKER);
	with_cmd(&s);
	s.image.program = "/usr/bin/simpleservice";
	s.spec.cgroup = NULL;
	EQ_STR(argv_text(&s), "/bin/dcos-node|cmd0|cmd1");
	EQ_STR((const char *)s.spec.workdir, "/sandbox");
	TRUE(s.spec.user == NULL);
}

TEST(agent_command, the_tasks_environment_wins_over_mesos_over_the_images)
{
	AUTO_SETUP struct setup s;
	char *image_env[] = { "PATH=/image", "MESOS_SANDBOX=image", "A=image", "broken" };
	mesos_v1_Environment_Variable vars[] = { { .name = "A", .value = "task" }, { .name = "EMPTY" } };
	mesos_v1_Environment env = { .variables = vars, .variables_count = 2 };
	setup(&s);
	with_image(&s, mesos_v1_ContainerInfo_Type_DOCKER);
	with_cmd(&s);
	s.image.config.env = (struct image_strings){ image_env, 4 };
	s.command.environment = &env;
	(void)argv_text(&s);
	EQ_STR(env_get(&s, "PATH"), "/image");
	EQ_STR(env_get(&s, "MESOS_SANDBOX"), "/sandbox");
	EQ_STR(env_get(&s, "A"), "task");
	EQ_STR(env_get(&s, "EMPTY"), "");
	EQ_STR(env_get(&s, "MESOS_TASK_ID"), "app.1");
	EQ_STR(env_get(&s, "MESOS_CONTAINER_NAME"), "mesos-C");
	EQ_STR(env_get(&s, "MESOS_AGENT_ENDPOINT"), "10.0.0.1:5051");
	EQ_STR(env_get(&s, "LIBPROCESS_IP"), "10.0.0.1");
	TRUE(env_get(&s, "broken") == NULL);
}

TEST(agent_command, a_secret_is_refused_by_name)
{
	AUTO_SETUP struct setup s;
	mesos_v1_Secret secret = { .type = mesos_v1_Secret_Type_VALUE };
	mesos_v1_Environment_Variable vars[] = { { .name = "PASSWORD", .secret = &secret } };
	mesos_v1_Environment env = { .variables = vars, .variables_count = 1 };
	setup(&s);
	s.command.shell = true;
	s.command.value = "x";
	s.command.environment = &env;
	EQ_INT(command_build(&s.a, &s.in, &s.spec, &s.e), E_INVALID);
	HAS(s.e.text, "PASSWORD");
}

TEST(agent_command, words_are_bounded)
{
	AUTO_SETUP struct setup s;
	setup(&s);
	char **args = arena_array(&s.a, char *, LIMIT_TASK_ARGS + 1);
	for (size_t i = 0; i <= LIMIT_TASK_ARGS; i++)
		args[i] = "x";
	s.command.value = "prog";
	s.command.arguments = args;
	s.command.arguments_count = LIMIT_TASK_ARGS;
	EQ_INT(command_build(&s.a, &s.in, &s.spec, &s.e), 0);
	EQ_INT(s.spec.argv_count, LIMIT_TASK_ARGS);
	s.command.arguments_count = LIMIT_TASK_ARGS + 1;
	EQ_INT(command_build(&s.a, &s.in, &s.spec, &s.e), E_TOOBIG);
}

TEST(agent_command, the_tasks_user_comes_before_the_images)
{
	AUTO_SETUP struct setup s;
	setup(&s);
	with_image(&s, mesos_v1_ContainerInfo_Type_DOCKER);
	with_cmd(&s);
	s.image.config.user = "1000:1000";
	(void)argv_text(&s);
	EQ_STR((const char *)s.spec.user, "1000:1000");
	s.command.user = "nobody";
	(void)argv_text(&s);
	EQ_STR((const char *)s.spec.user, "nobody");
}

/* ---- how the end is called ---- */

static const char *end_of(struct outcome_facts f, mesos_v1_TaskState state)
{
	static struct outcome o;
	buf_fini(&o.message);
	outcome_of(&f, &o);
	EQ_INT(o.state, state);
	return buf_cstr(&o.message);
}

TEST(agent_outcome, exit_statuses_and_signals_in_mesos_words)
{
	EQ_STR(end_of((struct outcome_facts){ .wait_status = 0 }, mesos_v1_TaskState_TASK_FINISHED), "Command exited with status 0");
	EQ_STR(end_of((struct outcome_facts){ .wait_status = 1 << 8 }, mesos_v1_TaskState_TASK_FAILED), "Command exited with status 1");
	EQ_STR(end_of((struct outcome_facts){ .wait_status = 9 }, mesos_v1_TaskState_TASK_FAILED), "Command terminated with signal Killed");
	EQ_STR(end_of((struct outcome_facts){ .wait_status = 0, .kill_wanted = true }, mesos_v1_TaskState_TASK_KILLED),
	       "Command exited with status 0");
}

TEST(agent_outcome, out_of_memory_is_a_limitation_even_when_killed)
{
	struct outcome o;
	struct outcome_facts f = { .wait_status = 9, .kill_wanted = true, .out_of_memory = true, .mem_bytes = 32 * MIB,
				   .mem_max_bytes = 33 * MIB, .memory_stat = "rss 1\n" };
	outcome_of(&f, &o);
	EQ_INT(o.state, mesos_v1_TaskState_TASK_FAILED);
	EQ_INT(o.reason, mesos_v1_TaskStatus_Reason_REASON_CONTAINER_LIMITATION_MEMORY);
	EQ_STR(buf_cstr(&o.message), "Memory limit exceeded: Requested: 32MB Maximum Used: 33MB\n\nMEMORY STATISTICS: \nrss 1\n");
	buf_fini(&o.message);
}

TEST(agent_outcome, a_process_that_handles_blocks_or_ignores_term_does_not_die_of_it)
{
	TRUE(outcome_dies_of_term(STR("Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000001\nSigCgt:\t0000000000000002\n")));
	FALSE(outcome_dies_of_term(STR("SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000004000\n")));
	FALSE(outcome_dies_of_term(STR("SigBlk:\t0000000000004000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n")));
	FALSE(outcome_dies_of_term(STR("SigBlk:\t0000000000000000\nSigIgn:\t0000000000004000\nSigCgt:\t0000000000000000\n")));
	FALSE(outcome_dies_of_term(STR("SigIgn:\t0000000000004000\n")));
}
