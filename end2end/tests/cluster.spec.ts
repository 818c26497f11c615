// Two servers with one database: whichever a browser talks to, it shows what was done at the other one, without being loaded anew.
import { Api } from "../support/api";
import { database, EMAIL, Gatehouse } from "../support/server";
import { expect, open, signIn, state, test } from "./fixtures";
import { LIST, row, rowNames } from "./ui";

const INTEGRATIONS = "/incident-responder/integrations";
const CHECKS = "/company/settings/checks";
const ANALYSES = "/incident-responder/analyses";
// A page asks every five seconds.
const SOON = { timeout: 15_000 };

test("what is done at one server appears at the other one @hydrated @once", async ({ anotherContext }) => {
  const shared = await database();
  test.skip(!shared, "there is no SurrealDB server program: make test-server fetches it");
  if (!shared) return;
  test.setTimeout(180_000);
  const one = await Gatehouse.start({ settings: shared.settings });
  const two = await Gatehouse.start({ settings: shared.settings });
  try {
    const api = new Api(one.url, await one.admin("token", "--email", EMAIL));
    // Signed in at the first, used at the second.
    const context = await anotherContext({ baseURL: two.url, storageState: state(await signIn(one.url)) });

    const page = await context.newPage();
    await open(page, LIST);
    await page.evaluate(() => ((window as unknown as { same: boolean }).same = true));
    const corp = await api.create({ name: "Corp-EU", host: "127.0.0.1", port: 9 });
    await expect(rowNames(page)).toHaveText(["Corp-EU"], SOON);
    await api.replace(corp, { name: "Corp-US", is_default: true });
    await expect(rowNames(page)).toHaveText(["Corp-US"], SOON);
    // The result of a test.
    await expect(row(page, "Corp-US")).toContainText("never tested");
    await api.test(corp.id);
    await expect(row(page, "Corp-US")).not.toContainText("never tested", SOON);
    // What is typed and where the focus is stays.
    const search = page.getByRole("searchbox", { name: "Search" });
    await search.focus();
    await api.create({ name: "Lab", host: "127.0.0.1", port: 9 });
    await expect(rowNames(page)).toHaveText(["Corp-US", "Lab"], SOON);
    await expect(search).toBeFocused();
    expect(await page.evaluate(() => (window as unknown as { same?: boolean }).same), "the page was never loaded anew").toBe(true);

    await open(page, INTEGRATIONS);
    await api.integration({ name: "Own", type: "custom_http", api_url: "http://127.0.0.1:9/", proxy: { choice: "none" } });
    await expect(page.getByRole("row", { name: /Own/ }).or(page.getByText("Own", { exact: true })).first()).toBeVisible(SOON);

    // An analysis that another one's user begins.
    await open(page, ANALYSES);
    await api.analyse({ url: "https://look.example.test/" }, 0);
    await expect(page.locator("#analysis-rows")).toContainText("look.example.test", SOON);

    // Rounds of checks, whoever makes them: two of them, and the proxies that can't be reached are down.
    await open(page, CHECKS);
    for (const every_minutes of [5, 10]) {
      const answer = await api.send("PUT", "/checks", { every_minutes });
      expect(answer.status).toBe(200);
      await expect(page.locator("#health-changes")).toContainText(every_minutes === 5 ? /degraded/i : /down/i, { timeout: 30_000 });
    }
    await expect(page.locator("#checks-state")).toContainText("Next round");
  } finally {
    await Promise.all([one.stop(), two.stop()]);
    await shared.stop();
  }
});
