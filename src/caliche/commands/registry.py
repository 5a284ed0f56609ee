"""Every command, in the order of the help: the one list that a new command is added to."""

from __future__ import annotations

from caliche.commands.command import Command

_RUN_PAGE = "caliche.report.run.page:write_report"

COMMANDS = (
    Command("estimate", page=_RUN_PAGE),
    Command("sites"),
    Command("simulate"),
    Command("check"),
    Command("report"),
    Command("assimilate", page="caliche.commands.assimilate.page:write_assimilation_page"),
    Command("identify"),
    Command("design"),
    Command("screen", page="caliche.commands.screen.page:write_screening_page"),
    Command("posterior"),
    Command("variants", page="caliche.commands.variants.page:write_variants_page"),
    Command("compare"),
    Command("drive", table="caliche.commands.drive.config:DriveTable"),
    Command(
        "joint",
        page="caliche.commands.joint.page:write_joint_page",
        table="caliche.commands.joint.config:JointTable",
    ),
    Command("score"),
    Command("train", page=_RUN_PAGE),
    Command("parameters"),
    Command("experiments", room="lists"),
    Command("data", room="lists"),
    Command("schema"),
    Command("init"),
)
BY_NAME = {command.name: command for command in COMMANDS}
