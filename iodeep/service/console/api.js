// The API of this service, with the session's cookie, which no script can read; problems become errors with a remedy.

const ROOT = new URL("../api/v1/", import.meta.url).pathname;
const DOOR = new URL("../auth/", import.meta.url).pathname;
const AGAIN_MS = 2000;
const CHANGES = { "X-IODeep-Request": "1" };

export class ProblemError extends Error {
  constructor(status, problem) {
    const what = problem.detail || problem.title || `The service answered ${status}`;
    super([what.replace(/\.?$/, "."), problem.remedy].filter(Boolean).join(" "));
    this.status = status;
  }
}

async function refused(response) {
  const problem = await response.json().catch(() => ({}));
  return new ProblemError(response.status, problem);
}

export async function ask(path, { method = "GET", statuses = [] } = {}) {
  const response = await fetch(ROOT + path, { method, headers: method === "GET" ? {} : CHANGES, cache: "no-store", credentials: "same-origin" });
  if (!response.ok && !statuses.includes(response.status)) throw await refused(response);
  return response.json();
}

export async function signIn(key) {
  const body = new URLSearchParams({ key, then: "/console/" });
  const response = await fetch(`${DOOR}sign-in`, { method: "POST", body, redirect: "manual", credentials: "same-origin" });
  if (response.type !== "opaqueredirect" && !response.ok) throw await refused(response);
}

export const signOut = () => fetch(`${DOOR}sign-out`, { method: "POST", headers: CHANGES, credentials: "same-origin" });
export const providerAddress = `${DOOR}oidc/start?then=/console/`;

export async function whoAmI() {
  const response = await fetch(`${DOOR}me`, { cache: "no-store", credentials: "same-origin" });
  if (!response.ok) throw await refused(response);
  return response.json();
}

// Server-sent events by fetch, which tells a refusal from a break as EventSource does not: calls back for each job, and goes on after a break.
export async function follow(path, { signal, onJob, onState }) {
  let last = "";
  while (!signal.aborted) {
    try {
      const response = await fetch(ROOT + path, { headers: last ? { "Last-Event-ID": last } : {}, cache: "no-store", credentials: "same-origin", signal });
      if (!response.ok) throw await refused(response);
      onState(true);
      for await (const event of events(response.body)) {
        if (event.id) last = event.id;
        if (event.name === "job") onJob(JSON.parse(event.data));
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401 || error.status === 403) throw error;
      onState(false);
    }
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const whole = text.split("\n\n");
    text = whole.pop();
    for (const block of whole) yield parsed(block);
  }
}

function parsed(block) {
  const event = { name: "", id: "", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event.name = line.slice(7);
    else if (line.startsWith("id: ")) event.id = line.slice(4);
    else if (line.startsWith("data: ")) event.data += line.slice(6);
  }
  return event;
}
