"""`ais completion`: shell code that completes commands, options, buckets, objects and nodes."""

import os

import click
from click.shell_completion import BashComplete, get_completion_class, split_arg_string

from ais_cli.params import examples

_VARIABLE = "_AIS_COMPLETE"

# Bash splits words at ":", so that "ais://b" arrives in pieces. The whole line goes to us instead, and what bash has
# already taken of the last word is cut from the answers. Nothing follows a directory or a section at once.
_BASH_SOURCE = """\
%(complete_func)s() {
    local IFS=$'\\n' answer item prefix
    local line="${COMP_LINE:0:COMP_POINT}"
    local word="${line##* }"
    prefix="${word%%"${word##*[:=]}"}"
    COMPREPLY=()
    for answer in $(env AIS_COMPLETE_LINE="$line" %(complete_var)s=bash_complete $1); do
        item="${answer#*,}"
        case "${answer%%%%,*}" in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                [[ $item == *[/.] ]] && compopt -o nospace
                COMPREPLY+=("${item#"$prefix"}") ;;
        esac
    done
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class AisBashComplete(BashComplete):
    """Bash completion that keeps words with a colon together."""

    source_template = _BASH_SOURCE

    @staticmethod
    def _check_version() -> None:
        """The code works in every bash that has `compopt`; asking for the version costs a process."""

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ["AIS_COMPLETE_LINE"]
        words = split_arg_string(line)
        is_new_word = not line or line[-1] == " "
        incomplete = "" if is_new_word or not words else words.pop()
        return words[1:], incomplete


@click.command(
    epilog=examples(
        'eval "$(ais completion bash)"                                    now; in ~/.bashrc: always',
        'eval "$(ais completion zsh)"                                     now; in ~/.zshrc: always',
        "ais completion fish > ~/.config/fish/completions/ais.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print completion code for a shell."""
    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root()
    click.echo(kind(root.command, {}, "ais", _VARIABLE).source())
