// The whole way with the keyboard alone.
import { type Locator, type Page } from "@playwright/test";

import { EMAIL, PASSWORD } from "../support/server";
import { expect, open, ready, test } from "./fixtures";
import { basic, cell, host, LIST, makeDefault, message, name, NEW, password, port, row, rows, save, username } from "./ui";

/** Presses Tab until this has the focus, and looks whether a person could see where it is on the way. */
async function tabTo(page: Page, goal: Locator, { back = false } = {}) {
  await expect(goal).toBeVisible();
  for (let pressed = 0; pressed < 60; pressed++) {
    if (await goal.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press(back ? "Shift+Tab" : "Tab");
    await expectFocusSeen(page);
  }
  throw new Error(`the Tab key does not lead to ${goal}`);
}

/** What has the focus is on the screen, not covered, and marked. */
async function expectFocusSeen(page: Page) {
  const wrong = () => page.evaluate(() => {
    const element = document.activeElement;
    if (!element || element === document.body) return [];
    const box = element.getBoundingClientRect();
    const style = getComputedStyle(element);
    // Some controls are marked by what is around or beside them.
    const marks = [element, element.parentElement, element.closest(".input, .select, .textarea")].filter((e) => e !== null);
    const marked = marks.some((mark) => {
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(mark);
      return (outlineStyle !== "none" && parseFloat(outlineWidth) >= 1) || (mark === element && boxShadow !== "none");
    });
    const inside = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    const [x, y] = [Math.min(Math.max(box.left + box.width / 2, 0), innerWidth - 1), Math.min(Math.max(box.top + box.height / 2, 0), innerHeight - 1)];
    const top = document.elementFromPoint(x, y);
    const covered = !!top && !element.contains(top) && !top.contains(element) && !element.closest("label")?.contains(top);
    const checks = Object.entries({
      "is not marked": !marked,
      "is off the screen": !inside,
      [`is covered by ${top?.outerHTML.slice(0, 200)}`]: covered,
      "is invisible": style.visibility !== "visible" || box.width <= 1,
    });
    return checks.filter(([, is]) => is).map(([why]) => `${element.outerHTML.slice(0, 200)} ${why}`);
  });
  await expect.poll(wrong, { message: "where the focus is can be seen", timeout: 1_000 }).toEqual([]);
}

test.describe("with the keyboard alone @once", () => {
  test.use({ signedIn: false });

  test("sign in, make, find and delete a setting @hydrated", async ({ page, api }) => {
    // Every page is tabbed through from its start.
    test.setTimeout(120_000);
    const keyboard = page.keyboard;
    await open(page, "/sign-in");
    await expect(page.getByLabel("E-mail address")).toBeFocused();
    await keyboard.type(EMAIL);
    await tabTo(page, page.getByLabel("Password", { exact: true }));
    await keyboard.type(PASSWORD);
    await keyboard.press("Enter");
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Proxy Settings");
    await ready(page);

    await tabTo(page, page.getByRole("link", { name: "+ NEW proxy setting" }));
    await keyboard.press("Enter");
    await expect(page).toHaveURL(NEW);
    await ready(page);
    await tabTo(page, name(page));
    await keyboard.type("Keyboard");
    await tabTo(page, host(page));
    await keyboard.type("proxy.example.com");
    await tabTo(page, port(page));
    await keyboard.type("3128");
    await tabTo(page, page.getByRole("radio", { name: "Transparent" }));
    await keyboard.press("ArrowDown");
    await expect(basic(page)).toBeChecked();
    await tabTo(page, username(page));
    await keyboard.type("jo");
    await tabTo(page, password(page));
    await keyboard.type("secret");
    await tabTo(page, makeDefault(page));
    await keyboard.press("Space");
    await tabTo(page, page.locator("summary", { hasText: "More" }));
    await keyboard.press("Enter");
    await tabTo(page, page.getByLabel("Timeout in seconds"));
    await keyboard.press("Control+A");
    await keyboard.type("15");
    await tabTo(page, save(page));
    await keyboard.press("Enter");
    await expect(message(page, "The proxy setting was created.")).toBeVisible();
    await expect(cell(row(page, "Keyboard"), "Is Default?")).toHaveText("Yes");
    expect(await api.named("Keyboard")).toMatchObject({ username: "jo", has_password: true, is_default: true, timeout_s: 15 });

    // Enter in a field saves too.
    await api.create({ name: "Second" });
    await tabTo(page, row(page, "Keyboard").getByRole("link", { name: "Edit Keyboard" }));
    await keyboard.press("Enter");
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Edit “Keyboard”");
    await ready(page);
    await tabTo(page, port(page));
    await keyboard.press("Control+A");
    await keyboard.type("8080");
    // Another place: the stored password was not entered for it.
    await tabTo(page, password(page));
    await keyboard.type("secret");
    await keyboard.press("Enter");
    await expect(message(page, "Your changes are saved.")).toBeVisible();
    await expect(cell(row(page, "Keyboard"), "Port")).toHaveText("8080");

    await keyboard.press("/");
    await expect(page.getByRole("searchbox", { name: "Search" })).toBeFocused();
    // It is a letter like any other there.
    await keyboard.type("second/");
    await expect(page.getByRole("searchbox", { name: "Search" })).toHaveValue("second/");
    await keyboard.press("Backspace");
    await expect(rows(page)).toHaveCount(1);
    await tabTo(page, page.getByRole("link", { name: "Delete Second" }));
    await keyboard.press("Enter");
    const dialog = page.getByRole("alertdialog", { name: "Delete “Second”?" });
    await expect(dialog.getByRole("button", { name: "Cancel" })).toBeFocused();
    await keyboard.press("Tab");
    await expect(dialog.getByRole("button", { name: "Delete" })).toBeFocused();
    await keyboard.press("Enter");
    await expect(message(page, "“Second” was deleted.")).toBeVisible();
    await expect(page.getByRole("heading", { name: "No matches" })).toBeVisible();
    expect(await api.named("Second")).toBeUndefined();
  });
});

test.describe("keys @once", () => {
  test("the skip link comes first and leads past the navigation", async ({ page, api }) => {
    await api.create({ name: "Only" });
    await open(page, LIST);
    await page.keyboard.press("Tab");
    const skip = page.getByRole("link", { name: "Skip to content" });
    await expect(skip).toBeFocused();
    await expect(skip).toBeInViewport();
    await page.keyboard.press("Enter");
    await page.keyboard.press("Tab");
    const focused = page.locator(":focus");
    await expect(focused).toHaveCount(1);
    const inside = await focused.evaluate((element) => (element.closest("main") ? "in the content" : element.outerHTML));
    expect(inside, "where the next Tab leads").toBe("in the content");
  });

  test("Esc closes the person's menu and gives the focus back", async ({ page }) => {
    await open(page, LIST);
    const avatar = page.getByRole("button", { name: /^Your account/ });
    await tabTo(page, avatar);
    await page.keyboard.press("Enter");
    await expect(page.getByRole("button", { name: "Sign out" })).toBeVisible();
    await page.keyboard.press("Tab");
    await expect(page.getByRole("link", { name: "Sign-in and security" })).toBeFocused();
    await page.keyboard.press("Escape");
    await expect(page.getByRole("button", { name: "Sign out" })).toBeHidden();
    await expect(avatar).toBeFocused();
  });

  test("Tab reaches every action of a row, and no two things share a name", async ({ page, api }) => {
    await api.create({ name: "One" });
    await api.create({ name: "Two" });
    await open(page, LIST);
    for (const action of ["Test One", "Edit One", "Duplicate One", "Make One the default", "Delete One", "Test Two", "Delete Two"]) {
      await tabTo(page, row(page, action.includes("One") ? "One" : "Two").getByLabel(action, { exact: true }));
    }
  });

  test("a slash does not reach the search from behind a dialog @hydrated", async ({ page, api }) => {
    await api.create({ name: "One" });
    await open(page, LIST);
    await page.getByRole("link", { name: "Delete One" }).click();
    await page.keyboard.press("/");
    await expect(page.getByRole("alertdialog").getByRole("button", { name: "Cancel" })).toBeFocused();
  });
});
