// A person signs in with a token in headless Chromium, looks at pages and pictures, and signs out. For test_site_sign_in.py.
// stdin: {"browser": path, "url", "wrong": token, "token", "viewer": path of the viewer with a study or null, "closed": paths,
// "folder": path of the screenshots}.
// stdout: {"led": path, "looks": {name: {"violations", "overflow"}}, "refused": {"path", "message"}, "front": {"path",
// "partitions", "pictures": [width]}, "navigation": {name: {"cut": [label], "overflow"}}, "viewer": bright pixels or null,
// "left": path, "notice", "closed": [path], "api": status, "errors": [text]}.
const fs = require("fs");
const path = require("path");
const { chromium } = require("playwright-core");

const OPTIONS = [
  "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
];
const RULES = { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] };
const LOOKS = { light: [1280, "light"], dark: [1280, "dark"], narrow: [375, "light"] };
const WIDTHS = [375, 768, 1100, 1280];
const axe = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const pathOf = (page) => new URL(page.url()).pathname + new URL(page.url()).search;
const overflowOf = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

async function look(page, [width, colorScheme]) {
  await page.setViewportSize({ width, height: 900 });
  await page.emulateMedia({ colorScheme });
}

async function signInPages(page, folder) {
  const found = {};
  for (const [name, each] of Object.entries(LOOKS)) {
    await look(page, each);
    await page.evaluate(axe);
    const { violations } = await page.evaluate((rules) => window.axe.run(document, rules), RULES);
    found[name] = { violations: violations.map((one) => `${one.id}: ${one.help}`), overflow: await overflowOf(page) };
    await page.screenshot({ path: path.join(folder, `sign-in-${name}.png`) });
  }
  await look(page, LOOKS.light);
  return found;
}

async function signIn(page, token) {
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.waitForLoadState("networkidle");
}

// Returns the entries of the navigation that are not wholly inside of the header, for each width and colour scheme.
async function navigation(page, folder) {
  const found = {};
  for (const scheme of ["light", "dark"])
    for (const width of WIDTHS) {
      await look(page, [width, scheme]);
      const cut = await page.evaluate(() => {
        const bounds = document.querySelector(".site-nav").getBoundingClientRect();
        return [...document.querySelectorAll(".site-nav a")].filter((each) => {
          const box = each.getBoundingClientRect();
          return box.right > bounds.right || box.left < bounds.left || box.bottom > bounds.bottom;
        }).map((each) => each.textContent);
      });
      found[`${scheme}-${width}`] = { cut, overflow: await overflowOf(page) };
      await page.screenshot({ path: path.join(folder, `navigation-${scheme}-${width}.png`) });
    }
  await look(page, LOOKS.light);
  return found;
}

// Returns how many pixels of the first image of the viewer are bright, null if none is drawn in 40 seconds.
async function drawn(page, url, screenshot) {
  await page.addInitScript(() => {
    if (!location.pathname.startsWith("/viewer")) return;
    localStorage.setItem("shownTours", '["basicViewerTour"]');
    localStorage.setItem("investigationalUseDialog", JSON.stringify({ expiryDate: new Date(2999, 0, 1) }));
  });
  await page.goto(url);
  const image = await page.waitForFunction(() => {
    const canvas = [...document.querySelectorAll("canvas.cornerstone-canvas")].find((each) => each.width > 100);
    if (!canvas) return 0;
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let bright = 0;
    for (let at = 0; at < data.length; at += 4) if (data[at] + data[at + 1] + data[at + 2] > 60) bright += 1;
    return bright > 1000 ? bright : 0;
  }, null, { timeout: 40000, polling: 200 }).catch(() => null);
  await page.screenshot({ path: screenshot });
  return image && image.jsonValue();
}

async function visit(browser, { url, wrong, token, viewer, closed, folder }) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  context.setDefaultTimeout(20000);
  const page = await context.newPage();
  const errors = [], found = { errors };
  page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });
  page.on("pageerror", (error) => errors.push(String(error)));

  await page.goto(`${url}/`);
  found.led = pathOf(page);
  found.looks = await signInPages(page, folder);

  await signIn(page, wrong);
  found.refused = { path: pathOf(page), message: (await page.getByRole("alert").innerText()).trim() };
  await page.screenshot({ path: path.join(folder, "sign-in-refused.png") });

  await signIn(page, token);
  found.front = {
    path: pathOf(page),
    partitions: await page.locator('th[scope="row"] a').allInnerTexts(),
    pictures: await page.locator("main img").evaluateAll((images) => images.map((each) => each.naturalWidth)),
  };
  await page.screenshot({ path: path.join(folder, "sign-in-front.png"), fullPage: true });
  found.navigation = await navigation(page, folder);

  found.viewer = viewer && await drawn(page, url + viewer, path.join(folder, "sign-in-viewer.png"));
  await page.goto(`${url}/`);

  await page.getByRole("button", { name: "Sign out" }).click();
  await page.waitForLoadState("networkidle");
  found.left = pathOf(page);
  found.notice = (await page.getByRole("status").innerText()).trim();
  await page.screenshot({ path: path.join(folder, "sign-in-left.png") });
  found.closed = [];
  for (const each of closed) {
    await page.goto(url + each);
    found.closed.push(pathOf(page));
  }
  found.api = (await context.request.get(`${url}/v2/partitions`)).status();
  return found;
}

async function main() {
  let text = "";
  for await (const piece of process.stdin) text += piece;
  const { browser: executablePath, ...order } = JSON.parse(text);
  const browser = await chromium.launch({ executablePath, args: OPTIONS });
  try {
    process.stdout.write(JSON.stringify(await visit(browser, order)));
  } finally {
    await browser.close();
  }
}

main().catch((error) => { console.error(error); process.exit(1); });
