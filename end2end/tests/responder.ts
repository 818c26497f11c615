// What the Incident Responder's tests have in common.
import type { Api } from "../support/api";
import { ENGINE_KEY, type Parts, PASSWORD, USER } from "../support/parts";

export const INTEGRATIONS = "/incident-responder/integrations";
export const ANALYSES = "/incident-responder/analyses";
export const TRAFFIC = "/incident-responder/traffic";

/** Squid with Basic as the company's default, trusted with the test authority. */
export async function defaultProxy(api: Api, parts: Parts) {
  const login = { authentication: "basic", username: USER, password: PASSWORD };
  return api.create({ name: "Corp-EU", host: "127.0.0.1", port: parts.basicProxy, ca_pem: parts.ca, is_default: true, ...login });
}

export function virusTotal(api: Api, parts: Parts, more: Record<string, unknown> = {}) {
  return api.integration({ name: "VirusTotal", type: "virustotal", api_url: parts.engine, api_key: ENGINE_KEY, ...more });
}
