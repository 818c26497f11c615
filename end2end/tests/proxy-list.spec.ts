// The list: columns, search, order, filters, pages, all of it in the address.
import { expect, open, test } from "./fixtures";
import { cell, field, LIST, newProxy, rowNames, rows, row } from "./ui";

const search = (page: import("@playwright/test").Page) => page.getByRole("searchbox", { name: "Search" });
const submit = (page: import("@playwright/test").Page) => page.getByRole("search").getByRole("button", { name: "Search" });

test("shows every column", async ({ page, api, phone }) => {
  await api.create({ name: "Corp-EU", host: "proxy.example.com", port: 3128, authentication: "basic", username: "jo", password: "x", is_default: true });
  await open(page, LIST);
  if (!phone) {
    const heads = ["Proxy Setting Name", "Proxy Address or IP", "Port", "Authentication Method", "Is Default?", "Date Created", "Last test", "Actions"];
    await expect(page.getByRole("columnheader")).toHaveText(heads);
  }
  const only = row(page, "Corp-EU");
  await expect(cell(only, "Proxy Address or IP")).toHaveText("proxy.example.com");
  await expect(cell(only, "Port")).toHaveText("3128");
  await expect(cell(only, "Is Default?")).toHaveText("Yes");
  for (const action of ["Test Corp-EU", "Duplicate Corp-EU", "Corp-EU is the default"]) {
    await expect(only.getByRole("button", { name: action, exact: true })).toBeVisible();
  }
  for (const action of ["Edit Corp-EU", "Delete Corp-EU"]) {
    await expect(only.getByRole("link", { name: action, exact: true })).toBeVisible();
  }
});

test("search, filters and order stand in the address", async ({ page, api, js, phone }) => {
  await api.create({ name: "Alpha", host: "alpha.example.com", port: 3, is_default: true });
  await api.create({ name: "Beta", host: "beta.example.com", port: 1, authentication: "basic", username: "jo", password: "x" });
  await api.create({ name: "Gamma", host: "gamma.other.example", port: 2, scheme: "socks5" });
  await open(page, LIST);
  await expect(rowNames(page)).toHaveText(["Alpha", "Beta", "Gamma"]);

  // Search: name, address or user. In the browser it happens while typing.
  await search(page).fill("example.com");
  if (!js) await submit(page).click();
  await expect(rowNames(page)).toHaveText(["Alpha", "Beta"]);
  await expect(page).toHaveURL(/[?&]q=example\.com/);

  // One filter more.
  await field(page, "Authentication").selectOption({ label: "Basic" });
  if (!js) await submit(page).click();
  await expect(rowNames(page)).toHaveText(["Beta"]);
  await expect(page).toHaveURL(/authentication=basic/);

  // The address alone brings it back.
  await open(page, page.url());
  await expect(rowNames(page)).toHaveText(["Beta"]);
  await expect(search(page)).toHaveValue("example.com");
  await expect(field(page, "Authentication")).toHaveValue("basic");

  // The back button takes the filter away, and the field with it.
  await field(page, "Authentication").selectOption({ label: "All" });
  if (!js) await submit(page).click();
  await expect(rowNames(page)).toHaveText(["Alpha", "Beta"]);
  await page.goBack();
  await expect(rowNames(page)).toHaveText(["Beta"]);
  await expect(field(page, "Authentication")).toHaveValue("basic");
  await page.goForward();
  await expect(rowNames(page)).toHaveText(["Alpha", "Beta"]);

  await page.getByRole("link", { name: "Clear filters" }).click();
  await expect(rowNames(page)).toHaveText(["Alpha", "Beta", "Gamma"]);
  await expect(search(page)).toHaveValue("");

  await field(page, "Proxy protocol").selectOption({ label: "SOCKS5" });
  if (!js) await submit(page).click();
  await expect(rowNames(page)).toHaveText(["Gamma"]);
  await page.getByRole("link", { name: "Clear filters" }).click();
  await expect(rowNames(page)).toHaveCount(3);
  await field(page, "Default").selectOption({ label: "Only the default" });
  if (!js) await submit(page).click();
  await expect(rowNames(page)).toHaveText(["Alpha"]);
  await page.getByRole("link", { name: "Clear filters" }).click();
  await expect(rowNames(page)).toHaveCount(3);

  // Order: by the column's head, or by a list where there are no heads.
  if (phone) {
    await field(page, "Sort by").selectOption({ label: "Port, highest first" });
    if (!js) await submit(page).click();
  } else {
    const port = page.getByRole("columnheader", { name: "Port" });
    await port.getByRole("link").click();
    await expect(port).toHaveAttribute("aria-sort", "ascending");
    await expect(rowNames(page)).toHaveText(["Beta", "Gamma", "Alpha"]);
    await port.getByRole("link").click();
    await expect(port).toHaveAttribute("aria-sort", "descending");
  }
  await expect(rowNames(page)).toHaveText(["Alpha", "Gamma", "Beta"]);
  await expect(page).toHaveURL(/sort=-port/);
  await page.reload();
  await expect(rowNames(page)).toHaveText(["Alpha", "Gamma", "Beta"]);
});

test("nothing yet is not the same as no matches", async ({ page, api }) => {
  await open(page, LIST);
  await expect(page.getByRole("heading", { name: "No proxy settings yet" })).toBeVisible();
  await expect(page.getByRole("heading", { name: "No matches" })).toHaveCount(0);

  await api.create({ name: "Alpha" });
  await open(page, `${LIST}?q=nothing+is+called+so`);
  await expect(page.getByRole("heading", { name: "No matches" })).toBeVisible();
  await expect(page.getByRole("heading", { name: "No proxy settings yet" })).toHaveCount(0);
  await expect(newProxy(page)).toBeVisible();
  await page.getByRole("main").getByRole("link", { name: "Clear filters" }).last().click();
  await expect(rowNames(page)).toHaveText(["Alpha"]);
});

test("a search for what means something elsewhere is a search for it", async ({ page, api, js }) => {
  await api.create({ name: "100% <b>&amp; \"quoted\" + 'single' \\ 東京" });
  await api.create({ name: "Other" });
  await open(page, LIST);
  for (const text of ["100%", "%41", "<b>", "&amp;", "+ '", "\\", "東京"]) {
    await search(page).fill(text);
    if (!js) await submit(page).click();
    await expect(page).toHaveURL((url) => url.searchParams.get("q") === text);
    if (text === "%41") await expect(page.getByRole("heading", { name: "No matches" })).toBeVisible();
    else await expect(rowNames(page)).toHaveText(["100% <b>&amp; \"quoted\" + 'single' \\ 東京"]);
  }
});

test("an address that is not understood is said, and costs nothing else", async ({ page, api }) => {
  await api.create({ name: "Alpha" });
  await api.create({ name: "Beta" });
  await open(page, `${LIST}?q=alpha&sort=size&scheme=ftp`);
  await expect(page.getByText("A part of this address was not understood and is left out")).toBeVisible();
  await expect(rowNames(page)).toHaveText(["Alpha"]);
});

test("an address of a page that is no more leads to the first", async ({ page, api }) => {
  await api.create({ name: "Alpha" });
  await open(page, `${LIST}?q=alpha&cursor=nonsense`);
  await expect(page.getByText("This page of the list is not there any more.")).toBeVisible();
  await page.getByRole("link", { name: "Show the first page" }).click();
  await expect(rowNames(page)).toHaveText(["Alpha"]);
});

test("more than fifty come in pages", async ({ page, api }) => {
  const called = Array.from({ length: 61 }, (_, n) => `Proxy ${String(n + 1).padStart(2, "0")}`);
  for (let at = 0; at < called.length; at += 10) await Promise.all(called.slice(at, at + 10).map((name) => api.create({ name })));
  await open(page, LIST);
  await expect(rowNames(page)).toHaveText(called.slice(0, 50));
  const pages = page.getByRole("navigation", { name: "Pages" });
  await pages.getByRole("link", { name: "Next" }).click();
  await expect(rowNames(page)).toHaveText(called.slice(50));
  await expect(page).toHaveURL(/cursor=/);
  await page.reload();
  await expect(rowNames(page)).toHaveText(called.slice(50));
  await page.goBack();
  await expect(rowNames(page)).toHaveText(called.slice(0, 50));
  await page.goForward();
  await expect(rowNames(page)).toHaveText(called.slice(50));
  await pages.getByRole("link", { name: "First page" }).click();
  await expect(rowNames(page)).toHaveText(called.slice(0, 50));

  // A search starts at the first page.
  await open(page, `${LIST}?q=proxy+6`);
  await expect(rows(page)).toHaveCount(2);
});
