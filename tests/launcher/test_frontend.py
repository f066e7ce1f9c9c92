"""The front-end copy takes what is listed, cleans it, and refuses names that do not exist."""

import json
import re
from pathlib import Path

import pytest

from core import frontend

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def node_modules(tmp_path: Path) -> Path:
    """Packages with one line in each file."""
    made = tmp_path / "node_modules"
    for source in frontend.FILES.values():
        (made / source).parent.mkdir(parents=True, exist_ok=True)
        (made / source).write_text("body{}\n//# sourceMappingURL=x.map\n")
    icons = made / "@tabler/icons/icons/outline"
    icons.mkdir(parents=True)
    for name in frontend.icon_names():
        path = made / "@tabler/icons/icons" / (f"{name}.svg" if name.startswith("filled/") else f"outline/{name}.svg")
        path.parent.mkdir(exist_ok=True)
        path.write_text(
            '<svg viewBox="0 0 24 24"\n>\n<path stroke="none" d="M0 0h24v24H0z" fill="none" />\n<path d="M1 1" />\n</svg>'
        )
    (made / "echarts/NOTICE").write_text("Apache ECharts")
    return made


def test_every_listed_file_every_icon_and_the_notices_are_copied(node_modules: Path, tmp_path: Path) -> None:
    target = tmp_path / "static"
    target.mkdir()
    (target / "left-over.js").write_text("")

    frontend.main(node_modules, target)

    assert {path.name for path in target.iterdir()} == {*frontend.FILES, "icons.svg", "LICENSES.txt"}
    assert "sourceMappingURL" not in (target / "htmx.min.js").read_text()
    assert "Apache ECharts" in (target / "LICENSES.txt").read_text()
    sprite = (target / "icons.svg").read_text()
    assert set(re.findall(r'id="([^"]+)"', sprite)) == {name.replace("/", "-") for name in frontend.icon_names()}
    assert "M0 0h24v24H0z" not in sprite


def test_source_maps_and_fonts_that_are_not_copied_are_taken_out() -> None:
    text = 'a{src:url(fonts/x.woff2)}b{c:url("data:image/svg+xml,%3csvg%3e")}\n/*# sourceMappingURL=t.css.map */\n'

    assert frontend.cleaned(text) == 'a{src:url()}b{c:url("data:image/svg+xml,%3csvg%3e")}\n'


def test_an_unknown_icon_is_named_and_the_old_copy_stays(
    node_modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "static"
    frontend.main(node_modules, target)
    monkeypatch.setattr(frontend, "icon_names", lambda: ["no-such-icon"])

    with pytest.raises(SystemExit, match="no-such-icon"):
        frontend.main(node_modules, target)
    assert (target / "htmx.min.js").exists()


def test_the_lock_pins_every_package_without_a_download_host() -> None:
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    wanted = json.loads((ROOT / "package.json").read_text())["dependencies"]

    installed = {name.removeprefix("node_modules/"): entry for name, entry in lock.items() if name}
    assert all(installed[name]["version"] == version for name, version in wanted.items())
    assert all(entry["integrity"].startswith("sha512-") for entry in installed.values())
    assert not [name for name, entry in installed.items() if "resolved" in entry]
