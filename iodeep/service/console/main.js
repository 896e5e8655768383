// The page: who is signed in, what is asked for and how often, and the keys.

import { ask, follow, providerAddress, signIn, signOut, whoAmI } from "./api.js";
import { bars, by, bytes, fill, make, redraw, say, span } from "./draw.js";
import { JobTable, TABS } from "./jobs.js";

const OVERVIEW_MS = 10_000;
const SLOW_MS = 60_000;
const CHANGERS = ["clinician", "administrator", "service"];

let signedIn = null;
let stop = new AbortController();
let drawing = 0;
const table = new JobTable({ onRetry: retry, onCancel: cancel, mayChange: () => Boolean(signedIn?.roles.some((role) => CHANGERS.includes(role))) });

function told(text) { by("said").textContent = text; }

function fail(error) {
  if (error.status === 401) return leave("Your session is over. Sign in again.");
  if (error.status === 403) return leave("Your account may not see this page. Ask your administrator for the role viewer.");
  const toast = by("toast");
  toast.textContent = error.message;
  toast.hidden = false;
  clearTimeout(toast.dataset.timer);
  toast.dataset.timer = setTimeout(() => { toast.hidden = true; }, 8000);
}

async function leave(words) {
  stop.abort();
  signedIn = null;
  by("signed-in").hidden = true;
  by("signed-out").hidden = false;
  by("leave").hidden = true;
  say("who", "Not signed in");
  say("live", "");
  if (words) by("door-words").textContent = words;
  const means = await ask("sign-in").catch(() => ({}));
  by("provider").hidden = !means.provider;
  by("provider-link").href = providerAddress;
  by("key").focus();
}

async function enter() {
  try {
    signedIn = await whoAmI();
  } catch (error) {
    ready({ words: error.status ? "Not signed in" : "The service does not answer", level: error.status ? "unknown" : "bad" });
    return leave(error.status === 401 ? "The console shows nothing without a credential." : error.message);
  }
  by("signed-out").hidden = true;
  by("signed-in").hidden = false;
  by("leave").hidden = signedIn.proof === "anonymous";
  say("who", signedIn.proof === "anonymous" ? `No sign-in, ${signedIn.roles.join(", ")}` : `${signedIn.name}, ${signedIn.roles.join(", ")}`);
  stop = new AbortController();
  table.show(table.tab);
  await Promise.all([overview(), list(), models(), summary()]);
  follow("events", { signal: stop.signal, onJob: changed, onState: live }).catch(fail);
}

function live(connected) { say("live", connected ? "Live" : "Connection lost, trying again"); }

function changed(job) {
  const before = table.jobs.get(job.job_id)?.state;
  table.put(job);
  if (before !== job.state && job.state === "failed") told(`A job failed: ${job.failure?.problem || ""}`);
  if (!drawing) drawing = requestAnimationFrame(() => { drawing = 0; table.draw(); });
  if (before !== job.state) soon();
}

let timer = 0;
function soon() { timer ||= setTimeout(() => { timer = 0; overview(); }, 1000); }

async function list() {
  try {
    for (const job of (await ask(table.query())).items) table.put(job);
    table.draw();
  } catch (error) { fail(error); }
}

function ready({ words, level }) { by("ready").dataset.level = level; say("ready-words", words); }

async function overview() {
  if (!signedIn) return;
  try {
    const [seen, readiness] = await Promise.all([ask("overview"), ask("readiness", { statuses: [503] })]);
    drawOverview(seen);
    drawReady(readiness);
  } catch (error) {
    if (!error.status) ready({ words: "The service does not answer", level: "bad" });
    fail(error);
  }
}

function drawReady(readiness) {
  const wrong = [!readiness.database && "database", !readiness.disk && "disk full", readiness.archives_answering < readiness.archives && `${readiness.archives - readiness.archives_answering} of ${readiness.archives} archives silent`].filter(Boolean);
  ready(wrong.length ? { words: wrong.join(", "), level: "bad" } : { words: "Ready", level: "good" });
}

function drawOverview(seen) {
  const { counts, hour, day } = seen;
  say("n-waiting", String(counts.waiting));
  say("oldest", seen.oldest_waiting_s === null ? "nothing waits" : `longest ${span(seen.oldest_waiting_s)}`);
  say("n-running", String(counts.running));
  say("n-retrying", counts.retrying ? `${counts.retrying} to be tried again` : "none to be tried again");
  say("n-done", String(hour.done));
  say("done-day", `last hour, ${day.done} in 24 h`);
  say("n-refused", String(day.refused));
  say("n-failed", String(counts.failed));
  say("failed-words", counts.failed ? "to be looked at" : "nothing to be looked at");
  by("tile-failed").classList.toggle("alarm", counts.failed > 0);
  say("p50", span(hour.latency_p50_s ?? day.latency_p50_s));
  say("p95", `${hour.latency_p50_s === null ? "24 h" : "last hour"}, p95 ${span(hour.latency_p95_s ?? day.latency_p95_s)}`);
  bars(seen.per_hour);
  say("rate-words", `${day.done} in the last 24 hours`);
  fill("spans", [["Hour", hour], ["24 h", day]], ([name, each]) => make("tr", {}, make("th", { scope: "row", text: name }), ...[each.asked, each.done, span(each.latency_p50_s), span(each.latency_p95_s), span(each.overhead_p50_s)].map((text) => make("td", { class: "n", text: String(text) }))));
  fill("why-refused", seen.refused.slice(0, 6), reason, "Nothing was refused.");
  fill("why-failed", seen.failed.slice(0, 6), reason, "Nothing failed.");
  fill("workers", seen.workers, (worker) => entry(worker.worker, worker.state === "dead" ? "gone" : worker.state, `${worker.host}${worker.job_id ? ` · job ${worker.job_id.slice(0, 8)}` : ""}`, worker.state === "dead"), "No worker is known: nothing will run.");
  fill("archives", seen.archives.map(({ asked, last_answer, milliseconds, ...kept }) => ({ ...kept, milliseconds: milliseconds && Math.round(milliseconds) })), (each) => entry(each.name, each.answers === null ? "not asked yet" : each.answers ? `${each.milliseconds} ms` : "silent", each.answers === false ? each.problem : each.implementation || "answers", each.answers === false), "iodeep.toml names no archive.");
  drawDisk(seen);
  used = seen.models;
  drawModels();
}

function drawDisk({ disk, intake }) {
  say("disk-free", `${bytes(disk.free_bytes)} of ${bytes(disk.total_bytes)}`);
  const meter = by("disk");
  meter.high = 1 - disk.least_free_bytes / disk.total_bytes;
  meter.optimum = 0;
  meter.value = 1 - disk.free_bytes / disk.total_bytes;
  say("disk-words", `Series are refused (A700) below ${bytes(disk.least_free_bytes)}.`);
  const lines = intake ? [["Coming in", `${intake.series_waiting} series`], ["Associations", String(intake.associations_open)], ["Received", `${intake.instances} instances, ${bytes(intake.bytes)}`], ["Refused", String(intake.refused)], ["Spool", bytes(intake.spool_bytes)]] : [];
  fill("intake", lines, ([name, value]) => entry(name, value), "No listener runs on this machine.");
}

function reason({ reason: words, jobs }) { return make("li", {}, make("b", { text: String(jobs) }), make("span", { text: words })); }

function entry(name, value, more, bad) {
  return make("li", {}, make("span", { class: "name", text: name }), make("span", { class: bad ? "tabular error" : "tabular muted-value", text: value }), more ? make("span", { class: "muted", text: more }) : null);
}

let known = [];
let used = [];
let unasked = "";
async function models() {
  try {
    known = (await ask("models")).items;
    unasked = "";
  } catch (error) {
    if (error.status === 401) fail(error);
    unasked = error.message;
  }
  drawModels();
}

function drawModels() {
  const runs = new Map(used.map((each) => [`${each.model} ${each.version}`, each]));
  const rows = known.map((each) => ({ name: `${each.name} ${each.version}`, detail: [each.state, each.problem || `${each.modality} ${each.regions.join(", ")}`].filter(Boolean).join(" · "), bad: Boolean(each.problem) }));
  for (const name of runs.keys()) if (!rows.some((row) => row.name === name)) rows.push({ name, detail: "no longer in the archive", bad: false });
  for (const row of rows) {
    const run = runs.get(row.name);
    row.runs = run?.jobs || 0;
    if (run) row.detail += ` · network ${span(run.median_run_s)}`;
  }
  rows.sort((a, b) => b.runs - a.runs || a.name.localeCompare(b.name));
  fill("models", rows.slice(0, 12), (row) => entry(row.name, String(row.runs), row.detail, row.bad), unasked || "The archive holds no model.");
}

async function summary() {
  if (!signedIn) return;
  try {
    const day = await ask(`summary${by("day").value ? `?day=${by("day").value}` : ""}`);
    by("day").value ||= day.day;
    const stored = Object.entries(day.results).map(([modality, count]) => `${count} ${modality}`).join(", ") || "none";
    fill("summary", [["Series seen", day.series_seen], ["Done", day.done], ["Refused", day.refused], ["Failed", day.failed], ["Cancelled", day.cancelled], ["Not ended", day.open], ["Stored", stored], ["Median time", span(day.latency_p50_s)], ["p95", span(day.latency_p95_s)]], pair);
  } catch (error) { fail(error); }
}

function pair([name, value]) {
  const both = document.createDocumentFragment();
  both.append(make("dt", { text: name }), make("dd", { text: String(value) }));
  return both;
}

async function change(job, button, verb, words) {
  button.disabled = true;
  try {
    table.put(await ask(`jobs/${job.job_id}/${verb}`, { method: "POST" }));
    told(words);
    table.draw();
    soon();
  } catch (error) {
    button.disabled = false;
    fail(error);
  }
}

function retry(job, button) { return change(job, button, "retry", "The job begins again."); }

function cancel(job, button) {
  const sure = by("sure");
  by("sure-words").textContent = `Series ${job.request.series_instance_uid}, ${job.state}.`;
  sure.returnValue = "no";
  sure.onclose = () => { if (sure.returnValue === "yes") change(job, button, "cancel", "The job ends."); };
  sure.showModal();
}

function choose(tab) { table.show(tab); list(); }

function theme() {
  const next = document.documentElement.dataset.theme === "light" ? "dark" : "light";
  document.documentElement.dataset.theme = next;
  localStorage.setItem("iodeep.theme", next);
  by("theme").textContent = next === "light" ? "Dark" : "Light";
}

by("theme").textContent = document.documentElement.dataset.theme === "light" ? "Dark" : "Light";
by("theme").addEventListener("click", theme);
by("help").addEventListener("click", () => by("keys").showModal());
by("leave").addEventListener("click", async () => { await signOut().catch(() => {}); leave("You have signed out."); });
by("day").addEventListener("change", summary);
by("filter").addEventListener("input", (event) => { table.filter = event.target.value.trim(); table.draw(); });
by("tabs").addEventListener("click", (event) => { if (event.target.dataset.tab) choose(event.target.dataset.tab); });
by("tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  choose(TABS[(TABS.indexOf(table.tab) + step + TABS.length) % TABS.length]);
  by(`tab-${table.tab}`).focus();
});
by("key-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  by("door-error").textContent = "";
  try {
    await signIn(by("key").value.trim());
    by("key").value = "";
    await enter();
  } catch (error) { by("door-error").textContent = error.message; }
});
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, dialog") || event.ctrlKey || event.metaKey || event.altKey || !signedIn) return;
  if (event.key >= "1" && event.key <= "4") choose(TABS[Number(event.key) - 1]);
  else if (event.key === "/") { event.preventDefault(); by("filter").focus(); }
  else if (event.key === "t") theme();
  else if (event.key === "?") by("keys").showModal();
});

new ResizeObserver(redraw).observe(by("rate"));
setInterval(() => { if (!document.hidden) overview(); }, OVERVIEW_MS);
setInterval(() => { if (signedIn && !document.hidden) { models(); summary(); } }, SLOW_MS);
setInterval(() => { if (signedIn && !document.hidden) table.draw(); }, 1000);
enter();
