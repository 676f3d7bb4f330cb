// Uploads files and folders: three at a time, each in a request of its own, with progress and a table of refusals.

const AT_ONCE = 3;
const ATTEMPTS = 4;
const SHOWN_ROWS = 500;
const EXISTS = 45070;
const REASONS = {
  272: "The data store failed for this file. Send it again.",
  43264: "The file cannot be read, or an attribute breaks a rule.",
};
const element = (id) => document.getElementById(id);
const place = element("upload");
const state = { waiting: [], failed: [], running: 0, reading: 0, files: 0, done: 0, bytes: 0, sent: 0, rows: 0, stopped: false, requests: new Set(),
  counts: { stored: 0, present: 0, skipped: 0, refused: 0 } };

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let unit = 0;
  for (; bytes >= 999.5 && unit < units.length - 1; unit += 1) bytes /= 1000;
  return `${unit ? Number(bytes.toPrecision(3)) : bytes} ${units[unit]}`;
}

// --- what was dropped or chosen ---

async function* filesOf(entry, path) {
  const name = path + entry.name;
  if (entry.isFile) {
    yield { file: await new Promise((found, failed) => entry.file(found, failed)), name };
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const entries = await new Promise((found, failed) => reader.readEntries(found, failed));
    if (!entries.length) return;
    for (const each of entries) yield* filesOf(each, `${name}/`);
  }
}

async function addDropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return addChosen(transfer.files);
  begin();
  state.reading += 1;
  for (const entry of entries) {
    try {
      for await (const each of filesOf(entry, "")) add(each);
    } catch (error) {
      add({ file: new File([], entry.name), name: entry.name, unreadable: String(error.message ?? error) });
    }
  }
  state.reading -= 1;
  show();
}

function addChosen(files) {
  if (!files.length) return;
  begin();
  for (const file of files) add({ file, name: file.webkitRelativePath || file.name });
  show();
}

function begin() {
  state.stopped = false;
  element("report").hidden = false;
  element("stop").hidden = false;
}

function add(one) {
  state.files += 1;
  state.bytes += one.file.size;
  state.waiting.push(one);
  work();
}

// --- sending ---

function work() {
  while (state.running < AT_ONCE && state.waiting.length && !state.stopped) {
    state.running += 1;
    handle(state.waiting.shift()).finally(() => {
      state.running -= 1;
      state.done += 1;
      show();
      work();
    });
  }
}

async function handle(one) {
  const { file } = one;
  try {
    if (one.unreadable) return end(one, "refused", "Not read", one.unreadable);
    const start = new Uint8Array(await file.slice(128, 132).arrayBuffer());
    if (String.fromCharCode(...start) !== "DICM") return end(one, "skipped");
    if (file.size > Number(place.dataset.limit)) return end(one, "refused", "Refused", `The file has more than ${size(Number(place.dataset.limit))}.`);
    for (let attempt = 1; ; attempt += 1) {
      const answer = await send(one);
      const mayHelp = answer.status === 0 || answer.status === 429 || answer.status === 503;
      if (!mayHelp || attempt === ATTEMPTS || state.stopped) return judge(one, answer);
      await new Promise((wake) => setTimeout(wake, 1000 * 2 ** attempt));
    }
  } catch (error) {
    return end(one, "refused", "Not read", String(error.message ?? error));
  }
}

// Resolves to {status, text}. The status 0 means that there was no answer.
function send(one) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    let sent = 0;
    const count = (bytes) => { state.sent += bytes - sent; sent = bytes; show(); };
    request.open("POST", place.dataset.store);
    request.setRequestHeader("Content-Type", "application/dicom");
    request.setRequestHeader("Accept", "application/dicom+json");
    request.upload.onprogress = (event) => count(Math.min(event.loaded, one.file.size));
    request.onload = () => { count(one.file.size); resolve({ status: request.status, text: request.responseText }); };
    request.onerror = request.onabort = () => { count(0); resolve({ status: 0, text: "" }); };
    request.onloadend = () => state.requests.delete(request);
    state.requests.add(request);
    request.send(one.file);
  });
}

function judge(one, { status, text }) {
  if (status === 200 || status === 202) return end(one, "stored");
  if (status === 0) return fail(one, state.stopped ? "Stopped before it was sent." : "The server does not answer.");
  if (status === 503) return fail(one, text || "The server is overloaded.");
  if (status !== 409) return end(one, "refused", "Refused", status === 401 ? "Sign in again." : text || `Status ${status}`);
  const failure = JSON.parse(text)["00081198"].Value[0];
  const reason = failure["00081197"].Value[0];
  if (reason === EXISTS) return end(one, "present");
  const comments = (failure["00741048"]?.Value ?? []).map((item) => item["00000902"].Value[0].replace(/^DICOM100: /, ""));
  return end(one, "refused", "Refused", comments.join(" ") || REASONS[reason] || `Reason ${reason}`);
}

function fail(one, reason) {
  state.failed.push(one);
  end(one, "refused", "Failed", reason);
}

// --- what the page shows ---

function end(one, kind, result, reason) {
  state.counts[kind] += 1;
  if (result) addRow(one.name, result, reason);
}

function addRow(...cells) {
  element("refusals").hidden = false;
  state.rows += 1;
  if (state.rows > SHOWN_ROWS) {
    element("more-rows").hidden = false;
    element("more-rows").textContent = `${state.rows - SHOWN_ROWS} more files were not stored.`;
    return;
  }
  const row = document.createElement("tr");
  cells.forEach((text, at) => {
    const cell = document.createElement(at ? "td" : "th");
    if (at) cell.dataset.label = ["", "Result", "Reason"][at];
    else cell.scope = "row";
    cell.textContent = text;
    row.append(cell);
  });
  element("rows").append(row);
}

let isDue = false;

function show() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    for (const [kind, count] of Object.entries(state.counts)) element(kind).textContent = count;
    element("sent").textContent = `${size(state.sent)} of ${size(state.bytes)}`;
    const byBytes = state.bytes ? state.sent / state.bytes : 0;
    const hasEnded = !state.running && (state.stopped || !(state.waiting.length || state.reading));
    element("progress").value = hasEnded && !state.stopped ? 1 : Math.min(0.99, Math.max(byBytes, state.done / Math.max(1, state.files)));
    element("stop").hidden = hasEnded;
    element("again").hidden = !hasEnded || !state.failed.length;
    if (hasEnded) element("summary").textContent = ending();
    else if (!element("summary").textContent.startsWith("Sending")) element("summary").textContent = "Sending files.";
  });
}

function ending() {
  const { stored, present, skipped, refused } = state.counts;
  const left = state.waiting.length;
  return `${state.stopped && left ? `Stopped. ${left} files were not sent. ` : "Done. "}${stored} stored, ${present} already there, ${skipped} skipped, ${refused} refused or failed.`;
}

function sendFailed() {
  const again = state.failed.splice(0);
  state.counts.refused -= again.length;
  state.done -= again.length;
  state.files -= again.length;
  for (const one of again) state.bytes -= one.file.size;
  const names = new Set(again.map((one) => one.name));
  for (const row of [...element("rows").children]) if (names.has(row.firstChild.textContent)) { row.remove(); state.rows -= 1; }
  element("refusals").hidden = !state.rows;
  begin();
  again.forEach(add);
  show();
}

if (place) {
  place.hidden = false;
  const drop = element("drop");
  for (const name of ["dragenter", "dragover"]) drop.addEventListener(name, (event) => { event.preventDefault(); drop.classList.add("over"); });
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => { event.preventDefault(); addDropped(event.dataTransfer); });
  // A file that is dropped beside the area must not replace the page.
  for (const name of ["dragover", "drop"]) window.addEventListener(name, (event) => event.preventDefault());
  for (const id of ["files", "folder"]) element(id).addEventListener("change", (event) => { addChosen([...event.target.files]); event.target.value = ""; });
  element("stop").addEventListener("click", () => {
    state.stopped = true;
    state.requests.forEach((request) => request.abort());
    show();
  });
  element("again").addEventListener("click", sendFailed);
  window.addEventListener("beforeunload", (event) => { if (state.running) event.preventDefault(); });
}
