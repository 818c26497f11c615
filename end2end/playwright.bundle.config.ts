// The archive where there is no network: scripts/test-bundle.sh runs this inside the network namespace that it makes.
import { defineConfig } from "@playwright/test";

import base from "./playwright.config";

export default defineConfig(base, {
  testDir: "bundle",
  outputDir: process.env.BUNDLE_RESULTS,
  workers: 1,
  retries: 0,
  timeout: 180_000,
  expect: { timeout: 20_000 },
  // Each flow once: hydrated and wide.
  projects: undefined,
});
