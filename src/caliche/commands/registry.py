"""Every command, in the order of the help: the one list that a new command is added to."""

from __future__ import annotations

from caliche.commands.command import Command

_START, _BEFORE, _AFTER = "Start here", "Before a calibration", "After"
_OTHER, _LISTS = "Other ways to calibrate", "Look things up"
_RUN_PAGE = "caliche.report.run.page:write_report"

COMMANDS = (
    Command(_START, "init"),
    Command(_START, "check"),
    Command(_START, "estimate", page=_RUN_PAGE),
    Command(_START, "report"),
    Command(_BEFORE, "screen", page="caliche.commands.screen.page:write_screening_page"),
    Command(_BEFORE, "emulate", page="caliche.commands.emulate.page:write_emulation_page"),
    Command(
        _BEFORE,
        "history-match",
        room="history_match",
        page="caliche.commands.history_match.page:write_match_page",
    ),
    Command(_BEFORE, "identify"),
    Command(_BEFORE, "design"),
    Command(_AFTER, "posterior"),
    Command(_AFTER, "variants", page="caliche.commands.variants.page:write_variants_page"),
    Command(_AFTER, "score"),
    Command(
        _OTHER,
        "joint",
        page="caliche.commands.joint.page:write_joint_page",
        table="caliche.commands.joint.config:JointTable",
    ),
    Command(_OTHER, "sites"),
    Command(_OTHER, "assimilate", page="caliche.commands.assimilate.page:write_assimilation_page"),
    Command(_OTHER, "train", page=_RUN_PAGE),
    Command(_OTHER, "callmip", table="caliche.commands.callmip.config:EntryTable"),
    Command(
        _OTHER,
        "emulate-column",
        room="emulate_column",
        page="caliche.commands.emulate_column.page:write_column_page",
    ),
    Command(_OTHER, "drive", table="caliche.executables.config:DriveTable"),
    Command(_OTHER, "compare"),
    Command(_LISTS, "experiments", room="lists"),
    Command(_LISTS, "parameters"),
    Command(_LISTS, "data", room="lists"),
    Command(_LISTS, "schema"),
    Command(_LISTS, "simulate"),
)
BY_NAME = {command.name: command for command in COMMANDS}
PANELS = tuple(dict.fromkeys(command.panel for command in COMMANDS))
