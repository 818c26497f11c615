// Set-up, signing in and out.
import { type Page } from "@playwright/test";

import { EMAIL, PASSWORD } from "../support/server";
import { expect, open, ready, test } from "./fixtures";
import { expectFieldError, LIST, message } from "./ui";

const button = (page: Page, called: string) => page.getByRole("button", { name: called, exact: true });
const password = (page: Page) => page.getByLabel("Password", { exact: true });
const email = (page: Page) => page.getByLabel("E-mail address", { exact: true });

async function signIn(page: Page, as: string, using: string) {
  await email(page).fill(as);
  await password(page).fill(using);
  await button(page, "Sign in").click();
}

test.use({ signedIn: false });

test.describe("set-up", () => {
  test("the printed link makes the company and its first administrator, once", async ({ page, emptyServer, js, watch }) => {
    // Nobody can sign in yet: the page says what to do instead.
    await open(page, `${emptyServer.url}/sign-in`);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Set up Gatehouse first");
    await expect(page.getByText("set-up link", { exact: true })).toBeVisible();

    const link = await emptyServer.setUpLink();
    await open(page, link);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Set up Gatehouse");
    const company = page.getByLabel("Company name");
    const person = page.getByLabel("Your name");
    const address = page.getByLabel("Your e-mail address");

    // What is wrong stands beside its field; what was right stays.
    await company.fill("Zürcher Käse & Söhne");
    await person.fill("Grace Hopper");
    await address.fill("grace@");
    await password(page).fill("short");
    await button(page, "Set up and sign in").click();
    await expectFieldError(address, /Enter an e-mail address, like name@example.com/);
    await expectFieldError(password(page), /Use at least \d+ characters/);
    await expect(company).toHaveValue("Zürcher Käse & Söhne");
    await expect(person).toHaveValue("Grace Hopper");
    await expect(address).toHaveValue("grace@");
    await expect(company).not.toHaveAttribute("aria-invalid", "true");
    // A password never comes back from the server.
    await expect(password(page)).toHaveValue(js ? "short" : "");
    if (js) await expect(address).toBeFocused();

    await address.fill("grace@example.com");
    await password(page).fill("a long enough password");
    await button(page, "Set up and sign in").click();
    await expect(page).toHaveURL(new RegExp(`${LIST}(\\?flash=welcome)?$`));
    await expect(message(page, "Everything is set up. Welcome to Gatehouse.")).toBeVisible();
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Proxy Settings");
    await page.getByRole("button", { name: "Your account: Grace Hopper" }).click();
    await expect(page.getByText("Owner at Zürcher Käse & Söhne")).toBeVisible();

    // The link is spent.
    watch.allow(/status of 410/);
    const answer = await page.goto(link);
    expect(answer?.status()).toBe(410);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("This set-up link does not work");
    await expect(page.getByText("This link has been used or has expired.")).toBeVisible();
  });
});

test.describe("sign-in", () => {
  test("leads to where the person wanted to go", async ({ page }) => {
    await open(page, `${LIST}?q=corp&sort=-name`);
    await expect(page).toHaveURL(/\/sign-in\?next=/);
    await signIn(page, EMAIL, PASSWORD);
    await expect(page).toHaveURL(new RegExp(`${LIST}\\?q=corp&sort=-name$`));
    await expect(page.getByRole("searchbox", { name: "Search" })).toHaveValue("corp");
  });

  test("never leads to another site", async ({ page }) => {
    for (const next of ["//evil.example/", "https://evil.example/", "/\\evil.example"]) {
      await page.context().clearCookies();
      await open(page, `/sign-in?next=${encodeURIComponent(next)}`);
      await signIn(page, EMAIL, PASSWORD);
      await expect(page).toHaveURL(new RegExp(`${LIST}$`));
    }
  });

  test("says when it was wrong, keeps the address, and still leads on", async ({ page, ownServer }) => {
    await open(page, `${ownServer.url}/sign-in?next=${encodeURIComponent("/profile/tokens")}`);
    await signIn(page, EMAIL, "not the password");
    const alert = page.getByRole("alert");
    await expect(alert).toContainText("The e-mail address or the password is not right.");
    await expect(email(page)).toHaveValue(EMAIL);
    await expect(password(page)).toHaveValue("");
    // Nothing tells whether the address is known.
    await ready(page);
    await signIn(page, "nobody@example.com", "not the password");
    await expect(alert).toContainText("The e-mail address or the password is not right.");
    await expect(email(page)).toHaveValue("nobody@example.com");
    await ready(page);
    await signIn(page, EMAIL, PASSWORD);
    await expect(page).toHaveURL(/\/profile\/tokens$/);
  });

  test("asks for what is missing @hydrated", async ({ page }) => {
    await open(page, "/sign-in");
    await expect(email(page)).toBeFocused();
    await button(page, "Sign in").click();
    await expectFieldError(email(page), /Enter an e-mail address/);
    await expectFieldError(password(page), "Enter your password.");
    await expect(email(page)).toBeFocused();
    await email(page).fill(EMAIL);
    await expect(email(page)).not.toHaveAttribute("aria-invalid", "true");
  });

  test("shows the password when asked to @hydrated", async ({ page }) => {
    await open(page, "/sign-in");
    await password(page).fill("seen");
    await expect(password(page)).toHaveAttribute("type", "password");
    await button(page, "Show password").click();
    await expect(password(page)).toHaveAttribute("type", "text");
    await expect(button(page, "Show password")).toHaveAttribute("aria-pressed", "true");
    await button(page, "Show password").click();
    await expect(password(page)).toHaveAttribute("type", "password");
  });

  test("what was typed before the page came alive is kept @hydrated", async ({ page }) => {
    // The browser side is held back until something was typed.
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    await page.route(/\.wasm$/, async (route) => {
      await held;
      await route.continue();
    });
    await page.goto("/sign-in", { waitUntil: "domcontentloaded" });
    await email(page).fill(EMAIL);
    await password(page).fill(PASSWORD);
    release();
    await ready(page);
    await expect(email(page)).toHaveValue(EMAIL);
    await expect(password(page)).toHaveValue(PASSWORD);
    await button(page, "Sign in").click();
    await expect(page).toHaveURL(new RegExp(`${LIST}$`));
  });

  test("is refused for a while after ten failures @once", async ({ page, ownServer }) => {
    const path = `${ownServer.url}/sign-in`;
    const post = () => page.request.post(path, { form: { email: EMAIL, password: "wrong", next: "" }, maxRedirects: 0 });
    for (let attempt = 0; attempt < 10; attempt++) expect((await post()).status()).toBe(401);
    const refused = await post();
    expect(refused.status()).toBe(429);

    // Also with the right password: whoever guesses must not learn that it was right.
    await open(page, path);
    await signIn(page, EMAIL, PASSWORD);
    await expect(page.getByRole("alert")).toContainText(/Too many failed sign-ins\. Try again in \d+ seconds\./);
    await expect(email(page)).toHaveValue(EMAIL);
  });

  test("whoever is signed in already is not asked again", async ({ page, session }) => {
    await page.context().addCookies([{ name: "gatehouse_session", value: session, domain: "127.0.0.1", path: "/" }]);
    await page.goto("/sign-in?next=/profile/tokens");
    await expect(page).toHaveURL(/\/profile\/tokens$/);
  });
});

test.describe("sign-out", () => {
  test("ends the session, not only the cookie", async ({ page, ownServer, watch }) => {
    await open(page, `${ownServer.url}/sign-in`);
    await signIn(page, EMAIL, PASSWORD);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Proxy Settings");
    const cookies = await page.context().cookies();
    const session = cookies.find((cookie) => cookie.name === "gatehouse_session");
    expect(session).toMatchObject({ httpOnly: true, sameSite: "Lax" });

    await page.getByRole("button", { name: /^Your account/ }).click();
    await button(page, "Sign out").click();
    await expect(message(page, "You are signed out.")).toBeVisible();
    await expect(page).toHaveURL(/\/sign-in(\?flash=signed-out)?$/);
    expect((await page.context().cookies()).filter((cookie) => cookie.name === "gatehouse_session")).toEqual([]);

    // Whoever kept the cookie has nothing of it.
    watch.allow(/status of 401/);
    await page.context().addCookies(session ? [session] : []);
    await page.goto(`${ownServer.url}${LIST}`);
    await expect(page).toHaveURL(/\/sign-in/);
  });
});
