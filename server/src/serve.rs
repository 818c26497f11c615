//! `gatehouse serve`.

use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpListener, signal::unix::SignalKind};

use crate::{admin, backup, config::Settings, gateway, router::router, site, startup, state::AppState};

/// How long requests under way have when the server is told to end.
const DRAIN: Duration = Duration::from_secs(15);

/// Serves until told to end.
///
/// # Errors
/// In words for the operator.
pub async fn serve(settings: Settings) -> Result<(), String> {
    // A port that is taken is found before the database is touched.
    let listener = TcpListener::bind(settings.listen).await.map_err(|error| {
        format!("can't listen on {}: {error}. Choose another address with --listen or GATEHOUSE_LISTEN", settings.listen)
    })?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    let (platform, store) = startup::open_with_store(&settings).await.map_err(|error| match error {
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
        Some(gateway::start(&settings, Some(gateway::Database::Open(store))).await?)
    };
    let url = settings.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
    println!("Gatehouse is ready: {url}");
    if platform.needs_setup().await.map_err(|e| e.to_string())? {
        let link = platform.new_setup_link().await.map_err(|e| e.to_string())?;
        println!(
            "Nobody has an account yet. Open this link to begin (good for 24 hours and one use):\n  {url}/setup/{}",
            link.expose()
        );
    }
    tokio::spawn({
        let platform = platform.clone();
        async move { platform.tend().await }
    });
    // What leptos spawns while it renders runs on this runtime. Only a second call fails.
    let _ = any_spawner::Executor::init_tokio();
    let meter = gateway.as_ref().map(gateway::Running::meter);
    let state = AppState { platform, leptos: site::leptos_options(), public_url: settings.public_url, gateway: meter };
    if !std::path::Path::new(state.leptos.site_root.as_ref()).join("pkg").exists() {
        tracing::warn!(folder = %state.leptos.site_root, "the browser's files are missing: pages work, but without JavaScript and style. Build them with 'make build'");
    }
    let (ending, ended) = tokio::sync::watch::channel(false);
    let server =
        axum::serve(listener, router(state).into_make_service_with_connect_info::<SocketAddr>()).with_graceful_shutdown({
            async move {
                end_signal().await;
                tracing::info!("ending: no new connections are taken");
                let _ = ending.send(true);
            }
        });
    let mut ended = ended;
    let overdue = async {
        let _ = ended.wait_for(|ending| *ending).await;
        tokio::time::sleep(DRAIN).await;
    };
    let gateway = async {
        if let Some(gateway) = gateway {
            gateway.until(end_signal()).await;
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
