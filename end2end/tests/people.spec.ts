// People, invitations, and the provider's companies.
import { AxeBuilder } from "@axe-core/playwright";
import { type Page } from "@playwright/test";

import { EMAIL, Gatehouse, PASSWORD } from "../support/server";
import { expect, open, ready, signIn, state, test } from "./fixtures";
import { cell, expectFieldError, expectNoSidewaysScroll, field, message, save } from "./ui";

const PEOPLE = "/company/settings/people";
const COMPANIES = "/provider/companies";

const rowOf = (page: Page, called: string) => page.getByRole("row").filter({ has: page.getByRole("rowheader", { name: called }) });

async function axe(page: Page, js: boolean): Promise<void> {
  await expectNoSidewaysScroll(page);
  if (js) expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
}

/** The link that a page shows once. */
const linkOn = (page: Page) => page.getByLabel("Invitation link").inputValue();

async function invite(page: Page, email: string, role: string): Promise<string> {
  await field(page, "E-mail address").fill(email);
  await field(page, "Role").selectOption(role);
  await page.getByRole("button", { name: "Make an invitation link" }).click();
  await expect(page.getByText(`Send this link to ${email}`)).toBeVisible();
  await ready(page);
  return linkOn(page);
}

/** Follows an invitation's link, in a browser of one's own. */
async function accept(page: Page, link: string, called: string): Promise<void> {
  await open(page, link);
  await field(page, "Your name").fill(called);
  await field(page, "Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Accept and sign in" }).click();
  await expect(message(page, "Welcome to Gatehouse.")).toBeVisible();
}

test("somebody is invited, comes, gets another role, and is removed", async ({ ownServer, anotherContext, js, watch }) => {
  // Each screen is also looked at by axe.
  test.setTimeout(180_000);
  watch.allow(/status of (403|410)/);
  const mine = await anotherContext({ baseURL: ownServer.url, storageState: state(await signIn(ownServer.url)) });
  const page = await mine.newPage();
  await open(page, PEOPLE);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("People");
  await expect(page.getByRole("row").filter({ hasText: "you" })).toHaveCount(1);
  await axe(page, js);

  await page.getByRole("button", { name: "Make an invitation link" }).click();
  await expectFieldError(field(page, "E-mail address"), /Enter an e-mail address/);
  await axe(page, js);
  await ready(page);
  const link = await invite(page, "jo@example.com", "auditor");
  expect(link).toMatch(new RegExp(`^${ownServer.url}/invitation/`));
  await expect(page.getByText(`It leads to ${ownServer.url}, because that is where your browser is`)).toBeVisible();
  await axe(page, js);
  await open(page, PEOPLE);
  expect(await page.content()).not.toContain(link);
  await expect(cell(rowOf(page, "jo@example.com"), "Role")).toHaveText("Auditor");

  const theirs = await anotherContext({ baseURL: ownServer.url, storageState: { cookies: [], origins: [] } });
  const jo = await theirs.newPage();
  await open(jo, link);
  await expect(jo.getByRole("heading", { level: 1 })).toHaveText(/^Join /);
  await expect(field(jo, "E-mail address")).toHaveValue("jo@example.com");
  await axe(jo, js);
  await field(jo, "Your name").fill("Jo Doe");
  await field(jo, "Password").fill("short");
  await jo.getByRole("button", { name: "Accept and sign in" }).click();
  await expectFieldError(field(jo, "Password"), /at least 8 characters/);
  await expect(field(jo, "Your name")).toHaveValue("Jo Doe");
  await axe(jo, js);
  await accept(jo, link, "Jo Doe");

  // It has been used.
  await open(page, link);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("This invitation does not work any more");
  await axe(page, js);

  // An auditor sees everybody, and no forms.
  await open(jo, PEOPLE);
  await expect(rowOf(jo, "Jo Doe")).toContainText("you");
  await expect(jo.getByRole("button", { name: "Make an invitation link" })).toHaveCount(0);
  await expect(jo.getByRole("link", { name: /^(Edit|Remove) / })).toHaveCount(0);
  await axe(jo, js);
  await rowOf(jo, "Jo Doe").getByRole("link", { name: "Jo Doe" }).click();
  await expect(jo.getByText("Your role allows looking at people, not changing them.")).toBeVisible();
  await axe(jo, js);

  // Another role, without signing in again.
  await open(page, PEOPLE);
  await page.getByRole("link", { name: "Edit Jo Doe" }).click();
  await ready(page);
  await axe(page, js);
  await field(page, "Role").selectOption("administrator");
  await save(page).click();
  await expect(message(page, "Your changes are saved.")).toBeVisible();
  await open(jo, PEOPLE);
  await expect(jo.getByRole("button", { name: "Make an invitation link" })).toBeVisible();

  // The last owner stays one.
  await page.getByRole("row").filter({ hasText: EMAIL }).getByRole("link", { name: /^Edit / }).click();
  await ready(page);
  await field(page, "Role").selectOption("auditor");
  await save(page).click();
  await expectFieldError(field(page, "Role"), /last owner/);
  await axe(page, js);

  // An invitation is withdrawn after a question.
  await open(page, PEOPLE);
  const second = await invite(page, "kim@example.com", "administrator");
  await page.getByRole("link", { name: "Withdraw the invitation for kim@example.com" }).click();
  await ready(page);
  await axe(page, js);
  await page.getByRole("button", { name: "Withdraw" }).click();
  await expect(message(page, "The invitation is withdrawn. Its link no longer works.")).toBeVisible();
  const gone = await theirs.newPage();
  await open(gone, second);
  await expect(gone.getByRole("heading", { level: 1 })).toHaveText("This invitation does not work any more");

  // Removed, they are out.
  await page.getByRole("link", { name: "Remove Jo Doe" }).click();
  await ready(page);
  await axe(page, js);
  await page.getByRole("button", { name: "Remove" }).click();
  await expect(message(page, /The person was removed/)).toBeVisible();
  await expect(rowOf(page, "Jo Doe")).toHaveCount(0);
  await open(jo, PEOPLE);
  await expect(jo).toHaveURL(/\/sign-in/);
});

test("a provider keeps companies, and sees nothing of theirs", async ({ anotherContext, js, watch }) => {
  test.setTimeout(180_000);
  watch.allow(/status of 403/);
  const server = await Gatehouse.start({ cloud: true });
  try {
    const provide = ["--role", "provider", "--company", "Provider", "--password-stdin"];
    await server.adminWith(PASSWORD, "create", "--email", "pat@provider.example", ...provide);
    const context = await anotherContext({ baseURL: server.url, storageState: state(await signIn(server.url, "pat@provider.example")) });
    const page = await context.newPage();
    await open(page, "/");
    await expect(page).toHaveURL(COMPANIES);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Companies");
    const navigation = page.locator("nav#navigation");
    await expect(navigation.locator("a", { hasText: "Companies" })).toHaveCount(1);
    await expect(navigation.locator("a", { hasText: "Proxy Settings" })).toHaveCount(0);
    await axe(page, js);

    await field(page, "Name").fill("Acme");
    await page.getByRole("button", { name: "Create company" }).click();
    await expect(message(page, "The company was created. Invite its first administrator.")).toBeVisible();
    await ready(page);
    await axe(page, js);
    await field(page, "E-mail address").fill("ann@acme.example");
    await page.getByRole("button", { name: "Make an invitation link" }).click();
    await ready(page);
    const link = await linkOn(page);
    await axe(page, js);
    const theirs = await anotherContext({ baseURL: server.url, storageState: { cookies: [], origins: [] } });
    const ann = await theirs.newPage();
    await accept(ann, link, "Ann");
    await expect(ann).toHaveURL(/\/company\/settings\/proxies/);
    await open(ann, COMPANIES);
    await expect(ann.getByText("Not allowed")).toBeVisible();
    await axe(ann, js);

    await open(page, `${COMPANIES}?q=acm`);
    await expect(rowOf(page, "Acme")).toBeVisible();
    await expect(rowOf(page, "Provider")).toHaveCount(0);
    await rowOf(page, "Acme").getByRole("link", { name: "Acme" }).click();
    await ready(page);
    await expect(page.getByRole("button", { name: "Make an invitation link" })).toHaveCount(0);
    await page.getByRole("button", { name: "Suspend" }).click();
    await expect(message(page, "The company is suspended: nobody of it can sign in.")).toBeVisible();
    await ready(page);
    await axe(page, js);
    await open(ann, "/company/settings/proxies");
    await expect(ann).toHaveURL(/\/sign-in/);
    await page.getByRole("button", { name: "Resume" }).click();
    await expect(message(page, "The company can be used again.")).toBeVisible();
    await ready(page);

    await page.getByRole("link", { name: "Delete…" }).click();
    await ready(page);
    await expect(page.getByText("All of it is deleted for good after 30 days")).toBeVisible();
    await axe(page, js);
    await page.getByRole("button", { name: "Delete the company" }).click();
    await expectFieldError(page.locator("#confirm"), /Type “Acme”/);
    await axe(page, js);
    await ready(page);
    await page.locator("#confirm").fill("Acme");
    await page.getByRole("button", { name: "Delete the company" }).click();
    await expect(message(page, /is deleted when the waiting time is over/)).toBeVisible();
    await expect(page.getByText("Deleting")).toBeVisible();
    await ready(page);
    await axe(page, js);
    await open(page, COMPANIES);
    await expect(cell(rowOf(page, "Acme"), "Status")).toContainText("Deleting");
    await axe(page, js);

    // What companies have is not a provider's.
    await open(page, "/company/settings/proxies");
    await expect(page.getByText("Not allowed")).toBeVisible();
    await axe(page, js);
  } finally {
    await server.stop();
  }
});

test("an invitation's link can be copied @hydrated", async ({ ownServer, anotherContext }) => {
  const context = await anotherContext({ baseURL: ownServer.url, storageState: state(await signIn(ownServer.url)) });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  await open(page, PEOPLE);
  const link = await invite(page, "jo@example.com", "auditor");
  await page.getByRole("button", { name: "Copy" }).click();
  await expect(message(page, "The link is in the clipboard.")).toBeVisible();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(link);
});
