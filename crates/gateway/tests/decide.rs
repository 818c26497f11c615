//! What a policy says about requests: each field of a rule, names and addresses, who and when.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::{
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use gatehouse_gateway::{
    names::Host,
    policy::{Account, Action, Decision, Egress, GroupSet, Level, Policy, Question, Scheme, Upstream, Way, Who, Why},
};
use proptest::prelude::*;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$S1xOU8c4WHtOHpRRcq1aZHdDEQEFXnVV9qjQm8UZRyI";

fn policy(text: &str) -> Policy {
    Policy::parse(&text.replace("HASH", HASH), Path::new("")).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    })
}

/// A question with everything usual.
#[derive(Debug)]
struct Ask {
    client: IpAddr,
    person: Option<&'static str>,
    groups: GroupSet,
    host: Host,
    port: u16,
    scheme: Scheme,
    method: &'static str,
    at: SystemTime,
}

fn get(host: &str) -> Ask {
    Ask {
        client: "10.0.0.7".parse().unwrap(),
        person: None,
        groups: GroupSet::default(),
        host: Host::parse(host).unwrap_or_else(|e| panic!("{host}: {e}")),
        port: 80,
        scheme: Scheme::Http,
        method: "GET",
        // A Thursday, 00:00 UTC.
        at: SystemTime::UNIX_EPOCH,
    }
}

fn connect(host: &str) -> Ask {
    Ask { port: 443, scheme: Scheme::Connect, method: "CONNECT", ..get(host) }
}

impl Ask {
    fn question(&self) -> Question<'_> {
        Question {
            client: self.client,
            person: self.person,
            groups: &self.groups,
            host: &self.host,
            port: self.port,
            scheme: self.scheme,
            method: self.method,
            at: self.at,
        }
    }

    fn of(&self, policy: &Policy) -> Option<String> {
        rule(&policy.decide(&self.question()))
    }

    fn resolved(&self, policy: &Policy, addresses: &[&str]) -> Option<String> {
        let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
        rule(&policy.decide_resolved(&self.question(), &addresses))
    }
}

fn rule(decision: &Decision<'_>) -> Option<String> {
    decision.rule.map(str::to_string)
}

/// One rule of this kind, `r`.
fn one(fields: &str) -> Policy {
    policy(&format!(
        "[network]\nconnect_ports = \"1-65535\"\nhttp_ports = \"1-65535\"\n\
         [[person]]\nname = \"ann\"\npassword = \"HASH\"\ngroups = [\"staff\"]\n\
         [[person]]\nname = \"bob\"\npassword = \"HASH\"\n\
         [[category]]\nname = \"ads\"\nlevel = \"caution\"\nhosts = [\".ads.example\", \"198.51.100.0/24\"]\n\
         [[category]]\nname = \"malware\"\nlevel = \"unsafe\"\nhosts = [\"*.evil.example\", \"bad.ads.example\"]\n\
         [[rule]]\nname = \"r\"\naction = \"allow\"\n{fields}\n"
    ))
}

#[test]
fn without_rules_everything_is_refused() {
    let policy = policy("");
    let ask = get("example.com");
    let decision = policy.decide(&ask.question());
    assert_eq!((decision.action, decision.why), (Action::Deny, Why::NoRule));
    assert_eq!(decision.reason, "The policy has no rules.");
    assert!(!policy.needs_person());
    assert_eq!(policy.settings().listen.addresses, ["127.0.0.1:3128".parse().unwrap()]);
}

#[test]
fn the_first_rule_that_applies_decides() {
    let policy = policy(
        r#"
        [[rule]]
        name = "no ads"
        action = "deny"
        to = ".ads.example"
        reason = "Advertisements waste everybody's time."
        [[rule]]
        name = "all"
        action = "allow"
        [[rule]]
        name = "never reached"
        action = "deny"
        "#,
    );
    let ask = get("x.ads.example");
    let decision = policy.decide(&ask.question());
    assert_eq!((decision.action, decision.why, decision.rule), (Action::Deny, Why::Rule(0), Some("no ads")));
    assert_eq!(decision.reason, "Advertisements waste everybody's time.");
    assert_eq!(get("example.com").of(&policy).as_deref(), Some("all"));
}

#[test]
fn where_to() {
    for (to, host, applies) in [
        ("example.com", "example.com", true),
        ("example.com", "EXAMPLE.com.", true),
        ("example.com", "www.example.com", false),
        ("*.example.com", "www.example.com", true),
        ("*.example.com", "a.b.example.com", true),
        ("*.example.com", "example.com", false),
        ("*.example.com", "badexample.com", false),
        (".example.com", "example.com", true),
        (".example.com", "www.example.com", true),
        (".example.com", "badexample.com", false),
        ("bücher.example", "xn--bcher-kva.example", true),
        (".xn--bcher-kva.example", "www.BÜCHER.example", true),
        ("192.0.2.0/24", "192.0.2.7", true),
        ("192.0.2.7", "192.0.2.7", true),
        ("192.0.2.7", "0xc0000207", true),
        ("192.0.2.7", "[::ffff:c000:207]", true),
        ("192.0.2.7", "[64:ff9b::c000:207]", true),
        ("192.0.2.0/24", "192.0.3.7", false),
        ("192.0.2.0/24", "example.com", false),
        ("::/0", "192.0.2.7", false),
        ("::/0", "[2001:db8::1]", true),
        ("::ffff:192.0.2.0/120", "192.0.2.7", true),
        ("2001:db8::/32", "[2001:db8::1]", true),
        ("[2001:db8::1]", "[2001:db8::1]", true),
        ("com", "example.com", false),
        ("*.com", "example.com", true),
    ] {
        let policy = one(&format!("to = \"{to}\""));
        assert_eq!(get(host).of(&policy).is_some(), applies, "{to} {host}");
    }
}

#[test]
fn every_other_field() {
    let at = |days: u64, hour: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_400 + hour * 3600);
    let here = || get("example.com");
    for (fields, ask, applies) in [
        ("networks = \"10.0.0.0/8\"", here(), true),
        ("networks = \"10.0.0.0/8\"", Ask { client: "::ffff:10.1.1.1".parse().unwrap(), ..here() }, true),
        ("networks = [\"192.168.0.0/16\", \"10.0.1.0/24\"]", here(), false),
        ("ports = 80", here(), true),
        ("ports = [443, \"8000-8999\"]", here(), false),
        ("ports = [443, \"8000-8999\"]", Ask { port: 8080, ..here() }, true),
        ("ports = [443, \"8000-8999\"]", Ask { port: 9000, ..here() }, false),
        ("ports = \"65535\"", Ask { port: 65535, ..here() }, true),
        ("methods = [\"GET\", \"HEAD\"]", here(), true),
        ("methods = [\"GET\", \"HEAD\"]", Ask { method: "POST", ..here() }, false),
        ("methods = [\"GET\", \"HEAD\"]", Ask { method: "get", ..here() }, false),
        ("schemes = \"connect\"", here(), false),
        ("schemes = \"connect\"", connect("example.com"), true),
        ("schemes = [\"http\", \"https\"]", Ask { scheme: Scheme::Https, ..here() }, true),
        ("people = \"ann\"", here(), false),
        ("people = \"ann\"", Ask { person: Some("ann"), ..here() }, true),
        ("people = \"ann\"", Ask { person: Some("bob"), ..here() }, false),
        ("groups = \"staff\"", Ask { person: Some("ann"), groups: GroupSet::new(["staff", "x"]), ..here() }, true),
        ("groups = \"staff\"", Ask { person: Some("ann"), ..here() }, false),
        ("people = \"bob\"\ngroups = \"staff\"", Ask { person: Some("bob"), ..here() }, true),
        ("people = \"bob\"\ngroups = \"staff\"", Ask { person: Some("ann"), groups: GroupSet::new(["staff"]), ..here() }, true),
        ("categories = \"ads\"", get("x.ads.example"), true),
        ("categories = \"ads\"", get("bad.ads.example"), true),
        ("categories = [\"malware\"]", get("x.ads.example"), false),
        ("categories = [\"malware\"]", get("evil.example"), false),
        ("categories = [\"malware\"]", get("x.evil.example"), true),
        ("categories = \"ads\"", get("198.51.100.9"), true),
        ("categories = \"ads\"\nto = \"ads.example\"", get("x.ads.example"), false),
        ("below = \"caution\"", get("x.ads.example"), false),
        ("below = \"caution\"", get("bad.ads.example"), true),
        ("below = \"safe\"", get("x.ads.example"), true),
        ("below = \"safe\"", here(), false),
        ("days = \"thu\"", here(), true),
        ("days = \"fri-wed\"", here(), false),
        ("days = \"fri-wed\"", Ask { at: at(4, 0), ..here() }, true),
        ("days = [\"sat\", \"sun\"]", Ask { at: at(2, 23), ..here() }, true),
        ("hours = \"08:00-18:00\"", Ask { at: at(0, 8), ..here() }, true),
        ("hours = \"08:00-18:00\"", Ask { at: at(0, 18), ..here() }, false),
        ("hours = [\"06:00-07:00\", \"08:00-18:00\"]", Ask { at: at(0, 6), ..here() }, true),
        ("days = \"thu\"\nhours = \"22:00-06:00\"", Ask { at: at(0, 23), ..here() }, true),
        ("days = \"thu\"\nhours = \"22:00-06:00\"", Ask { at: at(1, 5), ..here() }, true),
        ("days = \"thu\"\nhours = \"22:00-06:00\"", Ask { at: at(0, 5), ..here() }, false),
        ("days = \"sun\"\nhours = \"22:00-06:00\"", Ask { at: at(4, 5), ..here() }, true),
        ("hours = \"01:00-02:00\"\ntime_zone = \"Europe/Berlin\"", here(), true),
        ("hours = \"01:00-02:00\"\ntime_zone = \"America/New_York\"", here(), false),
        // In summer, Berlin is two hours ahead.
        ("hours = \"02:00-03:00\"\ntime_zone = \"Europe/Berlin\"", Ask { at: at(18_080 + 365 * 4, 0), ..here() }, true),
        ("days = \"wed\"\nhours = \"19:00-20:00\"\ntime_zone = \"America/New_York\"", here(), true),
    ] {
        assert_eq!(ask.of(&one(fields)).is_some(), applies, "{fields} {:?}", ask.question());
    }
}

#[test]
fn ports_and_clients_are_closed_before_any_rule() {
    let policy = policy("[[rule]]\nname = \"all\"\naction = \"allow\"");
    for (ask, why) in [
        (get("example.com"), Why::Rule(0)),
        (Ask { port: 25, ..get("example.com") }, Why::Port),
        (Ask { port: 1024, ..get("example.com") }, Why::Port),
        (Ask { port: 1025, ..get("example.com") }, Why::Rule(0)),
        (Ask { port: 443, ..get("example.com") }, Why::Rule(0)),
        (connect("example.com"), Why::Rule(0)),
        (Ask { port: 22, ..connect("example.com") }, Why::Port),
        (Ask { client: "8.8.8.8".parse().unwrap(), ..get("example.com") }, Why::Client),
        (Ask { client: "2001:db8::1".parse().unwrap(), ..get("example.com") }, Why::Client),
        (Ask { client: "fd00::7".parse().unwrap(), ..get("example.com") }, Why::Rule(0)),
        (Ask { client: "::ffff:127.0.0.1".parse().unwrap(), ..get("example.com") }, Why::Rule(0)),
    ] {
        assert_eq!(policy.decide(&ask.question()).why, why, "{:?}", ask.question());
        assert_eq!(policy.serves(ask.client), why != Why::Client);
    }
    let ask = Ask { port: 22, ..connect("example.com") };
    assert_eq!(policy.decide(&ask.question()).reason, "Tunnels to port 22 are not allowed by this gateway.");
}

#[test]
fn networks_of_rules_hold_for_what_a_name_resolves_to() {
    let policy = policy(
        r#"
        [[rule]]
        name = "by name"
        action = "deny"
        to = "bad.example"
        [[rule]]
        name = "not there"
        action = "deny"
        to = ["198.51.100.0/24", "2001:db8::/32"]
        [[rule]]
        name = "our own"
        action = "allow"
        to = ["192.0.2.0/24", "*.corp.example"]
        "#,
    );
    let decide = |host: &str| {
        let ask = get(host);
        let decision = policy.decide(&ask.question());
        (rule(&decision), decision.addresses_matter)
    };
    assert_eq!(decide("bad.example"), (Some("by name".into()), false), "final: it need not be resolved");
    assert_eq!(decide("a.corp.example"), (Some("our own".into()), true));
    assert_eq!(decide("other.example"), (None, true), "what it resolves to could allow it");
    assert_eq!(decide("192.0.2.1"), (Some("our own".into()), false));
    for (host, addresses, expected) in [
        ("other.example", &["192.0.2.1"][..], Some("our own")),
        ("other.example", &["192.0.2.1", "192.0.2.2"], Some("our own")),
        ("other.example", &["192.0.2.1", "203.0.113.1"], None),
        ("other.example", &["192.0.2.1", "198.51.100.1"], Some("not there")),
        ("other.example", &["203.0.113.1"], None),
        ("a.corp.example", &["203.0.113.1"], Some("our own")),
        ("a.corp.example", &["203.0.113.1", "2001:db8::9"], Some("not there")),
        ("a.corp.example", &["64:ff9b::c633:6401"], Some("not there")),
        ("bad.example", &["192.0.2.1"], Some("by name")),
    ] {
        assert_eq!(get(host).resolved(&policy, addresses).as_deref(), expected, "{host} {addresses:?}");
    }
    let ask = get("other.example");
    assert!(!policy.decide_resolved(&ask.question(), &["192.0.2.1".parse().unwrap()]).addresses_matter);
    assert!(policy.decide_resolved(&ask.question(), &[]).addresses_matter);
}

#[test]
fn categories_of_addresses_hold_for_what_a_name_resolves_to() {
    let policy = policy(
        r#"
        [[category]]
        name = "botnet"
        level = "unsafe"
        hosts = ["198.51.100.0/24"]
        [[category]]
        name = "ours"
        level = "safe"
        hosts = ["192.0.2.0/24"]
        [levels]
        unlisted = "caution"
        [[rule]]
        name = "nothing below caution"
        action = "deny"
        below = "caution"
        [[rule]]
        name = "ours"
        action = "allow"
        categories = "ours"
        [[rule]]
        name = "careful"
        action = "deny"
        below = "safe"
        "#,
    );
    let ask = get("x.example");
    let decision = policy.decide(&ask.question());
    assert_eq!((decision.level, decision.addresses_matter, rule(&decision).as_deref()), (Level::Caution, true, Some("careful")));
    assert_eq!(ask.resolved(&policy, &["198.51.100.1", "192.0.2.1"]).as_deref(), Some("nothing below caution"));
    assert_eq!(ask.resolved(&policy, &["192.0.2.1"]).as_deref(), Some("ours"));
    assert_eq!(ask.resolved(&policy, &["192.0.2.1", "203.0.113.1"]).as_deref(), Some("careful"));
    assert_eq!(get("198.51.100.7").of(&policy).as_deref(), Some("nothing below caution"));
    let addresses = ["198.51.100.1".parse().unwrap()];
    let decision = policy.decide_resolved(&ask.question(), &addresses);
    assert_eq!(policy.category_names(decision.categories).collect::<Vec<_>>(), ["botnet"]);
}

#[test]
fn whoever_has_not_signed_in_is_asked_when_it_matters() {
    let policy = policy(
        r#"
        [[person]]
        name = "ann"
        password = "HASH"
        groups = ["staff"]
        [[client]]
        name = "kiosk"
        networks = ["10.9.0.0/16", "10.0.0.5"]
        groups = ["guests"]
        [[client]]
        name = "office"
        networks = "10.0.0.0/8"
        [[rule]]
        name = "public"
        action = "allow"
        to = ".public.example"
        [[rule]]
        name = "guests read no news"
        action = "deny"
        groups = "guests"
        to = ".news.example"
        [[rule]]
        name = "staff"
        action = "allow"
        groups = "staff"
        to = [".work.example", ".news.example"]
        [[rule]]
        name = "the rest"
        action = "allow"
        to = ".news.example"
        "#,
    );
    assert!(policy.needs_person());
    let decide = |host: &str, who: &Who| {
        let ask = get(host);
        let decision = policy.decide(&Question { person: who.person.as_deref(), groups: &who.groups, ..ask.question() });
        (rule(&decision), decision.person_matters)
    };
    let nobody = Who::default();
    assert_eq!(decide("public.example", &nobody), (Some("public".into()), false));
    assert_eq!(decide("work.example", &nobody), (None, true));
    assert_eq!(decide("news.example", &nobody), (Some("the rest".into()), true), "not signing in is no way around a rule");
    assert_eq!(decide("other.example", &nobody), (None, false), "signing in would not help");
    let ann = policy.person("ann").unwrap();
    let ann = Who { person: Some(ann.name.clone()), groups: ann.groups.clone() };
    assert_eq!(decide("work.example", &ann), (Some("staff".into()), false));
    let kiosk = policy.identify("10.9.1.1".parse().unwrap());
    assert_eq!(kiosk.person.as_deref(), Some("kiosk"));
    assert_eq!(policy.identify("::ffff:10.0.0.5".parse().unwrap()), kiosk);
    assert_eq!(policy.identify("10.0.0.6".parse().unwrap()).person.as_deref(), Some("office"), "the narrowest decides");
    assert_eq!(policy.identify("192.168.0.1".parse().unwrap()), nobody);
    assert_eq!(decide("news.example", &kiosk), (Some("guests read no news".into()), false));
    let both = Who { person: ann.person.clone(), groups: ann.groups.union(&kiosk.groups) };
    assert_eq!(both.groups, GroupSet::new(["staff", "guests"]));
    assert!(policy.person("bob").is_none());
}

#[test]
fn a_question_that_the_addresses_may_spare_comes_after_resolving() {
    let policy = policy(
        r#"
        [[person]]
        name = "ann"
        password = "HASH"
        [[rule]]
        name = "ann's servers"
        action = "allow"
        people = "ann"
        to = "192.0.2.0/24"
        [[rule]]
        name = "all"
        action = "allow"
        "#,
    );
    let ask = get("example.com");
    let flags = |decision: Decision<'_>| (decision.person_matters, decision.addresses_matter);
    assert_eq!(flags(policy.decide(&ask.question())), (false, true));
    assert_eq!(flags(policy.decide_resolved(&ask.question(), &["192.0.2.1".parse().unwrap()])), (true, false));
    assert_eq!(flags(policy.decide_resolved(&ask.question(), &["203.0.113.1".parse().unwrap()])), (false, false));
    let bob = Ask { person: Some("bob"), ..get("example.com") };
    assert_eq!(flags(policy.decide(&bob.question())), (false, false));
}

#[test]
fn whether_to_ask_for_a_name_or_to_resolve_first() {
    for (action, person_matters) in [("allow", false), ("deny", true)] {
        let policy = policy(&format!(
            "[[person]]\nname = \"ann\"\npassword = \"HASH\"\n\
             [[rule]]\nname = \"there\"\naction = \"{action}\"\nto = \"192.0.2.0/24\"\n\
             [[rule]]\nname = \"ann\"\naction = \"allow\"\npeople = \"ann\""
        ));
        let ask = get("example.com");
        let decision = policy.decide(&ask.question());
        assert_eq!((decision.person_matters, decision.addresses_matter), (person_matters, true), "{action}");
        let decision = policy.decide_resolved(&ask.question(), &["203.0.113.1".parse().unwrap()]);
        assert_eq!((decision.person_matters, decision.addresses_matter), (true, false), "{action}");
        let decision = policy.decide_resolved(&ask.question(), &["192.0.2.1".parse().unwrap()]);
        assert_eq!((decision.person_matters, decision.why), (false, Why::Rule(0)), "{action}");
    }
}

#[test]
fn a_hash_that_is_made_here_is_taken() {
    let hash = gatehouse_gateway::policy::value::PasswordText::hash("pässword").unwrap();
    let policy = policy(&format!("[[person]]\nname = \"ann\"\npassword = '{}'", hash.as_str()));
    assert_eq!(policy.person("ann").unwrap().password, hash.as_str());
}

#[test]
fn ways_out_limits_and_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "pa:ss wörd\r\n").unwrap();
    let policy = Policy::parse(
        r#"
        [network]
        egress = "line"
        [[egress]]
        name = "line"
        kind = "direct"
        source = "192.0.2.1"
        [[egress]]
        name = "up"
        kind = "upstream"
        url = "https://Proxy.Example:8443"
        username = "us:er"
        password_file = "secret"
        weight = 3
        max_connections = 10
        [[egress_pool]]
        name = "both"
        members = ["up", "line"]
        strategy = "sticky"
        [[limit]]
        name = "all"
        bytes_per_second = "100 MB/s"
        scope = "all"
        [[limit]]
        name = "each"
        requests_per_second = 0.5
        volume_per_day = "2 GiB"
        within = "all"
        [[rule]]
        name = "closed"
        action = "deny"
        to = "closed.example"
        [[rule]]
        name = "up"
        action = "allow"
        to = ".up.example"
        egress = "both"
        cache = false
        limit = "each"
        resolve = true
        [[rule]]
        name = "rest"
        action = "allow"
        "#,
        folder.path(),
    )
    .unwrap();
    let ask = get("up.example");
    let decision = policy.decide(&ask.question());
    assert!(!decision.cache && decision.resolve);
    let Some(Egress::Pool((0, pool))) = decision.egress else { panic!("{:?}", decision.egress) };
    assert_eq!((&*pool.name, &pool.members[..]), ("both", &[1, 0][..]));
    let ask_closed = get("closed.example");
    assert!(policy.decide(&ask_closed.question()).egress.is_none(), "what is refused goes no way out");
    let up = &policy.settings().egresses[1];
    let Way::Upstream(Upstream { url, credentials: Some((user, password)), .. }) = &up.way else { panic!("{:?}", up.way) };
    assert_eq!((url.host.as_str(), url.port, user.as_str(), password.expose()), ("proxy.example", 8443, "us:er", "pa:ss wörd"));
    assert!(!format!("{policy:?}").contains("wörd"), "a secret is in no log");
    let (at, limit) = decision.limit.unwrap();
    assert_eq!((at, limit.within, limit.volume_per_day.unwrap().0), (1, Some(0), 2 << 30));
    assert_eq!(policy.settings().limits[0].bytes_per_second.unwrap().0, 100_000_000);
    let ask = get("example.com");
    let decision = policy.decide(&ask.question());
    assert!(matches!(decision.egress, Some(Egress::One((0, _)))) && decision.cache && decision.limit.is_none());
}

#[test]
fn accounts_of_limits() {
    let policy = policy(
        r#"
        [[limit]]
        name = "person"
        requests_per_second = 1
        [[limit]]
        name = "group"
        requests_per_second = 1
        scope = "group"
        [[limit]]
        name = "network"
        requests_per_second = 1
        scope = "network"
        prefix_v4 = 16
        "#,
    );
    let [person, group, network] = &policy.settings().limits[..] else { panic!() };
    let client: IpAddr = "::ffff:10.1.2.3".parse().unwrap();
    let ann = Who { person: Some("ann".into()), groups: GroupSet::new(["a", "b"]) };
    let nobody = Who::default();
    let accounts = |limit: &gatehouse_gateway::policy::Limit, who: &Who| limit.accounts(client, who).collect::<Vec<_>>();
    assert_eq!(accounts(person, &ann), [Account::Named("ann".into())]);
    assert_eq!(accounts(person, &nobody), [Account::Address("10.1.2.3".parse().unwrap())]);
    assert_eq!(accounts(group, &ann), [Account::Named("a".into()), Account::Named("b".into())]);
    assert_eq!(accounts(group, &nobody), [Account::All]);
    assert_eq!(accounts(network, &ann), [Account::Network("10.1.0.0/16".parse().unwrap())]);
}

#[test]
fn lists_are_read_from_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hosts"), "# hosts\n127.0.0.1 localhost\n0.0.0.0 track.example\n").unwrap();
    std::fs::write(folder.path().join("ads.txt"), "||ads.example^\n@@||good.example^\n").unwrap();
    std::fs::write(folder.path().join("domains"), "porn.example\n10.0.0.0/8\n").unwrap();
    let policy = Policy::parse(
        r#"
        [[category]]
        name = "tracking"
        level = "caution"
        files = ["hosts", "ads.txt"]
        [[category]]
        name = "adult"
        level = "caution"
        files = "domains"
        [[rule]]
        name = "listed"
        action = "deny"
        categories = ["tracking", "adult"]
        "#,
        folder.path(),
    )
    .unwrap();
    for (host, listed) in [
        ("track.example", true),
        ("sub.track.example", false),
        ("ads.example", true),
        ("a.b.ads.example", true),
        ("www.porn.example", true),
        ("10.1.1.1", true),
        ("good.example", false),
    ] {
        assert_eq!(get(host).of(&policy).is_some(), listed, "{host}");
    }
    let summary = policy.summary().to_string();
    assert!(summary.starts_with("1 rule, 2 categories with 3 domains, 1 network, 0 people"), "{summary}");
    assert!(summary.contains("hosts: 1 of 2 lines were passed over"), "{summary}");
    assert!(summary.contains("ads.txt: 1 of 2 lines"), "{summary}");
}

#[test]
fn explanations_name_the_rules_that_were_passed_over() {
    let policy = one("to = \"b.example\"\nports = 443");
    let ask = get("b.example");
    let explanation = policy.explain(&ask.question());
    assert_eq!(explanation.passed[0].why, "it is for the ports 443; this is 80.");
    let ask = Ask { port: 443, ..get("b.example") };
    let text = policy.explain(&ask.question()).to_string();
    assert_eq!(text, "allowed  by r: The rule 'r' allows it.\nlevel safe, categories: none");
    let ask = Ask { port: 443, ..get("x.ads.example") };
    let text = policy.explain(&ask.question()).to_string();
    assert_eq!(
        text,
        "passed over  r: x.ads.example is not among its targets.\ndenied: No rule allows it.\nlevel caution, categories: ads"
    );
}

/// The guard that goes with a policy.
#[test]
fn the_guard_has_what_the_policy_opens() {
    let policy = policy("[network]\nopen = [\"10.0.0.0/8\"]");
    let guard = policy.guard(vec!["10.0.0.1:3128".parse().unwrap()]);
    assert!(guard.vet_socket("10.0.0.2:3128".parse().unwrap()).is_ok());
    assert!(guard.vet_socket("10.0.0.1:3128".parse().unwrap()).is_err());
    assert!(guard.vet("192.168.0.1".parse().unwrap()).is_err());
}

fn rules() -> impl Strategy<Value = String> {
    let some = |key: &'static str, values: &'static [&'static str]| {
        prop::option::weighted(0.3, prop::sample::subsequence(values, 1..=values.len().min(3)))
            .prop_map(move |values| values.map_or(String::new(), |values| format!("{key} = [{}]\n", values.join(", "))))
    };
    let rule = (
        prop::sample::select(vec!["allow", "deny"]),
        some(
            "to",
            &["\"a.example\"", "\"*.example\"", "\".b.example\"", "\"192.0.2.0/24\"", "\"2001:db8::/32\"", "\"192.0.2.0/28\""],
        ),
        some("people", &["\"ann\"", "\"bob\""]),
        some("groups", &["\"staff\"", "\"guests\""]),
        some("networks", &["\"10.0.0.0/8\"", "\"10.1.0.0/16\"", "\"fd00::/8\""]),
        some("ports", &["80", "443", "\"8000-9000\""]),
        some("categories", &["\"one\"", "\"two\"", "\"three\""]),
        some("methods", &["\"GET\"", "\"CONNECT\"", "\"POST\""]),
        some("days", &["\"mon\"", "\"thu-sat\""]),
        (
            some("hours", &["\"08:00-18:00\"", "\"22:00-06:00\""]),
            prop::option::weighted(0.2, prop::sample::select(vec!["caution", "safe"])),
        ),
    );
    prop::collection::vec(rule, 0..90).prop_map(|rules| {
        let mut text = String::from(
            "[network]\nconnect_ports = \"1-65535\"\n\
             [[person]]\nname = \"ann\"\npassword = \"HASH\"\ngroups = [\"staff\", \"guests\"]\n\
             [[person]]\nname = \"bob\"\npassword = \"HASH\"\n\
             [[category]]\nname = \"one\"\nlevel = \"safe\"\nhosts = [\"a.example\", \"192.0.2.0/25\"]\n\
             [[category]]\nname = \"two\"\nlevel = \"caution\"\nhosts = [\".b.example\"]\n\
             [[category]]\nname = \"three\"\nlevel = \"unsafe\"\nhosts = [\"*.example\", \"192.0.2.3\", \"2001:db8::/64\"]\n",
        );
        for (at, (action, to, people, groups, networks, ports, categories, methods, days, (hours, below))) in
            rules.into_iter().enumerate()
        {
            let below = below.map_or(String::new(), |below| format!("below = \"{below}\"\n"));
            text += &format!(
                "[[rule]]\nname = \"{at}\"\naction = \"{action}\"\n{to}{people}{groups}{networks}{ports}{categories}{methods}{days}{hours}{below}"
            );
        }
        text
    })
}

fn asks() -> impl Strategy<Value = (Ask, Vec<IpAddr>)> {
    (
        prop::sample::select(vec!["10.0.0.1", "10.1.0.1", "fd00::1", "::ffff:10.1.0.2", "127.0.0.1"]),
        prop::sample::select(vec![None, Some("ann"), Some("bob")]),
        prop::sample::subsequence(vec!["staff", "guests"], 0..=2),
        prop::sample::select(vec![
            "a.example",
            "b.example",
            "c.b.example",
            "example",
            "other.test",
            "192.0.2.3",
            "192.0.2.200",
            "[2001:db8::1]",
            "[64:ff9b::c000:203]",
        ]),
        prop::sample::select(vec![80, 443, 8080]),
        prop::sample::select(vec![(Scheme::Http, "GET"), (Scheme::Http, "POST"), (Scheme::Connect, "CONNECT")]),
        0..14 * 24_u64,
        prop::sample::subsequence(vec!["192.0.2.3", "192.0.2.20", "192.0.2.200", "2001:db8::1", "203.0.113.1"], 0..=3),
    )
        .prop_map(|(client, person, groups, host, port, (scheme, method), hours, addresses)| {
            let ask = Ask {
                client: client.parse().unwrap(),
                person,
                groups: GroupSet::new(groups),
                port,
                scheme,
                method,
                at: SystemTime::UNIX_EPOCH + Duration::from_secs(hours * 3600),
                ..get(host)
            };
            (ask, addresses.into_iter().map(|a| a.parse().unwrap()).collect())
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The tables say what the rules say one by one; and what is said to be final before resolving is.
    #[test]
    fn tables_and_rules_agree(text in rules(), asks in prop::collection::vec(asks(), 1..20)) {
        let policy = policy(&text);
        for (ask, addresses) in asks {
            let question = ask.question();
            let first = policy.decide(&question);
            let explanation = policy.explain(&question);
            prop_assert_eq!(explanation.passed.len(), position(&policy, &first), "{}\n{:?}", text, question);
            let last = policy.decide_resolved(&question, &addresses);
            let explanation = policy.explain_resolved(&question, &addresses);
            prop_assert_eq!(explanation.passed.len(), position(&policy, &last), "{}\n{:?} {:?}", text, question, addresses);
            if !first.addresses_matter {
                prop_assert_eq!(first.why, last.why, "{}\n{:?} {:?}", text, question, addresses);
            }
            if ask.person.is_none() && !first.person_matters && !first.addresses_matter {
                let groups = ask.groups.union(&GroupSet::new(["staff", "guests"]));
                let ann = policy.decide(&Question { person: Some("ann"), groups: &groups, ..question });
                prop_assert_eq!(first.why, ann.why, "signing in changed it: {}\n{:?}", text, question);
            }
        }
    }
}

/// How many rules are before the one that decides.
fn position(policy: &Policy, decision: &Decision<'_>) -> usize {
    match decision.why {
        Why::Rule(at) => at,
        _ => policy.summary().rules,
    }
}
