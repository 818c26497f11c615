//! Everything of a company as one JSON document, piece by piece: what an auditor of it could see, so no secrets.

use gatehouse_domain::{
    AnalysisQuery, AppError, AuditQuery, CompanyView, GatewayPeopleQuery, IntegrationQuery, Operation, Page, ProxyQuery, Role,
    SessionView, TrafficQuery,
};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    Actor, CompanyId, Origin, PersonId, Platform,
    companies::Keeper,
    platform::{internal, now},
};

/// Items that are read at a time.
const STEP: u16 = 200;

/// Pieces of the document, in order. An error is the last one: what came before it is not whole.
pub type Pieces = mpsc::Receiver<Result<String, AppError>>;

impl Platform {
    /// Begins an export. That it was taken stands in the company's log, and is the last entry that is in it.
    ///
    /// # Errors
    /// [`AppError::NotFound`], [`AppError::Forbidden`].
    pub async fn export_company<'a>(&self, keeper: impl Into<Keeper<'a>>, id: &str) -> Result<(CompanyView, Pieces), AppError> {
        let keeper = keeper.into();
        keeper.may(Operation::ExportCompany)?;
        let company = self.company(keeper, id).await?;
        let own = CompanyId::parse(&company.id).ok_or(AppError::NotFound)?;
        self.note(keeper.did(Operation::ExportCompany).to("company", own, &company.name).also_in(own)).await?;
        // A slow reader slows it down, and nothing piles up.
        let (pieces, received) = mpsc::channel(4);
        let writer = Writer { platform: self.clone(), reader: reader(own, &company.name), pieces };
        let about = company.clone();
        tokio::spawn(async move {
            if let Err(Stop::Failed(error)) = writer.write(&about).await {
                tracing::warn!(%error, "the export of a company broke off");
                let _ = writer.pieces.send(Err(error)).await;
            }
        });
        Ok((company, received))
    }
}

/// Somebody who sees all of the company but secrets.
fn reader(company: CompanyId, name: &str) -> Actor {
    let view = SessionView {
        name: "Export".into(),
        email: String::new(),
        company: name.to_string(),
        role: Role::Auditor,
        expires_at: None,
    };
    Actor { company, person: PersonId::new(), role: Role::Auditor, view, origin: Origin::program() }
}

/// Why it ends early.
enum Stop {
    Failed(AppError),
    /// Nobody reads it any more.
    Gone,
}

impl From<AppError> for Stop {
    fn from(error: AppError) -> Self {
        Self::Failed(error)
    }
}

/// What comes in pages.
#[derive(Debug, Clone, Copy)]
enum List {
    Proxies,
    Integrations,
    GatewayPeople,
    Analyses,
    Traffic,
    Audit,
}

impl List {
    const fn name(self) -> &'static str {
        match self {
            Self::Proxies => "proxies",
            Self::Integrations => "integrations",
            Self::GatewayPeople => "gateway_people",
            Self::Analyses => "analyses",
            Self::Traffic => "traffic",
            Self::Audit => "audit",
        }
    }
}

struct Writer {
    platform: Platform,
    reader: Actor,
    pieces: mpsc::Sender<Result<String, AppError>>,
}

impl Writer {
    async fn write(&self, company: &CompanyView) -> Result<(), Stop> {
        let (platform, reader) = (&self.platform, &self.reader);
        let head = json!({ "format": "gatehouse-company", "version": 1, "exported_at": now(), "company": company });
        // Left open: fields follow.
        let head = head.to_string();
        self.say(head.strip_suffix('}').unwrap_or(&head).to_string()).await?;
        self.field("people", platform.people(reader).await?).await?;
        self.field("invitations", platform.invitations(reader).await?).await?;
        self.list(List::Proxies).await?;
        self.list(List::Integrations).await?;
        self.field("checks", platform.checks(reader).await?).await?;
        self.field("health_changes", platform.health_changes(reader).await?).await?;
        self.field("gateway_policy", platform.gateway_policy(reader).await?).await?;
        for list in [List::GatewayPeople, List::Analyses, List::Traffic, List::Audit] {
            self.list(list).await?;
        }
        self.say("}\n".into()).await
    }

    async fn say(&self, text: String) -> Result<(), Stop> {
        self.pieces.send(Ok(text)).await.map_err(|_| Stop::Gone)
    }

    async fn field(&self, name: &str, value: impl Serialize) -> Result<(), Stop> {
        self.say(format!(",\n\"{name}\":{}", text(&value)?)).await
    }

    /// Page after page.
    async fn list(&self, list: List) -> Result<(), Stop> {
        self.say(format!(",\n\"{}\":[", list.name())).await?;
        let (mut cursor, mut first) = (None, true);
        loop {
            let Page { items, next } = self.page(list, cursor).await?;
            let mut piece = String::new();
            for item in items {
                piece.push_str(if first { "\n" } else { ",\n" });
                piece.push_str(&item);
                first = false;
            }
            self.say(piece).await?;
            match next {
                Some(next) => cursor = Some(next),
                None => return self.say("]".into()).await,
            }
        }
    }

    async fn page(&self, list: List, cursor: Option<String>) -> Result<Page<String>, AppError> {
        let (platform, reader) = (&self.platform, &self.reader);
        match list {
            List::Proxies => {
                texts(platform.list_proxies(reader, &ProxyQuery { limit: STEP, cursor, ..ProxyQuery::default() }).await?)
            }
            List::Integrations => {
                let query = IntegrationQuery { limit: STEP, cursor, ..IntegrationQuery::default() };
                texts(platform.list_integrations(reader, &query).await?)
            }
            List::GatewayPeople => {
                let query = GatewayPeopleQuery { q: String::new(), descending: false, limit: STEP, cursor };
                texts(platform.gateway_people(reader, &query).await?)
            }
            List::Analyses => {
                let query = AnalysisQuery { limit: STEP, cursor, ..AnalysisQuery::default() };
                let Page { items, next } = platform.list_analyses(reader, &query).await?;
                let mut whole = Vec::new();
                for analysis in items {
                    match platform.analysis(reader, &analysis.id).await {
                        Ok(analysis) => whole.push(analysis),
                        // Deleted meanwhile.
                        Err(AppError::NotFound) => {}
                        Err(error) => return Err(error),
                    }
                }
                texts(Page { items: whole, next })
            }
            List::Traffic => {
                texts(platform.traffic(reader, &TrafficQuery { limit: STEP, cursor, ..TrafficQuery::default() }).await?)
            }
            List::Audit => {
                let cursor = cursor.and_then(|cursor| cursor.parse().ok());
                texts(platform.audit(reader, &AuditQuery { limit: STEP, cursor, ..AuditQuery::default() }).await?)
            }
        }
    }
}

fn texts<T: Serialize>(page: Page<T>) -> Result<Page<String>, AppError> {
    let items = page.items.iter().map(text).collect::<Result<_, _>>()?;
    Ok(Page { items, next: page.next })
}

fn text(value: &impl Serialize) -> Result<String, AppError> {
    serde_json::to_string(value).map_err(internal)
}
