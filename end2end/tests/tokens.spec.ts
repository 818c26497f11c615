// API tokens.
import { type Page } from "@playwright/test";

import { expect, open, ready, test } from "./fixtures";
import { cell, expectFieldError, field, message } from "./ui";

const rowOf = (page: Page, called: string) => page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: called, exact: true }) });

test("a token is shown once, works, and stops working when it is revoked", async ({ page, gatehouse, js }, info) => {
  const called = `nightly report ${info.project.name} ${info.repeatEachIndex}`;
  await open(page, "/profile/tokens");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("API tokens");

  await page.getByRole("button", { name: "Create token" }).click();
  await expectFieldError(field(page, "Name"), /Enter a name for the token/);

  await ready(page);
  await field(page, "Name").fill(called);
  await page.getByRole("button", { name: "Create token" }).click();
  await expect(page.getByText("Your new token: copy it now")).toBeVisible();
  const token = await page.getByLabel("New API token").inputValue();
  await expect(cell(rowOf(page, called), "Ends with")).toHaveText(`…${token.slice(-4)}`);
  await expect(cell(rowOf(page, called), "Last used")).toHaveText("never");
  const ask = () => fetch(`${gatehouse.url}/api/v1/proxies`, { headers: { authorization: `Bearer ${token}` } });
  expect((await ask()).status).toBe(200);

  // Shown once.
  await open(page, "/profile/tokens");
  await expect(rowOf(page, called)).toBeVisible();
  await expect(page.getByText("Your new token")).toHaveCount(0);
  expect(await page.content()).not.toContain(token);
  await expect(cell(rowOf(page, called), "Last used")).not.toHaveText("never");

  // A question first, where there is a script to ask it.
  await page.getByRole("button", { name: `Revoke ${called}` }).click();
  if (js) {
    const dialog = page.getByRole("alertdialog", { name: "Revoke this token?" });
    await expect(dialog).toContainText(called);
    await expect(dialog.getByRole("button", { name: "Cancel" })).toBeFocused();
    await page.keyboard.press("Escape");
    await expect(dialog).toBeHidden();
    expect((await ask()).status).toBe(200);
    await page.getByRole("button", { name: `Revoke ${called}` }).click();
    await dialog.getByRole("button", { name: "Revoke token" }).click();
  }
  await expect(message(page, "The API token is revoked. It no longer works.")).toBeVisible();
  await expect(rowOf(page, called)).toHaveCount(0);
  expect((await ask()).status).toBe(401);
});

test("the token can be copied @hydrated", async ({ page }) => {
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await open(page, "/profile/tokens");
  await field(page, "Name").fill("copied");
  await page.getByRole("button", { name: "Create token" }).click();
  await ready(page);
  const token = await page.getByLabel("New API token").inputValue();
  await page.getByRole("button", { name: "Copy" }).click();
  await expect(message(page, "The token is in the clipboard.")).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(token);
});
