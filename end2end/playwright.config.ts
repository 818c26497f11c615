import { defineConfig, type PlaywrightTestConfig } from "@playwright/test";

const desktop = { viewport: { width: 1280, height: 800 } };
const phone = { viewport: { width: 390, height: 844 }, hasTouch: true };

// What a test's title may carry:
//   @hydrated  needs the browser side: does not run with JavaScript off
//   @nojs      what only shows with JavaScript off
//   @once      does not depend on the width: runs at 1280 px only
const project = (name: string, use: PlaywrightTestConfig["use"], grepInvert: RegExp) => ({ name, use, grepInvert });

export default defineConfig({
  testDir: "tests",
  outputDir: "test-results",
  globalSetup: "./support/parts.ts",
  forbidOnly: !!process.env.CI,
  fullyParallel: false,
  workers: 2,
  // A machine that CI shares can stall; a test that passes only the second time is still named as flaky at the end.
  retries: process.env.CI ? 1 : 0,
  reporter: "list",
  timeout: 30_000,
  expect: { timeout: 7_000 },
  use: {
    colorScheme: "light",
    locale: "en-GB",
    timezoneId: "UTC",
    reducedMotion: "reduce",
    trace: "retain-on-failure",
    actionTimeout: 10_000,
    navigationTimeout: 15_000,
    launchOptions: {
      executablePath: process.env.GATEHOUSE_CHROMIUM || "/usr/bin/chromium",
      // Nothing of the browser's own goes to the network while the tests run.
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-quic",
      ],
    },
  },
  projects: [
    project("desktop-hydrated", desktop, /@nojs/),
    project("desktop-nojs", { ...desktop, javaScriptEnabled: false }, /@hydrated/),
    project("phone-hydrated", phone, /@nojs|@once/),
    project("phone-nojs", { ...phone, javaScriptEnabled: false }, /@hydrated|@once/),
  ],
});
