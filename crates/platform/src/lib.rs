//! What Gatehouse does, apart from how it is stored, reached and shown.
//!
//! [`Platform`] has one method for each thing a person or a script can ask for. Each takes an [`Actor`] and works in the
//! actor's company only. What it needs from outside stands in [`ports`] as traits: the database, the network. Server
//! functions, REST handlers, form posts and the command line all call these methods, so they agree.
//!
//! **Deliberately absent**: SQL, HTTP, HTML, and any state that a second process would miss.

pub mod access;
pub mod account;
pub mod analyses;
pub mod audit;
pub mod checks;
pub mod companies;
pub mod door;
pub mod engine;
pub mod export;
pub mod gateway;
pub mod integrations;
pub mod keys;
pub mod passwords;
pub mod people;
pub mod ports;
pub mod proxies;
pub mod traffic;
pub mod turns;

mod background;
mod config;
mod ids;
mod vetting;

pub use access::{Actor, Caller, FirstFactor, NewSession, NewToken, SetUp, SignIn};
pub use analyses::AnalysisInput;
pub use audit::{Audit, Origin, Verified};
pub use checks::Inspected;
pub use config::Config;
pub use door::{Asker, Choice, Door, OutAnswer, OutError, OutRequest, Retry};
pub use engine::{Catalogue, Engine, EngineContext, EngineFailure, FileContent, Finding};
pub use gateway::{Judged, PolicyDraft, PolicyJudge};
pub use ids::{AnalysisId, CompanyId, GatewayPersonId, IntegrationId, InvitationId, PersonId, ProxyId, TokenId};
pub use keys::{KeyRing, Sealed};
pub use platform::{Network, Platform};
pub use turns::Tended;

mod platform;
