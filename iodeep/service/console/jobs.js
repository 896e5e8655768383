// The table of jobs: rows are kept by job and changed in place, so that nothing moves under the pointer.

import { by, make, since, span, stateMark } from "./draw.js";

const ACTIVE = ["running", "retrying", "waiting"];
const KINDS = {
  active: { states: ACTIVE, empty: "Nothing waits and nothing runs." },
  failed: { states: ["failed"], empty: "No job has failed." },
  refused: { states: ["refused"], empty: "No series was refused." },
  all: { states: null, empty: "No job has been asked for yet." },
};
export const TABS = Object.keys(KINDS);
const MOST_ROWS = 200;
const RANK = { stat: 0, routine: 1, batch: 2 };

export class JobTable {
  constructor({ onRetry, onCancel, mayChange }) {
    this.jobs = new Map();
    this.rows = new Map();
    this.tab = "active";
    this.filter = "";
    this.actions = { retry: onRetry, cancel: onCancel };
    this.mayChange = mayChange;
  }

  put(job) {
    const known = this.jobs.get(job.job_id);
    if (!known || known.revision <= job.revision) this.jobs.set(job.job_id, job);
  }

  show(tab) {
    this.tab = tab;
    for (const each of TABS) {
      const button = by(`tab-${each}`);
      button.setAttribute("aria-selected", String(each === tab));
      button.tabIndex = each === tab ? 0 : -1;
    }
    by("rows-panel").setAttribute("aria-labelledby", `tab-${tab}`);
    by("rows-panel").scrollTop = 0;
    this.draw();
  }

  query() {
    const states = KINDS[this.tab].states;
    return `jobs?limit=${MOST_ROWS}${(states || []).map((state) => `&state=${state}`).join("")}`;
  }

  wanted() {
    const { states } = KINDS[this.tab];
    const words = this.filter.toLowerCase();
    const found = [...this.jobs.values()].filter((job) => (!states || states.includes(job.state)) && (!words || searchable(job).includes(words)));
    found.sort(this.tab === "active" ? inTurn : (a, b) => b.updated.localeCompare(a.updated));
    return found.slice(0, MOST_ROWS);
  }

  draw() {
    const body = by("rows");
    const jobs = this.wanted();
    const shown = jobs.map((job) => this.row(job));
    for (const [id] of this.rows) if (!jobs.some((job) => job.job_id === id)) this.rows.delete(id);
    if (shown.length !== body.children.length || shown.some((row, at) => body.children[at] !== row)) body.replaceChildren(...shown);
    by("rows-empty").hidden = shown.length > 0;
    by("rows-empty").textContent = this.filter ? "No job fits the filter." : KINDS[this.tab].empty;
  }

  row(job) {
    let row = this.rows.get(job.job_id);
    if (!row) {
      row = make("tr", { "data-job": job.job_id });
      this.rows.set(job.job_id, row);
    }
    const drawn = `${job.revision} ${job.state}`;
    if (row.dataset.drawn !== drawn) {
      row.dataset.drawn = drawn;
      const focused = row.contains(document.activeElement);
      row.replaceChildren(...this.cells(job));
      if (focused) row.querySelector("button")?.focus();
    }
    row.querySelector(".c-age").textContent = age(job);
    return row;
  }

  cells(job) {
    const { request } = job;
    const priority = request.priority === "routine" ? null : make("span", { class: `priority ${request.priority}`, text: request.priority });
    return [
      make("td", {}, stateMark(job.state), priority, request.shadow ? make("span", { class: "priority trial", text: "trial", title: `A model that is not approved. Its results are in ${request.results_to} alone.` }) : null),
      make("td", {}, make("span", { class: "uid", title: `Series ${request.series_instance_uid}\nStudy ${request.study_instance_uid}\nJob ${job.job_id}`, text: tail(request.series_instance_uid) }), make("span", { class: "origin", text: `${request.pacs}, ${request.origin}` })),
      make("td", { class: "what" }, ...what(job)),
      make("td", { class: "c-age", title: new Date(job.created).toLocaleString() }),
      make("td", { class: "c-do" }, this.action(job)),
    ];
  }

  action(job) {
    const name = ["failed", "refused", "cancelled"].includes(job.state) ? "retry" : ACTIVE.includes(job.state) ? "cancel" : null;
    if (!name || !this.mayChange()) return null;
    const words = name === "retry" ? "Retry" : "End";
    const button = make("button", { type: "button", class: `small${name === "cancel" ? " danger" : ""}`, text: words, "aria-label": `${words} the job on series ${job.request.series_instance_uid}` });
    button.addEventListener("click", () => this.actions[name](job, button));
    return button;
  }
}

// The end of a UID tells series apart; its beginning is the same for all of a hospital's.
const tail = (uid) => (uid.length > 18 ? `…${uid.slice(-17)}` : uid);

function searchable(job) {
  const { request, failure } = job;
  return [job.job_id, request.series_instance_uid, request.study_instance_uid, job.model_name, request.model, failure?.problem, failure?.kind, job.worker, request.pacs, request.shadow ? "trial" : ""].join(" ").toLowerCase();
}

function inTurn(a, b) {
  return ACTIVE.indexOf(a.state) - ACTIVE.indexOf(b.state) || RANK[a.request.priority] - RANK[b.request.priority] || a.created.localeCompare(b.created);
}

function age(job) {
  return job.state === "done" && job.finished ? span((new Date(job.finished) - new Date(job.created)) / 1000) : since(job.created);
}

const model = (job) => (job.model_name ? `${job.model_name} ${job.model_version || ""}` : job.request.model || "");
const muted = (text) => make("div", { class: "muted", text });

function what(job) {
  const { failure, progress } = job;
  if (job.state === "running") return [work(job, progress), muted([model(job), job.worker].filter(Boolean).join(" · "))];
  if (failure && job.state !== "done") {
    const more = [failure.found && `Found ${failure.found}.`, failure.remedy].filter(Boolean).join(" ");
    const next = job.state === "retrying" && job.next_try ? `Tried again at ${new Date(job.next_try).toLocaleTimeString()}. ` : "";
    return [make("div", { text: failure.problem }), muted(`${next}Step ${failure.step}, attempt ${job.attempts || 1}. ${more}`)];
  }
  if (job.state === "done") return [make("div", { text: model(job) }), muted(job.findings[0] || job.results.map((result) => result.modality).join(", ") || "Stored and confirmed.")];
  if (job.state === "waiting") return [make("div", { text: model(job) || "The model that fits" }), muted("In the queue.")];
  return [make("div", { text: model(job) || "–" }), muted(job.state === "cancelled" ? "Ended by a person." : "")];
}

function work(job, progress) {
  const step = progress?.step || "select";
  const bar = make("progress", { "aria-label": `Step ${step}`, max: progress?.total || undefined, value: progress?.total ? progress.done : undefined });
  const words = progress?.total ? `${step} ${progress.done} of ${progress.total} ${progress.unit}` : step;
  return make("div", { class: "work" }, bar, make("span", { class: "tabular", text: words }));
}
