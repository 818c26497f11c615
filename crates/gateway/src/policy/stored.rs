//! A policy that stands in a database: written by whoever administers the gateway's rules, who need not be the one who runs the
//! machine. What concerns the machine (where it listens, which files it reads and writes) is the operator's to say.

use std::path::{Component, Path};

use super::{
    Policy,
    file::{File, PersonEntry},
    read::{At, Notes, Problem, Table},
    value::{LogFormat, PasswordText, UpstreamUrl},
};
use crate::guard::Guard;

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
    /// Private addresses stay closed, whatever the policy says: of an installation that several companies share.
    pub public_only: bool,
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

impl Policy {
    /// Reads a policy from a text that the operator of this machine did not write, and puts the people to it that stand elsewhere.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn parse_stored(text: &str, people: &[StoredPerson], operator: &Operator<'_>) -> Result<Self, Vec<Problem>> {
        let base = operator.files.unwrap_or(Path::new(""));
        Self::compile(text, base, "policy", |table, file, notes| operator.adapt(table, people, file, notes))
    }
}

impl Operator<'_> {
    /// Refuses what is the operator's, and adds what does not stand in the text.
    fn adapt(&self, table: &Table<'_>, people: &[StoredPerson], file: &mut File, notes: &mut Notes) {
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
        let text = |path: &Path| path.display().to_string();
        file.cache.folder = self.cache.map(text);
        file.usage.path = self.state.map(|folder| text(&folder.join("usage")));
        file.lists.folder = self.state.map(|folder| At { value: text(&folder.join("lists")), at: 0 });
        for category in &mut file.categories {
            // What is refused is not looked at: not even whether there is such a file is told.
            category.files.retain(|path| self.may_read(path, notes));
        }
        for egress in &mut file.egresses {
            if egress.password_file.as_ref().is_some_and(|path| !self.may_read(path, notes)) {
                egress.password_file = None;
            }
            if let Some(url) = egress.url.as_ref().filter(|url| self.public_only && !is_public(url)) {
                notes.note(url.at, "This installation reaches public addresses only: name the proxy by its public address.");
            }
        }
        if self.public_only {
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

/// Whether this is a public address. Of a name it can't be said beforehand.
fn is_public(url: &UpstreamUrl) -> bool {
    url.host.address().is_some() && Guard::new(Vec::new(), Vec::new()).vet_host(&url.host).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for host in ["10.0.0.1", "[::1]", "0x7f.1", "proxy.example"] {
            assert!(problems(&egress(host), &shared).contains("4: This installation"), "{host}");
        }
        Policy::parse_stored(&egress("93.184.215.14"), &[], &shared).expect("a public address");
        Policy::parse_stored(&egress("10.0.0.1"), &[], &Operator::default()).expect("one's own network");
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
