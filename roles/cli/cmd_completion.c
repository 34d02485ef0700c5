/* SPDX-License-Identifier: Apache-2.0 */
/* dcos completion: a script that completes the words of commands, made of the command table. */
#include <stdio.h>

#include "roles/cli/cli.h"

static const char bash_function[] =
	"_dcos() {\n"
	"\tlocal line rest next= typed=\"${COMP_WORDS[*]:1:COMP_CWORD-1}\"\n"
	"\t[ -z \"$typed\" ] || typed=\"$typed \"\n"
	"\twhile read -r line; do\n"
	"\t\tcase $line in \"$typed\"*) rest=${line#\"$typed\"} next=\"$next ${rest%% *}\" ;; esac\n"
	"\tdone <<<\"$_dcos_commands\"\n"
	"\tCOMPREPLY=($(compgen -W \"$next\" -- \"${COMP_WORDS[COMP_CWORD]}\"))\n"
	"}\n"
	"complete -o default -F _dcos dcos\n";

static int cmd_completion(struct cli *c, struct err *e)
{
	bool zsh = strcmp(c->args[0], "zsh") == 0;
	if (!zsh && strcmp(c->args[0], "bash") != 0)
		return err_set(e, E_USAGE, "there is completion for bash and zsh, not for '%s'", c->args[0]);
	if (zsh)
		puts("autoload -Uz compinit bashcompinit && compinit && bashcompinit");
	printf("_dcos_commands='");
	for (const struct command *row = cli_next(NULL); row; row = cli_next(row))
		printf("%s\n", row->words);
	printf("'\n%s", bash_function);
	return 0;
}

const struct command completion_commands[] = {
	/* words        args           min max flags  fn              help */
	{ "completion", "<bash|zsh>",  1,  1,  NULL,  cmd_completion, "Print a script for your shell: source <(dcos completion bash)" },
	CMD_END,
};
