"""How a bundle is cited: CITATION.cff, and the metadata that Zenodo takes for a DOI."""

from __future__ import annotations

import json
from typing import Any

from reports.bundle.files import BundleError, parse_json, read_text
from reports.bundle.read import Bundle

ZENODO = ".zenodo.json"
CITATION = "CITATION.cff"
EDITED = (ZENODO, CITATION)
"""Texts without a digest: a person completes the first, and the second follows from it."""
NOBODY = {"name": "The authors of this study"}
"""Stands for the authors until someone writes their names into .zenodo.json."""


def citation_files(bundle: Bundle, summary: str) -> dict[str, str]:
    """Return the texts of both files by name.

    Authors, licence and all else that a person wrote into .zenodo.json stay as they are.

    Args:
        bundle: The bundle, perhaps with a .zenodo.json.
        summary: The result in words.
    """
    manifest = bundle.manifest
    own = {
        "title": f"{manifest.title} ({manifest.study} on {manifest.profile})",
        "upload_type": "dataset",
        "description": _escaped(f"{manifest.scale.rstrip('.')}. {summary}"),
    }
    default = {"creators": [NOBODY], "keywords": ["semantic segmentation", "loss functions"]}
    metadata = {**default, **_kept(bundle), **own}
    text = json.dumps(metadata, indent=1, ensure_ascii=False) + "\n"
    return {ZENODO: text, CITATION: _citation(metadata)}


def _kept(bundle: Bundle) -> dict[str, Any]:
    text = read_text(bundle.folder, ZENODO)
    return {} if text is None else parse_json(text, ZENODO)


def _citation(metadata: dict[str, Any]) -> str:
    creators = metadata["creators"]
    if not isinstance(creators, list) or not all(isinstance(c, dict) for c in creators):
        raise BundleError(f"{ZENODO}: creators is not a list of objects with a name")
    lines = [
        f"# Written by segloss publish; the authors are those of {ZENODO}.",
        "cff-version: 1.2.0",
        'message: "If you use these results, please cite them as below."',
        "type: dataset",
        f"title: {_quoted(metadata['title'])}",
        f"abstract: {_quoted(metadata['description'])}",
        "authors:",
    ]
    for creator in creators:
        lines += _author(creator)
    return "\n".join(lines) + "\n"


def _author(creator: dict[str, Any]) -> list[str]:
    """Return one author in CFF, whose quoted strings are JSON's: "Family, Given" is a person."""
    family, comma, given = str(creator.get("name", "")).partition(",")
    if not comma:
        fields = {"name": family}
    else:
        fields = {"family-names": family.strip(), "given-names": given.strip()}
    for key in ("affiliation", "orcid"):
        if key in creator:
            value = str(creator[key])
            fields[key] = f"https://orcid.org/{value}" if key == "orcid" else value
    written = [f"{key}: {_quoted(value)}" for key, value in fields.items()]
    return [f"  - {written[0]}", *(f"    {line}" for line in written[1:])]


def _quoted(text: str) -> str:
    """Return a text as a quoted string of YAML, which has no control characters."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return json.dumps(plain, ensure_ascii=False)


def _escaped(text: str) -> str:
    """Return a text for Zenodo's description, which is HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
