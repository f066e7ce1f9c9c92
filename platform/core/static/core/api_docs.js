/* Swagger UI knows a class for dark pages; with the automatic theme it follows the system. */

const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

function follow() {
  if (root.dataset.themeChoice === "auto") root.classList.toggle("dark-mode", system.matches);
}

follow();
system.addEventListener("change", follow);
