// Tries calls on the page of the API reference in headless Chromium, for test_api_reference.py.
// stdin: {"browser": path, "url": text, "file": path, "screenshot": path}
// stdout: {"answers": {operationId: text of the answer}, "errors": [text]}
const { chromium } = require("playwright-core");

const OPTIONS = [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

async function main() {
  let text = "";
  for await (const piece of process.stdin) text += piece;
  const { browser: executablePath, url, file, screenshot } = JSON.parse(text);
  const browser = await chromium.launch({ executablePath, args: OPTIONS });
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  const errors = [], answers = {};
  page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });
  page.on("pageerror", (error) => errors.push(String(error)));
  const calls = {
    PartitionStoreInstance: (form) => form.locator("input[type=file]").setInputFiles(file),
    PartitionSearchStudies: (form) => form.locator("[data-spread]").fill("PatientID=1CT1"),
    AddExtendedQueryTags: (form) => form.locator("textarea").fill('[{"path": "PatientAge", "level": "Study"}]'),
    GetApiDescription: async () => {},
  };
  for (const [name, fill] of Object.entries(calls)) {
    await page.goto(`${url}?version=v2&call=${name}#${name}`);
    const form = page.locator(`#${name} form.try`);
    await fill(form);
    await form.locator("button").click();
    await form.locator(".answer .badge").waitFor({ timeout: 20000 });
    answers[name] = await form.locator(".answer").innerText();
    if (name === "PartitionSearchStudies") await page.screenshot({ path: screenshot });
  }
  await browser.close();
  process.stdout.write(JSON.stringify({ answers, errors }));
}

main().catch((error) => { console.error(error); process.exit(1); });
