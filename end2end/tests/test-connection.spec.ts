// Test Connection, through real proxies to a real target.
import { type Page } from "@playwright/test";

import { PASSWORD, SLOW, USER } from "../support/parts";
import { expect, open, ready, test } from "./fixtures";
import { basic, caPem, cell, expectFieldError, host, LIST, name, NEW, openMore, optional, password, port, result, row, save, stage, testConnection, username } from "./ui";

const STAGES = ["resolve", "connect", "proxy_tls", "proxy_handshake", "target_tls", "target_http"];

async function fill(page: Page, proxyPort: number, ca: string) {
  await host(page).fill("127.0.0.1");
  await port(page).fill(String(proxyPort));
  await openMore(page);
  await caPem(page).fill(ca);
}

async function expectStages(page: Page, states: string[]) {
  for (const [at, called] of STAGES.entries()) await expect(stage(page, called)).toHaveAttribute("data-status", states[at] ?? "");
}

const PASSED = ["passed", "passed", "skipped", "passed", "passed", "passed"];

test("through Squid with Basic authentication to an HTTPS target, from a form that is not saved", async ({ page, api, parts, js }) => {
  await open(page, NEW);
  await name(page).fill("Squid");
  await fill(page, parts.basicProxy, parts.ca);
  await basic(page).check();
  await username(page).fill(USER);
  await password(page).fill(PASSWORD);
  await testConnection(page).click();

  await expect(result(page)).toHaveAttribute("data-ok", "true");
  await expect(result(page)).toContainText("The connection works");
  await expectStages(page, PASSED);
  await expect(stage(page, "proxy_tls")).toContainText("the proxy is spoken to without TLS");
  await expect(stage(page, "proxy_handshake")).toContainText("user name and password sent");
  await expect(stage(page, "target_tls")).toContainText("Example Corp Test CA");
  await expect(stage(page, "connect")).toContainText(/\d+ ms/);
  await expect(result(page)).toContainText(parts.target);
  await expect(result(page)).toContainText("HTTP status 200");
  await expect(result(page).getByRole("definition").filter({ hasText: /^127\.0\.0\.1$/ })).toBeVisible();
  expect(await page.content()).not.toContain(PASSWORD === "secret" ? ">secret<" : PASSWORD);

  // And nothing else is claimed, also not a moment later.
  if (js) await page.waitForLoadState("networkidle");
  await expect(page.locator(".toast-card")).toHaveCount(0);

  // Nothing was saved by that, and nothing typed is lost.
  expect(await api.proxies()).toEqual([]);
  await expect(name(page)).toHaveValue("Squid");
  await expect(username(page)).toHaveValue(USER);
  if (!js) await password(page).fill(PASSWORD);
  await save(page).click();
  await expect(row(page, "Squid")).toBeVisible();
  expect(await api.named("Squid")).toMatchObject({ has_password: true, last_test: null });
});

test("a wrong password, then none", async ({ page, parts }) => {
  await open(page, NEW);
  await fill(page, parts.basicProxy, parts.ca);
  await basic(page).check();
  await username(page).fill(USER);
  await password(page).fill("wrong-password");
  await testConnection(page).click();
  await expect(result(page)).toHaveAttribute("data-ok", "false");
  await expect(result(page)).toContainText("The connection does not work");
  await expect(result(page)).toContainText("does not accept this user name and password");
  await expectStages(page, ["passed", "passed", "skipped", "failed", "skipped", "skipped"]);
  await expect(stage(page, "target_tls")).toContainText("not reached");

  await ready(page);
  await page.getByRole("radio", { name: "Transparent" }).check();
  await testConnection(page).click();
  await expect(result(page)).toContainText("asks for a user name and a password");
  await expect(result(page)).toContainText("Choose Basic as the authentication method");
});

test("nobody listens there", async ({ page, parts }) => {
  await open(page, NEW);
  await fill(page, parts.closedPort, parts.ca);
  await testConnection(page).click();
  await expect(result(page)).toHaveAttribute("data-ok", "false");
  await expect(result(page)).toContainText(`nothing listens on port ${parts.closedPort}`);
  await expect(result(page)).toContainText("Check the port, and that the proxy is running.");
  await expectStages(page, ["passed", "failed", "skipped", "skipped", "skipped", "skipped"]);
});

test("a web server that is no proxy", async ({ page, parts }) => {
  await open(page, NEW);
  await fill(page, parts.webServer, parts.ca);
  await testConnection(page).click();
  await expect(result(page)).toHaveAttribute("data-ok", "false");
  await expect(result(page)).toContainText(/web server, not a proxy/);
  await expectStages(page, ["passed", "passed", "skipped", "failed", "skipped", "skipped"]);
});

test("a target whose authority is not known", async ({ page, parts }) => {
  await open(page, NEW);
  await host(page).fill("127.0.0.1");
  await port(page).fill(String(parts.openProxy));
  await testConnection(page).click();
  await expect(result(page)).toHaveAttribute("data-ok", "false");
  await expect(result(page)).toContainText("Example Corp Test CA");
  await expect(result(page)).toContainText("paste");
  await expectStages(page, ["passed", "passed", "skipped", "passed", "failed", "skipped"]);
});

test("another target", async ({ page, parts }) => {
  await open(page, NEW);
  await fill(page, parts.openProxy, parts.ca);
  await optional(page, "Test target").fill("not a url");
  await testConnection(page).click();
  await expectFieldError(optional(page, "Test target"), /./);
  await expect(optional(page, "Test target")).toHaveValue("not a url");

  await ready(page);
  await optional(page, "Test target").fill(`http://127.0.0.1:${parts.webServer}/`);
  await testConnection(page).click();
  await expect(result(page)).toHaveAttribute("data-ok", "true");
  await expect(result(page)).toContainText("Plain HTTP cannot prove who answered");
  await expect(stage(page, "target_tls")).toHaveAttribute("data-status", "skipped");
});

test("what is wrong with the form is said, and nothing is tested", async ({ page }) => {
  await open(page, NEW);
  await host(page).fill("proxy example");
  await port(page).fill("0");
  await testConnection(page).click();
  await expectFieldError(host(page), /no spaces/);
  await expectFieldError(port(page), /from 1 to 65535/);
  // A test needs no name.
  await expect(name(page)).not.toHaveAttribute("aria-invalid", "true");
  await expect(result(page)).toHaveCount(0);
});

test("the stages are shown as they happen @hydrated", async ({ page, parts }) => {
  await open(page, NEW);
  await fill(page, parts.slowProxy, parts.ca);
  await testConnection(page).click();
  // While the proxy thinks:
  await expect(stage(page, "proxy_handshake")).toHaveAttribute("data-status", "running", { timeout: SLOW });
  await expectStages(page, ["passed", "passed", "skipped", "running", "waiting", "waiting"]);
  await expect(page.getByRole("button", { name: "Cancel test" })).toBeVisible();
  await expect(result(page)).toHaveCount(0);
  // When it has thought:
  await expect(result(page)).toHaveAttribute("data-ok", "true");
  await expectStages(page, PASSED);
});

test("a running test can be cancelled @hydrated", async ({ page, parts }) => {
  await open(page, NEW);
  await fill(page, parts.slowProxy, parts.ca);
  await testConnection(page).click();
  await expect(stage(page, "proxy_handshake")).toHaveAttribute("data-status", "running");
  await page.getByRole("button", { name: "Cancel test" }).click();
  await expect(page.getByText("The test was cancelled.")).toBeVisible();
  await expect(result(page)).toHaveCount(0);
  for (const called of STAGES) await expect(stage(page, called)).not.toHaveAttribute("data-status", "running");
});

test("a saved setting is tested from the list, which keeps the result", async ({ page, api, parts, js }) => {
  await api.create({ name: "Squid", host: "127.0.0.1", port: parts.basicProxy, authentication: "basic", username: USER, password: PASSWORD, ca_pem: parts.ca });
  await api.create({ name: "Dead", host: "127.0.0.1", port: parts.closedPort });
  await open(page, LIST);
  await expect(cell(row(page, "Squid"), "Last test")).toHaveText("never tested");
  for (const [called, ok] of [["Squid", "true"], ["Dead", "false"]] as const) {
    await page.getByRole("button", { name: `Test ${called}`, exact: true }).click();
    await expect(result(page)).toHaveAttribute("data-ok", ok);
    if (js) {
      const drawer = page.getByRole("dialog", { name: "Test Connection" });
      await expect(drawer).toContainText(called);
      await page.keyboard.press("Escape");
      await expect(drawer).toBeHidden();
    } else {
      await expect(page.getByRole("heading", { level: 1 })).toHaveText(`Edit “${called}”`);
      await open(page, LIST);
    }
  }
  // In the list, and still there when the page is loaded again.
  for (let time = 0; time < 2; time++) {
    await expect(cell(row(page, "Squid"), "Last test")).toContainText("ok");
    await expect(cell(row(page, "Squid"), "Last test").getByRole("time")).toHaveText(js ? "just now" : /^\d{4}-\d\d-\d\d \d\d:\d\d UTC$/);
    await expect(cell(row(page, "Dead"), "Last test")).toContainText("failed");
    await expect(cell(row(page, "Dead"), "Last test")).toContainText("nothing listens");
    await open(page, LIST);
  }
});

test("a saved password is used for a test, but not for another place", async ({ page, api, parts }) => {
  const draft = { host: "127.0.0.1", port: parts.basicProxy, authentication: "basic", username: USER, password: PASSWORD, ca_pem: parts.ca };
  const { id } = await api.create({ name: "Squid", ...draft });
  await open(page, `${LIST}/${id}`);
  await testConnection(page).click();
  await expect(result(page)).toHaveAttribute("data-ok", "true");

  await ready(page);
  await port(page).fill(String(parts.webServer));
  await testConnection(page).click();
  await expectFieldError(password(page), /Enter the password again/);
});
