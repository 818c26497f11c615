//! What gateways go by, and who is told when it changes.

use std::{collections::BTreeSet, sync::Arc};

use futures::StreamExt as _;
use gatehouse_domain::{GatewayUserName, Timestamp};
use gatehouse_platform::{
    CompanyId, GatewayPersonId, ProxyId,
    ports::{GatewayPersonRecord, GatewayPolicyWrite, GatewayRecord, StoreError, StoreResult},
};
use surrealdb::types::{Object, RecordId, Value};
use tokio::sync::mpsc;

use super::{company_record, proxy_record, proxy_setting, proxy_use::use_record, record};
use crate::{
    Store,
    connection::{Scope, vars},
    row::{Row, decode, outcome},
    runtime::runtime,
};

const ALL: &str = "{
    RETURN {
        of: (SELECT * FROM ONLY $id),
        people: (SELECT * FROM gateway_person WHERE company = $company ORDER BY name_key),
        proxies: (SELECT * FROM proxy_setting WHERE company = $company ORDER BY name_key),
    };
}";

const PUT: &str = "{
    IF !record::exists($company) { RETURN { outcome: 'not_found' } };
    LET $before = (SELECT VALUE revision FROM ONLY $id FOR UPDATE) ?? 0;
    IF $before != $revision { RETURN { outcome: 'changed', version: $before } };
    -- Under the names that the policy was judged with; who renames one meanwhile meets us at `uses`.
    LET $ours = (SELECT VALUE id FROM proxy_setting WHERE company = $company AND id IN $proxies AND name_key IN $names);
    IF array::len($ours) != array::len($proxies) { RETURN { outcome: 'gone' } };
    DELETE proxy_use WHERE company = $company AND kind = 'gateway' RETURN NONE;
    INSERT INTO proxy_use $uses RETURN NONE;
    UPDATE $proxies SET uses += 1 RETURN NONE;
    UPSERT $id SET company = $company, text = $text, version = (version ?? 0) + 1, revision = $before + 1,
        changed_at = $now, changed_by = $by RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const REVISION: &str = "RETURN (SELECT VALUE revision FROM ONLY $of) ?? 0";

const PUT_PERSON: &str = "{
    IF !record::exists($company) { RETURN { outcome: 'not_found' } };
    LET $before = (SELECT VALUE revision FROM ONLY $of FOR UPDATE) ?? 0;
    IF $before != $revision { RETURN { outcome: 'changed', version: $before } };
    LET $same = (SELECT VALUE id FROM gateway_person WHERE company = $company AND name_key = $name_key AND id != $id LIMIT 1);
    IF array::len($same) > 0 { RETURN { outcome: 'name_taken' } };
    LET $written = (UPSERT $id SET company = $company, name = $name, name_key = $name_key, password_hash = $password_hash, groups = $groups,
        version = $version, created_at = $created_at, updated_at = $updated_at RETURN VALUE id);
    -- Somebody of another company is not there for us, and not written.
    IF array::len($written) = 0 { RETURN { outcome: 'not_found' } };
    UPSERT $of SET company = $company, revision = $before + 1 RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const DELETE_PERSON: &str = "{
    LET $before = (SELECT VALUE revision FROM ONLY $of FOR UPDATE) ?? 0;
    IF $before != $revision { RETURN { outcome: 'changed', version: $before } };
    LET $gone = (DELETE $id WHERE company = $company RETURN BEFORE);
    IF array::len($gone) = 0 { RETURN { outcome: 'not_found' } };
    UPSERT $of SET company = $company, revision = $before + 1 RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

/// Not the text: it is asked for when it is wanted.
const LIVE: &str = "LIVE SELECT revision FROM gateway WHERE id = $id";

impl Store {
    pub(crate) async fn gateway(&self, company: CompanyId) -> StoreResult<GatewayRecord> {
        let vars = vars! { id: gateway_record(company), company: company_record(company) };
        let mut all = Row::new(self.connection.of(company).read(ALL, vars).await?)?;
        let people = all.rows("people")?.into_iter().map(read_person).collect::<StoreResult<_>>()?;
        let proxies = all.rows("proxies")?.into_iter().map(proxy_setting::alone).collect::<StoreResult<_>>()?;
        let Some(mut row) = all.row("of")? else { return Ok(GatewayRecord { people, proxies, ..GatewayRecord::default() }) };
        Ok(GatewayRecord {
            text: row.take("text")?,
            version: row.take("version")?,
            revision: row.take("revision")?,
            changed_at: row.take("changed_at")?,
            changed_by: row.take("changed_by")?,
            people,
            proxies,
        })
    }

    pub(crate) async fn put_gateway_policy(
        &self, company: CompanyId, revision: u64, policy: &GatewayPolicyWrite<'_>, now: Timestamp,
    ) -> StoreResult<GatewayRecord> {
        let uses = policy.uses.iter().map(|used| {
            let mut of = Object::new();
            of.insert("id", use_record(company, "gateway", &used.egress));
            of.insert("company", company_record(company));
            of.insert("proxy", proxy_record(used.proxy));
            of.insert("kind", "gateway");
            of.insert("consumer", used.egress.as_str());
            of.insert("name", format!("Egress {}", used.egress));
            Value::Object(of)
        });
        let names: Vec<_> = policy.uses.iter().map(|used| used.name_key.clone()).collect();
        let proxies: BTreeSet<_> = policy.uses.iter().map(|used| used.proxy.0).collect();
        let vars = vars! {
            id: gateway_record(company),
            company: company_record(company),
            revision: number(revision),
            text: policy.text,
            by: policy.by,
            uses: uses.collect::<Vec<_>>(),
            names: names,
            proxies: proxies.into_iter().map(|id| proxy_record(ProxyId(id))).collect::<Vec<_>>(),
            now: now,
        };
        // Who uses which proxy setting is told with the settings.
        outcome(self.connection.of(company).write_in(Scope::Proxies, PUT, vars).await?)?;
        self.gateway(company).await
    }

    pub(crate) async fn gateway_revision(&self, company: CompanyId) -> StoreResult<u64> {
        decode(self.connection.of(company).read(REVISION, vars! { of: gateway_record(company) }).await?)
    }

    pub(crate) async fn put_gateway_person(
        &self, company: CompanyId, revision: u64, person: &GatewayPersonRecord,
    ) -> StoreResult<()> {
        let vars = vars! {
            of: gateway_record(company),
            id: person_record(person.id),
            company: company_record(company),
            revision: number(revision),
            name: person.name.as_str(),
            name_key: person.name.key(),
            password_hash: person.password_hash.clone(),
            groups: person.groups.clone(),
            version: number(person.version),
            created_at: person.created_at,
            updated_at: person.updated_at,
        };
        outcome(self.connection.of(company).write(PUT_PERSON, vars).await?).map(drop)
    }

    pub(crate) async fn delete_gateway_person(&self, company: CompanyId, revision: u64, id: GatewayPersonId) -> StoreResult<()> {
        let vars = vars! {
            of: gateway_record(company),
            id: person_record(id),
            company: company_record(company),
            revision: number(revision),
        };
        outcome(self.connection.of(company).write(DELETE_PERSON, vars).await?).map(drop)
    }

    pub(crate) async fn watch_gateway(&self, company: CompanyId) -> StoreResult<mpsc::Receiver<()>> {
        let runtime = runtime().map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let (told, tell) = mpsc::channel(1);
        let connection = Arc::clone(&self.connection);
        let watch = async move {
            // Everything of the engine belongs on its own threads: also what a live query does when it is dropped.
            let (mut live, mut closed) = connection.live_query(LIVE, vars! { id: gateway_record(company) }).await?;
            runtime.spawn(async move {
                loop {
                    tokio::select! {
                        change = live.next() => match change {
                            // Somebody who has not yet looked since the last one is told already.
                            Some(Ok(_)) => drop(told.try_send(())),
                            Some(Err(_)) | None => return,
                        },
                        () = told.closed() => return,
                        _ = closed.wait_for(|closed| *closed) => return,
                    }
                }
            });
            Ok(())
        };
        match runtime.spawn(watch).await {
            Ok(watching) => watching.map(|()| tell),
            Err(panic) => Err(StoreError::Internal(panic.to_string())),
        }
    }
}

pub(crate) fn gateway_record(company: CompanyId) -> RecordId {
    record("gateway", company.0)
}

fn person_record(id: GatewayPersonId) -> RecordId {
    record("gateway_person", id.0)
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn read_person(mut row: Row) -> StoreResult<GatewayPersonRecord> {
    Ok(GatewayPersonRecord {
        id: GatewayPersonId(row.uuid("id")?),
        name: row.parse("name", GatewayUserName::parse)?,
        password_hash: row.take("password_hash")?,
        groups: row.take("groups")?,
        version: row.take("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}
