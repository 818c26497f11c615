// The frame around the pages: navigation, theme, the person's menu, what is not there.
import { type Page } from "@playwright/test";

import { COMPANY, EMAIL } from "../support/server";
import { expect, open, ready, test } from "./fixtures";
import { expectNoSidewaysScroll, LIST, name, NEW } from "./ui";

const crumbs = (page: Page) => page.getByRole("navigation", { name: "Breadcrumb" }).getByRole("listitem");
const navigation = (page: Page) => page.getByRole("navigation", { name: "Main" });

test("navigation and breadcrumbs say where a page is", async ({ page, api, phone }) => {
  const { id } = await api.create({ name: "Corp-EU" });
  const where = ["Company", "Company Settings", "Proxy Settings"];
  for (const [path, more, title] of [
    [LIST, [], "Proxy Settings · Gatehouse"],
    [NEW, ["New"], "New proxy setting · Gatehouse"],
    [`${LIST}/${id}`, ["Edit"], "Edit a proxy setting · Gatehouse"],
    [`${LIST}/${id}/delete`, ["Delete"], "Delete a proxy setting · Gatehouse"],
  ] as const) {
    await open(page, path);
    await expect(page).toHaveTitle(title);
    await expect(crumbs(page)).toHaveText([...where, ...more]);
    await expect(page.getByRole("heading", { level: 1 })).toHaveCount(1);
    await expect(page.getByRole("main")).toHaveCount(1);
    if (phone) await page.getByRole("button", { name: "Navigation" }).click();
    await expect(navigation(page).getByRole("link", { name: "Proxy Settings" })).toHaveAttribute("aria-current", more.length ? "true" : "page");
  }
  await open(page, NEW);
  await crumbs(page).getByRole("link", { name: "Proxy Settings" }).click();
  await expect(page).toHaveURL(LIST);
  await expect(page).toHaveTitle("Proxy Settings · Gatehouse");
});

test("the first page leads to the proxy settings", async ({ page }) => {
  await page.goto("/");
  await expect(page).toHaveURL(LIST);
  await expect(page.locator(".company-name")).toHaveText(COMPANY);
});

test("the navigation is a drawer on a narrow screen", async ({ page, phone }) => {
  test.skip(!phone, "there is room for it");
  await open(page, NEW);
  const button = page.getByRole("button", { name: "Navigation" });
  await expect(navigation(page)).toBeHidden();
  await button.click();
  await expect(navigation(page)).toBeVisible();
  await page.keyboard.press("Escape");
  await expect(navigation(page)).toBeHidden();
  await expect(button).toBeFocused();
  // A tap beside it closes it too.
  await button.click();
  await expect(navigation(page)).toBeVisible();
  await page.mouse.click(370, 600);
  await expect(navigation(page)).toBeHidden();
  // Following a link does what it says, and the drawer is gone.
  await button.click();
  await navigation(page).getByRole("link", { name: "Proxy Settings" }).click();
  await expect(page).toHaveURL(LIST);
  await expect(navigation(page)).toBeHidden();
});

test("the theme is chosen, kept, and comes with the page itself", async ({ page, js }) => {
  await open(page, `${LIST}?q=a`);
  const html = page.locator("html");
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await expect(html).not.toHaveAttribute("data-theme", /./);
  await expect(page.getByRole("button", { name: "Theme of the system" })).toHaveAttribute("aria-pressed", "true");

  const remembered = page.waitForResponse((response) => new URL(response.url()).pathname === "/theme");
  await page.getByRole("button", { name: "Dark theme" }).click();
  await remembered;
  await expect(html).toHaveAttribute("data-theme", "dark");
  await expect(page.getByRole("button", { name: "Dark theme" })).toHaveAttribute("aria-pressed", "true");
  // It comes back to where it was asked for.
  await expect(page).toHaveURL(`${LIST}?q=a`);
  expect(await background()).not.toBe(light);

  // Not painted in the other one first: it stands in what the server sends.
  const source = await (await page.request.get(LIST)).text();
  expect(source).toMatch(/<html[^>]* data-theme="dark"/);
  await page.reload();
  await expect(html).toHaveAttribute("data-theme", "dark");
  await open(page, "/profile/tokens");
  await expect(html).toHaveAttribute("data-theme", "dark");

  const back = page.waitForResponse((response) => new URL(response.url()).pathname === "/theme");
  await page.getByRole("button", { name: "Theme of the system" }).click();
  await back;
  await expect(html).not.toHaveAttribute("data-theme", /./);
  expect(await background()).toBe(light);
  // The system's, also when that changes.
  await page.emulateMedia({ colorScheme: "dark" });
  expect(await background()).not.toBe(light);

  if (js) {
    // Nothing typed is lost by it.
    await open(page, NEW);
    await name(page).fill("Typed");
    await page.getByRole("button", { name: "Dark theme" }).click();
    await expect(html).toHaveAttribute("data-theme", "dark");
    await expect(name(page)).toHaveValue("Typed");
  }
});

test("the person's menu says who is signed in", async ({ page }) => {
  await open(page, LIST);
  const avatar = page.getByRole("button", { name: /^Your account/ });
  await avatar.click();
  await expect(page.getByText(EMAIL)).toBeVisible();
  await expect(page.getByText(`Owner at ${COMPANY}`)).toBeVisible();
  await page.mouse.click(5, 500);
  await expect(page.getByText(EMAIL)).toBeHidden();
  await avatar.click();
  await page.getByRole("link", { name: "API tokens" }).click();
  await expect(page).toHaveURL("/profile/tokens");
  await expect(page.getByText(EMAIL)).toBeHidden();
});

test("a page that does not exist", async ({ page, watch }) => {
  watch.allow(/status of 404/);
  for (const path of ["/nothing/here", "/company", "/profile/tokens/x"]) {
    const answer = await page.goto(path);
    expect(answer?.status(), path).toBe(404);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Page not found");
  }
  await ready(page);
  await page.getByRole("link", { name: "Go to Proxy Settings" }).click();
  await expect(page).toHaveURL(LIST);
});

test("a page that does not exist, for somebody who is not signed in", async ({ anotherContext, watch }) => {
  watch.allow(/status of 404/);
  const page = await (await anotherContext({ storageState: { cookies: [], origins: [] } })).newPage();
  const answer = await page.goto("/nothing/here");
  expect(answer?.status()).toBe(404);
  await expect(page.getByRole("link", { name: "Go to sign-in" })).toBeVisible();
});

test("nothing is wider than the screen, whatever it is called", async ({ page, api }) => {
  const long = "An-uninterrupted-name-that-goes-on-and-on-".repeat(3).slice(0, 100);
  const label = "a".repeat(63);
  const wide = { host: `${label}.${label}.${label}.example`, authentication: "basic", username: "u".repeat(200), password: "x" };
  const { id } = await api.create({ name: long, is_default: true, ...wide });
  for (const path of [LIST, `${LIST}?q=${long}`, NEW, `${LIST}/${id}`, `${LIST}/${id}/delete`, "/profile/tokens"]) {
    await open(page, path);
    await expectNoSidewaysScroll(page);
  }
});

test("an address that needs somebody to be signed in leads to sign-in", async ({ anotherContext }) => {
  const page = await (await anotherContext({ storageState: { cookies: [], origins: [] } })).newPage();
  for (const path of [LIST, NEW, "/profile/tokens"]) {
    await page.goto(path);
    await expect(page).toHaveURL(/\/sign-in/);
  }
});
