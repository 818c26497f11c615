//! Who uses which proxy setting.
//!
//! Each consumer (an integration, later others) has one proxy choice, and where that needs a proxy there is one record
//! here. A consumer that chose `No Proxy` has none.

use gatehouse_domain::{UsedBy, Via};
use gatehouse_platform::{CompanyId, ProxyId, ports::StoreResult};
use surrealdb::types::{RecordId, SurrealValue as _};
use uuid::Uuid;

use super::{company_record, compound_record, default_record, proxy_record, uuid_part};
use crate::{
    Store,
    connection::vars,
    row::{Row, outcome},
};

/// Somebody who sends requests through proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// What kind: `integration`.
    pub kind: String,
    /// Its identifier.
    pub id: String,
    /// Its name, for showing.
    pub name: String,
}

/// What a consumer uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsedProxy {
    /// The company's default, whichever it is at the time.
    Default,
    /// This one.
    Setting(ProxyId),
}

const PUT: &str = "{
    IF $proxy = NONE {
        UPSERT $pointer SET uses = (uses ?? 0) + 1 RETURN NONE;
    } ELSE {
        LET $owner = (SELECT VALUE company FROM ONLY $proxy FOR UPDATE);
        IF $owner = NONE OR $owner != $company { RETURN { outcome: 'not_found' } };
        UPDATE $proxy SET uses += 1 RETURN NONE;
    };
    UPSERT $id SET company = $company, proxy = $proxy, kind = $kind, consumer = $consumer, name = $name RETURN NONE;
    RETURN { outcome: 'done' };
}";

const DELETE: &str = "DELETE $id RETURN NONE";

impl Store {
    /// Notes that a consumer uses a proxy setting or the default, instead of what it used before. From then on it shows in
    /// `used_by`, and the setting can't be deleted.
    ///
    /// A use of the default is taken also while there is no default: then requests go direct, and say so.
    ///
    /// # Errors
    /// [`StoreError::NotFound`](gatehouse_platform::ports::StoreError::NotFound) when this company has no such setting.
    pub async fn put_use(&self, company: CompanyId, consumer: &Consumer, proxy: UsedProxy) -> StoreResult<()> {
        let setting = match proxy {
            UsedProxy::Default => None,
            UsedProxy::Setting(id) => Some(proxy_record(id)),
        };
        let vars = vars! {
            company: company_record(company),
            pointer: default_record(company),
            id: use_record(company, &consumer.kind, &consumer.id),
            proxy: setting,
            kind: consumer.kind.clone(),
            consumer: consumer.id.clone(),
            name: consumer.name.clone(),
        };
        outcome(self.connection.write(PUT, vars).await?).map(drop)
    }

    /// Notes that a consumer uses no proxy any more. None there is no error.
    ///
    /// # Errors
    /// Those of the database.
    pub async fn delete_use(&self, company: CompanyId, kind: &str, id: &str) -> StoreResult<()> {
        self.connection.write(DELETE, vars! { id: use_record(company, kind, id) }).await.map(drop)
    }
}

fn use_record(company: CompanyId, kind: &str, id: &str) -> RecordId {
    compound_record("proxy_use", vec![uuid_part(company.0), kind.into_value(), id.into_value()])
}

/// Reads one: the setting (`None`: the default), and by whom.
pub(crate) fn read(mut row: Row) -> StoreResult<(Option<Uuid>, UsedBy)> {
    let proxy = row.optional_uuid("proxy")?;
    let via = if proxy.is_some() { Via::Setting } else { Via::Default };
    Ok((proxy, UsedBy { kind: row.take("kind")?, id: row.take("consumer")?, name: row.take("name")?, via }))
}
