// Opens pages of the site in headless Chromium, for test_site.py.
// stdin: {"browser": path, "modes": {name: {"width", "height", "scheme"}}, "pages": [{"name", "url"}], "folder": path}
// `cookies` in stdin are set before the first page.
// stdout: for each page and mode {"name", "mode", "status", "title", "violations": [text], "errors": [text], "overflow": pixels,
// "unfocused": [text]}. "unfocused" are elements that a mouse can use and the tab key cannot reach or does not show.
// A screenshot of the whole page is in `folder` as name-mode.png.
const fs = require("fs");
const path = require("path");
const { chromium } = require("playwright-core");

const OPTIONS = [
  "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
const RULES = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
const MAX_TABS = 400;
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

async function violations(page) {
  await page.evaluate(axe);
  const found = await page.evaluate((rules) => window.axe.run(document, rules), RULES);
  return found.violations.map((each) => {
    const nodes = each.nodes.slice(0, 3).map((node) => `${node.target.join(" ")} ${node.failureSummary || ""}`);
    return `${each.id}: ${each.help}: ${nodes.join(" | ")}`;
  });
}

// Presses the tab key until the focus is back at the start, at most MAX_TABS times. Returns what it missed of the first
// MAX_TABS controls.
async function unfocused(page) {
  const missed = [];
  await page.evaluate((most) => {
    const usable = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
    window.expected = new Set([...document.querySelectorAll(usable)].filter(
      (each) => !each.disabled && each.checkVisibility() && !(each.type === "radio" && !each.checked)).slice(0, most));
    document.activeElement.blur();
  }, MAX_TABS);
  for (let pressed = 0; pressed < MAX_TABS; pressed += 1) {
    await page.keyboard.press("Tab");
    const state = await page.evaluate(() => {
      const at = document.activeElement;
      if (!at || at === document.body || at === document.documentElement) return { end: true };
      const isNew = window.expected.delete(at);
      const style = getComputedStyle(at), box = at.getBoundingClientRect();
      const shown = at.tagName === "IFRAME" || style.outlineStyle !== "none" || style.boxShadow !== "none" || !!at.closest(":has(:focus-visible)");
      const inside = box.bottom > 0 && box.top < innerHeight;
      return { end: false, isNew, text: shown && inside ? "" : `${at.outerHTML.slice(0, 120)} shows no focus` };
    });
    if (state.end) break;
    if (state.text) missed.push(state.text);
  }
  const rest = await page.evaluate(() => [...window.expected].map((each) => `${each.outerHTML.slice(0, 120)} is not reached`));
  return [...missed, ...rest];
}

const TALLEST = 6000; // pixels of a page in its screenshot: Chromium takes minutes for the longest documents

async function open(browser, { name, url, script }, mode, look, folder, cookies) {
  const context = await browser.newContext({
    viewport: { width: look.width, height: look.height }, colorScheme: look.scheme, javaScriptEnabled: look.script !== false,
  });
  if (cookies.length) await context.addCookies(cookies);
  context.setDefaultTimeout(20000);
  const page = await context.newPage();
  const errors = [];
  page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });
  page.on("pageerror", (error) => errors.push(String(error)));
  const answer = await page.goto(url, { waitUntil: "load" });
  if (script) await page.evaluate(script);
  const step = look.height;
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  for (let at = 0; at < Math.min(height, 8 * step); at += step) {
    await page.evaluate((top) => window.scrollTo(0, top), at);
    await page.waitForTimeout(50);
  }
  await page.evaluate(() => window.scrollTo(0, 0));
  await page.waitForLoadState("networkidle");
  const clip = { x: 0, y: 0, width: look.width, height: Math.min(height, TALLEST) };
  await page.screenshot({ path: path.join(folder, `${name}-${mode}.png`), fullPage: true, clip });
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  const result = {
    name, mode, status: answer.status(), errors, overflow, title: await page.title(),
    violations: look.script === false ? [] : await violations(page), // axe is a script of the page
    unfocused: look.keyboard ? await unfocused(page) : [],
  };
  await context.close();
  return result;
}

async function main() {
  let text = "";
  for await (const piece of process.stdin) text += piece;
  const { browser: executablePath, pages, modes, folder, cookies = [] } = JSON.parse(text);
  const browser = await chromium.launch({ executablePath, args: OPTIONS });
  try {
    const results = [];
    for (const page of pages)
      for (const [mode, look] of Object.entries(modes))
        results.push(await open(browser, page, mode, look, folder, cookies));
    process.stdout.write(JSON.stringify(results));
  } finally {
    await browser.close();
  }
}

main().catch((error) => { console.error(error); process.exit(1); });
