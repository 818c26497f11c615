// Somebody who may look at everything and change nothing.
import { AxeBuilder } from "@axe-core/playwright";

import { PASSWORD } from "../support/server";
import { expect, open, signIn, state, test } from "./fixtures";
import { ANALYSES, defaultProxy, INTEGRATIONS, virusTotal } from "./responder";
import { LIST, name, NEW, newProxy, openMore, row, save, testConnection } from "./ui";

const AUDITOR = "audrey@example.com";

test("an auditor sees the settings and can't change them", async ({ api, gatehouse, anotherContext, js, watch }) => {
  const { id } = await api.create({ name: "Corp-EU", host: "proxy.example.com", authentication: "basic", username: "jo", password: "x" });
  // Made by the first test of this worker's server.
  await gatehouse.adminWith(PASSWORD, "create", "--email", AUDITOR, "--role", "auditor", "--password-stdin").catch((error: Error) => {
    expect(error.message).toContain("already");
  });
  const context = await anotherContext({ storageState: state(await signIn(gatehouse.url, AUDITOR)) });
  const page = await context.newPage();

  await open(page, LIST);
  await expect(newProxy(page)).toHaveCount(0);
  const only = row(page, "Corp-EU");
  await expect(only.getByRole("button")).toHaveCount(0);
  await expect(only.getByRole("link", { name: "Delete Corp-EU" })).toHaveCount(0);
  await only.getByRole("link", { name: "Look at Corp-EU" }).click();

  await expect(page).toHaveURL(`${LIST}/${id}`);
  await expect(page.getByText("Your role allows looking at settings, not changing or testing them.")).toBeVisible();
  await expect(name(page)).toHaveValue("Corp-EU");
  await expect(name(page)).toBeDisabled();
  await expect(save(page)).toHaveCount(0);
  await expect(testConnection(page)).toHaveCount(0);
  if (js) {
    await openMore(page);
    const { violations } = await new AxeBuilder({ page }).analyze();
    expect(violations).toEqual([]);
  }

  // Nor by another way: what such a page would post is refused.
  watch.allow(/status of 403/);
  for (const [path, form] of [
    [LIST, { intent: "default", id }],
    [`${LIST}/${id}/delete`, {}],
    [NEW, { intent: "save", name: "Mine", host: "h.example", port: "1", authentication: "transparent" }],
  ] as const) {
    const answer = await page.request.post(path, { form, maxRedirects: 0 });
    expect(answer.status(), path).toBe(403);
  }
  expect(await api.named("Corp-EU")).toMatchObject({ is_default: false });
  expect(await api.named("Mine")).toBeUndefined();
});

test("an auditor sees what the Incident Responder does, and starts nothing", async ({ api, parts, gatehouse, anotherContext, js }) => {
  await gatehouse.adminWith(PASSWORD, "create", "--email", AUDITOR, "--role", "auditor", "--password-stdin").catch((error: Error) => {
    expect(error.message).toContain("already");
  });
  await defaultProxy(api, parts);
  const { id } = await virusTotal(api, parts);
  const analysis = await api.analyse({ url: "https://evil.example/audited" });
  const page = await (await anotherContext({ storageState: state(await signIn(gatehouse.url, AUDITOR)) })).newPage();
  const axe = async () => {
    if (js) expect((await new AxeBuilder({ page }).analyze()).violations).toEqual([]);
  };
  await open(page, INTEGRATIONS);
  await expect(page.getByRole("link", { name: "+ NEW integration" })).toHaveCount(0);
  await expect(page.getByRole("button", { name: /VirusTotal/ })).toHaveCount(0);
  await axe();
  await open(page, `${INTEGRATIONS}/${id}`);
  await expect(page.getByText("Your role allows looking at integrations, not changing or testing them.")).toBeVisible();
  await expect(page.getByRole("button", { name: "Test Connection" })).toHaveCount(0);
  await axe();
  await open(page, ANALYSES);
  await expect(page.getByRole("button", { name: "Analyse", exact: true })).toHaveCount(0);
  await open(page, `${ANALYSES}/${analysis.id}`);
  await expect(page.getByTestId("verdict")).toContainText("Malicious");
  await expect(page.getByRole("button", { name: "Analyse again" })).toHaveCount(0);
  await axe();
  await open(page, "/company/settings/checks");
  await expect(save(page)).toHaveCount(0);
  await axe();
});
