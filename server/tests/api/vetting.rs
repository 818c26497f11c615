//! Addresses that users give, in the cloud edition: private ones are refused wherever they are entered, and never dialled where a name
//! leads to one, whatever it led to a moment before.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::harness::{Answer, Server, Start, program, run, send, serve_spy};

/// What everybody is told about a private address, at every place.
const REFUSED: &str = "This installation does not connect to private addresses. Use a public one.";
/// The same of one that a name led to.
const NOT_ALLOWED: &str = "Gatehouse does not connect to this address.";

/// Private and special addresses, and names that can only be private, in the spellings that programs read somewhere.
#[rustfmt::skip]
const SPELLINGS: &[&str] = &[
    // This machine, as IPv4.
    "127.0.0.1", "127.0.0.1.", "127.1", "127.0.1", "127.255.255.254", "127.000.000.001", "0177.0.0.1", "0177.0.0.01", "0x7f.0.0.1",
    "0x7f.1", "0x7F000001", "0x7f000001.", "017700000001", "2130706433", "2130706433.", "127.0x1", "127.0.0.0x1", "0x7f.0x0.0x0.0x1",
    "00000177.0.0.1", "0x0000007f.1", "127.65535", "127.0.0.1%00", "127.0.0.1%20", "%31%32%37.0.0.1", "127%2e0%2e0%2e1",
    "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "１２７.０.０.１", "①②⑦.⓪.⓪.①", "𝟏𝟐𝟕.𝟎.𝟎.𝟏", "𝟙𝟚𝟟.0.0.1", "１２７．１", "127.0.0.1\u{200b}",
    // Unspecified, "this network", broadcast, multicast, reserved.
    "0.0.0.0", "0", "0x0", "00", "0.0", "0.1.2.3", "0.0.0.0.", "255.255.255.255", "4294967295", "0xffffffff", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "0xE0000001", "254.1.1.1",
    // Private networks.
    "10.0.0.1", "10.1", "10.255.255.255", "012.0.0.1", "0x0a.0.0.1", "0xA000001", "167772161", "10.0.0.1.", "１０.0.0.1", "10.0x1", "172.16.0.1",
    "172.31.255.255", "0xac.0x10.0.1", "2886729729", "172.16.1", "192.168.0.1", "192.168.1", "0300.0250.0.1", "0xc0.0xa8.0.1", "3232235521",
    "192.168.0.1.", "192.168.257", "192。168。0。1",
    // Link-local, clouds' metadata, carrier-grade NAT, and others that nobody is reached at.
    "169.254.0.1", "169.254.169.254", "169.254.43518", "0251.0376.0251.0376", "0xa9fea9fe", "0xa9.0xfe.0xa9.0xfe", "2852039166", "025177524776",
    "169.254.169.254.", "１６９.２５４.１６９.２５４", "169.254.170.2", "168.63.129.16", "100.100.100.200", "100.64.0.1", "100.127.255.255", "0x64400001",
    "192.0.0.1", "192.0.0.192", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "198.19.255.255", "192.88.99.1",
    // IPv6.
    "::1", "[::1]", "0:0:0:0:0:0:0:1", "0000:0000:0000:0000:0000:0000:0000:0001", "0::1", "::0:1", "[::0001]", "::", "[::]", "::127.0.0.1",
    "::7f00:1", "::10.0.0.1", "::ffff:127.0.0.1", "[::ffff:127.0.0.1]", "::ffff:7f00:1", "::FFFF:7F00:0001", "0:0:0:0:0:ffff:127.0.0.1",
    "::ffff:10.0.0.1", "::ffff:a00:1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::ffff:192.168.0.1", "::ffff:0.0.0.0", "::ffff:0:127.0.0.1",
    "::ffff:0:a00:1", "64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::7f00:1",
    "64:ff9b:1:a00:0:100::", "2002:7f00:1::1", "2002:a00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:1::1", "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2001::1", "2001:0:0:0:0:0:f5ff:fffe", "2606:4700::5efe:10.0.0.1", "2606:4700::200:5efe:127.0.0.1", "fe80::1", "FE80::1", "fe80::1%eth0",
    "[fe80::1%25eth0]", "fe80::1%1", "::1%lo", "febf::1", "fec0::1", "fc00::1", "fd00::1", "fdff:ffff::1", "fd00:ec2::254", "fd00:ec2::23",
    "fd20:ce::254", "ff02::1", "ff0e::1", "100::1", "2001:db8::1", "3fff::1", "2001:2::1", "2001:10::1", "2001:20::1", "5f00::1", "4000::1", "::2",
    // Names that lead there, whatever a name server says.
    "localhost", "LOCALHOST", "localhost.", "LocalHost.", "app.localhost", "a.b.localhost.", "localhost.localdomain", "ip6-localhost",
    "ip6-loopback", "localhost6", "ｌｏｃａｌｈｏｓｔ", "ⓛocalhost", "localhoſt", "metadata", "metadata.google.internal", "METADATA.GOOGLE.INTERNAL.",
    "metadata.goog", "instance-data", "instance-data.ec2.internal", "ip-10-0-0-1.ec2.internal", "db.internal", "kubernetes.default.svc.cluster.local",
    "printer.local", "router.home.arpa", "nas.lan", "sql.corp", "wiki.intranet", "host.docker.internal", "gw.home", "vault.private", "localdomain",
];

/// A server with something saved to test and change.
struct Ground {
    server: Server,
    proxy: String,
    integration: String,
}

impl Ground {
    fn start(name_servers: &str) -> Self {
        let start = Start::new().env("GATEHOUSE_EDITION", "cloud").env("GATEHOUSE_SECRET_KEY_FILE", "key");
        Self::on(start.env("GATEHOUSE_NAME_SERVERS", name_servers).start_with_key())
    }

    fn on(server: Server) -> Self {
        let id = |made: Value| made["id"].as_str().expect("an id").to_string();
        let proxy = id(server.proxy("Saved"));
        let body =
            json!({"name": "Saved", "type": "custom_http", "api_url": "https://engine.example/", "proxy": {"choice": "none"}});
        let integration = id(server.post("/api/v1/integrations", &body).expect(201));
        Self { server, proxy, integration }
    }

    /// As a form is posted without JavaScript.
    fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let headers = [
            ("authorization", &*format!("Bearer {}", self.server.token)),
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", self.server.url.as_str()),
        ];
        send("POST", &format!("{}{path}", self.server.url), &headers, Some(&body.join("&")))
    }

    /// As the browser calls a server function.
    fn function(&self, path: &str, body: &Value) -> Answer {
        self.server.call_with("POST", &format!("/fn/{path}"), &[("origin", self.server.url.as_str())], Some(body))
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A host as it stands in a URL.
fn in_url(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_string() }
}

/// A place where a user gives an address.
struct Place {
    /// Method, path and field, as the OpenAPI document names them.
    what: &'static str,
    /// The field that an answer complains about.
    field: &'static str,
    give: fn(&Ground, &str) -> Answer,
}

const TYPES: [&str; 14] = [
    "virustotal",
    "google_safe_browsing",
    "google_web_risk",
    "spamhaus_dns",
    "spamhaus_wqs",
    "xforce",
    "metadefender",
    "vmray",
    "anyrun",
    "urlscan",
    "abuseipdb",
    "urlhaus",
    "otx",
    "custom_http",
];

fn integration(kind: &str, host: &str) -> Value {
    let url = format!("https://{}:8443/base", in_url(host));
    json!({"name": "X", "type": kind, "api_url": url, "api_key": "k", "api_password": if kind == "xforce" { json!("p") } else { Value::Null }, "proxy": {"choice": "none"}})
}

/// Another type for each spelling.
fn some_integration(host: &str) -> Value {
    let at = SPELLINGS.iter().position(|spelling| *spelling == host).unwrap_or_default();
    integration(TYPES[at % TYPES.len()], host)
}

fn egress(host: &str) -> Value {
    json!({"text": format!("[[egress]]\nname = 'e'\nkind = 'upstream'\nurl = 'http://{}:3128'\n", in_url(host))})
}

fn list(host: &str) -> Value {
    json!({"text": format!("[[category]]\nname = 'a'\nlevel = 'safe'\nurls = ['https://{}/list']\n", in_url(host))})
}

const PLACES: &[Place] = &[
    Place {
        what: "post /api/v1/proxies host",
        field: "host",
        give: |ground, host| ground.server.post("/api/v1/proxies", &json!({"name": "X", "host": host, "port": 3128})),
    },
    Place {
        what: "put /api/v1/proxies/{id} host",
        field: "host",
        give: |ground, host| {
            ground.server.put(&format!("/api/v1/proxies/{}", ground.proxy), &json!({"name": "X", "host": host, "port": 3128}))
        },
    },
    Place {
        what: "post /api/v1/proxies/test proxy.host",
        field: "host",
        give: |ground, host| ground.server.post("/api/v1/proxies/test", &json!({"proxy": {"host": host, "port": 3128}})),
    },
    Place {
        what: "post /api/v1/proxies/test target",
        field: "target",
        give: |ground, host| {
            let target = format!("https://{}:8443/x", in_url(host));
            ground.server.post("/api/v1/proxies/test", &json!({"proxy": {"host": "proxy.example", "port": 1}, "target": target}))
        },
    },
    Place {
        what: "post /api/v1/proxies/{id}/test target",
        field: "target",
        give: |ground, host| {
            let target = format!("http://{}/", in_url(host));
            ground.server.post(&format!("/api/v1/proxies/{}/test", ground.proxy), &json!({"target": target}))
        },
    },
    Place {
        what: "post /api/v1/integrations api_url",
        field: "api_url",
        give: |ground, host| ground.server.post("/api/v1/integrations", &some_integration(host)),
    },
    Place {
        what: "put /api/v1/integrations/{id} api_url",
        field: "api_url",
        give: |ground, host| {
            ground.server.put(&format!("/api/v1/integrations/{}", ground.integration), &integration("custom_http", host))
        },
    },
    Place {
        what: "post /api/v1/integrations/test api_url",
        field: "api_url",
        give: |ground, host| ground.server.post("/api/v1/integrations/test", &some_integration(host)),
    },
    Place {
        what: "put /api/v1/checks webhook_url",
        field: "webhook_url",
        give: |ground, host| {
            ground.server.put("/api/v1/checks", &json!({"webhook_url": format!("https://{}:8443/hook", in_url(host))}))
        },
    },
    Place {
        what: "put /api/v1/gateway/policy text",
        field: "text",
        give: |ground, host| ground.server.put("/api/v1/gateway/policy", &egress(host)),
    },
    Place {
        what: "put /api/v1/gateway/policy text",
        field: "text",
        give: |ground, host| ground.server.put("/api/v1/gateway/policy", &list(host)),
    },
    Place {
        what: "post /api/v1/gateway/explain text",
        field: "text",
        give: |ground, host| {
            let mut question = egress(host);
            question["url"] = json!("https://example.com/");
            question["client"] = json!("192.0.2.1");
            ground.server.post("/api/v1/gateway/explain", &question)
        },
    },
];

/// Fields that hold an address, or say that they do, and are no place: nothing is ever connected to for what stands there.
const NO_PLACES: &[(&str, &str)] = &[
    ("post /api/v1/analyses url", "what the company's services are asked about; it is never asked itself"),
    ("post /api/v1/analyses ip", "likewise"),
    ("post /api/v1/gateway/explain url", "a question about the policy; nothing is asked for"),
    ("post /api/v1/gateway/explain client", "who would ask"),
    ("post /api/v1/gateway/policy/check text", "says what is wrong in 200: tested by itself below"),
    ("accept secret", "a one-time link's; its description names the link"),
    (" email", "an e-mail address; no mail is sent"),
    ("capabilities.url", "whether URLs are looked up"),
    ("capabilities.sender_ip", "whether addresses are looked up"),
    ("exclusions.urls", "compared with what is analysed"),
    ("exclusions.ips", "likewise"),
    ("proxy.bypass", "compared with the target, which is vetted when it is dialled"),
    ("post /api/v1/proxies bypass", "likewise"),
    ("put /api/v1/proxies/{id} bypass", "likewise"),
    ("fallback", "the identifier of another setting, whose host is vetted"),
    ("proxy.choice", "default, none or setting"),
    ("webhook_proxy.choice", "default, none or setting"),
    ("webhook_proxy.id", "the identifier of a setting"),
    ("hide_url_parameters", "yes or no"),
    (" api_key", "a secret; its description names api_url"),
    ("password", "a secret; its description names host, port and scheme"),
    ("/people name", "a person's name; its description names the policy"),
    ("/people/{id} name", "likewise"),
    (" groups", "likewise"),
    ("webhook_proxy", "which way, by the identifier of a setting"),
];

/// All fields that a request's body may have, with what is said about them.
fn fields(document: &Value, schema: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    if let Some(name) = schema["$ref"].as_str() {
        let schema = &document["components"]["schemas"][name.rsplit('/').next().expect("a name")];
        // What refers to itself is bounded by the length of a path.
        if path.len() < 80 {
            fields(document, schema, path, found);
        }
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        for schema in schema[several].as_array().into_iter().flatten() {
            fields(document, schema, path, found);
        }
    }
    if schema["items"].is_object() {
        fields(document, &schema["items"], path, found);
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        let description = schema["description"].as_str().unwrap_or_default();
        if description.starts_with("Read-only") {
            continue;
        }
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        found.insert(path.clone(), format!("{name} {description} {}", schema["format"].as_str().unwrap_or_default()));
        fields(document, schema, &path, found);
    }
}

/// Whether this may be about an address.
fn speaks_of_addresses(text: &str) -> bool {
    let text = text.to_lowercase();
    let words =
        ["host", "url", "uri", "address", "target", "webhook", "domain", "network", "server", "policy", "endpoint", "link"];
    words.iter().any(|word| text.contains(word)) || text.split(|c: char| !c.is_alphanumeric()).any(|word| word == "ip")
}

#[test]
fn every_place_for_an_address_is_in_the_table() {
    let folder = tempfile::tempdir().expect("a folder");
    let printed = run(program(folder.path(), &[]).arg("openapi"), "");
    let document: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let mut missing = Vec::new();
    let mut known = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().expect("paths") {
        for (method, operation) in operations.as_object().expect("operations") {
            let mut all = BTreeMap::new();
            for content in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                fields(&document, &content.1["schema"], "", &mut all);
            }
            // What a reading request has in its query is compared with what is stored. Headers are the protocol's.
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                if method != "get" && parameter["in"] == "query" {
                    let name = parameter["name"].as_str().expect("a name");
                    all.insert(name.to_string(), format!("{name} {}", parameter["description"]));
                }
            }
            for (field, text) in all {
                let what = format!("{method} {path} {field}");
                let is_known =
                    PLACES.iter().any(|place| place.what == what) || NO_PLACES.iter().any(|(none, _)| what.ends_with(none));
                if speaks_of_addresses(&text) && !is_known {
                    missing.push(what.clone());
                }
                known.insert(what);
            }
        }
    }
    // The policy is a text in which addresses stand.
    assert!(missing.is_empty(), "in neither PLACES nor NO_PLACES: {missing:#?}");
    for place in PLACES {
        assert!(known.contains(place.what), "{}: the document has no such field any more", place.what);
    }
}

/// Runs these beside each other: a debug build takes its time for each.
fn beside<T: Sync>(all: &[T], threads: usize, work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(one);
                }
            });
        }
    });
}

#[test]
fn a_private_address_is_refused_however_it_is_spelled_wherever_it_is_given() {
    let distinct: BTreeSet<_> = SPELLINGS.iter().collect();
    assert!(distinct.len() == SPELLINGS.len() && distinct.len() >= 150, "{} of {}", distinct.len(), SPELLINGS.len());
    let dns = NameServer::start(|_| Some(vec![Ipv4Addr::LOCALHOST.into()]));
    let ground = Ground::start(&dns.address());
    let kept = || {
        (
            ground.server.get("/api/v1/proxies").text,
            ground.server.get("/api/v1/integrations").text,
            ground.server.get("/api/v1/checks").text,
        )
    };
    let before = kept();
    let tried: Vec<_> = PLACES.iter().flat_map(|place| SPELLINGS.iter().map(move |spelling| (place, *spelling))).collect();
    let by_rule = AtomicUsize::new(0);
    beside(&tried, 4, |(place, spelling)| {
        let answer = (place.give)(&ground, spelling);
        let at = || format!("{spelling} at {}: {} {}", place.what, answer.status, answer.text);
        assert_eq!((answer.status, answer.code()), (422, "invalid"), "{}", at());
        let complaints = answer.body["fields"].as_object().unwrap_or_else(|| panic!("{}", at()));
        assert_eq!(complaints.keys().collect::<Vec<_>>(), [place.field], "{}", at());
        // What is an address or a name is refused with the same words; what is neither is told to be none.
        let says = complaints[place.field].as_str().expect("a text");
        if says == REFUSED || says.contains("reaches public addresses only") {
            by_rule.fetch_add(1, Ordering::Relaxed);
        } else {
            let is_plain =
                spelling.parse::<IpAddr>().is_ok() || spelling.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'.');
            assert!(!is_plain, "{}", at());
        }
    });
    // More than half are what they look like; the rest is misspelled.
    assert!(by_rule.into_inner() > tried.len() / 2);
    assert_eq!(kept(), before, "nothing of it was stored");
    assert_eq!(dns.asked(), Vec::<String>::new(), "nobody was asked about any of it");
    // A check of a policy answers what is wrong, as ever.
    for (policy, spelling) in [(egress as fn(&str) -> Value, "10.0.0.1"), (list, "localhost"), (list, "::1")] {
        let answer = ground.server.post("/api/v1/gateway/policy/check", &policy(spelling)).expect(200);
        assert!(
            answer["ok"] == json!(false) && answer["problems"][0]["message"].as_str().is_some_and(|says| says.contains("public")),
            "{answer}"
        );
    }
    // Each type of integration, and those who come by forms and server functions.
    for kind in TYPES {
        for spelling in ["127.0.0.1", "::ffff:10.0.0.1", "metadata.google.internal", "0x7f.1"] {
            for path in ["/api/v1/integrations", "/api/v1/integrations/test"] {
                let answer = ground.server.post(path, &integration(kind, spelling));
                assert!(
                    answer.status == 422 && answer.body["fields"]["api_url"].is_string(),
                    "{kind} {spelling}: {}",
                    answer.text
                );
            }
        }
    }
    for spelling in ["10.0.0.1", "localhost", "::1", "169.254.169.254"] {
        let url = format!("https://{}/", in_url(spelling));
        let proxy = |intent, host: &str, target: &str| {
            let fields = [
                ("intent", intent),
                ("name", "F"),
                ("host", host),
                ("port", "3128"),
                ("scheme", "http"),
                ("authentication", "transparent"),
                ("timeout_s", "1"),
                ("target", target),
            ];
            ground.form("/company/settings/proxies/new", &fields)
        };
        let engine = |intent| {
            let fields = [
                ("intent", intent),
                ("name", "F"),
                ("type", "custom_http"),
                ("api_url", &*url),
                ("status", "active"),
                ("capabilities.url", "on"),
                ("cache_hours", "1"),
                ("timeout_s", "30"),
                ("proxy", "none"),
            ];
            ground.form("/incident-responder/integrations/new", &fields)
        };
        let form = |host: &str| {
            json!({"name": "F", "host": host, "port": "3128", "scheme": "http", "authentication": "transparent", "username": "", "password": "keep",
                "is_default": false, "bypass": "", "ca_pem": "", "timeout_s": "1", "fallback": ""})
        };
        for (by, answer) in [
            ("form: save a proxy", proxy("save", spelling, "")),
            ("form: test a proxy", proxy("test", spelling, "")),
            ("form: test a target", proxy("test", "proxy.example", &url)),
            ("form: save an integration", engine("save")),
            ("form: test an integration", engine("test")),
            (
                "form: webhook",
                ground.form(
                    "/company/settings/checks",
                    &[("every_minutes", "0"), ("webhook_url", &url), ("webhook_proxy", "none")],
                ),
            ),
            ("function: create", ground.function("proxies/create", &json!({"form": form(spelling)}))),
            (
                "function: replace",
                ground.function("proxies/replace", &json!({"id": ground.proxy, "version": 1, "form": form(spelling)})),
            ),
            (
                "function: test a draft",
                ground.function("proxies/test-draft", &json!({"id": null, "form": form(spelling), "target": ""})),
            ),
            (
                "function: test a target",
                ground.function("proxies/test-draft", &json!({"id": null, "form": form("proxy.example"), "target": url})),
            ),
            ("function: test what is saved", ground.function("proxies/test-saved", &json!({"id": ground.proxy, "target": url}))),
        ] {
            assert!(answer.text.contains(REFUSED), "{spelling}, {by}: {} {}", answer.status, answer.text);
        }
    }
    assert_eq!(kept(), before, "nothing of it was stored");
    assert_eq!(dns.asked(), Vec::<String>::new());
}

/// Addresses that names lead to, below; none of them may be told to anybody.
#[rustfmt::skip]
const LEADS_TO: &[&str] = &[
    "127.0.0.1", "127.77.66.55", "0.0.0.0", "0.77.66.55", "10.77.66.55", "172.20.77.66", "192.168.77.66", "169.254.77.66", "169.254.169.254",
    "168.63.129.16", "100.100.100.200", "100.77.66.55", "192.0.0.192", "192.0.2.77", "198.18.77.66", "198.51.100.77", "203.0.113.77",
    "192.88.99.77", "224.77.66.55", "240.77.66.55", "255.255.255.255", "::1", "::", "::ffff:10.77.66.55", "::ffff:127.0.0.1", "::127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b:1::a4d:4237", "2002:7f00:1::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2606:4700::5efe:10.77.66.55",
    "fe80::77:66", "fec0::77:66", "fc00::77:66", "fd77:66::55", "fd00:ec2::254", "ff02::77", "100::77", "2001:db8::77:66", "3fff::77", "4000::77",
];

#[test]
fn what_a_name_leads_to_is_vetted_and_not_told() {
    let leads_to = |name: &str| -> Option<Vec<IpAddr>> {
        let address = |text: &str| text.parse::<IpAddr>().expect(text);
        match name.strip_suffix(".names.example")? {
            zone if zone.ends_with(".zone") => Some(vec![address("10.77.66.55")]),
            "both" => Some(vec![address("127.0.0.1"), address("::1"), address("10.77.66.55")]),
            number => Some(vec![address(LEADS_TO[number.strip_prefix('n')?.parse::<usize>().ok()?])]),
        }
    };
    let dns = NameServer::start(leads_to);
    let listener = Counting::start("127.0.0.1:0");
    let ground = Ground::start(&dns.address());
    let server = &ground.server;
    let mut names: Vec<String> = (0..LEADS_TO.len()).map(|number| format!("n{number}.names.example")).collect();
    names.push("both.names.example".into());
    let open = listener.port;
    let told = Mutex::new(BTreeSet::new());
    beside(&names, 4, |name| {
        // An open port, and one where nobody listens.
        for port in [open, 1] {
            let url = format!("http://{name}:{port}/");
            for scheme in ["http", "https", "socks5", "socks5h"] {
                let draft = json!({"proxy": {"host": name, "port": port, "scheme": scheme}});
                told.lock().expect("not poisoned").insert(bare(server.post("/api/v1/proxies/test", &draft), "proxy"));
            }
            let mut draft = integration("custom_http", name);
            draft["api_url"] = json!(url);
            told.lock().expect("not poisoned").insert(bare(server.post("/api/v1/integrations/test", &draft), "integration"));
        }
    });
    // One answer for each of the two, whatever the name leads to and whether anybody listens there.
    let told = told.into_inner().expect("not poisoned");
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told.iter().all(|told| told.contains(NOT_ALLOWED) && told.contains("address_not_allowed")), "{told:#?}");

    // A zone that is asked over DNS: one with private addresses is as one with none.
    let asked = |zone: &str| {
        let body = json!({"name": "Z", "type": "spamhaus_dns", "api_url": format!("https://{zone}.names.example/")});
        let mut report = server.post("/api/v1/integrations/test", &body).expect(200);
        report.as_object_mut().expect("an object").remove("target");
        report
    };
    assert_eq!(asked("zone"), asked("empty"));

    // What is saved: tested, looked up with, told of, by itself.
    let name = "n4.names.example";
    let proxy = json!({"name": "Named", "host": name, "port": open, "is_default": true, "timeout_s": 2});
    let proxy = server.post("/api/v1/proxies", &proxy).expect(201)["id"].as_str().expect("an id").to_string();
    let second = json!({"name": "First", "host": "nowhere.example", "port": 1, "fallback": proxy, "timeout_s": 2});
    let first = server.post("/api/v1/proxies", &second).expect(201)["id"].as_str().expect("an id").to_string();
    server.delete(&format!("/api/v1/integrations/{}", ground.integration));
    for (called, api_url, choice) in [
        ("Direct", format!("http://{name}:{open}/"), json!({"choice": "none"})),
        ("Through", "https://engine.example/".to_string(), json!({"choice": "default"})),
        ("Instead", "https://engine.example/".to_string(), json!({"choice": "setting", "id": first})),
    ] {
        let body = json!({"name": called, "type": "custom_http", "api_url": api_url, "proxy": choice, "timeout_s": 5});
        let made = server.post("/api/v1/integrations", &body).expect(201);
        let report =
            server.post(&format!("/api/v1/integrations/{}/test", made["id"].as_str().expect("an id")), &json!({})).expect(200);
        assert_eq!(report["cause"], json!("address_not_allowed"), "{called}: {report}");
    }
    let spamhaus = json!({"name": "Zone", "type": "spamhaus_dns", "api_url": format!("https://{name}/")});
    server.post("/api/v1/integrations", &spamhaus).expect(201);
    let hook =
        json!({"webhook_url": format!("http://{name}:{open}/hook"), "webhook_proxy": {"choice": "none"}, "every_minutes": 5});
    server.put("/api/v1/checks", &hook).expect(200);
    server.wait_for("/api/v1/checks", |view| view["last_message"]["cause"] == json!("address_not_allowed"));
    server.wait_for(&format!("/api/v1/proxies/{proxy}"), |view| view["last_test"]["cause"] == json!("address_not_allowed"));
    let saved = server.post(&format!("/api/v1/proxies/{proxy}/test"), &json!({})).expect(200);
    assert_eq!((&saved["cause"], &saved["message"]), (&json!("address_not_allowed"), &json!(NOT_ALLOWED)));
    let analysis = server.analyse(&json!({"ip": "8.8.4.4"}));
    let causes: Vec<_> = analysis["results"].as_array().expect("results").iter().map(|result| result["cause"].as_str()).collect();
    assert_eq!(causes.iter().filter(|cause| **cause == Some("address_not_allowed")).count(), 3, "{analysis}");

    // Nowhere does a user read what the names led to.
    let id = analysis["id"].as_str().expect("an id");
    let mut pages = vec![analysis.to_string(), saved.to_string()];
    for path in [
        "/api/v1/proxies",
        "/api/v1/integrations",
        "/api/v1/checks",
        "/api/v1/checks/changes",
        "/api/v1/traffic?limit=200",
        "/api/v1/traffic.csv",
        "/company/settings/proxies",
        "/company/settings/checks",
        "/incident-responder/integrations",
        "/incident-responder/traffic",
        &format!("/incident-responder/analyses/{id}"),
        &format!("/company/settings/proxies/{proxy}"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.text.len() > 20, "{path}");
        pages.push(answer.text);
    }
    for page in pages {
        assert!(!page.contains("77.66") && !page.contains("169.254"), "{page}");
    }
    let records = server.traffic();
    assert!(records.iter().filter(|record| record["cause"] == "address_not_allowed").count() > 80, "{}", records.len());
    assert_eq!(listener.accepted(), 0, "nobody connected");
    assert!(dns.asked().len() > names.len() * 10, "the names were looked up");
}

#[test]
fn addresses_to_let_in_are_shown_where_a_proxy_is_entered() {
    let server = Start::new().env("GATEHOUSE_OUTGOING_ADDRESSES", "203.0.113.10, 203.0.113.64/28,2001:db8::1").start();
    let told = server.get("/api/v1/installation").expect(200);
    let addresses = json!(["203.0.113.10", "203.0.113.64/28", "2001:db8::1"]);
    assert_eq!(told, json!({"edition": "on-premise", "outgoing_addresses": addresses}));
    let id = server.proxy("Saved")["id"].as_str().expect("an id").to_string();
    for page in ["new", &id] {
        let page = server.get(&format!("/company/settings/proxies/{page}")).text;
        assert!(
            page.contains("Allow these addresses to reach your proxy")
                && page.contains("203.0.113.10, 203.0.113.64/28, 2001:db8::1"),
            "{page}"
        );
    }
    assert_eq!(send("GET", &format!("{}/api/v1/installation", server.url), &[], None).status, 401);
    let silent = Start::new().start();
    assert_eq!(silent.get("/api/v1/installation").expect(200)["outgoing_addresses"], json!([]));
    assert!(!silent.get("/company/settings/proxies/new").text.contains("Allow these addresses"));
    for (setting, value) in [("OUTGOING_ADDRESSES", "203.0.113.0/33"), ("NAME_SERVERS", "ns.example")] {
        let folder = tempfile::tempdir().expect("a folder");
        let env = [(format!("GATEHOUSE_{setting}"), value.to_string())];
        let refused = run(program(folder.path(), &env).arg("serve"), "");
        let says = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && says.contains(&format!("{setting}: '{value}' is")), "{says}");
    }
}

/// An answer of a test, without what is different each time: times, and the name that was given.
fn bare(answer: Answer, kind: &str) -> String {
    let mut report = answer.expect(200);
    assert_eq!(report["stages"][0]["stage"], json!("resolve"), "{report}");
    assert_eq!(report["stages"][0]["status"], json!("failed"), "{report}");
    report.as_object_mut().expect("an object").remove("target");
    for stage in report["stages"].as_array_mut().expect("a list") {
        let stage = stage.as_object_mut().expect("an object");
        let ms = stage.remove("ms").and_then(|ms| ms.as_u64());
        assert!(ms.is_none_or(|ms| ms < 5000), "{stage:?}");
    }
    format!("{kind}: {report}")
}

#[test]
fn what_was_saved_before_is_not_dialled_either() {
    let listener = Counting::start("127.0.0.1:0");
    let mut before = Start::new().env("GATEHOUSE_SECRET_KEY_FILE", "key").start_with_key();
    let body = json!({"name": "Old", "host": "127.0.0.1", "port": listener.port, "is_default": true, "timeout_s": 2});
    let proxy = before.post("/api/v1/proxies", &body).expect(201)["id"].as_str().expect("an id").to_string();
    let body = json!({"name": "Old", "type": "custom_http", "api_url": format!("http://localhost:{}/", listener.port), "proxy": {"choice": "none"}});
    let engine = before.post("/api/v1/integrations", &body).expect(201)["id"].as_str().expect("an id").to_string();
    before.post(&format!("/api/v1/integrations/{engine}/test"), &json!({})).expect(200);
    let accepted = listener.accepted();
    assert!(accepted > 0, "on-premise it is what people have");
    before.stop();
    let mut server =
        Start::in_folder(before.folder.clone()).env("GATEHOUSE_EDITION", "cloud").env("GATEHOUSE_SECRET_KEY_FILE", "key").start();
    server.token = before.token.clone();
    for path in [format!("/api/v1/proxies/{proxy}"), format!("/api/v1/integrations/{engine}")] {
        let report = server.post(&format!("{path}/test"), &json!({})).expect(200);
        assert_eq!(report["cause"], json!("address_not_allowed"), "{report}");
        assert_eq!(server.post(&format!("{path}/duplicate"), &json!({})).status, 422);
    }
    let analysis = server.analyse(&json!({"url": "https://somewhere.example/"}));
    assert_eq!(analysis["results"][0]["cause"], json!("address_not_allowed"), "{analysis}");
    assert_eq!(listener.accepted(), accepted, "nobody connected");
}

/// The address of the public internet that names flip from, in a network of the test's own.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(93, 184, 215, 14);
/// How often a name is used that flips.
const FLIPS: usize = 1000;

/// In a network namespace a public address is this machine's: what is dialled there arrives, and what is not can be told from what can't be.
#[test]
fn a_name_that_flips_its_answer_never_leads_inside() {
    in_a_network_of_its_own("inside", "");
}

#[test]
fn a_name_of_the_machines_own_hosts_file_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("hosts"), "127.0.0.1 localhost\n127.0.0.1 in-hosts.example\n").expect("written");
    // Nobody listens there, which is told at once.
    std::fs::write(path("resolv.conf"), "nameserver 127.0.0.1\nsearch example\n").expect("written");
    let mounts =
        format!("mount --bind {} /etc/hosts && mount --bind {} /etc/resolv.conf && ", path("hosts"), path("resolv.conf"));
    in_a_network_of_its_own("inside_with_hosts", &mounts);
}

#[track_caller]
fn in_a_network_of_its_own(test: &str, before: &str) {
    let mut command = Command::new("unshare");
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"));
    if !is_root {
        command.args(["--user", "--map-root-user"]);
    }
    let script = format!(
        "{before}ip link set lo up && ip addr add {PUBLIC}/32 dev lo && exec \"$0\" --exact vetting::{test} --ignored --nocapture"
    );
    command.args(["--net", "--mount", "sh", "-c", &script]).arg(std::env::current_exe().expect("a path"));
    let output = command.output().expect("unshare (util-linux), ip (iproute2)");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    // For whoever wants to see the numbers (--no-capture).
    println!("{said}");
}

#[test]
#[ignore = "started by a test above"]
fn inside_with_hosts() {
    let cause = |edition: &str, host: &str| {
        let server = Start::new().env("GATEHOUSE_EDITION", edition).env("GATEHOUSE_SECRET_KEY_FILE", "key").start_with_key();
        let report = server.post("/api/v1/proxies/test", &json!({"proxy": {"host": host, "port": 1}})).expect(200);
        report["cause"].as_str().expect("a cause").to_string()
    };
    for host in ["in-hosts.example", "in-hosts"] {
        assert_eq!(cause("cloud", host), "name_not_found", "{host}");
    }
    assert_eq!(cause("on-premise", "in-hosts.example"), "connection_refused", "on-premise it is one");
}

#[test]
#[ignore = "started by a test above"]
fn inside() {
    let public = Counting::start(&format!("{PUBLIC}:0"));
    let private = Counting::start(&format!("127.0.0.1:{}", public.port));
    let socks = Socks::start();
    let turns = AtomicUsize::new(0);
    let dns = NameServer::start(move |name| match name {
        // Another answer each time, and none of IPv6.
        "flip.example" if turns.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) => Some(vec![PUBLIC.into()]),
        "flip.example" => Some(vec![Ipv4Addr::LOCALHOST.into()]),
        // Both at once, the private one first.
        "both.example" => Some(vec![Ipv4Addr::LOCALHOST.into(), PUBLIC.into()]),
        "public.example" => Some(vec![PUBLIC.into()]),
        _ => None,
    });
    let ground = Ground::start(&dns.address());
    let server = &ground.server;
    let port = public.port;
    let proxy = json!({"name": "Flipping", "host": "flip.example", "port": port, "timeout_s": 5});
    let proxy = server.post("/api/v1/proxies", &proxy).expect(201)["id"].as_str().expect("an id").to_string();
    let engine = json!({"name": "Flipping", "type": "custom_http", "api_url": format!("http://flip.example:{port}/"), "proxy": {"choice": "none"}, "cache_hours": 0});
    let draft = {
        let mut draft = engine.clone();
        draft["name"] = json!("Draft");
        draft
    };
    let engine = server.post("/api/v1/integrations", &engine).expect(201)["id"].as_str().expect("an id").to_string();
    let hook = json!({"webhook_url": format!("http://flip.example:{port}/hook"), "webhook_proxy": {"choice": "none"}});
    server.put("/api/v1/checks", &hook).expect(200);

    let causes: Mutex<BTreeMap<String, usize>> = Mutex::default();
    let turns: Vec<usize> = (0..FLIPS).collect();
    beside(&turns, 6, |turn| {
        let report = match turn % 6 {
            0 => server.post("/api/v1/proxies/test", &json!({"proxy": {"host": "flip.example", "port": port}})),
            1 => server.post(&format!("/api/v1/proxies/{proxy}/test"), &json!({})),
            2 => server.post("/api/v1/integrations/test", &draft),
            3 => server.post(&format!("/api/v1/integrations/{engine}/test"), &json!({})),
            4 => {
                // The target's name is looked up here, and its address told to the proxy.
                let draft = json!({"host": "public.example", "port": socks.port, "scheme": "socks5"});
                server.post("/api/v1/proxies/test", &json!({"proxy": draft, "target": format!("http://flip.example:{port}/")}))
            }
            _ => {
                let mut analysis = server.analyse(&json!({"ip": format!("8.8.{}.{}", turn / 200, turn % 200)}));
                let cause =
                    analysis["results"].as_array().expect("results").iter().find(|one| one["integration"]["name"] == "Flipping");
                let cause = cause.map(|one| one["cause"].clone()).unwrap_or_default();
                analysis["cause"] = cause;
                Answer { status: 200, headers: Vec::new(), text: String::new(), body: analysis, bytes: Vec::new() }
            }
        };
        let report = report.expect(200);
        let cause = report["cause"].as_str().unwrap_or_else(|| panic!("{report}"));
        *causes.lock().expect("not poisoned").entry(format!("{} {cause}", turn % 6)).or_default() += 1;
    });
    for turn in 0..20 {
        let draft = json!({"proxy": {"host": "both.example", "port": port}});
        let report = server.post("/api/v1/proxies/test", &draft).expect(200);
        assert_ne!(report["cause"], json!("address_not_allowed"), "{turn}: the public one is dialled");
    }
    let causes = causes.into_inner().expect("not poisoned");
    println!(
        "{FLIPS} uses: {causes:?}; connections: {} public, {} private; SOCKS was asked for {:?}",
        public.accepted(),
        private.accepted(),
        socks.asked()
    );
    assert_eq!(private.accepted(), 0, "somebody looked again");
    for kind in 0..6 {
        let (no, yes): (Vec<_>, Vec<_>) = causes
            .iter()
            .filter(|(key, _)| key.starts_with(&kind.to_string()))
            .partition(|(key, _)| key.ends_with("address_not_allowed"));
        assert!(no.iter().any(|(_, times)| **times > 20) && yes.iter().any(|(_, times)| **times > 5), "{kind}: {causes:?}");
    }
    assert!(public.accepted() > 200, "{}", public.accepted());
    assert_eq!(socks.asked().keys().copied().collect::<Vec<_>>(), [PUBLIC]);
    let hooked = server.get("/api/v1/checks").expect(200);
    assert!(hooked["last_message"].is_object(), "{hooked}");
}

/// Counts connections, and answers each request with 502.
struct Counting {
    port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Counting {
    fn start(address: &str) -> Self {
        let listener = TcpListener::bind(address).expect(address);
        let port = listener.local_addr().expect("an address").port();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        serve_spy(listener, seen.clone());
        Self { port, seen }
    }

    fn accepted(&self) -> usize {
        self.seen.lock().expect("not poisoned").len()
    }
}

/// A SOCKS5 proxy at the public address that notes what it is asked for, and refuses.
struct Socks {
    port: u16,
    seen: Arc<Mutex<BTreeMap<Ipv4Addr, usize>>>,
}

impl Socks {
    fn start() -> Self {
        use std::io::{Read as _, Write as _};
        let listener = TcpListener::bind((PUBLIC, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen: Arc<Mutex<BTreeMap<Ipv4Addr, usize>>> = Arc::default();
        let sink = seen.clone();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let sink = sink.clone();
                thread::spawn(move || -> std::io::Result<()> {
                    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
                    let mut hello = [0; 3];
                    stream.read_exact(&mut hello)?;
                    stream.write_all(&[5, 0])?;
                    let mut request = [0; 10];
                    stream.read_exact(&mut request)?;
                    assert_eq!(request[3], 1, "an IPv4 address");
                    let asked = Ipv4Addr::new(request[4], request[5], request[6], request[7]);
                    *sink.lock().expect("not poisoned").entry(asked).or_default() += 1;
                    stream.write_all(&[5, 5, 0, 1, 0, 0, 0, 0, 0, 0])
                });
            }
        });
        Self { port, seen }
    }

    fn asked(&self) -> BTreeMap<Ipv4Addr, usize> {
        self.seen.lock().expect("not poisoned").clone()
    }
}

/// A name server (RFC 1035) that answers what it is told to, for no time at all. `None`: there is no such name.
struct NameServer {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    fn start(answers: impl Fn(&str) -> Option<Vec<IpAddr>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let port = socket.local_addr().expect("an address").port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let sink = asked.clone();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let query = &buffer[..length];
                let (mut name, mut at) = (String::new(), 12);
                while query[at] != 0 {
                    let label = &query[at + 1..at + 1 + usize::from(query[at])];
                    name =
                        if name.is_empty() { String::new() } else { name + "." } + &String::from_utf8_lossy(label).to_lowercase();
                    at += 1 + usize::from(query[at]);
                }
                let is_v6 = query[at + 1..at + 3] == [0, 28];
                sink.lock().expect("not poisoned").push(name.clone());
                // A question for IPv6 is no turn of a name that flips: it has no such address.
                let found = match is_v6 && name == "flip.example" {
                    true => Some(Vec::new()),
                    false => answers(&name),
                };
                let code = if found.is_some() { 0x80 } else { 0x83 };
                let records: Vec<_> =
                    found.unwrap_or_default().into_iter().filter(|address| address.is_ipv6() == is_v6).collect();
                let count = u8::try_from(records.len()).expect("few");
                let mut answer = [&query[..2], &[0x85, code, 0, 1, 0, count, 0, 0, 0, 0], &query[12..at + 5]].concat();
                for address in records {
                    answer.extend([0xc0, 12, 0, if is_v6 { 28 } else { 1 }, 0, 1, 0, 0, 0, 0, 0, if is_v6 { 16 } else { 4 }]);
                    match address {
                        IpAddr::V4(address) => answer.extend(address.octets()),
                        IpAddr::V6(address) => answer.extend(Ipv6Addr::octets(&address)),
                    }
                }
                let _ = socket.send_to(&answer, from);
            }
        });
        Self { port, asked }
    }

    /// As `NAME_SERVERS` takes it.
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Names that were asked for, but those that the server itself wants to know.
    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}
