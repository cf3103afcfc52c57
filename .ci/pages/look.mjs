// Opens pages as people do: node look.mjs PAGE.html... [--pictures FOLDER]
//
// Each page in headless Chromium at 390 and 1280 pixels, light and dark, and as A4: nothing wider than the window, a
// picture on the first screen, none that does not load, nothing asked of a network, no finding of the accessibility
// checker. Without JavaScript all is there to read. On the page of an attack the controls are used: order, filters,
// finding, the viewer and its slider, by mouse and by keyboard. Ends with 1 if anything is not as it should be.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

// The packaged browser brings its libraries along where it believes to be in a bare environment.
process.env.AWS_EXECUTION_ENV ??= "AWS_Lambda_nodejs22.x";
const chromium = (await import("@sparticuz/chromium")).default;
const puppeteer = (await import("puppeteer-core")).default;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const words = process.argv.slice(2);
const at = words.indexOf("--pictures");
const pictures = at < 0 ? null : words.splice(at, 2)[1];

let failures = 0;
const check = (holds, what) => {
  if (!holds) {
    failures += 1;
    console.error(`not so: ${what}`);
  }
};

const browser = await puppeteer.launch({
  args: [...chromium.args, "--no-sandbox"],
  executablePath: await chromium.executablePath(),
  headless: "shell",
});

async function open(page, { width = 1280, dark = false, script = true } = {}) {
  const tab = await browser.newPage();
  await tab.setJavaScriptEnabled(script);
  await tab.setViewport({ width, height: 900 });
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
  tab.on("pageerror", (error) => check(false, `${page}: no error in its script (${error.message})`));
  tab.on("request", (request) =>
    check(/^(file|data):/.test(request.url()), `${page} asks for nothing (${request.url().slice(0, 80)})`),
  );
  await tab.goto(pathToFileURL(page).href);
  return tab;
}

const decoded = () =>
  Promise.all(Array.from(document.images).filter((image) => image.src.length > 9).map((image) => image.decode().then(() => "", () => image.alt)))
    .then((names) => names.filter((name) => name !== ""));

async function look(page) {
  for (const width of [390, 1280]) {
    for (const dark of [false, true]) {
      const where = `${page} at ${width} pixels${dark ? ", dark" : ""}`;
      const tab = await open(page, { width, dark });
      const wide = await tab.evaluate(() => document.documentElement.scrollWidth);
      check(wide <= width, `${where}: not wider than the window (${wide})`);
      if (width === 1280) {
        const top = await tab.evaluate(() => document.querySelector("main img, main svg")?.getBoundingClientRect().top);
        check(top < 900, `${where}: the first screen has a picture (${top})`);
      }
      const broken = await tab.evaluate(decoded);
      check(broken.length === 0, `${where}: all pictures load (${broken})`);
      await tab.evaluate(axe);
      const found = await tab.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
      for (const { id, help, nodes } of found.violations) {
        check(false, `${where}: ${id}, ${help} (${nodes.length}: ${nodes[0].html.slice(0, 160)})`);
      }
      if (pictures) await tab.screenshot({ path: join(pictures, `${basename(page, ".html")}-${width}-${dark ? "dark" : "light"}.png`) });
      await tab.close();
    }
  }
  const tab = await open(page, { script: false });
  const paper = await tab.pdf({ format: "A4", printBackground: true });
  check(paper.length > 1000, `${page} prints`);
  const text = await tab.$eval("main", (main) => main.innerText);
  check(text.includes("How it was made"), `${page}: readable without JavaScript`);
  await tab.close();
  await use(page);
}

/** Uses the controls of an attack's page. */
async function use(page) {
  const tab = await open(page);
  if (!(await tab.$("#cases"))) return tab.close();
  const shown = () => tab.$$eval(".case", (cases) => cases.filter((item) => !item.hidden).map((item) => ({ ...item.dataset })));
  const all = await shown();
  const number = (text) => (text === "" ? Infinity : Number(text));
  for (const [order, key] of [["norm", "norm"], ["class", "class"], ["ratio", "ratio"], ["index", "index"]]) {
    await tab.select("#order", order);
    const values = (await shown()).map((item) => number(item[key]));
    check(values.length === all.length && values.every((value, i) => i === 0 || values[i - 1] <= value), `${page} in the order of ${order}`);
  }
  for (const key of ["label", "answer", "outcome"]) {
    const wanted = all[0][key];
    await tab.select(`#${key}`, wanted);
    const left = await shown();
    const fit = all.filter((item) => item[key] === wanted).length;
    check(left.length === fit && left.every((item) => item[key] === wanted), `${page} with only ${key} ${wanted}`);
    check((await tab.$eval("#count", (count) => count.textContent)).startsWith(`${fit} of ${all.length}`), `${page} counts them`);
    await tab.select(`#${key}`, "");
  }
  const last = all[all.length - 1];
  await tab.type("#find", last.name);
  check((await shown()).some((item) => item.index === last.index), `${page} finds ${last.name}`);
  await tab.$eval("#find", (find) => { find.value = ""; find.dispatchEvent(new Event("input")); });
  // By keyboard alone: the first image, the slider, the next image, and back.
  await tab.focus(".case:not([hidden]) .pair");
  await tab.keyboard.press("Enter");
  const title = () => tab.$eval("#viewer-title", (title) => title.textContent);
  const first = await title();
  check(await tab.$eval("#viewer", (viewer) => viewer.open), `${page} opens an image`);
  await tab.focus("#slider");
  const clip = () => tab.$eval("#viewer-adversarial", (image) => image.style.clipPath);
  const before = await clip();
  await tab.keyboard.press("ArrowRight");
  check((await clip()) !== before && (await title()) === first, `${page}: the slider moves`);
  await tab.click("#next");
  check(all.length === 1 || (await title()) !== first, `${page}: the next image`);
  if (pictures) await tab.screenshot({ path: join(pictures, `${basename(page, ".html")}-viewer.png`) });
  await tab.keyboard.press("Escape");
  check(!(await tab.$eval("#viewer", (viewer) => viewer.open)), `${page} closes the image`);
  await tab.close();
}

check(words.length > 0, "pages are given");
for (const page of words) await look(page);
await browser.close();
console.log(`${words.length} pages looked at`);
process.exit(failures === 0 ? 0 : 1);
