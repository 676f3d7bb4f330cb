// Follows an operation: asks the API for its state until it ends, then loads the page with the result.

const SECONDS = 2;
const shown = document.getElementById("operation");
const address = shown?.dataset.operation;
const words = JSON.parse(shown?.dataset.words ?? "{}");

function show(state) {
  document.getElementById("status").textContent = words[state.status] ?? state.status;
  if (state.percentComplete === undefined) return;
  document.getElementById("percent").textContent = `${state.percentComplete} %`;
  document.getElementById("progress").value = state.percentComplete;
}

async function follow() {
  try {
    const answer = await fetch(address, { headers: { Accept: "application/json" }, credentials: "same-origin" });
    // It ended, it was forgotten, or the caller has to sign in again: the page says which.
    if ([200, 401, 403, 404].includes(answer.status)) {
      location.reload();
      return;
    }
    if (answer.status === 202) show(await answer.json());
  } catch {
    // The server does not answer now. The next question may be answered.
  }
  setTimeout(follow, 1000 * SECONDS);
}

if (address) setTimeout(follow, 1000 * SECONDS);
