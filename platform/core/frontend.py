"""Copy the few front-end files that pages use out of node_modules: python frontend.py NODE_MODULES TARGET."""

import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

FILES = {
    "tabler.min.css": "@tabler/core/dist/css/tabler.min.css",
    "tabler.min.js": "@tabler/core/dist/js/tabler.min.js",
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "echarts.min.js": "echarts/dist/echarts.min.js",
}
PACKAGES = ("@tabler/core", "@tabler/icons", "htmx.org", "echarts")
PAPERS = ("LICENSE", "NOTICE")
ICONS = Path(__file__).with_name("frontend_icons.txt")

SOURCE_MAP = re.compile(r"(?:/\*|//)[#@] sourceMappingURL=[^\n*]*(?:\*/)?[ \t]*\n?")
FOREIGN_URL = re.compile(r"""url\((?![\s"']*(?:data:|#))[^)]*\)""")
INNER = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)
FRAME = re.compile(r'\s*<path stroke="none" d="M0 0h24v24H0z" fill="none" ?/>')


def main(node_modules: Path, target: Path) -> None:
    """Make `target` anew, whole or not at all."""
    beside = target.with_name(f"{target.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    for name, source in FILES.items():
        (beside / name).write_text(cleaned((node_modules / source).read_text(encoding="utf-8")), encoding="utf-8")
    (beside / "icons.svg").write_text(sprite(node_modules / "@tabler/icons/icons", icon_names()), encoding="utf-8")
    (beside / "LICENSES.txt").write_text(papers(node_modules), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)


def cleaned(text: str) -> str:
    """Without source maps and fonts that are not copied: hashed static files refuse names of absent files."""
    return FOREIGN_URL.sub("url()", SOURCE_MAP.sub("", text))


def icon_names() -> list[str]:
    """The allow-list: one name a line, "filled/name" for the filled drawing."""
    lines = (line.partition("#")[0].strip() for line in ICONS.read_text(encoding="utf-8").splitlines())
    return sorted({line for line in lines if line})


def sprite(folder: Path, names: Iterable[str]) -> str:
    """One SVG whose symbols pages draw with <use href="icons.svg#name">; raises SystemExit naming what is missing."""
    names = list(names)
    missing = [name for name in names if not _drawing(folder, name).is_file()]
    if missing:
        raise SystemExit(f"No such icons, see {ICONS.name}: {', '.join(missing)}")
    symbols = "\n".join(_symbol(folder, name) for name in names)
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{symbols}\n</svg>\n'


def _drawing(folder: Path, name: str) -> Path:
    return folder / (f"{name}.svg" if name.startswith("filled/") else f"outline/{name}.svg")


def _symbol(folder: Path, name: str) -> str:
    found = INNER.search(_drawing(folder, name).read_text(encoding="utf-8"))
    inner = " ".join(FRAME.sub("", found[1]).split()) if found else ""
    filled = name.startswith("filled/")
    style = (
        'fill="currentColor"'
        if filled
        else 'fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"'
    )
    return f'<symbol id="{name.replace("/", "-")}" viewBox="0 0 24 24" {style}>{inner}</symbol>'


def papers(node_modules: Path) -> str:
    """Licences and notices of what was copied."""
    parts = []
    for package in PACKAGES:
        for name in PAPERS:
            path = node_modules / package / name
            if path.is_file():
                parts.append(f"===== {package}: {name} =====\n{path.read_text(encoding='utf-8').strip()}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).absolute())
