/* <div data-shown-when="name-of-field" data-shown-values="a b"> is shown while that field of its form has one of these
   values. Hidden fields are sent as they are; without JavaScript all are shown. */

function settle(form) {
  for (const part of form.querySelectorAll("[data-shown-when]")) {
    const field = form.elements[part.dataset.shownWhen];
    if (field) part.hidden = !part.dataset.shownValues.split(" ").includes(field.value);
  }
}

document.addEventListener("change", (event) => event.target.form && settle(event.target.form));

export function bindShown(root) {
  const forms = new Set([...root.querySelectorAll("[data-shown-when]")].map((part) => part.closest("form")));
  for (const form of forms) if (form) settle(form);
}
