/* The side navigation as a drawer on small screens: <aside data-drawer>, [data-drawer-open], [data-drawer-close].
   While it is open the rest of the page is inert, Escape closes it, and focus returns to the opener.
   Also marks the page as scrolled, for the line under the top bar. */

const drawer = document.querySelector("[data-drawer]");
const rest = document.querySelector(".lx-main");
const opener = document.querySelector("[data-drawer-open]");

function set(open) {
  document.body.classList.toggle("lx-drawer-open", open);
  rest.inert = open;
  opener.setAttribute("aria-expanded", String(open));
  if (open) drawer.querySelector("a, button").focus();
  else opener.focus();
}

if (drawer && rest && opener) {
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-drawer-open]")) set(true);
    else if (event.target.closest("[data-drawer-close]")) set(false);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.body.classList.contains("lx-drawer-open")) set(false);
  });
  matchMedia("(min-width: 992px)").addEventListener("change", () => {
    if (document.body.classList.contains("lx-drawer-open")) set(false);
  });
}

const scrolled = () => document.body.classList.toggle("lx-scrolled", window.scrollY > 4);
document.addEventListener("scroll", scrolled, { passive: true });
scrolled();
