//! Analyses, who works on them, and answers that are kept.

use std::{collections::HashSet, sync::Arc, time::Duration};

use gatehouse_domain::{
    AnalysisQuery, AnalysisResult, AnalysisStatus, Cause, DirectReason, Evidence, Indicator, IndicatorKind, IntegrationRef,
    LyingLink, MailSummary, ResultStatus, Route, Subject, SubjectKind, Verdict,
};
use gatehouse_platform::{
    AnalysisId, Choice, CompanyId, FileContent, IntegrationId,
    ports::{AnalysisRecord, AnalysisState, AnalysisStore as _, IntegrationStore as _, KeptFinding, Lease, StoreError},
};
use gatehouse_store::Store;

use crate::support::{Bed, at_once, company, integration, now, on_each_database};

on_each_database! {
    an_analysis_is_kept_as_it_was_made
    results_are_written_by_who_holds_it
    what_nobody_works_on_is_taken_by_one
    two_who_write_and_take_at_once_never_both_succeed
    another_companys_analyses_are_not_there
    lists_are_filtered_and_paged
    findings_are_kept_until_they_expire
}

pub fn lease(holder: &str, seconds: i64) -> Lease {
    Lease { holder: holder.into(), until: now() + chrono::TimeDelta::seconds(seconds) }
}

pub fn running() -> AnalysisState {
    AnalysisState { status: AnalysisStatus::Running, done: 0, verdict: None, incomplete: false, cause: None, finished_at: None }
}

fn done(verdict: Verdict) -> AnalysisState {
    AnalysisState {
        status: AnalysisStatus::Done,
        done: 1,
        verdict: Some(verdict),
        incomplete: true,
        cause: None,
        finished_at: Some(now()),
    }
}

fn record(subject: &str, total: usize) -> AnalysisRecord {
    AnalysisRecord {
        id: AnalysisId::new(),
        subject: Subject { kind: SubjectKind::Url, value: subject.into() },
        by: "Jo Doe".into(),
        created_at: now(),
        email: None,
        total: u32::try_from(total).expect("few"),
        state: running(),
    }
}

fn result(value: &str) -> AnalysisResult {
    AnalysisResult {
        integration: IntegrationRef { id: IntegrationId::new().to_string(), name: "VT".into(), kind: "virustotal".into() },
        indicator: Indicator { kind: IndicatorKind::Url, value: value.into(), note: None },
        status: ResultStatus::Queued,
        verdict: None,
        cause: None,
        message: None,
        route: None,
        ms: None,
        evidence: Vec::new(),
        link: None,
        cached: false,
        progress: None,
    }
}

pub fn answered(value: &str) -> AnalysisResult {
    AnalysisResult {
        status: ResultStatus::Done,
        verdict: Some(Verdict::Malicious),
        message: Some("7 of 92".into()),
        route: Some(Route::Direct { reason: DirectReason::NoDefault }),
        ms: Some(12),
        evidence: vec![Evidence { label: "Detections".into(), value: "7 of 92".into() }],
        link: Some("https://www.virustotal.com/".into()),
        cached: true,
        progress: Some("waiting".into()),
        ..result(value)
    }
}

fn file(name: &str, length: usize) -> FileContent {
    FileContent { name: name.into(), bytes: Arc::new((0..length).map(|at| u8::try_from(at % 256).expect("a byte")).collect()) }
}

/// One that runs, with some results.
pub async fn begin(store: &Store, company: CompanyId, subject: &str, lease: &Lease) -> AnalysisId {
    let record = record(subject, 3);
    let results: Vec<_> = (0..3).map(|number| result(&format!("{subject}/{number}"))).collect();
    store.create_analysis(company, &record, &results, &[], Some(lease)).await.expect("made");
    record.id
}

/// One that runs, with a file.
pub async fn with_file(store: &Store, company: CompanyId, file: FileContent) {
    let record = record("a file", 1);
    store
        .create_analysis(company, &record, &[result("a")], &[("0".repeat(64), file)], Some(&lease("a", 600)))
        .await
        .expect("made");
}

async fn an_analysis_is_kept_as_it_was_made(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    let mut record = record("Your invoice", 300);
    record.subject.kind = SubjectKind::Email;
    record.email = Some(MailSummary {
        subject: Some("Your invoice".into()),
        from: Some("\"Jo\" <jo@example.com>".into()),
        sender_ip: Some("192.0.2.1".into()),
        lying_links: vec![LyingLink { shows: "bank.example".into(), leads_to: "https://evil.example/".into() }],
        notes: vec!["One part could not be read.".into()],
        ..MailSummary::default()
    });
    // More than nine, so that places are numbers and not texts.
    let results: Vec<_> = (0..300)
        .map(|number| if number % 2 == 0 { result(&number.to_string()) } else { answered(&number.to_string()) })
        .collect();
    let (pdf, empty, large) = ("ab".repeat(32), "cd".repeat(32), "ef".repeat(32));
    let files = [
        (pdf.clone(), file("a.pdf", 1000)),
        (empty.clone(), file("", 0)),
        (large.clone(), file("ä", 3_000_000)),
        (pdf.clone(), file("again", 1000)),
    ];
    store.create_analysis(company, &record, &results, &files, Some(&lease("a", 60))).await.expect("made");
    let (kept, kept_results) = bed.other.analysis(company, record.id).await.expect("there");
    assert_eq!(kept, record);
    assert_eq!(kept_results, results);
    for (sha256, expected) in &files[..3] {
        let kept = bed.other.analysis_file(company, record.id, sha256).await.expect("an answer").expect("there");
        assert_eq!((kept.name.as_str(), &kept.bytes), (expected.name.as_str(), &expected.bytes));
    }
    assert!(store.analysis_file(company, record.id, &"00".repeat(32)).await.expect("an answer").is_none());
    assert!(store.analysis_file(company, AnalysisId::new(), &pdf).await.expect("an answer").is_none());

    // Without results, and done at once.
    let empty = AnalysisRecord {
        state: AnalysisState { cause: Some(Cause::NoEngine), verdict: None, finished_at: Some(now()), ..done(Verdict::Clean) },
        ..self::record("https://a.example/", 0)
    };
    store.create_analysis(company, &empty, &[], &files[..1], None).await.expect("made");
    assert_eq!(store.analysis(company, empty.id).await.expect("there"), (empty.clone(), Vec::new()));
    assert!(store.analysis_file(company, empty.id, &pdf).await.expect("an answer").is_none(), "nobody needs it any more");
    assert_eq!(store.take_unattended(now(), &lease("b", 60), 10).await.expect("taken"), []);
    assert!(matches!(store.analysis(company, AnalysisId::new()).await, Err(StoreError::NotFound)));
}

async fn results_are_written_by_who_holds_it(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    let record = record("https://a.example/", 12);
    let results: Vec<_> = (0..12).map(|number| result(&number.to_string())).collect();
    let sha256 = "ab".repeat(32);
    let files = [(sha256.clone(), file("a", 10))];
    store.create_analysis(company, &record, &results, &files, Some(&lease("ours", 60))).await.expect("made");
    let neighbour = begin(store, company, "https://b.example/", &lease("ours", 60)).await;

    let state = AnalysisState { done: 2, verdict: Some(Verdict::Clean), incomplete: true, ..running() };
    let two = [(11, answered("11")), (2, answered("2"))];
    assert!(store.write_results(company, record.id, &lease("ours", 60), &two, &state).await.expect("written"));
    let (kept, kept_results) = bed.other.analysis(company, record.id).await.expect("there");
    assert_eq!(kept, AnalysisRecord { state: state.clone(), ..record.clone() });
    for (place, kept) in kept_results.iter().enumerate() {
        assert_eq!(kept.status == ResultStatus::Done, [2, 11].contains(&place), "{place}");
        assert_eq!(kept.indicator.value, place.to_string(), "in their order");
    }
    assert!(store.analysis_file(company, record.id, &sha256).await.expect("an answer").is_some());

    // Somebody else's by now.
    let taker = lease("theirs", 60);
    let taken = bed.other.take_unattended(now() + chrono::TimeDelta::seconds(61), &taker, 10).await.expect("taken");
    assert!(taken.contains(&(company, record.id)) && taken.contains(&(company, neighbour)));
    let before = store.analysis(company, record.id).await.expect("there");
    let late =
        store.write_results(company, record.id, &lease("ours", 60), &[(0, answered("0"))], &done(Verdict::Malicious)).await;
    assert!(!late.expect("no error"));
    assert_eq!(store.analysis(company, record.id).await.expect("there"), before, "nothing was written");
    assert!(store.analysis_file(company, record.id, &sha256).await.expect("an answer").is_some());

    // Renewed by writing, also without results.
    assert!(bed.other.write_results(company, record.id, &lease("theirs", 600), &[], &state).await.expect("written"));
    assert_eq!(
        store.take_unattended(now() + chrono::TimeDelta::seconds(61), &lease("x", 60), 10).await.expect("taken"),
        [(company, neighbour)]
    );

    let end = done(Verdict::Malicious);
    assert!(bed.other.write_results(company, record.id, &taker, &[(0, answered("0"))], &end).await.expect("written"));
    let (kept, kept_results) = store.analysis(company, record.id).await.expect("there");
    assert_eq!((kept.state, kept_results.len()), (end, 12));
    assert!(store.analysis_file(company, record.id, &sha256).await.expect("an answer").is_none(), "the files are gone");
    assert!(!store.write_results(company, record.id, &taker, &[(1, answered("1"))], &running()).await.expect("no error"));
    assert!(!store.write_results(company, AnalysisId::new(), &taker, &[], &running()).await.expect("no error"));
    let later = now() + chrono::TimeDelta::days(1);
    assert_eq!(store.take_unattended(later, &lease("x", 60), 10).await.expect("taken"), [(company, neighbour)]);
}

async fn what_nobody_works_on_is_taken_by_one(bed: Arc<Bed>) {
    let (one, two) = (company(&bed.store).await, company(&bed.store).await);
    let mut ids = HashSet::new();
    for number in 0..40 {
        let company = if number % 2 == 0 { one } else { two };
        ids.insert((company, begin(&bed.store, company, "https://a.example/", &lease("dead", 10)).await));
    }
    let alive = begin(&bed.store, one, "https://b.example/", &lease("alive", 600)).await;
    // One that was made without a lease is nobody's.
    let orphan = record("https://c.example/", 0);
    bed.store.create_analysis(one, &orphan, &[], &[], None).await.expect("made");
    assert_eq!(bed.store.take_unattended(now(), &lease("me", 600), 10).await.expect("taken"), [(one, orphan.id)]);

    let later = now() + chrono::TimeDelta::seconds(11);
    let answers = at_once(12, |number| {
        let store = bed.either(number);
        async move {
            let mut all = Vec::new();
            loop {
                let taken = store.take_unattended(later, &lease(&number.to_string(), 600), 3).await.expect("taken");
                assert!(taken.len() <= 3);
                if taken.is_empty() {
                    return all;
                }
                all.extend(taken);
            }
        }
    })
    .await;
    let all: Vec<_> = answers.concat();
    assert_eq!(all.len(), 40, "each by one");
    assert_eq!(all.into_iter().collect::<HashSet<_>>(), ids);
    // Each is held by who took it.
    for (number, taken) in answers.iter().enumerate() {
        for (company, id) in taken {
            let wrong = lease(&(number + 1).to_string(), 600);
            assert!(!bed.store.write_results(*company, *id, &wrong, &[], &running()).await.expect("no error"));
            let right = lease(&number.to_string(), 600);
            assert!(bed.store.write_results(*company, *id, &right, &[], &running()).await.expect("written"));
        }
    }
    assert!(bed.store.write_results(one, alive, &lease("alive", 600), &[], &running()).await.expect("written"));
}

async fn two_who_write_and_take_at_once_never_both_succeed(bed: Arc<Bed>) {
    let company = company(&bed.store).await;
    let mut written = 0;
    for round in 0..15 {
        let id = begin(&bed.store, company, "https://a.example/", &lease("first", 0)).await;
        let later = now() + chrono::TimeDelta::seconds(1);
        let answers = at_once(2, |number| {
            let store = bed.either(number + round);
            async move {
                if number == 0 {
                    store
                        .write_results(company, id, &lease("first", 600), &[(0, answered("0"))], &running())
                        .await
                        .expect("no error")
                } else {
                    !store.take_unattended(later, &lease("second", 600), 5).await.expect("no error").is_empty()
                }
            }
        })
        .await;
        let (_, results) = bed.store.analysis(company, id).await.expect("there");
        assert_eq!(results[0].status == ResultStatus::Done, answers[0]);
        // Written first, and the lease was renewed; or written before it was taken.
        let holder = if answers[1] { "second" } else { "first" };
        let other = if answers[1] { "first" } else { "second" };
        assert!(!bed.store.write_results(company, id, &lease(other, 600), &[], &running()).await.expect("no error"));
        assert!(bed.store.write_results(company, id, &lease(holder, 600), &[], &done(Verdict::Clean)).await.expect("no error"));
        assert!(answers[0] != answers[1], "the lease was renewed or lost: {answers:?}");
        written += usize::from(answers[0]);
    }
    println!("{written} times the writer was first, {} times the taker", 15 - written);
}

async fn another_companys_analyses_are_not_there(bed: Arc<Bed>) {
    let store = &bed.store;
    let (ours, theirs) = (company(store).await, company(store).await);
    let held = lease("ours", 60);
    let id = begin(store, ours, "https://a.example/", &held).await;
    let before = store.analysis(ours, id).await.expect("there");
    assert!(matches!(store.analysis(theirs, id).await, Err(StoreError::NotFound)));
    assert!(!store.write_results(theirs, id, &held, &[(0, answered("x"))], &done(Verdict::Clean)).await.expect("no error"));
    assert_eq!(store.list_analyses(theirs, &AnalysisQuery::default()).await.expect("a list").items, []);
    // The same identifier in another company is another analysis.
    let mut copy = before.0.clone();
    copy.subject.value = "https://theirs.example/".into();
    store.create_analysis(theirs, &copy, &[], &[], None).await.expect("made");
    assert_eq!(store.analysis(ours, id).await.expect("there"), before);
    let nobody = store.create_analysis(CompanyId::new(), &record("x", 0), &[], &[], None).await;
    assert!(matches!(nobody, Err(StoreError::NotFound)), "{nobody:?}");
    let finding = KeptFinding { verdict: Verdict::Clean, evidence: Vec::new(), link: None };
    let engine = integration(store, ours, "a", Choice::None).await.id;
    store.keep_finding(ours, engine, "k", &finding, now() + Duration::from_secs(60)).await.expect("kept");
    assert_eq!(store.kept_finding(theirs, engine, "k", now()).await.expect("an answer"), None);
}

async fn lists_are_filtered_and_paged(bed: Arc<Bed>) {
    let store = &bed.store;
    let (company, other) = (company(store).await, company(store).await);
    let mut ids = Vec::new();
    for number in 0..23 {
        let mut record = record(&format!("https://Sübject{number:02}.example/"), 2);
        record.subject.kind = [SubjectKind::Url, SubjectKind::Email, SubjectKind::Ip][number % 3];
        if number % 2 == 0 {
            record.state = done([Verdict::Clean, Verdict::Malicious][number / 2 % 2]);
        }
        let mut found = result(&format!("https://Found{number}.example/"));
        found.indicator.note = Some(format!("Rechnung{number}.PDF"));
        let lease = lease("a", 600);
        store.create_analysis(company, &record, &[found.clone(), found], &[], Some(&lease)).await.expect("made");
        ids.push(record.id);
        begin(store, other, "https://Sübject.example/", &lease).await;
    }
    let all = async |query: AnalysisQuery| {
        let (mut items, mut pages, mut cursor) = (Vec::new(), 0, None);
        loop {
            let page = store.list_analyses(company, &AnalysisQuery { cursor, ..query.clone() }).await.expect("a page");
            assert!(page.items.len() <= usize::from(query.limit));
            items.extend(page.items.into_iter().map(|item| item.id));
            pages += 1;
            cursor = page.next;
            if cursor.is_none() {
                return (items, pages);
            }
        }
    };
    for limit in [1, 4, 23, 200] {
        for ascending in [false, true] {
            let (items, pages) = all(AnalysisQuery { limit, ascending, ..Default::default() }).await;
            let expected: Vec<_> = if ascending { ids.clone() } else { ids.iter().rev().copied().collect() };
            assert_eq!(items, expected);
            assert_eq!(pages, 23usize.div_ceil(usize::from(limit)));
        }
    }
    let one = store.list_analyses(company, &AnalysisQuery { limit: 1, ..Default::default() }).await.expect("a list");
    assert_eq!(one.items[0], store.analysis(company, ids[22]).await.expect("there").0);
    let count = async |query: AnalysisQuery| all(query).await.0.len();
    let any = AnalysisQuery { limit: 5, ..Default::default() };
    assert_eq!(count(AnalysisQuery { q: "SÜBJECT1".into(), ..any.clone() }).await, 10, "in the subject, without regard to case");
    assert_eq!(count(AnalysisQuery { q: "found7.".into(), ..any.clone() }).await, 1, "in the indicators");
    assert_eq!(count(AnalysisQuery { q: "rechnung22.pdf".into(), ..any.clone() }).await, 1, "in their notes");
    assert_eq!(count(AnalysisQuery { q: "' OR true".into(), ..any.clone() }).await, 0);
    assert_eq!(count(AnalysisQuery { status: Some(AnalysisStatus::Running), ..any.clone() }).await, 11);
    assert_eq!(count(AnalysisQuery { status: Some(AnalysisStatus::Done), ascending: true, ..any.clone() }).await, 12);
    assert_eq!(count(AnalysisQuery { verdict: Some(Verdict::Malicious), ..any.clone() }).await, 6);
    assert_eq!(count(AnalysisQuery { verdict: Some(Verdict::Unknown), ..any.clone() }).await, 0);
    assert_eq!(count(AnalysisQuery { kind: Some(SubjectKind::Email), ..any.clone() }).await, 8);
    let narrow =
        AnalysisQuery { kind: Some(SubjectKind::Email), status: Some(AnalysisStatus::Done), q: "example".into(), ..any.clone() };
    assert_eq!(count(narrow).await, 4);
    // A cursor of the other order, or of nobody.
    let next = one.next.expect("more");
    for (cursor, ascending) in [(next, true), ("x".into(), false)] {
        let query = AnalysisQuery { cursor: Some(cursor), ascending, ..any.clone() };
        assert!(matches!(store.list_analyses(company, &query).await, Err(StoreError::BadCursor)));
    }
    // What can be searched is bounded, and what is beyond does no harm.
    let long = record(&"Ä".repeat(30_000), 1);
    store.create_analysis(company, &long, &[result("https://beyond.example/")], &[], None).await.expect("made");
    assert_eq!(count(AnalysisQuery { q: "ää".into(), ..any.clone() }).await, 1);
    assert_eq!(count(AnalysisQuery { q: "beyond".into(), ..any }).await, 0);
    assert_eq!(store.analysis(company, long.id).await.expect("there").0, long);
}

async fn findings_are_kept_until_they_expire(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    let (engine, other) = (integration(store, company, "a", Choice::None).await.id, IntegrationId::new());
    let finding = KeptFinding {
        verdict: Verdict::Suspicious,
        evidence: vec![Evidence { label: "Score".into(), value: "42".into() }],
        link: Some("https://a.example/".into()),
    };
    let at = now();
    let (soon, late) = (at + Duration::from_secs(10), at + Duration::from_secs(100));
    store.keep_finding(company, engine, "key", &finding, soon).await.expect("kept");
    assert_eq!(bed.other.kept_finding(company, engine, "key", at).await.expect("an answer"), Some(finding.clone()));
    assert_eq!(store.kept_finding(company, engine, "other", at).await.expect("an answer"), None);
    assert_eq!(store.kept_finding(company, other, "key", at).await.expect("an answer"), None);
    assert_eq!(store.kept_finding(company, engine, "key", soon).await.expect("an answer"), None, "expired");
    // Anew, with another answer.
    let clean = KeptFinding { verdict: Verdict::Clean, evidence: Vec::new(), link: None };
    store.keep_finding(company, engine, "key", &clean, late).await.expect("kept");
    assert_eq!(store.kept_finding(company, engine, "key", soon).await.expect("an answer"), Some(clean.clone()));
    store.keep_finding(company, engine, "short", &finding, soon).await.expect("kept");
    store.sweep_findings(soon).await.expect("swept");
    assert_eq!(store.kept_finding(company, engine, "key", at).await.expect("an answer"), Some(clean.clone()));
    assert_eq!(store.kept_finding(company, engine, "short", at).await.expect("an answer"), None, "swept away");
    store.sweep_findings(late).await.expect("swept");
    assert_eq!(store.kept_finding(company, engine, "key", at).await.expect("an answer"), None);
    // Many, and those who sweep at once.
    at_once(4, |writer| {
        let (store, finding) = (bed.either(writer), finding.clone());
        async move {
            for number in 0..300 {
                store.keep_finding(company, other, &format!("{writer}/{number}"), &finding, soon).await.expect("kept");
            }
        }
    })
    .await;
    for swept in at_once(3, |number| {
        let store = bed.either(number);
        async move { store.sweep_findings(soon).await }
    })
    .await
    {
        swept.expect("no error");
    }
    assert_eq!(store.kept_finding(company, other, "3/299", at).await.expect("an answer"), None);
    // They go with their integration.
    store.keep_finding(company, engine, "key", &finding, late).await.expect("kept");
    store.delete_integration(company, engine, None).await.expect("deleted");
    assert_eq!(store.kept_finding(company, engine, "key", at).await.expect("an answer"), None);
}
