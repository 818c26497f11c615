// Sign-in and security, and the audit log.
import { createHmac } from "node:crypto";

import { AxeBuilder } from "@axe-core/playwright";
import { type Page } from "@playwright/test";

import { EMAIL, PASSWORD } from "../support/server";
import { expect, open, ready, signIn, test } from "./fixtures";
import { cell, expectFieldError, expectNoSidewaysScroll, field, message } from "./ui";

const SECURITY = "/profile/security";
const AUDIT = "/company/settings/audit";
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const OUT = { storageState: { cookies: [], origins: [] } };

const button = (page: Page, called: string) => page.getByRole("button", { name: called, exact: true });

/** Nothing is wrong with what is shown, light and dark. Without JavaScript axe can't look. */
async function look(page: Page, js: boolean) {
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await expectNoSidewaysScroll(page);
    if (!js) continue;
    const { violations } = await new AxeBuilder({ page }).withTags(RULES).analyze();
    expect.soft(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join("\n")}`), colorScheme).toEqual([]);
  }
  await page.emulateMedia({ colorScheme: "light" });
}

/** The one-time password of so many steps from now (RFC 6238). */
function code(base32: string, steps = 0): string {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  let bits = "";
  for (const letter of base32.replace(/\s/g, "")) bits += letters.indexOf(letter).toString(2).padStart(5, "0");
  const secret = Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + steps));
  const hash = createHmac("sha1", secret).update(counter).digest();
  const offset = hash[19] & 15;
  return String((hash.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, "0");
}

test("one-time passwords are turned on, asked for, and turned off", async ({ anotherContext, ownServer, phone, js }) => {
  test.setTimeout(120_000);
  const page = await (await anotherContext(OUT)).newPage();
  const address = (path: string) => `${ownServer.url}${path}`;
  const enter = async () => {
    await open(page, address("/sign-in"));
    await page.getByLabel("E-mail address", { exact: true }).fill(EMAIL);
    await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
    await button(page, "Sign in").click();
  };
  await enter();
  await open(page, address(SECURITY));
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Sign-in and security");
  await look(page, js);
  await field(page, "Your password").fill("wrong");
  await button(page, "Set up one-time passwords").click();
  await expectFieldError(field(page, "Your password"), "This is not your password.");
  await ready(page);
  await field(page, "Your password").fill(PASSWORD);
  await button(page, "Set up one-time passwords").click();
  await expect(page.getByRole("img", { name: "QR code for the authenticator app" })).toBeVisible();
  const secret = await page.getByLabel("Secret for the authenticator app").inputValue();
  expect(page.url()).not.toContain(secret.replace(/ /g, ""));
  await ready(page);
  await look(page, js);
  await page.getByRole("textbox", { name: "One-time password", exact: true }).fill("000000");
  await button(page, "Turn on").click();
  await expectFieldError(page.getByRole("textbox", { name: "One-time password", exact: true }), /not what the app shows/);
  await ready(page);
  await page.getByRole("textbox", { name: "One-time password", exact: true }).fill(code(secret));
  await button(page, "Turn on").click();
  await expect(page.getByText("One-time passwords are on. Keep these recovery codes now")).toBeVisible();
  const codes = (await page.getByLabel("Recovery codes").inputValue()).split("\n");
  expect(codes).toHaveLength(10);
  await ready(page);
  await look(page, js);
  // On paper nothing but the codes.
  await page.emulateMedia({ media: "print" });
  await expect(page.getByRole("heading")).toHaveText(["Recovery codes of Gatehouse"]);
  await expect(page.getByLabel("Recovery codes")).toBeVisible();
  await expect(page.getByRole("link").or(page.getByRole("button"))).toHaveCount(0);
  await page.emulateMedia({ media: null });
  await page.getByRole("link", { name: "I have kept them" }).click();
  await expect(page.getByText("10 recovery codes are left.")).toBeVisible();
  expect(await page.content()).not.toContain(codes[0]);

  await page.context().clearCookies();
  await enter();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("One-time password");
  await expect(page.getByRole("textbox", { name: "One-time password", exact: true })).toBeFocused();
  await ready(page);
  await look(page, js);
  await button(page, "Sign in").click();
  await expectFieldError(page.getByRole("textbox", { name: "One-time password", exact: true }), /^Enter the one-time password\./);
  await ready(page);
  await page.getByRole("textbox", { name: "One-time password", exact: true }).fill(code(secret, 1));
  await button(page, "Sign in").click();
  await expect(page).toHaveURL(/\/company\/settings\/proxies$/);

  await page.context().clearCookies();
  await enter();
  await page.getByText("Use a recovery code instead").click();
  await field(page, "Recovery code").fill(codes[0]);
  await button(page, "Sign in with this code").click();
  await expect(page).toHaveURL(/\/company\/settings\/proxies$/);

  await open(page, address(SECURITY));
  await expect(page.getByText("9 recovery codes are left.")).toBeVisible();
  await page.getByText("Turn off one-time passwords").click();
  await field(page, "Your password").fill(PASSWORD);
  await look(page, js);
  await button(page, "Turn off").click();
  await expect(message(page, "One-time passwords are off.")).toBeVisible();
  expect(phone || (await page.locator("table").isVisible())).toBe(true);
});

test("sessions are shown and ended, and a new password ends the others", async ({ anotherContext, ownServer }) => {
  const page = await (await anotherContext(OUT)).newPage();
  const cookie = (value: string) => ({ name: "gatehouse_session", value, url: ownServer.url, httpOnly: true, sameSite: "Lax" as const });
  await page.context().addCookies([cookie(await signIn(ownServer.url))]);
  const others = [await signIn(ownServer.url), await signIn(ownServer.url), await signIn(ownServer.url)];
  const alive = async (session: string) =>
    (await fetch(`${ownServer.url}/api/v1/sessions`, { headers: { cookie: `gatehouse_session=${session}` } })).status === 200;
  await open(page, `${ownServer.url}${SECURITY}`);
  await expect(page.getByText("This session", { exact: true })).toHaveCount(1);
  const ends = page.getByRole("button", { name: /^End the session of/ });
  await expect(ends).toHaveCount(3);
  await ends.first().click();
  await expect(message(page, /The session is ended/)).toBeVisible();
  await expect(ends).toHaveCount(2);
  expect((await Promise.all(others.map(alive))).filter(Boolean)).toHaveLength(2);
  await button(page, "End all other sessions").click();
  await expect(message(page, "All your other sessions are ended.")).toBeVisible();
  expect((await Promise.all(others.map(alive))).filter(Boolean)).toHaveLength(0);

  const late = await signIn(ownServer.url);
  await ready(page);
  await field(page, "Current password").fill(PASSWORD);
  await field(page, "New password").fill("short");
  await button(page, "Change password").click();
  await expectFieldError(field(page, "New password"), /at least 8 characters/);
  await ready(page);
  await field(page, "Current password").fill(PASSWORD);
  await field(page, "New password").fill("another long password");
  await button(page, "Change password").click();
  await expect(message(page, /Your password is changed/)).toBeVisible();
  expect(await alive(late)).toBe(false);
});

test("the audit log tells who changed what, and finds it", async ({ page, api, js }) => {
  // Each screen is also looked at by axe.
  test.setTimeout(120_000);
  const made = await api.create({ name: "Audited", host: "a.example", port: 3128 });
  expect((await api.send("PUT", `/proxies/${made.id}`, { name: "Audited EU", host: "a.example", port: 3129 })).status).toBe(200);
  await open(page, `${AUDIT}?target=${made.id}`);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Audit Log");
  const rows = page.getByRole("row").filter({ has: page.getByRole("rowheader") });
  await expect(rows).toHaveCount(2);
  const row = rows.first();
  await expect(row.getByRole("rowheader")).toContainText("Change a proxy setting");
  await expect(cell(row, "Who")).toContainText(EMAIL);
  await expect(cell(row, "To what")).toContainText("Audited EU");
  await expect(cell(row, "From where")).toContainText("API token");
  await row.getByText("Details").click();
  await expect(row.getByRole("rowheader")).toContainText(/Port: 3128 → 3129/);
  await look(page, js);

  await open(page, AUDIT);
  await look(page, js);
  await field(page, "Search").fill("audited create");
  if (!js) await button(page, "Search").click();
  await expect(page).toHaveURL(/q=audited/);
  await expect(page.getByRole("link", { name: "Export JSON lines" })).toHaveAttribute("href", /audit\.jsonl\?q=audited/);
  await field(page, "Search").fill("nothing like that");
  if (!js) await button(page, "Search").click();
  await expect(page.getByText("No matches")).toBeVisible();
  await look(page, js);
});
