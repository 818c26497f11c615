// Words for what is on the screens, so that tests read like what a person does.
import { expect, type Locator, type Page } from "@playwright/test";

export const LIST = "/company/settings/proxies";
export const NEW = `${LIST}/new`;

/** A text field, select or box of a form, by its label. */
export const field = (page: Page, label: string): Locator => page.locator("main").getByLabel(label, { exact: true });
/** One that may stay empty says so in its label. */
export const optional = (page: Page, label: string): Locator => page.locator("main").getByLabel(`${label} (optional)`, { exact: true });

export const name = (page: Page) => field(page, "Proxy Setting Name");
export const host = (page: Page) => field(page, "Proxy Address or IP");
export const port = (page: Page) => field(page, "Port");
export const basic = (page: Page) => page.getByRole("radio", { name: "Basic" });
export const transparent = (page: Page) => page.getByRole("radio", { name: "Transparent" });
export const username = (page: Page) => field(page, "User name");
export const password = (page: Page) => field(page, "Password");
export const makeDefault = (page: Page) => field(page, "Make default");
export const scheme = (page: Page) => field(page, "Proxy protocol");
export const bypass = (page: Page) => optional(page, "Bypass list");
export const caPem = (page: Page) => optional(page, "CA certificate (PEM)");
export const timeout = (page: Page) => field(page, "Timeout in seconds");
export const fallback = (page: Page) => page.getByLabel("If it can't be reached");

/** The one that people see; Enter presses another one of that name, which nobody does. */
export const save = (page: Page) => page.getByRole("button", { name: "Save", exact: true });
export const testConnection = (page: Page) => page.getByRole("button", { name: "Test Connection" });
export const newProxy = (page: Page) => page.getByRole("link", { name: "+ NEW proxy setting" });

export const rows = (page: Page) => page.getByTestId("proxy-row");
export const row = (page: Page, called: string) => rows(page).filter({ has: page.getByRole("link", { name: called, exact: true }) });
/** A cell of a row, by its column. */
export const cell = (within: Locator, column: string) => within.locator(`[data-label="${column}"]`);
export const rowNames = (page: Page) => rows(page).locator('[data-label="Proxy Setting Name"] > div > a');

/** Opens "More" unless it is open. */
export async function openMore(page: Page): Promise<void> {
  const more = page.locator("details", { has: page.locator("summary", { hasText: "More" }) });
  if ((await more.getAttribute("open")) === null) await more.locator("summary").click();
  await expect(scheme(page)).toBeVisible();
}

export const stage = (page: Page, called: string) => page.getByTestId(`stage-${called}`);
export const result = (page: Page) => page.getByTestId("test-result");

/** The message beside a field, which is said to belong to it. */
export async function expectFieldError(control: Locator, text: string | RegExp): Promise<void> {
  await expect(control).toHaveAttribute("aria-invalid", "true");
  await expect(control).toHaveAccessibleDescription(text);
}

/** A message about what was done. */
export const message = (page: Page, text: string | RegExp) => page.getByRole("status").filter({ hasText: text });

/** Nothing is wider than the screen. */
export async function expectNoSidewaysScroll(page: Page): Promise<void> {
  const { content, screen } = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    return { content: scrollWidth, screen: clientWidth };
  });
  expect(content, `${page.url()} is ${content} px wide on a screen of ${screen}`).toBeLessThanOrEqual(screen);
}
