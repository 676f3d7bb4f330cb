// Opens pages of OHIF in headless Chromium, for viewer.py.
// stdin: {"browser": path, "pages": [{"url", "script", "screenshot": path}], "changes": {}, "upload": path or null}
// `changes` are values of the data sources. `upload` is a file that each page uploads from its study list.
// `script` runs in the page again and again until it returns something: this is the result. It may use `probe`.
// stdout: for each page {"result", "answers": [{"status", "type", "url", "accept"}], "asked": [url], "errors": [text]}.
const { chromium } = require("playwright-core");

const SECONDS = 40;
const OPTIONS = [
  "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader", "--autoplay-policy=no-user-gesture-required",
];

function defineProbe() {
  const pixels = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  const count = (data, wanted) => {
    let found = 0;
    for (let at = 0; at < data.length; at += 4) if (wanted(data[at], data[at + 1], data[at + 2])) found += 1;
    return found;
  };
  const bright = (red, green, blue) => red + green + blue > 60;
  const coloured = (red, green, blue) => Math.max(red, green, blue) - Math.min(red, green, blue) > 25;
  const drawn = () => {
    const canvas = [...document.querySelectorAll("canvas.cornerstone-canvas")].find((each) => each.width > 100);
    return canvas && count(pixels(canvas), bright) > 1000 ? canvas : null;
  };

  window.probe = {
    // Returns the colours of an image at points of its square, from [0, 0] to [1, 1].
    image(points) {
      const canvas = drawn();
      if (!canvas) return null;
      const side = Math.min(canvas.width, canvas.height);
      return points.map(([across, down]) => {
        const x = Math.round((canvas.width - side) / 2 + across * side);
        const y = Math.round((canvas.height - side) / 2 + down * side);
        return [...canvas.getContext("2d").getImageData(x, y, 1, 1).data].slice(0, 3);
      });
    },
    // Adds the segmentation of the list to the images, and returns how many pixels have a colour then.
    segmentation() {
      if (!drawn()) return null;
      if (!this.opened) {
        const entry = document.querySelector('[data-cy="study-browser-thumbnail-no-image"]');
        if (!entry) return null;
        this.opened = true;
        const event = { bubbles: true, cancelable: true, view: window };
        for (const name of ["mousedown", "mouseup", "click", "mousedown", "mouseup", "click", "dblclick"])
          entry.dispatchEvent(new MouseEvent(name, event));
      }
      const found = count(pixels(drawn()), coloured);
      return found > 1000 ? found : null;
    },
    // Plays the video, and returns its state when a picture is drawn and the time goes on.
    video() {
      const engine = window.cornerstone && window.cornerstone.getRenderingEngines()[0];
      const viewport = engine && engine.getViewports()[0];
      const [video] = window.videos;
      if (!video || !viewport || !viewport.play || video.readyState < 2) return null;
      if (!this.played) viewport.play();
      this.played = true;
      this.seconds = Math.max(this.seconds || 0, video.currentTime);
      if (!this.seconds || !count(pixels(viewport.canvas), bright)) return null;
      return { width: video.videoWidth, height: video.videoHeight, seconds: video.duration };
    },
    // Returns how many requests there were whose URL contains `part`.
    requested(part) {
      return performance.getEntriesByType("resource").filter((each) => each.name.includes(part)).length;
    },
    // Returns the size of the first thumbnail of the list.
    thumbnail() {
      const image = document.querySelector('[data-cy="study-browser-thumbnail"] img');
      return image && image.naturalWidth ? [image.naturalWidth, image.naturalHeight] : null;
    },
  };

  if (location.pathname.startsWith("/viewer")) {
    localStorage.setItem("shownTours", '["basicViewerTour"]'); // The tour darkens the first page.
    // The notice about investigational use covers the lower part.
    localStorage.setItem("investigationalUseDialog", JSON.stringify({ expiryDate: new Date(2999, 0, 1) }));
  }

  // The viewer draws videos from elements that are not in the document.
  window.videos = [];
  const create = Document.prototype.createElement;
  Document.prototype.createElement = function (name, ...more) {
    const element = create.call(this, name, ...more);
    if (String(name).toLowerCase() === "video") window.videos.push(element);
    return element;
  };
}

async function uploadFile(page, path) {
  await page.getByText("Upload", { exact: true }).click();
  await page.locator('input[type="file"]:not([webkitdirectory])').first().setInputFiles(path);
}

async function changeSources(context, changes) {
  const text = `for (const each of window.config.dataSources) Object.assign(each.configuration, ${JSON.stringify(changes)});`;
  await context.route("**/viewer/app-config.js*", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: (await response.text()) + text });
  });
}

async function open(context, { url, script, screenshot }, upload) {
  const page = await context.newPage();
  const answers = [], asked = [], errors = [];
  page.on("response", (answer) => {
    const type = answer.headers()["content-type"] || "", accept = answer.request().headers()["accept"] || "";
    answers.push({ status: answer.status(), type, url: answer.url(), accept });
  });
  page.on("console", (message) => { if (message.type() === "error") errors.push(message.text()); });
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(url);
  if (upload) await uploadFile(page, upload);
  const end = Date.now() + SECONDS * 1000;
  let result = null;
  while (!result && Date.now() < end) {
    await page.waitForTimeout(100);
    result = await page.evaluate(script);
  }
  await page.waitForTimeout(500);
  await page.screenshot({ path: screenshot });
  await page.close();
  return { result: result || null, answers, asked, errors };
}

async function main() {
  let text = "";
  for await (const piece of process.stdin) text += piece;
  const { browser: executablePath, pages, changes, upload } = JSON.parse(text);
  const browser = await chromium.launch({ executablePath, args: OPTIONS });
  try {
    const context = await browser.newContext({ viewport: { width: 1200, height: 800 } });
    await context.addInitScript(defineProbe);
    if (Object.keys(changes).length) await changeSources(context, changes);
    const results = [];
    for (const page of pages) results.push(await open(context, page, upload));
    process.stdout.write(JSON.stringify(results));
  } finally {
    await browser.close();
  }
}

main().catch((error) => { console.error(error); process.exit(1); });
