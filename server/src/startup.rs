//! From settings to a platform: log, key, database, in an order that harms nothing when one of them is not right.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use gatehouse_outbound::{AddressPolicy, Names, OutDoor, Reach, Tester};
use gatehouse_platform::{
    Config, KeyRing, Network, Platform, SetUp,
    keys::KeyError,
    ports::{AccessStore as _, KeyStore as _},
};
use gatehouse_store::{OpenError, Store};
use ipnet::IpNet;
use tracing_subscriber::{EnvFilter, fmt::format::FmtSpan, prelude::*};

use crate::config::Settings;

/// Why there is no platform.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database does not open.
    #[error("{0}")]
    Open(#[from] OpenError),
    /// The key is not right.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

/// The log goes to standard error.
pub fn log_to_stderr(settings: &Settings) {
    // The engines below are quiet unless asked for by name. The storage engine warns when a command ends, after it has closed its files,
    // that it can't close them again.
    let filter = EnvFilter::try_new(format!(
        "warn,surrealkv::lsm=error,gatehouse={0},gatehouse_platform={0},gatehouse_store={0},gatehouse_outbound={0},gatehouse_engines={0},gatehouse_app={0}",
        settings.log
    ))
    .or_else(|_| EnvFilter::try_new(&settings.log))
    .unwrap_or_else(|_| EnvFilter::new("info"));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_span_events(FmtSpan::NONE);
    let registry = tracing_subscriber::registry().with(filter);
    if settings.log_json {
        registry.with(layer.json()).init();
    } else {
        registry.with(layer.with_target(false)).init();
    }
}

/// Opens the key and the database and checks that they belong together.
///
/// # Errors
/// In words for the operator; nothing was changed.
pub async fn open(settings: &Settings) -> Result<Platform, StartError> {
    open_with_store(settings).await.map(|(platform, ..)| platform)
}

/// The same, and the database and its key themselves, for the gateway that follows it.
///
/// # Errors
/// In words for the operator; nothing was changed.
pub async fn open_with_store(settings: &Settings) -> Result<(Platform, Store, KeyRing), StartError> {
    let path = settings.secret_key_file.as_path();
    // A key that is no key is found before the database is touched.
    let keys = match settings.keys() {
        Ok(keys) => Some(keys),
        Err(KeyError::Missing(_)) if !settings.cloud => None,
        Err(error) => return Err(error.into()),
    };
    let store = Store::open(&settings.store()).await?;
    let stored = store.key_id().await.map_err(|e| StartError::Other(e.to_string()))?;
    let keys = match (stored, keys) {
        (Some(_), None) => return Err(KeyError::Missing(path.into()).into()),
        (Some(id), Some(keys)) if keys.select(&id) => keys,
        (Some(_), Some(keys)) => return Err(keys.wrong().into()),
        (None, keys) => {
            let keys = match keys {
                Some(keys) => keys,
                // A key is made with an empty database only: what another key has sealed would be lost without a word.
                None if store.is_empty().await.map_err(|e| StartError::Other(e.to_string()))? => KeyRing::create(path)?,
                None => return Err(KeyError::Missing(path.into()).into()),
            };
            store.init_key_id(&keys.key_id()).await.map_err(|e| StartError::Other(e.to_string()))?;
            keys
        }
    };
    let platform = platform(settings, &store, keys.clone())?;
    if keys.is_rotating() {
        let count = platform.rotate_key().await.map_err(|e| StartError::Other(e.to_string()))?;
        tracing::info!(count, "finished a key rotation that was cut off");
    }
    Ok((platform, store, keys))
}

/// Opens what is there as it is: nothing is made, upgraded or finished.
///
/// # Errors
/// In words for the operator.
pub async fn look(settings: &Settings) -> Result<Platform, StartError> {
    let keys = settings.keys()?;
    let store = Store::look(&settings.store()).await?;
    match store.key_id().await.map_err(|e| StartError::Other(e.to_string()))? {
        Some(id) if !keys.select(&id) => Err(keys.wrong().into()),
        _ => platform(settings, &store, keys),
    }
}

/// Wires it.
fn platform(settings: &Settings, store: &Store, keys: KeyRing) -> Result<Platform, StartError> {
    let mut config = Config::new(settings.test_target.clone());
    config.cloud = settings.cloud;
    config.outgoing_addresses = settings.outgoing_addresses.iter().map(written).collect();
    config.delete_company_days = settings.company_delete_days;
    // Many companies share a cloud installation's network: what a test tells must not be a map of it.
    let policy = if settings.cloud { AddressPolicy::PublicOnly } else { AddressPolicy::AllowAll };
    let names = Names::of(&settings.name_servers).map_err(|why| StartError::Other(format!("NAME_SERVERS: {why}")))?;
    let reach = Reach::new(policy, names);
    let network = Network {
        tester: Arc::new(Tester::with(reach.clone())),
        door: Arc::new(OutDoor::new(Arc::new(store.clone()), keys.clone(), reach)),
    };
    Ok(Platform::new(store.clone(), network, gatehouse_engines::catalogue(), Arc::new(settings.judge()), keys, config))
}

/// A network as people write it: an address alone without its length.
fn written(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// The first administrator from the settings, when the database is empty and they say who it is.
///
/// # Errors
/// Which setting is wrong.
pub async fn first_administrator(platform: &Platform, settings: &Settings) -> Result<(), String> {
    let (Some(email), Some(password)) = (&settings.admin_email, &settings.admin_password) else { return Ok(()) };
    let name = email.split('@').next().unwrap_or("Administrator").to_string();
    let input = SetUp { company: settings.admin_company.clone(), name, email: email.clone(), password: password.clone() };
    match platform.ensure_first_administrator(&input).await {
        Ok(true) => {
            tracing::info!("made the first administrator from ADMIN_EMAIL");
            Ok(())
        }
        Ok(false) => Ok(()),
        Err(error) => {
            let fields: Vec<_> = error.fields().0.iter().map(|(f, m)| format!("ADMIN_{}: {m}", f.to_uppercase())).collect();
            Err(if fields.is_empty() { error.to_string() } else { fields.join(" ") })
        }
    }
}

/// A path for a Unix socket: `bind` and `connect` take at most 107 bytes, which a deep folder exceeds, so a long path is
/// reached through the open folder.
pub fn socket_address(path: &Path) -> std::io::Result<(PathBuf, Option<std::fs::File>)> {
    use std::os::fd::AsRawFd as _;
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok((path.into(), None)) };
    if path.as_os_str().len() < 100 {
        return Ok((path.into(), None));
    }
    let folder = std::fs::File::open(folder)?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name), Some(folder)))
}
