//! The last good policy of the database, on this machine's disk: with it the gateway starts and runs without its database.
//!
//! It is written to a file of its own, synced, and renamed over the one before: cut off anywhere, one of the two is there, whole. It
//! holds hashes of passwords, so nobody but the owner reads it.

use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use gatehouse_domain::{
    Bypass, CaPem, CompanyName, HostName, Port, ProxyName, ProxyValues, Scheme, Timeout, Timestamp, Username,
};
use gatehouse_gateway::policy::StoredPerson;
use gatehouse_platform::{
    CompanyId, ProxyId, Sealed,
    ports::{GatewayRecord, ProxyRecord},
};
use serde::{Deserialize, Serialize};

use super::judge::person;

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    company: String,
    company_name: String,
    text: String,
    people: Vec<KeptPerson>,
    /// Files of older programs have none.
    #[serde(default)]
    proxies: Vec<KeptProxy>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptPerson {
    name: String,
    password: String,
    groups: Vec<String>,
}

/// A proxy setting, its password sealed as it is in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct KeptProxy {
    id: String,
    name: String,
    scheme: String,
    host: String,
    port: u16,
    authentication: String,
    username: Option<String>,
    password: Option<String>,
    ca_pem: Option<String>,
    timeout_s: u16,
}

impl KeptProxy {
    fn new(record: &ProxyRecord) -> Self {
        let values = &record.values;
        Self {
            id: record.id.to_string(),
            name: values.name.to_string(),
            scheme: values.scheme.as_str().into(),
            host: values.host.as_str().into(),
            port: values.port.get(),
            authentication: values.authentication.as_str().into(),
            username: values.username.as_ref().map(|username| username.as_str().into()),
            password: record.password.as_ref().map(|sealed| sealed.0.clone()),
            ca_pem: values.ca_pem.as_ref().map(|pem| pem.as_str().into()),
            timeout_s: values.timeout.seconds(),
        }
    }

    /// As it was; `None` when somebody has changed the file in a way that makes it none.
    fn record(&self) -> Option<ProxyRecord> {
        let scheme: Scheme = self.scheme.parse().ok()?;
        let username = self.username.as_ref().map(|username| Username::parse(username, scheme)).transpose().ok()?;
        let values = ProxyValues {
            name: ProxyName::parse(&self.name).ok()?,
            host: HostName::parse(&self.host).ok()?,
            port: Port::try_from(self.port).ok()?,
            scheme,
            authentication: self.authentication.parse().ok()?,
            username,
            bypass: Bypass::default(),
            ca_pem: self.ca_pem.as_ref().map(|pem| CaPem::parse(pem)).transpose().ok()?,
            timeout: Timeout::parse(&self.timeout_s.to_string()).ok()?,
            fallback: None,
        };
        Some(ProxyRecord {
            id: ProxyId::parse(&self.id)?,
            values,
            password: self.password.clone().map(Sealed),
            is_default: false,
            version: 0,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
            last_test: None,
            health: None,
            used_by: Vec::new(),
        })
    }
}

impl Kept {
    /// What is to be kept of a policy: of the company's proxy settings those that it leads through. A password that somebody erased
    /// elsewhere must not stay here.
    pub fn new(company: CompanyId, name: &CompanyName, text: &str, record: &GatewayRecord, used: &[ProxyName]) -> Self {
        let people = record.people.iter().map(person);
        Self {
            company: company.to_string(),
            company_name: name.to_string(),
            text: text.to_string(),
            people: people.map(|StoredPerson { name, password, groups }| KeptPerson { name, password, groups }).collect(),
            proxies: record.proxies.iter().filter(|proxy| used.contains(&proxy.values.name)).map(KeptProxy::new).collect(),
        }
    }

    /// The policy in TOML.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Who can sign in.
    pub fn people(&self) -> Vec<StoredPerson> {
        let known = |person: &KeptPerson| StoredPerson {
            name: person.name.clone(),
            password: person.password.clone(),
            groups: person.groups.clone(),
        };
        self.people.iter().map(known).collect()
    }

    /// The company's proxy settings, as they were.
    pub fn proxies(&self) -> Vec<ProxyRecord> {
        self.proxies.iter().filter_map(KeptProxy::record).collect()
    }

    /// Whose it is.
    pub fn company(&self) -> Option<CompanyId> {
        CompanyId::parse(&self.company)
    }

    /// Whether it is the policy of the company of this name.
    pub fn is_of(&self, name: &CompanyName) -> bool {
        CompanyName::parse(&self.company_name).is_ok_and(|company| company.key() == name.key())
    }
}

/// Where it is kept.
#[derive(Debug, Clone)]
pub struct Place(PathBuf);

impl Place {
    /// In this folder; for a company that was named, in a file of its own: gateways of several companies may share a folder.
    pub fn in_folder(folder: &Path, company: Option<&CompanyName>) -> Self {
        let plain = |c: char| if c.is_alphanumeric() { c } else { '-' };
        let name = company.map(|name| format!("-{}", name.key().chars().map(plain).take(60).collect::<String>()));
        Self(folder.join(format!("gateway-policy{}.json", name.unwrap_or_default())))
    }

    /// For messages.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is kept; `None` where there is nothing.
    ///
    /// # Errors
    /// What is there can't be read.
    pub fn read(&self) -> io::Result<Option<Kept>> {
        match std::fs::read(&self.0) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a policy in place of the one before.
    ///
    /// # Errors
    /// The disk does not take it; the one before still is there.
    pub fn write(&self, kept: &Kept) -> io::Result<()> {
        let folder = self.0.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let next = self.0.with_extension("json.next");
        // One that was left half written has whatever mode it has.
        let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&next)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        file.write_all(&serde_json::to_vec(kept)?)?;
        file.sync_all()?;
        std::fs::rename(&next, &self.0)?;
        File::open(folder)?.sync_all()
    }

    /// Keeps nothing any more.
    ///
    /// # Errors
    /// The system refuses.
    pub fn clear(&self) -> io::Result<()> {
        match std::fs::remove_file(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_whole_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::in_folder(&folder.path().join("a/data"), None);
        assert_eq!(place.read().expect("readable"), None);
        let name = CompanyName::parse("Acme").expect("right");
        let company = CompanyId::new();
        let kept = Kept::new(company, &name, "# one", &GatewayRecord::default(), &[]);
        place.write(&kept).expect("written");
        assert_eq!(place.read().expect("readable"), Some(kept.clone()));
        assert!(kept.is_of(&CompanyName::parse("ACME").expect("right")) && kept.company() == Some(company));
        let mode = std::fs::metadata(place.path()).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // What was cut off in the middle of writing harms nobody, whatever its mode.
        let next = place.path().with_extension("json.next");
        std::fs::write(&next, "{\"comp").expect("written");
        assert_eq!(place.read().expect("readable"), Some(kept));
        let two = Kept::new(company, &name, "# two", &GatewayRecord::default(), &[]);
        place.write(&two).expect("written");
        assert_eq!(place.read().expect("readable"), Some(two));
        assert!(!next.exists() && std::fs::metadata(place.path()).expect("there").permissions().mode() & 0o777 == 0o600);
        place.clear().expect("cleared");
        place.clear().expect("nothing to clear");
        assert_eq!(place.read().expect("readable"), None);
        std::fs::write(place.path(), "not JSON").expect("written");
        place.read().expect_err("damaged");
    }
}
