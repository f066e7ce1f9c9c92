/* <nav class="lx-tabs"> that is wider than its place is scrolled to its current tab. */

export function bindTabs(root) {
  for (const current of root.querySelectorAll(".lx-tabs > [aria-current]")) {
    const strip = current.parentElement;
    strip.scrollLeft = current.offsetLeft - strip.offsetLeft - (strip.clientWidth - current.offsetWidth) / 2;
  }
}
