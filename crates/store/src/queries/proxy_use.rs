//! Who uses which proxy setting.
//!
//! Each consumer (an integration, later others) has one proxy choice, and where that needs a proxy there is one record
//! here. A consumer that chose `No Proxy` has none. It is written in the transaction that writes the consumer: see
//! [`crate::queries::integration`].

use gatehouse_domain::{UsedBy, Via};
use gatehouse_platform::{CompanyId, ports::StoreResult};
use surrealdb::types::{RecordId, SurrealValue as _};
use uuid::Uuid;

use super::{compound_record, uuid_part};
use crate::row::Row;

/// The record of one consumer's use.
pub(crate) fn use_record(company: CompanyId, kind: &str, id: &str) -> RecordId {
    compound_record("proxy_use", vec![uuid_part(company.0), kind.into_value(), id.into_value()])
}

/// Reads one: the setting (`None`: the default), and by whom.
pub(crate) fn read(mut row: Row) -> StoreResult<(Option<Uuid>, UsedBy)> {
    let proxy = row.optional_uuid("proxy")?;
    let via = if proxy.is_some() { Via::Setting } else { Via::Default };
    Ok((proxy, UsedBy { kind: row.take("kind")?, id: row.take("consumer")?, name: row.take("name")?, via }))
}
