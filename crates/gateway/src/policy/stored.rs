//! A policy that stands in a database: written by whoever administers the gateway's rules, who need not be the one who runs the
//! machine. What concerns the machine (where it listens, which files it reads and writes) is the operator's to say.

use std::{
    collections::HashSet,
    path::{Component, Path},
};

use std::time::Duration;

use gatehouse_domain::{CaPem, HostName, Port, ProxyName, Scheme, Secret, Timeout, Username, address};

use super::{
    Policy, Upstream,
    file::{File, PersonEntry},
    read::{At, Notes, Problem, Table},
    value::{Bytes, LogFormat, PasswordText, UpstreamScheme, UpstreamUrl},
};
use crate::{names::Host, tls};

/// How many of the company's proxy settings are named to whoever has named one that is not there.
const MOST_NAMES: usize = 10;
/// How many lists a policy may have fetched: each is looked at, kept and asked for again by the operator's machine.
const MOST_LISTS: usize = 64;

/// What the operator says about stored policies.
#[derive(Debug, Clone, Default)]
pub struct Operator<'a> {
    /// The folder that the lists and passwords are in which a policy may name; without one it can name none.
    pub files: Option<&'a Path>,
    /// Where records are written.
    pub log: Option<(&'a str, LogFormat)>,
    /// The folder for what the gateway itself keeps: used volumes, lists that were fetched.
    pub state: Option<&'a Path>,
    /// The folder for answers that are kept; without one they are kept in memory only.
    pub cache: Option<&'a Path>,
    /// Bytes of memory that a policy may have for answers at most. `None`: as many as it says.
    pub cache_memory: Option<u64>,
    /// Bytes of the folder for answers that a policy may have at most. `None`: as many as it says.
    pub cache_disk: Option<u64>,
    /// Private addresses stay closed, whatever the policy says, and the files that a policy may name hold nobody's passwords: of an
    /// installation that several companies share.
    pub public_only: bool,
    /// The company's proxy settings, which its policy may name as ways out.
    pub settings: &'a [StoredProxy],
}

/// Somebody who can sign in, from outside the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPerson {
    /// The user name.
    pub name: String,
    /// The argon2id hash of the password, in PHC form.
    pub password: String,
    /// The groups.
    pub groups: Vec<String>,
}

/// A proxy setting of the company whose policy it is, from outside the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProxy {
    /// The name by which a policy knows it.
    pub name: ProxyName,
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Where it is.
    pub host: HostName,
    /// Its port.
    pub port: Port,
    /// Who signs in there; `None` where nobody does.
    pub username: Option<Username>,
    /// The password, opened; only looked at with a user name.
    pub password: Option<Secret>,
    /// Certificates that are accepted besides the system's, of the proxy and of what is reached through it.
    pub ca_pem: Option<CaPem>,
    /// How long a connection through it may take; `timeouts.connect` of the policy holds as well.
    pub timeout: Option<Timeout>,
}

impl Policy {
    /// Reads a policy from a text that the operator of this machine did not write, and puts the people to it that stand elsewhere.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn parse_stored(text: &str, people: &[StoredPerson], operator: &Operator<'_>) -> Result<Self, Vec<Problem>> {
        let base = operator.files.unwrap_or(Path::new(""));
        Self::compile(text, base, "policy", Some((operator, people)))
    }
}

impl Operator<'_> {
    /// Refuses what is the operator's, and adds what does not stand in the text.
    pub(super) fn adapt(&self, table: &Table<'_>, people: &[StoredPerson], file: &mut File, notes: &mut Notes) {
        if let Some(at) = table.place("listen", "addresses") {
            notes
                .note(at, "Where the gateway listens is said where it is started: leave 'addresses' out and set GATEWAY_LISTEN.");
        }
        if let Some(at) = table.place("log", "path") {
            notes.note(at, "Where the gateway writes its log is said where it is started: leave 'path' out and set GATEWAY_LOG.");
        }
        file.log.path = self.log.map(|(path, _)| path.to_string());
        if let Some((_, format)) = self.log {
            file.log.format = format;
        }
        for (section, key, setting) in
            [("cache", "folder", Some("GATEWAY_CACHE")), ("usage", "path", None), ("lists", "folder", None)]
        {
            if let Some(at) = table.place(section, key) {
                let how = setting.map(|setting| format!(" and set {setting}")).unwrap_or_default();
                notes.note(at, format!("Where the gateway keeps things is said where it is started: leave '{key}' out{how}."));
            }
        }
        self.bound_cache(table, file, notes);
        let text = |path: &Path| path.display().to_string();
        file.cache.folder = self.cache.map(text);
        file.usage.path = self.state.map(|folder| text(&folder.join("usage")));
        file.lists.folder = self.state.map(|folder| At { value: text(&folder.join("lists")), at: 0 });
        for category in &mut file.categories {
            // What is refused is not looked at: not even whether there is such a file is told.
            category.files.retain(|path| self.may_read(path, notes));
        }
        let mut lists = HashSet::new();
        let urls = file.categories.iter().flat_map(|category| &category.urls);
        if let Some(over) = urls.filter(|url| lists.insert(&url.text)).nth(MOST_LISTS) {
            let message =
                format!("A stored policy has at most {MOST_LISTS} lists fetched: leave some of them out, or put some together.");
            notes.note(over.at, message);
        }
        for egress in &mut file.egresses {
            if egress.password_file.as_ref().is_some_and(|path| !self.may_read_password(path, notes)) {
                // One complaint is enough.
                (egress.username, egress.password_file) = (None, None);
            }
            if let Some(url) = egress.url.as_ref().filter(|url| self.public_only && !may_be_public(&url.host)) {
                notes.note(url.at, "This installation reaches public addresses only: name a proxy that has one.");
            }
        }
        if self.public_only {
            let lists = file.categories.iter().flat_map(|category| &category.urls);
            for list in lists.filter(|list| !may_be_public(&list.host)) {
                notes.note(list.at, "This installation reaches public addresses only: name a list that has one.");
            }
            for net in &file.network.open {
                notes.note(net.at, "This installation reaches public addresses only: nothing can be opened.");
            }
        }
        // In front: of two of a name, the one that stands in the text is complained about.
        let known = people.iter().filter_map(|person| {
            Some(PersonEntry {
                name: At { value: person.name.clone(), at: 0 },
                password: PasswordText::of_hash(&person.password)?,
                groups: person.groups.clone(),
                at: 0,
            })
        });
        file.people.splice(0..0, known);
    }

    /// The proxy setting of this name as a way out.
    ///
    /// # Errors
    /// Why it is none, for whoever wrote the name.
    pub(super) fn setting(&self, name: &str) -> Result<Upstream, String> {
        let key = ProxyName::parse(name).map(|name| name.key());
        let Some(setting) = self.settings.iter().find(|setting| key.as_ref() == Ok(&setting.name.key())) else {
            let mut names: Vec<&str> = self.settings.iter().map(|setting| setting.name.as_str()).collect();
            names.sort_unstable();
            let more = names.len().saturating_sub(MOST_NAMES);
            names.truncate(MOST_NAMES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let there = if names.is_empty() { "it has none".to_string() } else { format!("it has {}{more}", names.join(", ")) };
            return Err(format!("The company has no proxy setting '{name}': {there}."));
        };
        let unusable = |why: &str| format!("The proxy setting '{}' can't be a way out: {why}.", setting.name);
        let host = match setting.host.address() {
            Some(address) => Host::from(address),
            None => Host::parse(setting.host.ascii()).map_err(|_| unusable("its host is none that can be asked for"))?,
        };
        if self.public_only && !may_be_public(&host) {
            return Err(unusable("it has no public address, and this installation reaches no others"));
        }
        if let Some(pem) = &setting.ca_pem {
            tls::certificates(pem).map_err(|why| unusable(&why))?;
        }
        let scheme = match setting.scheme {
            Scheme::Http => UpstreamScheme::Http,
            Scheme::Https => UpstreamScheme::Https,
            Scheme::Socks5 => UpstreamScheme::Socks5,
            Scheme::Socks5h => UpstreamScheme::Socks5h,
        };
        let password = || setting.password.clone().unwrap_or_else(|| Secret::new(""));
        Ok(Upstream {
            url: UpstreamUrl { scheme, host, port: setting.port.get() },
            credentials: setting.username.as_ref().map(|username| (username.as_str().to_string(), password())),
            ca_pem: setting.ca_pem.clone(),
            timeout: setting.timeout.map(|timeout| Duration::from_secs(timeout.seconds().into())),
            setting: Some(setting.name.clone()),
            is_vetted: self.public_only,
        })
    }

    /// Holds the cache to what it may have on this machine.
    fn bound_cache(&self, table: &Table<'_>, file: &mut File, notes: &mut Notes) {
        let cache = &mut file.cache;
        let asked = |key| table.place("cache", key);
        for (bound, key, what, is) in [
            (self.cache_memory, "memory", "of answers in memory", &mut cache.memory),
            (self.cache_disk, "disk", "of answers on disk", &mut cache.disk),
        ] {
            let Some(most) = bound.map(Bytes).filter(|most| *is > *most) else { continue };
            if let Some(at) = asked(key) {
                notes.note(at, format!("This installation keeps at most {most} {what}: ask for no more, or leave '{key}' out."));
            }
            *is = most;
        }
        // What the text did not say can't be wrong in it.
        if cache.max_object > cache.memory && self.cache_memory == Some(cache.memory.0) {
            match asked("max_object") {
                None => cache.max_object = cache.memory,
                Some(at) if asked("memory").is_none() => {
                    let most = cache.memory;
                    notes.note(
                        at,
                        format!("This installation keeps at most {most} of answers in memory: one alone can't be larger."),
                    );
                    cache.max_object = most;
                }
                Some(_) => {}
            }
        }
    }

    fn may_read_password(&self, path: &At<String>, notes: &mut Notes) -> bool {
        // Who can name a file can sign in with what is in it, whoever's it is.
        if self.public_only && self.files.is_some() {
            let message = "A stored policy can't name a file with a password here: companies share the folder.";
            notes.note(path.at, message);
            return false;
        }
        self.may_read(path, notes)
    }

    fn may_read(&self, path: &At<String>, notes: &mut Notes) -> bool {
        if self.files.is_none() {
            let message = "A stored policy can't name files here: list the hosts under 'hosts', or set GATEWAY_FILES to the folder \
                 that such files are in.";
            notes.note(path.at, message);
            return false;
        }
        let stays = Path::new(&path.value).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        if !stays {
            notes.note(
                path.at,
                "Name a file of the folder GATEWAY_FILES, by its path from there: without '..', not from the root.",
            );
        }
        stays
    }
}

/// Whether this is a public address, or a name that can have one: what it resolves to is vetted when it is dialled.
fn may_be_public(host: &Host) -> bool {
    match host.address() {
        Some(address) => address::closed(address).is_none(),
        None => !address::is_private_name(host.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Way, *};

    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$b3JpZ2luYWxseS1yYW5kb20$w0pBHVGIZv1lQlvTUn7bPBcqZhkQUVvSn2hoDT4RGZc";

    fn problems(text: &str, operator: &Operator<'_>) -> String {
        let problems = Policy::parse_stored(text, &[], operator).expect_err("refused");
        problems.iter().map(|p| format!("{}: {}\n", p.line, p.message)).collect()
    }

    #[test]
    fn a_stored_policy_can_neither_read_nor_write_files_of_the_machine() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ads.txt"), "ads.example\n").expect("written");
        std::fs::write(folder.path().join("secret"), "x").expect("written");
        let with = |path: &str| {
            format!(
                "[[category]]\nname = 'ads'\nlevel = 'unsafe'\nfiles = ['{path}']\n[[egress]]\nname = 'up'\nkind = 'upstream'\nurl = 'http://proxy.example:1'\nusername = 'u'\npassword_file = '{path}'\n"
            )
        };
        let without = Operator::default();
        let refused = problems(&with("ads.txt"), &without);
        assert!(refused.contains("4: A stored policy can't name files") && refused.contains("10: "), "{refused}");
        let operator = Operator { files: Some(folder.path()), ..Operator::default() };
        let policy = Policy::parse_stored(&with("ads.txt"), &[], &operator).expect("right");
        assert_eq!(policy.summary().domains, 1);
        for path in ["/etc/passwd", "../secret", "a/../../secret", "./../x", "/nowhere"] {
            let refused = problems(&with(path), &operator);
            assert_eq!(refused.matches("without '..'").count(), 2, "{path}: {refused}");
            assert!(!refused.contains("can't be read"), "whether it is there is not told: {refused}");
        }
        let refused = problems("[listen]\naddresses = '0.0.0.0:1'\n\n[log]\npath = '/etc/cron.d/x'\n", &operator);
        assert!(refused.contains("2: Where the gateway listens") && refused.contains("5: Where the gateway writes"), "{refused}");
        let refused = problems("[cache]\nfolder = '/tmp/x'\n\n[usage]\npath = '/etc/x'\n\n[lists]\nfolder = '/etc'\n", &operator);
        for line in ["2: ", "5: ", "8: "] {
            assert!(refused.contains(&format!("{line}Where the gateway keeps things")), "{refused}");
        }
        let kept =
            Operator { state: Some(Path::new("/var/lib/x")), cache: Some(Path::new("/var/cache/x")), ..Operator::default() };
        let policy = Policy::parse_stored("[cache]\nenabled = true\n", &[], &kept).expect("right");
        let settings = policy.settings();
        assert_eq!(settings.cache.folder.as_deref(), Some("/var/cache/x"));
        assert_eq!(settings.usage.path.as_deref(), Some("/var/lib/x/usage"));
        let logged = Operator { log: Some(("-", LogFormat::Squid)), ..Operator::default() };
        let policy = Policy::parse_stored("[log]\nformat = 'json'\n", &[], &logged).expect("right");
        assert_eq!(policy.settings().log.path.as_deref(), Some("-"));
    }

    #[test]
    fn an_installation_of_several_companies_opens_no_private_network() {
        let shared = Operator { public_only: true, ..Operator::default() };
        let egress = |host: &str| format!("[[egress]]\nname = 'e'\nkind = 'upstream'\nurl = 'http://{host}:3128'\n");
        assert!(problems("[network]\nopen = ['10.0.0.0/8']\n", &shared).contains("2: This installation"));
        let state = tempfile::tempdir().expect("a folder");
        let shared = Operator { state: Some(state.path()), ..shared };
        let list = |host: &str| format!("[[category]]\nname = 'a'\nlevel = 'safe'\nurls = ['https://{host}/list']\n");
        for host in ["10.0.0.1", "[::1]", "0x7f.1", "localhost", "metadata.google.internal", "169.254.169.254", "db.corp"] {
            assert!(problems(&egress(host), &shared).contains("4: This installation"), "{host}");
            assert!(problems(&list(host), &shared).contains("4: This installation"), "{host}");
        }
        Policy::parse_stored(&list("lists.example"), &[], &shared).expect("a public address");
        // What a name leads to is known when it is dialled, and vetted then.
        for host in ["93.184.215.14", "proxy.example"] {
            let policy = Policy::parse_stored(&egress(host), &[], &shared).expect("a public address");
            let Way::Upstream(upstream) = &policy.settings().egresses[0].way else { panic!("an upstream") };
            assert!(upstream.is_vetted, "{host}");
        }
        Policy::parse_stored(&egress("10.0.0.1"), &[], &Operator::default()).expect("one's own network");
    }

    #[test]
    fn the_cache_is_as_large_as_the_operator_allows() {
        let operator = Operator { cache_memory: Some(512_000_000), cache_disk: Some(1 << 30), ..Operator::default() };
        let cache = |text: &str, operator: &Operator<'_>| {
            let policy = Policy::parse_stored(text, &[], operator).unwrap_or_else(|problems| panic!("{text}: {problems:?}"));
            let cache = &policy.settings().cache;
            (cache.memory.0, cache.max_object.0, cache.disk.0)
        };
        let refused = problems("[cache]\nenabled = true\nmemory = '513 MB'\ndisk = '1.1 GiB'\n", &operator);
        assert!(refused.contains("3: This installation keeps at most 512 MB of answers in memory"), "{refused}");
        assert!(refused.contains("4: This installation keeps at most 1 GiB of answers on disk"), "{refused}");
        assert_eq!(refused.lines().count(), 2, "{refused}");
        assert_eq!(cache("[cache]\nmemory = '512 MB'\ndisk = '1 GiB'\n", &operator), (512_000_000, 8_000_000, 1 << 30));
        // What the text says nothing of is the default, or what there may be.
        assert_eq!(cache("", &operator), (256_000_000, 8_000_000, 1 << 30));
        let small = Operator { cache_memory: Some(4_000_000), ..Operator::default() };
        assert_eq!(cache("[cache]\nenabled = true\n", &small), (4_000_000, 4_000_000, 10_000_000_000));
        assert_eq!(cache("[cache]\nmemory = '4 MB'\n", &small), (4_000_000, 4_000_000, 10_000_000_000));
        let refused = problems("[cache]\nmax_object = '5 MB'\n", &small);
        assert_eq!(refused, "2: This installation keeps at most 4 MB of answers in memory: one alone can't be larger.\n");
        let refused = problems("[cache]\nmemory = '9 MB'\nmax_object = '5 MB'\n", &small);
        assert!(refused.contains("2: This installation keeps at most 4 MB"), "{refused}");
        assert_eq!(cache("[cache]\nmemory = '1 TB'\n", &Operator::default()).0, 1_000_000_000_000, "nobody has said how much");
    }

    #[test]
    fn what_is_allowed_is_said_as_it_can_be_written() {
        for (bytes, said) in [
            (512_000_000, "512 MB"),
            (1 << 30, "1 GiB"),
            (536_870_912, "512 MiB"),
            (123_456_789, "123.4 MB"),
            (1_999_999_999, "1.9 GB"),
            (999, "999 B"),
            (0, "0 B"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), said);
            let most = Operator { cache_disk: Some(bytes), ..Operator::default() };
            Policy::parse_stored(&format!("[cache]\ndisk = '{said}'\n"), &[], &most).expect(said);
        }
    }

    #[test]
    fn a_stored_policy_has_so_many_lists_fetched_and_no_more() {
        let state = tempfile::tempdir().expect("a folder");
        let operator = Operator { state: Some(state.path()), ..Operator::default() };
        let lists = |count: usize| -> String {
            let urls: String = (0..count).map(|n| format!("    'https://lists.example/{n}',\n")).collect();
            // One that is named twice is fetched once.
            format!("[[category]]\nname = 'a'\nlevel = 'safe'\nurls = [\n{urls}    'https://lists.example/0',\n]\n")
        };
        let policy = Policy::parse_stored(&lists(64), &[], &operator).expect("right");
        assert_eq!(policy.settings().lists.all.len(), 64);
        let refused = problems(&lists(70), &operator);
        assert_eq!(refused.lines().count(), 1, "{refused}");
        assert!(refused.starts_with("69: A stored policy has at most 64 lists fetched"), "{refused}");
    }

    #[test]
    fn companies_that_share_a_folder_name_no_passwords_in_it() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("of-another"), "secret\n").expect("written");
        std::fs::write(folder.path().join("ads.txt"), "ads.example\n").expect("written");
        let egress = "[[egress]]\nname = 'up'\nkind = 'upstream'\nurl = 'http://93.184.215.14:1'\nusername = 'u'\npassword_file = 'of-another'\n";
        let shared = Operator { files: Some(folder.path()), public_only: true, ..Operator::default() };
        assert_eq!(
            problems(egress, &shared),
            "6: A stored policy can't name a file with a password here: companies share the folder.\n"
        );
        let own = Operator { files: Some(folder.path()), ..Operator::default() };
        Policy::parse_stored(egress, &[], &own).expect("one's own folder");
        let lists = "[[category]]\nname = 'ads'\nlevel = 'unsafe'\nfiles = ['ads.txt']\n";
        Policy::parse_stored(lists, &[], &shared).expect("lists are for all");
    }

    fn setting(name: &str, host: &str) -> StoredProxy {
        StoredProxy {
            name: ProxyName::parse(name).expect(name),
            scheme: Scheme::Https,
            host: HostName::parse(host).expect(host),
            port: Port::parse("3128").expect("a port"),
            username: Some(Username::parse("ann", Scheme::Https).expect("a name")),
            password: Some(Secret::new("open sesame")),
            ca_pem: None,
            timeout: Some(Timeout::default()),
        }
    }

    fn by_setting(name: &str) -> String {
        format!(
            "[[egress]]\nname = 'e'\nkind = 'setting'\nsetting = '{name}'\n[[rule]]\nname = 'r'\naction = 'allow'\negress = 'e'\n"
        )
    }

    #[test]
    fn a_proxy_setting_of_the_company_is_a_way_out() {
        let settings = [setting("Lab", "10.0.0.1"), setting("Head  office", "proxy.example")];
        let operator = Operator { settings: &settings, ..Operator::default() };
        for name in ["Head office", " head OFFICE ", "head  office"] {
            let policy = Policy::parse_stored(&by_setting(name), &[], &operator).expect(name);
            let Way::Upstream(upstream) = &policy.settings().egresses[0].way else { panic!("an upstream") };
            assert_eq!((upstream.url.host.as_str(), upstream.url.port), ("proxy.example", 3128));
            assert_eq!((upstream.url.scheme, upstream.timeout), (UpstreamScheme::Https, Some(Duration::from_secs(10))));
            let (user, password) = upstream.credentials.as_ref().expect("credentials");
            assert_eq!((user.as_str(), password.expose()), ("ann", "open sesame"));
            let shown = format!("{policy:?} {} {:?}", policy.summary(), operator);
            assert!(!shown.contains("sesame"), "{shown}");
        }
        assert_eq!(
            problems(&by_setting("Office"), &operator),
            "4: The company has no proxy setting 'Office': it has Head office, Lab.\n",
            "one complaint, although a rule names the egress"
        );
        assert!(problems(&by_setting("Lab"), &Operator::default()).contains("it has none."));
        let many: Vec<_> = (10..25).map(|number| setting(&format!("p{number}"), "10.0.0.1")).collect();
        let refused = problems(&by_setting(""), &Operator { settings: &many, ..Operator::default() });
        assert!(refused.contains("it has p10, p11, p12, p13, p14, p15, p16, p17, p18, p19 and 5 more."), "{refused}");
    }

    #[test]
    fn what_a_proxy_setting_says_is_not_said_besides() {
        let settings = [setting("Lab", "10.0.0.1")];
        let operator = Operator { settings: &settings, ..Operator::default() };
        let more =
            "[[egress]]\nname = 'e'\nkind = 'setting'\nsetting = 'Lab'\nurl = 'http://p'\nusername = 'u'\nsource = '192.0.2.1'\n";
        let refused = problems(more, &operator);
        for (line, key) in [(5, "url"), (6, "username"), (7, "source")] {
            assert!(refused.contains(&format!("{line}: The proxy setting says all of it: leave '{key}' out")), "{refused}");
        }
        let mut broken = setting("Lab", "10.0.0.1");
        // Well-formed, and no certificate.
        let pem = "-----BEGIN CERTIFICATE-----\nMAMCAQE=\n-----END CERTIFICATE-----\n";
        broken.ca_pem = Some(CaPem::parse(pem).expect("well-formed"));
        let refused = problems(&by_setting("Lab"), &Operator { settings: &[broken], ..Operator::default() });
        assert!(refused.contains("The proxy setting 'Lab' can't be a way out: its certificate 1 can't be used"), "{refused}");
    }

    #[test]
    fn a_setting_of_a_shared_installation_is_public() {
        for host in ["10.0.0.1", "::1", "localhost", "metadata.google.internal"] {
            let settings = [setting("Lab", host)];
            let shared = Operator { settings: &settings, public_only: true, ..Operator::default() };
            assert!(
                problems(&by_setting("lab"), &shared).contains("4: The proxy setting 'Lab' can't be a way out: it has no public")
            );
            Policy::parse_stored(&by_setting("lab"), &[], &Operator { public_only: false, ..shared }).expect("one's own network");
        }
        let settings = [setting("Lab", "proxy.example")];
        let shared = Operator { settings: &settings, public_only: true, ..Operator::default() };
        let policy = Policy::parse_stored(&by_setting("lab"), &[], &shared).expect("vetted when it is dialled");
        assert!(matches!(&policy.settings().egresses[0].way, Way::Upstream(upstream) if upstream.is_vetted));
    }

    #[test]
    fn people_of_the_database_are_people_of_the_policy() {
        let ann = StoredPerson { name: "ann".into(), password: HASH.into(), groups: vec!["staff".into()] };
        let rule = "[[rule]]\nname = 'a'\naction = 'allow'\npeople = 'ann'\ngroups = 'staff'\n";
        let policy = Policy::parse_stored(rule, std::slice::from_ref(&ann), &Operator::default()).expect("right");
        assert_eq!(policy.person("ann").map(|person| person.password.as_str()), Some(HASH));
        Policy::parse_stored(rule, &[], &Operator::default()).expect_err("nobody is called ann");
        let twice = format!("[[person]]\nname = 'ann'\npassword = '{HASH}'\n");
        let problems = Policy::parse_stored(&twice, &[ann], &Operator::default()).expect_err("two of a name");
        assert_eq!((problems.len(), problems[0].line), (1, 2), "{problems:?}");
    }
}
