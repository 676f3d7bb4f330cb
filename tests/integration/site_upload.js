// Uploads files on the page of a partition in headless Chromium, for test_site_upload.py.
// stdin: {"browser": path, "url": page, "files": [path], "folder": path, "dropped": [{"name", "base64"}], "screenshot": path}
// stdout: {"steps": [{"summary", "counts": {name: text}, "rows": [[text]]}], "errors": [text]}: after the files were
// chosen, after the folder was chosen, and after the last files were dropped on the page.
const { chromium } = require("playwright-core");

const OPTIONS = [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

async function ended(page) {
  await page.locator("#summary", { hasText: /^Done\./ }).waitFor();
  const state = await page.evaluate(() => {
    const text = (id) => document.getElementById(id).textContent;
    const counts = Object.fromEntries(["stored", "present", "skipped", "refused"].map((id) => [id, text(id)]));
    const rows = [...document.querySelectorAll("#rows tr")].map((row) => [...row.children].map((cell) => cell.textContent));
    const state = { summary: text("summary"), counts, rows };
    document.getElementById("summary").textContent = "";
    return state;
  });
  return state;
}

async function main() {
  let text = "";
  for await (const piece of process.stdin) text += piece;
  const { browser: executablePath, url, files, folder, dropped, screenshot } = JSON.parse(text);
  const browser = await chromium.launch({ executablePath, args: OPTIONS });
  try {
    const page = await browser.newPage();
    const errors = [];
    page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto(url);
    const steps = [];
    await page.setInputFiles("#files", files);
    steps.push(await ended(page));
    await page.setInputFiles("#folder", folder);
    steps.push(await ended(page));
    const transfer = await page.evaluateHandle((given) => {
      const transfer = new DataTransfer();
      for (const { name, base64 } of given) {
        const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
        transfer.items.add(new File([bytes], name));
      }
      return transfer;
    }, dropped);
    await page.dispatchEvent("#drop", "dragover", { dataTransfer: transfer });
    await page.dispatchEvent("#drop", "drop", { dataTransfer: transfer });
    steps.push(await ended(page));
    await page.screenshot({ path: screenshot, fullPage: true });
    process.stdout.write(JSON.stringify({ steps, errors }));
  } finally {
    await browser.close();
  }
}

main().catch((error) => { console.error(error); process.exit(1); });
