// The drop zone. Files go to the upload route of the server: POST opens an upload, PUT appends bytes
// from an offset on, GET tells the offset after a break. Data reaches the page only as textContent.

const ROUTE = "/api/uploads";
const AT_ONCE = 3; // small pictures wait for the server more than for the network
const RETRY_SECONDS = [1, 2, 4, 8, 15];
const REPORT_MS = 250;
const REMEMBER_BYTES = 1e6; // smaller files are sent again sooner than they are looked up

const instances = new WeakMap();

/** Streamlit calls this on every change of the data, always with the same element. */
export default function (component) {
  const root = component.parentElement;
  if (!instances.has(root)) instances.set(root, new UploadZone(root));
  instances.get(root).update(component);
  return () => {
    instances.get(root)?.close();
    instances.delete(root);
  };
}

/** What is shown, and what a person does with it. */
class UploadZone {
  constructor(root) {
    this.zone = root.querySelector(".zone");
    this.closing = new AbortController();
    this.batch = null;
    const [files, folder] = this.zone.querySelectorAll("input");
    this.fileInput = files;
    const listen = (target, type, handler) =>
      target.addEventListener(type, handler, { signal: this.closing.signal });

    listen(this.part("choose"), "click", () => files.click());
    listen(this.part("folder"), "click", () => folder.click());
    for (const input of [files, folder]) {
      listen(input, "change", () => {
        const chosen = [...input.files].map((file) => ({ file, path: file.webkitRelativePath || file.name }));
        input.value = ""; // so that choosing the same file again is a change, too
        this.send(chosen);
      });
    }
    listen(this.part("cancel"), "click", () => this.batch?.cancel());
    listen(this.zone, "dragover", (event) => this.hover(event, true));
    listen(this.zone, "dragleave", (event) => this.hover(event, false));
    listen(this.zone, "drop", async (event) => {
      this.hover(event, false);
      this.send(await droppedFiles(event.dataTransfer));
    });
    // A file that misses the zone must not replace the page.
    for (const type of ["dragover", "drop"]) listen(window, type, (event) => event.preventDefault());
  }

  part(name) {
    return this.zone.querySelector(`.${name}`);
  }

  update({ data, setTriggerValue }) {
    this.options = data;
    this.announce = (result) => setTriggerValue("uploaded", result);
    this.part("choose").textContent = data.label;
    this.part("hint").textContent = data.hint;
    this.part("hint").hidden = !data.hint;
    this.fileInput.accept = data.accept;
    this.fileInput.multiple = !data.one;
    this.part("folder").hidden = data.one;
  }

  close() {
    this.closing.abort();
    this.batch?.cancel();
  }

  hover(event, over) {
    event.preventDefault();
    this.zone.classList.toggle("over", over && !this.batch);
  }

  say(text, kind = "") {
    const message = this.part("message");
    message.textContent = text;
    message.className = `message ${kind}`;
    message.setAttribute("role", kind === "error" ? "alert" : "status");
  }

  async send(chosen) {
    if (this.batch || !chosen.length) return;
    const empty = chosen.filter(({ file }) => file.size === 0).map(({ path }) => path);
    const files = chosen.filter(({ file }) => file.size > 0);
    const problem = this.problemWith(files);
    if (problem) return this.say(problem, "error");

    const name = nameOf(files);
    this.batch = new Batch(files, (state) => this.showProgress(name, state));
    this.part("drop").hidden = true;
    this.part("sending").hidden = false;
    this.part("cancel").focus();
    this.say("");
    try {
      const ids = await this.batch.run();
      this.say(`${name} has arrived.`, "good");
      this.announce({ ids, name, total: this.batch.total, empty });
    } catch (error) {
      if (error instanceof Cancelled) this.say("Stopped. Choose the same file again to go on from here.");
      else this.say(error.message, "error");
    }
    this.batch = null;
    const focused = this.zone.getRootNode().activeElement === this.part("cancel");
    this.part("sending").hidden = true;
    this.part("drop").hidden = false;
    if (focused) this.part("choose").focus(); // the keyboard stays where it was
  }

  problemWith(files) {
    if (!files.length) return "There is nothing in it: every file is empty. Choose another one.";
    const limit = this.options.maxBytes;
    const large = limit && files.find(({ file }) => file.size > limit);
    return large ? `“${large.path}” is larger than ${bytes(limit)}. Split it into smaller ones.` : "";
  }

  showProgress(name, { sent, total, files, done, speed, waiting }) {
    const percent = Math.min(100, Math.floor((100 * sent) / total));
    const parts = [`${bytes(sent)} of ${bytes(total)}`];
    if (files > 1) parts.push(`${done} of ${files} files`);
    if (waiting) parts.push("the connection is lost, trying again");
    else if (speed > 0) parts.push(`${bytes(speed)}/s`, `${duration((total - sent) / speed)} left`);
    this.part("name").textContent = name;
    this.part("share").textContent = `${percent} %`;
    this.part("numbers").textContent = parts.join(" · ");
    this.part("bar").style.width = `${percent}%`;
    const track = this.part("track");
    track.setAttribute("aria-valuenow", percent);
    track.setAttribute("aria-label", `Uploading ${name}`);
  }
}

class Cancelled extends Error {}

/** The server said no; its sentence is the message. */
class Refused extends Error {}

/** A list of files on their way, a few at a time, in the order in which they were given. */
class Batch {
  constructor(files, report) {
    this.transfers = files.map(({ file, path }) => new Transfer(file, path));
    this.total = files.reduce((sum, { file }) => sum + file.size, 0);
    this.report = report;
    this.samples = [];
  }

  async run() {
    const waiting = [...this.transfers];
    const line = async () => {
      for (let next = waiting.shift(); next; next = waiting.shift()) await next.run();
    };
    this.progress();
    const ticker = setInterval(() => this.progress(), REPORT_MS);
    try {
      await Promise.all(Array.from({ length: AT_ONCE }, line));
    } catch (error) {
      this.cancel();
      throw error;
    } finally {
      clearInterval(ticker);
    }
    this.transfers.forEach((transfer) => transfer.forget());
    return this.transfers.map((transfer) => transfer.id);
  }

  cancel() {
    this.transfers.forEach((transfer) => transfer.cancel());
  }

  progress() {
    const sent = this.transfers.reduce((sum, transfer) => sum + transfer.sent, 0);
    this.report({
      sent,
      total: this.total,
      files: this.transfers.length,
      done: this.transfers.filter((transfer) => transfer.done).length,
      speed: this.speed(sent),
      waiting: this.transfers.some((transfer) => transfer.waiting),
    });
  }

  /** Bytes per second over the last five seconds; 0 while there is too little to tell. */
  speed(sent) {
    const now = performance.now();
    this.samples.push([now, sent]);
    while (this.samples.length > 2 && now - this.samples[0][0] > 5000) this.samples.shift();
    const [since, before] = this.samples[0];
    return now - since < 400 ? 0 : Math.max(0, ((sent - before) * 1000) / (now - since));
  }
}

/** One file on its way; survives lost connections, and a refresh when the same file is chosen again. */
class Transfer {
  constructor(file, path) {
    this.file = file;
    this.path = path;
    this.memory = `lensmith.upload:${path}:${file.size}:${file.lastModified}`;
    this.abort = new AbortController();
    this.id = null;
    this.kept = 0; // bytes that the server has on disk
    this.sent = 0; // bytes that have left the browser
    this.done = false;
    this.waiting = false;
  }

  cancel() {
    this.abort.abort();
  }

  forget() {
    localStorage.removeItem(this.memory);
  }

  async run() {
    let failures = 0;
    while (!this.done) {
      const before = this.kept;
      try {
        await this.advance();
        this.waiting = false;
      } catch (error) {
        if (this.abort.signal.aborted) throw new Cancelled();
        if (error instanceof Refused) throw error;
        failures = this.kept > before ? 0 : failures + 1;
        if (failures > RETRY_SECONDS.length) {
          throw new Error("The connection to the server is lost. Choose the same file again to go on.");
        }
        this.waiting = true;
        await pause(RETRY_SECONDS[Math.max(0, failures - 1)], this.abort.signal);
      }
    }
  }

  /** Ask where the upload stands and send the rest. */
  async advance() {
    let info = await this.find();
    this.id = info.id;
    this.note(info);
    if (!info.complete) info = await this.put(info);
    this.note(info);
    this.done = info.complete;
  }

  note({ received }) {
    this.kept = this.sent = received;
  }

  async find() {
    const known = this.id ?? localStorage.getItem(this.memory);
    if (known) {
      const answer = await this.ask(`${ROUTE}/${encodeURIComponent(known)}`);
      if (answer.ok) return answer.json();
      if (answer.status !== 404) throw await failure(answer);
      this.forget(); // the server has cleared it away meanwhile
    }
    this.key ??= randomKey(); // the same key again opens no second upload when the answer got lost
    const body = JSON.stringify({ name: this.path, size: this.file.size, key: this.key });
    const answer = await this.ask(ROUTE, { method: "POST", body });
    if (!answer.ok) throw await failure(answer);
    const info = await answer.json();
    if (this.file.size >= REMEMBER_BYTES) localStorage.setItem(this.memory, info.id);
    return info;
  }

  ask(address, options = {}) {
    return fetch(address, { ...options, signal: this.abort.signal });
  }

  /** XMLHttpRequest, since fetch does not tell how much of a body has left. */
  put({ id, received }) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      const cancel = () => request.abort();
      this.abort.signal.addEventListener("abort", cancel, { once: true });
      request.open("PUT", `${ROUTE}/${encodeURIComponent(id)}?offset=${received}`);
      request.responseType = "json";
      request.upload.onprogress = (event) => {
        this.waiting = false;
        this.sent = received + event.loaded;
      };
      request.onload = () => {
        if (request.status === 200) resolve(request.response);
        else reject(refusal(request.status, request.response));
      };
      request.onerror = request.onabort = () => reject(new Error("The connection broke."));
      request.onloadend = () => this.abort.signal.removeEventListener("abort", cancel);
      request.send(this.file.slice(received));
    });
  }
}

async function failure(answer) {
  return refusal(answer.status, await answer.json().catch(() => null));
}

/** A conflict and a fault of the server may pass; everything else is for the person to read. */
function refusal(status, body) {
  if (status === 409 || status >= 500) return new Error(`Status ${status}.`);
  return new Refused(body?.error ? `${body.error} ${body.hint ?? ""}`.trim() : "The server refused this file.");
}

function pause(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}

function randomKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");
}

/** Every file of a drop with its path, folders opened to the bottom. */
async function droppedFiles(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files].map((file) => ({ file, path: file.name }));
  const found = [];
  for (const entry of entries) await collect(entry, found);
  return found;
}

async function collect(entry, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    found.push({ file, path: entry.fullPath.replace(/^\//, "") });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    // The browser gives at most 100 entries at a time, and an empty list at the end.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return;
    for (const child of some) await collect(child, found);
  }
}

function nameOf(files) {
  if (files.length === 1) return files[0].path.split("/").pop();
  const tops = new Set(files.map(({ path }) => path.split("/")[0]));
  return tops.size === 1 ? [...tops][0] : `${files.length} files`;
}

function bytes(count) {
  const units = ["bytes", "kB", "MB", "GB"];
  let unit = 0;
  while (count >= 1000 && unit < units.length - 1) [count, unit] = [count / 1000, unit + 1];
  return `${unit && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
