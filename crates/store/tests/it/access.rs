//! Companies, people, sessions, tokens, and who tries to come in.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gatehouse_domain::{CompanyName, Email, Role, TokenName};
use gatehouse_platform::{
    CompanyId, Origin, PersonId, TokenId,
    ports::{AccessStore as _, PersonWrite, StoreError, TokenRecord},
};

use crate::support::{Bed, at_once, company, now, on_each_database, person};

on_each_database! {
    the_first_company_is_made_once
    ten_who_make_the_first_company_leave_one
    companies_and_people_have_names_of_their_own
    fifty_who_take_an_e_mail_address_leave_one
    sessions_end
    a_session_that_has_ended_is_gone_for_all_at_once
    of_somebody_who_is_removed_no_session_or_token_stays
    tokens_belong_to_a_person
    sign_ins_are_counted_by_account_and_address
    an_attempt_that_was_right_does_not_count
    many_at_once_never_come_past_the_limit
    a_sweep_deletes_what_is_over
}

const MINUTE: Duration = Duration::from_secs(60);

fn name(text: &str) -> CompanyName {
    CompanyName::parse(text).expect("right")
}

async fn the_first_company_is_made_once(bed: Arc<Bed>) {
    let store = &bed.store;
    let at = now();
    assert!(store.is_empty().await.expect("an answer"));
    assert!(!store.is_setup_link("right", at).await.expect("an answer"), "there is none yet");
    store.put_setup_link("wrong", at + MINUTE).await.expect("noted");
    store.put_setup_link("right", at + MINUTE).await.expect("noted instead");
    assert!(store.is_setup_link("right", at).await.expect("an answer"));
    assert!(!store.is_setup_link("wrong", at).await.expect("an answer"));
    assert!(!store.is_setup_link("right", at + MINUTE).await.expect("an answer"), "expired");
    let make =
        async |link: Option<&str>, at| store.create_first_company(link, CompanyId::new(), &name("Acme"), &person(), at).await;
    assert!(matches!(make(Some("wrong"), at).await, Err(StoreError::NotFound)));
    assert!(matches!(make(Some("right"), at + MINUTE).await, Err(StoreError::NotFound)));
    assert!(store.is_empty().await.expect("an answer"), "nothing half made");
    let owner = person();
    store.create_first_company(Some("right"), CompanyId::new(), &name("Acme"), &owner, at).await.expect("made");
    assert!(!store.is_empty().await.expect("an answer"));
    assert!(!store.is_setup_link("right", at).await.expect("an answer"), "used up");
    for link in [Some("right"), None] {
        assert!(matches!(make(link, at).await, Err(StoreError::NotFound)));
    }
    store.put_setup_link("late", at + MINUTE).await.expect("noted");
    assert!(!store.is_setup_link("late", at).await.expect("an answer"), "there is a company");
    assert_eq!(store.person_by_email(&owner.email).await.expect("an answer").expect("there").role, Role::Owner);
}

async fn ten_who_make_the_first_company_leave_one(bed: Arc<Bed>) {
    bed.store.put_setup_link("right", now() + MINUTE).await.expect("noted");
    let answers =
        at_once(10, |number| {
            let store = bed.either(number);
            // Some by the link, some from the command line, each another name.
            let link = (number % 2 == 0).then_some("right");
            async move {
                store.create_first_company(link, CompanyId::new(), &name(&format!("Company {number}")), &person(), now()).await
            }
        })
        .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(StoreError::NotFound))), "{answers:?}");
    assert_eq!(bed.store.companies().await.expect("a list").len(), 1);
}

async fn companies_and_people_have_names_of_their_own(bed: Arc<Bed>) {
    let store = &bed.store;
    let (one, two) = (CompanyId::new(), CompanyId::new());
    store.create_company(one, &name("Straße AG"), now()).await.expect("made");
    let same = store.create_company(CompanyId::new(), &name("STRASSE ag"), now()).await;
    assert!(matches!(same, Err(StoreError::NameTaken)), "{same:?}");
    store.create_company(two, &name("Zwei"), now()).await.expect("made");
    assert_eq!(store.company_by_name(&name("strasse AG")).await.expect("an answer"), Some(one));
    assert_eq!(store.company_by_name(&name("Drei")).await.expect("an answer"), None);
    assert_eq!(store.companies().await.expect("a list"), [(one, name("Straße AG")), (two, name("Zwei"))]);

    let jo = person();
    store.create_person(one, &jo, now()).await.expect("made");
    let upper = Email::parse(&jo.email.as_str().to_uppercase()).expect("right");
    let again = PersonWrite { email: upper.clone(), ..person() };
    assert!(matches!(store.create_person(two, &again, now()).await, Err(StoreError::NameTaken)), "in whatever company");
    assert!(matches!(store.create_person(CompanyId::new(), &person(), now()).await, Err(StoreError::NotFound)));
    let found = store.person_by_email(&upper).await.expect("an answer").expect("there");
    assert_eq!((found.id, found.company, found.company_name), (jo.id, one, name("Straße AG")));
    assert_eq!((found.email, found.name, found.role, found.password_hash), (jo.email, jo.name, jo.role, jo.password_hash));
    assert_eq!(store.person_by_email(&person().email).await.expect("an answer"), None);
}

async fn fifty_who_take_an_e_mail_address_leave_one(bed: Arc<Bed>) {
    let (company, email) = (company(&bed.store).await, person().email);
    let answers = at_once(50, |number| {
        let (store, person) = (bed.either(number), PersonWrite { email: email.clone(), ..person() });
        async move { store.create_person(company, &person, now()).await }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    assert!(answers.iter().all(|answer| matches!(answer, Ok(()) | Err(StoreError::NameTaken))), "{answers:?}");
}

async fn sessions_end(bed: Arc<Bed>) {
    let store = &bed.store;
    let (company, jo, at) = (company(store).await, person(), now());
    store.create_person(company, &jo, at).await.expect("made");
    store.create_session("abc", jo.id, at, at + MINUTE, &Origin::command_line()).await.expect("made");
    let found = bed.other.find_session("abc", at).await.expect("an answer").expect("there");
    assert_eq!((found.person.id, found.person.company), (jo.id, company));
    assert_eq!((found.expires_at, found.last_used_at), (Some(at + MINUTE), Some(at)));
    assert_eq!(store.find_session("abd", at).await.expect("an answer"), None);
    assert_eq!(store.find_session("abc", at + MINUTE).await.expect("an answer"), None, "expired");
    store.touch_session("abc", at + MINUTE / 2, at + MINUTE * 2).await.expect("noted");
    let found = store.find_session("abc", at + MINUTE).await.expect("an answer").expect("there");
    assert_eq!((found.expires_at, found.last_used_at), (Some(at + MINUTE * 2), Some(at + MINUTE / 2)));
    store.delete_session("abc").await.expect("gone");
    assert!(matches!(store.delete_session("abc").await, Err(StoreError::NotFound)), "gone already");
    store.touch_session("abc", at, at + MINUTE).await.expect("no error");
    assert_eq!(store.find_session("abc", at).await.expect("an answer"), None, "noting a use brings nothing back");
    assert!(matches!(
        store.create_session("x", PersonId::new(), at, at + MINUTE, &Origin::command_line()).await,
        Err(StoreError::NotFound)
    ));
}

async fn a_session_that_has_ended_is_gone_for_all_at_once(bed: Arc<Bed>) {
    let store = &bed.store;
    let company = company(store).await;
    let (at, owner) = (now(), person());
    store.create_person(company, &owner, at).await.expect("made");
    at_once(20, |number| {
        let (store, other, owner) = (bed.either(number), bed.either(number + 1), owner.id);
        async move {
            for round in 0..5 {
                let hash = format!("{number}-{round}");
                assert_eq!(other.find_session(&hash, at).await.expect("an answer"), None, "not yet");
                store.create_session(&hash, owner, at, at + MINUTE, &Origin::command_line()).await.expect("made");
                assert!(other.find_session(&hash, at).await.expect("an answer").is_some());
                assert!(store.find_session(&hash, at).await.expect("an answer").is_some());
                assert_eq!(store.find_session(&hash, at + MINUTE).await.expect("an answer"), None, "it is over");
                store.delete_session(&hash).await.expect("signed out");
                assert_eq!(other.find_session(&hash, at).await.expect("an answer"), None, "signed out");
            }
        }
    })
    .await;
}

/// Not only that nobody finds them: the records are gone, of this person and of nobody else.
async fn of_somebody_who_is_removed_no_session_or_token_stays(bed: Arc<Bed>) {
    let store = &bed.store;
    let (ours, at) = (company(store).await, now());
    let (jo, mo) = (person(), person());
    for (who, hash) in [(&jo, "of jo"), (&mo, "of mo")] {
        store.create_person(ours, who, at).await.expect("made");
        store.create_session(hash, who.id, at, at + MINUTE, &Origin::command_line()).await.expect("made");
        let token = TokenRecord {
            id: TokenId::new(),
            name: TokenName::parse("script").expect("right"),
            ends_with: "wxyz".into(),
            created_at: at,
            last_used_at: None,
        };
        store.create_token(ours, who.id, hash, &token).await.expect("made");
    }
    let left = async |table: &str| bed.other.raw(&format!("SELECT * FROM {table}")).await.expect("rows");
    for table in ["session", "token"] {
        assert!(left(table).await.contains(&jo.id.to_string()), "{table}");
    }
    store.delete_person(ours, jo.id, 1).await.expect("removed");
    for table in ["session", "token"] {
        let rows = left(table).await;
        assert!(!rows.contains(&jo.id.to_string()) && rows.contains(&mo.id.to_string()), "{table}: {rows}");
    }
    assert_eq!(store.find_session("of jo", at).await.expect("an answer"), None);
    assert_eq!(store.find_token("of jo").await.expect("an answer"), None);
    assert!(store.find_session("of mo", at).await.expect("an answer").is_some());
    assert!(store.find_token("of mo").await.expect("an answer").is_some());
}

async fn tokens_belong_to_a_person(bed: Arc<Bed>) {
    let store = &bed.store;
    let (ours, theirs, at) = (company(store).await, company(store).await, now());
    let (jo, mo) = (person(), person());
    store.create_person(ours, &jo, at).await.expect("made");
    store.create_person(ours, &mo, at).await.expect("made");
    let token = |name: &str, created_at| TokenRecord {
        id: TokenId::new(),
        name: TokenName::parse(name).expect("right"),
        ends_with: "wxyz".into(),
        created_at,
        last_used_at: None,
    };
    let (first, second) = (token("first", at), token("second", at + MINUTE));
    store.create_token(ours, jo.id, "hash 1", &first).await.expect("made");
    store.create_token(ours, jo.id, "hash 2", &second).await.expect("made");
    let foreign = store.create_token(theirs, jo.id, "hash 3", &token("third", at)).await;
    assert!(matches!(foreign, Err(StoreError::NotFound)), "{foreign:?}");
    assert_eq!(store.tokens(ours, jo.id).await.expect("a list"), [second.clone(), first.clone()]);
    assert_eq!(store.tokens(ours, mo.id).await.expect("a list"), []);
    assert_eq!(store.tokens(theirs, jo.id).await.expect("a list"), []);

    let found = bed.other.find_token("hash 1").await.expect("an answer").expect("there");
    assert_eq!((found.person.id, found.person.company, found.expires_at, found.last_used_at), (jo.id, ours, None, None));
    assert_eq!(store.find_token("hash 3").await.expect("an answer"), None);
    store.touch_token("hash 1", at + MINUTE).await.expect("noted");
    store.touch_token("hash 3", at).await.expect("no error");
    assert_eq!(store.find_token("hash 1").await.expect("an answer").expect("there").last_used_at, Some(at + MINUTE));

    for (company, person) in [(theirs, jo.id), (ours, mo.id)] {
        assert!(matches!(store.delete_token(company, person, first.id).await, Err(StoreError::NotFound)));
    }
    store.delete_token(ours, jo.id, first.id).await.expect("gone");
    assert!(matches!(store.delete_token(ours, jo.id, first.id).await, Err(StoreError::NotFound)));
    assert_eq!(store.find_token("hash 1").await.expect("an answer"), None);
    assert_eq!(store.tokens(ours, jo.id).await.expect("a list"), [second]);
}

async fn sign_ins_are_counted_by_account_and_address(bed: Arc<Bed>) {
    let store = &bed.store;
    let at = now();
    let second = Duration::from_secs(1);
    let begin =
        async |account: &str, address: &str, at| store.begin_sign_in(account, address, 3, MINUTE, at).await.expect("an answer");
    for n in 0..3 {
        begin("jo", "192.0.2.1", at + second * n).await.expect("counted");
    }
    // The first of the three leaves the window after a minute.
    assert_eq!(begin("jo", "192.0.2.2", at + second * 10).await, Err(second * 50), "the account");
    assert_eq!(begin("mo", "192.0.2.1", at + second * 10).await, Err(second * 50), "the address");
    begin("mo", "192.0.2.2", at + second * 10).await.expect("neither, and what was refused was not counted");
    // As long as it is in the window it counts; then one is free, and then none again.
    assert_eq!(begin("jo", "192.0.2.3", at + second * 59).await, Err(second));
    begin("jo", "192.0.2.3", at + second * 60).await.expect("counted");
    assert_eq!(begin("jo", "192.0.2.3", at + second * 60).await, Err(second));
    // Both: the longer one.
    for n in 0..3 {
        begin(&format!("x{n}"), "198.51.100.1", at + second * 61).await.expect("counted");
    }
    begin("jo", "192.0.2.4", at + second * 61).await.expect("counted");
    assert_eq!(begin("jo", "198.51.100.1", at + second * 61).await, Err(MINUTE));
    // An account named like an address is something else.
    begin("192.0.2.1", "jo", at + second * 61).await.expect("counted");
    assert!(store.begin_sign_in("nobody", "192.0.2.9", 0, MINUTE, at).await.expect("an answer").is_err());
}

async fn an_attempt_that_was_right_does_not_count(bed: Arc<Bed>) {
    let store = &bed.store;
    let at = now();
    let begin = async || store.begin_sign_in("jo", "192.0.2.1", 2, MINUTE, at).await.expect("an answer");
    let wrong = begin().await.expect("counted");
    for _ in 0..3 {
        let right = begin().await.expect("counted");
        assert!(begin().await.is_err());
        store.forget_sign_in(&right).await.expect("forgotten");
        store.forget_sign_in(&right).await.expect("twice is no error");
    }
    store.forget_sign_in(&wrong).await.expect("forgotten");
    for _ in 0..2 {
        begin().await.expect("counted");
    }
    assert!(begin().await.is_err());
    assert!(store.forget_sign_in("not one").await.is_err());
}

async fn many_at_once_never_come_past_the_limit(bed: Arc<Bed>) {
    let at = now();
    let answers = at_once(40, |number| {
        let store = bed.either(number);
        // One account from many addresses.
        async move { store.begin_sign_in("jo", &format!("192.0.2.{number}"), 10, MINUTE, at).await.expect("an answer") }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 10);
    let answers = at_once(40, |number| {
        let store = bed.either(number);
        // One address for many accounts.
        async move { store.begin_sign_in(&format!("mo{number}"), "198.51.100.1", 10, MINUTE, at).await.expect("an answer") }
    })
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 10);
    let mut told = HashMap::new();
    for wait in answers.into_iter().filter_map(Result::err) {
        *told.entry(wait).or_insert(0) += 1;
    }
    assert_eq!(told, HashMap::from([(MINUTE, 30)]));
}

async fn a_sweep_deletes_what_is_over(bed: Arc<Bed>) {
    let store = &bed.store;
    let (company, jo, at) = (company(store).await, person(), now());
    store.create_person(company, &jo, at).await.expect("made");
    store.create_session("old", jo.id, at, at + MINUTE, &Origin::command_line()).await.expect("made");
    store.create_session("new", jo.id, at, at + MINUTE * 200, &Origin::command_line()).await.expect("made");
    store.begin_sign_in("jo", "192.0.2.1", 1, MINUTE * 200, at).await.expect("an answer").expect("counted");
    store.begin_sign_in("mo", "192.0.2.2", 1, MINUTE * 200, at + MINUTE * 30).await.expect("an answer").expect("counted");
    let later = at + MINUTE * 60;
    let sweeps = at_once(3, |number| {
        let store = bed.either(number);
        async move { store.sweep(later).await }
    })
    .await;
    assert!(sweeps.iter().all(Result::is_ok), "{sweeps:?}");
    // Looked at as of the beginning: what is there no more was deleted, not only over.
    assert_eq!(store.find_session("old", at).await.expect("an answer"), None);
    assert!(store.find_session("new", at).await.expect("an answer").is_some());
    assert!(store.begin_sign_in("jo", "192.0.2.1", 1, MINUTE * 200, later).await.expect("an answer").is_ok());
    assert!(store.begin_sign_in("mo", "192.0.2.2", 1, MINUTE * 200, later).await.expect("an answer").is_err());
    store.sweep(later).await.expect("nothing to do");
}
