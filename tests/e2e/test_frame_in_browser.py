"""The frame in a real browser: themes, languages, small screens, keyboard, live progress, dialogs."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from apps.accounts.models import User, Workspace
from core.jobs.models import Job, JobLog
from core.jobs.services import create
from tests.world import address, build, routes

PHONE = {"width": 390, "height": 844}
PAGES = [
    "/w/harbour/",
    "/w/harbour/receivers/",
    "/w/harbour/receivers/new",
    "/w/harbour/schedules",
    "/w/harbour/jobs",
    "/w/harbour/jobs/{job}",
    "/w/harbour/datasets/",
    "/w/harbour/datasets/new",
    "/w/harbour/training/",
    "/w/harbour/training/new",
    "/w/harbour/training/new?recipe=few_shot",
    "/w/harbour/training/new?recipe=embed",
    "/w/harbour/training/new?recipe=rerank",
    "/w/harbour/training/sweeps",
    "/w/harbour/training/sweeps/new",
    "/w/harbour/models/",
    "/w/harbour/evaluations/",
    "/w/harbour/evaluations/new",
    "/w/harbour/evaluations/suites",
    "/w/harbour/evaluations/suites/new",
    "/w/harbour/deployments/",
    "/w/harbour/deployments/new",
    "/w/harbour/predictions/",
    "/w/harbour/predictions/new",
    "/w/harbour/predictions/how-it-works",
    "/w/harbour/predictions/guards",
    "/w/harbour/predictions/guards/new",
    "/w/harbour/predictions/usage",
    "/w/harbour/settings/",
    "/w/harbour/settings/members",
    "/w/harbour/settings/keys",
    "/w/harbour/settings/limits",
    "/w/harbour/settings/roles",
    "/w/harbour/settings/audit",
    "/w/harbour/notices/",
    "/workspaces",
    "/profile",
    "/profile/sessions",
    "/w/harbour/nowhere",
    "/login",
]


@pytest.fixture
def job(workspace: Workspace, alice: User) -> Job:
    title = "Import a file with-a-very-long-name-that-has-no-place-to-break-on-a-small-screen.csv"
    made = create(kind="datasets.import", workspace=workspace, queue="io", title=title, by=alice, unit="rows")
    JobLog.objects.create(job=made, message="x" * 400)
    return made


def test_the_theme_goes_round_and_survives_a_reload(visit: Any, alice: User, workspace: Workspace) -> None:
    page = visit(alice, "/w/harbour/", color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)

    for _click in range(2):
        page.locator("[data-theme-toggle]").first.click()
    page.reload()

    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    assert page.evaluate(ground) != light


def test_the_automatic_theme_follows_the_system(visit: Any, alice: User, workspace: Workspace) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"

    light = visit(alice, "/w/harbour/", color_scheme="light").evaluate(ground)
    dark = visit(alice, "/w/harbour/", color_scheme="dark").evaluate(ground)

    assert light != dark


def test_the_language_is_switched_and_the_page_stays(visit: Any, alice: User, workspace: Workspace) -> None:
    page = visit(alice, "/w/harbour/jobs?state=failed")

    page.get_by_role("button", name="简体中文").click()

    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    expect(page).to_have_url(re.compile(r"/w/harbour/jobs\?state=failed$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("任务")


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_no_page_scrolls_sideways_on_a_phone(
    language: str, visit: Any, alice: User, job: Job, page_errors: list[str]
) -> None:
    page = visit(alice, "/w/harbour/", viewport=PHONE)
    page.context.add_cookies([{"name": "lingxi_language", "value": language, "url": page.url.split("/w/")[0]}])
    wide = {}

    for path in PAGES:
        if path == "/login":
            page.context.clear_cookies(name="sessionid")
        page.goto(path.format(job=job.pk))
        assert page.evaluate("document.documentElement.lang") == language, path
        beyond = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if beyond > 0:
            wide[path] = beyond

    assert wide == {}
    page_errors[:] = [text for text in page_errors if "404" not in text]  # one address is missing


def test_every_page_of_a_monitor_fits_a_phone_in_chinese(visit: Any, page_errors: list[str]) -> None:
    made = build()
    User.objects.filter(pk=made[User].pk).update(language="zh-hans")
    room = [
        address(route, parameters, made[Workspace].slug)
        for route, parameters in routes()
        if route.startswith("w/<slug:workspace>/monitors/") and not route.endswith((".pdf", "file"))
    ]
    page = visit(made[User], room[0], viewport=PHONE)
    wide, seen = {}, []
    for path in room:
        answer = page.request.get(path)
        if answer.status != 200 or "<html" not in answer.text():
            continue  # a form's target, or a part of a page
        page.goto(path, wait_until="domcontentloaded")
        seen.append(path)
        assert page.evaluate("document.documentElement.lang") == "zh-hans", path
        if (beyond := page.evaluate("document.documentElement.scrollWidth - innerWidth")) > 0:
            wide[path] = beyond

    assert wide == {}
    assert len(seen) > 25


def test_the_drawer_opens_holds_the_focus_and_closes_by_escape(visit: Any, alice: User, workspace: Workspace) -> None:
    page = visit(alice, "/w/harbour/", viewport=PHONE)
    jobs = page.locator(".lx-nav").get_by_role("link", name="Jobs")
    expect(jobs).to_be_hidden()

    page.get_by_role("button", name="Open navigation").click()
    expect(jobs).to_be_visible()
    page.keyboard.press("Escape")

    expect(jobs).to_be_hidden()
    expect(page.get_by_role("button", name="Open navigation")).to_be_focused()


def test_everything_is_reached_by_keyboard(visit: Any, alice: User, job: Job) -> None:
    page = visit(alice, "/w/harbour/")

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#content")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("j")
    expect(page).to_have_url(re.compile("/w/harbour/jobs$"))
    expect(page.locator("html[data-ready=true]")).to_be_attached()  # keys are heard once the page is ready
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox", name="Title")).to_be_focused()


def test_a_cancel_asks_first_and_no_means_no(visit: Any, alice: User, job: Job) -> None:
    page = visit(alice, f"/w/harbour/jobs/{job.pk}")

    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Go back").click()
    assert Job.objects.get(pk=job.pk).state == "queued"
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the job").click()

    expect(page.locator(".job-progress .badge")).to_have_text("Cancelled")


def test_progress_moves_by_itself_until_the_job_ends(visit: Any, alice: User, job: Job) -> None:
    Job.objects.filter(pk=job.pk).update(state="running", done_count=10, total_count=100)
    page = visit(alice, f"/w/harbour/jobs/{job.pk}")
    expect(page.locator(".job-progress")).to_contain_text("10 / 100 rows")

    Job.objects.filter(pk=job.pk).update(done_count=55)
    expect(page.locator(".job-progress")).to_contain_text("55 / 100 rows")
    Job.objects.filter(pk=job.pk).update(state="succeeded", done_count=100)

    expect(page.locator(".job-progress .badge")).to_have_text("Succeeded")
    expect(page.locator(".job-progress[hx-trigger]")).to_have_count(0)


def test_the_api_is_browsable(visit: Any, alice: User, workspace: Workspace) -> None:
    page = visit(alice, "/w/harbour/")

    page.get_by_role("link", name="REST API").click()

    expect(page.get_by_role("heading", name=re.compile("Lingxi API"))).to_be_visible(timeout=60_000)
    listed = page.locator("#operations-datasets-datasets_list")
    for _ in range(200):  # only what is in sight is drawn
        if listed.count():
            break
        page.mouse.wheel(0, 300)
        page.wait_for_timeout(50)
    listed.get_by_role("button").first.click()
    expect(page.get_by_text("List datasets").first).to_be_visible()


def test_a_table_is_sorted_by_its_head(visit: Any, alice: User, workspace: Workspace) -> None:
    for title in ("beta", "alpha", "gamma"):
        made = create(kind="t", workspace=workspace, queue="io", title=title)
        Job.objects.filter(pk=made.pk).update(state="succeeded")
    page = visit(alice, "/w/harbour/jobs")

    page.get_by_role("button", name="Job", exact=True).click()

    assert page.locator("tbody tr td:first-child a").all_inner_texts() == ["alpha", "beta", "gamma"]
    assert page.locator("th").first.get_attribute("aria-sort") == "ascending"


def test_charts_are_drawn_tabled_downloaded_and_follow_the_theme(visit: Any, alice: User, workspace: Workspace) -> None:
    page = visit(alice, "/w/harbour/", color_scheme="light")
    page.evaluate(
        """() => {
        const chart = document.createElement("div");
        chart.className = "chart";
        chart.dataset.chart = "line";
        chart.dataset.chartTitle = "Loss";
        chart.dataset.chartJson = JSON.stringify(
            {series: [{name: "train", points: [[1, 2.5], [2, 1.5], [3, 0.75]]}], x: "step", y: "loss"});
        const content = document.getElementById("content");
        content.prepend(chart);
        content.dispatchEvent(new CustomEvent("htmx:load", {bubbles: true}));
        }"""
    )
    pixels = "document.querySelector('.chart canvas')?.toDataURL()"
    expect(page.locator(".chart canvas")).to_be_visible()
    page.wait_for_function(f"{pixels}?.length > 5000")
    before = page.evaluate(pixels)

    page.get_by_role("button", name="Table").click()
    with page.expect_download() as csv:
        page.get_by_role("button", name="CSV").click()
    with page.expect_download() as png:
        page.get_by_role("button", name="PNG").click()
    for _click in range(2):
        page.locator("[data-theme-toggle]").first.click()

    assert page.locator(".chart-table tbody tr").count() == 3
    assert csv.value.path().read_text(encoding="utf-8-sig").splitlines()[1] == "train,1,2.5"
    assert png.value.path().read_bytes().startswith(b"\x89PNG")
    page.wait_for_function(f"before => {pixels} !== before", arg=before)


def test_a_failed_htmx_request_becomes_a_message(
    visit: Any, alice: User, workspace: Workspace, page_errors: list[str]
) -> None:
    page = visit(alice, "/w/harbour/")

    page.evaluate("htmx.ajax('GET', '/w/harbour/jobs/999999/progress', '#now')")

    expect(page.locator("#messages")).to_contain_text("This is no longer there.")
    page.get_by_role("button", name="Close", exact=True).click()
    expect(page.locator("#messages .alert")).to_have_count(0)
    page_errors[:] = [text for text in page_errors if "404" not in text]
