// Watches a sweep in headless Chromium: the live page is opened once, early, and must bring itself up to date until
// the sweep ends, ask nobody but this machine, and be the last page, which no longer looks for another, at the end.
//
//   npm install playwright-core     # in a folder of its own; NODE_PATH does not work for modules
//   node live-in-chromium.mjs target/release/smith /tmp/live      # a copy of this file, from that folder
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";

const [smith, out = "."] = process.argv.slice(2);
const port = 38471, address = `http://127.0.0.1:${port}`;
const place = mkdtempSync(join(tmpdir(), "live-"));
mkdirSync(out, { recursive: true });
const problem = "m=64,n=256,k=256,dtype=f32,layout=nt";
const sweep = spawn(
  resolve(smith),
  ["tune", "gemm", "--problem", problem, "--device", "cpu", "--budget", "40s", "--run", join(place, "run"), `--live=${port}`],
  { cwd: place, env: { ...process.env, KERNELSMITH_TUNED: join(place, "tuned") }, stdio: "ignore" },
);
const ended = new Promise((done) => sweep.on("exit", done));
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 1600 } });
const elsewhere = [], errors = [];
let loads = 0;
page.on("request", (r) => r.url().startsWith(address) || elsewhere.push(r.url()));
page.on("pageerror", (e) => errors.push(String(e)));
page.on("load", () => loads++);
const held = async () => (await page.content()).length;
let early = 0;
for (let i = 0; i < 60 && early === 0; i++) {
  await sleep(500);
  early = await page.goto(address).then(held).catch(() => 0);
}
await page.screenshot({ path: join(out, "early.png") });
await ended;
await sleep(3000);
const later = await held(), marks = await page.locator("#live").count();
await page.screenshot({ path: join(out, "later.png") });
await browser.close();
console.log(`${loads} loads, ${early} characters early, ${later} at the end, ${marks === 0 ? "the last page" : "still marked live"}`);
if (loads < 3 || later <= early || marks > 0 || elsewhere.length > 0 || errors.length > 0) {
  console.error({ elsewhere, errors });
  process.exit(1);
}
