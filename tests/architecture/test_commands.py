"""Every `segloss …` command in every document is one that the command line accepts."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from bench.cli.app import app
from bench.profile import load_profile
from studies.schema import load_study

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SEGLOSS = typer.main.get_command(app)


def fenced(text):
    """Return the command lines in shell blocks, with continued lines joined."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if line.lstrip("$ ").startswith("segloss "):
                yield line.lstrip("$ ")


def inline(text):
    """Return the commands in backticks outside of blocks."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return [" ".join(found.split()) for found in re.findall(r"`(segloss\s[^`]+)`", prose)]


def words(command):
    """Return the arguments without a comment and without the dots of what is left out."""
    found = shlex.split(command, comments=True)[1:]
    return [word.strip("[]") for word in found if word not in ("…", "...")]


def parse(arguments, *, whole=True):
    """Return the options and arguments that a command gets; nothing is called.

    Raises ValueError with what the command line would say. Unless ``whole``, arguments and the
    command of a group may be missing.
    """
    command, context = SEGLOSS, None
    try:
        while hasattr(command, "resolve_command") and arguments and arguments != ["--help"]:
            context = command.context_class(command, parent=context)
            _, command, arguments = command.resolve_command(context, arguments)
        if arguments == ["--help"]:
            return {}
        return command.make_context("segloss", arguments, parent=context).params
    except Exception as error:
        # The type is of the click that typer brings along, which has no public name.
        if type(error).__name__ in ("MissingParameter", "NoArgsIsHelpError") and not whole:
            return {}
        raise ValueError(f"{type(error).__name__}: {error}") from error


def commands(find):
    return [
        pytest.param(command, id=f"{document.name}: {command}")
        for document in DOCUMENTS
        for command in find(document.read_text())
    ]


@pytest.mark.parametrize("command", commands(fenced))
def test_a_command_in_a_block_is_accepted(command):
    """Options, their values and arguments; a study or profile that it names is shipped."""
    asked = parse(words(command))
    if words(command)[0] == "import":
        return  # it makes the study that it names
    studies = asked.get("studies") or [asked.get("study")]
    for study in studies:
        if study and not study.endswith(".toml"):
            load_study(study)
    profile = asked.get("profile")
    if profile and not profile.endswith(".toml"):
        load_profile(profile)


@pytest.mark.parametrize("command", commands(inline))
def test_a_command_in_a_sentence_exists(command):
    """Its arguments may be left out, but no command or option is unknown."""
    parse(words(command), whole=False)


@pytest.mark.parametrize(
    "command", ["segloss check", "segloss data camvid", "segloss run --sedes 3"]
)
def test_an_unknown_command_is_found(command):
    """So that the tests above can fail."""
    with pytest.raises(ValueError, match=r"UsageError|NoSuchOption"):
        parse(words(command))


def test_documents_name_commands():
    assert len(commands(fenced)) > 20
    assert len(commands(inline)) > 20
