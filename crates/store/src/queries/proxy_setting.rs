//! Proxy settings, and which one is the default.

use chrono::SecondsFormat;
use gatehouse_domain::{
    Authentication, Bypass, CaPem, Health, HostName, LastTest, Page, Port, ProxyName, ProxyQuery, ProxyValues, Scheme, SortField,
    Timeout, Timestamp, UsedBy, Username, text,
};
use gatehouse_platform::{
    CompanyId, ProxyId, Sealed,
    ports::{ProxyRecord, ProxyWrite, StoreError, StoreResult},
};
use serde_json::Value as Json;
use surrealdb::types::{Object, RecordId, Value, Variables};
use uuid::Uuid;

use super::{
    company_record, default_record,
    gateway::gateway_record,
    proxy_record,
    proxy_use::{self, use_record},
};
use crate::{
    Store,
    connection::{Scope, vars},
    cursor::Cursor,
    row::{Row, outcome},
};

/// What every answer with settings is made of: the rows, the default, and the uses of both.
const ONE: &str = "{
    LET $row = (SELECT * FROM ONLY $id WHERE company = $company);
    IF $row = NONE { RETURN { outcome: 'not_found' } };
    LET $uses = (SELECT * FROM proxy_use WHERE company = $company AND (proxy = $id OR proxy = NONE));
    RETURN { outcome: 'done', rows: [$row], default: (SELECT VALUE proxy FROM ONLY $pointer), uses: $uses };
}";

/// The second setting is used by the first: noted like an integration's use, and where deleting it meets it.
macro_rules! note_fallback {
    () => {
        "
    IF $fallback != NONE {
        LET $owner = (SELECT VALUE company FROM ONLY $fallback FOR UPDATE);
        IF $owner = NONE OR $owner != $company { RETURN { outcome: 'gone' } };
        UPDATE $fallback SET uses += 1 RETURN NONE;
        UPSERT $use SET company = $company, proxy = $fallback, kind = 'proxy', consumer = $consumer, name = $content.name RETURN NONE;
    } ELSE {
        DELETE $use RETURN NONE;
    };"
    };
}

const CREATE: &str = concat!(
    "{
    IF !record::exists($company) { RETURN { outcome: 'not_found' } };
    IF $key_id != NONE {
        LET $current = (SELECT VALUE key_id FROM ONLY installation:main FOR UPDATE);
        IF $current != NONE AND $current != $key_id { RETURN { outcome: 'key_changed' } };
    };
    LET $same = (SELECT VALUE id FROM proxy_setting WHERE company = $company AND name_key = $content.name_key LIMIT 1);
    IF array::len($same) > 0 { RETURN { outcome: 'name_taken' } };",
    note_fallback!(),
    "
    CREATE ONLY $id CONTENT $content RETURN NONE;
    IF $is_default {
        LET $old = (SELECT VALUE proxy FROM ONLY $pointer FOR UPDATE);
        IF $old != NONE { UPDATE $old SET version += 1 RETURN NONE };
        UPSERT $pointer SET proxy = $id RETURN NONE;
    };
    LET $row = (SELECT * FROM ONLY $id);
    LET $uses = (SELECT * FROM proxy_use WHERE company = $company AND proxy = NONE);
    -- AUDIT
    RETURN { outcome: 'done', rows: [$row], default: (SELECT VALUE proxy FROM ONLY $pointer), uses: $uses };
}"
);

const REPLACE: &str = concat!("{
    LET $before = (SELECT version, company, name_key FROM ONLY $id FOR UPDATE);
    IF $before = NONE OR $before.company != $company { RETURN { outcome: 'not_found' } };
    IF $before.version != $version { RETURN { outcome: 'changed', version: $before.version } };
    IF $key_id != NONE {
        LET $current = (SELECT VALUE key_id FROM ONLY installation:main FOR UPDATE);
        IF $current != NONE AND $current != $key_id { RETURN { outcome: 'key_changed' } };
    };
    LET $same = (SELECT VALUE id FROM proxy_setting WHERE company = $company AND name_key = $content.name_key AND id != $id LIMIT 1);
    IF array::len($same) > 0 { RETURN { outcome: 'name_taken' } };", note_fallback!(), "
    LET $old = (SELECT VALUE proxy FROM ONLY $pointer FOR UPDATE);
    LET $uses = (SELECT * FROM proxy_use WHERE company = $company AND (proxy = $id OR proxy = NONE));
    LET $gateways = $uses[WHERE kind = 'gateway' AND proxy = $id];
    IF $before.name_key != $content.name_key AND array::len($gateways) > 0 { RETURN { outcome: 'in_use', uses: $gateways } };
    IF $old = $id AND !$is_default {
        LET $default_uses = $uses[WHERE proxy = NONE];
        IF array::len($default_uses) > 0 { RETURN { outcome: 'in_use', uses: $default_uses } };
        UPDATE $pointer SET proxy = NONE RETURN NONE;
    };
    IF $old != $id AND $is_default {
        IF $old != NONE { UPDATE $old SET version += 1 RETURN NONE };
        UPSERT $pointer SET proxy = $id RETURN NONE;
    };
    UPDATE $id MERGE $content RETURN NONE;
    UPDATE $id SET version += 1 RETURN NONE;
    -- The gateways whose policy leads through it look again.
    IF array::len($gateways) > 0 { UPDATE $gateway SET revision += 1 RETURN NONE };
    LET $row = (SELECT * FROM ONLY $id);
    -- AUDIT
    RETURN { outcome: 'done', rows: [$row], default: (SELECT VALUE proxy FROM ONLY $pointer), uses: $uses };
}");

const DELETE: &str = "{
    LET $before = (SELECT version, company FROM ONLY $id FOR UPDATE);
    IF $before = NONE OR $before.company != $company { RETURN { outcome: 'not_found' } };
    IF $version != NONE AND $before.version != $version { RETURN { outcome: 'changed', version: $before.version } };
    LET $is_default = (SELECT VALUE proxy FROM ONLY $pointer FOR UPDATE) = $id;
    LET $uses = (SELECT * FROM proxy_use WHERE company = $company AND (proxy = $id OR ($is_default AND proxy = NONE)));
    IF array::len($uses) > 0 { RETURN { outcome: 'in_use', uses: $uses } };
    IF $is_default { UPDATE $pointer SET proxy = NONE RETURN NONE };
    DELETE $use RETURN NONE;
    DELETE $id RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const SET_DEFAULT: &str = "{
    LET $owner = (SELECT VALUE company FROM ONLY $id FOR UPDATE);
    IF $owner = NONE OR $owner != $company { RETURN { outcome: 'not_found' } };
    LET $old = (SELECT VALUE proxy FROM ONLY $pointer FOR UPDATE);
    IF $old = $id { RETURN { outcome: 'done' } };
    IF $old != NONE { UPDATE $old SET version += 1 RETURN NONE };
    UPDATE $id SET version += 1 RETURN NONE;
    UPSERT $pointer SET proxy = $id RETURN NONE;
    -- AUDIT
    RETURN { outcome: 'done' };
}";

const UNSET_DEFAULT: &str = "{
    LET $old = (SELECT VALUE proxy FROM ONLY $pointer FOR UPDATE);
    IF $old = NONE { RETURN { outcome: 'done' } };
    UPDATE $old SET version += 1 RETURN NONE;
    UPDATE $pointer SET proxy = NONE RETURN NONE;
    RETURN { outcome: 'done' };
}";

const DEFAULT: &str = "{
    LET $proxy = (SELECT VALUE proxy FROM ONLY $pointer);
    IF $proxy = NONE { RETURN NONE };
    RETURN (SELECT * FROM ONLY $proxy WHERE company = $company);
}";

const USES_OF_DEFAULT: &str = "SELECT * FROM proxy_use WHERE company = $company AND proxy = NONE ORDER BY kind, name";

const RECORD_TEST: &str = "UPDATE $id SET last_test = $result, health = $health WHERE company = $company RETURN NONE";

const RESEAL: &str = "{
    UPDATE $id SET password = $new, password_key = $key WHERE company = $company AND password = $old RETURN NONE;
    LET $uses = (SELECT VALUE id FROM proxy_use WHERE company = $company AND proxy = $id AND kind = 'gateway' LIMIT 1);
    IF array::len($uses) > 0 { UPDATE $gateway SET revision += 1 RETURN NONE };
}";

/// Two ranges of the index: "not equal" would be every setting there is. (NONE, no password, sorts before all texts.)
const OTHER_KEYS: &str = "RETURN array::concat(
    (SELECT * FROM proxy_setting WHERE password_key > '' AND password_key < $current LIMIT 50),
    (SELECT * FROM proxy_setting WHERE password_key > $current LIMIT 50)
)";

impl Store {
    pub(crate) async fn list_proxies(&self, company: CompanyId, query: &ProxyQuery) -> StoreResult<Page<ProxyRecord>> {
        self.kept.proxies.get(&self.connection, (company, query.clone()), self.read_proxies(company, query)).await
    }

    async fn read_proxies(&self, company: CompanyId, query: &ProxyQuery) -> StoreResult<Page<ProxyRecord>> {
        let limit = usize::from(query.limit.clamp(1, ProxyQuery::MAX_LIMIT));
        let mut vars = vars! { company: company_record(company), pointer: default_record(company), limit: i64::try_from(limit + 1).unwrap_or(1) };
        let text = list_query(query, &mut vars)?;
        let mut answer = Row::new(self.connection.of(company).read(&text, vars).await?)?;
        let mut rows = answer.rows("rows")?;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let mut records = Records::new(&mut answer)?;
        let items = rows.into_iter().map(|row| records.read(row)).collect::<StoreResult<Vec<_>>>()?;
        let next = items.last().filter(|_| more).map(|last| {
            let key = sort_key(query.sort.field, last);
            Cursor { sort: query.sort.to_string(), key, id: last.id.0 }.encode()
        });
        Ok(Page { items, next })
    }

    pub(crate) async fn proxy(&self, company: CompanyId, id: ProxyId) -> StoreResult<ProxyRecord> {
        let vars = vars! { company: company_record(company), pointer: default_record(company), id: proxy_record(id) };
        one(self.connection.of(company).read(ONE, vars).await?)
    }

    pub(crate) async fn create_proxy(
        &self, company: CompanyId, id: ProxyId, write: &ProxyWrite, now: Timestamp,
    ) -> StoreResult<ProxyRecord> {
        let mut content = content(write, now);
        content.insert("company", company_record(company));
        content.insert("version", 1i64);
        content.insert("created_at", now);
        let vars = vars! {
            company: company_record(company),
            pointer: default_record(company),
            id: proxy_record(id),
            key_id: key_id(write),
            content: Value::Object(content),
            is_default: write.is_default,
            fallback: fallback(&write.values),
            use: use_record(company, "proxy", &id.to_string()),
            consumer: id.to_string(),
        };
        one(self.connection.of(company).write_in(Scope::Proxies, CREATE, vars).await?)
    }

    pub(crate) async fn replace_proxy(
        &self, company: CompanyId, id: ProxyId, version: u64, write: &ProxyWrite, now: Timestamp,
    ) -> StoreResult<ProxyRecord> {
        let vars = vars! {
            company: company_record(company),
            pointer: default_record(company),
            id: proxy_record(id),
            version: version_number(version),
            key_id: key_id(write),
            content: Value::Object(content(write, now)),
            is_default: write.is_default,
            fallback: fallback(&write.values),
            use: use_record(company, "proxy", &id.to_string()),
            consumer: id.to_string(),
            gateway: gateway_record(company),
        };
        one(self.connection.of(company).write_in(Scope::Proxies, REPLACE, vars).await?)
    }

    pub(crate) async fn delete_proxy(&self, company: CompanyId, id: ProxyId, version: Option<u64>) -> StoreResult<()> {
        let vars = vars! {
            company: company_record(company),
            pointer: default_record(company),
            id: proxy_record(id),
            version: version.map(version_number),
            use: use_record(company, "proxy", &id.to_string()),
        };
        outcome(self.connection.of(company).write_in(Scope::Proxies, DELETE, vars).await?).map(drop)
    }

    pub(crate) async fn set_default_proxy(&self, company: CompanyId, id: Option<ProxyId>) -> StoreResult<()> {
        let mut vars = vars! { company: company_record(company), pointer: default_record(company) };
        let query = match id {
            Some(id) => {
                vars.insert("id", proxy_record(id));
                SET_DEFAULT
            }
            None => UNSET_DEFAULT,
        };
        outcome(self.connection.of(company).write_in(Scope::Proxies, query, vars).await?).map(drop)
    }

    pub(crate) async fn record_proxy_test(
        &self, company: CompanyId, id: ProxyId, result: &LastTest, health: Health,
    ) -> StoreResult<()> {
        let result = serde_json::to_string(result).map_err(|error| StoreError::Internal(error.to_string()))?;
        let vars = vars! { company: company_record(company), id: proxy_record(id), result: result, health: health.as_str() };
        self.connection.of(company).write_in(Scope::Proxies, RECORD_TEST, vars).await.map(drop)
    }

    pub(crate) async fn default_proxy(&self, company: CompanyId) -> StoreResult<Option<ProxyRecord>> {
        let vars = vars! { company: company_record(company), pointer: default_record(company) };
        let Some(row) = Row::optional(self.connection.of(company).read(DEFAULT, vars).await?)? else {
            return Ok(None);
        };
        let mut record = Records { default: None, uses: Vec::new() }.read(row)?;
        record.is_default = true;
        Ok(Some(record))
    }

    pub(crate) async fn uses_of_default(&self, company: CompanyId) -> StoreResult<Vec<UsedBy>> {
        let read = async {
            let rows =
                Row::list(self.connection.of(company).read(USES_OF_DEFAULT, vars! { company: company_record(company) }).await?)?;
            rows.into_iter().map(|row| Ok(proxy_use::read(row)?.1)).collect()
        };
        self.kept.uses_of_default.get(&self.connection, company, read).await
    }

    /// Settings whose password is not sealed under `current`: company and setting.
    pub(crate) async fn proxies_under_other_keys(&self, current: &str) -> StoreResult<Vec<(CompanyId, ProxyRecord)>> {
        let rows = Row::list(self.connection.of_all().read(OTHER_KEYS, vars! { current: current }).await?)?;
        let mut records = Records { default: None, uses: Vec::new() };
        rows.into_iter()
            .map(|mut row| {
                let company = CompanyId(row.uuid("company")?);
                Ok((company, records.read(row)?))
            })
            .collect()
    }

    pub(crate) async fn reseal_proxy(&self, company: CompanyId, id: ProxyId, old: &Sealed, new: &Sealed) -> StoreResult<()> {
        let vars = vars! {
            company: company_record(company),
            id: proxy_record(id),
            old: old.0.clone(),
            new: new.0.clone(),
            key: new.key_id().to_string(),
            gateway: gateway_record(company),
        };
        self.connection.of_all().write_in(Scope::Proxies, RESEAL, vars).await.map(drop)
    }
}

/// Versions fit: they grow by one.
pub(crate) fn version_number(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

fn key_id(write: &ProxyWrite) -> Option<String> {
    write.password.as_ref().map(|sealed| sealed.key_id().to_string())
}

/// What is written by both `CREATE` and `REPLACE`; a field without a value is there as NONE, so that merging erases it.
fn content(write: &ProxyWrite, now: Timestamp) -> Object {
    let ProxyValues { name, host, port, scheme, authentication, username, bypass, ca_pem, timeout, fallback: _ } = &write.values;
    let username = username.as_ref().map(|username| username.as_str().to_string());
    let mut search = [name.key(), text::fold(host.as_str()), host.ascii().to_string()].join("\n");
    if let Some(username) = &username {
        search.push('\n');
        search.push_str(&text::fold(username));
    }
    let mut content = Object::new();
    content.insert("name", name.as_str());
    content.insert("name_key", name.key());
    content.insert("host", host.as_str());
    content.insert("host_ascii", host.ascii());
    content.insert("port", i64::from(port.get()));
    content.insert("scheme", scheme.as_str());
    content.insert("authentication", authentication.as_str());
    content.insert("username", username);
    content.insert("password", write.password.as_ref().map(|sealed| sealed.0.clone()));
    content.insert("password_key", key_id(write));
    content.insert("bypass", bypass.to_strings());
    content.insert("ca_pem", ca_pem.as_ref().map(|pem| pem.as_str().to_string()));
    content.insert("timeout_s", i64::from(timeout.seconds()));
    content.insert("fallback", fallback(&write.values));
    content.insert("search", search);
    content.insert("updated_at", now);
    content
}

fn fallback(values: &ProxyValues) -> Option<RecordId> {
    values.fallback.as_deref().and_then(ProxyId::parse).map(proxy_record)
}

/// The expression a list is sorted by.
fn sort_expression(field: SortField) -> &'static str {
    match field {
        SortField::Name => "name_key",
        SortField::Host => "host_ascii",
        SortField::Port => "port",
        SortField::Authentication => "(authentication = 'basic')",
        SortField::IsDefault => "(id = $default)",
        SortField::CreatedAt => "created_at",
    }
}

/// The value of that expression, for a cursor.
fn sort_key(field: SortField, record: &ProxyRecord) -> Json {
    match field {
        SortField::Name => record.values.name.key().into(),
        SortField::Host => record.values.host.ascii().into(),
        SortField::Port => record.values.port.get().into(),
        SortField::Authentication => (record.values.authentication == Authentication::Basic).into(),
        SortField::IsDefault => record.is_default.into(),
        SortField::CreatedAt => record.created_at.to_rfc3339_opts(SecondsFormat::Nanos, true).into(),
    }
}

/// A cursor's key, as the type that the expression has.
fn bind_sort_key(field: SortField, key: &Json, vars: &mut Variables) -> Option<()> {
    match field {
        SortField::Name | SortField::Host => vars.insert("after", key.as_str()?),
        SortField::Port => vars.insert("after", key.as_i64()?),
        SortField::Authentication | SortField::IsDefault => vars.insert("after", key.as_bool()?),
        SortField::CreatedAt => vars.insert("after", key.as_str()?.parse::<Timestamp>().ok()?),
    }
    Some(())
}

/// The text of a list's query: fixed pieces only, all values are bound.
fn list_query(query: &ProxyQuery, vars: &mut Variables) -> StoreResult<String> {
    let sort = sort_expression(query.sort.field);
    let (direction, beyond) = if query.sort.descending { ("DESC", "<") } else { ("ASC", ">") };
    let mut conditions = String::new();
    let mut only = |condition: &str| {
        conditions.push_str(" AND ");
        conditions.push_str(condition);
    };
    let q = text::fold(&query.q);
    if !q.is_empty() {
        vars.insert("q", q);
        only("string::contains(search, $q)");
    }
    if let Some(authentication) = query.authentication {
        vars.insert("authentication", authentication.as_str());
        only("authentication = $authentication");
    }
    if let Some(scheme) = query.scheme {
        vars.insert("scheme", scheme.as_str());
        only("scheme = $scheme");
    }
    if let Some(port) = query.port {
        vars.insert("port", i64::from(port.get()));
        only("port = $port");
    }
    if let Some(name) = &query.name {
        vars.insert("name", text::fold(name));
        only("name_key = $name");
    }
    if let Some(host) = &query.host {
        vars.insert("host", HostName::parse(host).map_or_else(|_| host.to_lowercase(), |host| host.ascii().to_string()));
        only("host_ascii = $host");
    }
    match query.is_default {
        Some(true) => only("id = $default"),
        Some(false) => only("id != $default"),
        None => {}
    }
    if let Some(cursor) = &query.cursor {
        let cursor = Cursor::decode(cursor, &query.sort.to_string()).ok_or(StoreError::BadCursor)?;
        bind_sort_key(query.sort.field, &cursor.key, vars).ok_or(StoreError::BadCursor)?;
        vars.insert("after_id", proxy_record(ProxyId(cursor.id)));
        only(&format!("({sort} {beyond} $after OR ({sort} = $after AND id {beyond} $after_id))"));
    }
    // All the company's uses: telling which of them are of these rows (`proxy IN $rows.id`) takes the engine longer than the rows.
    // What is computed needs a name to be sorted by; a field that got another name would be missing under its own.
    let (computed, order) =
        if sort.starts_with('(') { (format!(", {sort} AS sort_key"), "sort_key") } else { (String::new(), sort) };
    Ok(format!(
        "{{
    LET $default = (SELECT VALUE proxy FROM ONLY $pointer);
    LET $rows = (SELECT *{computed} FROM proxy_setting WHERE company = $company{conditions}
        ORDER BY {order} {direction}, id {direction} LIMIT $limit);
    LET $uses = (SELECT * FROM proxy_use WHERE company = $company);
    RETURN {{ rows: $rows, default: $default, uses: $uses }};
}}"
    ))
}

/// Reads the answer about one setting.
fn one(answer: Value) -> StoreResult<ProxyRecord> {
    let mut answer = outcome(answer)?;
    let row = answer.rows("rows")?.pop().ok_or(StoreError::NotFound)?;
    Records::new(&mut answer)?.read(row)
}

/// Reads one without asking whether it is the default, and who uses it.
pub(crate) fn alone(row: Row) -> StoreResult<ProxyRecord> {
    Records { default: None, uses: Vec::new() }.read(row)
}

/// What the rows of one answer share.
struct Records {
    default: Option<Uuid>,
    /// Which setting (`None`: the default), by whom.
    uses: Vec<(Option<Uuid>, UsedBy)>,
}

impl Records {
    fn new(answer: &mut Row) -> StoreResult<Self> {
        let default = answer.optional_uuid("default")?;
        let mut uses = answer.rows("uses")?.into_iter().map(proxy_use::read).collect::<StoreResult<Vec<_>>>()?;
        uses.sort_by(|(_, a), (_, b)| (&a.kind, &a.name, &a.id).cmp(&(&b.kind, &b.name, &b.id)));
        Ok(Self { default, uses })
    }

    fn read(&mut self, mut row: Row) -> StoreResult<ProxyRecord> {
        let id = row.uuid("id")?;
        let is_default = self.default == Some(id);
        let scheme = row.parse("scheme", str::parse::<Scheme>)?;
        let bypass: Vec<String> = row.take("bypass")?;
        let timeout: u16 = row.take("timeout_s")?;
        let port: u16 = row.take("port")?;
        let values = ProxyValues {
            name: row.parse("name", ProxyName::parse)?,
            host: row.parse("host", HostName::parse)?,
            port: Port::try_from(port).map_err(|error| row.wrong("port", error))?,
            scheme,
            authentication: row.parse("authentication", str::parse::<Authentication>)?,
            username: row.parse_optional("username", |username| Username::parse(username, scheme))?,
            bypass: Bypass::parse(bypass.iter().map(String::as_str)).map_err(|error| row.wrong("bypass", error))?,
            ca_pem: row.parse_optional("ca_pem", CaPem::parse)?,
            timeout: Timeout::parse(&timeout.to_string()).map_err(|error| row.wrong("timeout_s", error))?,
            fallback: row.optional_uuid("fallback")?.map(|id| id.to_string()),
        };
        let used_by = self
            .uses
            .iter()
            .filter(|(proxy, _)| *proxy == Some(id) || (proxy.is_none() && is_default))
            .map(|(_, used_by)| used_by.clone())
            .collect();
        Ok(ProxyRecord {
            id: ProxyId(id),
            values,
            password: row.take::<Option<String>>("password")?.map(Sealed),
            is_default,
            version: row.take("version")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
            last_test: row.parse_optional("last_test", |json| serde_json::from_str(json))?,
            health: row.parse_optional("health", str::parse)?,
            used_by,
        })
    }
}
