/* <div data-shown-when="name-of-field" data-shown-values="a b version:*"> is shown while that field of its form has one of
   these values ("*" ends a beginning), and is itself shown. Hidden fields are sent as they are; without JavaScript all
   are shown. */

function fits(value, wanted) {
  return wanted.endsWith("*") ? value.startsWith(wanted.slice(0, -1)) : value === wanted;
}

function settle(form) {
  // a field stands before those that depend on it
  for (const part of form.querySelectorAll("[data-shown-when]")) {
    const field = form.elements[part.dataset.shownWhen];
    if (!field) continue;
    const above = field.closest("[data-shown-when]");
    const values = part.dataset.shownValues.split(" ");
    part.hidden = Boolean(above?.hidden) || !values.some((wanted) => fits(field.value, wanted));
  }
}

document.addEventListener("change", (event) => event.target.form && settle(event.target.form));

export function bindShown(root) {
  const forms = new Set([...root.querySelectorAll("[data-shown-when]")].map((part) => part.closest("form")));
  for (const form of forms) if (form) settle(form);
}
