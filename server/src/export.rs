//! `gatehouse company export` and `gatehouse audit export`, and what sends an export.
//!
//! Where a running server has the database, what is exported comes from it over the socket of the commands, piece by piece; the file is
//! written by the command in either case, so it belongs to whoever ran it.

use std::{
    fs::{self, OpenOptions},
    io::{self, IsTerminal as _, Write},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
};

use axum::{
    Json,
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use gatehouse_domain::AppError;
use gatehouse_platform::{Platform, companies::Keeper, export::Pieces};
use gatehouse_store::OpenError;
use http::StatusCode;
use http_body_util::{BodyExt as _, Full};

use crate::{
    admin,
    config::Settings,
    startup::{self, StartError},
};

/// Where the socket gives a company's export.
pub const PATH: &str = "/export";
/// Where it gives an audit log.
pub const AUDIT_PATH: &str = "/export/audit";

/// What is exported.
enum What {
    /// Everything of the company of this name.
    Company(String),
    /// The audit log of the company of this name; without one, the installation's own.
    Audit(Option<String>),
}

/// An export as a body. One that breaks off must not look whole: the connection breaks off, too.
pub fn body(pieces: Pieces) -> Body {
    let pieces = stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((piece.map_err(|error| io::Error::other(error.to_string())), pieces))
    });
    // What compresses a body asks once more after its end, where `unfold` panics.
    Body::from_stream(pieces.fuse())
}

async fn begin(platform: &Platform, what: &What) -> Result<Pieces, AppError> {
    match what {
        What::Company(name) => {
            let company = platform.company_named(Keeper::CommandLine, name).await?;
            platform.export_company(Keeper::CommandLine, &company.id).await.map(|(_, pieces)| pieces)
        }
        What::Audit(company) => platform.export_audit(company.as_deref()).await,
    }
}

async fn answer(platform: &Platform, what: &What) -> Response {
    match begin(platform, what).await {
        Ok(pieces) => body(pieces).into_response(),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, admin::in_words(&error)).into_response(),
    }
}

/// What a running server answers on its socket to the company's name, in JSON.
pub async fn send(State(platform): State<Arc<Platform>>, Json(name): Json<String>) -> Response {
    answer(&platform, &What::Company(name)).await
}

/// The same of an audit log: the company's name, or `null`.
pub async fn send_audit(State(platform): State<Arc<Platform>>, Json(company): Json<Option<String>>) -> Response {
    answer(&platform, &What::Audit(company)).await
}

/// `gatehouse audit export`.
///
/// # Errors
/// In words for the operator.
pub async fn audit(settings: &Settings, company: Option<String>) -> Result<(), String> {
    receive(settings, &What::Audit(company), &mut io::stdout().lock()).await.map(drop)
}

/// `gatehouse company export NAME FILE`.
///
/// # Errors
/// In words for the operator; there is nothing at `file` then that was not there before.
pub async fn to_file(settings: &Settings, name: String, file: &Path) -> Result<(), String> {
    if file.as_os_str() == "-" {
        if io::stdout().is_terminal() {
            return Err("an export is not for a terminal: redirect standard output to a file or a program".into());
        }
        return receive(settings, &What::Company(name), &mut io::stdout().lock()).await.map(drop);
    }
    let problem = |error: io::Error| format!("{}: {error}", file.display());
    // What is in it is not for everybody on the machine.
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => format!("{} is there already. Give another name", file.display()),
        _ => problem(error),
    })?;
    let received = receive(settings, &What::Company(name), &mut out).await.and_then(|length| {
        out.sync_all().map_err(problem)?;
        Ok(length)
    });
    match received {
        Ok(length) => {
            println!("{}: {length} bytes. No secrets are in it, and no files of analyses.", file.display());
            Ok(())
        }
        Err(error) => {
            let _ = fs::remove_file(file);
            Err(error)
        }
    }
}

/// Writes it, from wherever it comes; gives its length.
async fn receive(settings: &Settings, what: &What, out: &mut impl Write) -> Result<u64, String> {
    let body = match startup::open(settings).await {
        Ok(platform) => body(begin(&platform, what).await.map_err(|error| admin::in_words(&error))?),
        Err(StartError::Open(OpenError::Locked(_))) => match settings.socket() {
            Some(socket) => from_server(&socket, what).await?,
            None => return Err("the database is in use by another process".into()),
        },
        Err(error) => return Err(error.to_string()),
    };
    let mut pieces = body.into_data_stream();
    let mut length = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| format!("the export broke off: {error}"))?;
        out.write_all(&piece).map_err(|error| format!("it can't be written: {error}"))?;
        length += piece.len() as u64;
    }
    out.flush().map_err(|error| format!("it can't be written: {error}"))?;
    Ok(length)
}

async fn from_server(socket: &Path, what: &What) -> Result<Body, String> {
    let mut sender = admin::connect(socket).await?;
    let (path, name) = match what {
        What::Company(name) => (PATH, serde_json::to_vec(name)),
        What::Audit(company) => (AUDIT_PATH, serde_json::to_vec(company)),
    };
    let name = name.map_err(|error| error.to_string())?;
    let request = http::Request::post(path)
        .header(http::header::HOST, "localhost")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(name)))
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await.map_err(|error| format!("the running server does not answer: {error}"))?;
    let (status, body) = (answer.status(), answer.into_body());
    match status {
        StatusCode::OK => Ok(Body::new(body)),
        StatusCode::UNPROCESSABLE_ENTITY => {
            let said = body.collect().await.map_err(|error| format!("the running server broke off: {error}"))?.to_bytes();
            Err(String::from_utf8_lossy(&said).into_owned())
        }
        status => Err(format!(
            "the server that runs is another Gatehouse than this program and gives no export ({status}). Use the program that is running, or stop it first"
        )),
    }
}
