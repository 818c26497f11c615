//! `gatehouse admin …`, beside a running server or without one.
//!
//! The embedded database has one owner. When that is a running server, the command travels to it over a socket in the
//! data folder, which only the operating system's owner of that folder can open.

use std::{io::Read as _, path::Path, sync::Arc};

use axum::{Json, Router, extract::State, routing::post};
use bytes::Bytes;
use gatehouse_domain::{AppError, CompanyView, Role, Secret};
use gatehouse_platform::{Platform, Verified, companies::Keeper};
use gatehouse_store::OpenError;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{UnixListener, UnixStream};

use crate::{
    config::{AdminCommand, AuditCommand, CompanyCommand, RoleArg, Settings},
    doctor, export,
    startup::{self, StartError, socket_address},
};

/// A command as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    Create {
        email: String,
        password: Secret,
        company: Option<String>,
        name: Option<String>,
        role: Role,
    },
    Token {
        email: String,
        name: String,
    },
    RotateKey,
    /// Something about the companies.
    Company(CompanyOrder),
    /// Look through the audit log.
    VerifyAudit {
        company: Option<String>,
    },
    /// Whether somebody answers.
    Ping,
    /// Test proxies and engines, for the doctor.
    Inspect,
}

/// What the command line can have done to companies. They are named, not identified: a person types it.
#[derive(Debug, Serialize, Deserialize)]
pub enum CompanyOrder {
    List,
    Create {
        name: String,
    },
    Suspend {
        name: String,
    },
    Resume {
        name: String,
    },
    Delete {
        name: String,
    },
    /// Answers the path of the link.
    Invite {
        name: String,
        email: String,
    },
}

/// What came of it: what to print, or why not.
pub type Outcome = Result<String, String>;

/// Runs a command.
///
/// # Errors
/// In words for the operator.
pub async fn run(settings: Settings, command: AdminCommand) -> Result<(), String> {
    let order = match command {
        AdminCommand::Create { email, password_stdin: _, company, name, role } => {
            let mut password = String::new();
            std::io::stdin().take(4096).read_to_string(&mut password).map_err(|e| format!("standard input: {e}"))?;
            let password = Secret::new(password.trim_end_matches(['\r', '\n']));
            let role = match role {
                RoleArg::Owner => Role::Owner,
                RoleArg::Administrator => Role::Administrator,
                RoleArg::Auditor => Role::Auditor,
                RoleArg::Provider => Role::Provider,
            };
            Order::Create { email, password, company, name, role }
        }
        AdminCommand::Token { email, name } => Order::Token { email, name },
        AdminCommand::RotateKey => Order::RotateKey,
    };
    println!("{}", have_done(&settings, order).await?);
    Ok(())
}

/// Looks through the audit log, or prints one. What is wrong with it is an error.
///
/// # Errors
/// In words for the operator.
pub async fn audit(settings: Settings, command: AuditCommand) -> Result<(), String> {
    match command {
        AuditCommand::Verify { company } => {
            println!("{}", have_done(&settings, Order::VerifyAudit { company }).await?);
            Ok(())
        }
        AuditCommand::Export { company } => export::audit(&settings, company).await,
    }
}

/// Looks after the companies.
///
/// # Errors
/// In words for the operator.
pub async fn company(settings: Settings, command: CompanyCommand) -> Result<(), String> {
    let order = match command {
        CompanyCommand::List => CompanyOrder::List,
        CompanyCommand::Create { name } => CompanyOrder::Create { name },
        CompanyCommand::Suspend { name } => CompanyOrder::Suspend { name },
        CompanyCommand::Resume { name } => CompanyOrder::Resume { name },
        CompanyCommand::Delete { name } => CompanyOrder::Delete { name },
        CompanyCommand::Invite { name, email } => {
            let path = have_done(&settings, Order::Company(CompanyOrder::Invite { name, email })).await?;
            // What address the server has, this command does not know unless it is set.
            if settings.public_url.is_none() {
                eprintln!("PUBLIC_URL is not set: put the address that people use in front of it.");
            }
            println!("{}{path}", settings.public_url.unwrap_or_default());
            return Ok(());
        }
        CompanyCommand::Export { name, file } => return export::to_file(&settings, name, &file).await,
    };
    println!("{}", have_done(&settings, Order::Company(order)).await?);
    Ok(())
}

/// Carries an order out, here or in the server that has the database.
async fn have_done(settings: &Settings, order: Order) -> Outcome {
    match startup::open(settings).await {
        Ok(platform) => carry_out(&platform, order).await,
        Err(StartError::Open(OpenError::Locked(_))) => match settings.socket() {
            Some(socket) => send(&socket, &order).await,
            None => Err("the database is in use by another process".into()),
        },
        Err(error) => Err(error.to_string()),
    }
}

/// What was found, a line for each log; an error as soon as one of them is not whole.
async fn verify_audit(platform: &Platform, company: Option<&str>) -> Outcome {
    let verified = platform.verify_audit(company).await.map_err(|error| in_words(&error))?;
    let is_whole = verified.iter().all(|(_, verified)| verified.problem.is_none());
    let lines = verified.into_iter().map(|(name, Verified { head, problem })| match problem {
        Some(problem) => format!("{name}: NOT WHOLE: {problem}."),
        None if head.number == 0 => format!("{name}: nothing is in the log."),
        None => format!("{name}: whole, {} entries, the last one's hash is {}", head.number, head.hash),
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    if is_whole { Ok(text) } else { Err(format!("the audit log is not what was written.\n{text}")) }
}

async fn keep_companies(platform: &Platform, order: CompanyOrder) -> Result<String, AppError> {
    let keeper = Keeper::CommandLine;
    let id = async |name: &str| platform.company_named(keeper, name).await.map(|company| company.id);
    Ok(match order {
        CompanyOrder::List => {
            let line = |company: CompanyView| {
                let until =
                    company.delete_after.map(|at| format!(" (after {})", at.format("%Y-%m-%d %H:%M UTC"))).unwrap_or_default();
                format!("{}\t{}{until}\t{}", company.name, company.status.as_str(), company.people)
            };
            platform.list_companies(keeper).await?.into_iter().map(line).collect::<Vec<_>>().join("\n")
        }
        CompanyOrder::Create { name } => {
            let company = platform.create_company(keeper, &name).await?;
            format!("{} is there. Invite its first administrator with 'gatehouse company invite'.", company.name)
        }
        CompanyOrder::Suspend { name } => {
            let company = platform.suspend_company(keeper, &id(&name).await?).await?;
            format!("{} is suspended: nobody of it can sign in.", company.name)
        }
        CompanyOrder::Resume { name } => {
            let company = platform.resume_company(keeper, &id(&name).await?).await?;
            format!("{} can be used again.", company.name)
        }
        CompanyOrder::Delete { name } => {
            let company = platform.delete_company(keeper, &id(&name).await?).await?;
            let when = company.delete_after.map(|at| at.format("%Y-%m-%d %H:%M UTC").to_string()).unwrap_or_default();
            format!("{} is suspended, and all of it is deleted after {when}, unless it is resumed before.", company.name)
        }
        CompanyOrder::Invite { name, email } => {
            let invitation = platform.invite_first_administrator(keeper, &id(&name).await?, &email).await?;
            format!("/invitation/{}", invitation.secret.expose())
        }
    })
}

async fn carry_out(platform: &Platform, order: Order) -> Outcome {
    let result = match order {
        Order::Create { email, password, company, name, role } => platform
            .create_person(company.as_deref(), name.as_deref(), &email, &password, role)
            .await
            .map(|view| format!("{} can sign in as {} of {}.", view.email, view.role.as_str(), view.company)),
        Order::Company(order) => keep_companies(platform, order).await,
        Order::Token { email, name } => {
            platform.create_token_for(&email, &name).await.map(|token| token.secret.expose().to_string())
        }
        Order::VerifyAudit { company } => return verify_audit(platform, company.as_deref()).await,
        Order::Ping => return Ok(String::new()),
        Order::Inspect => return doctor::inspect(platform).await,
        Order::RotateKey => {
            platform.rotate_key().await.map(|count| format!("The key was changed; {count} stored secrets were sealed anew."))
        }
    };
    result.map_err(|error| in_words(&error))
}

/// Field by field where fields are wrong.
pub fn in_words(error: &AppError) -> String {
    let fields = error.fields();
    if fields.is_empty() {
        error.to_string()
    } else {
        fields.0.iter().map(|(f, m)| format!("{f}: {m}")).collect::<Vec<_>>().join(" ")
    }
}

fn unreachable(socket: &Path, error: &dyn std::fmt::Display) -> String {
    format!("the database is in use by another process that does not answer on {}: {error}", socket.display())
}

/// Connects to the server that has the database.
///
/// # Errors
/// In words for the operator.
pub async fn connect(socket: &Path) -> Result<SendRequest<Full<Bytes>>, String> {
    let unreachable = |error: &dyn std::fmt::Display| unreachable(socket, error);
    let (address, _folder) = socket_address(socket).map_err(|e| unreachable(&e))?;
    let stream = UnixStream::connect(address).await.map_err(|e| unreachable(&e))?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| unreachable(&e))?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Has a running server carry out a command.
///
/// # Errors
/// Why it did not, in words; also when none answers.
pub async fn send(socket: &Path, order: &Order) -> Outcome {
    let unreachable = |error: &dyn std::fmt::Display| unreachable(socket, error);
    let mut sender = connect(socket).await?;
    let body = serde_json::to_vec(order).map_err(|e| e.to_string())?;
    let request = http::Request::post("/")
        .header(http::header::HOST, "localhost")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| e.to_string())?;
    let answer = sender.send_request(request).await.map_err(|e| unreachable(&e))?;
    let body = answer.into_body().collect().await.map_err(|e| unreachable(&e))?.to_bytes();
    serde_json::from_slice::<Outcome>(&body).map_err(|e| unreachable(&e))?
}

/// Listens for commands, and what else goes over the socket. It is for the owner of the data folder alone.
///
/// # Errors
/// In words for the operator.
pub fn listen(socket: &Path, platform: Platform, more: Router) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let problem = |e: std::io::Error| format!("the socket {}: {e}", socket.display());
    let (address, folder) = socket_address(socket).map_err(problem)?;
    // We own the database, so a socket that is there was left by a process that is gone.
    let _ = std::fs::remove_file(&address);
    let listener = UnixListener::bind(&address).map_err(problem)?;
    std::fs::set_permissions(&address, std::fs::Permissions::from_mode(0o600)).map_err(problem)?;
    let app = Router::new()
        .route("/", post(receive))
        .route(export::PATH, post(export::send))
        .route(export::AUDIT_PATH, post(export::send_audit))
        .with_state(Arc::new(platform))
        .merge(more);
    tokio::spawn(async move {
        let _folder = folder;
        if let Err(error) = axum::serve(listener, app).await {
            tracing::error!(%error, "the command socket is closed");
        }
    });
    Ok(())
}

async fn receive(State(platform): State<Arc<Platform>>, Json(order): Json<Order>) -> Json<Outcome> {
    Json(carry_out(&platform, order).await)
}
