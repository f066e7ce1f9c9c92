"""The main job as a newcomer does it: a whole installation (`up`), its own workers, and only the browser.

The parts share one installation and may run in any order: each brings what it needs, by the API where another part
shows it in the browser.
"""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

ROOT = Path(__file__).resolve().parents[2]
SLOW = 180_000  # ms; work of real workers, only ends a broken test
WORKSPACE = "/w/lingxi"
SUBJECTS = ["my card", "the blue card", "a card", "our second card", "this card", "the new card"]
TEXTS = {
    "card": [f"{what} is {how}" for what in SUBJECTS for how in ("lost", "not working", "gone, please help", "stuck")],
    "loan": [
        f"{when} {what}"
        for when in ("when is", "where is", "please help:", "what about")
        for what in (
            "my loan rate",
            "the loan",
            "a loan with a low rate",
            "the rate of our loan",
            "that loan",
            "loan 7",
        )
    ],
    "refund": [
        f"{ask} {what}"
        for ask in ("please pay back", "i want", "where is", "refund")
        for what in ("my money", "the money of may", "all my money", "my money for the bag", "it", "the rest")
    ],
}
ROWS = [(f"q{at}-{label}", text, label) for label, texts in TEXTS.items() for at, text in enumerate(texts)]


@dataclass(frozen=True)
class Installation:
    """A running Lingxi: its address, its home and the owner's password."""

    address: str
    home: Path
    password: str


@pytest.fixture(scope="module")
def surroundings(bare_environment: dict[str, str]) -> dict[str, str]:
    """The environment of the installation: its workers look more often, so the story is short."""
    return {**bare_environment, "LINGXI_JOB_BEAT_SECONDS": "1"}


@pytest.fixture(scope="module")
def installation(open_folder: Callable[[], Path], surroundings: dict[str, str]) -> Iterator[Installation]:
    """`up --empty` in a home of its own; ended as by Ctrl-C."""
    home = open_folder() / "home"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up", "--port", port, "--home", str(home), "--empty"],
        cwd=ROOT,
        env=surroundings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = ""
    for line in process.stdout or ():
        said += line
        if "Lingxi is ready" in line:
            break
    found = re.search(r"password  (\S+)", said)
    assert found, said
    yield Installation(f"http://127.0.0.1:{port}", home, found[1])
    process.send_signal(signal.SIGINT)
    assert process.stdout
    process.stdout.read()
    process.stdout.close()
    assert process.wait(60) == 0
    subprocess.run(["rm", "-rf", str(home.parent)], check=True)


@pytest.fixture(scope="module")
def window(browser: Any, installation: Installation) -> Iterator[Any]:
    """A browser window in which the owner has logged in by the form; it may use the clipboard."""
    window = browser.new_context(
        base_url=installation.address,
        viewport={"width": 1440, "height": 900},
        locale="en-GB",
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = window.new_page()
    page.goto("/")
    page.get_by_label("E-mail address").fill("owner@localhost")
    page.get_by_label("Password").fill(installation.password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Lingxi")
    page.close()
    yield window
    window.close()


@pytest.fixture
def open_tab(window: Any, page_errors: list[str], tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Opens pages of the workspace; whatever a page complains of fails the test, and each leaves a picture."""
    tabs: list[Any] = []

    def open_page(path: str) -> Any:
        page = window.new_page()
        page.set_default_timeout(20_000)
        tabs.append(page)
        page.on("console", lambda said: page_errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: page_errors.append(str(error)))
        page.goto(f"{WORKSPACE}{path}")
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_page
    for number, page in enumerate(tabs):
        page.screenshot(path=tmp_path / f"end-{number}.png", full_page=True)
        page.close()


@pytest.fixture
def picture(tmp_path: Path) -> Callable[[Any, str], None]:
    """Keeps what a page looks like."""
    return lambda page, name: page.screenshot(path=tmp_path / f"{name}.png", full_page=True)


@pytest.fixture(scope="module")
def call(installation: Installation, surroundings: dict[str, str]) -> Callable[..., Any]:
    """`call(path, body)` asks the API with a key of the owner that the command line made."""
    words = ["apikey", "--email", "owner@localhost", "--scopes", "all", "--json", "--home", str(installation.home)]
    made = subprocess.run(
        [sys.executable, "manage.py", *words], cwd=ROOT, env=surroundings, capture_output=True, text=True, check=True
    )
    headers = {"Authorization": f"Bearer {json.loads(made.stdout)['secret']}", "Content-Type": "application/json"}

    def ask(path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{installation.address}/api/v1{path}", data=data, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    return ask


@pytest.fixture(scope="module")
def base_folder(installation: Installation, tiny_classifier: Callable[..., Path]) -> str:
    """A tiny encoder in the folder where base models lie."""
    folder = installation.home / "base-models" / "tiny"
    shutil.copytree(tiny_classifier(("a", "b"), 3), folder)
    return str(folder)


@pytest.fixture(scope="module")
def frozen(call: Callable[..., Any]) -> int:
    """The id of a frozen version."""
    dataset = call("/datasets", {"name": "Desk", "kind": "classification"})["id"]
    splits = ["train", "train", "dev", "train", "train", "test"]
    items = [
        {"external_id": one, "record": {"text": text, "labels": [label]}, "split": splits[at % 6]}
        for at, (one, text, label) in enumerate(ROWS)
    ]
    call(f"/datasets/{dataset}/examples", {"items": items})
    version = call(f"/datasets/{dataset}/versions", {})
    until(lambda: call(f"/datasets/{dataset}/versions/{version['number']}")["frozen_at"])
    return int(version["id"])


@pytest.fixture(scope="module")
def measured(call: Callable[..., Any], frozen: int, base_folder: str) -> int:
    """The id of a model version with figures."""
    spec = {"base_model": {"kind": "folder", "name": base_folder}, "epochs": 4, "batch_size": 8, "learning_rate": 0.01}
    asked = {"recipe": "classify", "dataset_version": frozen, "spec": spec, "family_name": "Desk"}
    run = call("/training-jobs", asked)["id"]
    until(lambda: call(f"/training-jobs/{run}")["state"] in {"succeeded", "failed"})
    made = call(f"/training-jobs/{run}")
    assert made["model_version"], made
    return int(made["model_version"])


def csv_of(rows: list[tuple[str, str, str]]) -> str:
    """A file with columns that have other names than the fields."""
    return "\n".join(["id,question,intent", *(f'{one},"{text}",{label}' for one, text, label in rows)]) + "\n"


def drop(page: Any, name: str, text: str) -> None:
    """Drop a file onto the zone as the file manager does: the browser gives it to the field below the pointer."""
    transfer = page.evaluate_handle(
        """([name, text]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([text], name, {type: "text/csv"}));
        return transfer;
        }""",
        [name, text],
    )
    for kind in ("dragenter", "dragover", "drop"):
        page.dispatch_event("[data-drop]", kind, {"dataTransfer": transfer})


def until(condition: Callable[[], Any]) -> None:
    """Wait for a fact; the time limit only ends a broken test."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def test_a_file_becomes_a_frozen_version(open_tab: Any, picture: Any, tmp_path: Path) -> None:
    page = open_tab("/datasets/new")
    page.get_by_role("textbox", name="Name").fill("Questions")
    page.get_by_role("button", name="Create and import").click()

    expect(page.locator("[data-drop-name]")).to_have_text("Drop a file here or choose one")
    picture(page, "upload")
    drop(page, "first.csv", csv_of(ROWS[:40]))
    expect(page.locator("[data-drop-name]")).to_contain_text("first.csv")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="Which column is what")).to_be_visible()
    expect(page.locator("tbody tr").first).to_contain_text(ROWS[0][1])
    picture(page, "columns")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("link", name="See the examples")).to_be_visible(timeout=SLOW)
    expect(stat(page, "New")).to_have_text("40")
    picture(page, "imported")

    file = tmp_path / "second.csv"
    file.write_text(csv_of([*ROWS[30:], ("", "no label", "")]), encoding="utf-8")
    page.get_by_role("link", name="Import", exact=True).click()
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.get_by_role("link", name="See the examples")).to_be_visible(timeout=SLOW)
    expect(stat(page, "Unchanged")).to_have_text("10")

    page.get_by_role("link", name="See the examples").click()
    picture(page, "examples")
    for number in (0, 1):
        page.get_by_role("checkbox", name=re.compile("^Choose example")).nth(number).check()
    expect(page.locator("[data-bulk-count]")).to_have_text("2 selected")
    page.get_by_label("New label").select_option("card")
    page.get_by_role("button", name="Relabel").click()
    page.get_by_role("dialog").get_by_role("button", name="Yes, go ahead").click()
    expect(page.locator("tbody tr").nth(1).locator(".badge")).to_have_text("card")
    page.get_by_label("Choose all on this page").check()
    page.get_by_label("Everything that matches").or_(page.get_by_label("All examples of the dataset")).check()
    page.get_by_label("New split").select_option("test")
    page.get_by_role("button", name="Set split").click()
    expect(page.locator("tbody tr").first).to_contain_text("Test")

    page.get_by_role("link", name="Splits").click()
    page.get_by_role("button", name="Preview the counts").click()
    picture(page, "splits")
    page.get_by_role("button", name="Split", exact=True).click()
    expect(page.locator(".job-progress .badge")).to_have_text("Succeeded", timeout=SLOW)

    page.get_by_role("link", name="Versions").click()
    page.get_by_role("button", name="Freeze a version").click()
    expect(page.get_by_role("link", name="Export this version")).to_be_visible(timeout=SLOW)
    expect(stat(page, "Examples")).to_have_text(str(len(ROWS) + 1))
    picture(page, "version")

    page.get_by_role("link", name="Export this version").click()
    page.get_by_role("button", name="Export", exact=True).click()
    with page.expect_download() as file:
        page.get_by_role("link", name="Download").click(timeout=SLOW)
    assert len(file.value.path().read_text(encoding="utf-8").splitlines()) >= len(ROWS)


def test_a_training_is_watched_and_started_once(
    open_tab: Any, picture: Any, frozen: int, base_folder: str, call: Callable[..., Any]
) -> None:
    page = open_tab("/models/base-models")
    page.get_by_label("Name").fill("Tiny")
    page.get_by_label("Kind").select_option("folder")
    page.get_by_label("Reference").fill(base_folder)
    page.get_by_role("button", name="Add").click()
    expect(page.locator("tbody")).to_contain_text("Tiny")

    tabs = [page, open_tab("/training/new")]
    page.goto(f"{WORKSPACE}/training/new")
    for tab in tabs:
        tab.get_by_label("Dataset version").select_option(str(frozen))
        tab.get_by_role("textbox", name="Name").fill("Watched")
        tab.get_by_label("Base model").select_option(label="Tiny")
        tab.get_by_label("Epochs").fill("25")
        tab.get_by_label("Learning rate", exact=True).fill("0.01")
    picture(page, "form")
    page.get_by_role("button", name="Start training").dblclick()
    page.wait_for_url(re.compile(r"/training/\d+$"))
    tabs[1].get_by_role("button", name="Start training").click()
    tabs[1].wait_for_url(page.url)
    expect(tabs[1].locator("#messages")).to_contain_text("a moment ago")

    expect(page.locator(".job-progress .badge")).to_have_text("Running", timeout=SLOW)
    loss = page.locator(".chart[data-chart-title=Loss]")
    expect(loss.locator("canvas")).to_be_visible(timeout=SLOW)
    picture(page, "running")
    page.reload()
    expect(loss.locator("canvas")).to_be_visible(timeout=SLOW)
    expect(page.get_by_text("Finished:")).to_be_visible(timeout=SLOW)
    hover(page, loss)
    assert len(table_of(loss)) > 20
    picture(page, "trained")

    page.get_by_text("Finished:").get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Desk v")
    assert [run["name"] for run in call("/training-jobs")["results"]].count("Watched") == 1


def test_a_result_is_read_tried_and_used(open_tab: Any, picture: Any, tmp_path: Path, measured: int) -> None:
    page = open_tab(f"/models/versions/{measured}")

    expect(page.get_by_text("95 % interval")).to_be_visible()
    matrix = page.locator(".chart[data-chart=heatmap]")
    expect(matrix.locator("canvas").first).to_be_visible()
    hover(page, matrix)
    with page.expect_download() as png:
        matrix.get_by_role("button", name="PNG").click()
    assert png.value.path().read_bytes().startswith(b"\x89PNG")
    samples = page.locator(".card", has=page.get_by_role("heading", name="Examples, wrong and confident first"))
    assert samples.locator("tbody tr").count() >= 5
    picture(page, "version")

    page.get_by_label("Texts, one a line").fill("my card is lost\nwhere is my money")
    page.get_by_role("button", name="Label now").click()
    expect(page.locator("#try-answer tbody tr")).to_have_count(2, timeout=SLOW)
    picture(page, "tried")

    page.get_by_role("link", name="Label texts").click()
    file = tmp_path / "texts.csv"
    file.write_text(csv_of(ROWS[::3]), encoding="utf-8")
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_label("Text column").fill("question")
    page.get_by_role("button", name="Start").click()
    expect(page.locator(".job-progress .badge")).to_have_text("Succeeded", timeout=SLOW)
    expect(page.locator("#batch-rows tbody tr")).to_have_count(24)
    picture(page, "batch")
    with page.expect_download() as rows:
        page.get_by_role("link", name="CSV", exact=True).click()
    assert len(rows.value.path().read_text(encoding="utf-8").splitlines()) == 25


def test_two_versions_are_compared_on_the_same_rows(
    open_tab: Any,
    picture: Any,
    tmp_path: Path,
    measured: int,
    frozen: int,
    tiny_classifier: Callable[..., Path],
) -> None:
    archive = shutil.make_archive(str(tmp_path / "tiny"), "zip", tiny_classifier(tuple(TEXTS), 7))
    page = open_tab("/models/import")
    page.get_by_role("textbox", name="Name").fill("Brought along")
    page.locator("input[type=file]").set_input_files(archive)
    page.get_by_role("button", name="Import").click()
    page.get_by_role("link", name="Open Brought along v1").click(timeout=SLOW)
    other = page.url.rsplit("/", 1)[1]

    page.goto(f"{WORKSPACE}/models/compare?version={measured}&version={other}")
    expect(page.locator("tbody").first).to_contain_text("Accuracy")
    picture(page, "side-by-side")

    page.get_by_role("link", name=re.compile("paired test")).click()
    page.get_by_label("Dataset version").select_option(str(frozen))
    page.get_by_role("button", name="Evaluate both").click()
    page.get_by_role("button", name="Compare").click(timeout=SLOW)
    expect(page.locator("#flips")).to_be_visible(timeout=SLOW)
    picture(page, "flips")


def test_a_key_is_copied_by_its_button(open_tab: Any) -> None:
    page = open_tab("/settings/keys")
    page.get_by_label("Name").fill("Reporting")
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Create key").click()
    secret = page.get_by_label("Secret of the key").input_value()

    page.get_by_role("button", name="Copy").click()

    expect(page.locator("#messages")).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == secret


def hover(page: Any, chart: Any) -> None:
    """The pointer over a chart is answered by a tooltip, which is drawn into one of its canvases."""
    first = chart.locator("canvas").first
    first.scroll_into_view_if_needed()
    pixels = "chart => [...chart.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL()).join()"
    still = ""
    while still != (still := chart.evaluate(pixels)):
        page.wait_for_timeout(300)
    box = first.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.5)
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5, steps=3)
    page.wait_for_function(f"([chart, still]) => ({pixels})(chart) !== still", arg=[chart.element_handle(), still])


def table_of(chart: Any) -> list[str]:
    """The rows of a chart's table."""
    chart.get_by_role("button", name="Table").click()
    return list(chart.locator(".chart-table tbody tr").all_inner_texts())


def stat(page: Any, label: str) -> Any:
    """The number of the tile with this label."""
    return page.locator(".lx-stat", has=page.get_by_text(label, exact=True)).locator(".lx-stat-value")
