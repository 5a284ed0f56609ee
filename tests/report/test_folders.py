"""`caliche report` on the folders of other commands: their own page, or the right sentence."""

from __future__ import annotations

import pytest

from caliche.commands.report.run import write_page
from caliche.errors import InputError
from caliche.files.manifest import write_manifest
from caliche.report.run.folder import read_run
from caliche.runs.kinds import kind_of

FINISHED = {
    "variants": ("variants.json", "config.toml", "finished/base.json"),
    "compare": ("compare.json", "compare.csv", "rows/lm-0.json"),
    "design": ("design.json", "design.csv"),
    "drive": ("drive.toml", "result.json", "members.csv", "config.toml"),
    "simulate": ("simulation.nc", "config.toml"),
    "screen": ("screening.nc", "summary.json", "config.toml"),
    "emulate": ("emulator.nc", "summary.json", "config.toml"),
    "train": ("network.eqx", "checkpoint-3.eqx", "summary.json", "result.nc", "config.toml"),
    "assimilate": ("windows/0.npz", "summary.json", "result.nc", "config.toml"),
    "sites": ("blocks/000000.nc", "summary.json", "result.nc", "config.toml"),
    "joint": ("parameters.csv", "summary.json", "result.nc", "config.toml"),
    "estimate": ("summary.json", "result.nc", "config.toml", "report.html"),
}
WITHOUT_PAGE = ("compare", "design", "drive", "simulate", "sites")


@pytest.fixture
def folder(tmp_path):
    def make(command="", names=()):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("{}")
        if command:
            write_manifest(tmp_path, command)
        return tmp_path

    return make


@pytest.mark.parametrize("command", FINISHED)
def test_the_folder_of_each_command_is_known(folder, command):
    found = kind_of(folder(command, FINISHED[command]))
    assert found is not None
    assert found.command == command


@pytest.mark.parametrize("command", WITHOUT_PAGE)
def test_a_folder_without_a_page_says_which_command_wrote_it_and_where_its_results_are(
    folder, command
):
    with pytest.raises(InputError, match=f"which caliche {command} wrote") as caught:
        write_page(folder(command, FINISHED[command]))
    assert f"caliche {command} writes no page" in str(caught.value)
    assert kind_of(folder()).results in str(caught.value)


@pytest.mark.parametrize("command", ["variants", "assimilate", "train", "joint"])
def test_an_unfinished_folder_is_to_be_finished(folder, command):
    unfinished = {
        "variants": ("finished/base.json", "config.toml"),
        "assimilate": ("windows/0.npz",),
        "train": ("checkpoint-1.eqx",),
        "joint": ("stages/alone-a.npz",),
    }[command]
    with pytest.raises(InputError, match=f"caliche {command} was not finished"):
        write_page(folder(command, unfinished))


@pytest.mark.parametrize(
    "command", [name for name in FINISHED if name not in ("estimate", "train")]
)
def test_the_report_of_an_estimate_is_not_made_of_another_folder(folder, command):
    with pytest.raises(InputError, match=f"caliche {command} wrote") as caught:
        read_run(folder(command, FINISHED[command]))
    assert "run the experiment again" not in str(caught.value)


def test_what_no_command_wrote(folder, tmp_path):
    with pytest.raises(InputError, match=r"without summary\.json and result"):
        write_page(folder(names=["notes.txt"]))
    with pytest.raises(InputError, match="which is not a folder"):
        write_page(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="not a folder that exists"):
        write_page(tmp_path / "nowhere")


def test_the_page_is_written_again(run_folder):
    assert write_page(run_folder).name == "report.html"
