// Every state of every page, light and dark: axe finds nothing, nothing is wider than the screen, and a picture is taken.
import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { AxeBuilder } from "@axe-core/playwright";
import { type Page } from "@playwright/test";

import { PASSWORD as PROXY_PASSWORD, USER } from "../support/parts";
import { EMAIL, PASSWORD } from "../support/server";
import { expect, open, ready, test as base } from "./fixtures";
import { ANALYSES, defaultProxy, INTEGRATIONS, TRAFFIC, virusTotal } from "./responder";
import {
  basic, bypass, caPem, expectNoSidewaysScroll, field, host, LIST, name, NEW, openMore, password, port, result, row, save, scheme, stage,
  testConnection, timeout, username,
} from "./ui";

const PICTURES = join(__dirname, "..", "screenshots");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
// Between the themes nothing but colours changes.
const COLOURS = ["color-contrast", "link-in-text-block"];

const test = base.extend<{ look: (page: Page, state: string) => Promise<void> }>({
  look: async ({ phone }, use) => {
    mkdirSync(PICTURES, { recursive: true });
    await use(async (page, state) => {
      for (const colorScheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme });
        await expectNoSidewaysScroll(page);
        const axe = new AxeBuilder({ page });
        const { violations } = await (colorScheme === "light" ? axe.withTags(RULES) : axe.withRules(COLOURS)).analyze();
        const found = violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map((n) => `  ${n.html}\n  ${n.failureSummary}`).join("\n")}`);
        expect.soft(found, `${state}, ${colorScheme}`).toEqual([]);
        const path = join(PICTURES, `${state}-${phone ? 390 : 1280}-${colorScheme}.png`);
        // What lies over the page is looked at as a person sees it.
        const over = (await page.locator("dialog[open], :popover-open").count()) > 0;
        await page.screenshot({ path, fullPage: !over });
      }
      await page.emulateMedia({ colorScheme: "light" });
    });
  },
});

// Many pictures are taken; a recording beside them costs more than it tells.
test.use({ trace: "off" });

/** A company's list as it could be after a while. */
async function furnish(api: import("../support/api").Api, parts: import("../support/parts").Parts) {
  const local = { host: "127.0.0.1", ca_pem: parts.ca };
  const basic = { authentication: "basic", username: USER };
  const made = [
    await api.create({ name: "Frankfurt, head office", ...local, port: parts.basicProxy, ...basic, password: PROXY_PASSWORD, is_default: true }),
    await api.create({ name: "Lab", ...local, port: parts.openProxy }),
    await api.create({ name: "New York", ...local, port: parts.basicProxy, ...basic, password: "an old one" }),
    await api.create({ name: "Singapore", ...local, port: parts.closedPort }),
  ];
  for (const { id } of made) await api.test(id);
  await api.create({ name: "Stockholm", host: "proxy.sto.example.com", port: 3129, scheme: "https", ...basic, password: "x" });
  await api.create({ name: "Tokyo 東京", host: "socks.tyo.example.com", port: 1080, scheme: "socks5h" });
}

// Each look costs seconds, and a machine that CI shares several times as many.
test.describe.configure({ timeout: 180_000 });

test.describe("looks @hydrated", () => {
  test("coming in", async ({ page, anotherContext, ownServer, look }) => {
    const out = { storageState: { cookies: [], origins: [] } };
    const visitor = await (await anotherContext(out)).newPage();
    await open(visitor, "/sign-in");
    await look(visitor, "sign-in");
    await visitor.getByRole("button", { name: "Sign in" }).click();
    await look(visitor, "sign-in-missing");
    await open(visitor, `${ownServer.url}/sign-in`);
    await visitor.getByLabel("E-mail address").fill(EMAIL);
    await visitor.getByLabel("Password", { exact: true }).fill("wrong");
    await visitor.getByRole("button", { name: "Sign in" }).click();
    await expect(visitor.getByRole("alert")).toBeVisible();
    await ready(visitor);
    await look(visitor, "sign-in-wrong");
    await page.close();
  });

  test("set-up", async ({ page, emptyServer, look, watch }) => {
    watch.allow(/status of 410/);
    await open(page, `${emptyServer.url}/sign-in`);
    await look(page, "set-up-needed");
    await open(page, await emptyServer.setUpLink());
    await look(page, "set-up");
    await page.getByLabel("Your e-mail address").fill("grace@");
    await page.getByRole("button", { name: "Set up and sign in" }).click();
    await look(page, "set-up-errors");
    await open(page, `${emptyServer.url}/setup/nonsense`);
    await look(page, "set-up-link-spent");
  });

  test("the list", async ({ page, api, parts, look }) => {
    await open(page, LIST);
    await look(page, "list-empty");
    await furnish(api, parts);
    await open(page, LIST);
    await expect(row(page, "Singapore")).toContainText("failed");
    await look(page, "list");
    await open(page, `${LIST}?q=nothing&authentication=basic`);
    await look(page, "list-no-matches");
    await open(page, `${LIST}?sort=size`);
    await look(page, "list-address-not-understood");
    await open(page, LIST);
    await page.getByRole("button", { name: "Make Lab the default" }).click();
    await expect(page.getByText("is the default proxy now")).toBeVisible();
    await look(page, "list-toast");
  });

  test("integrations", async ({ page, api, parts, look }) => {
    await open(page, INTEGRATIONS);
    await look(page, "integrations-empty");
    await open(page, `${INTEGRATIONS}/new`);
    await look(page, "integration-types");
    await defaultProxy(api, parts);
    await virusTotal(api, parts, { name: "VirusTotal", description: "Links and files of reported mails", tags: ["mail", "eu"] });
    const failing = await virusTotal(api, parts, { name: "VirusTotal, second key", api_key: "expired", tags: ["mail"] });
    await virusTotal(api, parts, { name: "Lab", proxy: { choice: "none" }, status: "inactive" });
    await api.send("POST", `/integrations/${failing.id}/test`, {});
    await open(page, INTEGRATIONS);
    await look(page, "integrations");
    await open(page, `${INTEGRATIONS}/new?type=virustotal`);
    await look(page, "integration-new");
    await page.getByRole("button", { name: "Test Connection" }).click();
    await expect(page.locator("#problem")).toBeVisible();
    await look(page, "integration-errors");
    await open(page, `${INTEGRATIONS}/${failing.id}`);
    await page.getByRole("button", { name: "Test Connection" }).click();
    await expect(page.getByTestId("test-result")).toHaveAttribute("data-ok", "false");
    await look(page, "integration-test-failed");
  });

  test("analyses", async ({ page, api, parts, look }) => {
    await defaultProxy(api, parts);
    await open(page, ANALYSES);
    await look(page, "analyses-nobody-to-ask");
    await virusTotal(api, parts);
    await virusTotal(api, parts, { name: "Second key", api_key: "expired" });
    const bad = await api.analyse({ url: "https://evil.example/account/verify?session=4711" });
    await api.analyse({ ip: "198.51.100.7" });
    await api.analyse({ url: "https://unknown.example/" });
    const running = await api.analyse({ url: "https://slow.example/" }, 0);
    await open(page, `${ANALYSES}/${running.id}`);
    await look(page, "analysis-running");
    await open(page, `${ANALYSES}/${bad.id}`);
    await look(page, "analysis-malicious");
    await open(page, ANALYSES);
    await look(page, "analyses");
  });

  test("health checks, and another default", async ({ page, api, parts, look }) => {
    await open(page, "/company/settings/checks");
    await look(page, "checks");
    await defaultProxy(api, parts);
    await virusTotal(api, parts);
    const lab = await api.create({ name: "Lab", host: "127.0.0.1", port: parts.openProxy });
    await open(page, `${LIST}/${lab.id}/default`);
    await look(page, "make-default");
    await open(page, `${LIST}/${(await api.named("Corp-EU"))?.id}/delete`);
    await look(page, "delete-in-use");
  });

  test("traffic", async ({ page, api, parts, look }) => {
    await defaultProxy(api, parts);
    const dead = await api.create({ name: "Dead end", host: "127.0.0.1", port: parts.closedPort });
    await virusTotal(api, parts);
    await virusTotal(api, parts, { name: "Through the dead end", proxy: { choice: "setting", id: dead.id } });
    await api.analyse({ url: "https://evil.example/" });
    await api.analyse({ ip: "198.51.100.8" });
    await open(page, TRAFFIC);
    await look(page, "traffic");
    await open(page, `${TRAFFIC}?q=nothing-like-it`);
    await look(page, "traffic-no-matches");
  });

  test("what opens over the list", async ({ page, api, parts, look }) => {
    await furnish(api, parts);
    await open(page, LIST);
    await page.getByRole("link", { name: "Delete Frankfurt, head office" }).click();
    await expect(page.getByRole("alertdialog")).toBeVisible();
    await look(page, "delete-dialog");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Test Frankfurt, head office" }).click();
    await expect(result(page)).toHaveAttribute("data-ok", "true");
    await look(page, "list-test-passed");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Test New York" }).click();
    await expect(result(page)).toHaveAttribute("data-ok", "false");
    await look(page, "list-test-failed");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: /^Your account/ }).click();
    await expect(page.getByRole("button", { name: "Sign out" })).toBeVisible();
    await look(page, "person-menu");
  });

  test("the navigation's drawer", async ({ page, phone, look }) => {
    test.skip(!phone, "there is none where there is room");
    await open(page, LIST);
    await page.getByRole("button", { name: "Navigation" }).click();
    await expect(page.getByRole("navigation", { name: "Main" })).toBeVisible();
    await look(page, "drawer");
  });

  test("the form", async ({ page, api, look, anotherContext }) => {
    await open(page, NEW);
    await look(page, "form-new");
    await basic(page).check();
    await openMore(page);
    await look(page, "form-more");
    await port(page).fill("65536");
    await timeout(page).fill("0");
    await bypass(page).fill("not a / host");
    await caPem(page).fill("nonsense");
    await save(page).click();
    await expect(page.getByRole("alert")).toBeVisible();
    await look(page, "form-errors");

    const { id } = await api.create({ name: "Corp-EU", authentication: "basic", username: "jo", password: "x", bypass: ["*.corp.example"] });
    // The page with the errors is left on purpose.
    const other = await (await anotherContext()).newPage();
    await open(other, `${LIST}/${id}`);
    await look(other, "form-edit");
    await host(other).fill("elsewhere.example.com");
    await expect(other.getByText("Enter the password again:")).toBeVisible();
    await look(other, "form-password-again");
    await other.getByRole("navigation", { name: "Breadcrumb" }).getByRole("link", { name: "Proxy Settings" }).click();
    await expect(other.getByRole("alertdialog")).toBeVisible();
    await look(other, "leave-dialog");
  });

  test("somebody else was faster", async ({ page, api, look }) => {
    const made = await api.create({ name: "Corp-EU", bypass: ["*.corp.example"] });
    await open(page, `${LIST}/${made.id}`);
    await api.replace(made, { port: 8080, bypass: [], is_default: true });
    await name(page).fill("Corp Europe");
    await port(page).fill("3129");
    await save(page).click();
    await expect(page.getByText("Somebody else changed this setting meanwhile")).toBeVisible();
    await look(page, "form-conflict");
  });

  test("a test in the form", async ({ page, parts, look }) => {
    await open(page, NEW);
    await name(page).fill("Frankfurt, head office");
    await host(page).fill("127.0.0.1");
    await port(page).fill(String(parts.basicProxy));
    await basic(page).check();
    await username(page).fill(USER);
    await password(page).fill(PROXY_PASSWORD);
    await openMore(page);
    await caPem(page).fill(parts.ca);
    // Folded again: the picture shows the test.
    await page.locator("summary", { hasText: "More" }).click();
    await expect(scheme(page)).toBeHidden();
    await testConnection(page).click();
    await expect(result(page)).toHaveAttribute("data-ok", "true");
    // At the end of the page the bar of buttons lies over nothing: axe counts what it half covers as too small.
    const toTheEnd = () => page.evaluate(() => scrollTo(0, document.body.scrollHeight));
    await toTheEnd();
    await look(page, "test-passed");
    await password(page).fill("wrong");
    await testConnection(page).click();
    await expect(result(page)).toHaveAttribute("data-ok", "false");
    await toTheEnd();
    await look(page, "test-failed");
  });

  test("a test that runs", async ({ page, parts, look }) => {
    // The answer is held back, so that there is time to look.
    await open(page, NEW);
    await host(page).fill("127.0.0.1");
    await port(page).fill(String(parts.silentProxy));
    await openMore(page);
    await timeout(page).fill("60");
    await testConnection(page).click();
    await expect(stage(page, "proxy_handshake")).toHaveAttribute("data-status", "running");
    await look(page, "test-running");
    await page.getByRole("button", { name: "Cancel test" }).click();
    await expect(page.getByText("The test was cancelled.")).toBeVisible();
    await look(page, "test-cancelled");
  });

  test("API tokens", async ({ page, ownServer, look, anotherContext }) => {
    await page.close();
    const visitor = await (await anotherContext({ storageState: { cookies: [], origins: [] } })).newPage();
    await open(visitor, `${ownServer.url}/sign-in?next=/profile/tokens`);
    await visitor.getByLabel("E-mail address").fill(EMAIL);
    await visitor.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await visitor.getByRole("button", { name: "Sign in" }).click();
    await expect(visitor.getByRole("heading", { name: "No tokens yet" })).toBeVisible();
    await ready(visitor);
    await look(visitor, "tokens-empty");
    await field(visitor, "Name").fill("nightly report");
    await visitor.getByRole("button", { name: "Create token" }).click();
    await expect(visitor.getByText("Your new token")).toBeVisible();
    await ready(visitor);
    await look(visitor, "token-shown");
    await visitor.getByRole("button", { name: "Revoke nightly report" }).click();
    await expect(visitor.getByRole("alertdialog")).toBeVisible();
    await look(visitor, "token-revoke");
  });

  test("what is not there, and the page without scripts that asks before deleting", async ({ page, api, look, watch }) => {
    watch.allow(/status of 404/);
    await open(page, "/nothing/here");
    await look(page, "not-found");
    await open(page, `${LIST}/nonsense`);
    await look(page, "setting-not-found");
    const { id } = await api.create({ name: "Doomed", is_default: true });
    await open(page, `${LIST}/${id}/delete`);
    await look(page, "delete-page");
  });

  test("the style guide", async ({ page, look, watch }) => {
    watch.allow(/status of 404/);
    const answer = await page.goto("/styleguide");
    test.skip(answer?.status() === 404, "not in this build");
    // Plain HTML: the browser side is a release build, which does not know it.
    await look(page, "styleguide");
  });
});
