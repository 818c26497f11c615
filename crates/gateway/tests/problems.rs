//! What a policy file that is wrong is answered with: every problem, where it stands, and what would be right.

#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use std::path::Path;

use gatehouse_gateway::policy::Policy;
use proptest::prelude::*;

const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$S1xOU8c4WHtOHpRRcq1aZHdDEQEFXnVV9qjQm8UZRyI";

fn problems(text: &str) -> Vec<String> {
    let problems = Policy::parse(&text.replace("HASH", HASH), Path::new("/nowhere")).err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

/// A policy with one mistake, where it is, and what the message says of it.
const WRONG: &[(&str, &str, &str)] = &[
    // TOML itself
    ("[listen\naddresses = []", "1:8", "This is not TOML"),
    ("[cache]\nenabled = true\nenabled = false", "3:1", "duplicate key"),
    ("[cache]\nenabled = yes", "2:11", "This is not TOML"),
    // keys and sections
    ("[chache]\nenabled = true", "1:2", "did you mean 'cache'?"),
    (
        "[cache]\nenable = true",
        "2:1",
        "[cache] has no 'enable': did you mean 'enabled'? It has enabled, memory, max_object, folder, disk, purge_from.",
    ),
    ("rules = []", "1:1", "A policy has no 'rules': did you mean 'rule'?"),
    ("[rule]\nname = \"x\"\naction = \"allow\"", "1:1", "write [[rule]] with two brackets"),
    ("cache = true", "1:9", "write [cache] on a line of its own"),
    ("[[rule]]\nname = \"x\"", "1:1", "[[rule]] needs 'action': \"allow\" or \"deny\"."),
    ("[[rule]]\naction = \"deny\"", "1:1", "[[rule]] needs 'name'"),
    // values
    ("[listen]\naddresses = \"3128\"", "2:13", "an address and a port, like \"127.0.0.1:3128\" or \"[::1]:3128\", not '3128'"),
    ("[listen]\naddresses = []", "1:1", "has to listen somewhere"),
    ("[clients]\nnetworks = [\"10.0.0.0/8\", \"10.0.0.0/33\"]", "2:27", "a network, like \"10.0.0.0/8\""),
    ("[clients]\nnetworks = \"0.0.0.0/0\"", "1:1", "is everybody"),
    ("[clients]\nnetworks = \"::/0\"", "1:1", "is everybody"),
    ("[clients]\nmax_connections = -1", "2:19", "a whole number, 0 or more, not -1"),
    ("[log]\nformat = \"text\"", "2:10", "\"json\" or \"squid\", not 'text'"),
    ("[log]\npath = 3", "2:8", "a text in quotation marks, not 3"),
    ("[network]\nopen = \"intranet\"", "2:8", "a network"),
    ("[network]\nconnect_ports = [443, 0]", "2:23", "a port from 1 to 65535"),
    ("[network]\nconnect_ports = \"9000-8000\"", "2:17", "a range like \"8000-8999\""),
    ("[network]\nhttp_ports = 70000", "2:14", "a port from 1 to 65535"),
    ("[network]\negress = \"line\"", "2:10", "There is no egress or pool 'line': there is none."),
    ("[timeouts]\nconnect = \"soon\"", "2:11", "a number of seconds, like 10, or a text like \"500 ms\""),
    ("[timeouts]\nconnect = -1", "2:11", "a number of seconds"),
    ("[timeouts]\nconnect = true", "2:11", "not true"),
    ("[timeouts]\nidle = nan", "2:8", "a number of seconds"),
    ("[cache]\nmemory = \"256 megs\"", "2:10", "a number of bytes, or a text like \"256 MB\""),
    ("[cache]\nmemory = \"1 MB\"\nmax_object = \"2 MB\"", "1:1", "'max_object' can't be larger than 'memory'"),
    ("[compress]\nenabled = \"true\"", "2:11", "true or false, not 'true'"),
    ("[forwarded]\nheaders = \"keep\"", "2:11", "\"remove\" or \"add\""),
    ("[forwarded]\nvia = \"my gateway\"", "2:7", "The pseudonym has letters"),
    ("[levels]\nunlisted = \"bad\"", "2:12", "\"safe\", \"caution\" or \"unsafe\""),
    // people and clients
    ("[[person]]\nname = \"ann\"\npassword = \"sesame\"", "3:12", "the argon2id hash of the password"),
    ("[[person]]\nname = \"ann\"\npassword = \"$2y$05$abcdefghijklmnopqrstuu\"", "3:12", "argon2id"),
    ("[[person]]\nname = \"a:b\"\npassword = \"HASH\"", "2:8", "A user name has no colon"),
    ("[[person]]\nname = \"\"\npassword = \"HASH\"", "2:8", "A name can't be empty"),
    (
        "[[person]]\nname = \"a\"\npassword = \"HASH\"\n[[person]]\nname = \"a\"\npassword = \"HASH\"",
        "5:8",
        "There is another person 'a'",
    ),
    (
        "[[client]]\nname = \"a\"\nnetworks = \"10.0.0.0/8\"\n[[client]]\nname = \"b\"\nnetworks = \"10.1.2.3/8\"",
        "6:12",
        "10.0.0.0/8 is the network of 'a' as well",
    ),
    (
        "[[person]]\nname = \"a\"\npassword = \"HASH\"\n[[client]]\nname = \"a\"\nnetworks = \"10.0.0.1\"",
        "5:8",
        "There is a person 'a' too",
    ),
    (
        "[[client]]\nname = \"a\"\nnetworks = \"10.0.0.1\"\n[[client]]\nname = \"a\"\nnetworks = \"10.0.0.2\"",
        "5:8",
        "another client 'a'",
    ),
    ("[pac]\nbypass = \"http://x/\"", "2:10", "without scheme"),
    // categories
    ("[[category]]\nname = \"ads\"\nlevel = \"low\"", "3:9", "\"safe\", \"caution\" or \"unsafe\""),
    (
        "[[category]]\nname = \"ads\"\nlevel = \"safe\"\nhosts = [\"good.example\", \"http://ads.example/\"]",
        "4:26",
        "without scheme, port and path",
    ),
    ("[[category]]\nname = \"ads\"\nlevel = \"safe\"\nhosts = \"a*.example\"", "4:9", "what is below it (\"*.example.com\")"),
    ("[[category]]\nname = \"ads\"\nlevel = \"safe\"\nfiles = [\"gone.txt\"]", "4:10", "/nowhere/gone.txt can't be read"),
    // ways out
    ("[[egress]]\nname = \"up\"\nkind = \"proxy\"", "3:8", "\"direct\", \"upstream\" or \"setting\""),
    ("[[egress]]\nname = \"up\"\nkind = \"setting\"", "1:1", "needs 'setting'"),
    (
        "[[egress]]\nname = \"up\"\nkind = \"setting\"\nsetting = \"Head office\"",
        "4:11",
        "Only a policy in the database knows the company's proxy settings",
    ),
    ("[[egress]]\nname = \"up\"\nkind = \"direct\"\nsetting = \"Head office\"", "4:11", "Only an egress of kind = \"setting\""),
    ("[[egress]]\nname = \"up\"\nkind = \"upstream\"", "1:1", "An upstream egress needs 'url'"),
    (
        "[[egress]]\nname = \"up\"\nkind = \"upstream\"\nurl = \"proxy.example:3128\"",
        "4:7",
        "the address of a proxy, like \"http://proxy.example:3128\"",
    ),
    ("[[egress]]\nname = \"up\"\nkind = \"upstream\"\nurl = \"http://u:p@proxy.example:3128\"", "4:7", "keys of their own"),
    ("[[egress]]\nname = \"up\"\nkind = \"upstream\"\nurl = \"http://p\"\nsource = \"192.0.2.1\"", "5:10", "no 'source'"),
    ("[[egress]]\nname = \"up\"\nkind = \"upstream\"\nurl = \"http://p\"\nusername = \"u\"", "5:12", "needs 'password_file'"),
    ("[[egress]]\nname = \"up\"\nkind = \"upstream\"\nurl = \"http://p\"\npassword_file = \"p\"", "5:17", "needs 'username'"),
    (
        "[[egress]]\nname = \"up\"\nkind = \"upstream\"\nurl = \"http://p\"\nusername = \"u\"\npassword_file = \"p\"",
        "6:17",
        "/nowhere/p can't be read",
    ),
    ("[[egress]]\nname = \"line\"\nkind = \"direct\"\nurl = \"http://p\"", "4:7", "A direct egress has no 'url'"),
    ("[[egress]]\nname = \"line\"\nkind = \"direct\"\nweight = 0", "4:10", "A weight is 1 or more"),
    (
        "[[egress]]\nname = \"line\"\nkind = \"direct\"\n[[egress_pool]]\nname = \"line\"\nmembers = \"line\"",
        "5:8",
        "another egress or pool 'line'",
    ),
    (
        "[[egress]]\nname = \"line\"\nkind = \"direct\"\n[[egress_pool]]\nname = \"p\"\nmembers = [\"line\", \"lin\"]",
        "6:20",
        "There is no egress 'lin': there is line.",
    ),
    ("[[egress_pool]]\nname = \"p\"\nmembers = []", "1:1", "A pool needs members"),
    (
        "[[egress]]\nname = \"l\"\nkind = \"direct\"\n[[egress_pool]]\nname = \"p\"\nmembers = \"l\"\nstrategy = \"random\"",
        "7:12",
        "\"least_outstanding\", \"weighted\" or \"sticky\"",
    ),
    // limits
    ("[[limit]]\nname = \"l\"", "1:1", "A limit needs 'requests_per_second'"),
    ("[[limit]]\nname = \"l\"\nrequests_per_second = 0", "3:23", "a number above 0"),
    ("[[limit]]\nname = \"l\"\nbytes_per_second = \"2 Mbit\"", "3:20", "a number of bytes"),
    (
        "[[limit]]\nname = \"l\"\nrequests_per_second = 1\nscope = \"user\"",
        "4:9",
        "\"person\", \"client\", \"group\", \"network\" or \"all\"",
    ),
    ("[[limit]]\nname = \"l\"\nrequests_per_second = 1\nprefix_v4 = 33", "4:13", "at most 32 bits"),
    ("[[limit]]\nname = \"l\"\nrequests_per_second = 1\nwithin = \"l\"", "4:10", "The limit 'l' is within itself"),
    ("[[limit]]\nname = \"l\"\nrequests_per_second = 1\nwithin = \"m\"", "4:10", "There is no limit 'm'"),
    // rules
    ("[[rule]]\nname = \"r\"\naction = \"block\"", "3:10", "\"allow\" or \"deny\", not 'block'"),
    ("[[rule]]\nname = \"r\"\naction = \"deny\"\npeople = \"ann\"", "4:10", "There is no person or client 'ann'"),
    ("[[rule]]\nname = \"r\"\naction = \"deny\"\ngroups = [\"staff\"]", "4:11", "Nobody is in the group 'staff'"),
    ("[[rule]]\nname = \"r\"\naction = \"deny\"\nto = [\"example.com:443\"]", "4:7", "without scheme, port and path"),
    ("[[rule]]\nname = \"r\"\naction = \"deny\"\nto = \"*\"", "4:6", "a host"),
    ("[[rule]]\nname = \"r\"\naction = \"deny\"\ncategories = \"ads\"", "4:14", "There is no category 'ads': there is none."),
    ("[[rule]]\nname = \"r\"\naction = \"deny\"\nbelow = \"unsafe\"", "4:9", "Nothing is below unsafe"),
    ("[[rule]]\nname = \"r\"\naction = \"deny\"\nmethods = \"get\"", "4:11", "in capitals"),
    ("[[rule]]\nname = \"r\"\naction = \"deny\"\nschemes = \"ftp\"", "4:11", "\"http\", \"https\" or \"connect\""),
    (
        "[[rule]]\nname = \"r\"\naction = \"deny\"\nschemes = \"connect\"\nmethods = \"GET\"",
        "1:1",
        "applies to no 'connect' request",
    ),
    ("[[rule]]\nname = \"r\"\naction = \"deny\"\ndays = \"friday\"", "4:8", "\"mon\", \"tue\""),
    ("[[rule]]\nname = \"r\"\naction = \"deny\"\nhours = \"8-18\"", "4:9", "hours like \"08:00-18:00\""),
    ("[[rule]]\nname = \"r\"\naction = \"deny\"\nhours = \"08:00-25:00\"", "4:9", "hours like \"08:00-18:00\""),
    (
        "[[rule]]\nname = \"r\"\naction = \"deny\"\nhours = \"08:00-18:00\"\ntime_zone = \"Berlin\"",
        "5:13",
        "a time zone of the IANA database, like \"Europe/Berlin\"",
    ),
    ("[[rule]]\nname = \"r\"\naction = \"deny\"\ntime_zone = \"UTC\"", "4:13", "A time zone without days or hours"),
    ("[[rule]]\nname = \"r\"\naction = \"allow\"\negress = \"up\"", "4:10", "There is no egress or pool 'up'"),
    ("[[rule]]\nname = \"r\"\naction = \"allow\"\nlimit = \"l\"", "4:9", "There is no limit 'l'"),
    (
        "[[egress]]\nname = \"l\"\nkind = \"direct\"\n[[rule]]\nname = \"r\"\naction = \"deny\"\negress = \"l\"",
        "7:10",
        "A rule that denies has no 'egress'",
    ),
    ("[[rule]]\nname = \"r\"\naction = \"allow\"\n[[rule]]\nname = \"r\"\naction = \"deny\"", "5:8", "There is another rule 'r'"),
];

#[test]
fn each_mistake_has_its_place_and_its_words() {
    let mut wrong = Vec::new();
    for (text, place, words) in WRONG {
        let found = problems(text);
        let right = found.iter().any(|problem| problem.starts_with(&format!("policy.toml:{place}: ")) && problem.contains(words));
        // One mistake, one problem, a whole sentence.
        if !(right && found.len() == 1 && found[0].ends_with('.')) {
            wrong.push(format!("{text}\n{place}: {words}\n{found:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn a_wrong_password_is_not_repeated() {
    let found = problems("[[person]]\nname = \"ann\"\npassword = \"open sesame\"");
    assert!(!found[0].contains("sesame"), "{found:?}");
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = r#"
[cache]
memory = "lots"
size = 3

[[category]]
name = "ads"
level = "bad"
hosts = ["ok.example", "not ok"]

[[rule]]
name = "one"
action = "maybe"
ports = [443, 0, 99999]
hours = "8 to 6"

[[rule]]
name = "two"
acton = "deny"
"#;
    let found = problems(text);
    let places: Vec<String> = found.iter().map(|p| p.split(": ").next().unwrap().replace("policy.toml:", "")).collect();
    assert_eq!(places, ["3:10", "4:1", "8:9", "9:24", "13:10", "14:15", "14:18", "15:9", "17:1", "19:1"], "{found:#?}");
    assert!(found[9].contains("did you mean 'action'?"), "{found:#?}");
}

#[test]
fn a_section_that_could_not_be_read_is_not_missed_elsewhere() {
    let found = problems("[[limit]]\nname = \"l\"\nscope = \"x\"\n[[rule]]\nname = \"r\"\naction = \"allow\"\nlimit = \"l\"");
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn columns_are_counted_in_characters() {
    let found = problems("[[rule]]\nname = \"r\"\naction = \"deny\"\nto = [\"bücher.example\", \"ü ü\"]");
    assert!(found[0].starts_with("policy.toml:4:25: "), "{found:?}");
}

#[test]
fn files_that_can_not_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    let load = || Policy::load(&path).err().map(|problems| problems[0].to_string()).unwrap_or_default();
    assert!(load().contains("The file can't be read"), "{}", load());
    std::fs::write(&path, b"[cache]\n\n# \xff\n").unwrap();
    assert_eq!(load(), format!("{}:3:1: This is not UTF-8 text.", path.display()));
    std::fs::write(folder.path().join("list"), "<html>\n<p>404</p>\n").unwrap();
    std::fs::write(&path, "[[category]]\nname = \"c\"\nlevel = \"safe\"\nfiles = \"list\"").unwrap();
    assert!(load().ends_with("list names no host: it has to be a list, one host a line."), "{}", load());
    std::fs::write(folder.path().join("list"), "# nothing yet\n").unwrap();
    assert_eq!(load(), "");
}

proptest! {
    /// Whatever stands there, there is an answer.
    #[test]
    fn no_text_breaks_it(text in "\\PC{0,200}", lines in prop::collection::vec(prop::sample::select(vec![
        "[[rule]]", "[rule]", "[cache]", "name = \"x\"", "action = \"allow\"", "to = \"x\"", "to = [", "]", "hours = \"", "memory = 3",
        "within = \"x\"", "[[limit]]", "[[egress_pool]]", "members = \"x\"", "requests_per_second = 1e400", "= =", "\u{0}", "\"\"\"",
    ]), 0..12)) {
        for text in [text, lines.join("\n")] {
            if let Err(problems) = Policy::parse(&text, Path::new("/nowhere")) {
                prop_assert!(!problems.is_empty());
                prop_assert!(problems.iter().all(|problem| problem.line > 0 && problem.line <= text.matches('\n').count() + 1));
            }
        }
    }
}
