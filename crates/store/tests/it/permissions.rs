//! What a statement about one company sees and changes when it forgets to say which: that company's, and nothing else.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use chrono::TimeDelta;
use gatehouse_domain::{Health, HealthChange, Operation, TokenName, Verdict};
use gatehouse_platform::{
    Choice, CompanyId, FileContent, Origin, ProxyId, TokenId,
    audit::{Audit, audited, command_line},
    ports::{
        AccessStore as _, AnalysisStore as _, ChecksRecord, ChecksStore as _, GatewayStore as _, KeptFinding, KeyStore as _,
        ProxyStore as _, ProxyWrite, TokenRecord, TrafficStore as _,
    },
};
use gatehouse_store::{Store, StoreConfig};
use surrealdb::{
    Surreal,
    engine::any::{Any, connect},
    opt::auth::{Record, Root},
    types::{RecordId, SurrealValue, Value},
};
use uuid::Uuid;

use crate::{
    analyses,
    audit::invitation,
    gateway::somebody,
    support::{Bed, Server, company, integration, now, on_each_database, open, person, write},
    traffic,
};

on_each_database! {
    a_statement_that_forgets_its_company_reaches_no_other
    nothing_but_rows_can_be_changed
}

const MINUTE: Duration = Duration::from_secs(60);

/// Written where whoever asks is not known yet, or for all companies at once: of these a company sees nothing.
const NOBODYS: &[&str] = &["migration", "setup_link", "sign_in", "ticket", "turn"];

/// One company's, with something in every table that a company has.
async fn fill(store: &Store) -> CompanyId {
    let (company, at) = (company(store).await, now());
    let jo = person();
    store.create_person(company, &jo, at).await.expect("made");
    store.create_session(&jo.id.to_string(), jo.id, at, at + MINUTE, &Origin::command_line()).await.expect("made");
    let token = TokenRecord {
        id: TokenId::new(),
        name: TokenName::parse("token").expect("right"),
        ends_with: "wxyz".into(),
        created_at: at,
        last_used_at: None,
    };
    store.create_token(company, jo.id, &token.id.to_string(), &token).await.expect("made");
    let invited = invitation(company, &person().email);
    store.create_invitation(&invited.id.to_string(), &invited, 5).await.expect("invited");
    let proxy = ProxyWrite { is_default: true, ..write("Corp") };
    let did = Audit::new(company, command_line(), &Origin::command_line(), Operation::CreateProxy);
    audited(did, store.create_proxy(company, ProxyId::new(), &proxy, at)).await.expect("made");
    let engine = integration(store, company, "Engine", Choice::Default).await.id;
    let finding = KeptFinding { verdict: Verdict::Clean, evidence: Vec::new(), link: None };
    store.keep_finding(company, engine, "key", &finding, at + MINUTE).await.expect("kept");
    analyses::with_file(store, company, FileContent { name: "a".into(), bytes: Arc::new(vec![1, 2, 3]) }).await;
    let lease = analyses::lease("us", 600);
    let analysis = analyses::begin(store, company, "https://a.example/", &lease).await;
    let result = analyses::answered("https://a.example/0");
    assert!(store.write_results(company, analysis, &lease, &[(0, result)], &analyses::running()).await.expect("written"));
    store.record_traffic(&traffic::records(company, 3, TimeDelta::milliseconds(7))).await.expect("recorded");
    store.put_checks(company, &ChecksRecord { every_minutes: 5, ..ChecksRecord::default() }).await.expect("set");
    let change = HealthChange {
        id: Uuid::now_v7().to_string(),
        at,
        kind: "integration".into(),
        of: "i".into(),
        name: "Engine".into(),
        from: None,
        to: Health::Down,
        cause: None,
        message: String::new(),
    };
    store.record_health_change(company, &change).await.expect("kept");
    store.put_gateway_person(company, 0, &somebody("Ann")).await.expect("made");
    store.take_test_slot(company, 3, MINUTE, at).await.expect("an answer").expect("free");
    company
}

/// Digests of the identifiers in an answer.
fn ids(answer: &str) -> BTreeSet<String> {
    answer.split(|c: char| !c.is_ascii_hexdigit()).filter(|part| part.len() == 32).map(str::to_string).collect()
}

/// All that a company sees, table by table.
async fn seen(store: &Store, company: CompanyId) -> Vec<(String, String)> {
    let mut seen = Vec::new();
    for table in store.tables().await.expect("tables") {
        let rows = store.raw_of(company, &format!("SELECT * FROM {table}")).await.expect("rows");
        seen.push((table, rows));
    }
    seen
}

async fn a_statement_that_forgets_its_company_reaches_no_other(bed: Arc<Bed>) {
    let store = &bed.store;
    store.init_key_id("0123456789abcdef").await.expect("set");
    store.put_setup_link("hash", now() + MINUTE).await.expect("made");
    store.begin_sign_in("account", "address", 5, MINUTE, now()).await.expect("an answer").expect("let in");
    let (ours, theirs) = (fill(store).await, fill(&bed.other).await);

    // Seeing. Every table there is: one that a migration adds has to be said here, or belongs to a company.
    let of_a_company = gatehouse_store::tables_of_a_company();
    for table in store.tables().await.expect("tables") {
        let query = format!("SELECT VALUE crypto::md5(<string> id) FROM {table}");
        let all = ids(&store.raw(&query).await.expect("rows"));
        let (us, them) =
            (ids(&store.raw_of(ours, &query).await.expect("rows")), ids(&store.raw_of(theirs, &query).await.expect("rows")));
        match table.as_str() {
            // Which key is used, for all.
            "installation" => assert_eq!((&us, us.len()), (&all, 1)),
            nobodys if NOBODYS.contains(&nobodys) => assert!(us.is_empty() && them.is_empty(), "{table}"),
            table => {
                assert!(of_a_company.contains(&table), "whose is what is in {table}?");
                assert!(!us.is_empty() && !them.is_empty(), "{table}: nothing is there to be seen");
                assert!(us.is_disjoint(&them), "{table}: each sees the other's");
                assert_eq!(us.union(&them).cloned().collect::<BTreeSet<_>>(), all, "{table}: each sees its own");
            }
        }
    }

    // Changing, removing, making.
    let before = seen(&bed.other, theirs).await;
    let installation = store.raw("SELECT * FROM installation").await.expect("a row");
    let (them, key) = (format!("company:u'{theirs}'"), format!("u'{theirs}'"));
    let changes = [
        "company SET name = 'x'",
        "person SET role = 'auditor'",
        "session SET agent = 'x'",
        "token SET name = 'x'",
        "proxy_setting SET port = 1",
        "proxy_use SET name = 'x'",
        "proxy_default SET uses = 9",
        "integration SET description = 'x'",
        "analysis SET done = 9",
        "analysis_result SET data = 'x'",
        "analysis_file SET name = 'x'",
        "kept_finding SET data = 'x'",
        "checks SET every_minutes = 9",
        "health_change SET data = 'x'",
        "gateway SET version = 9",
        "gateway_person SET version = 9",
        "test_slot SET holder = 'x'",
        "traffic SET data = 'x'",
        "traffic_sum SET bytes = 9",
        "audit_head SET number = 9",
        "audit SET entry = 'x'",
        "installation SET companies = 9",
    ];
    let mut tried: Vec<_> = changes.iter().map(|change| format!("UPDATE {change}")).collect();
    tried.extend([
        format!("UPDATE {them} SET name = 'x'"),
        format!("DELETE {them}"),
        format!("UPSERT audit_head:{key} SET number = 99, hash = string::repeat('0', 64)"),
        format!("CREATE audit:[{key}, 99] SET entry = 'x', hash = string::repeat('0', 64)"),
        format!("CREATE proxy_use SET company = {them}, kind = 'x', consumer = 'x', name = 'x'"),
        format!("UPSERT checks:{key} SET company = {them}, every_minutes = 9, webhook_proxy = 'none'"),
        format!("UPSERT proxy_default:{key} SET uses = 9"),
        format!("INSERT INTO health_change {{ id: [{key}, rand::uuid()], data: 'x' }}"),
        "CREATE company SET name = 'x', name_key = 'x', created_at = time::now()".into(),
        "CREATE ticket".into(),
    ]);
    tried.extend(before.iter().map(|(table, _)| format!("DELETE {table}")));
    let companies = store.company_records().await.expect("companies").len();
    for statement in &tried {
        // Whether it is refused or does nothing: the other company, and the installation, are as they were.
        let _ = store.raw_of(ours, statement).await;
    }
    for ((table, rows), (_, before)) in seen(&bed.other, theirs).await.iter().zip(&before) {
        assert_eq!(rows, before, "{table}");
    }
    assert_eq!(store.raw("SELECT * FROM installation").await.expect("a row"), installation);
    assert_eq!(store.raw("SELECT * FROM ticket").await.expect("rows"), "[]");
    assert_eq!(store.company_records().await.expect("companies").len(), companies);
    // They did run: its own is changed and gone, but for what is never taken back.
    let left: Vec<_> = seen(store, ours).await.into_iter().filter(|(_, rows)| rows != "[]").map(|(table, _)| table).collect();
    assert_eq!(left, ["audit", "audit_head", "company", "health_change", "installation", "traffic", "traffic_sum"]);
    assert!(store.raw_of(ours, "SELECT VALUE name FROM company").await.expect("a row").contains("'x'"));
}

async fn nothing_but_rows_can_be_changed(bed: Arc<Bed>) {
    let ours = company(&bed.store).await;
    for statement in [
        "DEFINE TABLE more",
        "REMOVE TABLE audit",
        "REMOVE EVENT audit_is_append_only ON audit",
        "ALTER TABLE audit PERMISSIONS FULL",
        "DEFINE USER mo ON DATABASE PASSWORD 'x' ROLES OWNER",
        "DEFINE ACCESS OVERWRITE company ON DATABASE TYPE RECORD",
        "INFO FOR DB",
    ] {
        assert!(bed.store.raw_of(ours, statement).await.is_err(), "{statement}");
    }
    assert!(bed.store.raw_of(ours, "SELECT VALUE name FROM company").await.expect("a row").contains("Company"));
}

#[derive(SurrealValue)]
struct Params {
    ticket: Value,
}

async fn sign_in(config: &StoreConfig, ticket: Value) -> Result<(), surrealdb::Error> {
    let db: Surreal<Any> = connect(config.database.as_str()).await?;
    let access = Record {
        namespace: "gatehouse".into(),
        database: "gatehouse".into(),
        access: "company".into(),
        params: Params { ticket },
    };
    db.signin(access).await.map(drop)
}

/// Who reaches a server without being one of its users comes in by no guess, and takes nothing away by trying.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_is_good_for_one_session_and_a_minute() {
    let Some(server) = Server::start() else { return };
    let config = server.config();
    let store = open(&config).await;
    let ours = company(&store).await;
    let db = connect(config.database.as_str()).await.expect("a connection");
    db.signin(Root { username: "root".into(), password: "root".into() }).await.expect("signed in");
    db.use_ns("gatehouse").use_db("gatehouse").await.expect("there");
    db.query("CREATE ticket:one; CREATE ticket:old SET at = time::now() - 61s").await.and_then(|a| a.check()).expect("made");
    let text = |text: &str| Value::String(text.into());
    sign_in(&config, text("one")).await.expect("signed in");
    for ticket in [
        text("one"),
        text("old"),
        text(""),
        Value::None,
        Value::RecordId(RecordId::new("company", surrealdb::types::Uuid::from(ours.0))),
        Value::Bool(true),
    ] {
        assert!(sign_in(&config, ticket.clone()).await.is_err(), "{ticket:?}");
    }
    assert_eq!(store.company_records().await.expect("companies").len(), 1);
}
