// The forms of the API reference: each sends its call to this service and shows the answer.

const LONGEST = 64 * 1024; // bytes of an answer that are read and shown
const SECONDS = 60;
const base = document.querySelector(".api").dataset.base;
const token = document.getElementById("api-token");

for (const each of document.querySelectorAll("[data-with-script]")) each.hidden = false;
for (const each of document.querySelectorAll("[data-needs-script]")) each.remove();

function opened() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") {
    target.open = true;
    target.scrollIntoView();
  }
}
addEventListener("hashchange", opened);
opened();

function request(form) {
  let path = form.dataset.path;
  const query = [];
  const headers = new Headers();
  for (const input of form.querySelectorAll("[data-in]")) {
    const value = input.value.trim();
    const encoded = encodeURIComponent(value);
    if (input.dataset.in === "path") {
      path = path.replace(`{${input.name}}`, "slashes" in input.dataset ? encoded.replaceAll("%2F", "/") : encoded);
    } else if (value && input.dataset.in === "header") {
      headers.set(input.name, value);
    } else if (value && "spread" in input.dataset) {
      query.push(new URLSearchParams(value).toString());
    } else if (value) {
      query.push(`${encodeURIComponent(input.name)}=${encoded}`);
    }
  }
  const body = form.querySelector("[data-body]");
  if (body) headers.set("Content-Type", body.dataset.body);
  if (token?.value) headers.set("Authorization", `Bearer ${token.value.trim()}`);
  return [
    base + path + (query.length ? `?${query.join("&")}` : ""),
    { method: form.dataset.method, headers, body: body ? (body.files ? body.files[0] : body.value) : undefined },
  ];
}

async function beginning(response) {
  const chunks = [];
  let size = 0;
  const reader = response.body?.getReader();
  while (reader) {
    const { done, value } = await reader.read();
    if (done) return [new Blob(chunks), false];
    chunks.push(value);
    size += value.length;
    if (size > LONGEST) {
      await reader.cancel();
      return [new Blob(chunks).slice(0, LONGEST), true];
    }
  }
  return [new Blob([]), false];
}

function block(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  if (name === "pre") element.tabIndex = 0;
  return element;
}

async function content(response) {
  const type = response.headers.get("Content-Type") ?? "";
  const [blob, isCut] = await beginning(response);
  const parts = [];
  if (/^(text\/|application\/([\w.-]+\+)?(json|xml|yaml))/.test(type)) {
    let text = await blob.text();
    if (!isCut && type.includes("json")) {
      try { text = JSON.stringify(JSON.parse(text), null, 2); } catch { /* it is shown as it came */ }
    }
    parts.push(block("pre", text));
  } else if (blob.size) {
    parts.push(block("p", `${isCut ? "More than " : ""}${blob.size} bytes of ${type || "unknown type"}.`));
  }
  if (isCut) parts.push(block("p", `Only the first ${LONGEST} bytes were read.`));
  return parts;
}

for (const form of document.querySelectorAll("form.try")) {
  const answer = form.querySelector(".answer");
  const button = form.querySelector("button");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    answer.replaceChildren(block("p", "Waiting for the answer."));
    try {
      const [url, options] = request(form);
      const response = await fetch(url, { ...options, signal: AbortSignal.timeout(SECONDS * 1000), redirect: "manual" });
      const headers = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
      answer.replaceChildren(
        block("p", `${options.method} ${url}`),
        block("p", `${response.status} ${response.statusText}`),
        block("pre", headers),
        ...(await content(response)),
      );
      answer.children[1].className = response.ok ? "badge success" : "badge error";
    } catch (error) {
      answer.replaceChildren(block("p", `The call failed: ${error.message}`));
    } finally {
      button.disabled = false;
    }
  });
}
