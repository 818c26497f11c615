// Making, changing and deleting a proxy setting.
import { expect, open, ready, test } from "./fixtures";
import {
  basic, bypass, caPem, cell, expectFieldError, fallback, field, host, LIST, makeDefault, message, name, NEW, newProxy, openMore, password,
  port, row, rowNames, rows, save, scheme, timeout, transparent, username,
} from "./ui";

test.describe("new", () => {
  test("from the empty list to the first setting", async ({ page, api }) => {
    await open(page, LIST);
    await expect(page.getByRole("heading", { name: "No proxy settings yet" })).toBeVisible();
    await expect(page.getByText("A proxy is the server that your network lets out to the internet")).toBeVisible();
    await expect(newProxy(page)).toHaveCount(1);
    await newProxy(page).click();
    await expect(page).toHaveURL(NEW);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("New proxy setting");
    await expect(transparent(page)).toBeChecked();

    await name(page).fill("Head office");
    await host(page).fill("proxy.example.com");
    await port(page).fill("3128");
    await save(page).click();
    await expect(message(page, "The proxy setting was created.")).toBeVisible();
    await expect(page).toHaveURL(new RegExp(`${LIST}(\\?flash=created)?$`));

    const made = row(page, "Head office");
    await expect(cell(made, "Proxy Address or IP")).toHaveText("proxy.example.com");
    await expect(cell(made, "Port")).toHaveText("3128");
    await expect(cell(made, "Authentication Method")).toHaveText("Transparent");
    await expect(cell(made, "Is Default?")).toHaveText("No");
    await expect(cell(made, "Date Created")).toHaveText(new Date().toISOString().slice(0, 10));
    await expect(cell(made, "Last test")).toHaveText("never tested");
    expect(await api.named("Head office")).toMatchObject({ scheme: "http", authentication: "transparent", is_default: false });
  });

  test("with user name and password, and as the default", async ({ page, api }) => {
    await open(page, NEW);
    await name(page).fill("Corp-EU");
    await host(page).fill("192.0.2.7");
    await port(page).fill("8080");
    await expect(username(page)).toBeHidden();
    await basic(page).check();
    await expect(username(page)).toBeVisible();
    await username(page).fill("jo");
    await password(page).fill("hunter2 & <more>");
    await makeDefault(page).check();
    await save(page).click();
    const made = row(page, "Corp-EU");
    await expect(cell(made, "Authentication Method")).toContainText("Basic");
    await expect(cell(made, "Authentication Method")).toContainText("jo");
    await expect(cell(made, "Is Default?")).toHaveText("Yes");
    const stored = await api.named("Corp-EU");
    expect(stored).toMatchObject({ authentication: "basic", username: "jo", has_password: true, is_default: true });
    // Nowhere in what the browser gets.
    expect(await page.content()).not.toContain("hunter2");
    await open(page, `${LIST}/${stored?.id}`);
    expect(await page.content()).not.toContain("hunter2");
    await expect(password(page)).toHaveValue("");
    await expect(password(page)).toHaveAttribute("placeholder", /stored; leave empty to keep/);
  });

  test("with every field under More", async ({ page, api, parts }) => {
    await open(page, NEW);
    await name(page).fill("Überall 東京");
    await host(page).fill("proxy.bücher.example");
    await port(page).fill("1080");
    await openMore(page);
    await scheme(page).selectOption({ label: "SOCKS5, names resolved by the proxy" });
    await bypass(page).fill("intranet.example\n*.corp.example\n10.0.0.0/8\nbuild.example:8443");
    await caPem(page).fill(parts.ca);
    await timeout(page).fill("25");
    await save(page).click();
    await expect(cell(row(page, "Überall 東京"), "Proxy Address or IP")).toContainText("proxy.bücher.example");
    await expect(cell(row(page, "Überall 東京"), "Proxy Address or IP")).toContainText("SOCKS5");
    const stored = await api.named("Überall 東京");
    expect(stored).toMatchObject({ host: "proxy.bücher.example", port: 1080, scheme: "socks5h", timeout_s: 25 });
    expect(stored?.bypass).toEqual(["intranet.example", "*.corp.example", "10.0.0.0/8", "build.example:8443"]);
    expect(stored?.ca_pem).toBe(parts.ca);

    // More opens by itself where something in it is set.
    await page.getByRole("link", { name: "Überall 東京", exact: true }).click();
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Edit “Überall 東京”");
    await expect(scheme(page)).toHaveValue("socks5h");
    await expect(bypass(page)).toHaveValue("intranet.example\n*.corp.example\n10.0.0.0/8\nbuild.example:8443");
    await expect(caPem(page)).toHaveValue(parts.ca);
    await expect(timeout(page)).toHaveValue("25");
  });

  test("a whole address in the address field is taken apart when the form is posted @nojs", async ({ page, api }) => {
    await open(page, NEW);
    await name(page).fill("Pasted");
    await host(page).fill("http://user:p%40ss@proxy:3128");
    await save(page).click();
    await expect(row(page, "Pasted")).toBeVisible();
    expect(await api.named("Pasted")).toMatchObject({ host: "proxy", port: 3128, authentication: "basic", username: "user", has_password: true });
  });

  test("a whole address pasted into the address field fills the others @hydrated", async ({ page, api }) => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await open(page, NEW);
    await name(page).fill("Pasted");
    await page.evaluate(() => navigator.clipboard.writeText("http://user:p%40ss@proxy:3128"));
    await host(page).focus();
    await page.keyboard.press("Control+V");
    await expect(host(page)).toHaveValue("proxy");
    await expect(port(page)).toHaveValue("3128");
    await expect(basic(page)).toBeChecked();
    await expect(username(page)).toHaveValue("user");
    await expect(password(page)).toHaveValue("p@ss");
    await expect(message(page, "Filled in from what you entered: Proxy Address or IP, Port, Authentication Method, User name, Password.")).toBeVisible();
    await save(page).click();
    await expect(row(page, "Pasted")).toBeVisible();
    expect(await api.named("Pasted")).toMatchObject({ host: "proxy", port: 3128, authentication: "basic", username: "user", has_password: true });
  });

  test("typed instead of pasted, it is taken apart when the field is left @hydrated", async ({ page }) => {
    await open(page, NEW);
    await host(page).pressSequentially("socks5h://10.1.2.3:1080");
    await host(page).press("Tab");
    await expect(host(page)).toHaveValue("10.1.2.3");
    await expect(port(page)).toHaveValue("1080");
    // It is under More, which has opened.
    await expect(scheme(page)).toHaveValue("socks5h");
    await expect(scheme(page)).toBeVisible();
  });

  test("an ordinary text is pasted as it is @hydrated", async ({ page }) => {
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    await open(page, NEW);
    await page.evaluate(() => navigator.clipboard.writeText("proxy.example.com"));
    await host(page).focus();
    await page.keyboard.press("Control+V");
    await expect(host(page)).toHaveValue("proxy.example.com");
    await expect(port(page)).toHaveValue("");
  });
});

test("a second proxy for when the first can't be reached, which is in use then", async ({ page, api, js }) => {
  const second = await api.create({ name: "Corp-US" });
  await open(page, NEW);
  await name(page).fill("Corp-EU");
  await host(page).fill("proxy.example.com");
  await port(page).fill("3128");
  await openMore(page);
  await fallback(page).selectOption({ label: "Try Corp-US" });
  await save(page).click();
  await expect(message(page, "The proxy setting was created.")).toBeVisible();
  expect(await api.named("Corp-EU")).toMatchObject({ fallback: second.id });

  // The second one says who needs it, and leads there.
  await open(page, `${LIST}/${second.id}`);
  await expect(page.locator("#proxy-about")).toContainText("Corp-EU (falls back to it)");
  await page.locator("#proxy-about").getByRole("link", { name: "Corp-EU" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toContainText("Corp-EU");
  await expect(fallback(page)).toBeVisible();
  await expect(fallback(page)).toHaveValue(second.id);
  // It is no choice of its own.
  await expect(fallback(page).getByRole("option")).toHaveText(["The request fails", "Try Corp-US"]);
  await fallback(page).selectOption({ label: "The request fails" });
  if (js) await expect(page.getByText("Unsaved changes")).toBeVisible();
  await save(page).click();
  await expect(message(page, "Your changes are saved.")).toBeVisible();
  expect(await api.named("Corp-EU")).toMatchObject({ fallback: null });
  expect(await api.named("Corp-US")).toMatchObject({ used_by: [] });
});

test.describe("what is wrong stands beside its field, and what was typed stays", () => {
  test("everything empty", async ({ page, api }) => {
    await open(page, NEW);
    await save(page).click();
    await expect(page.getByRole("alert")).toContainText("3 fields need another look");
    await expectFieldError(name(page), /Enter a name/);
    await expectFieldError(host(page), /Enter a host name or an IP address/);
    await expectFieldError(port(page), /Enter a port number from 1 to 65535/);
    expect(await api.proxies()).toEqual([]);
  });

  test("everything wrong at once", async ({ page, api, js }) => {
    await open(page, NEW);
    const long = "x".repeat(101);
    await name(page).fill(long);
    await host(page).fill("proxy.example.com/path");
    await port(page).fill("65536");
    await basic(page).check();
    await username(page).fill("jo:e");
    await password(page).fill("not shown again");
    await openMore(page);
    await bypass(page).fill("*.corp.example\nnot a / host");
    await caPem(page).fill("-----BEGIN CERTIFICATE-----\n%%%\n-----END CERTIFICATE-----");
    await timeout(page).fill("121");
    await save(page).click();
    await expect(page.getByRole("alert")).toContainText("7 fields need another look");
    await expectFieldError(name(page), /Use at most 100 characters; this has 101/);
    await expectFieldError(host(page), /Enter only the host name or IP address, without '\/' and what follows it/);
    await expectFieldError(port(page), /Enter a port number from 1 to 65535/);
    await expectFieldError(username(page), /can't contain a colon/);
    await expectFieldError(bypass(page), /./);
    await expectFieldError(caPem(page), /not Base64/);
    await expectFieldError(timeout(page), /Enter whole seconds from 1 to 120/);

    await expect(name(page)).toHaveValue(long);
    await expect(host(page)).toHaveValue("proxy.example.com/path");
    await expect(port(page)).toHaveValue("65536");
    await expect(basic(page)).toBeChecked();
    await expect(username(page)).toHaveValue("jo:e");
    await expect(bypass(page)).toHaveValue("*.corp.example\nnot a / host");
    await expect(timeout(page)).toHaveValue("121");
    await expect(password(page)).toHaveValue(js ? "not shown again" : "");
    if (!js) expect(await page.content()).not.toContain("not shown again");
    expect(await api.proxies()).toEqual([]);

    // The summary leads to the field.
    if (js) {
      await page.getByRole("alert").getByRole("link", { name: "Timeout in seconds" }).click();
      await expect(timeout(page)).toBeFocused();
      // What was put right is no longer complained about.
      await timeout(page).fill("12");
      await expect(timeout(page)).not.toHaveAttribute("aria-invalid", "true");
    }
  });

  const hosts: [string, RegExp][] = [
    ["ftp://proxy.example.com", /Enter only the host name or IP address, without http:\/\//],
    ["proxy example", /A host name has no spaces/],
    ["jo@proxy", /the user name and password have fields of their own/],
    ["256.1.1.1", /is not an IPv4 address/],
    ["2001:db8:::1", /is not an IPv6 address/],
    ["[2001:db8::1", /closing bracket of the IPv6 address is missing/],
    ["-proxy.example", /can't start or end with a hyphen/],
    [`${"a".repeat(64)}.example`, /at most 63 characters between two dots/],
  ];
  test("host names that are none", async ({ page }) => {
    await open(page, NEW);
    await name(page).fill("Kept");
    await port(page).fill("3128");
    for (const [wrong, why] of hosts) {
      await ready(page);
      await host(page).fill(wrong);
      await save(page).click();
      await expectFieldError(host(page), why);
      await expect(host(page)).toHaveValue(wrong);
      await expect(name(page)).toHaveValue("Kept");
      await expect(page.getByRole("alert")).toContainText("One field needs another look");
    }
  });

  test("ports that are none", async ({ page }) => {
    await open(page, NEW);
    await name(page).fill("Kept");
    await host(page).fill("proxy.example.com");
    for (const wrong of ["0", "65536", "-1", "80a", "3128.0"]) {
      await ready(page);
      await port(page).fill(wrong);
      await save(page).click();
      await expectFieldError(port(page), /Enter a port number from 1 to 65535/);
      await expect(port(page)).toHaveValue(wrong);
    }
  });

  test("IPv6 with and without brackets is one address", async ({ page, api }) => {
    for (const [called, typed] of [["bare", "2001:db8::1"], ["bracketed", "[2001:DB8:0::1]"]] as const) {
      await open(page, NEW);
      await name(page).fill(called);
      await host(page).fill(typed);
      await port(page).fill("3128");
      await save(page).click();
      await expect(cell(row(page, called), "Proxy Address or IP")).toHaveText("2001:db8::1");
      expect(await api.named(called)).toMatchObject({ host: "2001:db8::1" });
    }
  });

  test("Basic without user name and password", async ({ page }) => {
    await open(page, NEW);
    await name(page).fill("Kept");
    await host(page).fill("proxy.example.com");
    await port(page).fill("3128");
    await basic(page).check();
    await save(page).click();
    await expectFieldError(username(page), /Enter the user name that the proxy knows/);
    await expectFieldError(password(page), /Enter the password that goes with the user name/);
    await expect(basic(page)).toBeChecked();
  });

  test("a name that is taken, whatever its case", async ({ page, api }) => {
    await api.create({ name: "Straße" });
    await open(page, NEW);
    await name(page).fill(" STRASSE ");
    await host(page).fill("proxy.example.com");
    await port(page).fill("3128");
    await save(page).click();
    await expectFieldError(name(page), /is taken/);
    await expect(name(page)).toHaveValue(" STRASSE ");
    expect(await api.proxies()).toHaveLength(1);
  });

  test("fields are checked when they are left @hydrated", async ({ page }) => {
    await open(page, NEW);
    await port(page).fill("70000");
    await port(page).press("Tab");
    await expectFieldError(port(page), /Enter a port number from 1 to 65535/);
    // An empty field is not complained about before somebody wants to save.
    await name(page).focus();
    await name(page).press("Tab");
    await port(page).fill("7000");
    await expect(port(page)).not.toHaveAttribute("aria-invalid", "true");
    await expect(name(page)).not.toHaveAttribute("aria-invalid", "true");
  });
});

test.describe("edit", () => {
  test("changes what is stored and keeps what was not touched", async ({ page, api }) => {
    const { id } = await api.create({ name: "Corp-EU", authentication: "basic", username: "jo", password: "secret", bypass: ["intranet"] });
    await open(page, LIST);
    await page.getByRole("link", { name: "Edit Corp-EU" }).click();
    await expect(page).toHaveURL(`${LIST}/${id}`);
    await expect(name(page)).toHaveValue("Corp-EU");
    await expect(username(page)).toHaveValue("jo");
    await name(page).fill("Corp-US");
    await save(page).click();
    await expect(message(page, "Your changes are saved.")).toBeVisible();
    await expect(row(page, "Corp-US")).toBeVisible();
    expect(await api.proxy(id)).toMatchObject({ name: "Corp-US", username: "jo", has_password: true, bypass: ["intranet"] });
  });

  test("a stored password does not go to another place", async ({ page, api, js }) => {
    const { id } = await api.create({ name: "Corp-EU", authentication: "basic", username: "jo", password: "secret" });
    await open(page, `${LIST}/${id}`);
    await host(page).fill("elsewhere.example.com");
    if (js) {
      // Said before it is refused.
      await expect(page.getByText("Enter the password again:")).toBeVisible();
    }
    await save(page).click();
    await expectFieldError(password(page), /Enter the password again/);
    await expect(host(page)).toHaveValue("elsewhere.example.com");
    expect(await api.proxy(id)).toMatchObject({ host: "proxy.example.com" });

    await password(page).fill("another");
    await save(page).click();
    await expect(message(page, "Your changes are saved.")).toBeVisible();
    expect(await api.proxy(id)).toMatchObject({ host: "elsewhere.example.com", has_password: true });
  });

  test("changing to Transparent forgets the password", async ({ page, api }) => {
    const { id } = await api.create({ name: "Corp-EU", authentication: "basic", username: "jo", password: "secret" });
    await open(page, `${LIST}/${id}`);
    await transparent(page).check();
    await save(page).click();
    await expect(message(page, "Your changes are saved.")).toBeVisible();
    expect(await api.proxy(id)).toMatchObject({ authentication: "transparent", has_password: false, username: null });
  });

  test("one that is not there", async ({ page, watch }) => {
    watch.allow(/status of 404/);
    for (const path of [`${LIST}/01890000-0000-7000-8000-000000000000`, `${LIST}/nonsense`, `${LIST}/nonsense/delete`]) {
      const answer = await page.goto(path);
      expect(answer?.status()).toBe(404);
      await expect(page.getByRole("heading", { name: "Not found" })).toBeVisible();
    }
  });
});

test.describe("from the list", () => {
  test("make default", async ({ page, api }) => {
    await api.create({ name: "First", is_default: true });
    await api.create({ name: "Second" });
    await open(page, `${LIST}?sort=-name`);
    await expect(page.getByRole("button", { name: "First is the default" })).toBeDisabled();
    await page.getByRole("button", { name: "Make Second the default" }).click();
    await expect(message(page, /“Second” is the default proxy now|The default proxy was changed/)).toBeVisible();
    await expect(cell(row(page, "Second"), "Is Default?")).toHaveText("Yes");
    await expect(cell(row(page, "First"), "Is Default?")).toHaveText("No");
    // The list is as it was.
    await expect(page).toHaveURL(/sort=-name/);
    await expect(rowNames(page)).toHaveText(["Second", "First"]);
  });

  test("duplicate", async ({ page, api }) => {
    await api.create({ name: "First", is_default: true, authentication: "basic", username: "jo", password: "secret" });
    await open(page, LIST);
    await page.getByRole("button", { name: "Duplicate First" }).click();
    await expect(message(page, /was duplicated/)).toBeVisible();
    await expect(rows(page)).toHaveCount(2);
    const copy = (await api.proxies()).find((proxy) => proxy.name !== "First");
    expect(copy).toMatchObject({ is_default: false, username: "jo", authentication: "basic" });
    await expect(cell(row(page, copy?.name ?? ""), "Is Default?")).toHaveText("No");
  });

  test("delete asks first @hydrated", async ({ page, api }) => {
    await api.create({ name: "Doomed", is_default: true });
    await open(page, LIST);
    const dialog = page.getByRole("alertdialog", { name: "Delete “Doomed”?" });
    const ask = () => page.getByRole("link", { name: "Delete Doomed" }).click();

    await ask();
    await expect(dialog).toContainText("proxy.example.com:3128");
    await expect(dialog).toContainText("It is the default proxy");
    await expect(dialog.getByRole("button", { name: "Cancel" })).toBeFocused();
    // Enter presses Cancel.
    await page.keyboard.press("Enter");
    await expect(dialog).toBeHidden();
    await expect(page.getByRole("link", { name: "Delete Doomed" })).toBeFocused();
    expect(await api.proxies()).toHaveLength(1);

    await ask();
    // It opens once the server has said what the setting is like now.
    await expect(dialog).toBeVisible();
    await page.keyboard.press("Escape");
    await expect(dialog).toBeHidden();
    expect(await api.proxies()).toHaveLength(1);

    await ask();
    await dialog.getByRole("button", { name: "Delete" }).click();
    await expect(message(page, "“Doomed” was deleted.")).toBeVisible();
    await expect(page.getByRole("heading", { name: "No proxy settings yet" })).toBeVisible();
    expect(await api.proxies()).toEqual([]);
  });

  test("delete asks on a page of its own @nojs", async ({ page, api }) => {
    const { id } = await api.create({ name: "Doomed" });
    await open(page, LIST);
    await page.getByRole("link", { name: "Delete Doomed" }).click();
    await expect(page).toHaveURL(`${LIST}/${id}/delete`);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Delete “Doomed”?");
    await page.getByRole("link", { name: "Cancel" }).click();
    await expect(row(page, "Doomed")).toBeVisible();
    expect(await api.proxies()).toHaveLength(1);

    await page.getByRole("link", { name: "Delete Doomed" }).click();
    await page.getByRole("button", { name: "Delete" }).click();
    await expect(message(page, "The proxy setting was deleted.")).toBeVisible();
    expect(await api.proxies()).toEqual([]);
  });

  test("deleting what somebody has just changed is told", async ({ page, api, js }) => {
    const made = await api.create({ name: "Moving" });
    if (js) {
      await open(page, LIST);
      await page.getByRole("link", { name: "Delete Moving" }).click();
    } else {
      await open(page, `${LIST}/${made.id}/delete`);
    }
    await api.replace(made, { port: 8080 });
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await expect(page.getByText("Somebody else changed this setting meanwhile.")).toBeVisible();
    expect(await api.proxies()).toHaveLength(1);
    await page.getByRole("button", { name: "Delete", exact: true }).click();
    await expect(message(page, /was deleted/)).toBeVisible();
    expect(await api.proxies()).toEqual([]);
  });
});

test.describe("unsaved changes are guarded @hydrated", () => {
  test("when a link is followed", async ({ page, api }) => {
    const { id } = await api.create({ name: "Guarded" });
    await open(page, `${LIST}/${id}`);
    await port(page).fill("8080");
    await expect(page.getByText("Unsaved changes")).toBeVisible();
    const dialog = page.getByRole("alertdialog", { name: "Discard your changes?" });

    await page.getByRole("navigation", { name: "Breadcrumb" }).getByRole("link", { name: "Proxy Settings" }).click();
    await expect(dialog.getByRole("button", { name: "Stay" })).toBeFocused();
    await page.keyboard.press("Enter");
    await expect(dialog).toBeHidden();
    await expect(page).toHaveURL(`${LIST}/${id}`);
    await expect(port(page)).toHaveValue("8080");

    await page.getByRole("navigation", { name: "Breadcrumb" }).getByRole("link", { name: "Proxy Settings" }).click();
    await dialog.getByRole("button", { name: "Discard" }).click();
    await expect(page).toHaveURL(LIST);
    expect(await api.proxy(id)).toMatchObject({ port: 3128 });
  });

  test("when somebody goes back", async ({ page }) => {
    await open(page, LIST);
    await newProxy(page).click();
    await expect(page).toHaveURL(NEW);
    // As a person types: Chromium takes no history from a page that nobody has touched.
    await name(page).pressSequentially("Almost lost");
    await page.goBack();
    const dialog = page.getByRole("alertdialog", { name: "Discard your changes?" });
    await expect(dialog).toBeVisible();
    await dialog.getByRole("button", { name: "Stay" }).click();
    await expect(page).toHaveURL(NEW);
    await expect(name(page)).toHaveValue("Almost lost");
    await page.goBack();
    await dialog.getByRole("button", { name: "Discard" }).click();
    await expect(page).toHaveURL(LIST);
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("Proxy Settings");
  });

  test("when the page is loaded again", async ({ page }) => {
    await open(page, NEW);
    await name(page).pressSequentially("Almost lost");
    const asked = page.waitForEvent("dialog");
    await page.evaluate(() => setTimeout(() => location.reload()));
    const question = await asked;
    expect(question.type()).toBe("beforeunload");
    await question.dismiss();
    await expect(name(page)).toHaveValue("Almost lost");
    // Whoever has changed nothing is not asked.
    await name(page).fill("");
    await page.reload();
    await expect(page.getByRole("heading", { level: 1 })).toHaveText("New proxy setting");
  });

  test("until they are discarded or saved", async ({ page, api }) => {
    const { id } = await api.create({ name: "Guarded" });
    await open(page, `${LIST}/${id}`);
    await port(page).fill("8080");
    await page.getByRole("button", { name: "Discard" }).click();
    await expect(port(page)).toHaveValue("3128");
    await page.getByRole("link", { name: "Cancel" }).click();
    await expect(page).toHaveURL(LIST);

    await open(page, `${LIST}/${id}`);
    await port(page).fill("8080");
    await save(page).click();
    await expect(page.getByRole("alertdialog")).toBeHidden();
    await expect(row(page, "Guarded")).toContainText("8080");
  });
});

test.describe("two people change the same setting", () => {
  test("the second is told, loses nothing, and can save over it", async ({ page, api, anotherContext }) => {
    const { id } = await api.create({ name: "Shared", bypass: ["intranet"] });
    const second = await (await anotherContext()).newPage();
    await open(page, `${LIST}/${id}`);
    await open(second, `${LIST}/${id}`);

    await port(page).fill("1111");
    await save(page).click();
    await expect(message(page, "Your changes are saved.")).toBeVisible();

    await name(second).fill("Shared by two");
    await port(second).fill("2222");
    await save(second).click();
    await expect(second.getByText("Somebody else changed this setting meanwhile")).toBeVisible();
    const differences = second.getByRole("table", { name: "What differs" });
    await expect(differences.getByRole("row", { name: /Port/ })).toContainText("2222");
    await expect(differences.getByRole("row", { name: /Port/ })).toContainText("1111");
    await expect(differences.getByRole("row", { name: /Proxy Setting Name/ })).toContainText("Shared by two");
    await expect(name(second)).toHaveValue("Shared by two");
    await expect(port(second)).toHaveValue("2222");
    expect(await api.proxy(id)).toMatchObject({ name: "Shared", port: 1111 });

    await second.getByRole("button", { name: "Save over it" }).click();
    await expect(message(second, "Your changes are saved.")).toBeVisible();
    expect(await api.proxy(id)).toMatchObject({ name: "Shared by two", port: 2222 });
  });

  test("or take theirs", async ({ page, api, anotherContext }) => {
    const { id } = await api.create({ name: "Shared" });
    const second = await (await anotherContext()).newPage();
    await open(page, `${LIST}/${id}`);
    await open(second, `${LIST}/${id}`);
    await port(page).fill("1111");
    await save(page).click();
    await expect(message(page, "Your changes are saved.")).toBeVisible();

    await port(second).fill("2222");
    await save(second).click();
    await second.getByRole("link", { name: "Take theirs" }).click();
    await expect(port(second)).toHaveValue("1111");
    await expect(second.getByText("Somebody else changed this setting meanwhile")).toBeHidden();
    // From there on as if nothing had been.
    await field(second, "Proxy Setting Name").fill("Agreed");
    await save(second).click();
    await expect(message(second, "Your changes are saved.")).toBeVisible();
    expect(await api.proxy(id)).toMatchObject({ name: "Agreed", port: 1111 });
  });

  test("saving what somebody has deleted is told", async ({ page, api, watch }) => {
    watch.allow(/status of 404/);
    const { id } = await api.create({ name: "Gone" });
    await open(page, `${LIST}/${id}`);
    await api.deleteAll();
    await port(page).fill("1111");
    await save(page).click();
    await expect(page.getByText("There is no such thing here. It may have been deleted.").first()).toBeVisible();
  });
});
