//! A case is a name and its steps; a step is a request, what the origin says should it be asked, and what is to come of it.
//!
//! Whether the cache answered is decided by whether the origin was asked, and by the body: unless a step says otherwise, each answer of the
//! origin has a body of its own, with the name of the case and the number of the step.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::stage::{self, Answer, Origin, Reply, Request, Wire, expand};

/// A name, which says the section and what holds, and the steps.
pub type Case = (&'static str, Vec<Step>);

/// How often the origin is asked in a step.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Asked {
    No,
    Once,
    /// A connection that breaks may be tried again.
    AtLeastOnce,
    /// Once, but nobody waits for it.
    Later,
    /// The standard leaves it open.
    Either,
}

/// The answer that is to come, by the number of the step in which the origin gave it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Comes {
    Own,
    Of(usize),
    /// That of the step where the origin was asked, else the stored one.
    OwnOr(usize),
    /// Made by the gateway.
    Made,
    /// An error of the gateway, or the connection breaks off.
    Failure,
}

/// A step of a case.
#[derive(Debug, Clone)]
pub struct Step {
    method: &'static str,
    at: &'static str,
    target: Option<&'static str>,
    version: &'static str,
    fields: &'static str,
    content: Option<&'static str>,
    answer: Option<Answer>,
    asked: Asked,
    comes: Comes,
    status: Vec<u16>,
    body: Option<&'static str>,
    age: Option<(u64, u64)>,
    has: Vec<&'static str>,
    lacks: Vec<&'static str>,
    is: Vec<&'static str>,
    same: Vec<&'static str>,
    sees: Vec<&'static str>,
    unseen: Vec<&'static str>,
    pause: u64,
}

fn step(answer: Option<Answer>, asked: Asked, comes: Comes) -> Step {
    Step {
        method: "GET",
        at: "",
        target: None,
        version: "1.1",
        fields: "",
        content: None,
        answer,
        asked,
        comes,
        status: Vec::new(),
        body: None,
        age: None,
        has: Vec::new(),
        lacks: Vec::new(),
        is: Vec::new(),
        same: Vec::new(),
        sees: Vec::new(),
        unseen: Vec::new(),
        pause: 0,
    }
}

/// The origin is asked, and its answer is passed on.
pub fn asks(answer: Answer) -> Step {
    step(Some(answer), Asked::Once, Comes::Own)
}

/// The stored answer of that step comes, and the origin is not asked.
pub fn hit(of: usize) -> Step {
    step(None, Asked::No, Comes::Of(of)).has("Age")
}

/// The origin is asked whether the answer of that step still holds, and that one comes.
pub fn valid(of: usize, answer: Answer) -> Step {
    step(Some(answer), Asked::Once, Comes::Of(of))
}

/// The origin is asked but of no help, and the answer of that step comes.
pub fn kept(of: usize, answer: Answer) -> Step {
    step(Some(answer), Asked::AtLeastOnce, Comes::Of(of))
}

/// The answer of that step comes at once, and the origin is asked behind the client's back.
pub fn later(of: usize, answer: Answer) -> Step {
    step(Some(answer), Asked::Later, Comes::Of(of))
}

/// The origin is asked, perhaps more than once, and its last answer is passed on.
pub fn asks_again(answer: Answer) -> Step {
    step(Some(answer), Asked::AtLeastOnce, Comes::Own)
}

/// The gateway answers by itself with this status.
pub fn made(status: u16) -> Step {
    step(None, Asked::No, Comes::Made).status(status)
}

/// The origin is asked, and what it says is no answer: the client gets an error of the gateway, or half an answer that can be told from a
/// whole one.
pub fn fails(answer: Answer) -> Step {
    step(Some(answer), Asked::AtLeastOnce, Comes::Failure)
}

/// The standard allows the answer of that step, and to ask.
pub fn either(of: usize, answer: Answer) -> Step {
    step(Some(answer), Asked::Either, Comes::OwnOr(of))
}

/// 200 with these fields.
pub fn ok(fields: &str) -> Answer {
    Answer::new(200, fields)
}

/// 304 with these fields.
pub fn same(fields: &str) -> Answer {
    Answer::new(304, fields)
}

/// Any status with these fields.
pub fn answer(status: u16, fields: &str) -> Answer {
    Answer::new(status, fields)
}

/// The connection closes without an answer.
pub fn nothing() -> Answer {
    Answer::new(200, "").wire(Wire::Nothing)
}

impl Step {
    pub fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// What follows the case's own path.
    pub fn at(mut self, at: &'static str) -> Self {
        self.at = at;
        self
    }

    /// The whole request target.
    pub fn target(mut self, target: &'static str) -> Self {
        self.target = Some(target);
        self
    }

    /// Speaks HTTP/1.0.
    pub fn old(mut self) -> Self {
        self.version = "1.0";
        self
    }

    /// Further lines of the request's head.
    pub fn with(mut self, fields: &'static str) -> Self {
        self.fields = fields;
        self
    }

    pub fn content(mut self, content: &'static str) -> Self {
        self.content = Some(content);
        self
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status.push(status);
        self
    }

    pub fn body(mut self, body: &'static str) -> Self {
        self.body = Some(body);
        self
    }

    /// `Age` is within these.
    pub fn age(mut self, from: u64, to: u64) -> Self {
        self.age = Some((from, to));
        self
    }

    pub fn has(mut self, name: &'static str) -> Self {
        self.has.push(name);
        self
    }

    pub fn lacks(mut self, name: &'static str) -> Self {
        self.lacks.push(name);
        self
    }

    /// A field of the answer, `Name: value`.
    pub fn is(mut self, line: &'static str) -> Self {
        self.is.push(line);
        self
    }

    /// A field that is as it was in the step whose answer comes.
    pub fn same(mut self, name: &'static str) -> Self {
        self.same.push(name);
        self
    }

    /// A field that the origin gets, if it is asked.
    pub fn sees(mut self, line: &'static str) -> Self {
        self.sees.push(line);
        self
    }

    /// A field that the origin does not get.
    pub fn unseen(mut self, name: &'static str) -> Self {
        self.unseen.push(name);
        self
    }

    /// Waits afterwards.
    pub fn pause(mut self, milliseconds: u64) -> Self {
        self.pause = milliseconds;
        self
    }
}

/// What the origin says next under a case's path, and what it got there.
#[derive(Default)]
struct Script {
    says: Option<Answer>,
    got: Vec<Request>,
}

type Scripts = Arc<Mutex<HashMap<String, Script>>>;

/// Which case a request belongs to: the first segment of its path.
fn of_case(target: &str) -> &str {
    let path = target.strip_prefix("http://").and_then(|rest| rest.split_once('/')).map_or(target, |(_, path)| path);
    path.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default()
}

/// Runs all cases at once over one gateway and one origin. Panics at the end, with all that differed.
pub async fn run(cases: Vec<Case>) {
    let gateway = stage::gateway().await;
    let proxy = gateway.addresses()[0];
    let scripts = Scripts::default();
    let says = {
        let scripts = scripts.clone();
        move |request: &Request| {
            let mut scripts = scripts.lock().unwrap();
            let script = scripts.entry(of_case(&request.target).to_string()).or_default();
            script.got.push(request.clone());
            script.says.clone().unwrap_or_else(|| Answer::new(599, "Cache-Control: no-store").body("nobody was to ask"))
        }
    };
    let origin = Origin::start(says).await.address;
    let names: BTreeSet<_> = cases.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), cases.len(), "two cases have one name");
    let count = cases.len();
    let running: Vec<_> =
        cases.into_iter().map(|(name, steps)| (name, tokio::spawn(play(name, steps, proxy, origin, scripts.clone())))).collect();
    let mut failures = Vec::new();
    for (name, task) in running {
        match task.await {
            Ok(Ok(())) => {}
            Ok(Err(what)) => failures.push(format!("{name}: {what}")),
            Err(error) => failures.push(format!("{name}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{} of {count} cases fail:\n{}", failures.len(), failures.join("\n"));
}

/// Plays the steps of a case in turn, up to the first in which something differs.
async fn play(
    name: &'static str, steps: Vec<Step>, proxy: SocketAddr, origin: SocketAddr, scripts: Scripts,
) -> Result<(), String> {
    let mut said: Vec<Option<Answer>> = Vec::new();
    let mut replies: Vec<Option<Reply>> = Vec::new();
    for (number, step) in steps.into_iter().enumerate() {
        let here = format!("/{name}");
        let now = stage::now();
        let expanded = |text: &str| expand(text, now, &here, origin);
        let own = step.answer.clone().map(|mut answer| {
            answer.fields = expanded(&answer.fields);
            answer.body.get_or_insert_with(|| format!("{name} {number}"));
            answer
        });
        let before = {
            let mut scripts = scripts.lock().unwrap();
            let script = scripts.entry(name.to_string()).or_default();
            script.says.clone_from(&own);
            script.got.len()
        };
        said.push(own);
        let target = step.target.map_or_else(|| format!("http://{origin}{here}{}", step.at), expanded);
        let mut request = format!("{} {target} HTTP/{}\r\nHost: {origin}\r\n", step.method, step.version);
        for line in expanded(step.fields).lines() {
            request.push_str(&format!("{line}\r\n"));
        }
        if let Some(content) = step.content {
            request.push_str(&format!("Content-Length: {}\r\n", content.len()));
        }
        request.push_str(&format!("\r\n{}", step.content.unwrap_or_default()));
        let reply = stage::ask(proxy, &request).await;
        let got = || {
            scripts.lock().unwrap().get(name).map_or_else(Vec::new, |script| script.got[before.min(script.got.len())..].to_vec())
        };
        if step.asked == Asked::Later {
            let end = Instant::now() + Duration::from_secs(5);
            while got().is_empty() && Instant::now() < end {
                sleep(Duration::from_millis(10)).await;
            }
            // What was fetched behind the client's back is stored only after the origin has said it.
            sleep(Duration::from_millis(300)).await;
        }
        let got = got();
        let differs = differences(&step, number, &said, &replies, &reply, &got, &expanded);
        if !differs.is_empty() {
            let seen: Vec<_> = got.iter().map(|request| &request.head).collect();
            return Err(format!(
                "in step {number}, {}\n    asked: {request:?}\n    came: {}\n    the origin got {seen:?}",
                differs.join("; "),
                reply.map_or_else(|why| why, |reply| format!("{:?} {:?}", reply.head, shortened(&reply.body))),
            ));
        }
        replies.push(reply.ok());
        if step.pause > 0 {
            sleep(Duration::from_millis(step.pause)).await;
        }
    }
    Ok(())
}

fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

/// What is not as the step has it.
fn differences(
    step: &Step, number: usize, said: &[Option<Answer>], replies: &[Option<Reply>], reply: &Result<Reply, String>,
    got: &[Request], expanded: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let mut differs = Vec::new();
    let asked = match step.asked {
        Asked::No => got.is_empty(),
        Asked::Once | Asked::Later => got.len() == 1,
        Asked::AtLeastOnce => !got.is_empty(),
        Asked::Either => true,
    };
    if !asked {
        differs.push(format!("the origin was asked {} times and was to be asked: {:?}", got.len(), step.asked));
    }
    for request in got {
        for line in &step.sees {
            let line = expanded(line);
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let seen = request.field(field);
            if seen.as_deref() != Some(value.trim()) {
                differs.push(format!("the origin got {field}: {seen:?} and not {:?}", value.trim()));
            }
        }
        for field in &step.unseen {
            if let Some(value) = request.field(field) {
                differs.push(format!("the origin got {field}: {value:?}"));
            }
        }
    }
    let reply = match (reply, step.comes) {
        (Err(_), Comes::Failure) => return differs,
        (Err(why), _) => {
            differs.push(why.clone());
            return differs;
        }
        (Ok(reply), _) => reply,
    };
    if step.comes == Comes::Failure {
        if reply.broken.is_none() && reply.status < 500 {
            differs.push(format!("{} came, whole, and it was to fail", reply.status));
        }
        return differs;
    }
    if let Some(why) = reply.broken {
        differs.push(format!("the answer is {why}"));
    }
    let of = match step.comes {
        Comes::Own => Some(number),
        Comes::Of(of) => Some(of),
        Comes::OwnOr(_) if !got.is_empty() => Some(number),
        Comes::OwnOr(of) => Some(of),
        Comes::Made | Comes::Failure => None,
    };
    // Where 304 to a validation of the gateway's own is allowed, what comes is the stored answer.
    let of = match (of, step.comes) {
        (Some(_), Comes::OwnOr(stored)) if said[number].as_ref().is_some_and(|answer| answer.status == 304) => Some(stored),
        (of, _) => of,
    };
    let answer = of.and_then(|of| said[of].as_ref());
    let status = if step.status.is_empty() { answer.map(|answer| vec![answer.status]) } else { Some(step.status.clone()) };
    if let Some(status) = status
        && !status.contains(&reply.status)
    {
        differs.push(format!("the status is {} and not {status:?}", reply.status));
    }
    let bodiless = step.method == "HEAD" || reply.status == 304 || reply.status == 204;
    let body = if bodiless {
        Some("")
    } else if let Some(body) = step.body {
        Some(body)
    } else if matches!(reply.status, 206 | 416) && step.status.contains(&reply.status) {
        // A part, which a case that means it says by itself.
        None
    } else {
        answer.and_then(|answer| answer.body.as_deref())
    };
    if let Some(body) = body
        && reply.body != body
    {
        differs.push(format!("the body is {:?} and not {:?}", shortened(&reply.body), shortened(body)));
    }
    if let Some((from, to)) = step.age {
        let age = reply.field("age");
        if !age.as_ref().and_then(|age| age.parse().ok()).is_some_and(|age: u64| (from..=to).contains(&age)) {
            differs.push(format!("Age is {age:?} and not {from} to {to}"));
        }
    }
    for name in &step.has {
        // A refusal is not a stored answer, though it is made from one.
        if reply.field(name).is_none() && reply.status != 416 {
            differs.push(format!("there is no {name}"));
        }
    }
    for name in &step.lacks {
        if let Some(value) = reply.field(name) {
            differs.push(format!("there is {name}: {value}"));
        }
    }
    for line in &step.is {
        let line = expanded(line);
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        let is = reply.field(name);
        if is.as_deref() != Some(value.trim()) {
            differs.push(format!("{name} is {is:?} and not {:?}", value.trim()));
        }
    }
    for name in &step.same {
        let was = of.and_then(|of| replies.get(of)).and_then(|reply| reply.as_ref()?.field(name));
        let is = reply.field(name);
        if is != was {
            differs.push(format!("{name} is {is:?} and was {was:?}"));
        }
    }
    differs
}
