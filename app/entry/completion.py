"""`bulkhead completion`: prints what makes a shell complete the command (click's own mechanism)."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

_VARIABLE: Final = "_BULKHEAD_COMPLETE"
"""The variable by which the shell asks the command for completions. click expects this name."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete commands and options.

    \b
    eval "$(bulkhead completion bash)"                                        in ~/.bashrc
    eval "$(bulkhead completion zsh)"                                         in ~/.zshrc
    bulkhead completion fish > ~/.config/fish/completions/bulkhead.fish       once
    """
    made_by = get_completion_class(shell)
    if made_by is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    click.echo(made_by(context.find_root().command, {}, "bulkhead", _VARIABLE).source())
