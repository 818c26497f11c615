//! Answers of engines that may be used again for a while.

use gatehouse_domain::{Evidence, Timestamp, Verdict};
use gatehouse_platform::{
    CompanyId, IntegrationId,
    ports::{KeptFinding, StoreError, StoreResult},
};
use serde::{Deserialize, Serialize};
use surrealdb::types::{RecordId, SurrealValue as _};

use super::{compound_record, json, of_json, uuid_part};
use crate::{Store, connection::vars, row::decode};

const FIND: &str = "SELECT VALUE data FROM ONLY $id WHERE until > $now";

const KEEP: &str = "UPSERT $id SET data = $data, until = $until RETURN NONE";

/// How many go at once: a transaction that deletes everything would meet everybody who keeps an answer.
const BATCH: usize = 100;

const EXPIRED: &str = "SELECT VALUE id FROM kept_finding WHERE until <= $now LIMIT $limit";

/// Only what still has expired: it may have been kept anew meanwhile.
const DELETE: &str = "DELETE $ids WHERE until <= $now RETURN NONE";

/// As it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    verdict: Verdict,
    evidence: Vec<Evidence>,
    link: Option<String>,
}

impl Store {
    pub(crate) async fn kept_finding(
        &self, company: CompanyId, integration: IntegrationId, key: &str, now: Timestamp,
    ) -> StoreResult<Option<KeptFinding>> {
        let vars = vars! { id: finding_record(company, integration, key), now: now };
        let Some(data) = decode::<Option<String>>(self.connection.of(company).read(FIND, vars).await?)? else {
            return Ok(None);
        };
        let Kept { verdict, evidence, link } = of_json("a kept finding", &data)?;
        Ok(Some(KeptFinding { verdict, evidence, link }))
    }

    pub(crate) async fn keep_finding(
        &self, company: CompanyId, integration: IntegrationId, key: &str, finding: &KeptFinding, until: Timestamp,
    ) -> StoreResult<()> {
        let KeptFinding { verdict, evidence, link } = finding.clone();
        let data = json(&Kept { verdict, evidence, link })?;
        let vars = vars! { id: finding_record(company, integration, key), data: data, until: until };
        self.connection.of(company).write(KEEP, vars).await.map(drop)
    }

    pub(crate) async fn sweep_findings(&self, now: Timestamp) -> StoreResult<()> {
        loop {
            let limit = i64::try_from(BATCH).unwrap_or(i64::MAX);
            let ids: Vec<RecordId> = decode(self.connection.of_all().read(EXPIRED, vars! { now: now, limit: limit }).await?)?;
            let count = ids.len();
            if count > 0 {
                match self.connection.of_all().write(DELETE, vars! { ids: ids, now: now }).await {
                    // Two that sweep at once: what one could not delete, the other did.
                    Ok(_) | Err(StoreError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
            if count < BATCH {
                return Ok(());
            }
        }
    }
}

fn finding_record(company: CompanyId, integration: IntegrationId, key: &str) -> RecordId {
    compound_record("kept_finding", vec![uuid_part(company.0), uuid_part(integration.0), key.into_value()])
}
