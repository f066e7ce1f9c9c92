/* The colours of the present theme, resolved from the tokens of lingxi.css, for canvases that know no CSS. */

export function palette() {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.hidden = true;
  const colour = (name) => {
    probe.style.color = `var(--lx-${name})`;
    return getComputedStyle(probe).color;
  };
  const found = {
    ink: colour("ink"),
    ink2: colour("ink-2"),
    line: colour("line"),
    surface: colour("surface"),
    subtle: colour("subtle"),
    primary: colour("primary"),
    spark: colour("spark"),
    sunken: colour("sunken"),
    series: [1, 2, 3, 4, 5, 6, 7, 8].map((number) => colour(`series-${number}`)),
    tones: { bad: colour("danger"), good: colour("series-1"), plain: colour("ink-2"), unsure: colour("series-2"), none: colour("line") },
    font: getComputedStyle(document.body).fontFamily,
  };
  probe.remove();
  return found;
}
