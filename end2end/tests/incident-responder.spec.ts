// From a new integration to a verdict, through a real Squid; and the proof of which way it went.
import { type Page } from "@playwright/test";

import { ENGINE_KEY } from "../support/parts";
import { expect, open, ready, test } from "./fixtures";
import { ANALYSES, defaultProxy, INTEGRATIONS, TRAFFIC, virusTotal } from "./responder";
import { cell, field, optional, save, testConnection } from "./ui";

const key = (page: Page) => page.locator("main").getByLabel(/^API key/);
const problem = (page: Page) => page.locator("#problem");
const report = (page: Page) => page.getByTestId("test-result");
const integrationRow = (page: Page, called: string) =>
  page.getByRole("row").filter({ has: page.getByRole("link", { name: called, exact: true }) });

/** Presses a button whose page is posted and shown again; waits until that has happened. */
async function press(page: Page, button: ReturnType<typeof save>, js: boolean) {
  await button.click();
  if (!js) await ready(page);
}

test("from a new integration to a verdict", async ({ page, api, parts, js }) => {
  await defaultProxy(api, parts);
  await open(page, INTEGRATIONS);
  await expect(page.getByText("No integrations yet")).toBeVisible();
  await page.getByRole("link", { name: "+ NEW integration" }).first().click();
  await ready(page);
  await expect(page.getByText("Which service shall be asked?")).toBeVisible();
  await page.getByRole("link", { name: /^VirusTotal/ }).click();
  await ready(page);

  // What it starts with: the service's address, the company's default proxy and what that is now.
  await expect(field(page, "API URL")).toHaveValue("https://www.virustotal.com/api/v3");
  await expect(field(page, "Proxy").locator("option:checked")).toHaveText("Default Proxy (Corp-EU)");
  await field(page, "API URL").fill(parts.engine);
  await optional(page, "Tags").fill("mail, eu");

  // Without a key nothing is asked.
  await press(page, testConnection(page), js);
  await expect(problem(page)).toContainText("Enter the API key.");
  await expect(field(page, "API URL")).toHaveValue(parts.engine);

  // With a wrong one the way is proved, and the key is not.
  await key(page).fill("wrong-key");
  await press(page, testConnection(page), js);
  await expect(report(page)).toHaveAttribute("data-ok", "false");
  await expect(report(page)).toContainText("key");
  await expect(report(page)).toContainText("through Corp-EU");

  await key(page).fill(ENGINE_KEY);
  await press(page, testConnection(page), js);
  await expect(report(page)).toHaveAttribute("data-ok", "true");
  await expect(report(page)).toContainText("through Corp-EU");
  expect(await page.content()).not.toContain(ENGINE_KEY);
  expect(await api.integrations()).toEqual([]);

  if (!js || (await key(page).inputValue()) === "") await key(page).fill(ENGINE_KEY);
  await press(page, save(page), js);
  await expect(integrationRow(page, "VirusTotal")).toBeVisible();
  await expect(cell(integrationRow(page, "VirusTotal"), "Proxy")).toContainText("Default Proxy (Corp-EU)");
  expect(await api.integrations()).toMatchObject([{ has_api_key: true, tags: ["mail", "eu"], proxy: { choice: "default" }, status: "active" }]);

  await open(page, ANALYSES);
  await page.getByLabel("URL, IP address or file hash").fill("https://evil.example/login?token=1");
  await page.getByRole("button", { name: "Analyse", exact: true }).click();
  await page.waitForURL(/analyses\/[0-9a-f-]{36}/);
  await ready(page);
  await expect(page.getByTestId("subject")).toHaveText("https://evil.example/login?token=1");
  await expect(page.getByTestId("verdict")).toContainText("Malicious");
  await expect(page.locator("#analysis")).toContainText("through Corp-EU");
  await expect(page.locator("#analysis")).toContainText("7 of 92");

  // Did it go through the proxy? One search.
  await open(page, `${TRAFFIC}?q=engine.example.test+corp-eu`);
  const records = page.getByRole("row").filter({ hasText: "engine.example.test" });
  await expect(records.first()).toContainText("Corp-EU");
  await expect(page.locator("main")).not.toContainText("token=1");
});

test("what is running is shown as it happens", async ({ page, api, parts }) => {
  await defaultProxy(api, parts);
  await virusTotal(api, parts);
  await open(page, ANALYSES);
  await page.getByLabel("URL, IP address or file hash").fill("https://slow-evil.example/");
  await page.getByRole("button", { name: "Analyse", exact: true }).click();
  await page.waitForURL(/analyses\/[0-9a-f-]{36}/);
  await expect(page.getByText("0 of 1 look-ups done")).toBeVisible();
  // Nothing is pressed for that: it comes by itself, with JavaScript and without.
  await expect(page.getByTestId("verdict")).toContainText("Malicious", { timeout: 15_000 });
  await expect(page.getByText("look-ups done")).toHaveCount(0);
});

test("a dead proxy is named, and that is no verdict", async ({ page, api, parts }) => {
  const dead = await api.create({ name: "Dead end", host: "127.0.0.1", port: parts.closedPort });
  await virusTotal(api, parts, { proxy: { choice: "setting", id: dead.id } });
  const { id } = await api.analyse({ url: "https://fine.example/" });
  await open(page, `${ANALYSES}/${id}`);
  await expect(page.getByTestId("verdict")).not.toContainText("Clean");
  await expect(page.locator("#analysis")).toContainText("Dead end");
  await open(page, `${TRAFFIC}?proxy=${dead.id}&cause=any`);
  await expect(page.getByRole("row").filter({ hasText: "Dead end" }).first()).toBeVisible();
});

test("a reported mail is taken apart", async ({ page, api, parts }) => {
  await defaultProxy(api, parts);
  await virusTotal(api, parts);
  const html = '<p>Sign in: <a href="https://evil.example/steal">https://bank.example/</a></p>';
  const mail = [
    "Received: from out.sender.example ([198.51.100.77]) by mx.corp.example; Sun, 22 Nov 2026 09:00:00 +0000",
    "From: Bank <bank@evil.example>",
    "To: jo@corp.example",
    "Subject: Your account",
    "MIME-Version: 1.0",
    "Content-Type: text/html; charset=utf-8",
    "",
    html,
    "",
  ].join("\r\n");
  await open(page, ANALYSES);
  await page.getByLabel("Or a file or a reported e-mail").setInputFiles({ name: "report.eml", mimeType: "message/rfc822", buffer: Buffer.from(mail) });
  await page.getByRole("button", { name: "Analyse", exact: true }).click();
  await page.waitForURL(/analyses\/[0-9a-f-]{36}/);
  await expect(page.getByTestId("verdict")).toContainText("Malicious");
  await expect(page.locator("main")).toContainText("Links that do not lead where they say");
  await expect(page.locator("main")).toContainText("198.51.100.77");
  await expect(page.locator("main")).toContainText("https://evil.example/steal");
  // What is analysed is never a link.
  await expect(page.locator('main a[href*="evil.example"]')).toHaveCount(0);
});

test("what can't be analysed is said at its field, and what was typed stays", async ({ page, js }) => {
  await open(page, ANALYSES);
  await page.getByLabel("URL, IP address or file hash").fill("not a thing");
  await press(page, page.getByRole("button", { name: "Analyse", exact: true }), js);
  await expect(page.getByLabel("URL, IP address or file hash")).toHaveAttribute("aria-invalid", "true");
  await expect(page.getByLabel("URL, IP address or file hash")).toHaveValue("not a thing");
  await expect(page.getByText("No integration is active, so nobody can be asked")).toBeVisible();
});

test("a list that is searched, and its rows' buttons", async ({ page, api, parts, js }) => {
  await defaultProxy(api, parts);
  await virusTotal(api, parts, { tags: ["mail"] });
  await virusTotal(api, parts, { name: "Lab", proxy: { choice: "none" }, tags: ["lab"] });
  await open(page, `${INTEGRATIONS}?tag=lab`);
  await expect(integrationRow(page, "Lab")).toBeVisible();
  await expect(integrationRow(page, "VirusTotal")).toHaveCount(0);
  await open(page, `${INTEGRATIONS}?q=nothing-like-it`);
  await expect(page.getByText("No matches")).toBeVisible();
  await open(page, INTEGRATIONS);
  await press(page, page.getByRole("button", { name: "Deactivate Lab" }), js);
  await expect(cell(integrationRow(page, "Lab"), "Status")).toContainText("Inactive");
  await press(page, page.getByRole("button", { name: "Duplicate Lab" }), js);
  await expect(integrationRow(page, "Lab (copy)")).toBeVisible();
  await page.getByRole("link", { name: "Delete Lab", exact: true }).click();
  await ready(page);
  await page.getByRole("button", { name: /^Delete/ }).click();
  await ready(page);
  await expect(integrationRow(page, "Lab (copy)")).toBeVisible();
  await expect(integrationRow(page, "Lab")).toHaveCount(0);
});

test("two people change the same integration, and the second loses nothing", async ({ page, api, parts, js }) => {
  await defaultProxy(api, parts);
  const made = await virusTotal(api, parts);
  await open(page, `${INTEGRATIONS}/${made.id}`);
  await optional(page, "Description").fill("Mine");
  await api.send("PUT", `/integrations/${made.id}`, { ...made, description: "Theirs" });
  await press(page, save(page), js);
  await expect(problem(page)).toContainText("Somebody else changed this integration meanwhile");
  await expect(problem(page)).toContainText("Theirs");
  await expect(optional(page, "Description")).toHaveValue("Mine");
  await press(page, page.getByRole("button", { name: "Save over it" }), js);
  await expect(integrationRow(page, "VirusTotal")).toContainText("Mine");
});

test("a proxy that an integration uses is not deleted, and says who uses it", async ({ page, api, parts }) => {
  const proxy = await defaultProxy(api, parts);
  await virusTotal(api, parts);
  await open(page, `/company/settings/proxies/${proxy.id}/delete`);
  await expect(page.locator("main")).toContainText("VirusTotal");
  expect((await api.send("DELETE", `/proxies/${proxy.id}`)).status).toBe(409);
});

test("changing the default says whose traffic moves, and asks", async ({ page, api, parts, js }) => {
  await defaultProxy(api, parts);
  await virusTotal(api, parts);
  await api.create({ name: "Lab", host: "127.0.0.1", port: parts.openProxy });
  await open(page, "/company/settings/proxies");
  await page.getByRole("link", { name: "Make Lab the default" }).click();
  await ready(page);
  await expect(page.locator("main")).toContainText("VirusTotal");
  await expect(page.locator("main")).toContainText("They go through “Corp-EU” now.");
  await press(page, page.getByRole("button", { name: "Make it the default" }), js);
  await page.waitForURL(/settings\/proxies(\?|$)/);
  expect(await api.named("Lab")).toMatchObject({ is_default: true });
});

test("health checks are set, and what changed stands below", async ({ page, api, parts, js }) => {
  const dead = await api.create({ name: "Dead end", host: "127.0.0.1", port: parts.closedPort });
  await open(page, "/company/settings/checks");
  await field(page, "Webhook").fill("no address");
  await press(page, save(page), js);
  await expect(field(page, "Webhook")).toHaveAttribute("aria-invalid", "true");
  await field(page, "Webhook").fill("");
  await field(page, "Test everything").selectOption({ label: "Every hour" });
  await press(page, save(page), js);
  await expect(page.getByText("The health checks are saved.")).toBeVisible();
  await expect(field(page, "Test everything")).toHaveValue("60");
  // The first round is at once.
  await expect
    .poll(async () => ((await (await api.send("GET", `/proxies/${dead.id}`)).json()) as { health: string }).health, { timeout: 20_000 })
    .toBe("degraded");
  await open(page, "/company/settings/checks");
  await expect(page.getByRole("row").filter({ hasText: "Dead end" }).first()).toContainText("Degraded");
  await api.send("PUT", "/checks", {});
});
