/* From the data of a chart to ECharts' options, and to a plain table for reading and CSV. No page, no fetching.

   line        {"series": [{"name": "loss", "points": [[step, value], ...]}], "x": "step", "y": "loss", "log": false}
               Over time: "categories": [names of the points' x, from 0], a value may be null (a gap), "share": true (values in %),
               a series may have "dash": true, "band": [[low, high] or null, ...], "of": 0 (paler, in the colour of
               that series) and "url": "/list?at={place}" with "places": [...], where a click on a point leads;
               "marks": [{"x": 3, "text": "An alert", "tone": "bad"}], "counts": true (values are whole numbers)
   bar         {"categories": [...], "series": [{"name": "F1", "values": [...], "tone": "bad", "intervals": [[low, high], ...]}],
                "horizontal": false, "stacked": false, "share": false, "counts": false}
   heatmap     {"rows": [true labels], "columns": [predicted labels], "values": [[count, ...], ...]}
   reliability {"bins": [{"confidence": 0.85, "accuracy": 0.8, "count": 120, "low": 0.7, "high": 0.9}, ...]}
   histogram   {"edges": [0, 10, 20], "counts": [3, 4], "x": "tokens"} or "series": [{"name", "counts"}] */

const round = (value) => (typeof value !== "number" ? value : Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(4)));
const percent = (value) => `${(100 * value).toFixed(1)} %`;

function base(colours, words) {
  return {
    color: colours.series,
    animationDuration: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 250,
    textStyle: { fontFamily: colours.font, color: colours.ink2 },
    grid: { left: 4, right: 12, top: 36, bottom: 4, outerBoundsMode: "same", outerBoundsContain: "all" },
    legend: { type: "scroll", top: 0, left: 0, icon: "roundRect", itemWidth: 14, itemHeight: 3, textStyle: { color: colours.ink2 }, pageTextStyle: { color: colours.ink2 }, pageIconColor: colours.ink2 },
    tooltip: {
      renderMode: "richText", confine: true, backgroundColor: colours.surface, borderColor: colours.line, borderWidth: 1, padding: 10,
      textStyle: { color: colours.ink, fontFamily: colours.font, fontSize: 12 },
    },
    aria: { enabled: true, label: { description: words.title } },
  };
}

function axis(colours, more = {}) {
  return {
    axisLine: { lineStyle: { color: colours.line } }, axisTick: { show: false }, splitLine: { lineStyle: { color: colours.line, opacity: 0.7 } },
    axisLabel: { color: colours.ink2, hideOverlap: true }, nameTextStyle: { color: colours.ink2 }, nameLocation: "middle", nameGap: 10, nameMoveOverlap: true, ...more,
  };
}

function smoothed(points, weight) {
  let last = null;
  return points.map(([x, y]) => [x, y === null ? null : (last = last === null ? y : weight * last + (1 - weight) * y)]);
}

/* whiskers [place, low, high] across a bar or point */
function whiskers(data, colours, horizontal) {
  return {
    type: "custom", data, z: 5, silent: true, itemStyle: { color: colours.ink2 }, tooltip: { show: false },
    encode: horizontal ? { x: [1, 2], y: 0 } : { x: 0, y: [1, 2] },
    renderItem(_params, api) {
      const at = (value) => api.coord(horizontal ? [value, api.value(0)] : [api.value(0), value]);
      const [low, high] = [at(api.value(1)), at(api.value(2))];
      const cap = horizontal ? [0, 4] : [4, 0];
      const lines = [[...low, ...high], [low[0] - cap[0], low[1] - cap[1], low[0] + cap[0], low[1] + cap[1]], [high[0] - cap[0], high[1] - cap[1], high[0] + cap[0], high[1] + cap[1]]];
      const drawn = (stroke, lineWidth) => lines.map(([x1, y1, x2, y2]) => ({ type: "line", shape: { x1, y1, x2, y2 }, style: { stroke, lineWidth } }));
      return { type: "group", children: [...drawn(colours.surface, 3.5), ...drawn(colours.ink, 1.25)] };
    },
  };
}

function tip(data, hits) {
  const format = data.share ? percent : round;
  const told = hits.filter((hit) => typeof hit.value[1] === "number");
  const shown = told.filter((hit) => !told.some((other) => other.seriesName === hit.seriesName && other.seriesIndex > hit.seriesIndex));
  const lines = shown.map(({ marker, seriesName, value }) => `${marker}${seriesName}  ${format(value[1])}`);
  const x = hits[0].value[0];
  const marks = (data.marks ?? []).filter((mark) => mark.x === x).map((mark) => `▲ ${mark.text}`);
  return [data.categories?.[x] ?? `${data.x ? `${data.x} ` : ""}${round(x)}`, ...lines, ...marks].join("\n");
}

/* a low line that is not seen, and on it the height of the band */
function band(limits, colour) {
  const plain = { type: "line", stack: `band ${colour}`, silent: true, showSymbol: false, tooltip: { show: false }, lineStyle: { width: 0 }, itemStyle: { color: colour }, emphasis: { disabled: true }, z: 0 };
  return [
    { ...plain, data: limits.map((pair, index) => [index, pair ? pair[0] : null]) },
    { ...plain, data: limits.map((pair, index) => [index, pair ? pair[1] - pair[0] : null]), areaStyle: { color: colour, opacity: 0.15 } },
  ];
}

/* a point among others is seen on its line; one between two gaps, or one that holds something, by its dot */
function dot(points, dash) {
  const many = points.length > 60;
  const alone = (at) => (points[at - 1]?.[1] ?? null) === null && (points[at + 1]?.[1] ?? null) === null;
  return (_value, { dataIndex }) => (alone(dataIndex) || (!dash && !many && points[dataIndex]?.[1]) ? 5 : 0);
}

function marked(marks, colours) {
  const data = marks.map(({ x, tone }) => ({ xAxis: x, lineStyle: { color: colours.tones[tone] ?? colours.ink2 } }));
  return { type: "line", data: [], markLine: { silent: true, symbol: ["none", "triangle"], symbolSize: 8, label: { show: false }, lineStyle: { type: "dashed", width: 1.25 }, data } };
}

function line(data, view, colours, words) {
  const series = data.series.flatMap(({ name, points, dash, band: limits, of }, index) => {
    const colour = colours.series[(of ?? index) % colours.series.length];
    const usable = view.log ? points.map(([x, y]) => [x, y > 0 ? y : null]).filter(([, y]) => data.categories || y !== null) : points;
    const main = { name, type: "line", data: view.smooth ? smoothed(usable, view.smooth) : usable, showSymbol: usable.length < 30, symbolSize: 5, lineStyle: { width: dash ? 1.25 : 2, type: dash ? "dashed" : "solid", color: colour, opacity: of === undefined ? 1 : 0.65 }, itemStyle: { color: colour }, sampling: data.categories ? undefined : "lttb", emphasis: { focus: "series" } };
    if (data.categories) Object.assign(main, { showSymbol: true, showAllSymbol: true, symbolSize: dot(points, dash), cursor: data.places ? "pointer" : "default", triggerLineEvent: Boolean(data.places) });
    if (limits) return [...band(limits, colour), main];
    if (!view.smooth) return [main];
    const faint = { name, type: "line", data: usable, showSymbol: false, silent: true, lineStyle: { width: 1, color: colour, opacity: 0.25 }, itemStyle: { color: colour }, tooltip: { show: false }, z: 1 };
    return [faint, main];
  });
  const options = base(colours, words);
  return {
    ...options,
    grid: { ...options.grid, top: data.series.length > 1 ? 36 : 12 },
    legend: { ...options.legend, show: data.series.length > 1, data: data.series.map(({ name, of }) => ({ name, itemStyle: { opacity: of === undefined ? 1 : 0.45 } })) },
    tooltip: { ...options.tooltip, trigger: "axis", formatter: (hits) => tip(data, hits), axisPointer: { lineStyle: { color: colours.ink2 } } },
    xAxis: axis(colours, data.categories
      ? { type: "category", data: data.categories, boundaryGap: false, splitLine: { show: false } }
      : { type: "value", name: data.x, min: "dataMin", max: "dataMax", splitLine: { show: false } }),
    yAxis: axis(colours, { type: view.log ? "log" : "value", minInterval: data.counts ? 1 : undefined, scale: !data.categories, name: data.series.length > 1 ? "" : data.y, axisLabel: { color: colours.ink2, formatter: data.share ? (number) => `${Math.round(number * 100)} %` : undefined } }),
    dataZoom: [{ type: "inside", filterMode: "none", zoomOnMouseWheel: "ctrl" }],
    series: data.marks?.length ? [...series, marked(data.marks, colours)] : series,
  };
}

function bar(data, view, colours, words) {
  const format = data.share ? percent : round;
  const room = Math.max(8, Math.floor(view.width / 40));
  const shorten = (text) => (text.length > room ? `${text.slice(0, room - 1)}…` : text);
  const category = axis(colours, { type: "category", data: data.categories, inverse: Boolean(data.horizontal), splitLine: { show: false }, axisLabel: { color: colours.ink2, interval: data.horizontal ? 0 : "auto", formatter: shorten } });
  const value = axis(colours, { type: "value", minInterval: data.counts ? 1 : undefined, axisLabel: { color: colours.ink2, formatter: data.share ? (number) => `${Math.round(number * 100)} %` : undefined } });
  const bars = data.series.map(({ name, values, tone }) => ({ name, color: colours.tones[tone], type: "bar", data: values, stack: data.stacked ? "all" : undefined, barMaxWidth: 28, itemStyle: { borderRadius: data.stacked ? 0 : data.horizontal ? [0, 3, 3, 0] : [3, 3, 0, 0] } }));
  const limits = data.series.length === 1 && data.series[0].intervals
    ? [whiskers(data.series[0].intervals.flatMap((pair, index) => (pair ? [[index, ...pair]] : [])), colours, data.horizontal)] : [];
  const options = base(colours, words);
  return {
    ...options,
    grid: { ...options.grid, top: data.series.length > 1 ? 36 : 12 },
    legend: { ...options.legend, show: data.series.length > 1, itemHeight: 10, itemWidth: 10 },
    tooltip: { ...options.tooltip, trigger: "axis", axisPointer: { type: "shadow" }, valueFormatter: format },
    xAxis: data.horizontal ? value : category,
    yAxis: data.horizontal ? category : value,
    series: [...bars, ...limits],
  };
}

function heatmap(data, view, colours, words) {
  const cells = data.values.flatMap((row, y) => {
    const sum = row.reduce((a, b) => a + b, 0) || 1;
    return row.map((count, x) => ({ value: [x, y, count / sum], count, label: { color: count / sum > 0.5 ? colours.surface : colours.ink } }));
  });
  const small = data.columns.length <= 14 && view.width / data.columns.length > 34;
  const room = view.width < 480 ? 9 : 18;
  const label = { color: colours.ink2, interval: data.rows.length > 40 ? "auto" : 0, fontSize: data.rows.length > 30 ? 10 : 12, formatter: (text) => (text.length > room ? `${text.slice(0, room - 1)}…` : text) };
  const options = base(colours, words);
  return {
    ...options,
    grid: { ...options.grid, top: 8 },
    tooltip: { ...options.tooltip, formatter: ({ data: cell }) => `${words.true}: ${data.rows[cell.value[1]]}\n${words.predicted}: ${data.columns[cell.value[0]]}\n${words.count}: ${cell.count}  (${percent(cell.value[2])})` },
    xAxis: axis(colours, { type: "category", data: data.columns, name: words.predicted, splitLine: { show: false }, axisLabel: { ...label, rotate: data.columns.length > 5 ? 40 : 0 } }),
    yAxis: axis(colours, { type: "category", data: data.rows, inverse: true, name: words.true, splitLine: { show: false }, axisLabel: label }),
    visualMap: { show: false, min: 0, max: 1, dimension: 2, inRange: { color: [colours.subtle, colours.series[0]] } },
    series: [{ type: "heatmap", data: cells, label: { show: small, formatter: ({ data: cell }) => cell.count || "", fontSize: 11 }, itemStyle: { borderColor: colours.surface, borderWidth: data.rows.length > 40 ? 0 : 1 }, emphasis: { itemStyle: { borderColor: colours.spark, borderWidth: 2 } } }],
  };
}

function reliability(data, view, colours, words) {
  const filled = data.bins.filter((bin) => bin.count > 0 && bin.accuracy !== null);
  const most = Math.max(1, ...filled.map((bin) => bin.count));
  const options = base(colours, words);
  const share = (name) => axis(colours, { type: "value", min: 0, max: 1, name, axisLabel: { color: colours.ink2, formatter: (number) => `${Math.round(number * 100)} %` } });
  const limits = filled.filter((bin) => bin.low !== undefined && bin.low !== null).map((bin) => [bin.confidence, bin.low, bin.high]);
  return {
    ...options,
    tooltip: { ...options.tooltip, formatter: ({ data: point }) => (point?.bin ? `${words.confidence}: ${percent(point.bin.confidence)}\n${words.accuracy}: ${percent(point.bin.accuracy)}\n${words.count}: ${point.bin.count}` : words.ideal) },
    xAxis: share(words.confidence),
    yAxis: share(words.accuracy),
    series: [
      { name: words.ideal, type: "line", data: [[0, 0], [1, 1]], showSymbol: false, lineStyle: { type: "dashed", width: 1.5, color: colours.ink2 }, itemStyle: { color: colours.ink2 } },
      ...(limits.length ? [whiskers(limits, colours, false)] : []),
      { name: words.accuracy, type: "line", symbol: "circle", showSymbol: true, symbolSize: (_value, { data: point }) => 6 + 16 * Math.sqrt(point.bin.count / most), data: filled.map((bin) => ({ value: [bin.confidence, bin.accuracy], bin })), lineStyle: { width: 2, color: colours.series[0] }, itemStyle: { color: colours.series[0], opacity: 0.9 } },
    ],
  };
}

function histogram(data, view, colours, words) {
  const names = data.edges.slice(0, -1).map((edge, index) => `${round(edge)}–${round(data.edges[index + 1])}`);
  const series = data.series ?? [{ name: words.count, counts: data.counts }];
  const made = bar({ categories: names, series: series.map(({ name, counts }) => ({ name, values: counts })), stacked: series.length > 1 }, view, colours, words);
  made.series = made.series.map((each) => ({ ...each, barCategoryGap: "6%", barMaxWidth: undefined }));
  made.xAxis.name = data.x;
  return made;
}

const KINDS = { line, bar, heatmap, reliability, histogram };

export function optionsOf(kind, data, view, colours, strings) {
  return KINDS[kind](data, view, colours, { ...strings, title: view.title });
}

export function tableOf(kind, data, strings) {
  if (kind === "line") {
    const series = data.series ?? [];
    return { head: ["", data.x || "x", data.y || "y"], rows: series.flatMap(({ name, points }) => points.map(([x, y]) => [name, data.categories?.[x] ?? x, y])) };
  }
  if (kind === "bar") {
    const limits = data.series?.length === 1 && data.series[0].intervals;
    return {
      head: ["", ...(data.series ?? []).map((each) => each.name), ...(limits ? ["low", "high"] : [])],
      rows: (data.categories ?? []).map((name, index) => [name, ...data.series.map((each) => each.values[index]), ...(limits ? (limits[index] ?? ["", ""]) : [])]),
    };
  }
  if (kind === "heatmap") return { head: [`${strings.true} \\ ${strings.predicted}`, ...(data.columns ?? [])], rows: (data.rows ?? []).map((name, index) => [name, ...data.values[index]]) };
  if (kind === "reliability") return { head: [strings.confidence, strings.accuracy, strings.count, "low", "high"], rows: (data.bins ?? []).map((bin) => [bin.confidence, bin.accuracy, bin.count, bin.low, bin.high]) };
  const series = data.series ?? (data.counts ? [{ name: strings.count, counts: data.counts }] : []);
  return { head: ["from", "to", ...series.map((each) => each.name)], rows: series.length ? data.edges.slice(0, -1).map((edge, index) => [edge, data.edges[index + 1], ...series.map((each) => each.counts[index])]) : [] };
}
