//! `gatehouse serve`.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt as _};
use tokio::{net::TcpListener, signal::unix::SignalKind};

use crate::{
    admin, backup,
    config::Settings,
    ending::Ending,
    gateway, lambda,
    router::router,
    site, startup,
    state::AppState,
    systemd,
    tls::{Tls, TlsListener},
};

/// How long requests under way have when the server is told to end, where it is the only one: it is to be back soon.
const DRAIN: Duration = Duration::from_secs(15);
/// And where others serve meanwhile: the longest answer, to whoever waits for an analysis, takes a minute.
const DRAIN_OF_MANY: Duration = Duration::from_secs(65);

/// Serves until told to end.
///
/// # Errors
/// In words for the operator.
pub async fn serve(settings: Settings) -> Result<(), String> {
    if let Some(address) = lambda::runtime_api() {
        return lambda::serve(settings, &address).await;
    }
    // A port that is taken is found before the database is touched.
    let listener = TcpListener::bind(settings.listen).await.map_err(|error| {
        format!("can't listen on {}: {error}. Choose another address with --listen or GATEHOUSE_LISTEN", settings.listen)
    })?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let (platform, store, keys) = startup::open_with_store(&settings).await.map_err(|error| match error {
        startup::StartError::Open(error @ gatehouse_store::OpenError::Locked(_)) => {
            format!("{error}. Is Gatehouse running already? Another copy needs a DATABASE of its own")
        }
        error => error.to_string(),
    })?;
    startup::first_administrator(&platform, &settings).await?;
    if let Some(socket) = settings.socket() {
        admin::listen(&socket, platform.clone(), backup::routes(store.clone()))?;
    }
    let gateway = if settings.gateway_listen.is_empty() {
        None
    } else {
        Some(gateway::start(&settings, Some(gateway::Database::Open(store, gateway::Keys::Open(keys)))).await?)
    };
    let encrypted = match &settings.tls {
        Tls::Off => None,
        tls => Some(tls),
    };
    let front = match encrypted {
        None => Front::Plain(listener),
        Some(tls) => {
            let (listener, about) = TlsListener::start(listener, tls, settings.public_url.as_deref())?;
            if !tls.is_strict() {
                println!(
                    "The certificate is one of our own: browsers warn of it once. Its SHA-256 fingerprint, to compare:\n  {}",
                    about.fingerprint
                );
            }
            Front::Tls(listener)
        }
    };
    let scheme = if encrypted.is_some() { "https" } else { "http" };
    let url = settings.public_url.clone().unwrap_or_else(|| format!("{scheme}://{address}"));
    println!("Gatehouse is ready: {url}");
    if platform.needs_setup().await.map_err(|e| e.to_string())? {
        let link = platform.new_setup_link().await.map_err(|e| e.to_string())?;
        println!(
            "Nobody has an account yet. Open this link to begin (good for 24 hours and one use):\n  {url}/setup/{}",
            link.expose()
        );
    }
    let ending = Ending::on_signal(settings.shutdown_delay);
    tokio::spawn({
        let (platform, ending) = (platform.clone(), ending.clone());
        async move {
            // A process that ends takes no turn any more.
            tokio::select! {
                () = platform.tend() => {}
                () = ending.begun() => {}
            }
        }
    });
    // What leptos spawns while it renders runs on this runtime. Only a second call fails.
    let _ = any_spawner::Executor::init_tokio();
    let drain = if settings.is_database_shared() { DRAIN_OF_MANY } else { DRAIN };
    let meter = gateway.as_ref().map(gateway::Running::meter);
    let public_https = settings.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    let state = AppState {
        platform: platform.clone(),
        leptos: site::leptos_options(),
        trusted_proxies: settings.trusted_proxies.into(),
        tls: encrypted.is_some(),
        // With a certificate of our own a browser that insists would let nobody in any more.
        strict: encrypted.map_or(public_https, Tls::is_strict),
        public_url: settings.public_url,
        gateway: meter,
        ending: ending.clone(),
    };
    site::warn_if_missing(&state.leptos);
    let server = front.serve(router(state), ending.clone().closing());
    let is_embedded = settings.database.starts_with("surrealkv://");
    systemd::ready(is_embedded.then_some(platform));
    let overdue = async {
        ending.clone().closing().await;
        tokio::time::sleep(drain).await;
    };
    let gateway = async {
        if let Some(gateway) = gateway {
            gateway.until(ending.clone().closing()).await;
        }
    };
    let console = async {
        tokio::select! {
            result = server => result.map_err(|e| e.to_string()),
            () = overdue => {
                tracing::warn!("requests that took too long were cut off");
                Ok(())
            }
        }
    };
    let (console, ()) = tokio::join!(console, gateway);
    console?;
    if let Some(socket) = settings.database.strip_prefix("surrealkv://") {
        let _ = std::fs::remove_file(format!("{}.sock", socket.trim_end_matches('/')));
    }
    Ok(())
}

/// Where requests come in.
enum Front {
    Plain(TcpListener),
    Tls(TlsListener),
}

impl Front {
    /// Serves until `end`; then what is on its way comes to its end.
    async fn serve(self, router: Router, end: impl Future<Output = ()> + Send + 'static) -> std::io::Result<()> {
        let router = router.into_make_service_with_connect_info::<SocketAddr>();
        match self {
            Self::Plain(listener) => axum::serve(listener, router).with_graceful_shutdown(end).await,
            // Who is on the other end is told of listeners of axum's own only: this wraps ours into one of them.
            Self::Tls(listener) => axum::serve(listener.tap_io(|_| {}), router).with_graceful_shutdown(end).await,
        }
    }
}

/// Ctrl-C or SIGTERM.
pub(crate) async fn end_signal() {
    let mut term = match tokio::signal::unix::signal(SignalKind::terminate()) {
        Ok(term) => term,
        Err(_) => return std::future::pending().await,
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
}
