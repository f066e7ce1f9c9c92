/* <button data-confirm="Delete this dataset?" [data-confirm-yes="Delete"]> in a form asks before it sends; so does a
   link or button of htmx (use hx-confirm="..." there). The question is a native <dialog>: Escape and "Go back" mean no. */

const dialog = document.getElementById("confirm");

function ask(question, yes) {
  const button = dialog.querySelector("[data-confirm-yes]");
  const usual = (button.dataset.usual ??= button.textContent);
  dialog.querySelector("[data-confirm-text]").textContent = question;
  button.textContent = yes || usual;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true });
  });
}

document.addEventListener("click", async (event) => {
  const asked = event.target.closest?.("[data-confirm]");
  if (!asked || asked.dataset.confirmed) return;
  event.preventDefault();
  event.stopPropagation();
  if (!(await ask(asked.dataset.confirm, asked.dataset.confirmYes))) return;
  asked.dataset.confirmed = "yes";
  asked.click();
  delete asked.dataset.confirmed;
}, true);

document.addEventListener("htmx:confirm", async (event) => {
  if (!event.detail.question) return;
  event.preventDefault();
  if (await ask(event.detail.question, event.target.dataset.confirmYes)) event.detail.issueRequest(true);
});
