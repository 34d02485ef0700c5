/* SPDX-License-Identifier: Apache-2.0 */
/* See marathon.h. */
#include "roles/cli/marathon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define DEFINITION_BYTES_MAX ((size_t)(16 * MIB))

char *marathon_path(const char *collection, const char *id, const char *rest)
{
	AUTO_BUF struct buf out = BUF_INIT;
	struct str left = str_of(id);
	buf_printf(&out, MARATHON "%s", collection);
	while (left.p) {
		struct str segment = str_cut(&left, '/');
		if (segment.len == 0)
			continue;
		buf_putc(&out, '/');
		url_encode(&out, segment);
	}
	buf_puts(&out, rest);
	return xstrdup(buf_cstr(&out));
}

const char *marathon_force(const struct cli *c) { return c->flags.force ? "?force=true" : ""; }

/* ---- definitions ---- */

void definition_fini(struct definition *d)
{
	yyjson_doc_free(d->doc);
	free(d->text);
	*d = (struct definition){ 0 };
}

static int read_all(int fd, const char *name, struct buf *out, struct err *e)
{
	for (;;) {
		uint8_t *room = buf_room(out, 16384);
		if (!room)
			return err_set(e, E_TOOBIG, "'%s' is larger than %zu MiB", name, DEFINITION_BYTES_MAX >> 20);
		ssize_t n = read(fd, room, 16384);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read '%s'", name);
		if (n == 0)
			return 0;
		buf_grew(out, (size_t)n);
	}
}

static int read_stdin(const char *what, struct buf *out, struct err *e)
{
	if (isatty(STDIN_FILENO))
		return err_set(e, E_USAGE, "We currently don't support reading from the TTY. Please specify an %s JSON.\n"
			       "E.g.: dcos marathon app add < app_resource.json", what);
	return read_all(STDIN_FILENO, "stdin", out, e);
}

static int read_file(const char *path, struct buf *out, struct err *e)
{
	AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? err_sys(e, "read '%s'", path) : read_all(fd, path, out, e);
}

static int read_url(struct cli *c, const char *url, struct buf *out, struct err *e)
{
	AUTO_ANSWER struct answer a = { 0 };
	int rc = client_get(c, url, &a, e);
	if (rc == 0)
		buf_append(out, a.body, a.len);
	return rc == 0 ? 0 : err_wrap(e, "read '%s'", url);
}

int definition_read(struct cli *c, const char *source, const char *what, struct definition *out, struct err *e)
{
	AUTO_BUF struct buf text = { .max = DEFINITION_BYTES_MAX };
	int rc = !source ? read_stdin(what, &text, e)
	       : cstr_starts(source, "http://") || cstr_starts(source, "https://") ? read_url(c, source, &text, e)
										   : read_file(source, &text, e);
	yyjson_doc *doc = NULL;
	if (rc != 0)
		return rc;
	if (json_parse((const char *)text.data, text.len, &doc, e) != 0)
		return err_wrap(e, "'%s' is no %s definition", source ? source : "stdin", what);
	if (!yyjson_is_obj(yyjson_doc_get_root(doc))) {
		yyjson_doc_free(doc);
		return err_set(e, E_MALFORMED, "'%s' is no %s definition: it wants a JSON object, {…}", source ? source : "stdin", what);
	}
	*out = (struct definition){ .text = buf_take(&text), .doc = doc };
	return 0;
}

int object_of_pairs(char *const *pairs, int count, struct buf *out, struct err *e)
{
	struct jw w = jw_start(out);
	jw_obj(&w, NULL);
	for (int i = 0; i < count; i++) {
		struct str value = str_of(pairs[i]);
		struct str name = str_cut(&value, '=');
		AUTO_JSON yyjson_doc *doc = value.p ? yyjson_read(value.p, value.len, 0) : NULL;
		if (!value.p || name.len == 0)
			return err_set(e, E_USAGE, "'%s' is no property: it wants name=value, such as instances=3", pairs[i]);
		AUTO_FREE char *key = str_dup(name);
		if (doc)
			jw_raw(&w, key, value);
		else
			jw_strn(&w, key, value);
	}
	jw_end(&w);
	return 0;
}

/* ---- answers ---- */

void print_deployment(const struct answer *a)
{
	yyjson_val *root = answer_json(a);
	const char *id = a->deployment ? a->deployment : json_str(root, "deploymentId", json_str(root, "deployments.0.id", NULL));
	if (id)
		printf("Created deployment %s\n", id);
}

void print_killed(const struct answer *a)
{
	yyjson_val *root = answer_json(a), *tasks = json_at(root, "tasks"), *task;
	yyjson_arr_iter it;
	if (!tasks) {
		AUTO_BUF struct buf text = BUF_INIT;
		if (root)
			json_write(&text, root, false);
		printf("Started deployment: %s\n", buf_cstr(&text));
		return;
	}
	printf("Killed tasks: [");
	yyjson_arr_iter_init(tasks, &it);
	for (bool more = false; (task = yyjson_arr_iter_next(&it)); more = true)
		printf("%s'%s'", more ? ", " : "", json_str(task, "id", ""));
	puts("]");
}

/* ---- texts ---- */

const char *action_word(const char *action)
{
	static const struct { const char *action, *word; } words[] = {
		{ "ResolveArtifacts", "artifacts" },  { "ScaleApplication", "scale" }, { "StartApplication", "start" },
		{ "StopApplication", "stop" },        { "RestartApplication", "restart" }, { "ScalePod", "scale" },
		{ "StartPod", "start" },              { "StopPod", "stop" },           { "RestartPod", "restart" },
		{ "KillAllOldTasksOf", "kill-tasks" },
	};
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i].action, action) == 0)
			return words[i].word;
	return action;
}

static const char *shortage(const char *reason)
{
	static const struct { const char *reason, *words; } rows[] = {
		{ "UnfulfilledRole", "no resources of an accepted role" },
		{ "UnfulfilledConstraint", "a constraint is not met" },
		{ "NoCorrespondingReservationFound", "its reservation is missing" },
		{ "AgentMaintenance", "under maintenance" },
		{ "InsufficientCpus", "not enough cpus" },
		{ "InsufficientMemory", "not enough memory" },
		{ "InsufficientDisk", "not enough disk" },
		{ "InsufficientGpus", "not enough gpus" },
		{ "InsufficientPorts", "its ports are not free" },
		{ "DeclinedScarceResources", "scarce resources are kept back" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].reason, reason) == 0)
			return rows[i].words;
	return reason;
}

void queue_reason(yyjson_val *entry, struct buf *out)
{
	yyjson_arr_iter it;
	yyjson_val *summary = json_at(entry, "processedOffersSummary.rejectSummaryLastOffers"), *row;
	int64_t agents = 0;
	bool any = false;
	yyjson_arr_iter_init(summary, &it);
	while ((row = yyjson_arr_iter_next(&it)))
		agents = MAX(agents, json_int(row, "processed", 0));
	yyjson_arr_iter_init(summary, &it);
	while ((row = yyjson_arr_iter_next(&it))) {
		int64_t declined = json_int(row, "declined", 0);
		if (declined == 0)
			continue;
		if (!any)
			buf_printf(out, "'%s' waits: ", json_str(entry, "app.id", json_str(entry, "pod.id", "")));
		buf_printf(out, "%s%s on %lld of %lld agents", any ? ", " : "", shortage(json_str(row, "reason", "")),
			   (long long)declined, (long long)agents);
		any = true;
	}
}

yyjson_val *queue_find(yyjson_val *queue, const char *app_id)
{
	yyjson_arr_iter it;
	yyjson_val *entry;
	yyjson_arr_iter_init(json_at(queue, "queue"), &it);
	while ((entry = yyjson_arr_iter_next(&it)))
		if (strcmp(json_str(entry, "app.id", json_str(entry, "pod.id", "")), app_id) == 0)
			return entry;
	return NULL;
}
