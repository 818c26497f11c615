//! What keeps companies apart beneath the queries, measured: many companies with many settings each, on a real SurrealDB server, four ways.
//!
//! ```text
//! cargo run -p gatehouse-store --example isolation -- [COMPANIES] [SETTINGS]
//! ```
//!
//! `query`: one database, one session; each query names the company. `permissions`: the same, and beneath it the tables' permissions, with a
//! session for each company (record access: the company's own record signs in). `tenant`: the permissions with one session for all, which is told
//! with each statement whose turn it is; this is how it is built. `databases`: a database for each company. What is
//! measured is the server's: it is a release build, this program only waits. ARCHITECTURE.md says what follows from the numbers.

use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use surrealdb::{
    Surreal,
    engine::any::{Any, connect},
    opt::auth::{Record, Root},
    types::{SurrealValue, Value, Variables},
};

const NAMESPACE: &str = "bench";
/// Sessions on one connection: a server takes a bounded number of them.
const SESSIONS: usize = 50;
const SECRET: &str = "only this program knows it";

/// As far as it matters here, the real table (migrations 0001 to 0007).
const SCHEMA: &str = "
DEFINE TABLE company TYPE NORMAL SCHEMAFULL;
DEFINE FIELD name ON company TYPE string;
DEFINE TABLE proxy_setting TYPE NORMAL SCHEMAFULL;
DEFINE FIELD company ON proxy_setting TYPE record<company> READONLY;
DEFINE FIELD name ON proxy_setting TYPE string ASSERT string::len($value) >= 1 AND string::len($value) <= 100;
DEFINE FIELD name_key ON proxy_setting TYPE string ASSERT string::len($value) >= 1;
DEFINE FIELD host ON proxy_setting TYPE string;
DEFINE FIELD port ON proxy_setting TYPE int ASSERT $value >= 1 AND $value <= 65535;
DEFINE FIELD version ON proxy_setting TYPE int ASSERT $value >= 1;
DEFINE INDEX proxy_setting_name ON proxy_setting FIELDS company, name_key UNIQUE;
";

const PERMISSIONS: &str = "
DEFINE TABLE OVERWRITE company TYPE NORMAL SCHEMAFULL PERMISSIONS FOR select WHERE id = $auth.id;
DEFINE TABLE OVERWRITE proxy_setting TYPE NORMAL SCHEMAFULL PERMISSIONS FOR select, create, update, delete WHERE company = $auth.id;
";

/// The same, for one session that all companies share: each query says on whose behalf it is.
const TENANT: &str = "
DEFINE TABLE OVERWRITE company TYPE NORMAL SCHEMAFULL PERMISSIONS FOR select WHERE id = $tenant;
DEFINE TABLE OVERWRITE proxy_setting TYPE NORMAL SCHEMAFULL PERMISSIONS FOR select, create, update, delete WHERE company = $tenant;
";

const LIST: &str = "SELECT * FROM proxy_setting WHERE company = $company ORDER BY name_key LIMIT 51";
/// What a query that forgets its company would give.
const FORGOTTEN: &str = "RETURN array::len(SELECT VALUE id FROM proxy_setting LIMIT 2000)";
const SAVE: &str =
    "UPDATE proxy_setting SET port = $port, version += 1 WHERE company = $company AND name_key = $name RETURN NONE";

type Problem = Box<dyn std::error::Error>;

struct Server(Child, u16);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    fn start() -> Result<Self, Problem> {
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let program = std::env::var("GATEHOUSE_SURREAL")?;
        let child = Command::new(program)
            .args([
                "start",
                "--no-banner",
                "--log",
                "error",
                "--user",
                "root",
                "--pass",
                "root",
                "--bind",
                &format!("127.0.0.1:{port}"),
                "memory",
            ])
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self(child, port))
    }

    async fn root(&self) -> Result<Surreal<Any>, Problem> {
        let db = self.nobody().await?;
        db.signin(Root { username: "root".into(), password: "root".into() }).await?;
        Ok(db)
    }

    /// Whose clones have nothing to sign in as: a clone of a session does again what made that one what it is.
    async fn nobody(&self) -> Result<Surreal<Any>, Problem> {
        let begin = Instant::now();
        loop {
            match connect(format!("ws://127.0.0.1:{}", self.1)).await {
                Ok(db) => return Ok(db),
                Err(error) if begin.elapsed() > Duration::from_secs(20) => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Resident memory in MiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or_default() / 1024
    }
}

fn company(number: usize) -> surrealdb::types::RecordId {
    surrealdb::types::RecordId::new("company", i64::try_from(number).unwrap_or_default())
}

/// One company and its settings.
async fn fill(db: &Surreal<Any>, number: usize, settings: usize) -> Result<(), Problem> {
    let mut vars = Variables::new();
    vars.insert("company", company(number));
    vars.insert("settings", i64::try_from(settings)?);
    db.query(
        "BEGIN; CREATE ONLY $company SET name = 'Company' RETURN NONE;
        FOR $n IN 0..$settings { CREATE proxy_setting SET company = $company, name = string::concat('Proxy ', $n),
            name_key = string::concat('proxy ', $n), host = 'proxy.example.com', port = 3128, version = 1 RETURN NONE };
        COMMIT;",
    )
    .bind(vars)
    .await?
    .check()?;
    Ok(())
}

struct Times(Vec<Duration>);

impl Times {
    fn at(&mut self, percent: usize) -> f64 {
        self.0.sort();
        let place = (self.0.len() * percent / 100).min(self.0.len() - 1);
        self.0[place].as_secs_f64() * 1000.0
    }
}

async fn measure(name: &str, server: &Server, sessions: &[(usize, Arc<Surreal<Any>>)]) -> Result<(), Problem> {
    let (mut lists, mut saves) = (Times(Vec::new()), Times(Vec::new()));
    for turn in 0..2000usize {
        let (number, db) = &sessions[turn * 7919 % sessions.len()];
        let mut vars = Variables::new();
        vars.insert("company", company(*number));
        vars.insert("tenant", company(*number));
        let begin = Instant::now();
        let rows: Value = db.query(LIST).bind(vars.clone()).await?.take(0)?;
        lists.0.push(begin.elapsed());
        assert_eq!(rows.into_array().map(|rows| rows.len()).unwrap_or_default(), 51, "{name}");
        vars.insert("name", format!("proxy {}", turn % 100));
        vars.insert("port", i64::try_from(turn % 60_000 + 1)?);
        let begin = Instant::now();
        db.query(SAVE).bind(vars).await?.check()?;
        saves.0.push(begin.elapsed());
    }
    let forgotten: Option<i64> = sessions[0].1.query(FORGOTTEN).bind(("tenant", company(sessions[0].0))).await?.take(0)?;
    println!(
        "{name:<12} list p50 {:>6.2} p99 {:>6.2} ms · save p50 {:>6.2} p99 {:>6.2} ms · server {:>5} MiB · a query that forgets its company sees {} settings",
        lists.at(50),
        lists.at(99),
        saves.at(50),
        saves.at(99),
        server.memory(),
        forgotten.unwrap_or_default(),
    );
    Ok(())
}

#[derive(SurrealValue)]
struct Params {
    company: surrealdb::types::RecordId,
    secret: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Problem> {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<usize>());
    let companies = args.next().transpose()?.unwrap_or(1000);
    let settings = args.next().transpose()?.unwrap_or(100);
    println!("{companies} companies with {settings} settings each");
    for way in ["query", "tenant", "permissions", "databases"] {
        let server = Server::start()?;
        let db = server.root().await?;
        let begin = Instant::now();
        db.query(format!("DEFINE NAMESPACE IF NOT EXISTS {NAMESPACE}")).await?.check()?;
        if way == "databases" {
            for number in 0..companies {
                db.query(format!("USE NS {NAMESPACE}; DEFINE DATABASE c{number}")).await?.check()?;
                db.use_ns(NAMESPACE).use_db(format!("c{number}")).await?;
                db.query(SCHEMA).await?.check()?;
                fill(&db, number, settings).await?;
            }
        } else {
            db.query(format!("USE NS {NAMESPACE}; DEFINE DATABASE all")).await?.check()?;
            db.use_ns(NAMESPACE).use_db("all").await?;
            db.query(SCHEMA).await?.check()?;
            for number in 0..companies {
                fill(&db, number, settings).await?;
            }
            if way != "query" {
                db.query(if way == "tenant" { TENANT } else { PERMISSIONS }).await?.check()?;
                db.query(format!(
                    "DEFINE ACCESS company ON DATABASE TYPE RECORD SIGNIN (SELECT * FROM $company WHERE $secret = '{SECRET}')
                    DURATION FOR SESSION NONE"
                ))
                .await?
                .check()?;
            }
        }
        let made = begin.elapsed();

        let begin = Instant::now();
        let mut sessions = Vec::new();
        let mut connection = server.nobody().await?;
        let mut session = Arc::new(db.clone());
        for number in 0..companies {
            if number % SESSIONS == 0 {
                connection = server.nobody().await?;
            }
            let access = Record {
                namespace: NAMESPACE.into(),
                database: "all".into(),
                access: "company".into(),
                params: Params { company: company(number), secret: SECRET.into() },
            };
            match way {
                "permissions" => {
                    session = Arc::new(connection.clone());
                    session.signin(access).await?;
                }
                "tenant" if number == 0 => {
                    session = Arc::new(connection.clone());
                    session.signin(access).await?;
                }
                "databases" => {
                    session = Arc::new(connection.clone());
                    session.signin(Root { username: "root".into(), password: "root".into() }).await?;
                    session.use_ns(NAMESPACE).use_db(format!("c{number}")).await?;
                }
                _ => {}
            }
            sessions.push((number, Arc::clone(&session)));
        }
        println!(
            "{way:<12} made in {:>6.1} s · sessions signed in in {:>7.3} s",
            made.as_secs_f64(),
            begin.elapsed().as_secs_f64()
        );
        measure(way, &server, &sessions).await?;
    }
    Ok(())
}
