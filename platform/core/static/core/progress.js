/* [data-job-watch="<job id>"] reloads the page once that job's progress part reaches an end (results appear then);
   without a value, when any job on the page ends. Parts ask for themselves by htmx, see core/_job_progress.html. */

const ENDED = ["succeeded", "failed", "cancelled"];
const seen = new Map();

export function bindProgress(root) {
  const parts = root.matches?.("[data-job]") ? [root] : root.querySelectorAll("[data-job]");
  for (const part of parts) {
    const { job, jobState } = part.dataset;
    const before = seen.get(job);
    seen.set(job, jobState);
    if (!before || ENDED.includes(before) || !ENDED.includes(jobState)) continue;
    part.dispatchEvent(new CustomEvent("lingxi:job-ended", { bubbles: true, detail: { job, state: jobState } }));
    const watcher = document.querySelector(`[data-job-watch="${job}"], [data-job-watch=""]`);
    if (watcher) location.reload();
  }
}
