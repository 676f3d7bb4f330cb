"""The commands whose modules are imported only when they run: the server and the worker need none of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

import click

COMMANDS: Final = {
    "backup": "app.entry.recovery.backup",
    "completion": "app.entry.completion",
    "doctor": "app.entry.doctor.command",
    "export": "app.entry.client_commands.export",
    "feed": "app.entry.client_commands.feed",
    "fetch": "app.entry.client_commands.fetch",
    "find": "app.entry.client_commands.find",
    "listen": "app.entry.client_commands.listen",
    "migrate": "app.entry.recovery.migrate",
    "operations": "app.entry.client_commands.operations",
    "partitions": "app.entry.client_commands.partitions",
    "restore": "app.entry.recovery.backup",
    "rebuild": "app.entry.recovery.rebuild",
    "restore-check": "app.entry.recovery.restore_check",
    "rm": "app.entry.client_commands.rm",
    "store": "app.entry.client_commands.store",
    "tags": "app.entry.client_commands.tags",
    "update": "app.entry.client_commands.update",
    "verify": "app.entry.recovery.verify",
    "workitems": "app.entry.client_commands.workitems",
}
"""The module of each command. The command is the function of the same name, with `_` for `-`."""


class CommandGroup(click.Group):
    """A group with the commands that are added to it and those of `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        command: Any = getattr(import_module(COMMANDS[cmd_name]), cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)  # noqa: S101 - the table above names commands alone
        return command
