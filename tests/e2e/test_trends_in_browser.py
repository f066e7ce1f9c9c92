"""The chart of a trend in a real browser: marks, the band of what was expected, and points that lead to their texts."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import expect

from apps.registry.models import ModelVersion
from apps.sentiment import services
from apps.sentiment.models import Alert, Expectation, Rule, Score, Source
from apps.sentiment.services.scoring import Said
from core.access import Actor
from workers.watching import watch_rule

FOUR = datetime(2026, 3, 4, 4, tzinfo=UTC)  # noon in Shanghai, the thirteenth hour of the day
HOUR = timedelta(hours=1)
DAY = "since=2026-03-04&until=2026-03-04&seconds=3600&clock=received"
DRAWN = """
() => {
  const chart = window.echarts?.getInstanceByDom(document.querySelector(".chart-canvas"));
  const shapes = chart?.getZr().storage.getDisplayList(true) ?? [];
  if (!shapes.some(({ type }) => type === "ec-line")) return null;
  const boxes = (type) => shapes.filter((each) => each.type === type).map((each) => each.getBoundingRect());
  return {
    columns: chart.getOption().xAxis[0].data.map((_name, x) => chart.convertToPixel({ xAxisIndex: 0 }, x)),
    rows: [0, 1, 2, 3, 4].map((y) => chart.convertToPixel({ yAxisIndex: 0 }, y)),
    marks: boxes("ec-line").map(({ x, width }) => x + width / 2),
    bands: boxes("ec-polygon").map(({ x, y, width, height }) => [x, x + width, y, y + height]),
    words: shapes.map(({ style }) => style.text).filter(Boolean),
  };
}
"""  # what is drawn, in pixels of the chart: columns are buckets, rows are counts


def test_marks_band_and_points_are_drawn_and_lead_to_what_they_tell(
    visit: Callable[..., Any],
    alice: Any,
    actor: Actor,
    pushed_source: Source,
    written: Any,
    ruled: Callable[..., Rule],
    hearing_version: Callable[..., ModelVersion],
) -> None:
    version = hearing_version("reader")
    rule = ruled("keyword", since=FOUR, options={"words": ["later"]})
    early = services.ingest(pushed_source, [written(at) for at in range(3)], now=FOUR + HOUR / 6)
    services.ingest(pushed_source, [written(9, "Much later")], now=FOUR + 3 * HOUR)
    assert early[0].article is not None
    services.record_scores(version, [Said(early[0].article, {"negative": 0.9, "neutral": 0.05, "positive": 0.05})])
    Score.objects.update(created_at=FOUR + HOUR / 2)
    watch_rule(rule.pk, FOUR + 3.1 * HOUR)
    alert = Alert.objects.get()
    Expectation.objects.bulk_create(
        Expectation(
            monitor=pushed_source.monitor, dimension="total", seconds=3600, measure="article_count",
            start_at=FOUR + at * HOUR, expected=2, low=1, high=4,
        )
        for at in range(-2, 5)
    )  # fmt: skip
    here = f"/w/{actor.workspace.slug}/monitors/{pushed_source.monitor_id}/trends?{DAY}"
    page = visit(alice, here)

    drawn = page.wait_for_function(DRAWN).json_value()
    columns, rows = drawn["columns"], drawn["rows"]
    assert sorted(drawn["marks"]) == pytest.approx([columns[12], columns[15]], abs=1)
    assert drawn["bands"] == [pytest.approx([columns[10], columns[16], rows[4], rows[1]], abs=1)]

    point = {"x": columns[12], "y": rows[3]}
    page.wait_for_load_state("networkidle")  # the terms below have come, and move nothing any more
    page.locator(".chart-canvas").hover(position=point)
    page.wait_for_function(f"({DRAWN})().words.some((words) => words.includes('▲ New version: {version}'))")
    page.locator(".chart-canvas").click(position=point)
    expect(page.locator("tbody tr td:first-child a")).to_have_text(
        [each.article.title for each in reversed(early) if each.article]
    )

    for name, address in ((str(alert), f"/monitors/alerts/{alert.pk}"), (str(version), f"/versions/{version.pk}")):
        page.goto(here)
        page.wait_for_load_state("networkidle")
        page.click(f".lx-list a:text-is('{name}')")
        expect(page).to_have_url(re.compile(f"{address}$"))
        page.wait_for_load_state("networkidle")
